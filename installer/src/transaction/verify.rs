//! Owns the comparison of installed trees with their recorded indexes: what is missing, changed, or extra.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use kojibox_packs::index::{Entry, Index};
use kojibox_signing::{Digest, Verified};
use kojibox_state::{
    InstallRoot, RootPath, StateError,
    layout::place,
    records::{ComponentRecord, GenerationRecord, PackRecord},
    store::{Kind, RootDir, Stat},
};
use serde::Serialize;

use super::{
    error::{Cause, Situation, TxError},
    hashing::{Hashed, Job, hash_all},
    repair::pointer_complaint,
};
use crate::plan::{Env, Phase};

/// Something in an installed tree is not what its index says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// Component id; of a manifest, the pack.
    pub component: String,
    /// Directory below `components/`; of a manifest, below `records/packs/`.
    pub dir: String,
    /// Path in the tree; empty if the whole tree or its record is meant.
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
    /// The recorded index of the tree is missing or damaged, so nothing in the tree could be judged.
    Index(String),
    /// The recorded manifest of a pack is missing or damaged.
    Manifest(String),
    /// The record of a generation is missing or damaged, so nothing of it could be judged.
    Record(String),
    /// The pointer is damaged, or is not what the receipts say.
    Pointer(String),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match &self.kind {
            FindingKind::Missing => "is missing",
            FindingKind::Changed => "is changed",
            FindingKind::Mode => "has a changed mode",
            FindingKind::Extra => "is not part of it",
            FindingKind::Unreadable(_) => "is unreadable",
            FindingKind::Index(why) => return write!(f, "component `{}`: its list of files: {why}", self.component),
            FindingKind::Manifest(why) => return write!(f, "pack `{}`: its manifest: {why}", self.component),
            FindingKind::Record(why) => return write!(f, "generation {}: its record: {why}", self.component),
            FindingKind::Pointer(why) => return write!(f, "the pointer: {why}"),
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
    let trees = trees_of(&records);
    let mut result = verify_trees(root, &trees, env)?;
    result.generations = records.iter().map(|r| r.id).collect();
    if generation.is_none() {
        result.findings.extend(damaged_records(root)?);
        result.findings.extend(damaged_pointer(root)?);
    }
    for pack in packs_of(&records) {
        if let Err(error) = root.manifest(&pack.digest) {
            let why = damage(error)?;
            result.findings.push(manifest_finding(pack, why));
        }
    }
    result.findings.sort();
    Ok(result)
}

/// Generations whose record is damaged.
pub(super) fn damaged_records(root: &InstallRoot) -> Result<Vec<Finding>, Cause> {
    let damaged = root.damaged_generations()?.into_iter();
    Ok(damaged
        .map(|(id, why)| document_finding(id.to_string(), FindingKind::Record(why.to_string())))
        .collect())
}

/// A pointer that is not what the receipts say. While a transaction is to be recovered, it is that one's.
fn damaged_pointer(root: &InstallRoot) -> Result<Option<Finding>, Cause> {
    if root.recovery_needed()? {
        return Ok(None);
    }
    let why = pointer_complaint(root)?;
    Ok(why.map(|why| document_finding(String::new(), FindingKind::Pointer(why))))
}

fn document_finding(component: String, kind: FindingKind) -> Finding {
    Finding {
        component,
        dir: String::new(),
        path: String::new(),
        kind,
    }
}

/// Every tree that these generations name, once.
pub(super) fn trees_of(records: &[GenerationRecord]) -> Vec<&ComponentRecord> {
    let all = records.iter().flat_map(|r| &r.components);
    let by_dir: BTreeMap<&str, &ComponentRecord> = all.map(|c| (c.dir.as_str(), c)).collect();
    by_dir.into_values().collect()
}

/// Every pack that these generations name, once.
pub(super) fn packs_of(records: &[GenerationRecord]) -> Vec<&PackRecord> {
    let all = records.iter().flat_map(GenerationRecord::manifests);
    let by_digest: BTreeMap<Digest, &PackRecord> = all.map(|p| (p.digest, p)).collect();
    by_digest.into_values().collect()
}

pub(super) fn manifest_finding(pack: &PackRecord, why: String) -> Finding {
    Finding {
        component: pack.name.clone(),
        dir: pack.digest.to_string(),
        path: String::new(),
        kind: FindingKind::Manifest(why),
    }
}

/// Why a record is damaged; any other failure to read it stays one.
pub(super) fn damage(error: StateError) -> Result<String, StateError> {
    match &error {
        StateError::Missing { .. } | StateError::Damaged { .. } | StateError::Manifest { .. } => Ok(error.to_string()),
        // A file that is too long or cannot be read is damage too; a person looks at the disk all the same.
        StateError::Store(store) if !store.is_killed() => Ok(error.to_string()),
        _ => Err(error),
    }
}

/// Re-hashes every file of these trees.
pub(super) fn verify_trees(
    root: &InstallRoot,
    trees: &[&ComponentRecord],
    env: &Env<'_>,
) -> Result<Verification, Cause> {
    survey(root, trees, &BTreeMap::new(), env, &mut |_, _, _| ())
}

/// The same, with indexes for trees whose recorded one is damaged, by directory; `sound` is told of every file that is
/// as its index says: its tree, its entry and its place.
pub(super) fn survey(
    root: &InstallRoot,
    trees: &[&ComponentRecord],
    mended: &BTreeMap<String, Verified<Index>>,
    env: &Env<'_>,
    sound: &mut dyn FnMut(&Digest, bool, &RootPath),
) -> Result<Verification, Cause> {
    let mut out = Verification::default();
    let (mut jobs, mut owners) = (Vec::new(), Vec::new());
    for tree in trees {
        let recorded;
        let index = match mended.get(&tree.dir) {
            Some(index) => index,
            None => match root.index(tree) {
                Ok(index) => {
                    recorded = index;
                    &recorded
                }
                Err(error) => {
                    out.findings.push(finding(tree, "", FindingKind::Index(damage(error)?)));
                    continue;
                }
            },
        };
        let mut look = look_at(root, tree, index)?;
        let odd: BTreeSet<&str> = look.findings.iter().map(|f| f.path.as_str()).collect();
        for (path, sha256, size) in &look.unhashed {
            let full = place::component(&tree.dir).join(path)?;
            jobs.push(Job {
                path: full,
                sha256: *sha256,
                size: *size,
            });
            let program = index.get(path).is_some_and(is_program);
            owners.push((*tree, path.clone(), program, !odd.contains(path.as_str())));
            out.bytes += size;
        }
        out.findings.append(&mut look.findings);
    }
    env.observer.phase(Phase::Verify, Some(out.bytes));
    out.files = jobs.len() as u64;
    let hashed = hash_all(root.dir(), &jobs, env, true)?;
    for ((hashed, job), (tree, path, program, right_mode)) in hashed.into_iter().zip(&jobs).zip(owners) {
        let kind = match hashed {
            Hashed::Same => {
                if right_mode {
                    sound(&job.sha256, program, &job.path);
                }
                continue;
            }
            Hashed::Differs => FindingKind::Changed,
            Hashed::Unreadable(why) => FindingKind::Unreadable(why),
        };
        out.findings.push(finding(tree, &path, kind));
    }
    out.findings.sort();
    Ok(out)
}

/// True for a file that may be executed.
pub(super) fn is_program(entry: &Entry) -> bool {
    match entry {
        Entry::File { mode, .. } | Entry::Same { mode, .. } => mode & 0o100 != 0,
        Entry::Dir { .. } | Entry::Link { .. } => false,
    }
}

/// A tree as far as it can be judged without reading its files.
#[derive(Default)]
pub(super) struct Look {
    pub(super) findings: Vec<Finding>,
    /// Files of the right size: path, digest, size.
    pub(super) unhashed: Vec<(String, Digest, u64)>,
}

/// Compares names, kinds, sizes, link targets, and modes where the file system has any.
pub(super) fn look_at(root: &InstallRoot, tree: &ComponentRecord, index: &Index) -> Result<Look, Cause> {
    let modes = root.keeps_modes()?;
    let root = root.dir();
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
    if !modes {
        look.findings.retain(|f| f.kind != FindingKind::Mode);
    }
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
        Entry::Link { target, .. } if stat.kind == Kind::Link && root.read_link(at)?.as_ref() == Some(target) => {}
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

pub(super) fn finding(tree: &ComponentRecord, path: &str, kind: FindingKind) -> Finding {
    Finding {
        component: tree.id.clone(),
        dir: tree.dir.clone(),
        path: path.to_owned(),
        kind,
    }
}
