//! Owns `update`: installed packs to the newest release on the medium.

use std::path::PathBuf;

use kojibox_console::Outcome;

use super::shared::{SourceArgs, pair, port};
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
    /// Answer a new question of a pack
    #[arg(long = "set", value_name = "ID=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// Ask for another port of a service
    #[arg(long = "port", value_name = "SERVICE.PORT=NUMBER", value_parser = port)]
    ports: Vec<(String, u16)>,
    /// Let an older release replace a newer one; recorded
    #[arg(long)]
    allow_downgrade: bool,
    /// Start no service; the new generation counts as good at once
    #[arg(long)]
    no_start: bool,
    /// Ask nothing
    #[arg(short, long)]
    yes: bool,
    /// Only show what would change
    #[arg(long)]
    dry_run: bool,
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
            start: args.no_start.then_some(false),
            answers: args.set.into_iter().collect(),
            ports: args.ports.into_iter().collect(),
            ..Answers::default()
        },
        answers_file: None,
        save_answers: None,
        allow_downgrade: args.allow_downgrade,
        yes: args.yes,
        dry_run: args.dry_run,
    };
    flow::install(session, &request)
}
