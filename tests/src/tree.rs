//! Owns pictures of directories: what is where, so that two moments can be compared.

use std::{collections::BTreeMap, fs, path::Path};

use kojibox_signing::Digest;
use walkdir::WalkDir;

use crate::{Failure, Outcome};

/// What stands at a path: `dir`, `link TARGET`, or the mode, size and digest of a file.
pub type Picture = BTreeMap<String, String>;

/// Takes a picture of everything below `dir`; an absent directory gives an empty picture.
pub fn picture(dir: &Path) -> Outcome<Picture> {
    let mut all = Picture::new();
    if !dir.exists() {
        return Ok(all);
    }
    for entry in WalkDir::new(dir).min_depth(1).sort_by_file_name() {
        let entry = entry.map_err(Failure::doing(format!("could not walk `{}`", dir.display())))?;
        let name = entry
            .path()
            .strip_prefix(dir)
            .map_or_else(|_| entry.path().into(), Path::to_path_buf);
        all.insert(name.to_string_lossy().into_owned(), describe(entry.path())?);
    }
    Ok(all)
}

fn describe(path: &Path) -> Outcome<String> {
    let doing = || Failure::doing(format!("could not look at `{}`", path.display()));
    let meta = fs::symlink_metadata(path).map_err(doing())?;
    if meta.is_dir() {
        return Ok("dir".into());
    }
    if meta.is_symlink() {
        return Ok(format!("link {}", fs::read_link(path).map_err(doing())?.display()));
    }
    if !meta.is_file() {
        return Ok("special".into());
    }
    let bytes = fs::read(path).map_err(doing())?;
    Ok(format!(
        "{:o} {} {}",
        crate::platform::mode(&meta),
        bytes.len(),
        Digest::of(&bytes)
    ))
}

/// Bytes of all files below `dir`, each counted once however many names it has.
pub fn bytes_below(dir: &Path) -> u64 {
    let mut seen = std::collections::BTreeSet::new();
    let files = WalkDir::new(dir)
        .into_iter()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_file());
    let metas = files.filter_map(|entry| entry.metadata().ok());
    metas
        .filter(|meta| seen.insert(crate::platform::file_id(meta)))
        .map(|meta| meta.len())
        .sum()
}

/// The lines in which two pictures differ, for a failure's text.
pub fn difference(before: &Picture, after: &Picture) -> String {
    let mut lines = Vec::new();
    for (path, was) in before {
        match after.get(path) {
            None => lines.push(format!("- {path} ({was})")),
            Some(now) if now != was => lines.push(format!("~ {path} ({was} -> {now})")),
            Some(_) => {}
        }
    }
    lines.extend(
        after
            .iter()
            .filter(|(path, _)| !before.contains_key(*path))
            .map(|(path, now)| format!("+ {path} ({now})")),
    );
    lines.join("\n")
}

/// Fails with the difference unless nothing changed.
pub fn expect_same(what: &str, before: &Picture, after: &Picture) -> Outcome {
    crate::failure::ensure(before == after, || {
        format!("{what} changed:\n{}", difference(before, after))
    })
}
