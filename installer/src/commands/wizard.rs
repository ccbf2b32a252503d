//! Owns the wizard's entrance: no command, or `wizard` with some answers given beforehand.

use kojibox_console::{Exit, Outcome, Report};

use super::install;
use crate::flow::{self, Manner, Session};

/// Be led through the installation; any flag of `install` answers its question beforehand
#[derive(Clone, Debug, Default, clap::Args)]
#[group(skip)]
pub(crate) struct Args {
    #[command(flatten)]
    install: install::Args,
}

/// There is nobody to lead.
#[derive(Debug, thiserror::Error)]
#[error("the wizard needs a terminal")]
struct NoTerminal;

pub(crate) fn run(session: &Session<'_>, args: Args) -> Outcome {
    if !session.ui.is_interactive() {
        return Err(Report::new(Exit::Usage, NoTerminal)
            .hint("use `kojibox-installer install --root DIR --yes`; see `kojibox-installer install --help`"));
    }
    flow::install(session, &install::request(args.install, Manner::Wizard)?)
}
