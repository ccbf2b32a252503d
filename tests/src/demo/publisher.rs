//! Owns the publisher's side of the demo: keys, releases, the stick.

use std::{fs, path::Path};

use crate::{
    Failure, Outcome, Sandbox, Story, ensure,
    pack::{demo_stack, host_target},
    tree, units,
};

/// A release of the demo's recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Release {
    /// Data format 1.
    One,
    /// Data format 2, with a migration.
    Two,
    /// Broken on purpose.
    Three,
}

impl Release {
    fn number(self) -> u8 {
        self as u8 + 1
    }

    fn title(self) -> &'static str {
        match self {
            Self::One => "Release 1: build, sign",
            Self::Two => "Release 2: the data gets a new format",
            Self::Three => "Release 3: broken on purpose",
        }
    }
}

/// Makes the publisher's keys.
pub(super) fn make_keys(story: &Story<'_>, sandbox: &Sandbox) -> Outcome {
    story.chapter("Make keys");
    let run = sandbox
        .packer(["trust", "init", "--out"])
        .arg(sandbox.path("keys"))
        .arg("--unsafe-no-password");
    story.run(sandbox.dir(), run.warns())?;
    Ok(())
}

/// Puts the program of `release` where its recipe looks for it, and builds the pack into the depot.
pub(super) fn release(story: &Story<'_>, sandbox: &Sandbox, release: Release) -> Outcome {
    story.chapter(release.title());
    let stack = demo_stack(sandbox, release.number())?;
    build(story, sandbox, &stack)
}

/// Mark in a launcher's bytes before its version, which `build` reads.
const VERSION_MARK: &[u8] = b"kojibox-launcher-version=";

/// Builds a pack release whose only news is a newer launcher: the same program with the next version written into it.
pub(super) fn release_launcher(story: &Story<'_>, sandbox: &Sandbox) -> Outcome {
    story.chapter("Release 2.0.1: a new launcher");
    let stack =
        fs::read_to_string(sandbox.path("recipe/stack-2.toml")).map_err(Failure::doing("could not read the recipe"))?;
    let stack = stack.replace("version = \"2.0.0\"\ntargets", "version = \"2.0.1\"\ntargets");
    let stack = sandbox.write("recipe/stack-2b.toml", stack)?;
    let launcher = sandbox.copy(
        &sandbox.bin("kojibox"),
        &format!("tools/kojibox{}", std::env::consts::EXE_SUFFIX),
    )?;
    raise_version(&launcher)?;
    build(story, sandbox, &stack)
}

/// Counts the last digit of the version in the launcher's mark up by one.
fn raise_version(launcher: &Path) -> Outcome {
    let doing = || Failure::doing(format!("could not raise the version of `{}`", launcher.display()));
    let mut bytes = fs::read(launcher).map_err(doing())?;
    let starts = (0..bytes.len())
        .filter(|at| bytes[*at..].starts_with(VERSION_MARK))
        .map(|at| at + VERSION_MARK.len());
    let ends = starts.filter_map(|at| Some(at + bytes[at..].iter().take(40).position(|b| *b == b'\n')? - 1));
    let digits: Vec<usize> = ends.filter(|at| bytes[*at].is_ascii_digit()).collect();
    ensure(!digits.is_empty(), || {
        format!("`{}` does not say its version", launcher.display())
    })?;
    for at in digits {
        bytes[at] = if bytes[at] == b'9' { b'8' } else { bytes[at] + 1 };
    }
    fs::write(launcher, bytes).map_err(doing())
}

fn build(story: &Story<'_>, sandbox: &Sandbox, stack: &Path) -> Outcome {
    let mut run = sandbox.packer(["build"]).arg(stack).args(["--target", &host_target()]);
    run = run
        .arg("--key")
        .arg(sandbox.path("keys/pack"))
        .arg("--trust")
        .arg(sandbox.path("keys/root.json"));
    run = run.arg("--depot").arg(sandbox.path("depot"));
    // Once there is a newer launcher, every release carries it.
    let tools = sandbox.path("tools");
    if tools.is_dir() {
        run = run.arg("--tools").arg(tools);
    }
    story.run(sandbox.dir(), run)?;
    story.found(&format!(
        "The depot holds {}.",
        units::size(tree::bytes_below(&sandbox.path("depot")))
    ));
    Ok(())
}

/// Lays out the stick anew from the depot.
pub(super) fn lay_out_stick(story: &Story<'_>, sandbox: &Sandbox) -> Outcome {
    let stick = sandbox.path("stick");
    let run = sandbox
        .packer(["stick"])
        .arg(&stick)
        .arg("--depot")
        .arg(sandbox.path("depot"));
    story.run(sandbox.dir(), run.arg("--trust").arg(sandbox.path("keys/root.json")))?;
    story.found(&format!("The stick holds {}.", units::size(tree::bytes_below(&stick))));
    Ok(())
}
