//! Owns how failures of this crate reach a person: exit code, state of the machine, and what to do.
//!
//! Libraries know nothing of hints; this is the one place where they are written.

use std::io;

use kojibox_console::{Exit, Report, Ui};
use kojibox_packs::{Kind, source::SourceError};
use kojibox_signing::Refusal;
use kojibox_state::{StateError, StoreError};

use crate::{
    answers::AnswersError,
    medium::MediumError,
    select::{Mistake, PackError, SelectError},
    transaction::{Cause, Situation, TxError},
    trust::{FloorError, ManifestRefusal, OfferError, TrustError},
};

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
                Self::new(exit, error)
                    .hint("check that the medium is plugged in and mounted, then run the same command again")
            }
        }
        .state(NOTHING_WRITTEN)
    }
}

/// Exit code of a source that could not be read.
pub(crate) fn source_exit(error: &SourceError) -> Exit {
    kind(error.kind())
}

impl From<SourceReport> for Report {
    fn from(error: SourceReport) -> Self {
        let exit = source_exit(&error.0);
        Self::new(exit, error)
            .state(NOTHING_WRITTEN)
            .hint("check that the medium is plugged in, then run the same command again")
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
            TrustError::Medium(source) => (source_exit(source), "check that the medium is plugged in"),
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
            OfferError::Medium { source, .. } => (source_exit(source), "check that the medium is plugged in"),
            OfferError::Refused { source, .. } => (manifest_exit(source), manifest_hint(manifest_exit(source))),
            OfferError::Unapproved { .. } => (
                Exit::Refused,
                "have the site sign the pack, then pass its signature with `--approval FILE`",
            ),
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
            FloorError::Revoked { .. } | FloorError::BelowMinimum { .. } => "ask the publisher for a newer release",
            FloorError::Replaced { .. } => {
                "ask the publisher: two different packs claim the same place in the sequence"
            }
            FloorError::Expired { .. } | FloorError::Stale { .. } => "ask the publisher for a newer release",
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

/// Turns a failure of the install root into a report; `state` says what the machine is now.
pub(crate) fn state_report(error: StateError, state: &str) -> Report {
    let (exit, hint) = state_advice(&error);
    Report::new(exit, error).state(state).hint(hint)
}

fn state_exit(error: &StateError) -> Exit {
    state_advice(error).0
}

fn state_hint(error: &StateError) -> &'static str {
    state_advice(error).1
}

fn state_advice(error: &StateError) -> (Exit, &'static str) {
    match error {
        StateError::Store(store) => (store_exit(store), "check the disk, its rights and its space"),
        StateError::Create { source, .. } => (
            io_exit(source),
            "choose a place of your own with `--root`, or have its owner give you write permission",
        ),
        StateError::Lock { .. } => (Exit::FileSystem, "choose a place on a local disk with `--root`"),
        StateError::Busy { .. } => (
            Exit::Busy,
            "wait for it to end; if that process is gone, the lock frees itself and this command can be repeated",
        ),
        StateError::NotARoot { .. } => (Exit::Usage, "name the install root with `--root`"),
        StateError::Foreign { .. } => (Exit::Usage, "choose a new or empty directory with `--root`"),
        StateError::Schema { .. } => (
            Exit::FormatTooNew,
            "use the installer that made this root, or a newer one",
        ),
        StateError::Document { .. }
        | StateError::Damaged { .. }
        | StateError::Missing { .. }
        | StateError::Manifest { .. }
        | StateError::Chain { .. }
        | StateError::Path(_) => (
            Exit::Damaged,
            "run `kojibox-installer verify` to see what is damaged, then install again from the medium",
        ),
        StateError::Journal { .. } => (
            Exit::RecoveryNeeded,
            "check the disk; nothing is changed while the journal is damaged",
        ),
        StateError::Random(_) => (Exit::Unexpected, "run the same command again"),
    }
}

impl From<StateReport> for Report {
    fn from(error: StateReport) -> Self {
        state_report(error.0, NOTHING_WRITTEN)
    }
}

/// A failure of the install root before anything was written.
#[derive(Debug)]
pub(crate) struct StateReport(pub(crate) StateError);

impl From<StateError> for StateReport {
    fn from(error: StateError) -> Self {
        Self(error)
    }
}

/// Exit code of a store's refusal.
pub(crate) fn store_exit(error: &StoreError) -> Exit {
    match error {
        StoreError::Io { source, .. } => io_exit(source),
        _ => Exit::FileSystem,
    }
}

/// The part or medium that a transaction missed, if that is why it ended.
pub(crate) fn is_medium_missing(error: &TxError) -> Option<String> {
    match error.cause() {
        Cause::Read { source, .. } if source.kind() == Kind::MediumMissing => Some(source.to_string()),
        _ => None,
    }
}

/// Tells how a transaction ended and turns it into a report.
pub(crate) fn tx_report(ui: &Ui, error: TxError) -> Report {
    if let Some(output) = gate_output(error.cause()).filter(|o| !o.trim().is_empty()) {
        ui.note("the launcher's last words:");
        ui.note(output.trim_end());
    }
    let state = error.situation().to_string();
    let interrupted = matches!(error.situation(), Situation::Interrupted { .. });
    let (exit, hint) = tx_advice(error.cause());
    let hint = if interrupted {
        Some("run `kojibox-installer recover`".to_owned())
    } else {
        hint
    };
    let report = Report::new(exit, error).state(state);
    match hint {
        Some(hint) => report.hint(hint),
        None => report,
    }
}

fn gate_output(cause: &Cause) -> Option<&str> {
    match cause {
        Cause::Stop { source, .. } | Cause::NotReady { source, .. } => Some(source.output()),
        _ => None,
    }
}

fn tx_advice(cause: &Cause) -> (Exit, Option<String>) {
    let (exit, hint) = match cause {
        Cause::State(error) => return (state_exit(error), Some(state_hint(error).to_owned())),
        Cause::Read { source, .. } => (kind(source.kind()), read_hint(source.kind())),
        Cause::Index { source, .. } => (kind(source.kind()), "install again from the medium"),
        Cause::Stop { .. } => (
            Exit::NotReady,
            "stop them with `kojibox down`, then run the same command again",
        ),
        Cause::NotReady { .. } => (
            Exit::NotReady,
            "read `kojibox logs`; `kojibox-installer prune` removes the generation when done",
        ),
        Cause::Cancelled => (Exit::Cancelled, "run the same command again to go on"),
        Cause::NoGeneration(_) => (
            Exit::Usage,
            "see `kojibox-installer status` for the generations there are",
        ),
        Cause::NothingBefore => (
            Exit::NothingToDo,
            "see `kojibox-installer status` for the generations there are",
        ),
        Cause::AlreadyActive(_) => return (Exit::NothingToDo, None),
        Cause::MarkedBad { .. } => (Exit::NotReady, "choose another one with `--to`"),
        Cause::Revoked { .. } => (Exit::Downgrade, "to use it all the same, add `--unsafe-revoked`"),
        Cause::DataFormat { .. } => (
            Exit::Usage,
            "to go back with the older data, add `--restore-data`; the newer data is kept aside",
        ),
        Cause::Damaged { .. } => (Exit::Damaged, "install that version again from its medium"),
        Cause::NotKept { .. } => (Exit::Damaged, "install the pack again from its medium"),
        Cause::Collision { .. } => (Exit::FileSystem, "run `kojibox-installer verify`, then `prune`"),
        Cause::NoComponent { .. } => return (Exit::Unexpected, None),
    };
    (exit, Some(hint.to_owned()))
}

fn read_hint(kind: Kind) -> &'static str {
    match kind {
        Kind::Damaged => {
            "the pack is damaged or cut short; copy it again and run `kojibox-packer verify <depot>` on the machine it came from"
        }
        Kind::MediumMissing => {
            "insert the medium that has it, or name it with one more `--source`, then run the same command again"
        }
        Kind::Malformed => "tell the publisher: what was signed is not a valid pack",
        Kind::TooNew => "use the installer that came with the pack",
        Kind::Cancelled => "run the same command again to go on",
        Kind::Io | Kind::Sink => "check the medium and the disk, then run the same command again",
    }
}
