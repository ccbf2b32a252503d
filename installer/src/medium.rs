//! Owns the medium: the depots and single files that packs come from, read only, several of them as one.
//!
//! *Limitations*: what is missing in one source is looked for in the others, so a pack may be spread over several sticks;
//! a source that answers differently on a second read is caught by the hashes, not here.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use kojibox_packs::{
    names,
    source::{BlobSource, ReadSeekSend, Section, SourceError},
};

use crate::patient::{Patient, Watch};

/// A trust root longer than this is something else.
const ROOT_MAX: u64 = 1 << 20;
/// A detached signature longer than this is something else.
const SIGNATURE_MAX: u64 = 16 << 10;
/// A publisher that replaced its root this often is something else.
const CHAIN_MAX: u64 = 4096;

/// Where packs come from.
#[derive(Clone)]
pub(crate) struct Medium {
    sources: Vec<Opened>,
    /// What a person brought while an install was waiting for it.
    late: Late,
    /// How long the parts of blobs are, also of those that are not in the port now.
    parts: Lengths,
    watch: Arc<Watch>,
}

type Lengths = Arc<RwLock<BTreeMap<String, u64>>>;
type Late = Arc<RwLock<Vec<Arc<dyn BlobSource>>>>;

/// One depot or `.kpack`.
#[derive(Clone)]
struct Opened {
    path: PathBuf,
    blobs: Arc<dyn BlobSource>,
}

impl std::fmt::Debug for Medium {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.sources.iter().map(|s| &s.path)).finish()
    }
}

/// The medium could not be used.
#[derive(Debug, thiserror::Error)]
pub enum MediumError {
    /// Nothing was named and the program does not lie on a stick.
    #[error("no packs were found")]
    NoSource(#[source] NotBeside),
    /// A named source is no depot and no `.kpack`.
    #[error("could not open the source `{}`", path.display())]
    Open {
        /// What was named.
        path: PathBuf,
        /// Why.
        source: SourceError,
    },
}

/// Where packs were looked for.
#[derive(Debug, thiserror::Error)]
#[error("there is no `packs` directory beside the program in `{}`", .0.display())]
pub struct NotBeside(PathBuf);

impl Medium {
    /// Opens `sources`, or the directory of `program` when it is a depot.
    pub(crate) fn open(sources: &[PathBuf], program: &Path, watch: &Arc<Watch>) -> Result<Self, MediumError> {
        let beside = program.parent().unwrap_or(Path::new("."));
        let paths = if !sources.is_empty() {
            sources.to_vec()
        } else if beside.join("packs").is_dir() {
            vec![beside.to_owned()]
        } else {
            return Err(MediumError::NoSource(NotBeside(beside.to_owned())));
        };
        Self::of(paths, watch)
    }

    /// Opens exactly `paths`.
    pub(crate) fn of(paths: Vec<PathBuf>, watch: &Arc<Watch>) -> Result<Self, MediumError> {
        let open = |path: PathBuf| match look(&path, watch) {
            Ok((path, blobs)) => Ok(Opened { path, blobs }),
            Err(source) => Err(MediumError::Open { path, source }),
        };
        Ok(Self {
            sources: paths.into_iter().map(open).collect::<Result<_, _>>()?,
            late: Late::default(),
            parts: Lengths::default(),
            watch: Arc::clone(watch),
        })
    }

    /// Says whether `path` is a medium at all.
    pub(crate) fn check(path: &Path, watch: &Arc<Watch>) -> Result<(), SourceError> {
        look(path, watch).map(drop)
    }

    /// Takes one more medium, for whatever the others lack; what was handed out before finds it too.
    pub(crate) fn add(&self, path: PathBuf) -> Result<(), MediumError> {
        let (_, blobs) = look(&path, &self.watch).map_err(|source| MediumError::Open { path, source })?;
        self.late.write().unwrap_or_else(PoisonError::into_inner).push(blobs);
        Ok(())
    }

    /// What was opened.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.sources.iter().map(|s| s.path.as_path())
    }

    /// Where the packs come from, for people.
    pub(crate) fn describe(&self) -> String {
        let all: Vec<_> = self.paths().map(|p| format!("`{}`", p.display())).collect();
        all.join(", ")
    }

    /// Every manifest: position of its source, and file name.
    pub(crate) fn manifests(&self) -> Result<Vec<(usize, String)>, SourceError> {
        let mut all = Vec::new();
        for (at, source) in self.sources.iter().enumerate() {
            all.extend(source.blobs.manifests()?.into_iter().map(|name| (at, name)));
        }
        Ok(all)
    }

    /// Publishers with a root chain on the medium, by their first 16 hex digits.
    pub(crate) fn publishers(&self) -> Result<Vec<String>, SourceError> {
        let mut all = Vec::new();
        for source in &self.sources {
            all.extend(source.blobs.publishers()?);
        }
        all.sort();
        all.dedup();
        Ok(all)
    }

    /// A small file of the source at `at`.
    pub(crate) fn read_small(
        &self,
        at: usize,
        section: &Section,
        name: &str,
        max: u64,
    ) -> Result<Option<Vec<u8>>, SourceError> {
        self.sources[at].blobs.read_small(section, name, max)
    }

    /// Signature and approval files beside a manifest of the source at `at`, with their bytes.
    pub(crate) fn signatures(&self, at: usize, manifest: &str) -> Result<Vec<(String, Vec<u8>)>, SourceError> {
        let blobs = &self.sources[at].blobs;
        let mut found = Vec::new();
        for name in blobs.signatures(manifest)? {
            let bytes = blobs.read_small(&Section::Packs, &name, SIGNATURE_MAX)?;
            found.extend(bytes.map(|bytes| (name, bytes)));
        }
        Ok(found)
    }

    /// Root documents of a publisher from version `from` on, as far as any source carries them without a gap.
    pub(crate) fn root_chain(&self, root16: &str, from: u64) -> Result<Vec<(u64, Vec<u8>)>, SourceError> {
        let mut chain = Vec::new();
        for version in from..from.saturating_add(CHAIN_MAX) {
            let Some(bytes) = self.root_document(root16, version)? else {
                break;
            };
            chain.push((version, bytes));
        }
        Ok(chain)
    }

    fn root_document(&self, root16: &str, version: u64) -> Result<Option<Vec<u8>>, SourceError> {
        let section = Section::Trust(root16.to_owned());
        for source in &self.sources {
            if let Some(bytes) = source.blobs.read_small(&section, &names::root(version), ROOT_MAX)? {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }

    /// The source at `at`, with the others behind it for what it lacks.
    pub(crate) fn blobs(&self, at: usize) -> Arc<dyn BlobSource> {
        let mut first: Vec<_> = self.sources.iter().map(|s| Arc::clone(&s.blobs)).collect();
        first.swap(0, at);
        Arc::new(Several {
            first,
            late: Arc::clone(&self.late),
            parts: Arc::clone(&self.parts),
        })
    }
}

/// Opens one source, and tells its place, spelled the same way as the root will be, so that one inside the other is seen.
fn look(path: &Path, watch: &Arc<Watch>) -> Result<(PathBuf, Arc<dyn BlobSource>), SourceError> {
    let (place, source) = Patient::open(path, watch)?;
    Ok((place, Arc::new(source)))
}

/// Sources asked one after the other; never empty.
struct Several {
    first: Vec<Arc<dyn BlobSource>>,
    late: Late,
    parts: Lengths,
}

impl Several {
    fn all(&self) -> Vec<Arc<dyn BlobSource>> {
        let late = self.late.read().unwrap_or_else(PoisonError::into_inner);
        self.first.iter().chain(&*late).cloned().collect()
    }
}

impl BlobSource for Several {
    fn open(&self, section: &Section, name: &str) -> Result<Option<Box<dyn ReadSeekSend>>, SourceError> {
        let mut failed = None;
        for source in self.all() {
            match source.open(section, name) {
                Ok(Some(file)) => return Ok(Some(file)),
                Ok(None) => {}
                // A stick that was pulled does not keep the others from being asked.
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(None), Err)
    }

    fn list(&self, section: &Section) -> Result<Vec<String>, SourceError> {
        let (mut names, mut failed) = (Vec::new(), None);
        let all = self.all();
        for source in &all {
            match source.list(section) {
                Ok(found) => names.push(found),
                // As in `open`.
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        match failed {
            Some(error) if names.is_empty() => return Err(error),
            _ => {}
        }
        let mut names = names.concat();
        names.sort();
        names.dedup();
        Ok(names)
    }

    fn publishers(&self) -> Result<Vec<String>, SourceError> {
        self.first[0].publishers()
    }

    fn describe(&self) -> String {
        let all: Vec<_> = self.all().iter().map(|s| s.describe()).collect();
        all.join(", ")
    }

    fn remember_part(&self, name: &str, len: u64) {
        let mut parts = self.parts.write().unwrap_or_else(PoisonError::into_inner);
        parts.insert(name.to_owned(), len);
    }

    fn remembered_part(&self, name: &str) -> Option<u64> {
        let parts = self.parts.read().unwrap_or_else(PoisonError::into_inner);
        parts.get(name).copied()
    }

    fn locate(&self, section: &Section, name: &str) -> PathBuf {
        let has = |source: &&Arc<dyn BlobSource>| source.open(section, name).is_ok_and(|file| file.is_some());
        let all = self.all();
        all.iter().find(has).unwrap_or(&self.first[0]).locate(section, name)
    }
}
