//! Owns whose the bytes of a bundle are: each package of a closure was unpacked into a spool file of its own, and a file keeps
//! its place in it through every step that moves it.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use crate::{
    lock::LockedInput,
    source::tree::{Content, Node, Tree},
};

/// A Debian package that something of a tree is from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DebianPackage {
    /// Its name, as in `libc6`.
    pub name: String,
    /// Its version, as in `2.36-9+deb12u13`.
    pub version: String,
    /// Its architecture, as in `amd64` or `all`.
    pub architecture: String,
}

/// The packages of a closure by their spool files.
#[derive(Debug, Default)]
pub(in crate::source) struct Packages(BTreeMap<Arc<Path>, DebianPackage>);

impl Packages {
    /// Remembers what `input` was unpacked into.
    pub(super) fn add(&mut self, input: &LockedInput, files: &Tree) {
        let (Some(spool), Some(package)) = (files.iter().find_map(|(_, node)| spool(node)), package(input)) else {
            return;
        };
        self.0.insert(Arc::clone(spool), package);
    }

    /// The packages that files of `tree` are from. A copyright file, which stays when the rest of its package is taken away,
    /// does not count.
    pub(in crate::source) fn of(&self, tree: &Tree) -> Vec<DebianPackage> {
        let counts = |path: &str| !(path.starts_with("share/doc/") && path.ends_with("/copyright"));
        let spools = tree
            .iter()
            .filter(|(path, _)| counts(path))
            .filter_map(|(_, node)| spool(node));
        let mut found: Vec<DebianPackage> = spools.filter_map(|spool| self.0.get(spool).cloned()).collect();
        found.sort();
        found.dedup();
        found
    }
}

fn spool(node: &Node) -> Option<&Arc<Path>> {
    match node {
        Node::File {
            content: Content::Spooled { spool, .. },
            ..
        } => Some(spool),
        _ => None,
    }
}

/// `deb:NAME=VERSION` in `NAME_VERSION_ARCHITECTURE.deb`.
fn package(input: &LockedInput) -> Option<DebianPackage> {
    let (name, version) = input.locator.strip_prefix("deb:")?.split_once('=')?;
    let (_, architecture) = input.name.strip_suffix(".deb")?.rsplit_once('_')?;
    Some(DebianPackage {
        name: name.to_owned(),
        version: version.to_owned(),
        architecture: architecture.to_owned(),
    })
}
