//! Parity on a stick: planned with its size, made once, kept, checked, and what `verify` says of damage with and without it.

use std::{fs, process::Command};

use crate::{
    bench::{Bench, flip},
    stock::lacks,
};

/// A desk with a stick that has two parity blocks in 32, in parts of at most 9 MiB.
fn with_stick() -> Bench {
    let bench = Bench::new();
    bench.build("work/stack.toml", "depot", &[]).ends(0);
    stick(&bench, &["--parity", "6.25"]).ends(0);
    bench
}

fn stick(bench: &Bench, more: &[&str]) -> crate::bench::Ran {
    let args = [
        "stick",
        "stick",
        "--depot",
        "depot",
        "--without-installer",
        "--json",
        "--part-size",
        "9M",
    ];
    bench.run(&[&args, more].concat())
}

/// Changes bytes of a file: a burst of one damaged block.
fn spoil(path: &std::path::Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at..at + 2000].iter_mut().for_each(|b| *b ^= 0x55);
    fs::write(path, bytes).unwrap();
}

/// Bytes of the files of a folder whose names hold `part`.
fn bytes_of(bench: &Bench, folder: &str, part: &str) -> u64 {
    let files = bench.files(folder);
    let fitting = files.iter().filter(|(name, _)| name.contains(part));
    fitting.map(|(_, bytes)| bytes.len() as u64).sum()
}

#[test]
fn a_plan_says_how_much_parity_takes() {
    let bench = Bench::new();
    bench.build("work/stack.toml", "depot", &[]).ends(0);
    let plain = stick(&bench, &["--plan"]).ends(0).json();
    let planned = stick(&bench, &["--plan", "--parity", "6.25"])
        .ends(0)
        .says("any 2 lost blocks of 32")
        .json();
    let size = planned["parity"]["size"].as_u64().unwrap();
    let blobs = bytes_of(&bench, "depot/blobs", ".tar.zst");
    assert!((blobs / 16..blobs / 14).contains(&size), "{size} of {blobs}");
    let more = planned["to_write"].as_u64().unwrap() - plain["to_write"].as_u64().unwrap();
    assert!((size..size + (64 << 10)).contains(&more), "{more}");
    assert!(!bench.path("stick").exists(), "a plan writes nothing");
    stick(&bench, &["--parity", "6.25"]).ends(0);
    assert_eq!(bytes_of(&bench, "stick/parity", ".rs"), size);
}

#[test]
fn a_stick_gets_parity_once() {
    if lacks(&["sha256sum"]) {
        return;
    }
    let bench = Bench::new();
    bench.build("work/stack.toml", "depot", &[]).ends(0);
    stick(&bench, &["--parity", "6.25"]).ends(0);
    let parity = bench.files("stick/parity");
    assert_eq!(parity.len(), 2, "{:?}", parity.keys());
    let size = bytes_of(&bench, "stick/parity", ".rs");
    let list = bench.file("stick/parity", "", ".SHA256SUMS");
    let checked = Command::new("sha256sum")
        .arg("-c")
        .arg(&list)
        .current_dir(bench.path("stick"))
        .output()
        .unwrap();
    assert!(checked.status.success(), "{checked:?}");
    let readme = fs::read_to_string(bench.path("stick/README.txt")).unwrap();
    assert!(
        readme.contains("IF THIS MEDIUM IS FAILING") && readme.contains("any 2 blocks"),
        "{readme}"
    );
    bench.run(&["verify", "stick"]).ends(0);

    // The same again writes nothing anew; damaged parity, and another share, are made anew from the blob that is there.
    let age = |bench: &Bench| {
        fs::metadata(bench.file("stick/parity", "", ".rs"))
            .unwrap()
            .modified()
            .unwrap()
    };
    let before = age(&bench);
    assert_eq!(stick(&bench, &["--parity", "6.25"]).ends(0).json()["kept"], 1);
    assert_eq!(age(&bench), before);
    flip(&bench.file("stick/parity", "", ".rs"));
    bench
        .run(&["verify", "stick"])
        .ends(21)
        .says("parity `")
        .says("--parity");
    assert_eq!(stick(&bench, &["--parity", "6.25"]).ends(0).json()["kept"], 1);
    assert_eq!(bench.files("stick/parity"), parity);
    stick(&bench, &["--parity", "12.5"]).ends(0);
    let larger = fs::metadata(bench.file("stick/parity", "", ".rs")).unwrap().len();
    assert!(larger > size + size / 2);
    bench.run(&["verify", "stick"]).ends(0);
}

#[test]
fn a_share_that_is_no_whole_number_of_blocks_is_refused_by_name() {
    let bench = Bench::new();
    for bad in ["0", "5", "50"] {
        stick(&bench, &["--parity", bad]).ends(2).says("3.125, 6.25, 9.375");
    }
}

#[test]
fn verify_names_every_damaged_block_and_says_whether_parity_repairs_them() {
    let bench = with_stick();
    let first = bench.file("stick/blobs", ".tar.zst", ".001");
    let second = bench.file("stick/blobs", ".tar.zst", ".002");
    spoil(&first, 100_000);
    let name = |path: &std::path::Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let run = bench
        .run(&["verify", "stick"])
        .ends(21)
        .says("parity repairs all of it")
        .says("still works");
    let run = run.says(&name(&first)).says(": block 0, ");
    assert!(!run.err.contains(&name(&second)), "{}", run.err);
    spoil(&second, 1_500_000);
    let run = bench
        .run(&["verify", "stick"])
        .ends(21)
        .says("parity repairs all of it");
    run.says(&name(&first)).says(&name(&second));
    spoil(&second, 5_000_000);
    let run = bench
        .run(&["verify", "stick"])
        .ends(21)
        .says("more is lost than parity repairs");
    let run = run.says("more than 2 of 32 blocks").says("sha256 is `");
    assert_eq!(run.err.matches(": block ").count(), 3, "{}", run.err);
    // Without parity frames are named, all of them.
    fs::remove_dir_all(bench.path("stick/parity")).unwrap();
    let run = bench.run(&["verify", "stick"]).ends(21).says("there is no parity");
    assert!(run.err.matches(": frame ").count() >= 2, "{}", run.err);
    // Laying out again mends the stick.
    stick(&bench, &["--parity", "6.25"]).ends(0);
    bench.run(&["verify", "stick"]).ends(0);
}

#[test]
fn files_that_belong_to_no_pack_are_named() {
    let bench = with_stick();
    bench.write("stick/parity/old-1.0.0-any-0011223344556677.tar.zst.rs", "x");
    bench.write("stick/parity/._litter", "x");
    let run = bench.run(&["verify", "stick"]).ends(0).says("`parity/old-1.0.0");
    assert!(!run.err.contains("_litter"), "{}", run.err);
}
