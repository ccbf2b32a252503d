//! What holds for every input: parsers end without a panic, trees come back, parts add up.

use std::{fs, io::Cursor};

use kojibox_packs::{
    Unwatched, frame,
    index::{self, Index},
    manifest::Manifest,
    path::{PackPath, Tree},
    source::{Kpack, KpackWriter, Section},
    sums,
    write::{BlobOptions, InputEntry, PartCutter, PartError, write_blob},
};
use kojibox_signing::Document as _;
use proptest::prelude::*;

use crate::fixture::{Packed, Seen, file, noise, options, path};

/// Lines that look like those of an index.
fn index_line() -> impl Strategy<Value = String> {
    let number = prop_oneof![Just(0_u64), 0..2000_u64, Just(1 << 60), any::<u64>()].prop_map(|n| n.to_string());
    let digest = Just("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".to_owned());
    let field = prop_oneof![
        4 => number,
        2 => digest,
        2 => prop_oneof![Just("0644"), Just("0755"), Just("0777")].prop_map(str::to_owned),
        4 => "[ab]{1,2}(/[ab]{1,2}){0,2}",
        1 => "\\PC{0,8}",
    ];
    let kind = prop_oneof![
        Just("kbx-idx\t1"),
        Just("frame"),
        Just("dir"),
        Just("file"),
        Just("same"),
        Just("link"),
        Just("end")
    ];
    (kind, prop::collection::vec(field, 0..8)).prop_map(|(kind, fields)| format!("{kind}\t{}\n", fields.join("\t")))
}

/// Trees of a few files that share bytes, modes and directories.
fn any_tree() -> impl Strategy<Value = Vec<InputEntry>> {
    let size = prop_oneof![Just(0_usize), 1..600_usize, 16_000..17_000_usize, 60_000..140_000_usize];
    let one = ("[a-c]{1,2}(/[a-c]{1,2}){0,3}", size, 0..3_u64, any::<bool>(), 0..8_u8);
    prop::collection::vec(one, 0..25).prop_map(|all| {
        let (mut tree, mut taken) = (Vec::new(), Vec::<String>::new());
        for (name, size, seed, exec, kind) in all {
            let below = |a: &str, b: &str| a == b || a.strip_prefix(b).is_some_and(|rest| rest.starts_with('/'));
            if taken.iter().any(|other| below(other, &name) || below(&name, other)) {
                continue;
            }
            let mode = if exec { 0o755 } else { 0o644 };
            tree.push(match kind {
                0 => InputEntry::dir(path(&name)),
                1 => InputEntry::link(path(&name), "x/y"),
                _ => file(&name, mode, &noise(seed, size)),
            });
            taken.push(name);
        }
        tree
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn paths_never_panic_and_stay_relative(text in "\\PC{0,40}|[./a\\\\: ]{0,12}|(\\PC{0,5}/){0,5}") {
        if let Ok(path) = PackPath::new(&text) {
            prop_assert_eq!(path.as_str(), text.as_str());
            let native = std::path::Path::new(path.as_str());
            prop_assert!(native.components().all(|c| matches!(c, std::path::Component::Normal(_))));
            prop_assert_eq!(native.components().count(), path.segments().count());
            prop_assert!(path.check_link("../".repeat(path.segments().count()).as_str()).is_err());
            prop_assert!(Tree::new().add(&path, true).is_ok() || path.parent().is_some());
        }
    }

    #[test]
    fn the_index_parser_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Index::from_text(&bytes[..]).is_err());
        prop_assert!(Index::parse(&bytes).is_err());
    }

    #[test]
    fn lines_that_look_like_an_index_never_panic(lines in prop::collection::vec(index_line(), 0..12)) {
        let text = format!("kbx-idx\t1\t1\n{}", lines.concat());
        if let Ok(index) = Index::from_text(text.as_bytes()) {
            // What is read is written the same.
            prop_assert_eq!(index::to_text(index.mtime(), index.frames(), index.entries(), index.tree_sha256()), text);
        }
    }

    #[test]
    fn other_parsers_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), text in "\\PC{0,80}") {
        prop_assert!(Manifest::parse(&bytes).is_err());
        prop_assert!(Manifest::parse(text.as_bytes()).is_err());
        drop(frame::check(&bytes, 1));
        drop(frame::content_size(&[&[0x28, 0xb5, 0x2f, 0xfd][..], &bytes].concat()));
        drop(sums::parse(&text));
    }

    #[test]
    fn a_changed_container_never_panics(changes in prop::collection::vec((0..4096_usize, any::<u8>()), 1..6)) {
        let mut out = KpackWriter::new(Vec::new());
        let long = format!("{}.kbx.json", "a".repeat(120));
        out.add(&Section::Packs, &long, 700, &mut Cursor::new(vec![7; 700])).unwrap();
        out.add(&Section::Blobs, "b.tar.zst", 5, &mut Cursor::new(b"12345")).unwrap();
        let mut bytes = out.finish().unwrap().0;
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.kpack");
        fs::write(&path, &bytes).unwrap();
        if let Ok(kpack) = Kpack::open(&path) {
            for (_, _, size) in kpack.members() {
                prop_assert!(size <= bytes.len() as u64);
            }
        }
    }

    #[test]
    fn parts_hold_every_frame_whole_and_in_order(
        limit in prop_oneof![1..5000_u64, Just(1_999_634_432), Just(u64::MAX)],
        shares in prop::collection::vec(0.0..1.0_f64, 1..300),
    ) {
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "any length will do")]
        let lens: Vec<u64> = shares.iter().map(|share| ((limit as f64 * share) as u64).clamp(1, limit)).collect();
        let mut cutter = PartCutter::new(limit);
        let mut parts: Vec<u128> = Vec::new();
        for len in &lens {
            match cutter.place(*len) {
                Ok(Some(number)) => {
                    if let Some(full) = parts.last() {
                        prop_assert!(full + u128::from(*len) > u128::from(limit), "a part ends only when the next frame does not fit");
                    }
                    parts.push(u128::from(*len));
                    prop_assert_eq!(number as usize, parts.len());
                }
                Ok(None) => *parts.last_mut().unwrap() += u128::from(*len),
                Err(error) => prop_assert!(false, "{}", error),
            }
        }
        prop_assert!(parts.iter().all(|part| *part <= u128::from(limit)));
        prop_assert_eq!(parts.iter().sum::<u128>(), lens.iter().map(|len| u128::from(*len)).sum::<u128>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(40) })]

    #[test]
    fn any_tree_comes_back(entries in any_tree(), threads in 1..4_usize, part_size in 70_000..400_000_u64) {
        let expected = Seen::expected(&entries);
        let packed = Packed::new(entries.clone(), &BlobOptions { threads, part_size, ..options() });
        prop_assert_eq!(packed.extract().unwrap().entries, expected);
        let mut whole: Vec<Vec<u8>> = Vec::new();
        let again = write_blob(entries, &options(), &mut whole, &Unwatched).unwrap();
        prop_assert_eq!(again.sha256, packed.component.blob.sha256);
        prop_assert_eq!(&again.index_bytes, &packed.written.index_bytes);
    }
}

#[test]
fn frames_that_fit_no_part_and_too_many_parts_are_refused() {
    assert_eq!(
        PartCutter::new(10).place(11),
        Err(PartError::Frame { len: 11, limit: 10 })
    );
    let mut cutter = PartCutter::new(10);
    for number in 1..=999 {
        assert_eq!(cutter.place(10), Ok(Some(number)));
    }
    assert_eq!(cutter.place(1), Err(PartError::TooMany));
}

#[test]
fn sizes_beyond_32_bits_are_whole_everywhere() {
    // 5 GiB of one file in an index: offsets, lengths and sums keep every bit.
    let frame_len = 64_u64 << 20;
    let size = 5_u64 << 30;
    let digest = kojibox_signing::Digest::of(b"");
    let mut frames = Vec::new();
    let (mut comp_off, mut raw_off) = (0, 0);
    let mut push = |comp_len, raw_len| {
        frames.push(index::Frame {
            comp_off,
            comp_len,
            raw_off,
            raw_len,
            comp_sha256: digest,
            raw_sha256: digest,
        });
        comp_off += comp_len;
        raw_off += raw_len;
    };
    push(100, 512);
    (0..size / frame_len).for_each(|_| push(frame_len + 1000, frame_len));
    push(50, 1024);
    let entries = vec![index::Entry::File {
        mode: 0o644,
        size,
        raw_off: 512,
        sha256: digest,
        path: path("big"),
    }];
    let text = index::to_text(1, &frames, &entries, &index::tree_sha256(&entries));
    let index = Index::from_text(text.as_bytes()).unwrap();
    assert_eq!(index.raw_total(), size + 512 + 1024);
    assert_eq!(index.frames_size(), size + 80 * 1000 + 150);
    assert_eq!(index.facts().installed_size, size);
    let table = kojibox_packs::seek::table(index.frames());
    assert_eq!(table.len() as u64, kojibox_packs::seek::table_len(82));
}
