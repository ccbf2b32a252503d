//! Owns `doctor`: preflight without an install.

use std::path::PathBuf;

use kojibox_console::{Exit, Outcome};
use kojibox_state::{InstallRoot, StateError};
use serde::Serialize;

use super::{
    install,
    shared::{ChangeArgs, SourceArgs, after_reading, open_shared},
};
use crate::{
    flow::{self, Manner, Session},
    preflight::{Finding, Level},
    report::StateReport,
    select::Want,
};

/// Check whether this machine can take what is on the medium, or still suits what is installed
///
/// Changes nothing. The exit code is that of the first error an install would end with, else 41 when an interrupted
/// command must be recovered first.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Packs, as `name` or `name@version`; default: the only one on the medium
    #[arg(value_name = "PACK", value_parser = clap::value_parser!(Want))]
    packs: Vec<Want>,
    #[command(flatten)]
    source: SourceArgs,
    /// Install root
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
    /// Components; default: the preselected ones
    #[arg(long = "component", value_name = "ID", value_delimiter = ',')]
    components: Option<Vec<String>>,
}

#[derive(Serialize)]
struct Document<'a> {
    root: String,
    findings: &'a [Finding],
}

pub(crate) fn run(session: &Session<'_>, args: Args) -> Outcome {
    let root = session.world.absolute(&args.root);
    let request = install::request(
        install::Args {
            packs: args.packs,
            source: args.source,
            root: Some(args.root),
            components: args.components,
            change: ChangeArgs {
                yes: true,
                dry_run: true,
                ..ChangeArgs::default()
            },
            ..install::Args::default()
        },
        Manner::Terse,
    )?;
    // Nobody changes it while it is looked at.
    let _lock = match open_shared(&root) {
        Ok((_, lock)) => Some(lock),
        Err(report) if report.exit() == Exit::Busy => return Err(report),
        // A place where nothing is installed yet, or what is looked into below.
        Err(_) => None,
    };
    let findings = flow::diagnose(session, &request, &root)?;
    if session.ui.is_json() {
        session.ui.json(&Document {
            root: root.display().to_string(),
            findings: &findings,
        });
    } else {
        flow::show_findings(session, &findings);
    }
    let worst = findings.iter().find(|f| f.level == Level::Error);
    match (worst, InstallRoot::open(&root)) {
        (Some(worst), _) => Ok(worst.exit()),
        (None, Ok(root)) => after_reading(&root),
        // A place where nothing is installed yet.
        (None, Err(StateError::NotARoot { .. })) => Ok(Exit::Done),
        (None, Err(error)) => Err(StateReport(error).into()),
    }
}
