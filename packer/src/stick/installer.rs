//! Owns the installer on a stick: found, freed of an old trailer, given the trust root where a trailer may stand.

use std::{
    fs,
    path::{Path, PathBuf},
};

use kojibox_packs::{Os, Target, names};
use kojibox_signing::embedded;

use super::StickError;
use crate::{
    depot::{Chain, Pending, PlaceError, io_error},
    platform,
    tools::{Program, Tools},
};

/// An installer that goes onto the stick.
#[derive(Clone, Debug)]
pub(super) struct Installer {
    /// File name at the top of the stick.
    pub(super) name: String,
    /// The program, with the trust root appended where that is possible.
    pub(super) bytes: Vec<u8>,
    /// It carries the trust root.
    pub(super) trusted: bool,
}

/// Reads the installer for `target` and appends the roots of `trust`.
///
/// Not on macOS: bytes after a signed program make its signature invalid, so a person compares the fingerprint there.
pub(super) fn read(tools: &Tools, target: Target, trust: Option<&Chain>) -> Result<Installer, StickError> {
    let path = tools
        .find(Program::Installer, target)
        .map_err(|source| StickError::Tool {
            target: target.to_string(),
            source,
        })?;
    let mut bytes = fs::read(&path).map_err(io_error("read", &path))?;
    let embed = |source| StickError::Embed {
        path: path.clone(),
        source,
    };
    let tail = bytes.len().saturating_sub(embedded::MAX_TRAILER);
    let old = embedded::len(&bytes[tail..]).map_err(embed)?;
    bytes.truncate(bytes.len() - old);
    let trust = trust.filter(|_| target.os() != Some(Os::Macos));
    if let Some(chain) = trust {
        bytes.extend(embedded::append(chain.documents()).map_err(embed)?);
    }
    Ok(Installer {
        name: names::installer(target),
        bytes,
        trusted: trust.is_some(),
    })
}

/// Places the program; one that is there with the same bytes stays.
pub(super) fn place(dir: &Path, installer: &Installer) -> Result<bool, PlaceError> {
    let to: PathBuf = dir.join(&installer.name);
    if fs::read(&to).is_ok_and(|old| old == installer.bytes) {
        return Ok(false);
    }
    let mut pending = Pending::create(dir, &installer.name)?;
    pending.write(&installer.bytes)?;
    platform::make_executable(pending.file()).map_err(io_error("make executable", &to))?;
    pending.publish(&to)?;
    Ok(true)
}
