//! Owns what can be placed in a staged tree without the medium: files of an interrupted attempt, files of installed trees.
//!
//! Nothing is believed because of its name: every file is hashed before it counts, and one that was cut short counts as
//! far as whole frames prove it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use kojibox_packs::{
    index::{Entry, Index},
    read::{Start, verified_start},
};
use kojibox_signing::Digest;
use kojibox_state::{
    RootPath, Store, StoreError,
    layout::place,
    records::ComponentRecord,
    store::{FileMode, Kind, compose},
};

use super::{
    error::Cause,
    hashing::{Hashed, Job, hash_all},
    tx::Tx,
};

/// What is in a staged tree before the medium is read.
#[derive(Default)]
pub(super) struct Placed {
    /// Paths that are as the index says.
    pub(super) have: BTreeSet<String>,
    /// Files of which the first bytes are there, verified frame by frame.
    pub(super) starts: BTreeMap<String, Start>,
    /// Bytes from an interrupted attempt.
    pub(super) resumed: u64,
    /// Bytes from installed trees.
    pub(super) reused: u64,
}

impl Placed {
    /// True if the file at `path` is there, whole or in part.
    fn is_there(&self, path: &str) -> bool {
        self.have.contains(path) || self.starts.contains_key(path)
    }
}

/// The mode of an installed file.
pub(super) fn file_mode(mode: u32) -> FileMode {
    if mode & 0o100 == 0 {
        FileMode::ReadOnly
    } else {
        FileMode::Program
    }
}

/// Brings the tree at `top` as far as it goes without the medium; all its directories exist afterwards.
pub(super) fn place(tx: &Tx<'_>, index: &Index, top: &RootPath, donors: &[ComponentRecord]) -> Result<Placed, Cause> {
    let mut placed = Placed::default();
    resume(tx, index, top, &mut placed)?;
    compose::create_dirs(tx.store, top)?;
    for entry in index.entries() {
        if let Entry::Dir { path, .. } = entry
            && !placed.have.contains(path.as_str())
        {
            tx.store.create_dir(&top.join(path)?)?;
            placed.have.insert(path.to_string());
        }
    }
    reuse(tx, index, top, donors, &mut placed)?;
    Ok(placed)
}

/// Keeps what an interrupted attempt left and is right; removes the rest.
fn resume(tx: &Tx<'_>, index: &Index, top: &RootPath, placed: &mut Placed) -> Result<(), Cause> {
    let root = tx.root.dir();
    let (mut jobs, mut files) = (Vec::new(), Vec::new());
    let mut todo = vec![(top.clone(), String::new())];
    while let Some((dir, prefix)) = todo.pop() {
        for listed in root.list(&dir)? {
            let Some(below) = listed.name.ok().and_then(|name| dir.join(&name).ok()) else {
                tx.store.remove_all(&dir, &listed.raw)?;
                continue;
            };
            let path = format!("{prefix}{}", below.name());
            match (index.get(&path), listed.kind) {
                (Some(Entry::Dir { .. }), Kind::Dir) => {
                    todo.push((below, format!("{path}/")));
                    placed.have.insert(path);
                }
                (Some(Entry::Link { target, .. }), Kind::Link) if root.read_link(&below)?.as_ref() == Some(target) => {
                    placed.have.insert(path);
                }
                (Some(Entry::File { mode, .. } | Entry::Same { mode, .. }), Kind::File) => {
                    let (size, sha256) = content(index, &path);
                    if root.stat(&below)?.is_some_and(|s| s.len < size) {
                        resume_cut(tx, index, &below, path, placed)?;
                        continue;
                    }
                    jobs.push(Job {
                        path: below,
                        sha256,
                        size,
                    });
                    files.push((path, size, *mode));
                }
                _ => {
                    compose::remove_tree(tx.store, &below)?;
                }
            }
        }
    }
    let hashed = hash_all(root, &jobs, tx.env, false)?;
    for ((job, (path, size, mode)), hashed) in jobs.iter().zip(files).zip(hashed) {
        if hashed == Hashed::Same {
            // A stop between the last byte and the mode leaves a whole file that is still private.
            tx.store.set_mode(&job.path, file_mode(mode))?;
            placed.resumed += size;
            placed.have.insert(path);
        } else {
            tx.store.remove_file(&job.path)?;
        }
    }
    Ok(())
}

/// Keeps of a file that was cut short what whole frames prove, and removes it if that is nothing.
fn resume_cut(tx: &Tx<'_>, index: &Index, at: &RootPath, path: String, placed: &mut Placed) -> Result<(), Cause> {
    tx.check_cancel()?;
    let start = match tx.root.dir().open_file(at) {
        Ok(mut file) => verified_start(index, &path, &mut file).ok().flatten(),
        Err(_) => None,
    };
    if let Some(start) = start {
        match tx.store.truncate(at, start.len()) {
            Ok(()) => {
                placed.resumed += start.len();
                placed.starts.insert(path, start);
                return Ok(());
            }
            // It is not as we left it; it is made anew.
            Err(error) => fatal(error)?,
        }
    }
    Ok(tx.store.remove_file(at)?)
}

fn content(index: &Index, path: &str) -> (u64, Digest) {
    let (size, sha256) = index.content(path).expect("every file of an index has content");
    (size, *sha256)
}

/// Takes unchanged files from installed trees of the same component, after their bytes have been hashed.
fn reuse(
    tx: &Tx<'_>,
    index: &Index,
    top: &RootPath,
    donors: &[ComponentRecord],
    placed: &mut Placed,
) -> Result<(), Cause> {
    let offers = offers(tx, index, donors, placed)?;
    let (mut jobs, mut files) = (Vec::new(), Vec::new());
    for entry in index.entries() {
        if let Entry::File {
            mode,
            size,
            sha256,
            path,
            ..
        } = entry
            && !placed.is_there(path)
            && let Some(from) = offers.get(&(*sha256, file_mode(*mode) == FileMode::Program))
        {
            jobs.push(Job {
                path: from.clone(),
                sha256: *sha256,
                size: *size,
            });
            files.push((path, *size, *mode));
        }
    }
    let hashed = hash_all(tx.root.dir(), &jobs, tx.env, false)?;
    for ((job, (path, size, mode)), hashed) in jobs.iter().zip(files).zip(hashed) {
        if hashed == Hashed::Same {
            share(tx.store, &job.path, &top.join(path)?, file_mode(mode))?;
            placed.reused += size;
            placed.have.insert(path.to_string());
        }
    }
    Ok(())
}

/// Where wanted bytes lie in installed trees, by digest and whether they may be executed.
fn offers(
    tx: &Tx<'_>,
    index: &Index,
    donors: &[ComponentRecord],
    placed: &Placed,
) -> Result<HashMap<(Digest, bool), RootPath>, Cause> {
    let mut wanted = BTreeSet::new();
    for entry in index.entries() {
        if let Entry::File { sha256, path, size, .. } = entry
            && *size > 0
            && !placed.is_there(path)
        {
            wanted.insert(*sha256);
        }
    }
    let mut offers = HashMap::new();
    for donor in donors {
        // A donor whose index is damaged offers nothing; `verify` is where that is told.
        let Ok(old) = tx.root.index(donor) else { continue };
        for entry in old.entries() {
            if let Entry::File { mode, sha256, path, .. } = entry
                && wanted.contains(sha256)
            {
                let from = place::component(&donor.dir).join(path)?;
                let key = (*sha256, file_mode(*mode) == FileMode::Program);
                offers.entry(key).or_insert(from);
            }
        }
    }
    Ok(offers)
}

/// Makes `to` a file with the bytes and mode of `from`: reflink, else another name of the same file, else a copy.
///
/// Both are read-only files of our own trees, so sharing one inode is safe.
pub(super) fn share(store: &dyn Store, from: &RootPath, to: &RootPath, mode: FileMode) -> Result<(), Cause> {
    match store.reflink(from, to) {
        Ok(()) => return Ok(store.set_mode(to, mode)?),
        Err(error) => fatal(error)?,
    }
    match store.hard_link(from, to) {
        Ok(()) => return Ok(()),
        Err(error) => fatal(error)?,
    }
    compose::copy(store, from, to, mode)?;
    Ok(())
}

/// A stop and a full disk end the matter; whatever else refuses one way of sharing, the next one is tried.
fn fatal(error: StoreError) -> Result<(), StoreError> {
    if error.is_killed() || error.is_no_space() {
        return Err(error);
    }
    Ok(())
}
