//! Owns [`StateError`]: why an install root could not be read, locked or changed.

use std::{io, path::PathBuf, time::Duration};

use kojibox_signing::Digest;

use crate::{lock::Holder, path::RootPathError, store::StoreError};

/// An install root could not be read, locked or changed.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A change or a read was refused by the file system.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A name does not stay inside the root.
    #[error(transparent)]
    Path(#[from] RootPathError),
    /// A document of the root does not parse.
    #[error("could not read `{}`", path.display())]
    Document {
        /// Full path.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A document was written by a newer program.
    #[error("`{}` has schema `{found}`, and this program reads `{known}`", path.display())]
    Schema {
        /// Full path.
        path: PathBuf,
        /// What it says.
        found: String,
        /// What we read.
        known: &'static str,
    },
    /// A record is not what its digest says.
    #[error("`{}` is damaged: sha256 is `{got}`, expected `{expected}`", path.display())]
    Damaged {
        /// Full path.
        path: PathBuf,
        /// Of the bytes on disk.
        got: Digest,
        /// Of the bytes that were recorded.
        expected: Digest,
    },
    /// A record that another one names is not there.
    #[error("`{}` is missing", path.display())]
    Missing {
        /// Full path.
        path: PathBuf,
    },
    /// A recorded manifest or index has the right digest and does not parse.
    #[error("could not read the record `{}`", path.display())]
    Manifest {
        /// Full path.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is no install root.
    #[error("`{}` is not an install root", path.display())]
    NotARoot {
        /// The directory.
        path: PathBuf,
    },
    /// The directory belongs to something else.
    #[error("`{}` is not empty and not an install root: it holds `{holds}`", path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// One thing in it.
        holds: String,
    },
    /// The directory could not be made.
    #[error("could not make the install root `{}`", path.display())]
    Create {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody else works on it.
    #[error("could not lock install root `{}` within {} s{}", path.display(), waited.as_secs(), by(holder.as_ref()))]
    Busy {
        /// The root.
        path: PathBuf,
        /// How long was waited.
        waited: Duration,
        /// Who holds it, if known.
        #[source]
        holder: Option<Holder>,
    },
    /// The file system cannot lock.
    #[error("could not use the lock `{}`", path.display())]
    Lock {
        /// Full path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The journal is broken in the middle, which no crash does.
    #[error("the journal `{}` is damaged at byte {offset}", path.display())]
    Journal {
        /// Full path.
        path: PathBuf,
        /// Start of the broken record.
        offset: u64,
    },
    /// The receipts do not follow from one another.
    #[error("receipt `{}` does not continue the chain: {why}", path.display())]
    Chain {
        /// Full path.
        path: PathBuf,
        /// What is wrong, got and expected.
        why: String,
    },
    /// No randomness for an id.
    #[error("could not get random bytes from the system")]
    Random(#[source] getrandom::Error),
}

/// A holder that is known is the cause; the others say no name, because any number of them may read at once.
fn by(holder: Option<&Holder>) -> &'static str {
    if holder.is_some() {
        ""
    } else {
        ": it is held by a command that only reads"
    }
}

impl StateError {
    /// The file system's refusal, if it is one.
    pub fn store(&self) -> Option<&StoreError> {
        match self {
            Self::Store(error) => Some(error),
            _ => None,
        }
    }

    /// True if what is on disk is not what was written: no other reader and no later try would read it.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Document { .. } | Self::Damaged { .. } | Self::Missing { .. } | Self::Manifest { .. } => true,
            Self::Store(error) => error.kind() == Some(io::ErrorKind::FileTooLarge),
            _ => false,
        }
    }

    /// True if the process counts as dead (fault injection).
    pub fn is_killed(&self) -> bool {
        self.store().is_some_and(StoreError::is_killed)
    }
}
