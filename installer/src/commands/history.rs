//! Owns `history`: the receipts of every transaction, and the evidence for an auditor in one file.

use std::{fs, io, path::PathBuf};

use kojibox_console::{Exit, Outcome, Report};
use kojibox_state::receipts::Receipt;
use serde::Serialize;

use super::shared::{RootArgs, after_reading, count, open_shared};
use crate::{
    evidence::{self, EvidenceError},
    flow::Session,
    report::{StateReport, io_exit},
};

/// Show what was done when, how it ended and whose keys vouched for it; the receipts are chained by hash
///
/// Exit codes: 21 a receipt was changed or is missing, which is named.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    root: RootArgs,
    /// Write receipts, manifests, signatures and trust roots to this file: a tar archive that says how to check itself
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
}

#[derive(Serialize)]
struct Document<R> {
    root: String,
    receipts: Vec<R>,
}

/// `history --export FILE --json`.
#[derive(Serialize)]
struct Exported {
    root: String,
    file: String,
    receipts: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("could not write `{}`", path.display())]
struct ExportError {
    path: PathBuf,
    source: io::Error,
}

impl From<EvidenceError> for Report {
    fn from(error: EvidenceError) -> Self {
        match error {
            EvidenceError::State(error) => StateReport(error).into(),
            EvidenceError::Root { .. } => {
                Self::new(Exit::Damaged, error).hint("compare with the publisher's trust roots")
            }
            EvidenceError::Archive(_) => Self::new(Exit::Unexpected, error),
        }
    }
}

pub(crate) fn run(session: &Session<'_>, args: &Args) -> Outcome {
    let path = args.root.path(session);
    let (root, _lock) = open_shared(&path)?;
    if let Some(file) = &args.export {
        let evidence = evidence::collect(&root)?;
        fs::write(file, &evidence.archive).map_err(|source| {
            let exit = io_exit(&source);
            let path = file.clone();
            Report::new(exit, ExportError { path, source }).hint("name another file with `--export`")
        })?;
        let receipts = count(evidence.receipts, "receipt");
        let done = format!("{receipts} with all they name written to {}.", file.display());
        session.ui.done(&done);
        if session.ui.is_json() {
            session.ui.json(&Exported {
                root: path.display().to_string(),
                file: file.display().to_string(),
                receipts: evidence.receipts,
            });
        }
        return after_reading(&root);
    }
    let history = root.history().map_err(StateReport)?;
    if session.ui.is_json() {
        session.ui.json(&Document {
            root: path.display().to_string(),
            receipts: history.iter().map(|(receipt, _)| receipt).collect(),
        });
    } else {
        for (receipt, digest) in history.iter().rev() {
            show(session, receipt, &digest.short());
        }
    }
    after_reading(&root)
}

fn show(session: &Session<'_>, receipt: &Receipt, digest: &str) {
    let packs: Vec<_> = receipt
        .packs
        .iter()
        .map(|p| format!("{} {}", p.name, p.version))
        .collect();
    let (kind, outcome) = (word(&receipt.kind), word(&receipt.outcome));
    let (txid, finished) = (&receipt.txid, &receipt.finished);
    let packs = packs.join(", ");
    session
        .ui
        .answer(&format!("{txid}  {finished}  {kind:9} {outcome:11} {digest}  {packs}"));
    if let Some(reason) = &receipt.reason {
        session.ui.answer(&format!("    {reason}"));
    }
    for pack in receipt.packs.iter().filter(|p| !p.keys.is_empty()) {
        let (name, keys) = (&pack.name, short(&pack.keys));
        let approved = match &pack.approved_by[..] {
            [] => String::new(),
            keys => format!(", approved by {}", short(keys)),
        };
        session.ui.answer(&format!("    {name}: signed by {keys}{approved}"));
    }
    if session.ui.is_verbose() {
        for verdict in &receipt.verdicts {
            session.ui.answer(&format!(
                "    {} {}: {}",
                verdict.outcome, verdict.check, verdict.detail
            ));
        }
        for note in &receipt.notes {
            session.ui.answer(&format!("    {note}"));
        }
    }
}

/// Keys as people compare them: their first 16 digits.
fn short(keys: &[String]) -> String {
    let short = keys.iter().map(|key| key.get(..16).unwrap_or(key));
    short.collect::<Vec<_>>().join(", ")
}

/// How a value is written in documents, as one word.
pub(super) fn word(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).ok();
    value.as_ref().and_then(|v| v.as_str()).unwrap_or_default().to_owned()
}
