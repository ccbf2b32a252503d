//! Owns [`Model`]: what is durable on a disk, what is not yet, and which disks a power cut may leave.
//!
//! Assumed of the file system, no more: the bytes and the mode of a file are durable after a sync of the file, a name
//! after a sync of its directory; a rename is one change and durable with either directory; changes of one name keep
//! their order; an append leaves the bytes before it alone. Everything else that was not synced may be there or not,
//! each change for itself, in any combination: an unsynced file may be as it was, without what was added, with half of
//! it, with zeros in its place, or whole. `sync_tree` is taken to cover only what is at and below its path, although
//! `syncfs` covers more.
//!
//! Only what belongs to [`crate::Store`] is modelled; the launcher's directories are not.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs, io,
    path::{Path, PathBuf},
};

use super::{Kind, RootDir, StoreError};
use crate::{
    path::RootPath,
    platform::{give_mode, mode_of, write_link},
};

type Id = usize;

/// Largest file that is loaded into a model; trees of tests are small.
const FILE_MAX: u64 = 64 << 20;
/// The launcher's, which no transaction changes.
const NOT_OURS: &[&str] = &["config", "data", "logs", "run", "temp", "secrets", "projects"];

/// The durable and the present state of everything below a root.
#[derive(Clone, Debug)]
pub struct Model {
    nodes: Vec<Node>,
    /// Changes of names that are not durable, in the order in which they were made.
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Node {
    Dir {
        durable: BTreeMap<String, Id>,
        now: BTreeMap<String, Id>,
    },
    File {
        durable: Content,
        now: Content,
    },
    Link(String),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Content {
    bytes: Vec<u8>,
    mode: u32,
}

#[derive(Clone, Debug)]
struct Change {
    sets: Vec<(Id, String, Option<Id>)>,
}

const ROOT: Id = 0;

impl Model {
    /// Takes what is on disk as durable.
    pub fn load(root: &RootDir) -> Result<Self, StoreError> {
        let mut model = Self {
            nodes: vec![Node::Dir {
                durable: BTreeMap::new(),
                now: BTreeMap::new(),
            }],
            pending: Vec::new(),
        };
        model.load_dir(root, &RootPath::ROOT, ROOT)?;
        Ok(model)
    }

    fn load_dir(&mut self, root: &RootDir, path: &RootPath, id: Id) -> Result<(), StoreError> {
        for entry in root.list(path)? {
            let Ok(name) = entry.name else { continue };
            if path.is_root() && NOT_OURS.contains(&name.as_str()) {
                continue;
            }
            let below = path.join(&name).expect("listed names are valid");
            let node = match entry.kind {
                Kind::Dir => Node::Dir {
                    durable: BTreeMap::new(),
                    now: BTreeMap::new(),
                },
                Kind::Link => Node::Link(root.read_link(&below)?.unwrap_or_default()),
                Kind::File => {
                    let content = Content {
                        bytes: root.read(&below, FILE_MAX)?.unwrap_or_default(),
                        mode: mode_of(&below.below(root.path())),
                    };
                    Node::File {
                        durable: content.clone(),
                        now: content,
                    }
                }
                Kind::Other => continue,
            };
            let child = self.add(node);
            let Node::Dir { durable, now } = &mut self.nodes[id] else {
                continue;
            };
            durable.insert(name.clone(), child);
            now.insert(name, child);
            if entry.kind == Kind::Dir {
                self.load_dir(root, &below, child)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, node: Node) -> Id {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    fn find(&self, path: &RootPath) -> Option<Id> {
        path.segments().try_fold(ROOT, |id, segment| match &self.nodes[id] {
            Node::Dir { now, .. } => now.get(segment).copied(),
            _ => None,
        })
    }

    fn parent(&self, path: &RootPath) -> Option<(Id, String)> {
        Some((self.find(&path.parent()?)?, path.name().to_owned()))
    }

    fn set(&mut self, sets: Vec<(Id, String, Option<Id>)>) {
        for (dir, name, child) in &sets {
            if let Node::Dir { now, .. } = &mut self.nodes[*dir] {
                match child {
                    Some(child) => now.insert(name.clone(), *child),
                    None => now.remove(name),
                };
            }
        }
        self.pending.push(Change { sets });
    }

    fn insert(&mut self, path: &RootPath, node: Node) {
        if let Some((dir, name)) = self.parent(path) {
            let id = self.add(node);
            self.set(vec![(dir, name, Some(id))]);
        }
    }

    fn content(&mut self, path: &RootPath) -> Option<&mut Content> {
        let id = self.find(path)?;
        match &mut self.nodes[id] {
            Node::File { now, .. } => Some(now),
            _ => None,
        }
    }

    pub(super) fn create_dir(&mut self, path: &RootPath) {
        let empty = BTreeMap::new();
        self.insert(
            path,
            Node::Dir {
                durable: empty.clone(),
                now: empty,
            },
        );
    }

    pub(super) fn create_file(&mut self, path: &RootPath) {
        let content = Content {
            bytes: Vec::new(),
            mode: 0o600,
        };
        self.insert(
            path,
            Node::File {
                durable: content.clone(),
                now: content,
            },
        );
    }

    pub(super) fn append(&mut self, path: &RootPath, bytes: &[u8]) {
        if let Some(content) = self.content(path) {
            content.bytes.extend_from_slice(bytes);
        }
    }

    pub(super) fn truncate(&mut self, path: &RootPath, len: u64) {
        if let Some(content) = self.content(path) {
            content.bytes.truncate(usize::try_from(len).unwrap_or(usize::MAX));
        }
    }

    pub(super) fn set_mode(&mut self, path: &RootPath, mode: u32) {
        if let Some(content) = self.content(path) {
            content.mode = mode;
        }
    }

    pub(super) fn clone_file(&mut self, from: &RootPath, to: &RootPath) {
        let Some(bytes) = self.content(from).map(|c| c.bytes.clone()) else {
            return;
        };
        self.create_file(to);
        self.append(to, &bytes);
    }

    pub(super) fn hard_link(&mut self, from: &RootPath, to: &RootPath) {
        if let (Some(id), Some((dir, name))) = (self.find(from), self.parent(to)) {
            self.set(vec![(dir, name, Some(id))]);
        }
    }

    pub(super) fn symlink(&mut self, target: &str, path: &RootPath) {
        self.insert(path, Node::Link(target.to_owned()));
    }

    pub(super) fn rename(&mut self, from: &RootPath, to: &RootPath) {
        if let (Some(id), Some((a, old)), Some((b, new))) = (self.find(from), self.parent(from), self.parent(to)) {
            self.set(vec![(a, old, None), (b, new, Some(id))]);
        }
    }

    pub(super) fn remove(&mut self, path: &RootPath) {
        if let Some((dir, name)) = self.parent(path) {
            self.set(vec![(dir, name, None)]);
        }
    }

    pub(super) fn sync_file(&mut self, path: &RootPath) {
        if let Some(id) = self.find(path) {
            self.settle(id);
        }
    }

    pub(super) fn sync_dir(&mut self, path: &RootPath) {
        if let Some(id) = self.find(path) {
            self.settle_names(&BTreeSet::from([id]));
        }
    }

    pub(super) fn sync_tree(&mut self, path: &RootPath) {
        let Some(top) = self.find(path) else { return };
        let (mut dirs, mut todo) = (BTreeSet::new(), vec![top]);
        while let Some(id) = todo.pop() {
            match &self.nodes[id] {
                Node::Dir { now, .. } => {
                    todo.extend(now.values());
                    dirs.insert(id);
                }
                Node::File { .. } => self.settle(id),
                Node::Link(_) => {}
            }
        }
        self.settle_names(&dirs);
    }

    fn settle(&mut self, id: Id) {
        if let Node::File { durable, now } = &mut self.nodes[id] {
            durable.clone_from(now);
        }
    }

    fn settle_names(&mut self, dirs: &BTreeSet<Id>) {
        let pending = std::mem::take(&mut self.pending);
        let (settled, open): (Vec<_>, Vec<_>) = pending
            .into_iter()
            .partition(|c| c.sets.iter().any(|(dir, ..)| dirs.contains(dir)));
        self.pending = open;
        for change in settled {
            self.apply(&change);
        }
    }

    fn apply(&mut self, change: &Change) {
        for (dir, name, child) in &change.sets {
            if let Node::Dir { durable, .. } = &mut self.nodes[*dir] {
                match child {
                    Some(child) => durable.insert(name.clone(), *child),
                    None => durable.remove(name),
                };
            }
        }
    }

    /// The disk after a cut; every question that the syncs left open is put to `choose`.
    pub(super) fn after_cut(&self, choose: &mut dyn FnMut(u32) -> u32) -> Self {
        let mut disk = self.clone();
        for change in std::mem::take(&mut disk.pending) {
            if choose(2) == 1 {
                disk.apply(&change);
            }
        }
        for node in &mut disk.nodes {
            if let Node::File { durable, now } = node
                && durable != now
            {
                *durable = outcome(durable, now, choose);
            }
        }
        disk
    }

    /// Writes the durable state into the empty directory `out`.
    pub(super) fn write_to(&self, out: &Path) -> io::Result<()> {
        self.write_node(ROOT, out, &mut HashMap::new())
    }

    fn write_node(&self, id: Id, path: &Path, seen: &mut HashMap<Id, PathBuf>) -> io::Result<()> {
        match &self.nodes[id] {
            Node::Dir { durable, .. } => {
                fs::create_dir_all(path)?;
                for (name, child) in durable {
                    self.write_node(*child, &path.join(name), seen)?;
                }
                Ok(())
            }
            Node::Link(target) => write_link(target, path),
            Node::File { durable, .. } => {
                if let Some(first) = seen.get(&id) {
                    return fs::hard_link(first, path);
                }
                fs::write(path, &durable.bytes)?;
                give_mode(path, durable.mode)?;
                seen.insert(id, path.to_owned());
                Ok(())
            }
        }
    }
}

/// What may be left of a file whose last changes were not synced.
fn outcome(durable: &Content, now: &Content, choose: &mut dyn FnMut(u32) -> u32) -> Content {
    let same = durable.bytes.iter().zip(&now.bytes).take_while(|(a, b)| a == b).count();
    let (kept, added) = now.bytes.split_at(same);
    let bytes = match choose(if durable.bytes == now.bytes { 1 } else { 5 }) {
        0 => durable.bytes.clone(),
        1 => now.bytes.clone(),
        2 => [kept, &added[..added.len() / 2]].concat(),
        3 => [kept, &vec![0; added.len()]].concat(),
        _ => kept.to_vec(),
    };
    let mode = if durable.mode != now.mode && choose(2) == 1 {
        now.mode
    } else {
        durable.mode
    };
    Content { bytes, mode }
}
