//! Owns finding a pack: by `name@version` in a depot, or by the path of its manifest or single file.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use kojibox_console::{Exit, Report};
use kojibox_packs::{
    Target,
    manifest::Manifest,
    names,
    source::{self, BlobSource, Section, SourceError},
};
use kojibox_signing::Document as _;

use super::refused::of_kind;

/// How a person names a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PackRef {
    /// `name@version` in a depot.
    Named {
        /// Pack id.
        name: String,
        /// Its version.
        version: String,
    },
    /// A `.kpack` or a `.kbx.json`.
    File(PathBuf),
}

/// The text names no pack.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no pack, expected `name@version` or a path that ends in `.kpack` or `.kbx.json`")]
pub struct PackRefError(String);

impl FromStr for PackRef {
    type Err = PackRefError;

    fn from_str(text: &str) -> Result<Self, PackRefError> {
        if text.ends_with(names::KPACK) || text.ends_with(names::MANIFEST) {
            return Ok(Self::File(text.into()));
        }
        match text.split_once('@') {
            Some((name, version)) if names::is_id(name) && names::is_version(version) => Ok(Self::Named {
                name: name.to_owned(),
                version: version.to_owned(),
            }),
            _ => Err(PackRefError(text.to_owned())),
        }
    }
}

/// A pack of a source. Its manifest was read to be looked at; nothing was verified.
#[derive(Clone, Debug)]
pub struct Found {
    /// Where its files are.
    pub source: Arc<dyn BlobSource>,
    /// File name of its manifest.
    pub name: String,
    /// The manifest as read.
    pub bytes: Vec<u8>,
    /// What it says.
    pub manifest: Manifest,
}

/// No pack was found.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// The depot or file could not be read.
    #[error("could not read the packs of `{}`", path.display())]
    Source {
        /// Depot or file.
        path: PathBuf,
        /// Why.
        #[source]
        source: SourceError,
    },
    /// `name@version` without a depot to look in.
    #[error("`{name}@{version}` is a pack in a depot, but no depot is named")]
    NoDepot {
        /// Pack id.
        name: String,
        /// Its version.
        version: String,
    },
    /// No manifest fits.
    #[error("there is no {wanted} in `{place}`")]
    Absent {
        /// What was looked for.
        wanted: String,
        /// Where.
        place: String,
        /// What is there instead.
        #[source]
        others: Others,
    },
    /// Several targets fit.
    #[error("{wanted} is in `{place}` for several targets: {targets}")]
    Several {
        /// What was looked for.
        wanted: String,
        /// Where.
        place: String,
        /// The targets.
        targets: String,
    },
    /// A manifest cannot be read at all.
    #[error("could not read the manifest `{}`", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Manifests that are there.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.text())]
pub struct Others(Vec<String>);

impl Others {
    fn text(&self) -> String {
        match self.0.len() {
            0 => "no pack is there".to_owned(),
            _ => format!("packs there: {}", self.0.join(", ")),
        }
    }
}

impl FindError {
    fn exit(&self) -> Exit {
        match self {
            Self::Source { source, .. } => of_kind(source.kind()),
            Self::Manifest { .. } => Exit::Malformed,
            Self::Absent { .. } => Exit::MediumMissing,
            Self::NoDepot { .. } | Self::Several { .. } => Exit::Usage,
        }
    }
}

impl From<FindError> for Report {
    fn from(error: FindError) -> Self {
        let exit = error.exit();
        let hint = match &error {
            FindError::NoDepot { .. } => Some("name it with `--depot DIR`"),
            FindError::Several { .. } => Some("choose one with `--target TARGET`"),
            _ => None,
        };
        let report = Self::new(exit, error);
        match hint {
            Some(hint) => report.hint(hint),
            None => report,
        }
    }
}

/// Every pack of `place` that `keep` takes, by file name of the manifest.
pub fn all(place: &Path, keep: impl Fn(&Manifest) -> bool) -> Result<Vec<Found>, FindError> {
    let source = open(place)?;
    let mut found = Vec::new();
    for name in list(place, &source)? {
        let pack = read(&source, name)?;
        if keep(&pack.manifest) {
            found.push(pack);
        }
    }
    Ok(found)
}

/// The one pack that `wanted` names; `target` chooses among several.
pub fn one(wanted: &PackRef, depot: Option<&Path>, target: Option<Target>) -> Result<Found, FindError> {
    match wanted {
        PackRef::File(path) if path.to_string_lossy().ends_with(names::MANIFEST) => by_manifest(path),
        PackRef::File(path) => choose(path, "pack", target, |_| true),
        PackRef::Named { name, version } => {
            let depot = depot.ok_or_else(|| FindError::NoDepot {
                name: name.clone(),
                version: version.clone(),
            })?;
            let what = format!("pack `{name}@{version}`");
            choose(depot, &what, target, |m| m.pack == *name && m.version == *version)
        }
    }
}

fn choose(
    place: &Path,
    what: &str,
    target: Option<Target>,
    fits: impl Fn(&Manifest) -> bool,
) -> Result<Found, FindError> {
    let wanted = match target {
        Some(target) => format!("{what} for target `{target}`"),
        None => what.to_owned(),
    };
    let mut others = Vec::new();
    let mut found = Vec::new();
    for pack in all(place, |_| true)? {
        let right_target = target.is_none_or(|t| pack.manifest.target == t.to_string());
        if right_target && fits(&pack.manifest) {
            found.push(pack);
        } else {
            others.push(pack.name);
        }
    }
    // Without a word about it, this machine's own pack is meant.
    if target.is_none() && found.len() > 1 {
        let host = Target::host().to_string();
        if found.iter().any(|p| p.manifest.target == host) {
            found.retain(|p| p.manifest.target == host);
        }
    }
    let place = place.display().to_string();
    match found.len() {
        0 => Err(FindError::Absent {
            wanted,
            place,
            others: Others(others),
        }),
        1 => Ok(found.remove(0)),
        _ => Err(FindError::Several {
            wanted,
            place,
            targets: found
                .iter()
                .map(|p| p.manifest.target.clone())
                .collect::<Vec<_>>()
                .join(", "),
        }),
    }
}

/// A manifest by its path: its depot is the folder above `packs/`.
fn by_manifest(path: &Path) -> Result<Found, FindError> {
    let depot = path.parent().and_then(Path::parent).unwrap_or(Path::new("."));
    let depot = if depot.as_os_str().is_empty() {
        Path::new(".")
    } else {
        depot
    };
    let source = open(depot)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if !list(depot, &source)?.contains(&name) {
        return Err(FindError::Absent {
            wanted: format!("manifest `{name}`"),
            place: depot.join("packs").display().to_string(),
            others: Others(Vec::new()),
        });
    }
    read(&source, name)
}

fn open(place: &Path) -> Result<Arc<dyn BlobSource>, FindError> {
    source::open(place).map_err(failed(place))
}

fn list(place: &Path, source: &Arc<dyn BlobSource>) -> Result<Vec<String>, FindError> {
    source.manifests().map_err(failed(place))
}

fn failed(place: &Path) -> impl FnOnce(SourceError) -> FindError {
    let path = place.to_owned();
    move |source| FindError::Source { path, source }
}

fn read(source: &Arc<dyn BlobSource>, name: String) -> Result<Found, FindError> {
    let path = source.locate(&Section::Packs, &name);
    let bytes = source
        .read_small(&Section::Packs, &name, Manifest::MAX_BYTES as u64)
        .and_then(|bytes| bytes.ok_or_else(|| SourceError::Missing(path.clone())))
        .map_err(failed(&path))?;
    let manifest = Manifest::parse(&bytes).map_err(|e| FindError::Manifest {
        path,
        source: Box::new(e),
    })?;
    Ok(Found {
        source: Arc::clone(source),
        name,
        bytes,
        manifest,
    })
}
