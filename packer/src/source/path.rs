//! Owns folders and files of the builder.

use std::path::Path;

use kojibox_signing::{Digest, Hasher};
use walkdir::WalkDir;

use super::{
    error::SourceError,
    platform,
    tree::{Content, MAX_ENTRIES, Node, Tree},
    wheel::hash,
};
use crate::interrupt;

/// Reads the folder or file `from`; links are kept as links.
pub(super) fn read(from: &Path) -> Result<Tree, SourceError> {
    let mut tree = Tree::default();
    let walk = WalkDir::new(from).follow_root_links(true).follow_links(false);
    for entry in walk {
        interrupt::check()?;
        let entry = entry.map_err(|e| {
            let path = e.path().unwrap_or(from).to_owned();
            SourceError::Io {
                verb: "read",
                path,
                source: e.into(),
            }
        })?;
        let relative = entry.path().strip_prefix(from).expect("a walk stays below its start");
        let inner = match relative.as_os_str().is_empty() {
            true if entry.path().is_dir() => continue,
            true => Path::new(from.file_name().unwrap_or_default()),
            false => relative,
        };
        if tree.len() >= MAX_ENTRIES {
            let reason = format!("the folder has more than {MAX_ENTRIES} entries");
            return Err(refused(&inner.to_string_lossy(), &reason));
        }
        let node = node(entry.path(), inner)?;
        tree.put(slashes(inner)?, node);
    }
    Ok(tree)
}

fn refused(path: &str, reason: &str) -> SourceError {
    SourceError::Entry {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}

fn slashes(path: &Path) -> Result<String, SourceError> {
    let segments: Option<Vec<_>> = path.iter().map(std::ffi::OsStr::to_str).collect();
    let segments = segments.ok_or_else(|| refused(&path.to_string_lossy(), "its name is not UTF-8"))?;
    Ok(segments.join("/"))
}

fn node(path: &Path, inner: &Path) -> Result<Node, SourceError> {
    let io = |source| SourceError::Io {
        verb: "read",
        path: path.to_owned(),
        source,
    };
    let metadata = path.symlink_metadata().map_err(io)?;
    let metadata = match inner.parent() {
        // The start itself may be a link.
        Some(parent)
            if parent.as_os_str().is_empty() && path.file_name() == inner.file_name() && !metadata.is_symlink() =>
        {
            metadata
        }
        _ => metadata,
    };
    if metadata.is_dir() {
        return Ok(Node::Dir);
    }
    if metadata.is_symlink() {
        let target = path.read_link().map_err(io)?;
        return Ok(Node::Link {
            target: slashes(&target)?,
        });
    }
    if !metadata.is_file() {
        return Err(refused(&inner.to_string_lossy(), "it is neither file, folder nor link"));
    }
    Ok(Node::File {
        exec: platform::is_executable(path, &metadata),
        content: Content::Outside {
            path: path.to_owned(),
            size: metadata.len(),
        },
    })
}

/// One digest over paths and bytes of a tree that no lock pins.
pub(super) fn digest(tree: &Tree) -> Result<Digest, SourceError> {
    let mut hasher = Hasher::new();
    for (path, node) in tree.iter() {
        let line = match node {
            Node::Dir => format!("dir {path}\n"),
            Node::Link { target } => format!("link {target} {path}\n"),
            Node::File { exec, content } => {
                let digest = hash(content).map_err(|e| SourceError::Entry {
                    path: path.clone(),
                    reason: e.to_string(),
                })?;
                format!("file {} {digest} {path}\n", if *exec { "x" } else { "-" })
            }
        };
        hasher.update(line.as_bytes());
    }
    Ok(hasher.finish())
}
