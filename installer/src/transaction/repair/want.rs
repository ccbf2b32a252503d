//! Owns [`Plan`]: from what is wrong to what is wanted, and where each thing is going to come from.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use kojibox_packs::{
    index::{Entry, Index},
    manifest::Component,
    read::{ReadError, bytes_needed, find_blob, read_index},
    source::BlobSource,
};
use kojibox_signing::{Digest, Verified};
use kojibox_state::{InstallRoot, RootPath, Store, records::ComponentRecord};

use super::{
    super::{
        error::Cause,
        place_tree::Placed,
        sink::StagingSink,
        verify::{Finding, FindingKind, Verification},
    },
    Lacking, Sound,
    mend::Records,
};

/// Everything that a repair is going to do.
pub(super) struct Plan {
    pub(super) trees: Vec<WantedTree>,
    /// Records that a medium has given back; their findings.
    pub(super) records: Vec<Finding>,
    /// What nothing at hand can give.
    pub(super) lacking: Vec<Lacking>,
}

/// What one tree needs.
pub(super) struct WantedTree {
    pub(super) tree: ComponentRecord,
    pub(super) index: Arc<Verified<Index>>,
    pub(super) dirs: Vec<String>,
    /// Path and target.
    pub(super) links: Vec<(String, String)>,
    pub(super) files: Vec<WantedFile>,
    /// Paths of entries with bytes that have to be read.
    pub(super) read: BTreeSet<String>,
    /// Where from; the first that can be read serves.
    pub(super) origins: Vec<Origin>,
    /// What is right afterwards.
    pub(super) cures: Vec<Finding>,
}

/// A file that is missing or not what it should be.
#[derive(Clone)]
pub(super) struct WantedFile {
    pub(super) path: String,
    pub(super) sha256: Digest,
    pub(super) size: u64,
    pub(super) mode: u32,
    /// Its bytes are right, only its mode is not.
    pub(super) mode_only: bool,
}

/// A medium that has the blob of a tree.
pub(super) struct Origin {
    pub(super) source: Arc<dyn BlobSource>,
    pub(super) component: Component,
    pub(super) index: Arc<Verified<Index>>,
}

impl WantedFile {
    pub(super) fn is_program(&self) -> bool {
        self.mode & 0o100 != 0
    }
}

impl WantedTree {
    /// Everything of the tree counts as there but what has to be read.
    pub(super) fn placed(&self) -> Placed {
        let entries = self.index.entries().iter().map(Entry::path);
        Placed {
            have: entries
                .filter(|p| !self.read.contains(p.as_str()))
                .map(ToString::to_string)
                .collect(),
            ..Placed::default()
        }
    }

    fn to_read(&self, store: &dyn Store) -> u64 {
        let (top, placed) = (RootPath::ROOT, self.placed());
        let sink = StagingSink::new(store, &top, &placed);
        let origin = self.origins.first().filter(|_| !self.read.is_empty());
        origin.map_or(0, |o| bytes_needed(&o.index, &sink))
    }
}

impl Plan {
    pub(super) fn is_empty(&self) -> bool {
        self.trees.is_empty() && self.records.is_empty()
    }

    pub(super) fn cures(&self) -> Vec<Finding> {
        let mut all: Vec<_> = self.trees.iter().flat_map(|t| &t.cures).cloned().collect();
        all.extend(self.records.iter().cloned());
        all.sort();
        all
    }

    pub(super) fn files(&self) -> u64 {
        self.trees.iter().map(|t| t.files.len() as u64).sum()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.trees.iter().flat_map(|t| &t.files).map(|f| f.size).sum()
    }

    /// Bytes of media that have to be read.
    pub(super) fn to_read(&self, store: &dyn Store) -> u64 {
        self.trees.iter().map(|t| t.to_read(store)).sum()
    }
}

/// Decides what is wanted and where it comes from; reads nothing but indexes.
pub(super) fn plan(
    root: &InstallRoot,
    seen: &Verification,
    records: &Records,
    trees: &[&ComponentRecord],
    sources: &[Arc<dyn BlobSource>],
    sound: &Sound,
) -> Result<Plan, Cause> {
    let mut plan = Plan {
        trees: Vec::new(),
        records: Vec::new(),
        lacking: Vec::new(),
    };
    plan_records(&mut plan, records, trees);
    // Bytes that will be at hand: those that are sound, and those that a tree before has read.
    let mut at_hand: HashSet<Digest> = sound.keys().map(|(sha256, _)| *sha256).collect();
    for tree in trees {
        let findings: Vec<&Finding> = seen.findings.iter().filter(|f| f.dir == tree.dir).collect();
        let Some(mut wanted) = wanted(root, tree, records, &findings)? else {
            continue;
        };
        choose_reads(&mut wanted, &at_hand);
        let mut why = None;
        if !wanted.read.is_empty() {
            (wanted.origins, why) = origins(&wanted, records, sources);
        }
        if !wanted.read.is_empty() && wanted.origins.is_empty() {
            give_up(&mut plan, &mut wanted, why);
        }
        at_hand.extend(wanted.files.iter().map(|f| f.sha256));
        if !wanted.cures.is_empty() {
            plan.trees.push(wanted);
        }
    }
    Ok(plan)
}

/// Records that were found, and those that were not.
fn plan_records(plan: &mut Plan, records: &Records, trees: &[&ComponentRecord]) {
    for finding in &records.findings {
        let tree = trees.iter().find(|t| t.dir == finding.dir);
        let found = match tree {
            Some(tree) => records.mended.contains_key(&tree.dir),
            None => records.lost.iter().any(|(p, _)| p.digest.to_string() == finding.dir),
        };
        if found {
            plan.records.push(finding.clone());
        } else {
            plan.lacking.push(Lacking {
                component: finding.component.clone(),
                version: tree.map_or_else(String::new, |t| t.version.clone()),
                pack: tree.map_or(&finding.component, |t| &t.pack).clone(),
                files: 1,
                bytes: 0,
                why: None,
            });
        }
    }
}

/// What the findings about a tree ask for; `None` if nothing of it can be or needs to be put right.
fn wanted(
    root: &InstallRoot,
    tree: &ComponentRecord,
    records: &Records,
    findings: &[&Finding],
) -> Result<Option<WantedTree>, Cause> {
    let cures: Vec<Finding> = findings
        .iter()
        .filter(|f| is_curable(&f.kind))
        .map(|f| (*f).clone())
        .collect();
    if cures.is_empty() {
        return Ok(None);
    }
    let index = match records.mended.get(&tree.dir) {
        Some(index) => index.clone(),
        None => root.index(tree)?,
    };
    let whole = cures.iter().any(|f| f.path.is_empty());
    let bad: BTreeMap<&str, bool> = cures.iter().fold(BTreeMap::new(), |mut bad, f| {
        let mode_only = f.kind == FindingKind::Mode;
        *bad.entry(f.path.as_str()).or_insert(true) &= mode_only;
        bad
    });
    let mut wanted = WantedTree {
        tree: tree.clone(),
        index: Arc::new(index),
        dirs: Vec::new(),
        links: Vec::new(),
        files: Vec::new(),
        read: BTreeSet::new(),
        origins: Vec::new(),
        cures: cures.clone(),
    };
    let index = Arc::clone(&wanted.index);
    for entry in index.entries() {
        let path = entry.path().to_string();
        let mode_only = match bad.get(path.as_str()) {
            Some(mode_only) => *mode_only,
            None if whole => false,
            None => continue,
        };
        match entry {
            Entry::Dir { .. } => wanted.dirs.push(path),
            Entry::Link { target, .. } => wanted.links.push((path, target.clone())),
            Entry::File { mode, .. } | Entry::Same { mode, .. } => {
                let (size, sha256) = index.content(&path).expect("every file of an index has content");
                wanted.files.push(WantedFile {
                    sha256: *sha256,
                    size,
                    mode: *mode,
                    mode_only,
                    path,
                });
            }
        }
    }
    Ok(Some(wanted))
}

fn is_curable(kind: &FindingKind) -> bool {
    match kind {
        FindingKind::Missing | FindingKind::Changed | FindingKind::Mode | FindingKind::Unreadable(_) => true,
        FindingKind::Extra
        | FindingKind::Index(_)
        | FindingKind::Manifest(_)
        | FindingKind::Record(_)
        | FindingKind::Pointer(_) => false,
    }
}

/// Which bytes must come from a medium: a `same` by the file that has them, each bytes once.
fn choose_reads(wanted: &mut WantedTree, at_hand: &HashSet<Digest>) {
    let mut chosen = HashSet::new();
    for file in &wanted.files {
        let there = file.size == 0 || file.mode_only || at_hand.contains(&file.sha256);
        if there || !chosen.insert(file.sha256) {
            continue;
        }
        let path = match wanted.index.get(&file.path) {
            Some(Entry::Same { first, .. }) => first.to_string(),
            _ => file.path.clone(),
        };
        wanted.read.insert(path);
    }
}

/// Media that have the blob of a tree, and why one that seems to could not be used.
fn origins(
    wanted: &WantedTree,
    records: &Records,
    sources: &[Arc<dyn BlobSource>],
) -> (Vec<Origin>, Option<Box<ReadError>>) {
    let (mut origins, mut why) = (Vec::new(), None);
    for component in records.components(&wanted.tree) {
        for source in sources {
            let index = if component.index.sha256 == wanted.tree.index_sha256 {
                Ok(Arc::clone(&wanted.index))
            } else {
                read_index(&**source, component).map(Arc::new)
            };
            let found = index.and_then(|index| find_blob(&**source, component, &index).map(|()| index));
            match found {
                Ok(index) => origins.push(Origin {
                    source: Arc::clone(source),
                    component: component.clone(),
                    index,
                }),
                Err(error) => drop(why.get_or_insert(Box::new(error))),
            }
        }
    }
    (origins, why)
}

/// Takes what cannot be had out of the plan.
fn give_up(plan: &mut Plan, wanted: &mut WantedTree, why: Option<Box<ReadError>>) {
    let lost: HashSet<Digest> = wanted
        .read
        .iter()
        .filter_map(|path| wanted.index.content(path).map(|(_, sha256)| *sha256))
        .collect();
    let (gone, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut wanted.files)
        .into_iter()
        .partition(|f| lost.contains(&f.sha256) && !f.mode_only);
    plan.lacking.push(lacking(&wanted.tree, &gone, why));
    forget(&mut wanted.cures, &gone);
    wanted.files = kept;
    wanted.read.clear();
}

/// What is needed for `files` of a tree.
pub(super) fn lacking(tree: &ComponentRecord, files: &[WantedFile], why: Option<Box<ReadError>>) -> Lacking {
    Lacking {
        component: tree.id.clone(),
        version: tree.version.clone(),
        pack: tree.pack.clone(),
        files: files.len() as u64,
        bytes: files.iter().map(|f| f.size).sum(),
        why,
    }
}

/// Findings that stay because these files could not be had; a tree of which files are missing is not whole.
pub(super) fn forget(cures: &mut Vec<Finding>, gone: &[WantedFile]) {
    let gone: BTreeSet<&str> = gone.iter().map(|f| f.path.as_str()).collect();
    let stays = |f: &Finding| gone.contains(f.path.as_str()) || (f.path.is_empty() && !gone.is_empty());
    cures.retain(|f| !stays(f));
}

/// Where a wanted thing of `tree` lies in the root.
pub(super) fn place_in(tree: &ComponentRecord, path: &str) -> Result<RootPath, Cause> {
    Ok(kojibox_state::layout::place::component(&tree.dir).join(path)?)
}
