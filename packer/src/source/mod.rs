//! Owns where components come from: locking, fetching into the cache, and preparing trees for the build.
//!
//! [`lock`] asks the network once and pins; [`fetch`] fills the cache with exactly that; [`prepare`] makes the tree from the
//! cache alone. Install scripts are never run; package clients run with the person's own configuration. Crates are the
//! exception: they are compiled, and their build scripts and macros run with that.

mod apply;
mod bundle;
mod client;
mod crates;
mod deb;
mod download;
mod error;
mod links;
mod npm;
mod npm_tree;
mod path;
mod platform;
mod prepare;
mod pypi;
mod rpath;
mod tree;
mod unpack;
mod wheel;

use std::{
    fs::File,
    path::{Path, PathBuf},
    time::Duration,
};

use kojibox_packs::Target;
use kojibox_signing::Digest;

use crate::{
    cache::{Cache, Cached},
    definition::{Origin, ResolvedComponent},
    lock::{LockEntry, LockedInput, digest_of},
};

pub(crate) use apply::glob;
pub use bundle::DebianPackage;
pub use client::ClientVars;
pub use error::SourceError;
use error::failed;
pub use prepare::{PreparedTree, prepare};
#[cfg(fuzzing)]
pub use unpack::fuzzed;

/// What fetching may use of the person's machine.
#[derive(Clone, Debug, Default)]
pub struct FetchEnv {
    /// The environment for package clients; also names proxies.
    pub vars: ClientVars,
    /// Nothing is fetched.
    pub offline: bool,
    /// How downloads are repeated.
    pub retry: Retry,
}

/// How downloads are repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Rounds over all mirrors.
    pub rounds: u32,
    /// Wait after the first failed round; doubles, at most 30 s.
    pub wait: Duration,
    /// Longest time to connect, and to the first byte of an answer.
    pub connect: Duration,
    /// Longest time for one answer; what came is kept and resumed.
    pub answer: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            rounds: 4,
            wait: Duration::from_secs(1),
            connect: Duration::from_secs(30),
            answer: Duration::from_mins(5),
        }
    }
}

/// Told what is being fetched; called from one thread.
pub trait Progress {
    /// Files with `size` bytes (None: not known) come next.
    fn begin(&self, what: &str, size: Option<u64>);
    /// More bytes of them came.
    fn add(&self, bytes: u64);
    /// Work comes next that counts no bytes.
    fn step(&self, what: &str);
    /// Something worth knowing.
    fn note(&self, text: &str);
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _what: &str, _size: Option<u64>) {}
    fn add(&self, _bytes: u64) {}
    fn step(&self, _what: &str) {}
    fn note(&self, _text: &str) {}
}

/// One component on its way.
#[derive(Clone, Copy)]
pub(crate) struct Job<'a> {
    target: &'a Target,
    cache: &'a Cache,
    scratch: &'a Path,
    env: &'a FetchEnv,
    progress: &'a dyn Progress,
}

/// Finds out what the inputs of `component` are, fetches them into the cache and pins them.
///
/// # Errors
/// Nothing is pinned; what was fetched stays in the cache.
pub fn lock(
    component: &ResolvedComponent,
    target: &Target,
    cache: &Cache,
    scratch: &Path,
    env: &FetchEnv,
    progress: &dyn Progress,
) -> Result<LockEntry, SourceError> {
    let job = Job {
        target,
        cache,
        scratch,
        env,
        progress,
    };
    let name = &component.id;
    let inputs = job
        .lock(&component.source.origin)
        .map_err(|e| e.of("lock", name, &target.to_string()))?;
    Ok(LockEntry {
        component: name.clone(),
        target: target.to_string(),
        source: component.source.origin.locator(),
        definition: digest_of(&component.source),
        tree_sha256: None,
        inputs,
    })
}

/// Fetches what `entry` pins and the cache lacks. Says how many bytes were fetched.
///
/// # Errors
/// What was fetched stays in the cache; the same call goes on from there.
pub fn fetch(
    component: &ResolvedComponent,
    target: &Target,
    entry: &LockEntry,
    cache: &Cache,
    scratch: &Path,
    env: &FetchEnv,
    progress: &dyn Progress,
) -> Result<u64, SourceError> {
    let job = Job {
        target,
        cache,
        scratch,
        env,
        progress,
    };
    job.fetch(&component.source.origin, &entry.inputs)
        .map_err(|e| e.of("fetch", &component.id, &target.to_string()))
}

impl Job<'_> {
    fn lock(&self, origin: &Origin) -> Result<Vec<LockedInput>, SourceError> {
        if self.env.offline && !matches!(origin, Origin::Path { .. }) {
            let what = origin.locator();
            return Err(SourceError::Offline { what });
        }
        let mut inputs = match origin {
            Origin::Path { .. } => Vec::new(),
            Origin::Url {
                urls,
                sha256,
                signature,
                ..
            } => download::lock(self, urls, *sha256, signature.as_ref())?,
            Origin::Npm {
                name,
                version,
                tree: None,
            } => npm::lock(self, name, version)?,
            Origin::Npm {
                name,
                version,
                tree: Some(with),
            } => npm_tree::lock(self, name, version, with)?,
            Origin::Pypi { .. } => pypi::lock(self, origin)?,
            Origin::Deb { .. } => deb::lock(self, origin)?,
            Origin::Crate { .. } => crates::lock(self, origin)?,
        };
        inputs.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(inputs)
    }

    fn fetch(&self, origin: &Origin, inputs: &[LockedInput]) -> Result<u64, SourceError> {
        let mut missing = Vec::new();
        for input in inputs {
            match self.cache.get(&input.sha256)? {
                Some(mut cached) => download::check(origin.signed_by(), input, &mut cached.file)?,
                None => missing.push(input.clone()),
            }
        }
        let Some(first) = missing.first() else { return Ok(0) };
        if self.env.offline {
            let what = first.name.clone();
            return Err(SourceError::Offline { what });
        }
        match origin {
            Origin::Path { .. } => {}
            Origin::Url { urls, signature, .. } => download::fetch(self, urls, signature.as_ref(), first)?,
            Origin::Npm { .. } => npm::fetch(self, &missing)?,
            Origin::Pypi { .. } => pypi::fetch(self, origin, first)?,
            Origin::Deb { .. } => deb::fetch(self, origin, &missing)?,
            Origin::Crate { .. } => crates::fetch(self, origin, first)?,
        }
        Ok(missing.iter().map(|input| input.size).sum())
    }

    /// The bytes of a pinned input, checked.
    fn cached(&self, input: &LockedInput) -> Result<Cached, SourceError> {
        let what = || input.name.clone();
        self.cache
            .get(&input.sha256)?
            .ok_or_else(|| SourceError::Offline { what: what() })
    }

    /// Takes a file that a client left into the cache; it must be the `expected` one.
    fn adopt(&self, path: &Path, what: &str, expected: Option<&Digest>) -> Result<(Digest, u64), SourceError> {
        let mut file = File::open(path).map_err(failed("read", path))?;
        let (got, size) = self.cache.insert(&mut file)?;
        match expected {
            Some(expected) if *expected != got => Err(SourceError::Checksum {
                what: what.to_owned(),
                expected: *expected,
                got,
                size,
            }),
            _ => Ok((got, size)),
        }
    }

    /// A new folder in scratch.
    fn folder(&self, prefix: &str) -> Result<PathBuf, SourceError> {
        let made = tempfile::Builder::new().prefix(prefix).tempdir_in(self.scratch);
        made.map(tempfile::TempDir::keep)
            .map_err(failed("write in", self.scratch))
    }
}
