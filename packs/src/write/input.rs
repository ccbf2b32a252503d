//! Owns [`InputEntry`]: what a blob is made from.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, Read},
    sync::Arc,
};

use super::WriteError;
use crate::{
    limits,
    path::{PackPath, Tree},
};

/// Opens an input file for its one read.
pub type OpenFile = Arc<dyn Fn() -> io::Result<Box<dyn Read + Send>> + Send + Sync>;

/// One thing to put into a blob.
#[derive(Clone, Debug)]
pub struct InputEntry {
    /// Where it will be.
    pub path: PackPath,
    /// What it is.
    pub kind: InputKind,
}

/// What an input is.
#[derive(Clone)]
pub enum InputKind {
    /// A directory.
    Dir {
        /// 0755.
        mode: u32,
    },
    /// A file.
    File {
        /// 0644 or 0755.
        mode: u32,
        /// Bytes; a file that has another size when it is read is an error.
        size: u64,
        /// Opens it.
        open: OpenFile,
    },
    /// A relative link that stays in the tree.
    Link {
        /// What it points to, from the directory it is in.
        target: String,
    },
}

impl fmt::Debug for InputKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dir { mode } => write!(f, "Dir({mode:04o})"),
            Self::File { mode, size, .. } => write!(f, "File({mode:04o}, {size} bytes)"),
            Self::Link { target } => write!(f, "Link({target:?})"),
        }
    }
}

impl InputEntry {
    /// A directory.
    pub fn dir(path: PackPath) -> Self {
        let kind = InputKind::Dir { mode: 0o755 };
        Self { path, kind }
    }

    /// A file with these bytes.
    pub fn bytes(path: PackPath, mode: u32, bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes: Arc<[u8]> = bytes.into();
        let size = bytes.len() as u64;
        let open: OpenFile = Arc::new(move || Ok(Box::new(io::Cursor::new(Arc::clone(&bytes)))));
        let kind = InputKind::File { mode, size, open };
        Self { path, kind }
    }

    /// A file that is read from the file system.
    pub fn file(path: PackPath, mode: u32, size: u64, at: std::path::PathBuf) -> Self {
        let open: OpenFile = Arc::new(move || Ok(Box::new(std::fs::File::open(&at)?)));
        let kind = InputKind::File { mode, size, open };
        Self { path, kind }
    }

    /// A link.
    pub fn link(path: PackPath, target: impl Into<String>) -> Self {
        let target = target.into();
        let kind = InputKind::Link { target };
        Self { path, kind }
    }
}

/// Sorts, adds implied directories and checks everything that can be checked before a byte is read.
pub(super) fn prepare(entries: Vec<InputEntry>) -> Result<Vec<InputEntry>, WriteError> {
    let mut sorted = entries;
    sorted.sort_by(|a, b| a.path.cmp(&b.path));
    let mut implied = BTreeMap::new();
    for entry in &sorted {
        let mut at = entry.path.as_str();
        while let Some((parent, _)) = at.rsplit_once('/') {
            at = parent;
            let absent = sorted.binary_search_by(|e| e.path.as_str().cmp(parent)).is_err();
            if !absent || implied.contains_key(parent) {
                break;
            }
            implied.insert(parent.to_owned(), InputEntry::dir(PackPath::new(parent)?));
        }
    }
    if !implied.is_empty() {
        sorted.extend(implied.into_values());
        sorted.sort_by(|a, b| a.path.cmp(&b.path));
    }
    if sorted.len() as u64 > limits::ENTRIES {
        return Err(WriteError::Limit {
            what: "entries",
            most: limits::ENTRIES,
        });
    }
    check(&sorted)?;
    Ok(sorted)
}

fn check(entries: &[InputEntry]) -> Result<(), WriteError> {
    let mut tree = Tree::new();
    let mut total = 0_u64;
    for entry in entries {
        let mode = match &entry.kind {
            InputKind::Dir { mode: 0o755 }
            | InputKind::File {
                mode: 0o644 | 0o755, ..
            } => None,
            InputKind::Dir { mode } | InputKind::File { mode, .. } => Some(*mode),
            InputKind::Link { target } => {
                entry.path.check_link(target)?;
                None
            }
        };
        if let Some(mode) = mode {
            let path = entry.path.to_string();
            return Err(WriteError::Mode { path, mode });
        }
        if let InputKind::File { size, .. } = entry.kind {
            // Headers take at most 4 KiB per entry, so half the limit leaves room for all of them.
            total = total.saturating_add(size);
        }
        tree.add(&entry.path, matches!(entry.kind, InputKind::Dir { .. }))?;
    }
    if total > limits::BLOB / 2 {
        return Err(WriteError::Limit {
            what: "bytes of input",
            most: limits::BLOB / 2,
        });
    }
    Ok(())
}
