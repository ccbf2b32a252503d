//! Owns what is made of several mutations: write-sync-publish, whole directories, copies; all against the trait.

use std::io::{ErrorKind, Read as _};

use kojibox_signing::{Digest, Hasher};

use super::{FileMode, Kind, Store, StoreError, unless_absent};
use crate::path::RootPath;

/// Bytes per read and write of a copy.
const PIECE: usize = 256 << 10;

/// Writes a new file whole, bytes durable; its name is not.
pub fn write_file(store: &dyn Store, path: &RootPath, bytes: &[u8], mode: FileMode) -> Result<(), StoreError> {
    let mut file = store.create_file(path)?;
    file.write(bytes)?;
    file.sync()?;
    file.finish(mode)
}

/// Makes `bytes` the content of `path`: written beside it, synced, renamed over it, directory synced.
///
/// Crash: a reader sees the old content or the new. What a stopped attempt left beside it is removed by the next one.
pub fn replace_file(store: &dyn Store, path: &RootPath, bytes: &[u8], mode: FileMode) -> Result<(), StoreError> {
    let beside = beside(path);
    unless_absent(store.remove_file(&beside))?;
    let written = write_file(store, &beside, bytes, mode).and_then(|()| store.replace(&beside, path));
    if let Err(error) = written {
        if !error.is_killed() {
            // The first error is the one that is told.
            drop(store.remove_file(&beside));
        }
        return Err(error);
    }
    store.sync_dir(&path.parent().unwrap_or(RootPath::ROOT))
}

/// Where [`replace_file`] writes before it publishes.
pub fn beside(path: &RootPath) -> RootPath {
    RootPath::own(format!("{path}.new"))
}

/// Makes `path` and what is missing above it; true if `path` was made now. Names are not durable yet.
pub fn create_dirs(store: &dyn Store, path: &RootPath) -> Result<bool, StoreError> {
    if path.is_root() || is_dir(store, path)? {
        return Ok(false);
    }
    if let Some(parent) = path.parent() {
        create_dirs(store, &parent)?;
    }
    match store.create_dir(path) {
        Ok(()) => Ok(true),
        // Another process that makes the same root was quicker; the lock comes after this.
        Err(error) if error.kind() == Some(ErrorKind::AlreadyExists) && is_dir(store, path)? => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_dir(store: &dyn Store, path: &RootPath) -> Result<bool, StoreError> {
    Ok(store.root().stat(path)?.is_some_and(|s| s.kind == Kind::Dir))
}

/// Removes `path` and everything below it, links not followed; true if there was anything. For our own trees only.
///
/// Crash: what is left is removed by the next call. Nothing is synced.
pub fn remove_tree(store: &dyn Store, path: &RootPath) -> Result<bool, StoreError> {
    let Some(stat) = store.root().stat(path)? else {
        return Ok(false);
    };
    if stat.kind != Kind::Dir {
        store.remove_file(path)?;
        return Ok(true);
    }
    for entry in store.root().list(path)? {
        let Some(below) = entry.name.ok().and_then(|name| path.join(&name).ok()) else {
            // Somebody else's, by its name; a directory that goes takes it along.
            store.remove_all(path, &entry.raw)?;
            continue;
        };
        if entry.kind == Kind::Dir {
            remove_tree(store, &below)?;
        } else {
            store.remove_file(&below)?;
        }
    }
    store.remove_dir(path)?;
    Ok(true)
}

/// Copies the file `from` to `to`, which does not exist, hashing what is copied. Bytes and name are not durable yet.
pub fn copy(store: &dyn Store, from: &RootPath, to: &RootPath, mode: FileMode) -> Result<Digest, StoreError> {
    let mut source = store.root().open_file(from)?;
    let mut target = store.create_file(to)?;
    let mut piece = vec![0; PIECE];
    let mut hasher = Hasher::new();
    loop {
        let n = store.root().named("read", from, source.read(&mut piece))?;
        if n == 0 {
            break;
        }
        hasher.update(&piece[..n]);
        target.write(&piece[..n])?;
    }
    target.finish(mode)?;
    Ok(hasher.finish())
}

/// Hashes the file at `path`; `None` if it is not there or not a regular file.
pub fn hash(root: &super::RootDir, path: &RootPath) -> Result<Option<(Digest, u64)>, StoreError> {
    if root.stat(path)?.is_none_or(|s| s.kind != Kind::File) {
        return Ok(None);
    }
    let mut file = root.open_file(path)?;
    let mut piece = vec![0; PIECE];
    let (mut hasher, mut len) = (Hasher::new(), 0);
    loop {
        let n = root.named("read", path, file.read(&mut piece))?;
        if n == 0 {
            return Ok(Some((hasher.finish(), len)));
        }
        hasher.update(&piece[..n]);
        len += n as u64;
    }
}
