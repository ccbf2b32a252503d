//! Owns the errors of an index: what is wrong, and in which line.

use std::io;

use kojibox_signing::Digest;

use crate::{
    frame::FrameError,
    limits,
    path::{PathError, TreeError},
};

/// Why bytes are no index.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// Not one frame of the format.
    #[error("the index is not one zstd frame of the format")]
    Frame(#[from] FrameError),
    /// Over the limit.
    #[error("the index has {0} decoded bytes, at most {most} bytes are read", most = limits::INDEX_RAW)]
    Long(u64),
    /// It could not be decoded.
    #[error("the index does not decode")]
    Decode(#[source] io::Error),
    /// Of a later version of the format.
    #[error("the index is of version {0}, this program reads version 1")]
    TooNew(u64),
    /// A line breaks the format.
    #[error("line {line} of the index breaks the format")]
    Line {
        /// Counted from 1.
        line: u64,
        /// Which rule.
        #[source]
        source: LineError,
    },
}

/// Why a line does not belong where it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Not UTF-8, too long, or without a line break.
    #[error("it is no line of at most {} bytes of UTF-8", limits::INDEX_LINE)]
    Text,
    /// Not the record that must come here, or with another number of fields.
    #[error("expected {0}")]
    Expected(&'static str),
    /// Not a number in its one form.
    #[error("`{}` is no number in its shortest form", crate::path::shorten(.0))]
    Number(String),
    /// A number that does not follow from what came before.
    #[error("{what} is {got}, expected {expected}")]
    Follows {
        /// Which number.
        what: &'static str,
        /// As written.
        got: u64,
        /// As it follows.
        expected: u64,
    },
    /// A number out of its range.
    #[error("{what} is {got}, allowed is {least} to {most}")]
    Range {
        /// Which number.
        what: &'static str,
        /// As written.
        got: u64,
        /// Smallest allowed.
        least: u64,
        /// Largest allowed.
        most: u64,
    },
    /// Not 64 hex digits.
    #[error(transparent)]
    Digest(#[from] kojibox_signing::DigestError),
    /// A mode that does not exist in a pack.
    #[error("mode `{}` does not exist in a pack", crate::path::shorten(.0))]
    Mode(String),
    /// A path that breaks the rules.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A path that does not fit its neighbours.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// `same` names no earlier file with bytes and the same mode.
    #[error("`{0}` is no earlier file of the same mode that has bytes")]
    First(String),
    /// The digest over the entries is another one.
    #[error("tree sha256 is `{got}`, stated is `{stated}`")]
    TreeDigest {
        /// Over the entries as read.
        got: Digest,
        /// In the last line.
        stated: Digest,
    },
}
