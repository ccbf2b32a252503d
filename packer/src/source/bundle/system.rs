//! Owns a closure of packages as one file system: whose each file is, and where a path leads through links.

use std::collections::BTreeMap;

use crate::source::tree::{Node, Tree};

/// Longest chain of links.
const MAX_CHAIN: usize = 40;

/// Folders at the top that are links to the same name below `usr/`, in packages of every release: what a package has in
/// `/lib` and what another has in `/usr/lib` is one folder.
const MERGED: [&str; 4] = ["bin", "lib", "lib64", "sbin"];

/// What the packages of a closure would be once they were installed. Folders are implied.
#[derive(Default)]
pub(super) struct System {
    files: Tree,
    owners: BTreeMap<String, String>,
}

impl System {
    /// Adds the files of `package`.
    pub(super) fn add(&mut self, package: &str, files: &Tree) {
        for (path, node) in files.iter() {
            if matches!(node, Node::Dir) || MERGED.contains(&path.as_str()) {
                continue;
            }
            let path = merged(path.clone());
            self.files.put(path.clone(), node.clone());
            self.owners.insert(path, package.to_owned());
        }
    }

    pub(super) fn files(&self) -> &Tree {
        &self.files
    }

    /// The package that the file at `path` is from.
    pub(super) fn owner(&self, path: &str) -> Option<&str> {
        self.owners.get(path).map(String::as_str)
    }

    /// The file or folder that `path` leads to; None: nothing, or a chain without an end.
    pub(super) fn real(&self, path: &str) -> Option<String> {
        let mut path = merged(normal(path.split('/')));
        for _ in 0..MAX_CHAIN {
            match self.first_link(&path) {
                None => return (self.files.get(&path).is_some() || self.files.is_dir(&path)).then_some(path),
                Some(next) => path = next,
            }
        }
        None
    }

    /// `path` with the first link on its way replaced by where it leads.
    fn first_link(&self, path: &str) -> Option<String> {
        let borders = path.match_indices('/').map(|(i, _)| i).chain([path.len()]);
        for border in borders {
            let Some(Node::Link { target }) = self.files.get(&path[..border]) else {
                continue;
            };
            // An absolute target starts at the top of the system, another one at the folder of the link.
            let folder = match path[..border].rsplit_once('/') {
                Some((folder, _)) if !target.starts_with('/') => folder,
                _ => "",
            };
            let way = folder
                .split('/')
                .chain(target.split('/'))
                .chain(path[border..].split('/'));
            return Some(merged(normal(way)));
        }
        None
    }
}

/// Takes `.` and `..` out; nothing leads above the top.
fn normal<'p>(segments: impl Iterator<Item = &'p str>) -> String {
    let mut out: Vec<&str> = Vec::new();
    for segment in segments {
        match segment {
            "" | "." => {}
            ".." => drop(out.pop()),
            name => out.push(name),
        }
    }
    out.join("/")
}

/// The path below `usr/`, where the top folder is a link to it.
fn merged(path: String) -> String {
    let top = path.split('/').next().unwrap_or_default();
    if MERGED.contains(&top) {
        return format!("usr/{path}");
    }
    path
}
