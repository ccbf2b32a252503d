//! Owns how the end of a transaction reaches a person: what happened, what the machine is now, what to do.

use std::path::Path;

use kojibox_console::{Exit, Report, Ui};
use kojibox_packs::{
    Kind,
    read::{Incurable, ReadError},
    source::SourceError,
};

use super::{kind, state::state_advice};
use crate::transaction::{Cause, Situation, TxError};

/// The file that a transaction missed, if that is why it ended: not on the medium, or gone with it.
pub(crate) fn is_medium_missing(error: &TxError) -> Option<String> {
    let Cause::Read { source, .. } = error.cause() else {
        return None;
    };
    missed(source)
}

/// The file that a reader missed, if that is why it ended.
pub(crate) fn missed(error: &ReadError) -> Option<String> {
    let path = missing(error)?;
    let name = path.file_name().unwrap_or(path.as_os_str());
    Some(format!("`{}`", kojibox_console::escape(&name.to_string_lossy())))
}

fn missing(error: &ReadError) -> Option<&Path> {
    match error {
        ReadError::Missing(path)
        | ReadError::Source(SourceError::Missing(path))
        | ReadError::Uncured {
            why: Incurable::Part(path),
            ..
        } => Some(path),
        ReadError::Uncured { source, .. } => missing(source),
        // A stick that is pulled fails in the middle of a file; afterwards the file is not there.
        ReadError::Io { path, .. } | ReadError::Source(SourceError::Io { path, .. }) if !path.exists() => Some(path),
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
    let (exit, hint) = tx_advice(error.cause());
    let hint = match error.situation() {
        Situation::Interrupted { .. } => Some("run `kojibox-installer recover`".to_owned()),
        // Without an active generation there is no launcher to ask.
        Situation::Returned { to: None, marked: true, .. } => Some(
            "read what its services wrote in `logs` of the install root, then run the same command again with another release"
                .to_owned(),
        ),
        _ => hint,
    };
    let report = Report::new(exit, error).state(state);
    match hint {
        Some(hint) => report.hint(hint),
        None => report,
    }
}

fn gate_output(cause: &Cause) -> Option<&str> {
    match cause {
        Cause::Stop { source, .. } | Cause::NotClean { source, .. } | Cause::NotReady { source, .. } => {
            Some(source.output())
        }
        _ => None,
    }
}

fn tx_advice(cause: &Cause) -> (Exit, Option<String>) {
    let (exit, hint) = match cause {
        Cause::State(error) => state_advice(error),
        Cause::Read { source, .. } if missing(source).is_some() => {
            (Exit::MediumMissing, read_hint(Kind::MediumMissing))
        }
        Cause::Read { source, .. } if matches!(**source, ReadError::Uncured { .. }) => (
            kind(source.kind()),
            "more is lost than parity repairs; copy the pack again, onto another medium",
        ),
        Cause::Read { source, .. } => (kind(source.kind()), read_hint(source.kind())),
        Cause::Stop { .. } => (
            Exit::NotReady,
            "stop them with `kojibox down`, then run the same command again",
        ),
        Cause::NotClean { .. } => (
            Exit::NotReady,
            "let its services run, so that they repair their data, then run the same command again",
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
        Cause::Unsettled => (
            Exit::RecoveryNeeded,
            "see why `state/journal` in the install root cannot be changed, then run the same command again",
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
            "to go back to the older data all the same, add `--restore-data`",
        ),
        Cause::Damaged { .. } => (
            Exit::Damaged,
            "run `kojibox-installer repair` with the medium that it was installed from",
        ),
        Cause::NotKept { .. } => (Exit::Damaged, "install the pack again from its medium"),
        Cause::Collision { .. } => (
            Exit::FileSystem,
            "tell the publisher: two different trees have one name; a `kojibox-installer prune` takes the one that is not in use",
        ),
        Cause::NoComponent { .. } => return (Exit::Unexpected, None),
    };
    (exit, Some(hint.to_owned()))
}

fn read_hint(kind: Kind) -> &'static str {
    match kind {
        Kind::Damaged => {
            "the pack is damaged or cut short; copy it again and run `kojibox-packer verify <depot>` on the machine it came from; on a stick that is laid out with `--parity 6.25`, lost blocks are made up for"
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
