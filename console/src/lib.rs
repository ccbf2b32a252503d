//! How the programs speak: exit codes, the error report, progress, prompts. Only this crate prints or prompts.
//!
//! *Limitations*: prompts need a terminal on both stdin and stderr; without one they fail and name the flag.

mod args;
mod exit;
mod progress;
mod prompt;
mod report;
mod spelling;
mod ui;

use std::{borrow::Cow, process::ExitCode};

pub use args::{Color, OutputArgs};
pub use exit::Exit;
pub use progress::{Phase, bytes};
pub use prompt::{cancelled, declined};
pub use report::{Outcome, Report};
pub use spelling::{Spelling, quoted};
pub use ui::Ui;

/// Runs a command and turns its outcome into the program's exit code, telling a failure on the way.
///
/// `main` of each binary is: parse with clap, build the [`Ui`], call this.
pub fn finish(ui: &Ui, run: impl FnOnce(&Ui) -> Outcome) -> ExitCode {
    match run(ui) {
        Ok(exit) => exit.into(),
        Err(report) => {
            let exit = report.exit();
            ui.report(report);
            exit.into()
        }
    }
}

/// Shows control and bidirectional characters of outside text as escapes, so that a name cannot drive the terminal.
pub fn escape(text: &str) -> Cow<'_, str> {
    let risky = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    if !text.contains(risky) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().fold(String::new(), |mut out, c| {
        if risky(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
        out
    }))
}

#[cfg(test)]
mod tests {
    use super::{Exit, Report, escape};

    #[derive(Debug, thiserror::Error)]
    #[error("could not open `{0}`")]
    struct Outer(&'static str, #[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("got 3\nexpected 4")]
    struct Inner;

    #[test]
    fn a_report_is_one_thought_a_line_and_escaped() {
        let report = Report::new(Exit::Damaged, Outer("a\u{1b}[2Jb\u{202e}", Inner))
            .state("generation 1 stays active")
            .hint("copy it again");
        insta::assert_snapshot!(report.render(), @r"
        error: could not open `a\u{1b}[2Jb\u{202e}`
          caused by: got 3
                     expected 4
          state: generation 1 stays active
          hint: copy it again
        ");
        assert_eq!(report.exit() as u8, 21);
        assert_eq!(report.to_json()["caused_by"][0], "got 3\nexpected 4");
    }

    #[test]
    fn plain_text_is_not_copied() {
        assert!(matches!(escape("Straße ✓"), std::borrow::Cow::Borrowed(_)));
    }
}
