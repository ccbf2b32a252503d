//! Owns `install`: packs from the medium into an install root.

use std::path::PathBuf;

use kojibox_console::{Outcome, Report};

use super::shared::{ChangeArgs, SourceArgs};
use crate::{
    answers::{Answers, AnswersFile},
    flow::{self, Aim, Manner, Request, Session},
    select::Want,
};

/// Install packs from a stick, a directory or a `.kpack` file
///
/// Exit codes: 20 no sufficient signature, 21 damaged, 22 too new, 23 older or withdrawn, 31 no space, 33 medium missing,
/// 40 a service did not become ready (everything is back as it was), 50 nothing to do.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Packs, as `name` or `name@version`; default: the only one on the medium
    #[arg(value_name = "PACK", value_parser = clap::value_parser!(Want))]
    pub(crate) packs: Vec<Want>,
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// Install root; made if it is not there
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// Answers that the wizard saved, or that were written by hand
    #[arg(long, value_name = "FILE")]
    pub(crate) answers: Option<PathBuf>,
    /// Write the answers to this file, to install further machines
    #[arg(long, value_name = "FILE")]
    pub(crate) save_answers: Option<PathBuf>,
    /// Components to install; default: the preselected ones
    #[arg(long = "component", value_name = "ID", value_delimiter = ',')]
    pub(crate) components: Option<Vec<String>>,
    /// Language: `en` or `id`
    #[arg(long, value_name = "TAG", value_parser = ["en", "id"])]
    pub(crate) language: Option<String>,
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
}

pub(crate) fn run(session: &Session<'_>, args: Args) -> Outcome {
    flow::install(session, &request(args, Manner::Terse)?)
}

/// Flags win over the answers file, entry by entry.
pub(crate) fn request(args: Args, manner: Manner) -> Result<Request, Report> {
    let file = args.answers.as_deref().map(AnswersFile::read).transpose()?;
    let mut answers = file.as_ref().map_or_else(Answers::default, |f| f.answers.clone());
    answers.root = args.root.or(answers.root);
    answers.language = args.language.or(answers.language);
    answers.components = args.components.or(answers.components);
    answers.answers.extend(args.change.set);
    answers.ports.extend(args.change.ports);
    if args.change.no_start {
        answers.start = Some(false);
    }
    Ok(Request {
        aim: Aim::Install,
        manner,
        wants: args.packs,
        outside: args.source.outside(),
        sources: args.source.source,
        approvals: args.source.approval,
        channel: args.source.channel,
        strict_time: args.source.strict_time,
        answers,
        answers_file: file,
        save_answers: args.save_answers,
        allow_downgrade: args.change.allow_downgrade,
        yes: args.change.yes,
        dry_run: args.change.dry_run,
    })
}
