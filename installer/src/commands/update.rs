//! Owns `update`: installed packs to the newest release on the medium.

use std::path::PathBuf;

use kojibox_console::Outcome;

use super::shared::{ChangeArgs, SourceArgs};
use crate::{
    answers::Answers,
    flow::{self, Aim, Manner, Request, Session},
    select::Want,
};

/// Update installed packs; components, answers and ports stay as they are
///
/// Exit codes as for `install`; 50 when the medium has nothing newer.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Packs, as `name` or `name@version`; default: all installed ones
    #[arg(value_name = "PACK", value_parser = clap::value_parser!(Want))]
    packs: Vec<Want>,
    #[command(flatten)]
    source: SourceArgs,
    /// Install root
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(crate) fn run(session: &Session<'_>, args: Args) -> Outcome {
    // Updating nothing is a mistake, not an install.
    drop(kojibox_state::InstallRoot::open(session.world.absolute(&args.root)).map_err(crate::report::StateReport)?);
    let request = Request {
        aim: Aim::Update,
        manner: Manner::Terse,
        wants: args.packs,
        outside: args.source.outside(),
        sources: args.source.source,
        approvals: args.source.approval,
        channel: args.source.channel,
        strict_time: args.source.strict_time,
        answers: Answers {
            root: Some(args.root),
            start: args.change.no_start.then_some(false),
            answers: args.change.set.into_iter().collect(),
            ports: args.change.ports.into_iter().collect(),
            ..Answers::default()
        },
        answers_file: None,
        save_answers: None,
        allow_downgrade: args.change.allow_downgrade,
        yes: args.change.yes,
        dry_run: args.change.dry_run,
    };
    flow::install(session, &request)
}
