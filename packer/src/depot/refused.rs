//! Owns why a finished pack was not taken, and what scripts see of it: the same codes as the installer's.

use std::path::PathBuf;

use kojibox_console::{Exit, Report};
use kojibox_packs::{
    Kind,
    manifest::ManifestError,
    names,
    parity::ParityError,
    read::{Place, ReadError, Survey},
    source::SourceError,
};
use kojibox_signing::{Digest, Refusal, VerifyError};

use super::ChainError;
use crate::interrupt;

/// Why a finished pack was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The depot or file could not be read.
    #[error("could not read `{}`", path.display())]
    Source {
        /// What was read.
        path: PathBuf,
        /// Why.
        #[source]
        source: SourceError,
    },
    /// A chain of trust roots does not hold.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// No trust root is there and none was given.
    #[error("could not verify the packs of `{place}`: no trust root is there and none was given")]
    NoTrust {
        /// Depot or file.
        place: String,
    },
    /// The roots there and the given one went different ways.
    #[error("the trust roots of publisher `{publisher}` in `{place}` do not follow from the given one")]
    Fork {
        /// Publisher.
        publisher: String,
        /// Depot or file.
        place: String,
    },
    /// No sufficient valid signature, or signed content that breaks the format.
    #[error("could not verify pack `{pack}`{}", names::signed_in(.signatures))]
    Manifest {
        /// File name of the manifest.
        pack: String,
        /// Files with its signatures.
        signatures: Vec<String>,
        /// Why.
        #[source]
        source: Box<VerifyError<ManifestError>>,
    },
    /// The manifest lies under the name of another pack.
    #[error("manifest `{name}` should be called `{expected}`")]
    Misnamed {
        /// Its name.
        name: String,
        /// The name that follows from its content.
        expected: String,
    },
    /// A file that the manifest names is not there.
    #[error("`{}` is not there, which pack `{pack}` needs", path.display())]
    Missing {
        /// File name of the manifest.
        pack: String,
        /// The file.
        path: PathBuf,
    },
    /// A signed hash or size does not match.
    #[error("`{}` does not match the manifest of pack `{pack}`", path.display())]
    Damaged {
        /// File name of the manifest.
        pack: String,
        /// The file.
        path: PathBuf,
        /// How they differ.
        #[source]
        source: Box<Mismatch>,
    },
    /// The list for plain tools is not the one that the manifest implies.
    #[error("`{}` is signed, but does not list the files of its pack", path.display())]
    Sums {
        /// The list.
        path: PathBuf,
    },
    /// A component's blob is damaged on this medium.
    #[error("component `{component}` of pack `{pack}` is damaged, {}", cure(&source.survey))]
    Spoiled {
        /// Component id.
        component: String,
        /// File name of the manifest.
        pack: String,
        /// Where.
        #[source]
        source: Box<Spoiled>,
    },
    /// The parity of a good blob is of no use.
    #[error("parity `{}` is damaged", path.display())]
    Parity {
        /// The file.
        path: PathBuf,
        /// How.
        #[source]
        source: ParityError,
    },
    /// A component's blob or index was refused.
    #[error("component `{component}` of pack `{pack}` was refused")]
    Component {
        /// Component id.
        component: String,
        /// File name of the manifest.
        pack: String,
        /// Why.
        #[source]
        source: Box<ReadError>,
    },
}

/// The damaged places of a blob.
#[derive(Debug, thiserror::Error)]
#[error("{}", places(survey))]
pub struct Spoiled {
    /// All of them.
    pub survey: Survey,
    /// What a reader says of the first; `None` if parity repaired everything.
    #[source]
    pub cause: Option<Box<ReadError>>,
}

/// Places that are told one by one.
const TOLD: usize = 16;

fn places(survey: &Survey) -> String {
    let unit = if survey.blocks { "block" } else { "frame" };
    let told = survey.places.iter().take(TOLD).map(|p| {
        let Place {
            path,
            offset,
            len,
            number,
        } = p;
        format!("`{}` at byte {offset}: {unit} {number}, {len} bytes", path.display())
    });
    let mut told: Vec<String> = told.collect();
    if let more @ 1.. = survey.places.len().saturating_sub(TOLD) {
        told.push(format!("and {more} more"));
    }
    told.join("; ")
}

fn cure(survey: &Survey) -> &'static str {
    match survey.curable {
        None => "and there is no parity",
        Some(true) => "and parity repairs all of it",
        Some(false) => "and more is lost than parity repairs",
    }
}

/// What was found and what a signed document states.
#[derive(Debug, thiserror::Error)]
#[error("sha256 is `{got}` over {got_size} bytes, expected `{expected}` over {expected_size} bytes")]
pub struct Mismatch {
    /// Of the bytes as read.
    pub got: Digest,
    /// Bytes as read.
    pub got_size: u64,
    /// As signed.
    pub expected: Digest,
    /// As signed.
    pub expected_size: u64,
}

impl Refused {
    /// What scripts see.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Source { source, .. } | Self::Chain(ChainError::Read { source, .. }) => of_kind(source.kind()),
            Self::Chain(ChainError::Root { source, .. }) => of_refusal(source.refusal()),
            Self::Chain(ChainError::Misplaced { .. }) | Self::NoTrust { .. } | Self::Fork { .. } => Exit::Refused,
            Self::Manifest { source, .. } => match &**source {
                VerifyError::Document(e) => of_kind(e.kind()),
                other => other.refusal().map_or(Exit::Refused, of_refusal),
            },
            Self::Misnamed { .. } | Self::Sums { .. } => Exit::Malformed,
            Self::Missing { .. } => Exit::MediumMissing,
            Self::Damaged { .. } | Self::Spoiled { .. } | Self::Parity { .. } => Exit::Damaged,
            Self::Component { source, .. } => of_kind(source.kind()),
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match (self, self.exit()) {
            (Self::NoTrust { .. }, _) => Some("name the publisher's trust root with `--trust ROOT.json`"),
            (Self::Fork { .. }, _) => Some(
                "ask the publisher which root is theirs; compare the fingerprints that `kojibox-packer trust show` prints",
            ),
            (Self::Manifest { .. }, Exit::Refused) => Some(
                "ask the publisher which keys sign, then compare with `kojibox-packer trust show`; add missing signatures with `kojibox-packer sign`",
            ),
            (Self::Spoiled { source, .. }, _) if source.survey.curable == Some(true) => Some(
                "an install from it still works, since it is repaired while it is read; lay out another stick, since this one is failing",
            ),
            (Self::Parity { .. }, _) => Some("the pack itself is good; lay the stick out again with `--parity`"),
            (_, Exit::Damaged) => Some("copy it again from where it came from, or build it again"),
            (_, Exit::MediumMissing) => Some("copy the missing file, or build the pack again"),
            (_, Exit::FormatTooNew) => Some("take a newer kojibox-packer"),
            _ => None,
        }
    }
}

impl From<Refused> for Report {
    fn from(error: Refused) -> Self {
        if error.exit() == Exit::Cancelled {
            return interrupt::report();
        }
        let (exit, hint) = (error.exit(), error.hint());
        let report = Self::new(exit, error);
        match hint {
            Some(hint) => report.hint(hint),
            None => report,
        }
    }
}

/// What scripts see of a kind of failure.
pub(crate) fn of_kind(kind: Kind) -> Exit {
    match kind {
        Kind::Damaged => Exit::Damaged,
        Kind::Malformed => Exit::Malformed,
        Kind::MediumMissing => Exit::MediumMissing,
        Kind::TooNew => Exit::FormatTooNew,
        Kind::Io => Exit::FileSystem,
        Kind::Cancelled => Exit::Cancelled,
        Kind::Sink => Exit::Unexpected,
    }
}

fn of_refusal(refusal: Refusal) -> Exit {
    match refusal {
        Refusal::Unsigned => Exit::Refused,
        Refusal::Damaged => Exit::Damaged,
        Refusal::TooNew => Exit::FormatTooNew,
        Refusal::Replay => Exit::Downgrade,
        Refusal::Malformed => Exit::Malformed,
    }
}
