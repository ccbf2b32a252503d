//! Owns [`fold`]: the form under which two names count as the same.

use caseless::Caseless as _;
use unicode_normalization::{IsNormalized, UnicodeNormalization as _, is_nfc_quick};

/// Key of a name: equal for names that some file system may take for the same (NFKC and full case folding).
///
/// Source: The Unicode Standard, section 3.13, D146 (compatibility caseless match), then composed.
pub fn fold(name: &str) -> String {
    if name.is_ascii() {
        return name.to_ascii_lowercase();
    }
    name.nfd()
        .default_case_fold()
        .nfkd()
        .default_case_fold()
        .nfkc()
        .collect()
}

pub(super) fn is_nfc(text: &str) -> bool {
    match is_nfc_quick(text.chars()) {
        IsNormalized::Yes => true,
        IsNormalized::No => false,
        IsNormalized::Maybe => text.nfc().eq(text.chars()),
    }
}

#[cfg(test)]
mod tests {
    use super::fold;

    #[test]
    fn names_that_some_system_confuses_have_one_key() {
        for (a, b) in [
            ("README", "readme"),
            ("straße", "STRASSE"),
            ("ﬁle", "file"),
            ("\u{212a}elvin", "kelvin"),
            ("é", "e\u{301}"),
            ("É", "e\u{301}"),
            ("ς", "Σ"),
            ("ａ", "A"),
            ("\u{1e9e}", "ss"),
            ("\u{345}", "ι"),
        ] {
            assert_eq!(fold(a), fold(b), "`{a}` and `{b}`");
        }
        assert_ne!(fold("a"), fold("b"));
        assert_ne!(
            fold("ı"),
            fold("i"),
            "dotless i is a letter of its own without a Turkish locale"
        );
    }
}
