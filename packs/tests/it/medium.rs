//! How a medium is read: once, in order, only what is needed, again when it fails, and never too far ahead.

use std::{
    io::{self, Read, Seek, SeekFrom},
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use kojibox_packs::{
    Kind, Progress, Unwatched,
    index::Entry,
    path::PackPath,
    read::{self, Discard, ExtractOptions, ReadError, SinkResult, TreeSink},
    source::{BlobSource, Depot, ReadSeekSend, Section, SourceError},
    write::BlobOptions,
};
use kojibox_signing::Digest;

use crate::fixture::{Packed, Seen, extract_from, extract_into, file, noise, options, tree};

/// A depot that counts what is read and fails when told to.
struct Watched {
    depot: Depot,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Stretches of blobs that were read, in order.
    read: Mutex<Vec<(u64, usize)>>,
    bytes: AtomicU64,
    /// Reads that still work, then as many that fail.
    good: AtomicUsize,
    bad: AtomicUsize,
    /// Nothing is found any more.
    gone: AtomicBool,
}

struct WatchedFile {
    file: Box<dyn ReadSeekSend>,
    at: u64,
    shared: Arc<Shared>,
}

impl Watched {
    fn new(packed: &Packed) -> Self {
        let shared = Arc::new(Shared::default());
        shared.good.store(usize::MAX, Ordering::Relaxed);
        Self {
            depot: packed.source(),
            shared,
        }
    }

    fn fail(self, good: usize, bad: usize) -> Self {
        self.shared.good.store(good, Ordering::Relaxed);
        self.shared.bad.store(bad, Ordering::Relaxed);
        self
    }
}

impl BlobSource for Watched {
    fn open(&self, section: &Section, name: &str) -> Result<Option<Box<dyn ReadSeekSend>>, SourceError> {
        if self.shared.gone.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let file = self.depot.open(section, name)?;
        Ok(file.map(|file| {
            let shared = Arc::clone(&self.shared);
            Box::new(WatchedFile { file, at: 0, shared }) as Box<dyn ReadSeekSend>
        }))
    }

    fn list(&self, section: &Section) -> Result<Vec<String>, SourceError> {
        self.depot.list(section)
    }

    fn publishers(&self) -> Result<Vec<String>, SourceError> {
        self.depot.publishers()
    }

    fn describe(&self) -> String {
        self.depot.describe()
    }

    fn locate(&self, section: &Section, name: &str) -> PathBuf {
        self.depot.locate(section, name)
    }
}

impl Read for WatchedFile {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = |n: &AtomicUsize| {
            n.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                .is_ok()
        };
        if !count(&self.shared.good) && count(&self.shared.bad) {
            return Err(io::Error::other("the medium does not answer"));
        }
        let got = self.file.read(buf)?;
        self.shared.read.lock().unwrap().push((self.at, got));
        self.shared.bytes.fetch_add(got as u64, Ordering::Relaxed);
        self.at += got as u64;
        Ok(got)
    }
}

impl Seek for WatchedFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = self.file.seek(to)?;
        Ok(self.at)
    }
}

#[test]
fn every_byte_is_read_once_in_order() {
    let packed = Packed::new(tree(), &options());
    let watched = Watched::new(&packed);
    let index = packed.index();
    let report = extract_into(&watched, &packed.component, &index, 8, &mut Discard).unwrap();
    let mut end = 0;
    for (at, len) in watched.shared.read.lock().unwrap().iter() {
        assert_eq!(*at, end, "reads follow each other");
        end += *len as u64;
    }
    assert_eq!(end, packed.component.blob.size);
    assert_eq!(
        (report.bytes_read, report.frames),
        (index.frames_size(), index.frames().len() as u64)
    );
}

#[test]
fn frames_that_nobody_needs_are_not_read() {
    let packed = Packed::new(tree(), &options());
    let index = packed.index();
    let all = Seen::expected(&tree());
    let wanted = ["big", "big/twin", "many/150", "void-too", "naïve/日本語.txt"];
    let skip: Vec<String> = all
        .keys()
        .filter(|path| !wanted.contains(&path.as_str()))
        .cloned()
        .collect();
    for threads in [1, 4] {
        let watched = Watched::new(&packed);
        let mut seen = Seen::skipping(skip.clone());
        let report = extract_into(&watched, &packed.component, &index, threads, &mut seen).unwrap();
        let expected = all.iter().filter(|(path, _)| wanted.contains(&path.as_str()));
        assert!(seen.entries.iter().eq(expected), "{:?}", seen.entries.keys());
        // `big/twin` is five frames, the others lie in at most one each.
        assert!((5..=10).contains(&report.frames), "{report:?}");
        assert_eq!(watched.shared.bytes.load(Ordering::Relaxed), report.bytes_read);
        let kept: u64 = skip
            .iter()
            .filter_map(|path| index.content(path))
            .map(|(size, _)| size)
            .sum();
        assert_eq!(report.bytes_kept, kept);
    }
}

#[test]
fn nothing_is_read_when_everything_is_there() {
    let packed = Packed::new(tree(), &options());
    let watched = Watched::new(&packed);
    let mut seen = Seen::skipping(Seen::expected(&tree()).into_keys().collect());
    let report = extract_into(&watched, &packed.component, &packed.index(), 2, &mut seen).unwrap();
    assert_eq!(
        (seen.calls, report.frames, watched.shared.bytes.load(Ordering::Relaxed)),
        (0, 0, 0)
    );
}

#[test]
fn progress_ends_at_the_size_of_the_frames_whatever_was_skipped() {
    struct Sum(AtomicU64);
    impl Progress for Sum {
        fn add(&self, bytes: u64) {
            self.0.fetch_add(bytes, Ordering::Relaxed);
        }
    }
    let packed = Packed::new(tree(), &options());
    let index = packed.index();
    for skip in [
        vec![],
        vec!["big/same".to_owned(), "big/twin".to_owned(), "void".to_owned()],
    ] {
        let sum = Sum(0.into());
        let mut seen = Seen::skipping(skip);
        let options = ExtractOptions::default();
        let cancel = AtomicBool::new(false);
        read::extract(
            &packed.source(),
            &packed.component,
            &index,
            &options,
            &mut seen,
            &sum,
            &cancel,
        )
        .unwrap();
        assert_eq!(sum.0.into_inner(), index.frames_size());
    }
}

#[test]
fn a_read_that_fails_is_tried_again_and_given_up_after_three() {
    let packed = Packed::new(tree(), &options());
    let index = packed.index();
    let loose = Watched::new(&packed).fail(3, 3);
    let seen = extract_from(&loose, &packed.component, &index, 2).unwrap();
    assert_eq!(seen.entries, Seen::expected(&tree()));
    let dead = Watched::new(&packed).fail(3, 1000);
    let error = extract_from(&dead, &packed.component, &index, 2).unwrap_err();
    assert_eq!(error.kind(), Kind::Io);
    let ReadError::Io { path, offset, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(*path, packed.blobs().join(&packed.component.blob.name));
    assert!(*offset > 0);
    assert_eq!(
        1000 - dead.shared.bad.load(Ordering::Relaxed),
        4,
        "one try and three more"
    );
}

#[test]
fn a_medium_that_is_pulled_out_is_missing() {
    struct Pull(Arc<Shared>);
    impl TreeSink for Pull {
        fn dir(&mut self, _: &PackPath, _: u32) -> SinkResult {
            self.0.gone.store(true, Ordering::Relaxed);
            Ok(())
        }
        fn begin_file(&mut self, _: &PackPath, _: u32, _: u64, _: &Digest) -> SinkResult {
            Ok(())
        }
        fn data(&mut self, _: &[u8]) -> SinkResult {
            Ok(())
        }
        fn end_file(&mut self) -> SinkResult {
            Ok(())
        }
        fn same(&mut self, _: &PackPath, _: u32, _: &PackPath, _: &Digest, _: u64) -> SinkResult {
            Ok(())
        }
        fn link(&mut self, _: &PackPath, _: &str) -> SinkResult {
            Ok(())
        }
    }
    let entries = vec![file("dir/a", 0o644, &noise(1, 4 << 20))];
    let part_size = 100 << 10;
    let packed = Packed::new(entries, &BlobOptions { part_size, ..options() });
    let watched = Watched::new(&packed);
    let mut pull = Pull(Arc::clone(&watched.shared));
    let error = extract_into(&watched, &packed.component, &packed.index(), 2, &mut pull).unwrap_err();
    assert_eq!(error.kind(), Kind::MediumMissing, "{error:?}");
}

/// A receiver that waits at its first file, then looks how far the reader has come.
struct Slow {
    shared: Arc<Shared>,
    ahead: Option<u64>,
    fail: bool,
}

impl TreeSink for Slow {
    fn dir(&mut self, _: &PackPath, _: u32) -> SinkResult {
        Ok(())
    }

    fn begin_file(&mut self, _: &PackPath, _: u32, _: u64, _: &Digest) -> SinkResult {
        if self.ahead.is_none() {
            std::thread::sleep(Duration::from_millis(300));
            self.ahead = Some(self.shared.bytes.load(Ordering::Relaxed));
        }
        if self.fail {
            return Err(io::Error::from(io::ErrorKind::StorageFull).into());
        }
        Ok(())
    }

    fn data(&mut self, _: &[u8]) -> SinkResult {
        Ok(())
    }

    fn end_file(&mut self) -> SinkResult {
        Ok(())
    }

    fn same(&mut self, _: &PackPath, _: u32, _: &PackPath, _: &Digest, _: u64) -> SinkResult {
        Ok(())
    }

    fn link(&mut self, _: &PackPath, _: &str) -> SinkResult {
        Ok(())
    }
}

#[test]
fn the_reader_stays_within_its_budget_when_the_receiver_is_slow() {
    let packed = Packed::new(vec![file("a", 0o644, &noise(1, 8 << 20))], &options());
    let watched = Watched::new(&packed);
    let shared = Arc::clone(&watched.shared);
    let mut slow = Slow {
        shared,
        ahead: None,
        fail: false,
    };
    // `extract_into` allows 1 MiB, compressed and raw together; this does not compress.
    extract_into(&watched, &packed.component, &packed.index(), 8, &mut slow).unwrap();
    let ahead = slow.ahead.unwrap();
    assert!((100 << 10..=600 << 10).contains(&ahead), "{ahead} bytes read ahead");
}

#[test]
fn a_receiver_that_refuses_ends_the_work_with_its_own_error() {
    let packed = Packed::new(vec![file("a", 0o644, &noise(1, 8 << 20))], &options());
    let watched = Watched::new(&packed);
    let shared = Arc::clone(&watched.shared);
    let mut slow = Slow {
        shared,
        ahead: None,
        fail: true,
    };
    let error = extract_into(&watched, &packed.component, &packed.index(), 8, &mut slow).unwrap_err();
    assert_eq!(error.kind(), Kind::Sink);
    let ReadError::Sink { path, source, .. } = error else {
        panic!("not the receiver's error");
    };
    let cause = source.downcast_ref::<io::Error>().map(io::Error::kind);
    assert_eq!((path.as_str(), cause), ("a", Some(io::ErrorKind::StorageFull)));
    assert!(
        watched.shared.bytes.load(Ordering::Relaxed) < 2 << 20,
        "the rest is not read"
    );
}

#[test]
fn cancelling_ends_the_work_soon() {
    struct Cancel<'a>(&'a AtomicBool);
    impl Progress for Cancel<'_> {
        fn add(&self, _: u64) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let packed = Packed::new(vec![file("a", 0o644, &noise(1, 8 << 20))], &options());
    let index = packed.index();
    for threads in [1, 8] {
        let watched = Watched::new(&packed);
        let cancel = AtomicBool::new(false);
        let options = ExtractOptions {
            threads,
            queue_bytes: 1 << 20,
        };
        let progress = Cancel(&cancel);
        let outcome = read::extract(
            &watched,
            &packed.component,
            &index,
            &options,
            &mut Discard,
            &progress,
            &cancel,
        );
        assert_eq!(outcome.unwrap_err().kind(), Kind::Cancelled);
        assert!(watched.shared.bytes.load(Ordering::Relaxed) < 2 << 20);
    }
}

#[test]
fn one_frame_larger_than_the_budget_still_passes() {
    let packed = Packed::new(tree(), &options());
    let options = ExtractOptions {
        threads: 4,
        queue_bytes: 1,
    };
    let cancel = AtomicBool::new(false);
    let mut seen = Seen::default();
    let index = packed.index();
    read::extract(
        &packed.source(),
        &packed.component,
        &index,
        &options,
        &mut seen,
        &Unwatched,
        &cancel,
    )
    .unwrap();
    assert_eq!(seen.entries, Seen::expected(&tree()));
}

#[test]
fn skipping_is_asked_once_per_entry_before_anything_is_read() {
    struct Ask(Mutex<Vec<String>>, Arc<Shared>);
    impl TreeSink for Ask {
        fn skip(&self, entry: &Entry) -> bool {
            assert_eq!(self.1.bytes.load(Ordering::Relaxed), 0);
            self.0.lock().unwrap().push(entry.path().to_string());
            true
        }
        fn dir(&mut self, _: &PackPath, _: u32) -> SinkResult {
            Err("not wanted".into())
        }
        fn begin_file(&mut self, _: &PackPath, _: u32, _: u64, _: &Digest) -> SinkResult {
            Err("not wanted".into())
        }
        fn data(&mut self, _: &[u8]) -> SinkResult {
            Err("not wanted".into())
        }
        fn end_file(&mut self) -> SinkResult {
            Err("not wanted".into())
        }
        fn same(&mut self, _: &PackPath, _: u32, _: &PackPath, _: &Digest, _: u64) -> SinkResult {
            Err("not wanted".into())
        }
        fn link(&mut self, _: &PackPath, _: &str) -> SinkResult {
            Err("not wanted".into())
        }
    }
    let packed = Packed::new(tree(), &options());
    let watched = Watched::new(&packed);
    let mut ask = Ask(Mutex::default(), Arc::clone(&watched.shared));
    extract_into(&watched, &packed.component, &packed.index(), 2, &mut ask).unwrap();
    let mut expected: Vec<String> = Seen::expected(&tree()).into_keys().collect();
    expected.sort();
    assert_eq!(*ask.0.lock().unwrap(), expected);
}
