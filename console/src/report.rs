//! Owns how a failure is told: `error / caused by / state / hint`, one wording, one place, escaped.

use std::{error::Error, fmt::Write as _};

use crate::Exit;

/// A failure on its way to a person: the error, what it means for scripts, what state the machine is in, what to do.
///
/// Commands return this; libraries return their own errors and know nothing of hints.
#[derive(Debug)]
#[must_use = "a report that nobody prints is a failure that nobody sees"]
pub struct Report {
    exit: Exit,
    error: Box<dyn Error + Send + Sync>,
    state: Option<String>,
    hint: Option<String>,
}

/// What a command gives back.
pub type Outcome<T = Exit> = Result<T, Report>;

impl Report {
    /// Reports `error` with the exit code that describes it.
    pub fn new(exit: Exit, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            exit,
            error: error.into(),
            state: None,
            hint: None,
        }
    }

    /// Says what the machine is now; due whenever anything was staged.
    pub fn state(mut self, state: impl Into<String>) -> Self {
        self.state = Some(state.into());
        self
    }

    /// Says what the command had done before it came to what [`Self::state`] tells.
    pub fn having(mut self, done: &str) -> Self {
        self.state = Some(match self.state {
            Some(state) => format!("{done}; after that: {state}"),
            None => done.to_owned(),
        });
        self
    }

    /// Names one command or one physical act.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with its hint as `spell` writes it.
    pub(crate) fn spelled(mut self, spell: impl FnOnce(&str) -> String) -> Self {
        self.hint = self.hint.as_deref().map(spell);
        self
    }

    /// Exit code of the program.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// What went wrong.
    pub fn error(&self) -> &(dyn Error + 'static) {
        &*self.error
    }

    /// The same state of the machine, reached for another reason.
    pub(crate) fn because(self, exit: Exit, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            exit,
            error: error.into(),
            hint: None,
            ..self
        }
    }

    /// The report as lines for stderr, without colour, ending with a line break.
    pub fn render(&self) -> String {
        let mut out = String::new();
        line(&mut out, "error: ", &self.error.to_string());
        let mut source = self.error.source();
        while let Some(error) = source {
            line(&mut out, "  caused by: ", &error.to_string());
            source = error.source();
        }
        if let Some(state) = &self.state {
            line(&mut out, "  state: ", state);
        }
        if let Some(hint) = &self.hint {
            line(&mut out, "  hint: ", hint);
        }
        out
    }

    /// The report as one JSON document, for `--json`.
    pub fn to_json(&self) -> serde_json::Value {
        let mut causes = Vec::new();
        let mut source = self.error.source();
        while let Some(error) = source {
            causes.push(error.to_string());
            source = error.source();
        }
        serde_json::json!({
            "error": self.error.to_string(), "caused_by": causes, "state": self.state, "hint": self.hint,
            "exit": self.exit as u8,
        })
    }
}

/// Writes `text` after `label`; further lines are indented under it, control characters are shown, never sent.
fn line(out: &mut String, label: &str, text: &str) {
    for (i, part) in text.lines().enumerate() {
        let lead = if i == 0 {
            label.to_owned()
        } else {
            " ".repeat(label.len())
        };
        let _ = writeln!(out, "{lead}{}", crate::escape(part));
    }
}
