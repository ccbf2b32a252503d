//! Owns what the tests share: trees, depots made of them, and a receiver that keeps everything.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

use kojibox_packs::{
    Target, Unwatched,
    index::{Entry, Index},
    manifest::{Component, Upstream},
    names,
    parity::{Layout, ParityWriter},
    path::PackPath,
    read::{self, Discard, ExtractOptions, ExtractReport, ReadError, SinkResult, TreeSink},
    source::{BlobSource, Depot},
    write::{BlobOptions, DirOutput, InputEntry, WrittenBlob, write_blob},
};
use kojibox_signing::{Digest, Verified};
use tempfile::TempDir;

pub(crate) fn path(text: &str) -> PackPath {
    PackPath::new(text).unwrap()
}

/// Bytes that do not compress and differ by `seed`.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(len);
    out
}

pub(crate) fn file(at: &str, mode: u32, bytes: &[u8]) -> InputEntry {
    InputEntry::bytes(path(at), mode, bytes)
}

/// Frames of 64 KiB, so that a small tree has many.
pub(crate) fn options() -> BlobOptions {
    BlobOptions {
        level: 3,
        frame_max: 64 << 10,
        threads: 2,
        ..BlobOptions::default()
    }
}

/// A tree with everything that the format has, in 30 frames or so.
pub(crate) fn tree() -> Vec<InputEntry> {
    let big = noise(1, 300_000);
    let mut twin = big.clone();
    twin[250_000] ^= 1;
    let mut out = vec![
        InputEntry::dir(path("empty")),
        file("bin/run", 0o755, b"#!/bin/sh\necho hello\n"),
        file("bin/run-copy", 0o755, b"#!/bin/sh\necho hello\n"),
        file("bin/run-plain", 0o644, b"#!/bin/sh\necho hello\n"),
        InputEntry::link(path("bin/alias"), "run"),
        InputEntry::link(path("deep/a/b/up"), "../../../bin/run"),
        file("void", 0o644, b""),
        file("void-too", 0o644, b""),
        file("big/one", 0o644, &big),
        file("big/same", 0o644, &big),
        file("big/twin", 0o644, &twin),
        file("big/zeros", 0o755, &[0; 200_000]),
        file("big/exact", 0o644, &noise(2, 2 * (64 << 10))),
        file("naïve/日本語.txt", 0o644, "Größe\n".as_bytes()),
        file(&format!("{}/{}", "long".repeat(30), "name".repeat(40)), 0o644, b"long"),
    ];
    out.extend((0..200).map(|n| {
        file(
            &format!("many/{n:03}"),
            0o644,
            &noise(n, usize::try_from(n).unwrap() * 9),
        )
    }));
    out
}

/// A depot with one component, and what was written.
pub(crate) struct Packed {
    pub(crate) dir: TempDir,
    pub(crate) component: Component,
    pub(crate) written: WrittenBlob,
    /// File names below `blobs`.
    pub(crate) parts: Vec<String>,
}

impl Packed {
    pub(crate) fn new(entries: Vec<InputEntry>, options: &BlobOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let blobs = dir.path().join("blobs");
        fs::create_dir_all(&blobs).unwrap();
        fs::create_dir_all(dir.path().join("packs")).unwrap();
        let mut out = DirOutput::new(&blobs, "test");
        let written = write_blob(entries, options, &mut out, &Unwatched).unwrap();
        let component = component(&written);
        let parts = out.publish(&component.blob.name).unwrap();
        fs::write(blobs.join(&component.index.name), &written.index_bytes).unwrap();
        Self {
            dir,
            component,
            written,
            parts,
        }
    }

    /// Writes parity in blocks of `block` bytes beside the blob; gives the file.
    pub(crate) fn add_parity(&self, parity: u32, block: u64) -> PathBuf {
        let layout = Layout::new(32, parity, block, self.component.blob.size).unwrap();
        self.add_parity_of(layout)
    }

    pub(crate) fn add_parity_of(&self, layout: Layout) -> PathBuf {
        let dir = self.dir.path().join("parity");
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join(names::parity(&self.component.blob.name));
        let file = fs::File::create(&path).unwrap();
        let mut out = ParityWriter::new(file, layout, self.component.blob.sha256, 2).unwrap();
        for part in &self.parts {
            out.write_all(&fs::read(self.blobs().join(part)).unwrap()).unwrap();
        }
        out.finish().unwrap();
        path
    }

    /// Overwrites `len` bytes at `offset` of the blob, in whatever parts they lie.
    pub(crate) fn spoil(&self, offset: u64, len: u64) {
        let mut start = 0;
        for name in &self.parts {
            let path = self.blobs().join(name);
            let mut bytes = fs::read(&path).unwrap();
            let end = start + bytes.len() as u64;
            for at in offset.max(start)..(offset + len).min(end) {
                bytes[usize::try_from(at - start).unwrap()] ^= 0x55;
            }
            fs::write(&path, bytes).unwrap();
            start = end;
        }
    }

    pub(crate) fn source(&self) -> Depot {
        Depot::open(self.dir.path()).unwrap()
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.dir.path().join("blobs")
    }

    pub(crate) fn index(&self) -> Verified<Index> {
        read::read_index(&self.source(), &self.component).unwrap()
    }

    /// Extracts with two threads into memory.
    pub(crate) fn extract(&self) -> Result<Seen, ReadError> {
        let index = read::read_index(&self.source(), &self.component)?;
        extract_from(&self.source(), &self.component, &index, 2)
    }
}

pub(crate) fn extract_from(
    source: &dyn BlobSource,
    component: &Component,
    index: &Index,
    threads: usize,
) -> Result<Seen, ReadError> {
    let mut seen = Seen::default();
    extract_into(source, component, index, threads, &mut seen)?;
    assert!(seen.open.is_none(), "every file was ended");
    Ok(seen)
}

pub(crate) fn extract_into(
    source: &dyn BlobSource,
    component: &Component,
    index: &Index,
    threads: usize,
    sink: &mut dyn TreeSink,
) -> Result<ExtractReport, ReadError> {
    let options = ExtractOptions {
        threads,
        queue_bytes: 1 << 20,
    };
    read::extract(
        source,
        component,
        index,
        &options,
        sink,
        &Unwatched,
        &AtomicBool::new(false),
    )
}

/// Verifies a blob and says how it ends.
pub(crate) fn verify(source: &dyn BlobSource, component: &Component) -> Result<ExtractReport, ReadError> {
    let index = read::read_index(source, component)?;
    extract_into(source, component, &index, 2, &mut Discard)
}

/// What the manifest says about a blob.
pub(crate) fn component(written: &WrittenBlob) -> Component {
    let (_, blob, index) = written.refs("test", "1.0.0", Target::Any);
    Component {
        id: "test".to_owned(),
        title: [].into(),
        version: "1.0.0".to_owned(),
        license: "MIT".to_owned(),
        target: "any".to_owned(),
        upstream: Upstream {
            source: "path".to_owned(),
            sha256: Digest::of(b""),
            signature: None,
        },
        blob,
        index,
        tree_sha256: written.tree_sha256,
        installed_size: written.installed_size,
        n_files: written.n_files,
        max_path_len: written.max_path_len,
        runtime: None,
        needs: vec![],
        requires: vec![],
        conflicts: vec![],
        default: true,
        data_format: None,
    }
}

/// A tree in memory: what a receiver got.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) entries: BTreeMap<String, What>,
    pub(crate) calls: usize,
    /// Paths that are skipped.
    skip: Vec<String>,
    open: Option<(String, u32, u64, Vec<u8>)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Dir,
    File(u32, Arc<[u8]>),
    Link(String),
}

impl Seen {
    /// Does not want what is at these paths.
    pub(crate) fn skipping(skip: Vec<String>) -> Self {
        Self {
            skip,
            ..Self::default()
        }
    }

    /// What `entries` should give.
    pub(crate) fn expected(entries: &[InputEntry]) -> BTreeMap<String, What> {
        use kojibox_packs::write::InputKind;
        let mut out = BTreeMap::new();
        for entry in entries {
            let mut at = entry.path.as_str();
            while let Some((parent, _)) = at.rsplit_once('/') {
                out.insert(parent.to_owned(), What::Dir);
                at = parent;
            }
            let what = match &entry.kind {
                InputKind::Dir { .. } => What::Dir,
                InputKind::Link { target } => What::Link(target.clone()),
                InputKind::File { mode, open, .. } => {
                    let mut bytes = Vec::new();
                    open().unwrap().read_to_end(&mut bytes).unwrap();
                    What::File(*mode, bytes.into())
                }
            };
            out.insert(entry.path.to_string(), what);
        }
        out
    }

    fn put(&mut self, path: &str, what: What) {
        self.calls += 1;
        if let Some((parent, _)) = path.rsplit_once('/')
            && self.skip.is_empty()
        {
            assert_eq!(
                self.entries.get(parent),
                Some(&What::Dir),
                "the parent of `{path}` comes first"
            );
        }
        assert_eq!(self.entries.insert(path.to_owned(), what), None, "`{path}` comes once");
    }
}

impl TreeSink for Seen {
    fn skip(&self, entry: &Entry) -> bool {
        self.skip.iter().any(|skip| **skip == **entry.path())
    }

    fn dir(&mut self, path: &PackPath, mode: u32) -> SinkResult {
        assert_eq!(mode, 0o755);
        self.put(path, What::Dir);
        Ok(())
    }

    fn begin_file(&mut self, path: &PackPath, mode: u32, size: u64, _: &Digest) -> SinkResult {
        assert!(self.open.is_none());
        self.open = Some((path.to_string(), mode, size, Vec::new()));
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> SinkResult {
        self.open.as_mut().unwrap().3.extend_from_slice(bytes);
        Ok(())
    }

    fn end_file(&mut self) -> SinkResult {
        let (path, mode, size, bytes) = self.open.take().unwrap();
        assert_eq!(bytes.len() as u64, size);
        self.put(&path, What::File(mode, bytes.into()));
        Ok(())
    }

    fn same(&mut self, path: &PackPath, mode: u32, first: &PackPath, sha256: &Digest, size: u64) -> SinkResult {
        let Some(What::File(first_mode, bytes)) = self.entries.get(first.as_str()).cloned() else {
            return Err(format!("`{first}` was no file before").into());
        };
        assert_eq!(
            (first_mode, Digest::of(&bytes), bytes.len() as u64),
            (mode, *sha256, size)
        );
        self.put(path, What::File(mode, bytes));
        Ok(())
    }

    fn link(&mut self, path: &PackPath, target: &str) -> SinkResult {
        self.put(path, What::Link(target.to_owned()));
        Ok(())
    }
}

/// Flips one bit of a file.
pub(crate) fn flip(file: &Path, at: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[at] ^= 0x10;
    fs::write(file, bytes).unwrap();
}

/// True if this machine has not all of the stock `tools` that a test asks: then it is left out, which is told, or a failure
/// where everything must be there (`.ci/run`).
pub(crate) fn lacks(tools: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has = |tool: &&&str| {
        let name = format!("{tool}{}", std::env::consts::EXE_SUFFIX);
        std::env::split_paths(&path).any(|folder| folder.join(&name).is_file())
    };
    match tools.iter().find(|tool| !has(tool)) {
        None => false,
        Some(tool) => {
            left_out(&format!("there is no `{tool}`"));
            true
        }
    }
}

/// Tells why a test is left out; fails where none may be.
#[expect(clippy::print_stderr, reason = "what is left out is told")]
fn left_out(why: &str) {
    let all = std::env::var_os("NEXTEST_PROFILE").is_some_and(|profile| profile == "ci");
    assert!(!all, "{why}; run `.ci/run setup` as root");
    eprintln!("left out: {why}");
}
