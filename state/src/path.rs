//! Owns [`RootPath`], a place inside an install root: relative, validated, with `/` on every system.

use std::{
    fmt,
    path::{Path, PathBuf},
};

/// Longest path in bytes, counted without the root.
const MAX_BYTES: usize = 2048;
/// Longest segment in bytes, the limit of every file system we meet.
const MAX_SEGMENT: usize = 255;

/// A path relative to an install root: no leading `/`, no empty, `.` or `..` segment, no `\`, no `:`, no NUL.
///
/// The root itself is [`RootPath::ROOT`]. That no segment is a symbolic link is checked when the path is opened.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RootPath(String);

/// The text is not a path inside an install root.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a path inside an install root: {why}", text.escape_debug())]
pub struct RootPathError {
    text: String,
    why: &'static str,
}

impl RootPath {
    /// The root itself.
    pub const ROOT: Self = Self(String::new());

    /// Takes `text` if it stays inside the root on every system.
    pub fn new(text: impl Into<String>) -> Result<Self, RootPathError> {
        let text = text.into();
        match fault(&text) {
            None => Ok(Self(text)),
            Some(why) => Err(RootPathError {
                text: text.chars().take(120).collect(),
                why,
            }),
        }
    }

    /// A path made of names that this crate chose itself.
    pub(crate) fn own(text: impl Into<String>) -> Self {
        Self::new(text).expect("the layout uses only valid names")
    }

    /// Adds `more`, which may have several segments.
    pub fn join(&self, more: &str) -> Result<Self, RootPathError> {
        let mut text = self.0.clone();
        if !text.is_empty() {
            text.push('/');
        }
        text.push_str(more);
        Self::new(text)
    }

    /// The directory it lies in; `None` for the root itself.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        Some(Self(self.0.rfind('/').map_or("", |at| &self.0[..at]).to_owned()))
    }

    /// The last segment; empty for the root itself.
    pub fn name(&self) -> &str {
        self.0.rfind('/').map_or(&self.0, |at| &self.0[at + 1..])
    }

    /// True for the root itself.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// True if `self` is `other` or lies below it.
    pub fn is_within(&self, other: &Self) -> bool {
        other.is_root()
            || self
                .0
                .strip_prefix(&other.0)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The text, with `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments from the top down.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|s| !s.is_empty())
    }

    /// The same place as a path of this system, below `root`.
    pub fn below(&self, root: &Path) -> PathBuf {
        let mut out = root.to_owned();
        out.extend(self.segments());
        out
    }
}

fn fault(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        return Some("it is empty");
    }
    if text.len() > MAX_BYTES {
        return Some("it has more than 2048 bytes");
    }
    if text.contains(['\\', ':', '\0']) {
        return Some("it has a `\\`, a `:` or a NUL");
    }
    text.split('/').find_map(|segment| match segment {
        "" => Some("it has an empty segment"),
        "." | ".." => Some("it has a `.` or `..` segment"),
        s if s.len() > MAX_SEGMENT => Some("a segment has more than 255 bytes"),
        _ => None,
    })
}

impl fmt::Display for RootPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_root() { "." } else { &self.0 })
    }
}

impl fmt::Debug for RootPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RootPath({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::RootPath;

    #[test]
    fn only_paths_that_stay_inside_are_taken() {
        for good in ["a", "components/x-1.0.0-0123456789abcdef/bin/sh", "staging/000001-ab/ü"] {
            assert_eq!(RootPath::new(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "/a",
            "a/",
            "a//b",
            ".",
            "a/../b",
            "..",
            "a\\b",
            "c:",
            "a\0b",
            &"x".repeat(256),
        ] {
            assert!(RootPath::new(bad).is_err(), "`{bad}` must be refused");
        }
        assert!(RootPath::ROOT.join("..").is_err());
    }

    #[test]
    fn parents_and_containment() {
        let p = RootPath::new("a/b/c").unwrap();
        assert_eq!((p.parent().unwrap().as_str(), p.name()), ("a/b", "c"));
        assert!(RootPath::new("a").unwrap().parent().unwrap().is_root());
        assert!(RootPath::ROOT.parent().is_none());
        let inside = |a: &str, b: &str| RootPath::new(a).unwrap().is_within(&RootPath::new(b).unwrap());
        assert!(inside("a/b", "a") && inside("a", "a") && !inside("ab", "a") && !inside("a", "a/b"));
    }
}
