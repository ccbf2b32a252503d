//! Owns the connected side: three releases of the recipe, packs for four systems, sticks; then starts the inside.

use std::{
    env, fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use kojibox_tests::{Failure, Network, Outcome, Programs, Run, Sandbox, Story, ensure, tree, units, workspace};

use crate::stick::{self, Stick};

/// The system that everything is run on.
const HOST: &str = "linux-x86_64";
/// Other systems that packs are built for from this machine.
const FOREIGN: [&str; 3] = ["linux-aarch64", "macos-aarch64", "windows-x86_64"];

pub(crate) fn tell(story: &Story<'_>) -> Outcome {
    stick::need_tools(story)?;
    let sandbox = Sandbox::with(&Programs::locate()?, Network::Host)?;
    story.chapter("Three releases of the real stack");
    write_releases(&sandbox)?;
    let keys = sandbox
        .builder(["trust", "init", "--unsafe-no-password", "--out"])
        .arg(sandbox.path("keys"));
    story.run(sandbox.dir(), keys.warns())?;
    build_all(story, &sandbox)?;
    story.chapter("Sticks: FAT32 images, mounted read-only");
    let one = Stick::make(story, &sandbox, "stick-1", "kojibox@1.0.0")?;
    let two = Stick::make(story, &sandbox, "stick-2", "kojibox@1.1.0")?;
    let three = Stick::make(story, &sandbox, "stick-3", "kojibox@1.2.0")?;
    for stick in [&one, &two, &three] {
        let written = fs::write(stick.path().join("x"), "x");
        ensure(written.is_err(), || {
            format!("`{}` can be written to", stick.path().display())
        })?;
    }
    go_inside(&sandbox, "inside")?;
    sandbox.expect_no_survivors()?;
    story.end("");
    Ok(())
}

/// Writes the shipped recipe, and two later releases of it: one that says something new, one that cannot become ready.
fn write_releases(sandbox: &Sandbox) -> Outcome {
    let packs = workspace().join("packs");
    sandbox.copy(&packs.join("components"), "components")?;
    for (number, version, edit) in [
        (1, "1.0.0", None),
        (2, "1.1.0", Some(("This is visit", "Release 1.1.0. This is visit"))),
        (
            3,
            "1.2.0",
            Some(("SELECT count(*) FROM visits\"", "SELECT count(*) FROM visitors\"")),
        ),
    ] {
        let folder = format!("recipes/kojibox-{number}");
        sandbox.copy(&packs.join("recipes/kojibox"), &folder)?;
        edit_file(
            &sandbox.path(format!("{folder}/stack.toml")),
            "\"1.0.0\"",
            &format!("\"{version}\""),
        )?;
        if let Some((from, to)) = edit {
            edit_file(&sandbox.path(format!("{folder}/app/server.mjs")), from, to)?;
        }
    }
    Ok(())
}

/// Replaces every `from` in a file; there must be one.
pub(crate) fn edit_file(path: &Path, from: &str, to: &str) -> Outcome {
    let doing = || Failure::doing(format!("could not edit `{}`", path.display()));
    let text = fs::read_to_string(path).map_err(doing())?;
    ensure(text.contains(from), || {
        format!("there is no `{from}` in `{}`", path.display())
    })?;
    fs::write(path, text.replace(from, to)).map_err(doing())
}

fn build_all(story: &Story<'_>, sandbox: &Sandbox) -> Outcome {
    for number in 1..=3 {
        story.run(sandbox.dir(), build(sandbox, number, HOST))?;
    }
    for target in FOREIGN {
        // Launchers for other systems are built on those; whoever makes a release puts them into the folder for `--tools`.
        story.run(sandbox.dir(), build(sandbox, 1, target).arg("--without-launcher"))?;
    }
    let again = story.run(sandbox.dir(), build(sandbox, 1, HOST).args(["--check", "--offline"]))?;
    story.found(&format!(
        "The same bytes again, without a network, in {}.",
        units::time(again.took)
    ));
    let run = sandbox.builder(["verify"]).arg(sandbox.path("depot"));
    story.run(sandbox.dir(), run.arg("--trust").arg(sandbox.path("keys/root.json")))?;
    story.found(&format!(
        "The depot holds {}.",
        units::size(tree::bytes_below(&sandbox.path("depot")))
    ));
    Ok(())
}

fn build(sandbox: &Sandbox, number: u8, target: &str) -> Run {
    let run = sandbox
        .builder(["build"])
        .arg(sandbox.path(format!("recipes/kojibox-{number}/stack.toml")));
    let run = run.args(["--target", target]).within(Duration::from_mins(20));
    let run = run
        .arg("--key")
        .arg(sandbox.path("keys/pack"))
        .arg("--trust")
        .arg(sandbox.path("keys/root.json"));
    run.arg("--depot").arg(sandbox.path("depot")).warns()
}

/// Runs this program again as `nobody`, in a network namespace of its own, where only its loopback is up.
pub(crate) fn go_inside(sandbox: &Sandbox, part: &str) -> Outcome {
    let exe = env::current_exe().map_err(Failure::doing("could not find this program"))?;
    let inside = sandbox.copy(&exe, "stacks")?;
    let mut command = Command::new("bwrap");
    command.args([
        "--unshare-net",
        "--unshare-ipc",
        "--dev-bind",
        "/",
        "/",
        "--die-with-parent",
        "--",
    ]);
    command.args([
        "setpriv",
        "--reuid=nobody",
        "--regid=nogroup",
        "--clear-groups",
        "--no-new-privs",
        "--inh-caps=-all",
        "--",
    ]);
    command
        .arg(inside)
        .arg(part)
        .arg(sandbox.dir())
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin");
    command
        .env("HOME", sandbox.dir().join("home"))
        .env("TMPDIR", sandbox.dir().join("tmp"))
        .stdin(Stdio::null());
    let status = command.status().map_err(Failure::doing("could not run `bwrap`"))?;
    ensure(status.success(), || {
        format!("the part without a network ended with {status}")
    })
}
