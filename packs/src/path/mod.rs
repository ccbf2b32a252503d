//! Owns [`PackPath`]: the only paths that exist in a pack, safe on every system a pack may be installed on.
//!
//! A path that one supported system cannot hold, or reads as something else, is refused for all of them, at build time
//! and again when an index is read. [`Tree`] holds the rules between paths: order, parents, collisions.
//!
//! Source: packs/FORMAT.md, "Paths".

mod fold;
mod tree;

use std::{borrow::Borrow, fmt, ops::Deref};

pub use fold::fold;
pub use tree::{Tree, TreeError};

/// Bytes of the longest path.
pub const MAX_PATH: usize = 1024;
/// Bytes of the longest segment.
pub const MAX_SEGMENT: usize = 255;
/// Most segments of a path.
pub const MAX_DEPTH: usize = 64;

/// A relative path in a component tree: UTF-8 in NFC, `/` between segments, valid on every target.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackPath(Box<str>);

/// Why a text is no path of a pack.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("path `{}`: {reason}", shorten(.path))]
pub struct PathError {
    path: Box<str>,
    /// The rule that it breaks.
    pub reason: PathReason,
}

/// The rules that a path can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathReason {
    /// No bytes at all, or two slashes in a row, or one at an end.
    #[error("a segment is empty")]
    EmptySegment,
    /// A segment is `.` or `..`.
    #[error("`.` and `..` are no names")]
    DotSegment,
    /// Over [`MAX_PATH`].
    #[error("{0} bytes are too long, at most {MAX_PATH} bytes are allowed")]
    Long(usize),
    /// Over [`MAX_SEGMENT`].
    #[error("a segment of {0} bytes is too long, at most {MAX_SEGMENT} bytes are allowed")]
    LongSegment(usize),
    /// Over [`MAX_DEPTH`].
    #[error("{0} levels are too deep, at most {MAX_DEPTH} levels are allowed")]
    Deep(usize),
    /// Not in Unicode normal form C.
    #[error("it is not in Unicode normal form C")]
    NotNfc,
    /// A character that Windows or a shell reads as something else.
    #[error("character `{0}` is not allowed in a name")]
    Character(char),
    /// A character that cannot be seen or turns the direction of text.
    #[error("the invisible character U+{:04X} is not allowed in a name", u32::from(*.0))]
    Invisible(char),
    /// Windows drops a dot or space at the end of a name.
    #[error("a name may not end with a dot or a space")]
    Trailing,
    /// A name that opens a device on Windows.
    #[error("a segment names a device on Windows")]
    Device,
    /// A link target that starts with `/`.
    #[error("a link target must be relative")]
    AbsoluteTarget,
    /// A link target that leaves the tree, or goes up after it went down.
    #[error("a link target must stay inside the tree")]
    Escapes,
}

impl PackPath {
    /// Takes a path that keeps every rule.
    pub fn new(text: &str) -> Result<Self, PathError> {
        check(text).map_err(|reason| PathError::new(text, reason))?;
        Ok(Self(text.into()))
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Segments from the top down.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// The path it is in, `None` at the top.
    pub fn parent(&self) -> Option<&str> {
        self.0.rsplit_once('/').map(|(parent, _)| parent)
    }

    /// Last segment.
    pub fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or(&*self.0, |(_, name)| name)
    }

    /// Checks `target` as the target of a link at this path.
    ///
    /// Allowed is any number of `..` that stays inside the tree, then at least one name. Going up after going down is
    /// refused, because the way down may lead through another link; so no link can ever leave the tree.
    pub fn check_link(&self, target: &str) -> Result<(), PathError> {
        let fail = |reason| PathError::new(target, reason);
        if target.starts_with('/') {
            return Err(fail(PathReason::AbsoluteTarget));
        }
        if target.len() > MAX_PATH {
            return Err(fail(PathReason::Long(target.len())));
        }
        let mut rest = target;
        let mut up = 0;
        while let Some(below) = rest.strip_prefix("../") {
            rest = below;
            up += 1;
        }
        let depth = self.segments().count() - 1;
        if up > depth || rest.split('/').any(|segment| segment == "..") {
            return Err(fail(PathReason::Escapes));
        }
        check(rest).map_err(fail)
    }
}

impl PathError {
    fn new(path: &str, reason: PathReason) -> Self {
        Self {
            path: path.into(),
            reason,
        }
    }
}

/// At most 200 characters, escaped.
pub(crate) fn shorten(text: &str) -> String {
    let mut out: String = text.chars().take(200).flat_map(char::escape_debug).collect();
    if text.chars().nth(200).is_some() {
        out.push('…');
    }
    out
}

fn check(text: &str) -> Result<(), PathReason> {
    if text.len() > MAX_PATH {
        return Err(PathReason::Long(text.len()));
    }
    let depth = text.split('/').count();
    if depth > MAX_DEPTH {
        return Err(PathReason::Deep(depth));
    }
    text.split('/').try_for_each(check_segment)?;
    if !fold::is_nfc(text) {
        return Err(PathReason::NotNfc);
    }
    Ok(())
}

fn check_segment(segment: &str) -> Result<(), PathReason> {
    if segment.is_empty() {
        return Err(PathReason::EmptySegment);
    }
    if segment == "." || segment == ".." {
        return Err(PathReason::DotSegment);
    }
    if segment.len() > MAX_SEGMENT {
        return Err(PathReason::LongSegment(segment.len()));
    }
    for c in segment.chars() {
        if is_invisible(c) {
            return Err(PathReason::Invisible(c));
        }
        if matches!(c, '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|') {
            return Err(PathReason::Character(c));
        }
    }
    if segment.ends_with(['.', ' ']) {
        return Err(PathReason::Trailing);
    }
    if is_device(segment) {
        return Err(PathReason::Device);
    }
    Ok(())
}

/// Control, format, bidi, tag and non-characters: nothing that a person could see.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || u32::from(c) & 0xfffe == 0xfffe
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{fdd0}'..='\u{fdef}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Windows opens a device for these names whatever extension follows; superscript digits count as digits.
fn is_device(segment: &str) -> bool {
    let stem = segment.split('.').next().unwrap_or(segment);
    let stem = fold(stem.trim_end_matches(' '));
    match stem.as_str() {
        "con" | "prn" | "aux" | "nul" | "conin$" | "conout$" | "clock$" => true,
        _ => ["com", "lpt"]
            .iter()
            .filter_map(|port| stem.strip_prefix(port))
            .any(|rest| rest.len() == 1 && rest.as_bytes()[0].is_ascii_digit()),
    }
}

impl Deref for PackPath {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for PackPath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for PackPath {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PackPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for PackPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_DEPTH, PackPath, PathReason};

    #[test]
    fn names_that_work_everywhere_are_taken() {
        for good in [
            "a",
            "bin/x",
            "_/.hidden",
            "a..b",
            "...a",
            "lib/libc++.so.6.0",
            "ü/日本/ملف",
            "com10",
            "con-fig",
            "xcon",
            "lpt",
            "a b/c d",
            "~1",
            "@scope/pkg",
            "[id].js",
            "$RECYCLE",
            "a=b;c,d",
        ] {
            assert_eq!(PackPath::new(good).map(|p| p.to_string()), Ok(good.to_owned()));
        }
        assert!(PackPath::new(&vec!["a"; MAX_DEPTH].join("/")).is_ok());
        assert!(PackPath::new(&format!("{}/{}", "a".repeat(255), "b".repeat(255))).is_ok());
    }

    #[test]
    fn each_rule_refuses_with_its_reason() {
        use PathReason as R;
        for (bad, reason) in [
            ("", R::EmptySegment),
            ("/a", R::EmptySegment),
            ("a/", R::EmptySegment),
            ("a//b", R::EmptySegment),
            (".", R::DotSegment),
            ("a/../b", R::DotSegment),
            ("..", R::DotSegment),
            ("a\\b", R::Character('\\')),
            ("c:", R::Character(':')),
            ("a|b", R::Character('|')),
            ("a\0", R::Invisible('\0')),
            ("a\tb", R::Invisible('\t')),
            ("a\u{85}", R::Invisible('\u{85}')),
            ("a\u{202e}b", R::Invisible('\u{202e}')),
            ("a\u{200d}b", R::Invisible('\u{200d}')),
            ("\u{fffe}", R::Invisible('\u{fffe}')),
            ("a.", R::Trailing),
            ("a /b", R::Trailing),
            ("e\u{301}", R::NotNfc),
            ("\u{212b}", R::NotNfc),
            ("nul", R::Device),
            ("CON.txt", R::Device),
            ("a/com1", R::Device),
            ("lpt\u{b9}.x", R::Device),
            ("com\u{2070}", R::Device),
            ("con .x", R::Device),
            ("CONOUT$", R::Device),
            ("\u{ff23}\u{ff2f}\u{ff2e}", R::Device),
        ] {
            assert_eq!(
                PackPath::new(bad).map_err(|e| e.reason),
                Err(reason),
                "`{}`",
                bad.escape_debug()
            );
        }
        let reason = |text: &str| PackPath::new(text).unwrap_err().reason;
        assert_eq!(reason(&"a".repeat(256)), R::LongSegment(256));
        assert_eq!(reason(&vec!["a"; MAX_DEPTH + 1].join("/")), R::Deep(MAX_DEPTH + 1));
        assert_eq!(reason(&"ab/".repeat(400)), R::Long(1200));
    }

    #[test]
    fn a_link_stays_in_the_tree_whatever_other_links_do() {
        let link = PackPath::new("a/b/link").unwrap();
        for good in ["x", "c/d", "../x", "../../x/y"] {
            assert_eq!(link.check_link(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "../..",
            "../../../x",
            "/x",
            "x/../y",
            "../x/..",
            "./x",
            "x/",
            "../nul",
            "c:/x",
            "..\\x",
            "../a\u{202e}",
        ] {
            assert!(link.check_link(bad).is_err(), "`{bad}` must be refused");
        }
    }
}
