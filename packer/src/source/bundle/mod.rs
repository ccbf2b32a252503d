//! Owns bundling: of a Debian package and everything that it depends on, what the roots name and what that needs to run.
//!
//! The result: the roots at their own paths, below `usr/`; each library under the name that it is asked for in `lib/`; glibc's
//! own in `lib/core/`, with its loader once more as `lib/core/ld.so`, a name that is the same on every machine; the
//! copyright file of each package that something was taken from in `share/doc/PACKAGE/`. It holds no links: those of the
//! packages become copies, which are stored once. Same packages and roots, same tree.
//!
//! *Limitations*: libraries that a program only opens while it runs (`dlopen`) are not seen; they are named in the roots.

mod libraries;
mod packages;
mod system;

use globset::GlobMatcher;

use super::{
    Job, apply,
    error::SourceError,
    tree::{MAX_ENTRIES, Node, Tree},
    unpack,
};
use crate::{elf::Machine, lock::LockedInput};
pub use packages::DebianPackage;
pub(super) use packages::Packages;
use system::System;

/// Longest chain of folders that are links.
const MAX_DEPTH: usize = 16;

/// Unpacks the pinned packages and keeps what `roots` name and what that needs.
pub(super) fn unpack(job: &Job<'_>, inputs: &[LockedInput], roots: &[String]) -> Result<(Tree, Packages), SourceError> {
    let (mut system, mut packages) = (System::default(), Packages::default());
    for input in inputs {
        let mut cached = job.cached(input)?;
        let files = unpack::unpack_leniently(&mut cached.file, &input.name, job.scratch)?;
        let package = input.name.split('_').next().unwrap_or(&input.name);
        system.add(package, &files);
        packages.add(input, &files);
    }
    let tree = match Machine::of(*job.target) {
        Some(machine) => bundle(&system, roots, machine)?,
        None => Tree::default(),
    };
    Ok((tree, packages))
}

/// Makes the bundle of a whole system of packages.
fn bundle(system: &System, roots: &[String], machine: Machine) -> Result<Tree, SourceError> {
    let mut kept = Kept::default();
    for path in selected(system, roots)? {
        kept.root(system, &path)?;
    }
    libraries::add(system, &mut kept, machine)?;
    kept.copyrights(system);
    Ok(kept.tree)
}

/// The bundle as it grows.
#[derive(Default)]
struct Kept {
    tree: Tree,
    /// Path in the bundle, and where it comes from in the system.
    sources: Vec<(String, String)>,
}

impl Kept {
    /// Keeps the file `real` of the system as `path`.
    fn put(&mut self, system: &System, path: &str, real: &str) {
        if let Some(node @ Node::File { .. }) = system.files().get(real) {
            self.tree.put(path.to_owned(), node.clone());
            self.sources.push((path.to_owned(), real.to_owned()));
        }
    }

    /// Keeps what the roots name at `path`: a file, or what a link leads to.
    fn root(&mut self, system: &System, path: &str) -> Result<(), SourceError> {
        self.follow(system, path, path, MAX_DEPTH)
    }

    fn follow(&mut self, system: &System, path: &str, at: &str, depth: usize) -> Result<(), SourceError> {
        let refused = |reason: String| SourceError::Entry {
            path: path.to_owned(),
            reason,
        };
        let Some(real) = system.real(at) else {
            let reason =
                "it is a link to something that no package of the closure has; take it away with `!` in `roots`";
            return Err(refused(reason.to_owned()));
        };
        if !system.files().is_dir(&real) {
            self.put(system, path, &real);
            return Ok(());
        }
        if depth == 0 || self.sources.len() > MAX_ENTRIES {
            return Err(refused(
                "its links to folders lead round in circles, or too deep".to_owned(),
            ));
        }
        for (below, _) in system.files().below(&real) {
            let rest = &below[real.len()..];
            self.follow(system, &format!("{path}{rest}"), below, depth - 1)?;
        }
        Ok(())
    }

    /// Keeps the copyright file of each package that something was taken from: their licences ask for it.
    fn copyrights(&mut self, system: &System) {
        let mut packages: Vec<&str> = self.sources.iter().filter_map(|(_, real)| system.owner(real)).collect();
        packages.sort_unstable();
        packages.dedup();
        for package in packages {
            if let Some(real) = system.real(&format!("usr/share/doc/{package}/copyright")) {
                self.put(system, &format!("share/doc/{package}/copyright"), &real);
            }
        }
    }
}

/// Files and links that the roots name: of the patterns that match, the last one decides.
fn selected(system: &System, roots: &[String]) -> Result<Vec<String>, SourceError> {
    let patterns: Vec<(bool, GlobMatcher)> = roots
        .iter()
        .map(|root| {
            let pattern = root.strip_prefix('!').unwrap_or(root);
            let matcher = apply::glob(pattern).expect("patterns were checked when the definition was read");
            (!root.starts_with('!'), matcher)
        })
        .collect();
    let mut used = vec![false; patterns.len()];
    let mut paths = Vec::new();
    for (path, _) in system.files().iter() {
        let mut keep = false;
        for (i, (adds, matcher)) in patterns.iter().enumerate() {
            // A pattern may name a folder: what lies below it is meant.
            if matcher.is_match(path) || apply::parents(path).any(|folder| matcher.is_match(folder)) {
                used[i] = true;
                keep = *adds;
            }
        }
        if keep {
            paths.push(path.clone());
        }
    }
    match used.iter().position(|used| !used) {
        Some(unused) => Err(apply::no_match("roots", &roots[unused], system.files())),
        None => Ok(paths),
    }
}
