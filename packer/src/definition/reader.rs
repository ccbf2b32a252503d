//! Owns typed reading of TOML tables with positions: a wrong type, a missing and an unknown key become mistakes, never an end.

use std::{cell::RefCell, ops::Range};

use kojibox_packs::manifest::Text;
use toml::de::{DeTable, DeValue};

use super::mistake::{Located, Notes, Place};

/// A table and what was asked of it so far.
pub(super) struct Table<'a> {
    pub(super) notes: &'a Notes,
    pub(super) file: usize,
    /// How the table is called in messages, e.g. `[[component]]`.
    pub(super) name: String,
    /// Its header or braces.
    pub(super) at: Place,
    entries: &'a DeTable<'a>,
    asked: RefCell<Vec<&'static str>>,
}

/// A value with its place.
#[derive(Clone, Copy)]
pub(super) struct Value<'a> {
    pub(super) key: &'a str,
    pub(super) key_at: Place,
    pub(super) at: Place,
    pub(super) toml: &'a DeValue<'a>,
}

impl<'a> Table<'a> {
    pub(super) fn new(notes: &'a Notes, file: usize, name: &str, at: Place, entries: &'a DeTable<'a>) -> Self {
        Self {
            notes,
            file,
            name: name.to_owned(),
            at,
            entries,
            asked: RefCell::default(),
        }
    }

    fn place(&self, span: Range<usize>) -> Place {
        Place {
            file: self.file,
            start: span.start,
            end: span.end,
        }
    }

    /// Every key with its value, in the order of the file.
    pub(super) fn values(&self) -> Vec<Value<'a>> {
        let mut all: Vec<_> = self
            .entries
            .iter()
            .map(|(key, value)| Value {
                key: key.get_ref(),
                key_at: self.place(key.span()),
                at: self.place(value.span()),
                toml: value.get_ref(),
            })
            .collect();
        all.sort_by_key(|v| v.key_at);
        all
    }

    /// The value of `key`, which is from now on a known key.
    pub(super) fn get(&self, key: &'static str) -> Option<Value<'a>> {
        self.asked.borrow_mut().push(key);
        self.values().into_iter().find(|v| v.key == key)
    }

    /// True if `key` is written; it is from now on a known key.
    pub(super) fn has(&self, key: &'static str) -> bool {
        self.get(key).is_some()
    }

    fn missing(&self, key: &str) {
        self.notes.add(self.at, format!("{} has no `{key}`", self.name));
    }

    pub(super) fn text(&self, key: &'static str) -> Option<Located<String>> {
        self.get(key).and_then(|v| self.as_text(v))
    }

    pub(super) fn required_text(&self, key: &'static str) -> Option<Located<String>> {
        let Some(v) = self.get(key) else {
            self.missing(key);
            return None;
        };
        self.as_text(v)
    }

    pub(super) fn flag(&self, key: &'static str) -> Option<Located<bool>> {
        let v = self.get(key)?;
        match v.toml {
            DeValue::Boolean(b) => Some(Located { value: *b, at: v.at }),
            _ => self.wrong(v, "`true` or `false`"),
        }
    }

    pub(super) fn number(&self, key: &'static str, range: Range<u64>) -> Option<Located<u64>> {
        self.get(key).and_then(|v| self.as_number(v, range))
    }

    pub(super) fn as_number(&self, v: Value<'_>, range: Range<u64>) -> Option<Located<u64>> {
        let expected = format!("a whole number from {} to {}", range.start, range.end - 1);
        let DeValue::Integer(n) = v.toml else {
            return self.wrong(v, &expected);
        };
        match u64::from_str_radix(n.as_str(), n.radix()) {
            Ok(value) if range.contains(&value) => Some(Located { value, at: v.at }),
            _ => {
                self.notes
                    .add(v.at, format!("`{}` is `{n}`, expected {expected}", v.key));
                None
            }
        }
    }

    /// A list of strings; absent is empty.
    pub(super) fn texts(&self, key: &'static str) -> Vec<Located<String>> {
        self.get(key).map(|v| self.as_texts(v)).unwrap_or_default()
    }

    pub(super) fn as_texts(&self, v: Value<'_>) -> Vec<Located<String>> {
        let DeValue::Array(items) = v.toml else {
            self.wrong::<()>(v, "a list of strings");
            return Vec::new();
        };
        let items = items.iter().map(|item| Value {
            at: self.place(item.span()),
            toml: item.get_ref(),
            ..v
        });
        items.filter_map(|item| self.as_text(item)).collect()
    }

    /// A table of strings; absent is empty.
    pub(super) fn text_map(&self, key: &'static str) -> Vec<(Located<String>, Located<String>)> {
        let Some(table) = self.table(key) else {
            return Vec::new();
        };
        let pairs = table.values().into_iter().filter_map(|v| {
            let key = Located {
                value: v.key.to_owned(),
                at: v.key_at,
            };
            Some((key, table.as_text(v)?))
        });
        pairs.collect()
    }

    /// Text for people: a string (English) or a table by language.
    pub(super) fn localized(&self, key: &'static str) -> Option<Located<Text>> {
        let v = self.get(key)?;
        let text = match v.toml {
            DeValue::String(s) => Text::from([("en".to_owned(), s.clone().into_owned())]),
            DeValue::Table(_) => {
                let pairs = self.text_map(key);
                for (tag, _) in &pairs {
                    self.check_language(tag);
                }
                pairs.into_iter().map(|(k, v)| (k.value, v.value)).collect()
            }
            _ => return self.wrong(v, "a string, or a table of strings by language"),
        };
        if !text.contains_key("en") {
            self.notes.add(
                v.at,
                format!("`{key}` has no `en`, which is shown when a language is missing"),
            );
        }
        Some(Located { value: text, at: v.at })
    }

    fn check_language(&self, tag: &Located<String>) {
        let mut parts = tag.value.split('-');
        let first = parts.next().unwrap_or_default();
        let fine = (2..=3).contains(&first.len())
            && first.bytes().all(|b| b.is_ascii_lowercase())
            && parts.all(|p| (1..=8).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_alphanumeric()));
        if !fine {
            self.notes.add(
                tag.at,
                format!("`{}` is not a language tag such as `en`, `id` or `pt-BR`", tag.value),
            );
        }
    }

    /// The table below `key`.
    pub(super) fn table(&self, key: &'static str) -> Option<Table<'a>> {
        let v = self.get(key)?;
        self.as_table(v, &self.child_name(key))
    }

    pub(super) fn as_table(&self, v: Value<'a>, name: &str) -> Option<Table<'a>> {
        match v.toml {
            DeValue::Table(t) => Some(Table::new(self.notes, self.file, name, v.key_at, t)),
            _ => self.wrong(v, "a table"),
        }
    }

    /// The tables of `[[key]]` or `key = [{…}]`; absent is empty.
    pub(super) fn tables(&self, key: &'static str) -> Vec<Table<'a>> {
        let Some(v) = self.get(key) else {
            return Vec::new();
        };
        let DeValue::Array(items) = v.toml else {
            let expected = format!("a list of tables (`[[{key}]]`)");
            self.wrong::<()>(v, &expected);
            return Vec::new();
        };
        let name = format!("[[{key}]]");
        let mut tables = Vec::new();
        for item in items {
            let at = self.place(item.span());
            match item.get_ref() {
                DeValue::Table(t) => tables.push(Table::new(self.notes, self.file, &name, at, t)),
                _ => self.notes.add(at, format!("an item of `{key}` is not a table")),
            }
        }
        tables
    }

    /// The value of `key` as one of `words`.
    pub(super) fn choice<T: Copy>(&self, key: &'static str, words: &[(&str, T)]) -> Option<Located<T>> {
        let text = self.text(key)?;
        self.pick(&text, &format!("`{key}`"), words)
    }

    pub(super) fn pick<T: Copy>(&self, text: &Located<String>, what: &str, words: &[(&str, T)]) -> Option<Located<T>> {
        if let Some((_, value)) = words.iter().find(|(w, _)| *w == text.value) {
            return Some(Located {
                value: *value,
                at: text.at,
            });
        }
        let list = words
            .iter()
            .map(|(w, _)| format!("`{w}`"))
            .collect::<Vec<_>>()
            .join(", ");
        let message = format!("{what} is `{}`, expected one of {list}", text.value);
        self.notes
            .unknown(text.at, message, &text.value, words.iter().map(|(w, _)| *w));
        None
    }

    /// The value of `key` read by `parse`, whose error says what was expected.
    pub(super) fn parsed<T, E: std::fmt::Display>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<Located<T>> {
        let text = self.text(key)?;
        match parse(&text.value) {
            Ok(value) => Some(Located { value, at: text.at }),
            Err(e) => {
                self.notes.add(text.at, format!("`{key}`: {e}"));
                None
            }
        }
    }

    pub(super) fn as_text(&self, v: Value<'_>) -> Option<Located<String>> {
        match v.toml {
            DeValue::String(s) => Some(Located {
                value: s.clone().into_owned(),
                at: v.at,
            }),
            _ => self.wrong(v, "a string"),
        }
    }

    pub(super) fn wrong<T>(&self, v: Value<'_>, expected: &str) -> Option<T> {
        let got = match v.toml {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a number",
            DeValue::Float(_) => "a fraction",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.notes
            .add(v.at, format!("`{}` is {got}, expected {expected}", v.key));
        None
    }

    fn child_name(&self, key: &str) -> String {
        format!("[{}.{key}]", self.name.trim_matches(['[', ']']))
    }

    /// Reports every key that was never asked for, with the nearest one that was.
    pub(super) fn finish(self) {
        let asked = self.asked.borrow();
        for v in self.values() {
            if !asked.contains(&v.key) {
                let message = format!("unknown key `{}` in {}", v.key, self.name);
                self.notes.unknown(v.key_at, message, v.key, asked.iter().copied());
            }
        }
    }
}
