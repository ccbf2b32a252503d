//! Owns [`Disk`]: what of a root is durable and what is not, and every state that a power cut may leave of it.
//!
//! Assumed of the file system, no more: a rename is one change, and durable when either of its directories was synced;
//! a name is durable after a sync of its directory, bytes, length and mode after a sync of the file, everything after a
//! sync of the file system; changes of one name keep their order. Whatever else was not synced is there or not, each
//! change for itself: names in any combination, each write not at all, by half, as zeros, or whole.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use kojibox_signing::Digest;
use walkdir::WalkDir;

use super::events::Event;
use crate::{Failure, Outcome, ensure, platform};

type Id = usize;

const ROOT: Id = 0;

/// A root with everything that is open about it.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    nodes: Vec<Node>,
    /// Changes of names that are not durable, in order.
    names: Vec<Vec<(Id, String, Option<Id>)>>,
    /// Changes of bytes and modes that are not durable, in order.
    bytes: Vec<(Id, Change)>,
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

#[derive(Clone, Debug)]
struct Content {
    /// Shared by the states that have them in common.
    bytes: Arc<Bytes>,
    mode: u32,
}

/// Bytes of a file, with their digest once somebody has asked for it: most files are the same in most states.
#[derive(Debug, Default)]
struct Bytes {
    all: Vec<u8>,
    digest: OnceLock<Digest>,
}

impl Bytes {
    fn new(all: Vec<u8>) -> Arc<Self> {
        let digest = OnceLock::new();
        Arc::new(Self { all, digest })
    }

    fn digest(&self) -> &Digest {
        self.digest.get_or_init(|| Digest::of(&self.all))
    }

    /// To be changed: an own copy if another state has them too.
    fn change(this: &mut Arc<Self>) -> &mut Vec<u8> {
        let own = Arc::make_mut(this);
        own.digest = OnceLock::new();
        &mut own.all
    }
}

impl Clone for Bytes {
    fn clone(&self) -> Self {
        let digest = OnceLock::new();
        let all = self.all.clone();
        Self { all, digest }
    }
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Arc<[u8]>),
    Length(usize),
    Mode(u32),
}

impl Change {
    /// Applies it in `way`: 1 whole, 2 by half, 3 as zeros.
    fn apply(&self, content: &mut Content, way: u32) {
        match self {
            Self::Write(at, bytes) => {
                let len = if way == 2 { bytes.len() / 2 } else { bytes.len() };
                let (end, content) = (at + len, Bytes::change(&mut content.bytes));
                if content.len() < end {
                    content.resize(end, 0);
                }
                if way == 3 {
                    content[*at..end].fill(0);
                } else {
                    content[*at..end].copy_from_slice(&bytes[..len]);
                }
            }
            Self::Length(len) => Bytes::change(&mut content.bytes).resize(*len, 0),
            Self::Mode(mode) => content.mode = *mode,
        }
    }

    fn ways(&self) -> u32 {
        if matches!(self, Self::Write(..)) { 4 } else { 2 }
    }
}

/// One state that a cut may leave.
#[derive(Debug)]
pub(crate) struct State {
    nodes: Vec<Node>,
}

impl Disk {
    /// Takes what is in `root` as durable; an absent root is empty.
    pub(crate) fn load(root: &Path) -> Outcome<Self> {
        let mut disk = Self {
            nodes: vec![Node::Dir {
                durable: BTreeMap::new(),
                now: BTreeMap::new(),
            }],
            names: Vec::new(),
            bytes: Vec::new(),
        };
        if root.exists() {
            for entry in WalkDir::new(root).min_depth(1).sort_by_file_name() {
                let entry = entry.map_err(Failure::doing(format!("could not walk `{}`", root.display())))?;
                let name = entry.path().strip_prefix(root).unwrap_or(entry.path());
                let node = load(entry.path())?;
                disk.make(&name.to_string_lossy(), node)?;
            }
        }
        let names = std::mem::take(&mut disk.names);
        for change in &names {
            apply(&mut disk.nodes, change);
        }
        Ok(disk)
    }

    fn find(&self, path: &str) -> Option<Id> {
        let segments = path.split('/').filter(|segment| !segment.is_empty());
        segments
            .into_iter()
            .try_fold(ROOT, |id, segment| match &self.nodes[id] {
                Node::Dir { now, .. } => now.get(segment).copied(),
                _ => None,
            })
    }

    pub(crate) fn exists(&self, path: &str) -> bool {
        self.find(path).is_some()
    }

    fn known(&self, path: &str) -> Outcome<Id> {
        self.find(path)
            .ok_or_else(|| Failure::new(format!("`{path}` is not known to the model")))
    }

    fn parent(&self, path: &str) -> Outcome<(Id, String)> {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        Ok((self.known(dir)?, name.to_owned()))
    }

    fn set(&mut self, change: Vec<(Id, String, Option<Id>)>) {
        for (dir, name, child) in &change {
            if let Node::Dir { now, .. } = &mut self.nodes[*dir] {
                match child {
                    Some(child) => now.insert(name.clone(), *child),
                    None => now.remove(name),
                };
            }
        }
        self.names.push(change);
    }

    fn make(&mut self, path: &str, node: Node) -> Outcome {
        let (dir, name) = self.parent(path)?;
        self.nodes.push(node);
        self.set(vec![(dir, name, Some(self.nodes.len() - 1))]);
        Ok(())
    }

    fn change(&mut self, path: &str, change: impl FnOnce(&Content) -> Change) -> Outcome {
        let id = self.known(path)?;
        let Node::File { now, .. } = &mut self.nodes[id] else {
            return Err(Failure::new(format!("`{path}` is not a file")));
        };
        let change = change(now);
        change.apply(now, 1);
        self.bytes.push((id, change));
        Ok(())
    }

    /// Does what `event` did.
    pub(crate) fn apply(&mut self, event: &Event) -> Outcome {
        match event {
            Event::Dir(path) => {
                let (durable, now) = (BTreeMap::new(), BTreeMap::new());
                self.make(path, Node::Dir { durable, now })
            }
            Event::Create(path, mode) => {
                let mode = mode & !platform::umask();
                let durable = Content {
                    bytes: Arc::default(),
                    mode,
                };
                let now = durable.clone();
                self.make(path, Node::File { durable, now })
            }
            Event::Write(path, at, bytes) => self.change(path, |now| {
                let at = if *at == usize::MAX { now.bytes.all.len() } else { *at };
                Change::Write(at, Arc::from(&bytes[..]))
            }),
            Event::Truncate(path, len) => self.change(path, |_| Change::Length(*len)),
            Event::Mode(path, mode) => self.change(path, |_| Change::Mode(*mode)),
            Event::Rename(from, to) => {
                let (id, a, b) = (self.known(from)?, self.parent(from)?, self.parent(to)?);
                self.set(vec![(a.0, a.1, None), (b.0, b.1, Some(id))]);
                Ok(())
            }
            Event::Link(from, to) => {
                let (id, (dir, name)) = (self.known(from)?, self.parent(to)?);
                self.set(vec![(dir, name, Some(id))]);
                Ok(())
            }
            Event::Symlink(target, path) => self.make(path, Node::Link(target.clone())),
            Event::Remove(path) => {
                let (dir, name) = self.parent(path)?;
                self.set(vec![(dir, name, None)]);
                Ok(())
            }
            Event::Sync(path) => self.known(path).map(|id| self.sync(&BTreeSet::from([id]))),
            Event::SyncAll => {
                self.sync(&(0..self.nodes.len()).collect());
                Ok(())
            }
        }
    }

    fn sync(&mut self, ids: &BTreeSet<Id>) {
        let names = std::mem::take(&mut self.names);
        for change in names {
            if change.iter().any(|(dir, ..)| ids.contains(dir)) {
                apply(&mut self.nodes, &change);
            } else {
                self.names.push(change);
            }
        }
        self.bytes.retain(|(id, _)| !ids.contains(id));
        for id in ids {
            if let Node::File { durable, now } = &mut self.nodes[*id] {
                durable.clone_from(now);
            }
        }
    }

    /// The questions that a cut now leaves open: in how many ways each may be answered.
    pub(crate) fn questions(&self) -> Vec<u32> {
        let names = self.names.iter().map(|_| 2);
        names
            .chain(self.bytes.iter().map(|(_, change)| change.ways()))
            .collect()
    }

    /// The state after a cut that answered the questions so: 0 lost, 1 whole, 2 half, 3 zeros.
    pub(crate) fn after_cut(&self, answers: &[u32]) -> State {
        let mut nodes = self.nodes.clone();
        let (names, bytes) = answers.split_at(self.names.len());
        for (change, way) in self.names.iter().zip(names) {
            if *way > 0 {
                apply(&mut nodes, change);
            }
        }
        for ((id, change), way) in self.bytes.iter().zip(bytes) {
            if *way > 0
                && let Node::File { durable, .. } = &mut nodes[*id]
            {
                change.apply(durable, *way);
            }
        }
        State { nodes }
    }

    /// What the programs see now.
    pub(crate) fn now(&self) -> State {
        self.after_cut(&vec![1; self.questions().len()])
    }
}

fn apply(nodes: &mut [Node], change: &[(Id, String, Option<Id>)]) {
    for (dir, name, child) in change {
        if let Node::Dir { durable, .. } = &mut nodes[*dir] {
            match child {
                Some(child) => durable.insert(name.clone(), *child),
                None => durable.remove(name),
            };
        }
    }
}

fn load(path: &Path) -> Outcome<Node> {
    let failed = || Failure::doing(format!("could not read `{}`", path.display()));
    let meta = fs::symlink_metadata(path).map_err(failed())?;
    if meta.is_dir() {
        let (durable, now) = (BTreeMap::new(), BTreeMap::new());
        return Ok(Node::Dir { durable, now });
    }
    if meta.is_symlink() {
        let target = fs::read_link(path).map_err(failed())?;
        return Ok(Node::Link(target.to_string_lossy().into_owned()));
    }
    let durable = Content {
        bytes: Bytes::new(fs::read(path).map_err(failed())?),
        mode: platform::mode(&meta),
    };
    let now = durable.clone();
    Ok(Node::File { durable, now })
}

impl State {
    /// Every path with what is there, in a form of one line.
    pub(crate) fn picture(&self) -> BTreeMap<String, String> {
        let mut out = BTreeMap::new();
        self.walk(ROOT, "", &mut |path, node| {
            let what = match node {
                Node::Dir { .. } => "dir".to_owned(),
                Node::Link(target) => format!("link {target}"),
                Node::File { durable, .. } => {
                    format!(
                        "{:o} {} {}",
                        durable.mode,
                        durable.bytes.all.len(),
                        durable.bytes.digest()
                    )
                }
            };
            out.insert(path.to_owned(), what);
        });
        out
    }

    /// One number for one state.
    pub(crate) fn digest(&self) -> Digest {
        let lines: Vec<String> = self
            .picture()
            .into_iter()
            .map(|(path, what)| format!("{path} {what}\n"))
            .collect();
        Digest::of(lines.concat().as_bytes())
    }

    fn walk(&self, id: Id, path: &str, see: &mut dyn FnMut(&str, &Node)) {
        if let Node::Dir { durable, .. } = &self.nodes[id] {
            for (name, child) in durable {
                let below = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}/{name}")
                };
                see(&below, &self.nodes[*child]);
                self.walk(*child, &below, see);
            }
        }
    }

    /// Makes it at `root`, which does not exist.
    pub(crate) fn write(&self, root: &Path) -> Outcome {
        let mut files: HashMap<*const Content, PathBuf> = HashMap::new();
        let mut result = fs::create_dir(root);
        self.walk(ROOT, "", &mut |path, node| {
            if result.is_ok() {
                let at = root.join(path);
                result = match node {
                    Node::Dir { .. } => fs::create_dir(&at),
                    Node::Link(target) => platform::symlink(target, &at),
                    Node::File { durable, .. } => match files.get(&std::ptr::from_ref(durable)) {
                        Some(first) => fs::hard_link(first, &at),
                        None => fs::write(&at, &durable.bytes.all).and_then(|()| {
                            files.insert(durable, at.clone());
                            platform::set_mode(&at, durable.mode)
                        }),
                    },
                };
            }
        });
        result.map_err(Failure::doing(format!(
            "could not make a state at `{}`",
            root.display()
        )))
    }

    /// It is what is at `root`, to the byte.
    pub(crate) fn expect(&self, root: &Path) -> Outcome {
        let (model, found) = (self.picture(), crate::tree::picture(root)?);
        ensure(model == found, || {
            let differs: Vec<_> = model
                .iter()
                .filter(|(path, what)| found.get(*path) != Some(what))
                .collect();
            let more: Vec<_> = found.keys().filter(|path| !model.contains_key(*path)).collect();
            format!("the recorder lost something: {differs:?} is not there so, {more:?} is not known")
        })
    }
}
