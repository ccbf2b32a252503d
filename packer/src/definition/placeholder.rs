//! Owns the placeholders of services (`{component}`, `{port:NAME}` …): finding them with their places.

use super::{
    mistake::{Located, Place as At},
    reader::Table,
};

/// Where a text stands; decides which placeholders it may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// An argument, a check or a stop step.
    Command,
    /// A variable of the environment; secrets may stand here.
    Env,
    /// The command of `init`.
    Init,
    /// The command of a migration.
    Migration,
}

/// One placeholder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Use {
    pub(super) name: String,
    pub(super) argument: Option<String>,
    pub(super) place: Place,
    pub(super) at: At,
}

/// The placeholders of one service or migration.
#[derive(Clone, Debug, Default)]
pub(super) struct Uses {
    pub(super) all: Vec<Use>,
    /// Where the check `notify` stands, which not every system has.
    pub(super) notify: Option<At>,
}

impl Uses {
    pub(super) fn scan_all(&mut self, texts: &[Located<String>], place: Place) {
        for text in texts {
            self.scan(text, place);
        }
    }

    /// Finds the placeholders of `text`: `{name}` and `{name:argument}`. Other braces are just braces, as the launcher reads them.
    pub(super) fn scan(&mut self, text: &Located<String>, place: Place) {
        let mut at = 0;
        while let Some(open) = text.value[at..].find('{').map(|i| at + i) {
            at = open + 1;
            let Some(len) = text.value[open..].find('}') else {
                return;
            };
            let inner = &text.value[open + 1..open + len];
            let word = inner.split(':').next().unwrap_or_default();
            let is_word = !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            if is_word && !inner.contains(['{', '\n', ' ']) {
                self.add(text, open, open + len + 1, place);
                at = open + len + 1;
            }
        }
    }

    fn add(&mut self, text: &Located<String>, start: usize, end: usize, place: Place) {
        let inner = &text.value[start + 1..end - 1];
        let (name, argument) = match inner.split_once(':') {
            Some((name, argument)) => (name, Some(argument.to_owned())),
            None => (inner, None),
        };
        self.all.push(Use {
            name: name.to_owned(),
            argument,
            place,
            at: within(text, start, end),
        });
    }
}

/// The place of a piece of a string: exact where the string was written without escapes, else the whole string.
fn within(text: &Located<String>, start: usize, end: usize) -> At {
    let plain = text.at.end - text.at.start == text.value.len() + 2;
    if !plain {
        return text.at;
    }
    At {
        file: text.at.file,
        start: text.at.start + 1 + start,
        end: text.at.start + 1 + end,
    }
}

/// Reads a command: at least a program.
pub(super) fn command(table: &Table<'_>, place: Place, uses: &mut Uses) -> Vec<String> {
    let Some(v) = table.get("command") else {
        table.notes.add(
            table.at,
            format!("{} has no `command`, expected a program and its arguments", table.name),
        );
        return Vec::new();
    };
    let command = table.as_texts(v);
    if matches!(v.toml, toml::de::DeValue::Array(a) if a.is_empty()) {
        table
            .notes
            .add(v.at, "`command` is empty, expected a program and its arguments");
    }
    uses.scan_all(&command, place);
    command.into_iter().map(|c| c.value).collect()
}
