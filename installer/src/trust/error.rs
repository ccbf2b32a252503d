//! Owns why no trust could be established.

use std::path::PathBuf;

use kojibox_packs::source::SourceError;
use kojibox_signing::{UtcTime, root::RootError};

/// No trust could be established.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Nothing says whom to trust.
    #[error("nothing says which publisher to trust")]
    Nobody,
    /// A trust root file could not be read.
    #[error("could not read the trust root `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An approval could not be read.
    #[error("could not read the approval `{}`", path.display())]
    Approval {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A root is no good by itself or does not follow from the one before.
    #[error("could not accept {what}")]
    Root {
        /// Which one.
        what: String,
        /// Why.
        source: RootError,
    },
    /// The roots appended to this program are damaged.
    #[error("could not read the trust roots appended to this program")]
    Embedded(#[source] kojibox_signing::embedded::EmbeddedError),
    /// The medium could not be read.
    #[error("could not read the trust roots of the medium")]
    Medium(#[source] SourceError),
    /// The root from outside is not reached by any chain of the medium.
    #[error("no trust root on the medium matches {wanted}")]
    NotOnMedium {
        /// What was looked for.
        wanted: String,
    },
    /// A chain does not begin with the document that names it.
    #[error(
        "the trust root chain `trust/{root16}` of the medium does not belong there: its `1.root.json` is root `{got}`"
    )]
    Misplaced {
        /// Directory name.
        root16: String,
        /// What its first document makes.
        got: String,
    },
    /// It was stale before the newest signed document was made.
    #[error(
        "trust root {version} of publisher `{root16}` expired at {expires}, signed documents prove that it is at least {not_before}"
    )]
    Expired {
        /// Publisher.
        root16: String,
        /// Version of its newest root.
        version: u64,
        /// When it became stale.
        expires: UtcTime,
        /// Newest signed time.
        not_before: UtcTime,
    },
    /// The install root trusts somebody else.
    #[error("this install root does not trust {wanted}")]
    NotPinned {
        /// What was given.
        wanted: String,
    },
}
