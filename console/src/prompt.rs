//! Owns prompts: each says what it asks, prints its default, and without a terminal fails with the flag that answers it.

use std::{fmt::Display, io};

use dialoguer::{
    Confirm, Input, MultiSelect, Password, Select,
    console::Term,
    theme::{ColorfulTheme, SimpleTheme, Theme},
};

use crate::{Exit, Report, Ui};

/// Without a terminal nobody can answer.
#[derive(Debug, thiserror::Error)]
#[error("an answer is needed: {question}")]
struct Unanswered {
    question: String,
    #[source]
    source: NoTerminal,
}

#[derive(Debug, thiserror::Error)]
#[error("there is no terminal to ask on")]
struct NoTerminal;

#[derive(Debug, thiserror::Error)]
#[error("could not read an answer from the terminal")]
struct AskError(#[source] io::Error);

impl Ui {
    /// Asks yes or no. `flag` answers it without a terminal.
    pub fn confirm(&self, question: &str, default: bool, flag: &str) -> Result<bool, Report> {
        self.need_terminal(question, flag)?;
        let theme = self.theme();
        let ask = Confirm::with_theme(theme.as_ref())
            .with_prompt(question)
            .default(default);
        answered(ask.interact_opt())?.ok_or_else(nobody_answered)
    }

    /// Asks for one line; `validate` says what is wrong with it.
    pub fn input(
        &self,
        question: &str,
        default: Option<&str>,
        flag: &str,
        validate: impl Fn(&str) -> Result<(), String>,
    ) -> Result<String, Report> {
        self.need_terminal(question, flag)?;
        let theme = self.theme();
        let mut ask = Input::<String>::with_theme(theme.as_ref()).with_prompt(question);
        if let Some(default) = default {
            ask = ask.default(default.to_owned());
        }
        answered(ask.validate_with(|text: &String| validate(text)).interact_text())
    }

    /// Asks for one of `items`; gives its position.
    pub fn select(&self, question: &str, items: &[String], default: usize, flag: &str) -> Result<usize, Report> {
        self.need_terminal(question, flag)?;
        let theme = self.theme();
        let ask = Select::with_theme(theme.as_ref())
            .with_prompt(question)
            .items(items)
            .default(default);
        answered(ask.interact_opt())?.ok_or_else(nobody_answered)
    }

    /// Asks for any of `items`, `checked` ones preselected; gives their positions.
    pub fn multi_select(&self, question: &str, items: &[(String, bool)], flag: &str) -> Result<Vec<usize>, Report> {
        self.need_terminal(question, flag)?;
        let theme = self.theme();
        let ask = MultiSelect::with_theme(theme.as_ref())
            .with_prompt(question)
            .items_checked(items.iter().cloned());
        answered(ask.interact_opt())?.ok_or_else(nobody_answered)
    }

    /// Asks for a secret that is not shown; `confirm` asks twice.
    pub fn password(&self, question: &str, flag: &str, confirm: bool) -> Result<String, Report> {
        self.need_terminal(question, flag)?;
        let theme = self.theme();
        let mut ask = Password::with_theme(theme.as_ref()).with_prompt(question);
        if confirm {
            ask = ask.with_confirmation(format!("{question} (again)"), "The two entries differ; try again.");
        }
        answered(ask.interact())
    }

    fn need_terminal(&self, question: &str, flag: &str) -> Result<(), Report> {
        if self.is_interactive() {
            return Ok(());
        }
        let error = Unanswered {
            question: question.to_owned(),
            source: NoTerminal,
        };
        Err(Report::new(Exit::Usage, error).hint(format!("pass `{flag}`")))
    }

    fn theme(&self) -> Box<dyn Theme> {
        if self.has_color() {
            Box::new(ColorfulTheme::default())
        } else {
            Box::new(SimpleTheme)
        }
    }
}

fn answered<T>(result: dialoguer::Result<T>) -> Result<T, Report> {
    result.map_err(|dialoguer::Error::IO(error)| {
        // A prompt that was left early has hidden the cursor and stands in the middle of a line.
        let terminal = Term::stderr();
        drop(terminal.show_cursor().and_then(|()| terminal.write_line("")));
        match error.kind() {
            io::ErrorKind::Interrupted => nobody_answered(),
            _ => Report::new(Exit::Unexpected, AskError(error)),
        }
    })
}

fn nobody_answered() -> Report {
    Report::new(Exit::Cancelled, Cancelled)
}

/// What failed only because a person wanted it to end.
pub fn cancelled(report: Report) -> Report {
    report.because(Exit::Cancelled, Cancelled)
}

/// A person said no.
#[derive(Debug, thiserror::Error)]
#[error("cancelled")]
struct Cancelled;

/// Says that a person does not want to go on; for confirmations answered with no.
pub fn declined(what: impl Display) -> Report {
    Report::new(Exit::Cancelled, Cancelled).state(what.to_string())
}
