//! Owns the strict reading of JSON from outside, and the canonical form that TUF signatures cover.
//!
//! Strict: no duplicate keys at any depth, no fractions or exponents, integers of 64 bits, nesting as `serde_json` bounds it.
//!
//! Source: "Canonical JSON" of OLPC, as `securesystemslib` encodes it: sorted keys, no white space, only `"` and `\` escaped.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};

/// Keys sort by their UTF-8 bytes, which is the order of code points that canonical JSON asks for.
pub(crate) type Map = BTreeMap<String, Json>;

/// An object of ours.
pub(crate) fn object<const N: usize>(entries: [(&str, Json); N]) -> Map {
    entries.map(|(key, value)| (key.to_owned(), value)).into()
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Int(i64),
    Text(String),
    List(Vec<Json>),
    Map(Map),
}

impl Json {
    pub(crate) fn text(text: &(impl ToString + ?Sized)) -> Self {
        Self::Text(text.to_string())
    }

    /// The bytes that a TUF signature covers.
    pub(crate) fn canonical(&self) -> Vec<u8> {
        let mut out = String::new();
        self.write(&mut out, &mut Layout::Compact);
        out.into_bytes()
    }

    /// The same document for people and files: two spaces of indent, sorted keys, a line break at the end.
    pub(crate) fn pretty(&self) -> Vec<u8> {
        let mut out = String::new();
        self.write(&mut out, &mut Layout::Indented(0));
        out.push('\n');
        out.into_bytes()
    }

    fn write(&self, out: &mut String, layout: &mut Layout) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Int(value) => out.push_str(&value.to_string()),
            Self::Text(text) => layout.text(text, out),
            Self::List(items) => {
                out.push('[');
                layout.each(items, out, Self::write);
                out.push(']');
            }
            Self::Map(map) => {
                out.push('{');
                layout.each(map, out, |(key, value), out, layout| {
                    layout.text(key, out);
                    out.push_str(layout.colon());
                    value.write(out, layout);
                });
                out.push('}');
            }
        }
    }
}

/// Where white space goes and what is escaped.
enum Layout {
    Compact,
    Indented(usize),
}

impl Layout {
    fn colon(&self) -> &'static str {
        match self {
            Self::Compact => ":",
            Self::Indented(_) => ": ",
        }
    }

    fn text(&self, text: &str, out: &mut String) {
        out.push('"');
        for c in text.chars() {
            match c {
                '"' | '\\' => out.extend(['\\', c]),
                // Canonical JSON leaves control characters as they are; JSON itself, which files are, does not allow that.
                c if c < ' ' && matches!(self, Self::Indented(_)) => {
                    write!(out, "\\u{:04x}", c as u32).expect("writing to a string cannot fail");
                }
                c => out.push(c),
            }
        }
        out.push('"');
    }

    fn each<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        out: &mut String,
        mut write: impl FnMut(T, &mut String, &mut Self),
    ) {
        self.step(1);
        let mut empty = true;
        for item in items {
            if !empty {
                out.push(',');
            }
            empty = false;
            self.line(out);
            write(item, out, self);
        }
        self.step(-1);
        if !empty {
            self.line(out);
        }
    }

    fn step(&mut self, by: isize) {
        if let Self::Indented(depth) = self {
            *depth = depth.saturating_add_signed(by);
        }
    }

    fn line(&self, out: &mut String) {
        if let Self::Indented(depth) = self {
            out.push('\n');
            out.extend(std::iter::repeat_n("  ", *depth));
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(Strict)
    }
}

struct Strict;

impl<'de> Visitor<'de> for Strict {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without fractions")
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Int(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Json, E> {
        i64::try_from(value)
            .map(Json::Int)
            .map_err(|_| E::custom("integer out of range"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Json, E> {
        Ok(Json::text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Json::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut map = Map::new();
        while let Some((key, value)) = access.next_entry::<String, Json>()? {
            if map.insert(key, value).is_some() {
                return Err(A::Error::custom("duplicate key"));
            }
        }
        Ok(Json::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::Json;

    #[test]
    fn canonical_form_is_sorted_bare_and_escapes_two_characters() {
        let json: Json =
            serde_json::from_str(r#" { "é": -1, "z": [true, null, {}], "a\"\\": "\n\u00e9\ud83d\ude00" } "#).unwrap();
        let canonical = json.canonical();
        assert_eq!(
            canonical,
            "{\"a\\\"\\\\\":\"\n\u{e9}\u{1f600}\",\"z\":[true,null,{}],\"\u{e9}\":-1}".as_bytes()
        );
        // The form for files is JSON again and means the same.
        assert_eq!(serde_json::from_slice::<Json>(&json.pretty()).unwrap(), json);
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        for bad in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":{"b":[{"c":1,"c":2}]}}"#,
            r#"{"a":1,"\u0061":1}"#,
            "1.0",
            "1e3",
            "-0",
            "9223372036854775808",
            "[1] x",
            r#""\ud800""#,
            "NaN",
            &format!("{}{}", "[".repeat(200), "]".repeat(200)),
        ] {
            assert!(serde_json::from_str::<Json>(bad).is_err(), "`{bad}` must be refused");
        }
    }
}
