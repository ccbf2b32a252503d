//! Owns what a person asked for: flags and an answers file put together, before anything is looked at.

use std::path::PathBuf;

use kojibox_console::Report;

use crate::{
    answers::{Answers, AnswersFile},
    select::Want,
    trust::Outside,
};

/// How much a person is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Everything, step by step.
    Wizard,
    /// Only what has no default, and the confirmation.
    Terse,
}

/// What is to be done with the packs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aim {
    /// Put the named packs in, or others of their versions in their place.
    Install,
    /// Bring what is installed to the newest release on the medium.
    Update,
}

/// Everything that was asked for.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// What is to be done.
    pub aim: Aim,
    /// How much is asked.
    pub manner: Manner,
    /// Packs by name; empty: the only one, or what the wizard is told.
    pub wants: Vec<Want>,
    /// Depots and `.kpack` files; empty: where this program lies.
    pub sources: Vec<PathBuf>,
    /// Trust from outside.
    pub outside: Outside,
    /// Approval signatures given by hand.
    pub approvals: Vec<PathBuf>,
    /// Choices made beforehand.
    pub answers: Answers,
    /// The file they came from, for complaints with a place.
    pub answers_file: Option<AnswersFile>,
    /// Where to save the choices.
    pub save_answers: Option<PathBuf>,
    /// Line of releases.
    pub channel: Option<String>,
    /// Older releases may be installed.
    pub allow_downgrade: bool,
    /// The clock counts for expiry.
    pub strict_time: bool,
    /// Nobody is asked for a confirmation.
    pub yes: bool,
    /// Only show what would change.
    pub dry_run: bool,
}

impl Request {
    /// Packs asked for: on the command line, else in the answers.
    pub(crate) fn wanted(&self) -> Result<Vec<Want>, Report> {
        if !self.wants.is_empty() {
            return Ok(self.wants.clone());
        }
        let parsed = self.answers.packs.iter().map(|text| {
            text.parse::<Want>().map_err(|error| match &self.answers_file {
                Some(file) => Report::from(file.complain("packs", text, error.to_string())),
                None => error.into(),
            })
        });
        parsed.collect()
    }
}
