//! Owns the Windows side of private files: a new file takes the access list of its folder.
//!
//! *Limitations*: access lists are neither set nor judged here; keys belong into a folder of the profile, which others cannot read.

use std::{
    fs::{File, OpenOptions},
    io,
    path::Path,
};

/// Makes a new file; who may read it follows from its folder.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

/// Always none: Windows has no modes.
#[expect(clippy::unnecessary_wraps, reason = "same signature as the Unix twin")]
pub(crate) fn others_may_read(_file: &File) -> io::Result<Option<u32>> {
    Ok(None)
}
