//! The wizard on a terminal, with the installer that lies on the stick: what goes wrong in the middle, and how it ends well.

use std::{
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use kojibox_tests::{
    Failure, Outcome, Run, Sandbox, ensure,
    image::{Access, FileSystem, Image, Mounted, system, unless_lacking},
    pack::{Publisher, host_target, shipped_installer, tree_stack},
    terminal,
    tree::{self, Picture},
};
use serde_json::Value;

use crate::life::big;

/// Bytes of the two components.
const FIRST: usize = 32 << 20;
const SECOND: usize = 8 << 20;
/// What may be read again of a file that was cut short: a frame, and what is small.
const FRAME: u64 = (8 << 20) + SMALL;
/// Headers of frames and of the archive, an index.
const SMALL: u64 = 64 << 10;

/// A stick as a person has it in hand: with packs in parts, and the installer that trusts their publisher.
struct Stick<'a> {
    sandbox: &'a Sandbox,
    dir: PathBuf,
    root: PathBuf,
    total: u64,
    before: Picture,
}

/// A question that is waited for, a shell command that runs before the answer, and what is typed.
type Step = [String; 3];

fn step(text: &str, meanwhile: &str, typed: &str) -> Step {
    [text, meanwhile, typed].map(str::to_owned)
}

impl<'a> Stick<'a> {
    fn new(sandbox: &'a Sandbox, root: PathBuf) -> Outcome<Self> {
        Self::with(sandbox, root, [FIRST, SECOND])
    }

    /// With components of this many bytes.
    fn with(sandbox: &'a Sandbox, root: PathBuf, [first, second]: [usize; 2]) -> Outcome<Self> {
        let publisher = Publisher::new(sandbox, "publisher")?;
        let more =
            "\n[[component]]\nid = \"second\"\nversion = \"1.0.0\"\ndefault = true\nsource = { path = \"more\" }\n";
        sandbox.write("publisher/two/files/a.bin", big(first, 1))?;
        sandbox.write("publisher/two/more/b.bin", big(second, 2))?;
        let stack = sandbox.write("publisher/two/stack.toml", tree_stack("1.0.0") + more)?;
        publisher.build_run(&stack).args(["--level", "1"]).answer()?;
        shipped_installer(sandbox, "tools/kojibox-installer")?;
        let dir = sandbox.path("stick");
        let lay = sandbox
            .packer(["stick", "--part-size", "9000000", "--tools"])
            .arg(sandbox.path("tools"))
            .arg(&dir);
        let lay = lay.arg("--depot").arg(publisher.depot()).arg("--trust");
        lay.arg(publisher.root_json()).answer()?;
        let before = tree::picture(&dir)?;
        Ok(Self {
            sandbox,
            dir,
            root,
            total: (first + second) as u64,
            before,
        })
    }

    fn installer(&self) -> PathBuf {
        self.dir.join(format!("install-{}", host_target()))
    }

    /// Everything that is asked, with `meanwhile` before the last answer: nothing is written until then.
    fn answers(&self, meanwhile: &str) -> Vec<Step> {
        vec![
            step("Language / Bahasa", ":", "\r"),
            step("Install directory", ":", &format!("{}\r", self.root.display())),
            step("Components (space chooses", ":", "\r"),
            step("Go ahead?", ":", "y"),
            step("Save these answers", meanwhile, "n"),
        ]
    }

    /// A shell on a terminal that runs `script` with the installer as `$0`; the wizard gets `steps`.
    fn shell(&self, script: &str, steps: &[Step]) -> Run {
        let run = terminal::run(self.sandbox, steps.concat());
        run.args(["/bin/bash", "-uc", script]).arg(self.installer())
    }

    /// What is installed is right and as much as there is; the stick is as it was. Gives the bytes that the last attempt read.
    fn expect_installed(&self) -> Outcome<u64> {
        tree::expect_same("the stick", &self.before, &tree::picture(&self.dir)?)?;
        self.expect_root()
    }

    fn expect_root(&self) -> Outcome<u64> {
        self.sandbox.installer(["verify", "--root"]).arg(&self.root).answer()?;
        let installed = tree::bytes_below(&self.root.join("components"));
        ensure(installed == self.total, || format!("{installed} bytes are installed"))?;
        let receipts = tree::picture(&self.root.join("state/receipts"))?;
        let last = receipts
            .keys()
            .next_back()
            .map(|name| self.root.join("state/receipts").join(name));
        let last = last.ok_or_else(|| Failure::new("there is no receipt"))?;
        let bytes = std::fs::read(&last).map_err(Failure::doing("could not read a receipt"))?;
        let receipt: Value = serde_json::from_slice(&bytes).map_err(Failure::doing("a receipt is not JSON"))?;
        receipt["bytes"]["read"]
            .as_u64()
            .ok_or_else(|| Failure::new(format!("it does not say what was read: {receipt}")))
    }
}

/// Waits until `bytes` are staged in `root`, or it is too late.
fn until_staged(root: &Path, bytes: usize) -> String {
    let root = root.display();
    format!(
        "until [ \"$(du -sk '{root}/staging' | cut -f1)\" -gt {} ] || [ -e '{root}/state/current.json' ]; do sleep 0.01; done",
        bytes >> 10
    )
}

fn expect_said(shown: &str, texts: &[&str]) -> Outcome {
    let mut rest = shown;
    for text in texts {
        let at = rest.find(text);
        let at = at.ok_or_else(|| Failure::new(format!("expected `{text}`, in this order, in\n{shown}")))?;
        rest = &rest[at + text.len()..];
    }
    Ok(())
}

#[test]
fn a_stick_that_is_pulled_in_the_middle_is_asked_for_and_little_is_read_again() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    // Where the wizard proposes it.
    let stick = Stick::new(&sandbox, sandbox.dir().join("home/kojibox"))?;
    let (dir, away, counted) = (stick.dir.display(), sandbox.path("away"), sandbox.path("counted"));
    let away = away.display();
    let mut steps = stick.answers(":");
    steps[1] = step("Install directory", ":", "\r");
    let pull = format!("{}; mv '{dir}' '{away}'", until_staged(&stick.root, FIRST / 2));
    steps.push(step("Installing", &pull, ""));
    let put_back = format!(
        "find '{}/staging' -type f -printf '%s\\n' >'{}'; mv '{away}' '{dir}'",
        stick.root.display(),
        counted.display()
    );
    steps.push(step("Insert the medium that has", &put_back, "\r"));
    // One read of the third part takes so long that the stick is gone before the fourth is opened.
    let mut names = stick.before.keys();
    let part = names.find(|name| name.starts_with("blobs/tree-") && name.ends_with(".003"));
    let part = stick
        .dir
        .join(part.ok_or_else(|| Failure::new("there is no third part"))?);
    let slow = "-f -qq -o /dev/null -e trace=read -e inject=read:delay_enter=1500000:when=1 -P";
    let run = terminal::run(&sandbox, steps.concat()).arg("/usr/bin/strace");
    let run = run.args(slow.split(' ')).arg(part).arg(stick.installer());
    let done = run.answer()?;
    let shown = terminal::plain(&done.stdout);
    expect_said(
        &shown,
        &[
            "Nothing is written there.",
            "What will change",
            "Insert the medium that has",
            "Kept ",
            " of an interrupted attempt; ",
            " to read.",
            "Done",
            "Uninstall:",
        ],
    )?;
    let counted = std::fs::read_to_string(&counted).map_err(Failure::doing("could not read what was staged"))?;
    let kept: u64 = counted.lines().filter_map(|line| line.parse::<u64>().ok()).sum();
    let read = stick.expect_installed()?;
    ensure(kept >= FIRST as u64 / 3 && read <= stick.total - kept + FRAME, || {
        let total = stick.total;
        format!("{kept} of {total} bytes were kept, and {read} were read again\n{shown}")
    })
}

/// A shell command that has the test do `what`, and waits until it is done.
fn by_hand(sandbox: &Sandbox, what: &str) -> String {
    let path = sandbox.path(what);
    format!(
        "touch '{0}'; until [ -e '{0}-done' ]; do sleep 0.01; done",
        path.display()
    )
}

/// A shell command that waits until the process that runs `program` has read as many bytes as that has.
fn until_read_through(program: &Path) -> String {
    format!(
        r#"for at in /proc/[0-9]*; do [ "$(readlink $at/exe)" != '{0}' ] || break; done
        until [ "$(sed -n 's/^rchar: //p' $at/io)" -gt "$(stat -c %s '{0}')" ]; do sleep 0.01; done"#,
        program.display()
    )
}

#[test]
fn a_stick_that_is_pulled_under_the_running_installer_does_not_end_it() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    // Small, because the driver writes ten megabytes a second.
    let mut stick = Stick::with(&sandbox, sandbox.path("root"), [24 << 20, 1 << 20])?;
    let made = Image::make(sandbox.path("stick.img"), FileSystem::Fat32, 96 << 20).and_then(|image| {
        let mounted = image.mount(sandbox.path("mnt"), Access::Writable)?;
        system("cp", &[Path::new("-r"), &stick.dir.join("."), mounted.path()])?;
        Ok(image)
    });
    let Some(image) = unless_lacking("FAT32 through FUSE", made)? else {
        return Ok(());
    };
    let insert = || image.mount(sandbox.path("mnt"), Access::ReadOnly);
    let mounted = insert()?;
    stick.dir = mounted.path().to_owned();
    let mut steps = stick.answers(&until_read_through(&stick.installer()));
    let pull = format!("{}; {}", until_staged(&stick.root, 8 << 20), by_hand(&sandbox, "pull"));
    steps.push(step("Installing", &pull, ""));
    steps.push(step("Insert the medium that has", &by_hand(&sandbox, "insert"), "\r"));
    let run = terminal::run(&sandbox, steps.concat()).arg(stick.installer());
    let (done, _mounted) = thread::scope(|scope| {
        let running = scope.spawn(move || run.answer());
        let asked = |what: &str| {
            while !running.is_finished() && !sandbox.path(what).exists() {
                thread::sleep(Duration::from_millis(5));
            }
            sandbox.path(what).exists()
        };
        let mut mounted = Some(mounted);
        if asked("pull") {
            mounted.take().map_or(Ok(()), Mounted::pull)?;
            sandbox.write("pull-done", "")?;
        }
        if asked("insert") {
            mounted = Some(insert()?);
            sandbox.write("insert-done", "")?;
        }
        let done = running
            .join()
            .map_err(|_| Failure::new("the wizard could not be run"))??;
        Ok::<_, Failure>((done, mounted))
    })?;
    expect_said(
        &terminal::plain(&done.stdout),
        &[
            "Insert the medium that has",
            "Kept ",
            " of an interrupted attempt; ",
            "Done",
            "Uninstall:",
        ],
    )?;
    stick.expect_root().map(drop)
}

#[test]
fn a_disk_that_fills_up_is_told_freed_and_installed_on_once_there_is_room() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    sandbox.write("small/.keep", "")?;
    let small = sandbox.path("small");
    let stick = Stick::new(&sandbox, small.join("root"))?;
    // Somebody else takes the room between the summary and the last answer.
    let take = format!(
        "cd '{}'; fallocate -l \"$(($(df --output=avail -m . | tail -1) - 24))M\" full",
        small.display()
    );
    let mut steps = stick.answers(&take);
    steps.push(step("ended with 31, free 2", ":", ""));
    steps.extend(stick.answers(":"));
    let script = format!(
        r#"cd '{}' || exit 1
        "$0"; code=$?
        left=$(find root/staging -type f | wc -l)
        echo "ended with $code, free $(df --output=avail -m . | tail -1 | tr -d ' '), staged $left"
        [ ! -e root/state/current.json ] || exit 1
        rm full
        "$0" || exit 1
        "$0" verify --root root"#,
        small.display()
    );
    let mount = r#"mount -t tmpfs -o size=88m,mode=777 none "$0" && exec "$@""#;
    let done = stick.shell(&script, &steps).in_mounts(mount, &small).answer()?;
    let shown = terminal::plain(&done.stdout);
    expect_said(
        &shown,
        &[
            "Go ahead?",
            "error: ",
            "caused by: No space left on device",
            "  state: ",
            "  hint: ",
            "ended with 31, free 2",
            ", staged 0",
            "What will change",
            "Done",
            "all is what was signed",
        ],
    )
}

/// What `no_command_is_left_out` of the installer's own tests asks of the wizard: ended anywhere, it recovers first and goes on.
#[test]
fn killed_while_it_installs_it_says_so_recovers_and_keeps_what_was_verified() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let mut stick = Stick::new(&sandbox, PathBuf::new())?;
    for (n, point) in ["tree-staged", "published"].into_iter().enumerate() {
        stick.root = sandbox.path(format!("root-{n}"));
        let root = stick.root.display();
        let script = format!(
            r#"KOJIBOX_CRASH_AT={point} "$0"; echo "killed with $?"
            find '{root}/staging' '{root}/components' -type f -size +1M -printf '%s\n' >'{root}.counted'
            "$0""#
        );
        let mut steps = stick.answers(":");
        steps.push(step("killed with 134", ":", ""));
        steps.extend(stick.answers(":"));
        let done = stick.shell(&script, &steps).answer()?;
        let shown = terminal::plain(&done.stdout);
        expect_said(
            &shown,
            &[
                "killed with 134",
                "note: An installation here did not come to its end: it goes on from what is there already.",
                "note: the interrupted transaction was undone; all is as it was before it; ",
                "that were staged are kept for the next attempt",
                "What will change",
                "Kept ",
                " of an interrupted attempt; ",
                "Done",
            ],
        )?;
        let counted = std::fs::read_to_string(format!("{root}.counted"));
        let counted = counted.map_err(Failure::doing("could not read what was staged"))?;
        let kept: u64 = counted.lines().filter_map(|line| line.parse::<u64>().ok()).sum();
        let read = stick.expect_installed()?;
        ensure(kept >= SECOND as u64 && read <= stick.total - kept + SMALL, || {
            let total = stick.total;
            format!("`{point}`: {kept} of {total} bytes were kept, and {read} were read again\n{shown}")
        })?;
    }
    Ok(())
}
