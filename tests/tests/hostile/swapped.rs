//! One port and two sticks: whatever is asked for is put in place of what was there, and the command comes to its end.

use std::path::{Path, PathBuf};

use kojibox_tests::{
    Done, Failure, Outcome, Run, Sandbox, ensure,
    pack::{Publisher, tree_stack},
    terminal, tree,
};

use crate::{
    forge::{noise, read, write},
    media::Carried,
};

/// Two sticks `a` and `b` and a port: only what `is_on_b` takes is on `b`, manifests and trust are on both.
struct Exchange<'a> {
    sandbox: &'a Sandbox,
    trust: PathBuf,
}

impl<'a> Exchange<'a> {
    fn new(sandbox: &'a Sandbox, stick: &Path, trust: &Path, is_on_b: impl Fn(&str) -> bool) -> Outcome<Self> {
        for name in ["a", "b"] {
            sandbox.copy(stick, name)?;
            for entry in sandbox.picture(&format!("{name}/blobs"))?.keys() {
                if is_on_b(entry) != (name == "b") {
                    let path = sandbox.path(format!("{name}/blobs/{entry}"));
                    std::fs::remove_file(path).map_err(Failure::doing("could not take a file off a stick"))?;
                }
            }
        }
        let trust = trust.to_owned();
        Ok(Self { sandbox, trust })
    }

    /// The shell command that puts a stick into the port.
    fn puts_in(&self, stick: &str) -> String {
        let (port, stick) = (self.sandbox.path("port"), self.sandbox.path(stick));
        format!("rm -rf '{}'; cp -r '{}' '{0}'", port.display(), stick.display())
    }

    /// A command of the installer on a terminal, with `first` in the port; `asked` names what is asked for and the stick that
    /// has it, in turn. `yes` is what it asks first, if it does.
    fn run(&self, first: &str, yes: Option<&str>, asked: &[(&str, &str)]) -> Outcome<Run> {
        let sandbox = self.sandbox;
        sandbox.run("/bin/sh").args(["-ec", &self.puts_in(first)]).go()?;
        let yes = yes
            .into_iter()
            .flat_map(|yes| [yes.to_owned(), ":".to_owned(), "y".to_owned()]);
        let mut dialogue: Vec<_> = yes.collect();
        for (text, stick) in asked {
            dialogue.extend([(*text).to_owned(), self.puts_in(stick), "\r".to_owned()]);
        }
        let run = terminal::run(sandbox, dialogue).arg(sandbox.bin("kojibox-installer"));
        Ok(run.within(std::time::Duration::from_mins(2)))
    }

    /// Installs from the port.
    fn install(&self, root: &Path, first: &str, asked: &[(&str, &str)]) -> Outcome<Done> {
        let sandbox = self.sandbox;
        let run = self.run(first, Some("Go ahead?"), asked)?.args(["install", "--root"]);
        let run = run.arg(root).arg("--source").arg(sandbox.path("port"));
        let done = run.arg("--trust").arg(&self.trust).answer()?;
        let questions = done.stdout.matches("press Enter, or say where it is").count();
        ensure(questions >= asked.len(), || done.stdout.clone())?;
        ensure(done.stdout.contains("of an interrupted attempt;"), || {
            format!("it must say how much was kept:\n{}", done.stdout)
        })?;
        sandbox.installer(["verify", "--root"]).arg(root).answer()?;
        Ok(done)
    }
}

/// Two components, `tree` with `a.bin` on stick `a` and `second` with `b.bin` on stick `b`.
fn two_components(sandbox: &Sandbox) -> Outcome<Exchange<'_>> {
    let publisher = Publisher::new(sandbox, "publisher")?;
    let second =
        "\n[[component]]\nid = \"second\"\nversion = \"1.0.0\"\ndefault = true\nsource = { path = \"more\" }\n";
    let stack = tree_stack("1.0.0") + second;
    sandbox.write("publisher/two/files/a.bin", noise(3_000_000))?;
    sandbox.write("publisher/two/more/b.bin", &noise(5_000_000)[1_000_000..])?;
    publisher.build(&sandbox.write("publisher/two/stack.toml", stack)?)?;
    Exchange::new(sandbox, &publisher.depot(), &publisher.root_json(), |name| {
        name.starts_with("second-")
    })
}

/// Where the installed file of this name is.
fn installed(sandbox: &Sandbox, root: &str, file: &str) -> Outcome<PathBuf> {
    let found = sandbox.picture(&format!("{root}/components"))?;
    let name = found.keys().find(|name| name.ends_with(file));
    let name = name.ok_or_else(|| Failure::new(format!("no `{file}` in {root}")))?;
    Ok(sandbox.path(format!("{root}/components/{name}")))
}

#[test]
fn a_repair_asks_for_the_stick_that_has_the_rest() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let exchange = two_components(&sandbox)?;
    let root = sandbox.path("root");
    exchange.install(&root, "a", &[("second-1.0.0", "b")])?;
    let reference = sandbox.picture("root/components")?;
    let spoil = || {
        for file in ["a.bin", "b.bin"] {
            let path = installed(&sandbox, "root", file)?;
            std::fs::remove_file(&path).map_err(Failure::doing("could not remove an installed file"))?;
            write(&path, "something else")?;
        }
        Ok::<_, Failure>(())
    };
    spoil()?;
    let run = exchange.run("a", None, &[("`second-1.0.0-", "b")])?;
    let run = run.args(["repair", "--root"]).arg(&root).arg("--source");
    let done = run.arg(sandbox.path("port")).answer()?;
    tree::expect_same("the trees", &reference, &sandbox.picture("root/components")?)?;
    ensure(done.stdout.matches("1 file (").count() == 2, || done.stdout.clone())?;
    // Nothing on hand at first, and the stick is put at another place; a medium that does not help is asked for again.
    spoil()?;
    let place = |name| format!("{}\r", sandbox.path(name).display());
    let say = |text: &str, name| [text.to_owned(), ":".to_owned(), place(name)];
    let dialogue = [
        say("component `", "a"),
        say("`second-1.0.0-", "a"),
        say("`second-1.0.0-", "b"),
    ];
    let run = terminal::run(&sandbox, dialogue.concat()).arg(sandbox.bin("kojibox-installer"));
    let done = run.args(["repair", "--root"]).arg(&root).answer()?;
    tree::expect_same("the trees", &reference, &sandbox.picture("root/components")?)?;
    ensure(done.stdout.matches("1 file (").count() == 2, || done.stdout.clone())?;
    // Who asked not to be asked is told, and what could be repaired is.
    spoil()?;
    let run = exchange
        .run("a", None, &[])?
        .args(["repair", "--yes", "--root"])
        .arg(&root);
    let (code, done) = run.arg("--source").arg(sandbox.path("port")).any()?;
    ensure(code == 33 && done.stdout.contains("repaired: 1 file"), || {
        format!("exit {code}\n{}", done.stdout)
    })
}

#[test]
fn a_repair_needs_only_the_part_that_has_what_is_bad_and_does_not_ask_in_circles() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let stick = Carried::new(&sandbox, 30_000_000, &["--part-size", "9000000"])?;
    let root = sandbox.path("root");
    stick.install(&root).answer()?;
    let reference = sandbox.picture("root/components")?;
    let exchange = Exchange::new(&sandbox, &stick.stick, &stick.publisher.root_json(), |name| {
        [".002", ".003", ".004"].iter().any(|end| name.ends_with(end))
    })?;
    let spoil = |file: &str| {
        let path = installed(&sandbox, "root", file)?;
        std::fs::remove_file(&path).map_err(Failure::doing("could not remove an installed file"))?;
        write(&path, "something else")
    };
    let repair = |run: Run, ports: &[&str]| {
        let run = run.args(["repair", "--root"]).arg(&root);
        ports
            .iter()
            .fold(run, |run, port| run.arg("--source").arg(sandbox.path(port)))
    };
    let sound = || tree::expect_same("the tree", &reference, &sandbox.picture("root/components")?);
    // The small file lies in the first part: the stick that has it is enough, and the other asks for that one.
    spoil("a.txt")?;
    repair(sandbox.installer([""; 0]), &["a"]).answer()?;
    sound()?;
    spoil("a.txt")?;
    repair(exchange.run("b", None, &[(".tar.zst.001`", "a")])?, &["port"]).answer()?;
    sound()?;
    // The large one lies on both.
    spoil("big.bin")?;
    let asked = [(".tar.zst.002`", "b"), (".tar.zst.001`", "a")];
    let (code, done) = repair(exchange.run("a", None, &asked)?, &["port"]).any()?;
    let told = code == 33 && done.stdout.contains("several of them with one each");
    ensure(told, || format!("exit {code}\n{}", done.stdout))?;
    repair(sandbox.installer([""; 0]), &["a", "b"]).answer()?;
    sound()
}

#[test]
fn two_components_on_two_sticks_in_one_port() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let exchange = two_components(&sandbox)?;
    exchange.install(&sandbox.path("root"), "a", &[("second-1.0.0", "b")])?;
    exchange.install(&sandbox.path("other"), "b", &[("tree-1.0.0", "a")])?;
    for (root, file) in [
        ("root", "a.bin"),
        ("root", "b.bin"),
        ("other", "a.bin"),
        ("other", "b.bin"),
    ] {
        installed(&sandbox, root, file)?;
    }
    Ok(())
}

#[test]
fn the_parts_of_one_blob_on_two_sticks_in_one_port() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let stick = Carried::new(&sandbox, 30_000_000, &["--part-size", "9000000"])?;
    let exchange = Exchange::new(&sandbox, &stick.stick, &stick.publisher.root_json(), |name| {
        [".002", ".003", ".004"].iter().any(|end| name.ends_with(end))
    })?;
    // The index is on one stick only; what the other needs of it was kept.
    let whole = exchange.install(&sandbox.path("root"), "a", &[(".tar.zst.002`", "b")])?;
    let stages = whole.stdout.matches("Kept ").count();
    ensure(stages == 1, || whole.stdout.clone())?;
    let index = stick.file("blobs", "tree-", ".idx.zst")?;
    let name = index.file_name().unwrap_or_default().to_string_lossy().into_owned();
    sandbox.write(&format!("b/blobs/{name}"), read(&index)?)?;
    // The other way round: its first part is not there, so what it has is taken as far as it stands alone.
    exchange.install(
        &sandbox.path("other"),
        "b",
        &[(".tar.zst.001`", "a"), (".tar.zst.002`", "b")],
    )?;
    let reference = sandbox.picture("root/components")?;
    tree::expect_same("the tree", &reference, &sandbox.picture("other/components")?)
}
