//! Owns the memory of launchers that did not work here: `state/launcher.json`. They are not tried again unless a person says so.

use kojibox_signing::Digest;
use kojibox_state::{InstallRoot, LockedRoot, RootPath, doc, doc::Versioned};
use serde::{Deserialize, Serialize};

use super::UpdateError;

/// `state/launcher.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Memory {
    schema: String,
    refused: Vec<Refused>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Refused {
    version: String,
    tree_sha256: Digest,
    /// RFC 3339, UTC.
    at: String,
    reason: String,
}

impl Versioned for Memory {
    const SCHEMA: &'static str = "kojibox.launcher/1";
}

fn place() -> Result<RootPath, UpdateError> {
    Ok(RootPath::new("state/launcher.json")?)
}

fn read(root: &InstallRoot) -> Result<Memory, UpdateError> {
    let empty = Memory {
        schema: Memory::SCHEMA.to_owned(),
        refused: Vec::new(),
    };
    Ok(doc::read(root.dir(), &place()?)?.unwrap_or(empty))
}

/// Why this tree was refused, if it was.
pub(super) fn reason(root: &InstallRoot, tree: &Digest) -> Result<Option<String>, UpdateError> {
    let found = read(root)?.refused.into_iter().find(|r| r.tree_sha256 == *tree);
    Ok(found.map(|r| format!("{} ({})", r.reason, r.at)))
}

/// Forgets that this tree was refused.
pub(super) fn forget(locked: &LockedRoot, tree: &Digest) -> Result<(), UpdateError> {
    let mut memory = read(locked.root())?;
    let before = memory.refused.len();
    memory.refused.retain(|r| r.tree_sha256 != *tree);
    if memory.refused.len() == before {
        return Ok(());
    }
    Ok(doc::replace(locked.store(), &place()?, &memory)?)
}

/// Remembers a launcher that did not work.
pub(super) fn remember(
    locked: &LockedRoot,
    version: &str,
    tree: Digest,
    at: &str,
    reason: &str,
) -> Result<(), UpdateError> {
    let mut memory = read(locked.root())?;
    memory.refused.retain(|r| r.tree_sha256 != tree);
    memory.refused.push(Refused {
        version: version.to_owned(),
        tree_sha256: tree,
        at: at.to_owned(),
        reason: reason.to_owned(),
    });
    Ok(doc::replace(locked.store(), &place()?, &memory)?)
}
