//! A pack can be checked and unpacked with `sha256sum`, `cat`, `zstd` and `tar` alone.

use std::{fs, path::Path, process::Command};

use kojibox_packs::{
    source::Section,
    sums,
    write::{BlobOptions, InputEntry},
};

use crate::fixture::{Packed, Seen, What, lacks, options, tree};

fn shell(dir: &Path, script: &str) -> String {
    let out = Command::new("bash")
        .args(["-euo", "pipefail", "-c", script])
        .current_dir(dir)
        .output()
        .unwrap();
    let err = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "`{script}`: {err}");
    String::from_utf8(out.stdout).unwrap()
}

/// The tree below `dir` as files, links and directories.
fn walk(dir: &Path, prefix: &str, out: &mut std::collections::BTreeMap<String, What>) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            walk(&entry.path(), &format!("{name}/"), out);
            out.insert(name, What::Dir);
        } else if kind.is_symlink() {
            let target = fs::read_link(entry.path()).unwrap();
            out.insert(name, What::Link(target.to_str().unwrap().to_owned()));
        } else {
            let mode = mode_of(&entry.path());
            out.insert(name, What::File(mode, fs::read(entry.path()).unwrap().into()));
        }
    }
}

fn mode_of(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// What a person without Kojibox does.
fn recover(entries: Vec<InputEntry>, options: &BlobOptions) {
    if lacks(&["bash", "sha256sum", "zstd", "tar"]) {
        return;
    }
    let expected = Seen::expected(&entries);
    let packed = Packed::new(entries, options);
    let names = packed.written.part_names(&packed.component.blob.name);
    let text = sums::to_text(
        names
            .iter()
            .map(|(name, part)| (&Section::Blobs, name.as_str(), part.sha256)),
    );
    fs::write(packed.dir.path().join("packs/x.SHA256SUMS"), text).unwrap();
    let checked = shell(packed.dir.path(), "sha256sum -c packs/x.SHA256SUMS");
    assert_eq!(checked.matches(": OK").count(), names.len());
    let target = packed.dir.path().join("tree");
    fs::create_dir(&target).unwrap();
    shell(
        packed.dir.path(),
        "for part in blobs/*.tar.zst*; do zstd -qt < $part; done",
    );
    shell(packed.dir.path(), "cat blobs/*.tar.zst* | zstd -d | tar -x -p -C tree");
    let mut seen = std::collections::BTreeMap::new();
    walk(&target, "", &mut seen);
    assert_eq!(seen, expected);
    // Nothing in the stream that `tar` would only warn about, and every date is the constant one.
    let listed = shell(
        packed.dir.path(),
        "cat blobs/*.tar.zst* | zstd -d | TZ=UTC tar -tv --full-time 2>&1",
    );
    assert!(
        listed
            .lines()
            .all(|line| line.contains("0/0") && line.contains("1980-01-01 00:00:00")),
        "{listed}"
    );
}

#[test]
fn a_whole_blob_unpacks_with_stock_tools() {
    recover(tree(), &options());
}

#[test]
fn a_split_blob_unpacks_with_stock_tools_and_each_part_is_a_zstd_file() {
    let part_size = 70 << 10;
    recover(tree(), &BlobOptions { part_size, ..options() });
}
