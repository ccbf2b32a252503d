//! Owns `verify`: every installed file against the signed index, without any medium.

use std::time::Instant;

use kojibox_console::{Exit, Outcome, Report, bytes};
use kojibox_state::InstallRoot;
use serde::Serialize;

use super::shared::{RootArgs, after_reading, count, open_shared};
use crate::{
    flow::{Session, transact},
    report::{StateReport, tx_report},
    transaction::{self, Finding, FindingKind, Verification},
    wizard::texts::EN,
};

/// Check every installed file against its signed hash; needs no medium
///
/// Exit codes: 21 something is missing, changed or extra; 41 so, while an interrupted command waits for its recovery.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    root: RootArgs,
    /// Only this generation; default: all
    #[arg(long, value_name = "GENERATION")]
    generation: Option<u64>,
}

#[derive(Serialize)]
struct Document<'a> {
    root: String,
    generations: &'a [u64],
    files: u64,
    bytes: u64,
    findings: &'a [Finding],
    seconds: f64,
}

/// Installed files are not what was signed.
#[derive(Debug, thiserror::Error)]
#[error("{}", told(.0))]
struct Damage(Vec<String>);

/// The same, where nobody can say yet whether it is damage.
#[derive(Debug, thiserror::Error)]
#[error("an interrupted command has not been recovered, and the files are not all there")]
struct Unfinished(#[source] Damage);

impl Damage {
    fn of(seen: &Verification) -> Self {
        Self(seen.findings.iter().map(ToString::to_string).collect())
    }
}

fn told(findings: &[String]) -> String {
    const SHOWN: usize = 20;
    let mut text = match findings.len() {
        1 => "one installed file is not what was signed".to_owned(),
        n => format!("{n} installed files are not what was signed"),
    };
    for finding in findings.iter().take(SHOWN) {
        text.push('\n');
        text.push_str(finding);
    }
    if findings.len() > SHOWN {
        text.push_str("\nand more; `--json` lists all");
    }
    text
}

pub(crate) fn run(session: &Session<'_>, args: &Args) -> Outcome {
    let path = args.root.path(session);
    let (root, _lock) = open_shared(&path)?;
    let interrupted = root.recovery_needed().map_err(StateReport)?;
    if interrupted {
        session
            .ui
            .warn("an interrupted command has not been recovered; run `kojibox-installer recover`");
    }
    let started = Instant::now();
    let (seen, _) = transact(session, &EN, &[], |env| {
        transaction::verify(&root, args.generation, env)
    })
    .map_err(|e| tx_report(session.ui, e))?;
    if session.ui.is_json() {
        session.ui.json(&Document {
            root: path.display().to_string(),
            generations: &seen.generations,
            files: seen.files,
            bytes: seen.bytes,
            findings: &seen.findings,
            seconds: started.elapsed().as_secs_f64(),
        });
    }
    if seen.findings.is_empty() {
        session.ui.done(&format!(
            "{}, {}: all is what was signed.",
            count(seen.files, "file"),
            bytes(seen.bytes)
        ));
        return after_reading(&root);
    }
    if interrupted {
        // A removal that was stopped has taken files away; only after it is finished or undone is anything damage.
        return Err(Report::new(Exit::RecoveryNeeded, Unfinished(Damage::of(&seen)))
            .state("the machine is as the interrupted command left it; nothing was changed")
            .hint("run `kojibox-installer recover`, then verify again"));
    }
    Err(damage(&root, &seen))
}

fn damage(root: &InstallRoot, seen: &Verification) -> Report {
    let current = root.pointer().ok().flatten().map(|p| p.current);
    let state = current.map_or_else(
        || "no generation is active".to_owned(),
        |n| format!("generation {n} is active; nothing was changed"),
    );
    Report::new(Exit::Damaged, Damage::of(seen)).state(state).hint(
        if seen.findings.iter().all(|f| f.kind == FindingKind::Extra) {
            "run `kojibox-installer repair --remove-extra`, which moves it to `backups/`"
        } else {
            "run `kojibox-installer repair` with the medium that it was installed from"
        },
    )
}
