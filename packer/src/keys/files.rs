//! Owns the small steps on key and trust files: bounded reading, writing that never replaces, public keys from either file.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use kojibox_signing::PublicKey;
use zeroize::Zeroizing;

use super::{KeyError, KeyFile, platform};

/// Longest key, signature or trust file that is read.
pub(super) const LIMIT: u64 = 256 * 1024;

pub(super) fn io_error(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeyError {
    let path = path.to_owned();
    move |source| KeyError::Io { verb, path, source }
}

/// Reads an open file of at most [`LIMIT`] bytes.
pub(super) fn read_open(file: File, path: &Path, limit: u64) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let mut bytes = Zeroizing::new(Vec::new());
    let read = file.take(limit + 1).read_to_end(&mut bytes);
    let read = read.map_err(io_error("read", path))?;
    if u64::try_from(read).is_ok_and(|read| read > limit) {
        let path = path.to_owned();
        return Err(KeyError::TooLarge { path, limit });
    }
    Ok(bytes)
}

pub(super) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, KeyError> {
    let file = File::open(path).map_err(io_error("open", path))?;
    read_open(file, path, limit).map(|bytes| bytes.to_vec())
}

/// Who may read a new file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Readers {
    Anyone,
    Owner,
}

/// Writes a new file durably; one that is there is never touched. What could not be written is removed again.
pub(super) fn write_new(path: &Path, bytes: &[u8], readers: Readers) -> Result<(), KeyError> {
    let created = match readers {
        Readers::Owner => platform::create_private(path),
        Readers::Anyone => OpenOptions::new().write(true).create_new(true).open(path),
    };
    let mut file = created.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => KeyError::Exists(path.to_owned()),
        _ => io_error("create", path)(source),
    })?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        drop(file);
        drop(fs::remove_file(path));
    }
    written.map_err(io_error("write", path))
}

/// Replaces a draft: written beside its place, then renamed.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), KeyError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".partial");
    let beside = PathBuf::from(beside);
    drop(fs::remove_file(&beside));
    write_new(&beside, bytes, Readers::Anyone)?;
    fs::rename(&beside, path).map_err(io_error("write", path))
}

/// Makes a folder and those above it.
pub(super) fn make_dir(dir: &Path) -> Result<(), KeyError> {
    fs::create_dir_all(dir).map_err(io_error("make the folder", dir))
}

/// Fails if any of `paths` exists, so that nothing is written before everything can be.
pub(super) fn must_be_free(paths: &[PathBuf]) -> Result<(), KeyError> {
    match paths.iter().find(|path| path.symlink_metadata().is_ok()) {
        Some(path) => Err(KeyError::Exists(path.clone())),
        None => Ok(()),
    }
}

/// Reads the public key from a `.pub` file or, without a passphrase, from a private key file; with its comment.
///
/// # Errors
/// [`KeyError`] if it is neither.
pub fn read_public(path: &Path) -> Result<(PublicKey, String), KeyError> {
    let bytes = Zeroizing::new(read(path, LIMIT)?);
    if bytes.starts_with(b"-----BEGIN") {
        let file = KeyFile::parse(path, &bytes)?;
        return Ok((file.public_key()?, file.comment().to_owned()));
    }
    let text = String::from_utf8_lossy(&bytes);
    let line = text.trim();
    let public = PublicKey::from_openssh(line).map_err(|source| KeyError::NotAPublicKey {
        path: path.to_owned(),
        source,
    })?;
    let comment = line.splitn(3, ' ').nth(2).unwrap_or_default();
    Ok((public, comment.trim().to_owned()))
}
