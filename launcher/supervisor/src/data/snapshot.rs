//! Owns the snapshot that a migration in place works on: shared blocks where the file system can, a copy elsewhere.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{DataError, disk::Disk};
use crate::{files::failed, platform};

/// What one file or directory costs beside its bytes, and the step in which bytes are given out.
const CLUSTER: u64 = 4096;
/// Stays free beside the copy: logs and documents of the launcher.
const MARGIN: u64 = 16 << 20;

/// What a directory holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Bytes on disk, each file rounded up.
    pub(crate) bytes: u64,
    largest: Option<(u64, PathBuf)>,
}

impl Extent {
    /// Measures `dir`.
    pub(crate) fn of(dir: &Path) -> Result<Self, DataError> {
        let mut extent = Self::default();
        extent.add(dir)?;
        Ok(extent)
    }

    fn add(&mut self, dir: &Path) -> Result<(), DataError> {
        for entry in fs::read_dir(dir).map_err(failed("list", dir))? {
            let entry = entry.map_err(failed("list", dir))?;
            let path = entry.path();
            let meta = entry.metadata().map_err(failed("look at", &path))?;
            self.bytes += CLUSTER;
            if meta.is_dir() {
                self.add(&path)?;
            } else if meta.is_file() {
                self.bytes += meta.len().next_multiple_of(CLUSTER);
                if self.largest.as_ref().is_none_or(|(len, _)| *len < meta.len()) {
                    self.largest = Some((meta.len(), path));
                }
            }
        }
        Ok(())
    }
}

/// Fills the empty directory `to` with what is in `from`. Whether there is room is known before the first byte is copied.
///
/// # Errors
/// [`DataError::Space`] if blocks cannot be shared and the volume has no room for a copy.
pub(super) fn take(from: &Path, to: &Path, disk: &dyn Disk) -> Result<(), DataError> {
    let extent = Extent::of(from)?;
    let shared = match &extent.largest {
        Some((len, path)) if *len > 0 => can_share(path, to, disk)?,
        _ => false,
    };
    if !shared {
        let free = platform::free_space(to).map_err(failed("ask for the free space of", to))?;
        let need = extent.bytes.saturating_add(MARGIN);
        if need > free {
            return Err(DataError::Space { need, free });
        }
    }
    copy(from, to, shared, disk)
}

/// Tries on the largest file: small ones may share where larger ones cannot, never the other way round.
fn can_share(file: &Path, to: &Path, disk: &dyn Disk) -> Result<bool, DataError> {
    let probe = to.join(".kojibox-probe");
    let shared = disk.clone_file(file, &probe)?;
    disk.remove_file(&probe)?;
    Ok(shared)
}

/// Links stay links; sockets and pipes belong to programs that have ended.
fn copy(from: &Path, to: &Path, shared: bool, disk: &dyn Disk) -> Result<(), DataError> {
    for entry in fs::read_dir(from).map_err(failed("list", from))? {
        let entry = entry.map_err(failed("list", from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(failed("look at", &source))?;
        if kind.is_dir() {
            disk.make_dir(&target)?;
            copy(&source, &target, shared, disk)?;
        } else if kind.is_symlink() {
            disk.copy_link(&source, &target)?;
        } else if kind.is_file() && !(shared && disk.clone_file(&source, &target)?) {
            disk.copy_file(&source, &target)?;
        }
    }
    Ok(())
}
