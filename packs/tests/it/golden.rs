//! Packs of released format versions, kept for good: they open, and mean what they meant.

use std::{fs, path::PathBuf};

use kojibox_packs::{
    frame,
    manifest::Manifest,
    names,
    parity::Layout,
    read,
    source::{BlobSource as _, Depot, Section},
    write::{BlobOptions, InputEntry},
};
use kojibox_signing::{Digest, Document as _};

use crate::{
    fixture::{Packed, Seen, extract_from, file, path},
    manifest::manifest_of,
};

fn golden() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/1.0")
}

/// What the kept pack holds.
fn entries() -> Vec<InputEntry> {
    let lines: Vec<String> = (0..4000).map(|n| format!("{n} squared is {}\n", n * n)).collect();
    vec![
        InputEntry::dir(path("empty")),
        file("bin/hello", 0o755, b"#!/bin/sh\necho hello\n"),
        file("bin/hello-again", 0o755, b"#!/bin/sh\necho hello\n"),
        InputEntry::link(path("bin/hi"), "hello"),
        file("share/squares.txt", 0o644, lines.concat().as_bytes()),
        file("share/naïve-日本.txt", 0o644, "Größe\n".as_bytes()),
        file("share/void", 0o644, b""),
        file(
            &format!("share/{}/{}", "d".repeat(80), "f".repeat(60)),
            0o644,
            b"long path\n",
        ),
    ]
}

fn options() -> BlobOptions {
    BlobOptions {
        level: 9,
        frame_max: 64 << 10,
        ..BlobOptions::default()
    }
}

#[test]
fn the_golden_pack_of_version_1_0_opens() {
    let depot = Depot::open(&golden()).unwrap();
    let name = "golden-1.0.0-any.kbx.json";
    assert_eq!(depot.manifests().unwrap(), [name]);
    let bytes = depot.read_small(&Section::Packs, name, 1 << 20).unwrap().unwrap();
    assert_eq!(Digest::of(&bytes).to_string(), MANIFEST_SHA256);
    let manifest = Manifest::parse(&bytes).unwrap();
    let component = &manifest.components[0];
    assert_eq!(component.tree_sha256.to_string(), TREE_SHA256);
    let index = read::read_index(&depot, component).unwrap();
    let seen = extract_from(&depot, component, &index, 2).unwrap();
    assert_eq!(seen.entries, Seen::expected(&entries()));
}

#[test]
fn the_golden_pack_is_still_written_byte_by_byte() {
    let packed = Packed::new(entries(), &options());
    assert_eq!(packed.written.tree_sha256.to_string(), TREE_SHA256);
    let manifest = manifest_of("golden", vec![packed.component.clone()]).to_canonical_json();
    let kept = |name: &str| fs::read(golden().join(name)).unwrap_or_default();
    let name = format!("packs/{}", names::manifest("golden-1.0.0-any"));
    assert_eq!(
        frame::zstd_version(),
        "1.5.7",
        "another libzstd may give other bytes: add a golden pack, keep this one"
    );
    // To add a pack of a new version, copy what is here into a new folder beside the old ones.
    if std::env::var_os("KOJIBOX_WRITE_GOLDEN").is_some() {
        for folder in ["packs", "blobs"] {
            fs::create_dir_all(golden().join(folder)).unwrap();
        }
        for file in [&packed.component.blob.name, &packed.component.index.name] {
            fs::copy(packed.blobs().join(file), golden().join("blobs").join(file)).unwrap();
        }
        fs::write(golden().join(&name), &manifest).unwrap();
    }
    for file in [&packed.component.blob.name, &packed.component.index.name] {
        assert!(
            fs::read(packed.blobs().join(file)).unwrap() == kept(&format!("blobs/{file}")),
            "{file}"
        );
    }
    assert_eq!(
        String::from_utf8(kept(&name)).unwrap(),
        String::from_utf8(manifest).unwrap()
    );
}

#[test]
fn the_golden_parity_is_still_written_byte_by_byte_and_repairs() {
    let packed = Packed::new(entries(), &options());
    let blob = &packed.component.blob;
    let file = packed.add_parity_of(Layout::of_blob(blob.size, 2).unwrap());
    let kept = golden().join("parity").join(names::parity(&blob.name));
    if std::env::var_os("KOJIBOX_WRITE_GOLDEN").is_some() {
        fs::create_dir_all(golden().join("parity")).unwrap();
        fs::copy(&file, &kept).unwrap();
    }
    assert!(
        fs::read(&file).unwrap() == fs::read(&kept).unwrap(),
        "{}",
        kept.display()
    );
    fs::copy(&kept, &file).unwrap();
    packed.spoil(0, 3000);
    assert_eq!(packed.extract().unwrap().entries, Seen::expected(&entries()));
}

const MANIFEST_SHA256: &str = "d2ac5d99b89de5abbb121c913b75cf0cff93ea76a49fa3a899c428ffa772266d";
const TREE_SHA256: &str = "b7b345ea7dca9479cc5d0070cbaff87bccce1df02127f48030ae020ae357895a";
