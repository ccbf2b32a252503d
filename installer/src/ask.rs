//! Owns the seam between questions and the person: [`Asker`], so that the wizard is tested with scripted answers.

use kojibox_console::{Report, Ui};

use crate::report::NOTHING_WRITTEN;

/// Puts questions to a person. Each names the flag that answers it where nobody can be asked.
pub(crate) trait Asker {
    /// True if somebody can answer.
    fn is_interactive(&self) -> bool;
    /// Shows the title of a step.
    fn heading(&self, text: &str);
    /// Tells something, line by line.
    fn say(&self, text: &str);
    /// Yes or no.
    fn confirm(&self, question: &str, default: bool, flag: &str) -> Result<bool, Report>;
    /// One line; `validate` says what is wrong with it.
    fn input(
        &self,
        question: &str,
        default: Option<&str>,
        flag: &str,
        validate: &dyn Fn(&str) -> Result<(), String>,
    ) -> Result<String, Report>;
    /// One of several, by position.
    fn select(&self, question: &str, items: &[String], default: usize, flag: &str) -> Result<usize, Report>;
    /// Any of several, by position.
    fn multi_select(&self, question: &str, items: &[(String, bool)], flag: &str) -> Result<Vec<usize>, Report>;
}

/// Who leaves a question has had nothing written; who asks in the middle of its work says what is there instead.
fn unwritten(report: Report) -> Report {
    report.state(NOTHING_WRITTEN)
}

impl Asker for Ui {
    fn is_interactive(&self) -> bool {
        Ui::is_interactive(self)
    }

    fn heading(&self, text: &str) {
        Ui::heading(self, text);
    }

    fn say(&self, text: &str) {
        self.status(text);
    }

    fn confirm(&self, question: &str, default: bool, flag: &str) -> Result<bool, Report> {
        Ui::confirm(self, question, default, flag).map_err(unwritten)
    }

    fn input(
        &self,
        question: &str,
        default: Option<&str>,
        flag: &str,
        validate: &dyn Fn(&str) -> Result<(), String>,
    ) -> Result<String, Report> {
        Ui::input(self, question, default, flag, validate).map_err(unwritten)
    }

    fn select(&self, question: &str, items: &[String], default: usize, flag: &str) -> Result<usize, Report> {
        Ui::select(self, question, items, default, flag).map_err(unwritten)
    }

    fn multi_select(&self, question: &str, items: &[(String, bool)], flag: &str) -> Result<Vec<usize>, Report> {
        Ui::multi_select(self, question, items, flag).map_err(unwritten)
    }
}
