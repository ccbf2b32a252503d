//! How the programs speak: exit codes, the error report, progress, prompts. Only this crate prints or prompts.

mod exit;
mod report;

use std::borrow::Cow;

pub use exit::Exit;
pub use report::{Outcome, Report};

/// Shows control and bidirectional characters of outside text as escapes, so that a name cannot drive the terminal.
pub fn escape(text: &str) -> Cow<'_, str> {
    let risky = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    if !text.contains(risky) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().fold(String::new(), |mut out, c| {
        if risky(c) {
            out.extend(c.escape_unicode())
        } else {
            out.push(c)
        }
        out
    }))
}
