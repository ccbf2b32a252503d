//! Owns the masking of secrets before anything reaches a disk.

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};

/// Shorter values are found in any text by chance.
const SHORTEST: usize = 6;
/// Fewer bytes of the beginning of a secret tell nothing, and stand at the end of many texts by chance.
const TELLING: usize = 4;

/// Replaces every form of every known secret.
#[derive(Debug, Default)]
pub(crate) struct Mask {
    /// Bytes to find, longest first, and what stands in their place.
    forms: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Mask {
    /// Knows secrets by name and value.
    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut forms: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for (name, value) in secrets.into_iter().filter(|(_, v)| v.len() >= SHORTEST) {
            let shown = format!("***({name})").into_bytes();
            let json = serde_json::to_string(value).unwrap_or_default();
            let json = json.trim_matches('"').to_owned();
            for form in [value.to_owned(), url(value), STANDARD_NO_PAD.encode(value), json] {
                if !forms.iter().any(|(f, _)| f == form.as_bytes()) {
                    forms.push((form.into_bytes(), shown.clone()));
                }
            }
        }
        forms.sort_by_key(|(form, _)| std::cmp::Reverse(form.len()));
        Self { forms }
    }

    /// Masks whole text.
    pub(crate) fn apply(&self, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len());
        let mut rest = text;
        while !rest.is_empty() {
            let hit = self.forms.iter().find(|(form, _)| rest.starts_with(form));
            if let Some((form, shown)) = hit {
                out.extend_from_slice(shown);
                rest = &rest[form.len()..];
            } else {
                out.push(rest[0]);
                rest = &rest[1..];
            }
        }
        out
    }

    /// How many bytes at the end of `text` may be the beginning of a secret whose end is still to come.
    pub(crate) fn open_end(&self, text: &[u8]) -> usize {
        let longest = self.forms.first().map_or(0, |(form, _)| form.len() - 1);
        let most = longest.min(text.len());
        let begins = |n: &usize| {
            let end = &text[text.len() - n..];
            self.forms
                .iter()
                .any(|(form, _)| form.len() > *n && form.starts_with(end))
        };
        (TELLING..=most).rev().find(begins).unwrap_or(0)
    }
}

fn url(value: &str) -> String {
    let mut out = String::new();
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.extend(["%".to_owned(), format!("{byte:02X}")]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::Mask;

    #[test]
    fn every_form_of_a_secret_is_hidden() {
        let mask = Mask::new([("db", "p@ss\"word!"), ("tiny", "abc")]);
        let plain = mask.apply(b"a p@ss\"word! b p%40ss%22word%21 c p@ss\\\"word! d cEBzcyJ3b3JkIQ e abc");
        assert_eq!(
            String::from_utf8_lossy(&plain),
            "a ***(db) b ***(db) c ***(db) d ***(db) e abc"
        );
    }

    #[test]
    fn a_secret_that_has_only_begun_is_kept_back() {
        let mask = Mask::new([("db", "secretvalue")]);
        assert_eq!(mask.open_end(b"token=secretv"), 7);
        assert_eq!(mask.open_end(b"token=secretvalue"), 0);
        assert_eq!(mask.open_end(b"nothing here"), 0);
        assert_eq!(
            mask.open_end(b"the end s"),
            0,
            "a chance letter does not hold a line back"
        );
    }
}
