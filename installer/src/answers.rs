//! Owns the answers file: what the wizard asked once, in TOML, for any number of unattended installs.
//!
//! The file on disk: `root`, `language`, `packs`, `components`, `start`, `[answers]`, `[ports]`; every key may be absent.
//! Relative roots count from the working directory and `~/` from the home directory, so that one file serves many machines.
//!
//! Source: the stack format, "The answers file".

use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::nearest::nearest;

/// An answers file longer than this is something else.
const MAX_BYTES: u64 = 1 << 20;

/// Choices of a person, made in the wizard or written down before.
#[expect(clippy::struct_field_names, reason = "the field names are the keys of the file")]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Answers {
    /// Install root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<PathBuf>,
    /// `en` or `id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Packs as `name` or `name@version`; empty: the only one on the medium.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub packs: Vec<String>,
    /// Components; absent: the preselected ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub components: Option<Vec<String>>,
    /// Services are started at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<bool>,
    /// Answers to the packs' questions, as text.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub answers: BTreeMap<String, String>,
    /// `service.port` to number.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ports: BTreeMap<String, u16>,
}

impl Answers {
    /// The file as the wizard saves it.
    pub(crate) fn to_toml(&self) -> String {
        let body = toml::to_string(self).expect("answers are strings, numbers and lists of them");
        format!(
            "# Answers for `kojibox-installer install --answers`; holds no secret, they are generated per machine.\n{body}"
        )
    }
}

/// An answers file as read, which remembers where each answer stands for later complaints.
#[derive(Clone, Debug)]
pub(crate) struct AnswersFile {
    /// The choices.
    pub answers: Answers,
    path: PathBuf,
    text: String,
    places: BTreeMap<String, usize>,
}

/// Something in an answers file is wrong.
#[derive(Debug, thiserror::Error)]
pub enum AnswersError {
    /// The file could not be read.
    #[error("could not read answers `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is larger than any answers file.
    #[error("answers `{}` are larger than {MAX_BYTES} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Its content is wrong at a place.
    #[error("{place}: {what}")]
    Wrong {
        /// Where.
        place: Place,
        /// What is wrong and what was expected.
        what: String,
    },
}

/// A place in a text file, as editors and compilers write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub path: PathBuf,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl Place {
    fn new(path: &Path, text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self {
            path: path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.path.display(), self.line, self.column)
    }
}

#[derive(Deserialize)]
struct Raw {
    root: Option<String>,
    language: Option<Spanned<String>>,
    #[serde(default)]
    packs: Vec<Spanned<String>>,
    components: Option<Vec<Spanned<String>>>,
    start: Option<bool>,
    #[serde(default)]
    answers: BTreeMap<Spanned<String>, Spanned<toml::Value>>,
    #[serde(default)]
    ports: BTreeMap<Spanned<String>, Spanned<PortValue>>,
}

/// `"web.main" = 8080`, or `web.main = 8080` and `[ports.web]`, which TOML reads as a table.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a whole number")]
enum PortValue {
    Number(i64),
    Service(BTreeMap<String, i64>),
}

const KEYS: [&str; 7] = ["root", "language", "packs", "components", "start", "answers", "ports"];

impl AnswersFile {
    /// Reads the answers at `path`.
    pub(crate) fn read(path: &Path) -> Result<Self, AnswersError> {
        let wrap = |source| AnswersError::Read {
            path: path.to_owned(),
            source,
        };
        let mut text = String::new();
        let file = File::open(path).map_err(wrap)?;
        // The size that a device or a pipe tells is no bound.
        if file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(wrap)? as u64 > MAX_BYTES {
            return Err(AnswersError::TooLarge { path: path.to_owned() });
        }
        Self::parse(path, text)
    }

    /// Reads answers from `text`; `path` is for messages.
    pub(crate) fn parse(path: &Path, text: String) -> Result<Self, AnswersError> {
        let mut file = Self {
            answers: Answers::default(),
            path: path.to_owned(),
            text,
            places: BTreeMap::new(),
        };
        let keys: BTreeMap<Spanned<String>, toml::Value> = file.decode()?;
        if let Some(key) = keys.keys().find(|key| !KEYS.contains(&key.get_ref().as_str())) {
            let what = format!("unknown key `{}`{}", key.get_ref(), or_nearest(key.get_ref(), &KEYS));
            return Err(file.wrong(key.span().start, what));
        }
        let raw = file.decode()?;
        file.take(raw)?;
        Ok(file)
    }

    fn decode<T: serde::de::DeserializeOwned>(&self) -> Result<T, AnswersError> {
        toml::from_str(&self.text).map_err(|e| {
            let offset = e.span().map_or(0, |span| span.start);
            self.wrong(offset, e.message().lines().collect::<Vec<_>>().join(", "))
        })
    }

    fn take(&mut self, raw: Raw) -> Result<(), AnswersError> {
        if let Some(language) = &raw.language
            && !["en", "id"].contains(&language.get_ref().as_str())
        {
            let what = format!("unknown language `{}`, expected `en` or `id`", language.get_ref());
            return Err(self.wrong(language.span().start, what));
        }
        self.answers.root = raw.root.map(PathBuf::from);
        self.answers.language = raw.language.map(Spanned::into_inner);
        self.answers.start = raw.start;
        self.answers.packs = self.noted("packs", raw.packs);
        self.answers.components = raw.components.map(|list| self.noted("components", list));
        for (id, value) in raw.answers {
            self.note_place("answers", id.get_ref(), id.span().start);
            let text = plain(value.get_ref()).ok_or_else(|| {
                let what = format!(
                    "answer `{}` must be text, a whole number, `true` or `false`",
                    id.get_ref()
                );
                self.wrong(value.span().start, what)
            })?;
            self.answers.answers.insert(id.into_inner(), text);
        }
        for (name, port) in raw.ports {
            self.note_place("ports", name.get_ref(), name.span().start);
            match port.get_ref() {
                PortValue::Number(number) => self.take_port(name.get_ref().clone(), *number, port.span().start)?,
                PortValue::Service(ports) => {
                    for (port_name, number) in ports {
                        let full = format!("{}.{port_name}", name.get_ref());
                        self.note_place("ports", &full, name.span().start);
                        self.take_port(full, *number, port.span().start)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn take_port(&mut self, name: String, number: i64, offset: usize) -> Result<(), AnswersError> {
        let port = u16::try_from(number).ok().filter(|p| *p > 0);
        let port = port.ok_or_else(|| self.wrong(offset, format!("port `{name}` is {number}, expected 1 to 65535")))?;
        self.answers.ports.insert(name, port);
        Ok(())
    }

    fn noted(&mut self, table: &str, list: Vec<Spanned<String>>) -> Vec<String> {
        list.into_iter()
            .map(|item| {
                self.note_place(table, item.get_ref(), item.span().start);
                item.into_inner()
            })
            .collect()
    }

    fn note_place(&mut self, table: &str, name: &str, offset: usize) {
        self.places.insert(format!("{table}/{name}"), offset);
    }

    fn wrong(&self, offset: usize, what: String) -> AnswersError {
        AnswersError::Wrong {
            place: Place::new(&self.path, &self.text, offset),
            what,
        }
    }

    /// True if the file has the entry `name` of `table`.
    pub(crate) fn has(&self, table: &str, name: &str) -> bool {
        self.places.contains_key(&format!("{table}/{name}"))
    }

    /// Complains about the entry `name` of `table`, at its place in the file.
    pub(crate) fn complain(&self, table: &str, name: &str, what: String) -> AnswersError {
        let offset = self.places.get(&format!("{table}/{name}")).copied();
        self.wrong(offset.unwrap_or_default(), what)
    }
}

/// ` (did you mean …?)`, or the list of what there is.
pub(crate) fn or_nearest<S: AsRef<str>>(got: &str, known: &[S]) -> String {
    match nearest(got, known.iter().map(AsRef::as_ref)) {
        Some(near) => format!(", did you mean `{near}`?"),
        None if known.is_empty() => ", there is none".to_owned(),
        None => {
            let list: Vec<_> = known.iter().map(|k| format!("`{}`", k.as_ref())).collect();
            format!(", expected one of {}", list.join(", "))
        }
    }
}

fn plain(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(s) => Some(s.clone()),
        toml::Value::Integer(n) => Some(n.to_string()),
        toml::Value::Boolean(b) => Some(b.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Answers, AnswersFile};

    fn parse(text: &str) -> Result<AnswersFile, String> {
        AnswersFile::parse(Path::new("a.toml"), text.to_owned()).map_err(|e| e.to_string())
    }

    #[test]
    fn what_the_wizard_saves_is_what_unattended_reads() {
        let answers = Answers {
            root: Some("/srv/koji box".into()),
            language: Some("id".to_owned()),
            packs: vec!["demo@2.0.0".to_owned()],
            components: Some(vec!["demo".to_owned()]),
            start: Some(false),
            answers: [("web_port".to_owned(), "8080".to_owned())].into(),
            ports: [("demo.main".to_owned(), 8081)].into(),
        };
        assert_eq!(parse(&answers.to_toml()).unwrap().answers, answers);
        assert_eq!(
            parse(&Answers::default().to_toml()).unwrap().answers,
            Answers::default()
        );
    }

    #[test]
    fn values_become_text_and_an_empty_list_is_not_an_absent_one() {
        let ports = parse("[ports]\nweb.main = 1\n\"db.main\" = 2\n").unwrap().answers.ports;
        assert_eq!(ports, [("db.main".to_owned(), 2), ("web.main".to_owned(), 1)].into());
        let file = parse("components = []\n[answers]\na = 1\nb = true\nc = \"x\"\n").unwrap();
        assert_eq!(file.answers.components, Some(vec![]));
        assert_eq!(file.answers.answers.values().collect::<Vec<_>>(), ["1", "true", "x"]);
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let told = |text: &str| parse(text).unwrap_err();
        insta::assert_snapshot!(told("root = \"x\"\ncomponets = []\n"), @"a.toml:2:1: unknown key `componets`, did you mean `components`?");
        insta::assert_snapshot!(told("root = \"x\"\n  [prots]\n"), @"a.toml:2:4: unknown key `prots`, did you mean `ports`?");
        insta::assert_snapshot!(told("language = \"fr\"\n"), @"a.toml:1:12: unknown language `fr`, expected `en` or `id`");
        insta::assert_snapshot!(told("[ports]\nweb.main = true\n"), @"a.toml:2:1: expected a whole number");
        insta::assert_snapshot!(told("[ports]\n\"web.main\" = 70000\n"), @"a.toml:2:14: port `web.main` is 70000, expected 1 to 65535");
        insta::assert_snapshot!(told("[answers]\nä = 1\nlist = [1]\n"), @"a.toml:2:1: invalid unquoted key, expected letters, numbers, `-`, `_`");
        insta::assert_snapshot!(told("root = \n"), @"a.toml:1:8: string values must be quoted, expected literal string");
        insta::assert_snapshot!(told("start = \"yes\"\n"), @r#"a.toml:1:9: invalid type: string "yes", expected a boolean"#);
    }

    #[test]
    fn later_complaints_find_their_place() {
        let file = parse("components = [\"a\",\n  \"b\"]\n").unwrap();
        let text = file
            .complain("components", "b", "no such component".to_owned())
            .to_string();
        assert_eq!(text, "a.toml:2:3: no such component");
    }
}
