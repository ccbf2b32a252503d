//! Owns the tests of carrying a damaged depot on: `stick` and `export` look at every byte before it counts, say what is wrong
//! and what to do, and leave nothing that could be taken for a pack.

use std::{collections::BTreeMap, fs, path::Path};

use crate::bench::{Bench, Ran, flip};

/// Takes the last byte away.
fn cut(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
}

/// Adds a byte.
fn grow(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes.push(0);
    fs::write(path, bytes).unwrap();
}

fn remove(path: &Path) {
    fs::remove_file(path).unwrap();
}

/// What is done to a file of the depot, which one, the exit code, and what is said of it.
type Case = (fn(&Path), &'static str, &'static str, i32, &'static str);

const CASES: [Case; 19] = [
    (flip, "blobs", ".tar.zst", 21, "does not match the manifest"),
    (cut, "blobs", ".tar.zst", 21, "does not match the manifest"),
    (grow, "blobs", ".tar.zst", 21, "does not match the manifest"),
    (remove, "blobs", ".tar.zst", 33, ".tar.zst"),
    (flip, "blobs", ".idx.zst", 21, ".idx.zst"),
    (cut, "blobs", ".idx.zst", 21, ".idx.zst"),
    (grow, "blobs", ".idx.zst", 21, ".idx.zst"),
    (remove, "blobs", ".idx.zst", 33, ".idx.zst"),
    (flip, "packs", ".cdx.json", 21, ".cdx.json"),
    (flip, "packs", ".SHA256SUMS", 21, ".SHA256SUMS"),
    (grow, "packs", ".cdx.json", 21, ".cdx.json"),
    (grow, "packs", ".SHA256SUMS", 21, ".SHA256SUMS"),
    (remove, "packs", ".cdx.json", 33, ".cdx.json"),
    (grow, "packs", ".kbx.json", 20, ".kbx.json"),
    (grow, "packs", ".sshsig", 20, ".kbx.json"),
    (flip, "packs", ".kbx.json", 20, ".kbx.json"),
    (flip, "packs", ".sshsig", 20, ".kbx.json"),
    (remove, "packs", ".sshsig", 20, ".kbx.json"),
    (flip, "trust", ".root.json", 20, "root"),
];

fn stick(bench: &Bench, more: &[&str]) -> Ran {
    let words = ["stick", "stick", "--depot", "depot", "--without-installer"];
    bench.run(&[&words, more].concat())
}

fn export(bench: &Bench) -> Ran {
    bench.run(&[
        "export",
        "tree@1.0.0",
        "--depot",
        "depot",
        "--single-file",
        "out/tree.kpack",
    ])
}

/// No file on the stick could be taken for a pack or a part of one.
#[track_caller]
fn has_no_pack(bench: &Bench) {
    let files = if bench.path("stick").exists() {
        bench.files("stick")
    } else {
        BTreeMap::default()
    };
    let whole = |name: &&String| {
        [".kbx.json", ".tar.zst", ".partial"]
            .iter()
            .any(|end| name.ends_with(end))
    };
    assert_eq!(files.keys().find(whole), None);
}

#[test]
fn whatever_is_damaged_nothing_of_it_is_carried_on() {
    let bench = Bench::new();
    bench.build("work/stack.toml", "whole", &[]).ends(0);
    let mut wrong = Vec::new();
    for (damage, folder, end, code, said) in CASES {
        drop(fs::remove_dir_all(bench.path("depot")));
        for (name, bytes) in bench.files("whole") {
            bench.write(&format!("depot/{name}"), bytes);
        }
        damage(&bench.file(&format!("depot/{folder}"), "", end));
        for ran in [
            stick(&bench, &[]),
            stick(&bench, &["--parity", "6.25", "--part-size", "10M"]),
            export(&bench),
        ] {
            for told in [said, "  state: ", "  hint: "] {
                if ran.code != code || !ran.err.contains(told) {
                    wrong.push(format!(
                        "{folder} {end}: {} for {code}, `{told}`\n{}",
                        ran.code, ran.err
                    ));
                }
            }
        }
        has_no_pack(&bench);
        assert!(
            !bench.path("out").exists() || bench.files("out").is_empty(),
            "{folder} {end}"
        );
    }
}
