//! What is written is what is read, whatever the number of threads, parts and frames.

use std::{collections::BTreeMap, fs, io::Read as _};

use kojibox_packs::{
    Unwatched, read,
    write::{BlobOptions, write_blob},
};

use crate::fixture::{Packed, Seen, What, extract_from, options, tree};

#[test]
fn same_bytes_from_any_number_of_threads_and_any_order_of_entries() {
    let make = |threads, reversed| {
        let mut entries = tree();
        if reversed {
            entries.reverse();
        }
        let mut out: Vec<Vec<u8>> = Vec::new();
        let options = BlobOptions { threads, ..options() };
        let written = write_blob(entries, &options, &mut out, &Unwatched).unwrap();
        (out.concat(), written.index_bytes)
    };
    let one = make(1, false);
    assert!(one == make(2, true) && one == make(8, false) && one == make(3, true));
}

#[test]
fn a_tree_comes_back_whole_with_any_number_of_threads() {
    let packed = Packed::new(tree(), &options());
    let expected = Seen::expected(&tree());
    let index = packed.index();
    assert!(index.frames().len() > 20, "{} frames", index.frames().len());
    for threads in [1, 2, 8] {
        let seen = extract_from(&packed.source(), &packed.component, &index, threads).unwrap();
        assert_eq!(seen.entries, expected);
    }
    let sha256 = read::blob_sha256(&packed.source(), &packed.component, &index, &Unwatched, &false.into()).unwrap();
    assert_eq!(sha256, packed.component.blob.sha256);
}

#[test]
fn the_tar_crate_sees_the_same_entries() {
    let packed = Packed::new(tree(), &options());
    let blob = fs::File::open(packed.blobs().join(&packed.component.blob.name)).unwrap();
    let mut archive = tar::Archive::new(zstd::stream::read::Decoder::new(blob).unwrap());
    let mut seen = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_str().unwrap().trim_end_matches('/').to_owned();
        let header = entry.header().clone();
        let link = entry.link_name().unwrap().map(|l| l.to_str().unwrap().to_owned());
        let what = match header.entry_type() {
            tar::EntryType::Directory => What::Dir,
            tar::EntryType::Symlink => What::Link(link.unwrap()),
            tar::EntryType::Link => seen
                .get(&link.unwrap())
                .cloned()
                .expect("a hard link names an earlier file"),
            tar::EntryType::Regular => {
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).unwrap();
                What::File(header.mode().unwrap(), bytes.into())
            }
            other => panic!("type {other:?} does not exist in a pack"),
        };
        seen.insert(path, what);
    }
    assert_eq!(seen, Seen::expected(&tree()));
}
