//! Owns the comparison of installed trees with their recorded indexes: what is missing, changed, or extra.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use kojibox_packs::index::{Entry, Index};
use kojibox_signing::Digest;
use kojibox_state::{
    InstallRoot, RootPath,
    layout::place,
    records::{ComponentRecord, GenerationRecord},
    store::{Kind, RootDir, Stat},
};
use serde::Serialize;

use super::{
    error::{Cause, Situation, TxError},
    hashing::{Hashed, Job, hash_all},
};
use crate::plan::{Env, Phase};

/// Something in an installed tree is not what its index says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// Component id.
    pub component: String,
    /// Directory below `components/`.
    pub dir: String,
    /// Path in the tree; empty if the whole tree is meant.
    pub path: String,
    /// What is wrong.
    #[serde(flatten)]
    pub kind: FindingKind,
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "finding", content = "detail", rename_all = "kebab-case")]
pub enum FindingKind {
    /// It is listed and not there.
    Missing,
    /// Its bytes, its kind or its target are not the listed ones.
    Changed,
    /// It may be executed and should not, or the other way round.
    Mode,
    /// It is there and not listed.
    Extra,
    /// The file system does not give it out.
    Unreadable(String),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match &self.kind {
            FindingKind::Missing => "is missing",
            FindingKind::Changed => "is changed",
            FindingKind::Mode => "has a changed mode",
            FindingKind::Extra => "is not part of it",
            FindingKind::Unreadable(_) => "is unreadable",
        };
        let Self { component, path, .. } = self;
        if path.is_empty() {
            write!(f, "component `{component}` {what}")?;
        } else {
            write!(f, "component `{component}`: `{path}` {what}")?;
        }
        match &self.kind {
            FindingKind::Unreadable(why) => write!(f, " ({why})"),
            _ => Ok(()),
        }
    }
}

/// What a verification saw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// Generations whose trees were looked at.
    pub generations: Vec<u64>,
    /// Files that were hashed.
    pub files: u64,
    /// Bytes that were hashed.
    pub bytes: u64,
    /// What is wrong, sorted.
    pub findings: Vec<Finding>,
}

/// Re-hashes every file of `generation`, or of all generations; changes nothing.
///
/// # Errors
/// [`Cause::NoGeneration`]; damage is not an error but a finding.
pub fn verify(root: &InstallRoot, generation: Option<u64>, env: &Env<'_>) -> Result<Verification, TxError> {
    verify_records(root, generation, env).map_err(|cause| {
        let active = root.pointer().ok().flatten().map(|p| p.current);
        TxError::new(cause, Situation::Untouched { active })
    })
}

fn verify_records(root: &InstallRoot, generation: Option<u64>, env: &Env<'_>) -> Result<Verification, Cause> {
    let records: Vec<GenerationRecord> = match generation {
        Some(id) => vec![root.generation(id)?.ok_or(Cause::NoGeneration(id))?],
        None => root.generations()?.into_iter().map(|g| g.record).collect(),
    };
    let mut trees: BTreeMap<&str, &ComponentRecord> = BTreeMap::new();
    for component in records.iter().flat_map(|r| &r.components) {
        trees.insert(&component.dir, component);
    }
    let mut result = verify_trees(root, &trees.into_values().collect::<Vec<_>>(), env)?;
    result.generations = records.iter().map(|r| r.id).collect();
    let digests: BTreeSet<Digest> = records.iter().flat_map(|r| &r.packs).map(|p| p.digest).collect();
    for digest in digests {
        root.manifest(&digest)?;
    }
    Ok(result)
}

/// Re-hashes every file of these trees.
pub(super) fn verify_trees(
    root: &InstallRoot,
    trees: &[&ComponentRecord],
    env: &Env<'_>,
) -> Result<Verification, Cause> {
    let mut out = Verification::default();
    let (mut jobs, mut owners) = (Vec::new(), Vec::new());
    for tree in trees {
        let index = root.index(tree)?;
        let look = look_at(root.dir(), tree, &index)?;
        out.findings.extend(look.findings);
        for (path, sha256, size) in look.unhashed {
            let full = place::component(&tree.dir).join(&path)?;
            jobs.push(Job { path: full, sha256 });
            owners.push((*tree, path));
            out.bytes += size;
        }
    }
    env.observer.phase(Phase::Verify, Some(out.bytes));
    out.files = jobs.len() as u64;
    for (hashed, (tree, path)) in hash_all(root.dir(), &jobs, env, true)?.into_iter().zip(owners) {
        let kind = match hashed {
            Hashed::Same => continue,
            Hashed::Differs => FindingKind::Changed,
            Hashed::Unreadable(why) => FindingKind::Unreadable(why),
        };
        out.findings.push(finding(tree, &path, kind));
    }
    out.findings.sort();
    Ok(out)
}

/// A tree as far as it can be judged without reading its files.
#[derive(Default)]
pub(super) struct Look {
    pub(super) findings: Vec<Finding>,
    /// Files of the right size: path, digest, size.
    pub(super) unhashed: Vec<(String, Digest, u64)>,
}

/// Compares names, kinds, sizes, modes and link targets.
pub(super) fn look_at(root: &RootDir, tree: &ComponentRecord, index: &Index) -> Result<Look, Cause> {
    let top = place::component(&tree.dir);
    let mut look = Look::default();
    if root.stat(&top)?.is_none_or(|s| s.kind != Kind::Dir) {
        look.findings.push(finding(tree, "", FindingKind::Missing));
        return Ok(look);
    }
    let mut seen = BTreeSet::new();
    let mut todo = vec![(top, String::new())];
    while let Some((dir, prefix)) = todo.pop() {
        for entry in root.list(&dir)? {
            let (name, valid) = match entry.name {
                Ok(name) => (name, true),
                Err(lossy) => (lossy, false),
            };
            let path = format!("{prefix}{name}");
            let Some(expected) = index.get(&path).filter(|_| valid) else {
                look.findings.push(finding(tree, &path, FindingKind::Extra));
                continue;
            };
            let below = dir.join(&name)?;
            if entry.kind == Kind::Dir && matches!(expected, Entry::Dir { .. }) {
                todo.push((below.clone(), format!("{path}/")));
            }
            compare(root, tree, index, expected, &below, &path, &mut look)?;
            seen.insert(path);
        }
    }
    let missing = index.entries().iter().filter(|e| !seen.contains(e.path().as_str()));
    look.findings
        .extend(missing.map(|e| finding(tree, e.path(), FindingKind::Missing)));
    Ok(look)
}

fn compare(
    root: &RootDir,
    tree: &ComponentRecord,
    index: &Index,
    expected: &Entry,
    at: &RootPath,
    path: &str,
    look: &mut Look,
) -> Result<(), Cause> {
    let Some(stat) = root.stat(at)? else {
        look.findings.push(finding(tree, path, FindingKind::Missing));
        return Ok(());
    };
    match expected {
        Entry::Dir { .. } if stat.kind == Kind::Dir => {}
        Entry::Link { target, .. } if stat.kind == Kind::Link && root.read_link(at)? == *target => {}
        Entry::File { mode, .. } | Entry::Same { mode, .. } if stat.kind == Kind::File => {
            match index.content(path) {
                Some((size, sha256)) if size == stat.len => look.unhashed.push((path.to_owned(), *sha256, size)),
                _ => look.findings.push(finding(tree, path, FindingKind::Changed)),
            }
            if !mode_fits(stat, *mode) {
                look.findings.push(finding(tree, path, FindingKind::Mode));
            }
        }
        _ => look.findings.push(finding(tree, path, FindingKind::Changed)),
    }
    Ok(())
}

fn mode_fits(stat: Stat, mode: u32) -> bool {
    stat.executable
        .is_none_or(|executable| executable == (mode & 0o100 != 0))
}

fn finding(tree: &ComponentRecord, path: &str, kind: FindingKind) -> Finding {
    Finding {
        component: tree.id.clone(),
        dir: tree.dir.clone(),
        path: path.to_owned(),
        kind,
    }
}
