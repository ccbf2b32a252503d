//! Owns `history`: the receipts of every transaction, as an auditor wants them.

use std::{fs, io, path::PathBuf};

use kojibox_console::{Outcome, Report};
use serde::Serialize;

use super::shared::{RootArgs, after_reading, count, open_shared};
use crate::{
    flow::Session,
    report::{StateReport, io_exit},
};

/// Show what was installed when, with every verdict; the receipts are chained by hash
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    root: RootArgs,
    /// Write all receipts to this file, one JSON document
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
}

#[derive(Serialize)]
struct Document<R> {
    root: String,
    receipts: Vec<R>,
}

#[derive(Debug, thiserror::Error)]
#[error("could not write `{}`", path.display())]
struct ExportError {
    path: PathBuf,
    source: io::Error,
}

pub(crate) fn run(session: &Session<'_>, args: &Args) -> Outcome {
    let path = args.root.path(session);
    let (root, _lock) = open_shared(&path)?;
    let history = root.history().map_err(StateReport)?;
    let document = Document {
        root: path.display().to_string(),
        receipts: history.iter().map(|(receipt, _)| receipt).collect(),
    };
    if let Some(file) = &args.export {
        let text =
            serde_json::to_vec_pretty(&document).map_err(|e| Report::new(kojibox_console::Exit::Unexpected, e))?;
        fs::write(file, text).map_err(|source| {
            let exit = io_exit(&source);
            let path = file.clone();
            Report::new(exit, ExportError { path, source })
        })?;
        session.ui.done(&format!(
            "{} written to {}",
            count(history.len() as u64, "receipt"),
            file.display()
        ));
    } else if session.ui.is_json() {
        session.ui.json(&document);
    } else {
        for (receipt, digest) in history.iter().rev() {
            let packs: Vec<_> = receipt
                .packs
                .iter()
                .map(|p| format!("{} {}", p.name, p.version))
                .collect();
            let (kind, outcome) = (word(&receipt.kind), word(&receipt.outcome));
            session.ui.answer(&format!(
                "{}  {}  {kind:9} {outcome:11} {}  {}",
                receipt.txid,
                receipt.started,
                packs.join(", "),
                digest.short()
            ));
            for verdict in receipt.verdicts.iter().filter(|_| session.ui.is_verbose()) {
                session.ui.answer(&format!(
                    "    {} {}: {}",
                    verdict.outcome, verdict.check, verdict.detail
                ));
            }
        }
    }
    after_reading(&root)
}

/// How a value is written in documents, as one word.
fn word(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).ok();
    value.as_ref().and_then(|v| v.as_str()).unwrap_or_default().to_owned()
}
