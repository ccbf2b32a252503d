//! Owns [`Tree`]: files, folders and links of a component by path, before and after the steps. Bytes of archives lie in
//! one [`Spool`] file under numbers, so no name of an archive ever becomes a name on this machine.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Cursor, Read, Seek as _, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::error::{SourceError, failed};
use crate::interrupt::{self, Stoppable};

/// Most entries of one component.
pub(crate) const MAX_ENTRIES: usize = 1_000_000;

/// Most bytes of one component; little where archives are made by a fuzzer.
pub(crate) const MAX_BYTES: u64 = if cfg!(fuzzing) { 4 << 20 } else { 64 << 30 };

/// What a path is.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    Dir,
    File { exec: bool, content: Content },
    Link { target: String },
}

/// Where the bytes of a file are.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// A piece of a spool file.
    Spooled { spool: Arc<Path>, offset: u64, size: u64 },
    /// A file of the builder.
    Outside { path: PathBuf, size: u64 },
    /// Small text of a definition.
    Bytes(Arc<[u8]>),
}

impl Content {
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Spooled { size, .. } | Self::Outside { size, .. } => *size,
            Self::Bytes(bytes) => bytes.len() as u64,
        }
    }

    /// Opens the bytes for reading, which ends at Ctrl-C.
    pub(crate) fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        let at =
            |path: &Path, e: io::Error| io::Error::new(e.kind(), format!("could not read `{}`: {e}", path.display()));
        match self {
            Self::Spooled { spool, offset, size } => {
                let mut file = File::open(spool).map_err(|e| at(spool, e))?;
                file.seek(SeekFrom::Start(*offset)).map_err(|e| at(spool, e))?;
                Ok(Box::new(Stoppable(file.take(*size))))
            }
            Self::Outside { path, .. } => Ok(Box::new(Stoppable(File::open(path).map_err(|e| at(path, e))?))),
            Self::Bytes(bytes) => Ok(Box::new(Cursor::new(bytes.clone()))),
        }
    }

    /// The first `n` bytes, or all if there are fewer.
    pub(crate) fn head(&self, n: u64) -> io::Result<Vec<u8>> {
        let mut head = Vec::new();
        self.open()?.take(n).read_to_end(&mut head)?;
        Ok(head)
    }
}

/// Files, folders and links by path.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    nodes: BTreeMap<String, Node>,
}

impl Tree {
    /// Adds or replaces `path`; parents are implied.
    pub(crate) fn put(&mut self, path: String, node: Node) {
        self.nodes.insert(path, node);
    }

    pub(crate) fn get(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path)
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &Node)> {
        self.nodes.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&String, &mut Node)> {
        self.nodes.iter_mut()
    }

    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&str, &Node) -> bool) {
        self.nodes.retain(|path, node| keep(path, node));
    }

    /// True if `path` is a folder, written or implied.
    pub(crate) fn is_dir(&self, path: &str) -> bool {
        match self.nodes.get(path) {
            Some(node) => matches!(node, Node::Dir),
            None => self.has_below(path),
        }
    }

    /// True if something lies below `path`.
    pub(crate) fn has_below(&self, path: &str) -> bool {
        self.below(path).next().is_some()
    }

    pub(crate) fn below(&self, path: &str) -> impl Iterator<Item = (&String, &Node)> {
        let prefix = format!("{path}/");
        let start = prefix.clone();
        self.nodes
            .range(start..)
            .take_while(move |(p, _)| p.starts_with(&prefix))
    }

    /// Adds everything of `other` below `folder` (empty: at the top).
    pub(crate) fn graft(&mut self, folder: &str, other: Self) {
        for (path, node) in other.nodes {
            let path = if folder.is_empty() {
                path
            } else {
                format!("{folder}/{path}")
            };
            self.nodes.insert(path, node);
        }
    }

    /// The same nodes under new paths; None drops one.
    pub(crate) fn map_paths(self, mut new: impl FnMut(&str) -> Option<String>) -> Self {
        let nodes = self
            .nodes
            .into_iter()
            .filter_map(|(path, node)| Some((new(&path)?, node)));
        Self { nodes: nodes.collect() }
    }
}

/// A file that takes the bytes of one archive, one after the other.
pub(crate) struct Spool {
    path: Arc<Path>,
    out: io::BufWriter<File>,
    at: u64,
}

impl Spool {
    /// Makes a new spool file in `scratch`.
    pub(crate) fn new(scratch: &Path) -> Result<Self, SourceError> {
        let made = tempfile::Builder::new().prefix("spool-").tempfile_in(scratch);
        let (file, path) = made
            .and_then(|temp| temp.keep().map_err(|e| e.error))
            .map_err(failed("write in", scratch))?;
        Ok(Self {
            path: path.into(),
            out: io::BufWriter::with_capacity(1 << 18, file),
            at: 0,
        })
    }

    /// Takes everything that `reader` gives, at most `limit` bytes, until Ctrl-C. Errors of the reader are told from ours.
    pub(crate) fn take(&mut self, reader: &mut dyn Read, limit: u64) -> Result<Content, Taken> {
        let offset = self.at;
        let mut buf = vec![0; 1 << 16];
        loop {
            interrupt::check().map_err(|e| Taken::Here(e.into()))?;
            let n = match reader.read(&mut buf) {
                Ok(0) => break,
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(Taken::Reader(e)),
            };
            if self.at + n as u64 > MAX_BYTES || self.at - offset + n as u64 > limit {
                return Err(Taken::TooMuch);
            }
            let write = self.out.write_all(&buf[..n]);
            write.map_err(|e| Taken::Here(failed("write", &self.path)(e)))?;
            self.at += n as u64;
        }
        Ok(Content::Spooled {
            spool: Arc::clone(&self.path),
            offset,
            size: self.at - offset,
        })
    }

    /// Writes out what is still in memory; before it, contents must not be read.
    pub(crate) fn finish(mut self) -> Result<(), SourceError> {
        self.out.flush().map_err(failed("write", &self.path))
    }
}

/// Why a spool did not take something.
pub(crate) enum Taken {
    Reader(io::Error),
    TooMuch,
    Here(SourceError),
}
