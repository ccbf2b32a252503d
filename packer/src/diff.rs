//! Owns comparing two packs: which components changed, which files in them, what else an update would change.

use std::collections::{BTreeMap, BTreeSet};

use kojibox_packs::{
    index::{Entry, Index},
    manifest::{Component, Manifest},
};
use kojibox_signing::Digest;

/// How one component stands in two packs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Only the second pack has it.
    Added,
    /// Only the first pack has it.
    Removed,
    /// Both have it, with other content.
    Content(FileChanges),
    /// Same content, other facts (version, what it needs, how it was compressed).
    Facts,
    /// No difference.
    None,
}

/// Paths that differ between two trees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileChanges {
    /// Only in the second.
    pub added: Vec<String>,
    /// Only in the first.
    pub removed: Vec<String>,
    /// In both, with another content, mode or target.
    pub changed: Vec<String>,
    /// Bytes of files that the first does not have.
    pub new_bytes: u64,
}

/// One component of two packs.
#[derive(Clone, Debug)]
pub struct Compared<'a> {
    /// In the first pack.
    pub old: Option<&'a Component>,
    /// In the second pack.
    pub new: Option<&'a Component>,
    /// How they differ.
    pub change: Change,
}

impl Compared<'_> {
    /// Component id.
    pub fn id(&self) -> &str {
        self.new.or(self.old).map_or("", |c| &c.id)
    }
}

/// Compares the components of two packs, sorted by id; `index` gives the index of a component of the first (`false`) or
/// second (`true`) pack and is asked only where contents differ.
pub fn components<'a, E>(
    old: &'a Manifest,
    new: &'a Manifest,
    mut index: impl FnMut(bool, &Component) -> Result<Index, E>,
) -> Result<Vec<Compared<'a>>, E> {
    let ids: BTreeSet<_> = old
        .components
        .iter()
        .chain(&new.components)
        .map(|c| c.id.as_str())
        .collect();
    let find = |m: &'a Manifest, id: &str| m.components.iter().find(|c| c.id == id);
    let mut out = Vec::new();
    for id in ids {
        let (old, new) = (find(old, id), find(new, id));
        let change = match (old, new) {
            (None, _) => Change::Added,
            (_, None) => Change::Removed,
            (Some(a), Some(b)) if a == b => Change::None,
            (Some(a), Some(b)) if a.tree_sha256 == b.tree_sha256 => Change::Facts,
            (Some(a), Some(b)) => Change::Content(files(&index(false, a)?, &index(true, b)?)),
        };
        out.push(Compared { old, new, change });
    }
    Ok(out)
}

/// Compares two trees path by path.
fn files(old: &Index, new: &Index) -> FileChanges {
    let (old_map, new_map) = (by_path(old), by_path(new));
    let known: BTreeSet<_> = old_map.values().filter_map(|what| what.content).collect();
    let mut out = FileChanges::default();
    let mut counted = BTreeSet::new();
    for (path, what) in &new_map {
        match old_map.get(path) {
            Some(before) if before == what => continue,
            Some(_) => out.changed.push((*path).to_owned()),
            None => out.added.push((*path).to_owned()),
        }
        if let Some((size, sha256)) = what.content
            && !known.contains(&(size, sha256))
            && counted.insert(sha256)
        {
            out.new_bytes += size;
        }
    }
    out.removed = old_map
        .keys()
        .filter(|p| !new_map.contains_key(*p))
        .map(|p| (*p).to_owned())
        .collect();
    out
}

#[derive(PartialEq, Eq)]
struct What<'a> {
    mode: u32,
    content: Option<(u64, Digest)>,
    target: Option<&'a str>,
}

fn by_path(index: &Index) -> BTreeMap<&str, What<'_>> {
    let what = |entry: &'_ Entry| match entry {
        Entry::Dir { mode, .. } => (*mode, None),
        Entry::File { mode, path, .. } | Entry::Same { mode, path, .. } => (*mode, index.content(path)),
        Entry::Link { .. } => (0, None),
    };
    let entries = index.entries().iter().map(|entry| {
        let (mode, content) = what(entry);
        let target = match entry {
            Entry::Link { target, .. } => Some(target.as_str()),
            _ => None,
        };
        let content = content.map(|(size, sha256)| (size, *sha256));
        (entry.path().as_str(), What { mode, content, target })
    });
    entries.collect()
}

/// What else differs between two packs, as short sentences.
pub fn other_changes(old: &Manifest, new: &Manifest) -> Vec<String> {
    let mut out = Vec::new();
    by_id("service", &old.services, &new.services, |s| s.id.as_str(), &mut out);
    by_id(
        "template",
        &old.templates,
        &new.templates,
        |t| t.target.as_str(),
        &mut out,
    );
    by_id("secret", &old.secrets, &new.secrets, |s| s.id.as_str(), &mut out);
    by_id("question", &old.questions, &new.questions, |q| q.id.as_str(), &mut out);
    for service in &new.services {
        let before = old.services.iter().find(|s| s.id == service.id);
        if let Some(before) = before.filter(|b| b.data_format != service.data_format) {
            let name = |f: &Option<String>| f.clone().unwrap_or_else(|| "default".to_owned());
            let (from, to) = (name(&before.data_format), name(&service.data_format));
            let has = new
                .migrations
                .iter()
                .any(|m| m.service == service.id && m.from == from && m.to == to);
            let how = if has {
                "by a migration"
            } else {
                "without a migration: it starts empty"
            };
            out.push(format!(
                "data of service `{}` goes from format `{from}` to `{to}`, {how}",
                service.id
            ));
        }
    }
    if new.sequence < old.sequence {
        out.push("the second is the older one: installing it over the first is a downgrade".to_owned());
    }
    out
}

fn by_id<T: PartialEq>(what: &str, old: &[T], new: &[T], id: impl Fn(&T) -> &str, out: &mut Vec<String>) {
    let ids: BTreeSet<_> = old.iter().chain(new).map(&id).collect();
    for name in ids {
        let find = |list: &[T]| list.iter().position(|t| id(t) == name);
        match (find(old), find(new)) {
            (None, Some(_)) => out.push(format!("{what} `{name}` is new")),
            (Some(_), None) => out.push(format!("{what} `{name}` is gone")),
            (Some(a), Some(b)) if old[a] != new[b] => out.push(format!("{what} `{name}` changed")),
            _ => {}
        }
    }
}
