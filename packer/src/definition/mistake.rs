//! Owns what is wrong with a definition: every [`Mistake`] with its position, what was expected and the nearest right word.

use std::{
    cell::RefCell,
    error::Error,
    fmt::{self, Write as _},
    path::{Path, PathBuf},
};

use serde::Serialize;

/// One thing that is wrong in a definition file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mistake {
    /// The file, as it was named.
    pub file: PathBuf,
    /// Line, from 1; 0 when the file could not be read at all.
    pub line: usize,
    /// Column in characters, from 1; 0 when the file could not be read at all.
    pub column: usize,
    /// What is wrong, and what was expected.
    pub message: String,
    /// The nearest right word, or what to write instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
    /// The line of the file, without tabs.
    #[serde(skip)]
    source: String,
    /// How many characters of the line are meant.
    #[serde(skip)]
    width: usize,
}

impl fmt::Display for Mistake {
    /// `file:line:column: message`, then the line with a caret under the place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            return write!(f, "{}: {}", self.file.display(), self.message);
        }
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        writeln!(
            f,
            "{}:{}:{}: {}",
            self.file.display(),
            self.line,
            self.column,
            self.message
        )?;
        writeln!(f, "{margin} |")?;
        writeln!(f, "{number} | {}", self.source)?;
        let lead = " ".repeat(self.column - 1);
        write!(f, "{margin} | {lead}{}", "^".repeat(self.width.max(1)))?;
        match &self.suggestion {
            Some(suggestion) => write!(f, " {suggestion}"),
            None => Ok(()),
        }
    }
}

impl Error for Mistake {}

/// Everything that is wrong with a definition, sorted by file and position; never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// The mistakes, in the order of the files and lines.
    pub fn iter(&self) -> std::slice::Iter<'_, Mistake> {
        self.0.iter()
    }

    /// How many there are.
    #[expect(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The mistake of a file that could not be read.
    pub(super) fn unreadable(file: &Path, message: String) -> Self {
        Self(vec![Mistake {
            file: file.to_owned(),
            line: 0,
            column: 0,
            message,
            suggestion: None,
            source: String::new(),
            width: 0,
        }])
    }
}

impl<'m> IntoIterator for &'m Mistakes {
    type Item = &'m Mistake;
    type IntoIter = std::slice::Iter<'m, Mistake>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, mistake) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_char('\n')?;
            }
            write!(f, "{mistake}")?;
        }
        Ok(())
    }
}

impl Error for Mistakes {}

/// A place in one of the files of a definition, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    pub(super) file: usize,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Located<T> {
    pub(crate) value: T,
    pub(crate) at: Place,
}

impl<T> Located<T> {
    pub(crate) fn map<U>(self, f: impl FnOnce(T) -> U) -> Located<U> {
        Located {
            value: f(self.value),
            at: self.at,
        }
    }
}

/// The text of the files of one definition: the main file first, then what it includes.
#[derive(Clone, Debug, Default)]
pub(super) struct Files(Vec<(PathBuf, String)>);

impl Files {
    pub(super) fn add(&mut self, path: PathBuf, text: String) -> usize {
        self.0.push((path, text));
        self.0.len() - 1
    }

    pub(super) fn text(&self, file: usize) -> &str {
        &self.0[file].1
    }

    /// The folder that the relative paths of `file` start from.
    pub(super) fn base(&self, file: usize) -> &Path {
        self.0[file].0.parent().unwrap_or(Path::new(""))
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(|(path, _)| path.as_path())
    }

    pub(super) fn contains(&self, path: &Path) -> bool {
        self.0.iter().any(|(p, _)| p == path)
    }

    fn mistake(&self, noted: Noted) -> Mistake {
        let (path, text) = &self.0[noted.at.file];
        let start = floor(text, noted.at.start);
        let end = floor(text, noted.at.end.max(start));
        let line_start = text[..start].rfind('\n').map_or(0, |i| i + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |i| start + i);
        let shown = text[line_start..line_end].trim_end_matches('\r');
        Mistake {
            file: path.clone(),
            line: text[..line_start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            message: noted.message,
            suggestion: noted.suggestion,
            source: shown.chars().map(|c| if c == '\t' { ' ' } else { c }).collect(),
            width: text[start..end.min(line_start + shown.len()).max(start)]
                .chars()
                .count(),
        }
    }
}

/// The character border at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0)
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Noted {
    at: Place,
    message: String,
    suggestion: Option<String>,
}

/// Where mistakes are collected while a definition is read.
#[derive(Debug, Default)]
pub(super) struct Notes(RefCell<Vec<Noted>>);

impl Notes {
    pub(super) fn add(&self, at: Place, message: impl Into<String>) {
        self.push(at, message.into(), None);
    }

    /// Adds a mistake with what to write instead.
    pub(super) fn suggest(&self, at: Place, message: impl Into<String>, suggestion: Option<String>) {
        self.push(at, message.into(), suggestion);
    }

    /// Adds that `word` is none of `known`, with the nearest of them.
    pub(super) fn unknown<'k>(
        &self,
        at: Place,
        message: impl Into<String>,
        word: &str,
        known: impl IntoIterator<Item = &'k str>,
    ) {
        let near = nearest(word, known).map(|n| format!("did you mean `{n}`?"));
        self.push(at, message.into(), near);
    }

    fn push(&self, at: Place, message: String, suggestion: Option<String>) {
        let noted = Noted {
            at,
            message,
            suggestion,
        };
        let mut all = self.0.borrow_mut();
        if !all.contains(&noted) {
            all.push(noted);
        }
    }

    /// The mistakes with their lines, sorted by place.
    pub(super) fn finish(self, files: &Files) -> Result<(), Mistakes> {
        let mut all = self.0.into_inner();
        if all.is_empty() {
            return Ok(());
        }
        all.sort_by_key(|noted| noted.at);
        Err(Mistakes(all.into_iter().map(|noted| files.mistake(noted)).collect()))
    }
}

/// The word of `known` that `word` was probably meant to be.
pub(crate) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let limit = (word.chars().count() / 3).max(1) + usize::from(word.chars().count() > 3);
    known
        .into_iter()
        .map(|k| (distance(word, k), k))
        .filter(|(d, _)| *d <= limit)
        .min_by_key(|(d, k)| (*d, k.len()))
        .map(|(_, k)| k)
}

/// Edit distance with swaps of neighbours counted as one.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.to_lowercase().chars().take(64).collect();
    let b: Vec<char> = b.to_lowercase().chars().take(64).collect();
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + cost);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest};

    #[test]
    fn the_nearest_word_is_near_or_absent() {
        assert_eq!(distance("licnese", "license"), 1);
        assert_eq!(nearest("licence", ["title", "license", "version"]), Some("license"));
        assert_eq!(nearest("comand", ["component", "command"]), Some("command"));
        assert_eq!(nearest("xyz", ["component", "command"]), None);
    }
}
