//! Owns the step `rpath`: where ELF files look for their libraries (`DT_RUNPATH`) is written anew, on any machine for any
//! machine. What was written is read again: only the path may be another one.
//!
//! *Limitations*: files with packed relative relocations (`DT_RELR`) are refused; glibc's own libraries have them.

use std::{collections::BTreeSet, io::Cursor, path::Path};

use globset::GlobMatcher;
use object_rewrite::{Options, Rewriter};

use super::{
    apply,
    error::SourceError,
    tree::{Content, Node, Spool, Taken, Tree},
};
use crate::{
    elf::{self, Elf},
    interrupt,
};

/// Longest ELF file that is rewritten, in bytes.
const MAX_ELF: u64 = 512 << 20;

/// Sets the path of every ELF file that matches; of several patterns that match a file the last one counts.
pub(super) fn apply(tree: &mut Tree, rpaths: &[(String, String)], scratch: &Path) -> Result<(), SourceError> {
    if rpaths.is_empty() {
        return Ok(());
    }
    let matchers: Vec<GlobMatcher> = rpaths
        .iter()
        .map(|(pattern, _)| apply::glob(pattern).expect("patterns were checked when the definition was read"))
        .collect();
    let mut spool = Spool::new(scratch)?;
    let mut used = BTreeSet::new();
    for (path, node) in tree.iter_mut() {
        let Node::File { content, .. } = node else { continue };
        let hits: Vec<usize> = (0..matchers.len()).filter(|i| matchers[*i].is_match(path)).collect();
        let Some(last) = hits.last() else { continue };
        interrupt::check()?;
        let Some((bytes, elf)) = dynamic(path, content)? else {
            continue;
        };
        used.extend(hits.iter().copied());
        let wanted = &rpaths[*last].1;
        if elf.runpath.as_ref() != Some(wanted) {
            let new = rewrite(&bytes, &elf, wanted).map_err(|reason| refused(path, &reason))?;
            *content = keep(&mut spool, path, &new)?;
        }
    }
    spool.finish()?;
    match (0..rpaths.len()).find(|i| !used.contains(i)) {
        Some(unused) => Err(apply::no_match("rpath", &rpaths[unused].0, tree)),
        None => Ok(()),
    }
}

/// The bytes of a file that a loader would work on; None: it is something else.
fn dynamic(path: &str, content: &Content) -> Result<Option<(Vec<u8>, Elf)>, SourceError> {
    let read = |n| content.head(n).map_err(|e| refused(path, &e.to_string()));
    if read(4)? != b"\x7fELF" {
        return Ok(None);
    }
    if content.size() > MAX_ELF {
        let reason = format!("a program of {} bytes, `rpath` takes at most {MAX_ELF}", content.size());
        return Err(refused(path, &reason));
    }
    let bytes = read(MAX_ELF)?;
    let elf = elf::read(&bytes).ok().flatten().filter(|elf| elf.dynamic);
    Ok(elf.map(|elf| (bytes, elf)))
}

/// The same file with another path.
fn rewrite(bytes: &[u8], before: &Elf, runpath: &str) -> Result<Vec<u8>, String> {
    let told = |e: object_rewrite::Error| format!("its path for libraries cannot be set: {e}");
    let mut rewriter = Rewriter::read(bytes).map_err(told)?;
    let mut options = Options::default();
    options.elf.delete_runpath = before.runpath.is_some();
    options.elf.add_runpath = vec![runpath.as_bytes().to_vec()];
    options.elf.use_runpath = true;
    rewriter.modify(options).map_err(told)?;
    let mut new = Vec::with_capacity(bytes.len() + 8192);
    rewriter.write(&mut new).map_err(told)?;
    let expected = Elf {
        runpath: Some(runpath.to_owned()),
        ..before.clone()
    };
    match elf::read(&new) {
        Ok(Some(after)) if after == expected => Ok(new),
        _ => Err("with another path for libraries it would no longer be the same program".to_owned()),
    }
}

fn keep(spool: &mut Spool, path: &str, bytes: &[u8]) -> Result<Content, SourceError> {
    spool.take(&mut Cursor::new(bytes), MAX_ELF * 2).map_err(|e| match e {
        Taken::Here(e) => e,
        Taken::TooMuch => refused(path, "the tree has more than 64 GiB"),
        Taken::Reader(e) => refused(path, &e.to_string()),
    })
}

fn refused(path: &str, reason: &str) -> SourceError {
    SourceError::Entry {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}
