//! What the writer promises about frames, duplicates, parts and inputs.

use std::{
    fs, io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use kojibox_packs::{
    Progress, Unwatched,
    index::{Entry, Index},
    write::{BlobOptions, DirOutput, InputEntry, InputKind, WriteError, WrittenBlob, write_blob},
};
use kojibox_signing::Document as _;

use crate::fixture::{Packed, file, noise, options, path};

fn write(entries: Vec<InputEntry>) -> Result<WrittenBlob, WriteError> {
    let mut out: Vec<Vec<u8>> = Vec::new();
    write_blob(entries, &options(), &mut out, &Unwatched)
}

fn index(written: &WrittenBlob) -> Index {
    Index::parse(&written.index_bytes).unwrap()
}

/// A file of `stated` bytes whose reads give `bytes`; counts how often it is opened.
fn counted(at: &str, stated: u64, bytes: Vec<u8>, opened: &Arc<AtomicUsize>) -> InputEntry {
    let (bytes, opened): (Arc<[u8]>, _) = (bytes.into(), Arc::clone(opened));
    let open = Arc::new(move || {
        opened.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(io::Cursor::new(Arc::clone(&bytes))) as Box<dyn io::Read + Send>)
    });
    let kind = InputKind::File {
        mode: 0o644,
        size: stated,
        open,
    };
    InputEntry { path: path(at), kind }
}

#[test]
fn equal_large_files_have_equal_frames_wherever_they_are() {
    let big = noise(7, 200_000);
    let alone = index(&write(vec![file("x", 0o644, &big)]).unwrap());
    let among = [
        file("a/b", 0o755, b"1"),
        file("other/path", 0o755, &big),
        file("z", 0o644, &[1; 5000]),
    ];
    let among = index(&write(among.into()).unwrap());
    let frames = |index: &Index| -> Vec<_> { index.frames().iter().map(|f| f.comp_sha256).collect() };
    // 200,000 bytes are 4 frames of at most 64 KiB, after the one with the header.
    assert_eq!(frames(&alone)[1..5], frames(&among)[1..5]);
    let raws: Vec<u64> = alone.frames()[1..5].iter().map(|f| f.raw_len).collect();
    assert_eq!(raws, [65_536, 65_536, 65_536, 3392]);
}

#[test]
fn small_files_fill_frames_and_never_overfill_them() {
    let entries = (0..100)
        .map(|n| file(&format!("{n:02}"), 0o644, &noise(n, 10_000)))
        .collect();
    let index = index(&write(entries).unwrap());
    let lens: Vec<u64> = index.frames().iter().map(|f| f.raw_len).collect();
    // A file takes 512 + 10,240 bytes, so six of them fit.
    assert_eq!(lens[0], 6 * 10_752);
    assert!(lens.iter().all(|len| *len <= 65_536));
    assert_eq!(lens.len(), 17);
}

#[test]
fn duplicates_are_stored_once_by_bytes_and_mode() {
    let (small, big) = (noise(1, 500), noise(2, 100_000));
    let written = write(vec![
        file("a", 0o644, &small),
        file("b", 0o644, &small),
        file("c", 0o755, &small),
        file("d", 0o644, &big),
        file("e", 0o644, &big),
        file("f", 0o755, &big),
        file("g", 0o644, b""),
        file("h", 0o644, b""),
    ])
    .unwrap();
    let index = index(&written);
    let same = index.entries().iter().filter_map(|e| match e {
        Entry::Same { path, first, .. } => Some((path.to_string(), first.to_string())),
        _ => None,
    });
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(same.collect::<Vec<_>>(), [pair("b", "a"), pair("e", "d")]);
    assert_eq!(written.deduplicated, 100_500);
    assert_eq!((written.n_files, written.installed_size), (8, 3 * 500 + 3 * 100_000));
}

#[test]
fn the_identity_of_a_tree_does_not_depend_on_compression() {
    let entries = || {
        vec![
            file("a", 0o644, &noise(1, 90_000)),
            file("b", 0o644, &noise(1, 90_000)),
            file("c", 0o755, b"x"),
        ]
    };
    let mut out: Vec<Vec<u8>> = Vec::new();
    let other = BlobOptions {
        level: 9,
        frame_max: 1 << 20,
        mtime: 1,
        ..options()
    };
    let other = write_blob(entries(), &other, &mut out, &Unwatched).unwrap();
    let one = write(entries()).unwrap();
    assert_eq!(one.tree_sha256, other.tree_sha256);
    assert_ne!(one.sha256, other.sha256);
    let mut changed = entries();
    changed[2] = file("c", 0o644, b"x");
    assert_ne!(write(changed).unwrap().tree_sha256, one.tree_sha256);
}

#[test]
fn each_input_is_opened_once_and_twice_only_when_it_begins_like_another() {
    let opened: Vec<_> = (0..5).map(|_| Arc::new(AtomicUsize::new(0))).collect();
    let first = noise(1, 200_000);
    let mut late = first.clone();
    late[199_999] ^= 1;
    let mut early = first.clone();
    early[0] ^= 1;
    let small = noise(1, 100);
    let inputs = [first.clone(), first, late, early, small];
    let entries = inputs
        .into_iter()
        .zip(&opened)
        .enumerate()
        .map(|(n, (bytes, opened))| counted(&format!("f{n}"), bytes.len() as u64, bytes, opened))
        .collect();
    let written = write(entries).unwrap();
    let opened: Vec<usize> = opened.iter().map(|o| o.load(Ordering::Relaxed)).collect();
    assert_eq!(opened, [1, 1, 2, 1, 1]);
    assert_eq!(written.deduplicated, 200_000);
}

#[test]
fn an_input_that_changes_while_it_is_read_is_an_error() {
    for (stated, bytes) in [
        (10, 9),
        (10, 11),
        (100_000, 99_999),
        (100_000, 100_001),
        (65_536, 65_537),
        (0, 1),
    ] {
        let entry = counted("f", stated, noise(1, bytes), &Arc::default());
        let error = write(vec![entry]).unwrap_err();
        assert!(
            matches!(&error, WriteError::Size { path, .. } if path == "f"),
            "{stated} and {bytes}: {error:?}"
        );
    }
    // Reads that differ: the second one of a file that begins like another.
    let first = noise(1, 100_000);
    let mut other = first.clone();
    other[99_999] ^= 1;
    let reads = AtomicUsize::new(0);
    let open = Arc::new(move || {
        let mut bytes = other.clone();
        bytes[99_998] ^= u8::try_from(reads.fetch_add(1, Ordering::Relaxed)).unwrap();
        Ok(Box::new(io::Cursor::new(bytes)) as Box<dyn io::Read + Send>)
    });
    let kind = InputKind::File {
        mode: 0o644,
        size: 100_000,
        open,
    };
    let liar = InputEntry { path: path("b"), kind };
    let error = write(vec![file("a", 0o644, &first), liar]).unwrap_err();
    assert!(
        matches!(&error, WriteError::Changed { path } if path == "b"),
        "{error:?}"
    );
}

#[test]
fn an_input_that_cannot_be_read_is_named_with_its_reason() {
    let open = Arc::new(|| Err(io::Error::from(io::ErrorKind::PermissionDenied)));
    let kind = InputKind::File {
        mode: 0o644,
        size: 1,
        open,
    };
    let error = write(vec![InputEntry {
        path: path("a/b"),
        kind,
    }])
    .unwrap_err();
    assert_eq!(error.to_string(), "could not read input `a/b`");
}

#[test]
fn trees_that_do_not_exist_everywhere_are_refused_before_anything_is_read() {
    let never = || Arc::new(AtomicUsize::new(0));
    let opened = never();
    let cases = [
        vec![counted("a", 1, vec![1], &opened), counted("A", 1, vec![1], &opened)],
        vec![counted("a", 1, vec![1], &opened), counted("a", 1, vec![1], &opened)],
        vec![counted("a", 1, vec![1], &opened), counted("a/b", 1, vec![1], &opened)],
        vec![counted("a", 1, vec![1], &opened), InputEntry::link(path("l"), "../a")],
        vec![counted("a", 1, vec![1], &opened), file("b", 0o4755, b"")],
        vec![counted("a", 1, vec![1], &opened), file("b", 0o600, b"")],
    ];
    for entries in cases {
        let text = format!("{entries:?}");
        assert!(write(entries).is_err(), "{text}");
    }
    assert_eq!(opened.load(Ordering::Relaxed), 0);
}

#[test]
fn options_out_of_range_are_refused() {
    let change: [fn(&mut BlobOptions); 9] = [
        |o| o.level = 0,
        |o| o.level = 23,
        |o| o.window_log = 28,
        |o| o.window_log = 9,
        |o| o.frame_max = 1000,
        |o| o.frame_max = (64 << 20) + 1,
        |o| o.threads = 0,
        |o| o.mtime = 0,
        |o| o.part_size = 1000,
    ];
    for change in change {
        let mut options = options();
        change(&mut options);
        let mut out: Vec<Vec<u8>> = Vec::new();
        let error = write_blob(vec![], &options, &mut out, &Unwatched).unwrap_err();
        assert!(matches!(error, WriteError::Option { .. }), "{options:?}: {error}");
        assert!(out.is_empty());
    }
}

#[test]
fn the_smallest_tree_is_empty() {
    let packed = Packed::new(vec![], &options());
    assert_eq!(packed.extract().unwrap().entries.len(), 0);
    assert_eq!(packed.index().raw_total(), 1024);
}

#[test]
fn progress_sums_up_to_the_bytes_of_all_files() {
    struct Sum(std::sync::atomic::AtomicU64);
    impl Progress for Sum {
        fn add(&self, bytes: u64) {
            self.0.fetch_add(bytes, Ordering::Relaxed);
        }
    }
    let sum = Sum(0.into());
    let mut out: Vec<Vec<u8>> = Vec::new();
    let written = write_blob(crate::fixture::tree(), &options(), &mut out, &sum).unwrap();
    assert_eq!(sum.0.into_inner(), written.installed_size);
}

#[test]
fn parts_are_published_under_their_names_and_stale_ones_removed() {
    let dir = tempfile::tempdir().unwrap();
    let names = || -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let publish = |part_size| {
        let mut out = DirOutput::new(dir.path(), "x");
        let entries = vec![file("a", 0o644, &noise(1, 400_000))];
        let written = write_blob(entries, &BlobOptions { part_size, ..options() }, &mut out, &Unwatched).unwrap();
        assert!(
            names()
                .iter()
                .all(|name| name.starts_with('.') || name.starts_with("b.")),
            "{:?}",
            names()
        );
        (out.publish("b.tar.zst").unwrap(), written)
    };
    let (five, written) = publish(100 << 10);
    assert_eq!(
        five,
        written
            .part_names("b.tar.zst")
            .into_iter()
            .map(|(name, _)| name)
            .collect::<Vec<_>>()
    );
    assert!(five.len() > 4 && five[0] == "b.tar.zst.001", "{five:?}");
    for (name, part) in written.part_names("b.tar.zst") {
        let bytes = fs::read(dir.path().join(name)).unwrap();
        assert_eq!(
            (bytes.len() as u64, kojibox_signing::Digest::of(&bytes)),
            (part.size, part.sha256)
        );
        assert!(part.size <= 100 << 10);
    }
    let (three, _) = publish(200 << 10);
    assert_eq!(names(), three);
    let (one, _) = publish(1 << 30);
    assert_eq!((one.len(), names()), (1, vec!["b.tar.zst".to_owned()]));
    let (again, _) = publish(200 << 10);
    assert_eq!(names(), again);
    let mut unpublished = DirOutput::new(dir.path(), "y");
    let _written = write_blob(vec![], &options(), &mut unpublished, &Unwatched).unwrap();
    assert_eq!(names().len(), again.len() + 1);
    drop(unpublished);
    assert_eq!(names(), again);
}
