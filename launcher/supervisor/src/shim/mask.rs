//! Owns the masking of secrets before anything reaches a disk.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};

/// Shorter values are found in any text by chance.
const SHORTEST: usize = 6;
/// Fewer bytes of the beginning of a secret tell nothing, and stand at the end of many texts by chance.
pub(super) const TELLING: usize = 4;

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
            let plain = [value.to_owned(), url(value), json];
            for form in plain.into_iter().chain(base64(value)) {
                if form.len() >= SHORTEST && !forms.iter().any(|(f, _)| f == form.as_bytes()) {
                    forms.push((form.into_bytes(), shown.clone()));
                }
            }
        }
        forms.sort_by_key(|(form, _)| std::cmp::Reverse(form.len()));
        Self { forms }
    }

    /// Masks text that goes on after `seen`, which has been shown already: a secret that began there is not shown to its end.
    pub(crate) fn apply(&self, seen: &[u8], text: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len());
        let mut rest = text;
        if let Some((end, shown)) = self.begun(seen, text) {
            out.extend_from_slice(shown);
            rest = &text[end..];
        }
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

    /// The length of what is at the beginning of `text` of a secret that began at the end of `seen`.
    fn begun(&self, seen: &[u8], text: &[u8]) -> Option<(usize, &[u8])> {
        let goes_on = |(form, shown): &'_ (Vec<u8>, Vec<u8>)| {
            let split = (1..=seen.len().min(form.len() - 1)).rev().find(|n| {
                let (head, tail) = form.split_at(*n);
                seen.ends_with(head) && text.starts_with(tail)
            })?;
            Some((form.len() - split, shown.len()))
        };
        let (form, (end, _)) = self.forms.iter().find_map(|f| Some((f, goes_on(f)?)))?;
        Some((end, &form.1))
    }

    /// How many bytes at the end of `text` may be the beginning of a secret whose end is still to come, if these are at least
    /// `telling`.
    pub(crate) fn open_end(&self, text: &[u8], telling: usize) -> usize {
        let longest = self.forms.first().map_or(0, |(form, _)| form.len() - 1);
        let most = longest.min(text.len());
        let begins = |n: &usize| {
            let end = &text[text.len() - n..];
            self.forms
                .iter()
                .any(|(form, _)| form.len() > *n && form.starts_with(end))
        };
        (telling..=most).rev().find(begins).unwrap_or(0)
    }
}

/// The value as it stands in base64: alone, and inside of a longer text, where it begins at any byte of a group of three. What
/// depends on its neighbours is left out.
fn base64(value: &str) -> impl Iterator<Item = String> {
    let forms = (0..3).flat_map(move |before| {
        let padded = [&[0; 2][..before], value.as_bytes()].concat();
        // Of the first group, one character belongs to a neighbour with one byte of it, and is shared with the next; and so on.
        let start = [0, 2, 3][before];
        let shared = usize::from(padded.len() % 3 != 0);
        [STANDARD_NO_PAD, URL_SAFE_NO_PAD].map(|engine| {
            let text = engine.encode(&padded);
            text[start..text.len() - shared].to_owned()
        })
    });
    let forms: Vec<String> = forms.collect();
    [STANDARD_NO_PAD.encode(value), URL_SAFE_NO_PAD.encode(value)]
        .into_iter()
        .chain(forms)
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
    use base64::{Engine as _, engine::general_purpose::STANDARD};

    use super::{Mask, TELLING};

    #[test]
    fn a_secret_inside_of_base64_is_hidden_wherever_it_begins() {
        let secret = "S3cretV4lue!x";
        let mask = Mask::new([("db", secret)]);
        for before in 0..7 {
            for after in 0..4 {
                let text = format!("{}{secret}{}", "u".repeat(before), "v".repeat(after));
                let shown = mask.apply(b"", STANDARD.encode(text).as_bytes());
                let shown = String::from_utf8(shown).unwrap();
                assert!(shown.contains("***(db)"), "{before} {after}: {shown}");
                let left = shown.replace("***(db)", "");
                assert!(left.len() <= (before + after) * 4 / 3 + 6, "{before} {after}: {shown}");
            }
        }
    }

    #[test]
    fn every_form_of_a_secret_is_hidden() {
        let mask = Mask::new([("db", "p@ss\"word!"), ("tiny", "abc")]);
        let plain = mask.apply(
            b"",
            b"a p@ss\"word! b p%40ss%22word%21 c p@ss\\\"word! d cEBzcyJ3b3JkIQ e abc",
        );
        assert_eq!(
            String::from_utf8_lossy(&plain),
            "a ***(db) b ***(db) c ***(db) d ***(db) e abc"
        );
    }

    #[test]
    fn a_secret_that_has_only_begun_is_kept_back() {
        let mask = Mask::new([("db", "secretvalue")]);
        assert_eq!(mask.open_end(b"token=secretv", TELLING), 7);
        assert_eq!(mask.open_end(b"token=secretvalue", TELLING), 0);
        assert_eq!(mask.open_end(b"nothing here", TELLING), 0);
        assert_eq!(
            mask.open_end(b"the end s", TELLING),
            0,
            "a chance letter does not hold a line back"
        );
        assert_eq!(mask.open_end(b"the end s", 1), 1);
    }
}
