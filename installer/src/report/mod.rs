//! Owns how failures of this crate reach a person: exit code, state of the machine, and what to do.
//!
//! Libraries know nothing of hints; this is the one place where they are written.

mod state;
mod transaction;

use std::io;

use kojibox_console::{Exit, Report};
use kojibox_packs::{Kind, source::SourceError};
use kojibox_signing::Refusal;

use crate::{
    answers::AnswersError,
    medium::MediumError,
    select::{Mistake, PackError, SelectError},
    trust::{FloorError, ManifestRefusal, OfferError, TrustError},
};

pub(crate) use state::StateReport;
pub(crate) use transaction::{is_medium_missing, missed, tx_report};

/// What is true of the machine when a command ends before it wrote anything.
pub(crate) const NOTHING_WRITTEN: &str = "nothing was written";

/// Exit code of a refusal by signature, hash, format or replay.
pub(crate) fn refusal(refusal: Refusal) -> Exit {
    match refusal {
        Refusal::Unsigned => Exit::Refused,
        Refusal::Damaged => Exit::Damaged,
        Refusal::TooNew => Exit::FormatTooNew,
        Refusal::Replay => Exit::Downgrade,
        Refusal::Malformed => Exit::Malformed,
    }
}

/// Exit code of a failure of the pack format.
pub(crate) fn kind(kind: Kind) -> Exit {
    match kind {
        Kind::Damaged => Exit::Damaged,
        Kind::Malformed => Exit::Malformed,
        Kind::MediumMissing => Exit::MediumMissing,
        Kind::TooNew => Exit::FormatTooNew,
        Kind::Io | Kind::Sink => Exit::FileSystem,
        Kind::Cancelled => Exit::Cancelled,
    }
}

/// Exit code of a file system's refusal.
pub(crate) fn io_exit(error: &io::Error) -> Exit {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Exit::NoSpace,
        _ => Exit::FileSystem,
    }
}

impl From<MediumError> for Report {
    fn from(error: MediumError) -> Self {
        match &error {
            MediumError::NoSource(_) => {
                Self::new(Exit::Usage, error).hint("name a stick, a directory or a `.kpack` file with `--source`")
            }
            MediumError::Open { source, .. } => {
                let exit = source_exit(source);
                let is_depot = !matches!(source, SourceError::NoDepot(_));
                Self::new(exit, error).hint(if exit == Exit::Damaged || !is_depot {
                    "copy it again from where it came from; a pack is a `.kpack` file, or a directory with `packs` and `blobs`"
                } else {
                    "check that the medium is plugged in and mounted, then run the same command again"
                })
            }
        }
        .state(NOTHING_WRITTEN)
    }
}

/// What to do about a file of a medium that could not be read.
fn medium_hint(exit: Exit) -> &'static str {
    match exit {
        Exit::Damaged => "copy the medium again and run `kojibox-packer verify` on the machine it came from",
        _ => "check that the medium is plugged in, then run the same command again",
    }
}

/// Exit code of a source that could not be read.
pub(crate) fn source_exit(error: &SourceError) -> Exit {
    kind(error.kind())
}

impl From<SourceReport> for Report {
    fn from(error: SourceReport) -> Self {
        let exit = source_exit(&error.0);
        Self::new(exit, error).state(NOTHING_WRITTEN).hint(medium_hint(exit))
    }
}

/// The medium could not be listed.
#[derive(Debug, thiserror::Error)]
#[error("could not read the medium")]
pub(crate) struct SourceReport(#[source] pub(crate) SourceError);

impl From<TrustError> for Report {
    fn from(error: TrustError) -> Self {
        let (exit, hint) = match &error {
            TrustError::Nobody => (
                Exit::Refused,
                "pass `--trust ROOT.json` or `--fingerprint SHA256:…` as the publisher gave it to you, or run without `--yes` on a terminal and compare",
            ),
            TrustError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                (Exit::Usage, "check the path given with `--trust`")
            }
            TrustError::Approval { .. } => (Exit::Usage, "check the path given with `--approval`"),
            TrustError::Read { .. } => (Exit::FileSystem, "check the path and its rights"),
            TrustError::Root { source, .. } => (
                refusal(source.refusal()),
                "ask the publisher for an undamaged copy of the trust roots",
            ),
            TrustError::Embedded(_) => (Exit::Refused, "copy the installer again, or pass `--trust ROOT.json`"),
            TrustError::Medium(source) => (source_exit(source), medium_hint(source_exit(source))),
            TrustError::NotOnMedium { .. } => (
                Exit::Refused,
                "check the fingerprint with the publisher; if it is right, this medium is not from that publisher",
            ),
            TrustError::Misplaced { .. } => (Exit::Refused, "copy the medium again from its source"),
            TrustError::NotPinned { .. } => (
                Exit::Refused,
                "to trust another publisher in this root as well, run `kojibox-installer trust add --fingerprint …`",
            ),
            TrustError::Expired { .. } => (Exit::Refused, "ask the publisher for a medium with a newer trust root"),
        };
        Self::new(exit, error).state(NOTHING_WRITTEN).hint(hint)
    }
}

impl From<OfferError> for Report {
    fn from(error: OfferError) -> Self {
        let (exit, hint) = match &error {
            OfferError::Medium { source, .. } => (source_exit(source), medium_hint(source_exit(source))),
            OfferError::Refused { source, .. } => (manifest_exit(source), manifest_hint(manifest_exit(source))),
            OfferError::Unapproved { .. } => (
                Exit::Refused,
                "have the site sign the pack, then pass its signature with `--approval FILE`",
            ),
            OfferError::Document { source, .. } => (kind(source.kind()), medium_hint(kind(source.kind()))),
            OfferError::TooNewForUs { .. } => (Exit::FormatTooNew, "use the installer that came with the pack"),
        };
        Self::new(exit, error).state(NOTHING_WRITTEN).hint(hint)
    }
}

/// Exit code of a refused manifest.
pub(crate) fn manifest_exit(error: &ManifestRefusal) -> Exit {
    match (error.refusal(), error) {
        (Some(refused), _) => refusal(refused),
        (None, ManifestRefusal::Document(document)) => kind(document.kind()),
        (None, _) => Exit::Malformed,
    }
}

fn manifest_hint(exit: Exit) -> &'static str {
    match exit {
        Exit::FormatTooNew => "use the installer that came with the pack",
        Exit::Refused => {
            "ask the publisher which key signs this pack, then compare with `kojibox-installer trust show`; if the medium is damaged, copy it again"
        }
        Exit::Malformed => "tell the publisher: what was signed is not a valid pack",
        _ => "copy the medium again and run `kojibox-packer verify` on the machine it came from",
    }
}

impl From<FloorError> for Report {
    fn from(error: FloorError) -> Self {
        let hint = match &error {
            FloorError::Older { .. } => {
                "to go down on purpose, add `--allow-downgrade`; `rollback` returns to a kept generation without it"
            }
            FloorError::Replaced { .. } => {
                "ask the publisher: two different packs claim the same place in the sequence"
            }
            FloorError::Revoked { .. }
            | FloorError::BelowMinimum { .. }
            | FloorError::Expired { .. }
            | FloorError::Stale { .. } => "ask the publisher for a newer release",
        };
        Self::new(Exit::Downgrade, error).state(NOTHING_WRITTEN).hint(hint)
    }
}

impl From<PackError> for Report {
    fn from(error: PackError) -> Self {
        Self::new(Exit::Usage, error).state(NOTHING_WRITTEN)
    }
}

impl From<SelectError> for Report {
    fn from(error: SelectError) -> Self {
        Self::new(Exit::Usage, error).state(NOTHING_WRITTEN)
    }
}

impl From<AnswersError> for Report {
    fn from(error: AnswersError) -> Self {
        Self::new(Exit::Usage, error).state(NOTHING_WRITTEN)
    }
}

impl From<Mistake> for Report {
    fn from(mistake: Mistake) -> Self {
        let hint = match mistake.table {
            "ports" => format!("pass `--port {}=NUMBER`", mistake.name),
            _ => format!(
                "pass `--set {}=VALUE`, or write it under `[answers]` of the answers file",
                mistake.name
            ),
        };
        Self::new(Exit::Usage, mistake).state(NOTHING_WRITTEN).hint(hint)
    }
}
