//! Owns the tests of Ctrl-C while a finished pack is carried on: `stick` and `export` end at the first signal, leave nothing
//! half written, and do the job when they are run again. Also how a test signals a run.

use std::{
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::bench::{Bench, Ran, noise, ran};

/// What is meant by "at once", on a machine that does other things too.
const AT_ONCE: Duration = Duration::from_secs(3);

pub(crate) fn wait_for(what: &str, ready: impl Fn() -> bool) {
    let started = Instant::now();
    while !ready() {
        assert!(started.elapsed() < Duration::from_mins(1), "{what} does not come");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Runs `command` and sends it `signal` once the work is under way; it must end at once.
pub(crate) fn signalled(mut command: Command, signal: &str, ready: impl Fn() -> bool) -> Ran {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for("the work", ready);
    // Should it have ended already, its exit code says so: nobody has waited for it, so the number is still its own.
    Command::new("kill")
        .args([signal, &child.id().to_string()])
        .status()
        .unwrap();
    let asked = Instant::now();
    let ran = ran(child.wait_with_output().unwrap());
    assert!(
        asked.elapsed() < AT_ONCE,
        "{signal} took {:?}\n{}",
        asked.elapsed(),
        ran.err
    );
    ran
}

/// A depot with a pack whose copy takes a while.
fn published() -> Bench {
    let bench = Bench::new();
    bench.write("work/dir/huge", noise(96 << 20));
    bench.build("work/stack.toml", "depot", &["--preset", "fast"]).ends(0);
    bench
}

/// Bytes of the unfinished files in `folder`.
fn pending(bench: &Bench, folder: &str) -> u64 {
    let entries = std::fs::read_dir(bench.path(folder)).into_iter().flatten().flatten();
    let pending = entries.filter(|e| e.file_name().to_str().is_some_and(|name| name.ends_with(".partial")));
    pending.filter_map(|e| e.metadata().ok()).map(|found| found.len()).sum()
}

#[test]
fn a_stick_is_laid_out_whole_or_says_that_it_is_not() {
    let bench = published();
    let words = [
        "stick",
        "stick",
        "--depot",
        "depot",
        "--without-installer",
        "--parity",
        "6.25",
    ];
    for signal in ["-INT", "-TERM"] {
        let ran = signalled(bench.command(&words), signal, || {
            pending(&bench, "stick/blobs") > 1 << 20
        });
        ran.ends(3)
            .says("interrupted")
            .says("running the same command again goes on");
        assert_eq!(
            bench.files("stick").keys().collect::<Vec<_>>(),
            [""; 0],
            "nothing is half written"
        );
    }
    bench.run(&words).ends(0);
    bench.run(&["verify", "stick"]).ends(0);

    // All is there, and only looked at again: whether that ended or not, it stays.
    let whole = bench.files("stick");
    let begun = Instant::now();
    let ran = signalled(bench.command(&words), "-INT", || {
        begun.elapsed() > Duration::from_millis(60)
    });
    assert!(matches!(ran.code, 0 | 3), "{}{}", ran.out, ran.err);
    assert!(bench.files("stick") == whole, "a stick that was whole stays so");
}

#[test]
fn an_export_is_a_whole_file_or_none() {
    let bench = published();
    let words = [
        "export",
        "tree@1.0.0",
        "--depot",
        "depot",
        "--single-file",
        "out/tree.kpack",
    ];
    for signal in ["-INT", "-TERM"] {
        let ran = signalled(bench.command(&words), signal, || pending(&bench, "out") > 1 << 20);
        ran.ends(3).says("interrupted").says("nothing is half written");
        assert!(bench.files("out").is_empty(), "{:?}", bench.files("out").keys());
    }
    bench.run(&words).ends(0);
    bench.run(&["verify", "out/tree.kpack"]).ends(0);
}
