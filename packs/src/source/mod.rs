//! Owns [`BlobSource`]: the one way to the files of packs, whether they lie in a depot or in a single-file pack.
//!
//! A source is read, never written to. Only validated names below known folders are opened, and only regular files: a pipe
//! that somebody put there keeps nobody waiting.

mod depot;
mod kpack;
mod platform;
mod window;

use std::{
    fmt, io,
    io::{Read, Seek},
    path::{Path, PathBuf},
    sync::Arc,
};

pub use depot::Depot;
pub use kpack::{Kpack, KpackError, KpackWriter, MAX_FAT32, exceeds_fat32};
pub use platform::open_regular;

use crate::{
    Kind, limits,
    names::{self, FileName, NameError},
};

/// A file of a source, open for reading.
pub trait ReadSeekSend: Read + Seek + Send {}

impl<T: Read + Seek + Send> ReadSeekSend for T {}

/// A folder of a depot, or the members of a single-file pack below that name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    /// `packs/`: manifests, signatures, sums, SBOM.
    Packs,
    /// `blobs/`: blobs, parts, indexes, plans.
    Blobs,
    /// `trust/<root16>/`: the root chain of one publisher.
    Trust(String),
    /// `parity/`.
    Parity,
    /// `feed/<root16>/`: update metadata of one publisher.
    Feed(String),
}

impl Section {
    /// The folder, relative to the top, with `/`.
    pub fn folder(&self) -> String {
        match self {
            Self::Packs => "packs".to_owned(),
            Self::Blobs => "blobs".to_owned(),
            Self::Parity => "parity".to_owned(),
            Self::Trust(root16) => format!("trust/{root16}"),
            Self::Feed(root16) => format!("feed/{root16}"),
        }
    }

    /// Refuses a publisher that is not 16 hex digits, which could lead elsewhere.
    fn check(&self) -> Result<(), SourceError> {
        match self {
            Self::Trust(root16) | Self::Feed(root16) if !names::is_hex16(root16) => {
                Err(SourceError::Publisher(root16.clone()))
            }
            _ => Ok(()),
        }
    }
}

/// Where the files of packs come from.
pub trait BlobSource: Send + Sync {
    /// Opens a file; `None` if there is none of that name.
    fn open(&self, section: &Section, name: &str) -> Result<Option<Box<dyn ReadSeekSend>>, SourceError>;

    /// Valid file names of a section, sorted; litter is left out. Empty if there is no such section.
    fn list(&self, section: &Section) -> Result<Vec<String>, SourceError>;

    /// Publishers (`root16`) whose root chain is here, sorted.
    fn publishers(&self) -> Result<Vec<String>, SourceError>;

    /// The place, for people.
    fn describe(&self) -> String;

    /// Place of one file, for messages.
    fn locate(&self, section: &Section, name: &str) -> PathBuf;

    /// Keeps in mind how long a part of a blob is, for when it is not at hand; a source that is opened once need not.
    fn remember_part(&self, _name: &str, _len: u64) {}

    /// What [`BlobSource::remember_part`] was told of the part `name`.
    fn remembered_part(&self, _name: &str) -> Option<u64> {
        None
    }

    /// Reads a whole file of at most `max` bytes; `None` if there is none of that name.
    fn read_small(&self, section: &Section, name: &str, max: u64) -> Result<Option<Vec<u8>>, SourceError> {
        let Some(file) = self.open(section, name)? else {
            return Ok(None);
        };
        let path = self.locate(section, name);
        let mut bytes = Vec::new();
        match file.take(max.saturating_add(1)).read_to_end(&mut bytes) {
            Ok(_) if bytes.len() as u64 > max => Err(SourceError::TooLarge { path, max }),
            Ok(_) => Ok(Some(bytes)),
            Err(source) => Err(SourceError::Io { path, source }),
        }
    }

    /// File names of the manifests, sorted.
    fn manifests(&self) -> Result<Vec<String>, SourceError> {
        let mut names = self.list(&Section::Packs)?;
        names.retain(|name| name.ends_with(names::MANIFEST));
        Ok(names)
    }

    /// File names of the signatures and approvals of `manifest`, sorted.
    fn signatures(&self, manifest: &str) -> Result<Vec<String>, SourceError> {
        let mut names = self.list(&Section::Packs)?;
        names.retain(|name| is_signature_of(name, manifest));
        Ok(names)
    }
}

impl fmt::Debug for dyn BlobSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlobSource({})", self.describe())
    }
}

/// `<manifest>.<keyid16>[.approval].sshsig`.
fn is_signature_of(name: &str, manifest: &str) -> bool {
    name.strip_prefix(manifest)
        .and_then(|rest| rest.strip_prefix('.'))
        .and_then(|rest| rest.strip_suffix(".sshsig"))
        .is_some_and(|key| names::is_hex16(key.strip_suffix(".approval").unwrap_or(key)))
}

/// Opens a depot (a directory) or a single-file pack (a file).
pub fn open(path: &Path) -> Result<Arc<dyn BlobSource>, SourceError> {
    match std::fs::metadata(path) {
        Ok(meta) if meta.is_dir() => Ok(Arc::new(Depot::open(path)?)),
        Ok(_) => Ok(Arc::new(Kpack::open(path)?)),
        Err(source) => Err(SourceError::io(path, source)),
    }
}

/// Why a source could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The medium is not there.
    #[error("there is no `{}`", .0.display())]
    Missing(PathBuf),
    /// The system could not read it.
    #[error("could not read `{}`", path.display())]
    Io {
        /// What was read.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file name that the format does not have.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A publisher that is not named by 16 hex digits.
    #[error("`{}` is no publisher, expected 16 hex digits", crate::path::shorten(.0))]
    Publisher(String),
    /// A file is longer than any of its kind.
    #[error("`{}` has more than {max} bytes", path.display())]
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// Most bytes that are read.
        max: u64,
    },
    /// A folder with more files than are looked at.
    #[error("`{}` has more than {} files", .0.display(), limits::FILES)]
    TooMany(PathBuf),
    /// Not a directory with a folder `packs`, and no single-file pack.
    #[error("`{}` is no depot: it has no folder `packs`", .0.display())]
    NoDepot(PathBuf),
    /// The container of a single-file pack is broken.
    #[error("single-file pack `{}` is damaged at byte {offset}", path.display())]
    Kpack {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// How.
        #[source]
        source: KpackError,
    },
}

impl SourceError {
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        if source.kind() == io::ErrorKind::NotFound {
            return Self::Missing(path);
        }
        Self::Io { path, source }
    }

    /// What scripts see.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Missing(_) | Self::NoDepot(_) => Kind::MediumMissing,
            Self::Io { .. } => Kind::Io,
            Self::Name(_) | Self::Publisher(_) | Self::TooMany(_) => Kind::Malformed,
            // Nobody has signed so many bytes: they were added on the medium.
            Self::Kpack { .. } | Self::TooLarge { .. } => Kind::Damaged,
        }
    }
}

/// A name that may be opened in `section`.
fn checked(section: &Section, name: &str) -> Result<FileName, SourceError> {
    section.check()?;
    Ok(FileName::new(name)?)
}

#[cfg(test)]
mod tests {
    use super::is_signature_of;

    #[test]
    fn only_signatures_of_exactly_this_manifest_are_listed() {
        let m = "a-1.0.0-any.kbx.json";
        for good in [
            "a-1.0.0-any.kbx.json.0011223344556677.sshsig",
            "a-1.0.0-any.kbx.json.0011223344556677.approval.sshsig",
        ] {
            assert!(is_signature_of(good, m), "{good}");
        }
        for bad in [
            "a-1.0.0-any.kbx.json",
            "a-1.0.0-any.kbx.json.sshsig",
            "a-1.0.0-any.kbx.json.001122334455667.sshsig",
            "b-1.0.0-any.kbx.json.0011223344556677.sshsig",
            "a-1.0.0-any.kbx.json.0011223344556677.other.sshsig",
        ] {
            assert!(!is_signature_of(bad, m), "{bad}");
        }
    }
}
