//! Owns the comparison with `tar | zstd`: the same trees, packed and unpacked by the standard tools.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use kojibox_tests::{Failure, Outcome, Sandbox, Story, ensure, tree, units};

/// Packs and unpacks the installed component trees of `root` with `tar` and `zstd`, and tells sizes and times.
pub(crate) fn tell(story: &Story<'_>, sandbox: &Sandbox, root: &Path) -> Outcome {
    story.chapter("Beside tar and zstd, on the installed trees");
    let (archive, out) = (sandbox.path("plain.tar.zst"), sandbox.path("plain"));
    let pack = shell(&format!(
        "tar -C '{}' -cf - components | zstd -q -3 -T0 -f -o '{}'",
        root.display(),
        archive.display()
    ))?;
    fs::create_dir_all(&out).map_err(Failure::doing("could not make a directory"))?;
    let unpack = shell(&format!(
        "zstd -q -dc '{}' | tar -C '{}' -xf - && sync -f '{}'",
        archive.display(),
        out.display(),
        out.display()
    ))?;
    let trees = tree::bytes_below(&root.join("components"));
    let size = fs::metadata(&archive).map_or(0, |meta| meta.len());
    story.found(&format!(
        "Trees {}; tar | zstd -3: {}, packed in {}, unpacked and synced in {}.",
        units::size(trees),
        units::size(size),
        units::time(pack),
        units::time(unpack)
    ));
    Ok(())
}

fn shell(script: &str) -> Outcome<Duration> {
    let began = Instant::now();
    let status = Command::new("bash").args(["-o", "pipefail", "-c", script]).status();
    let status = status.map_err(Failure::doing("could not run bash"))?;
    ensure(status.success(), || format!("`{script}` ended with {status}"))?;
    Ok(began.elapsed())
}
