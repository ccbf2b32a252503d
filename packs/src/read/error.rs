//! Owns [`ReadError`]: every way in which reading a blob ends before its end.

use std::{io, path::PathBuf};

use kojibox_signing::{Digest, Refusal, VerifyError};

use crate::{Kind, frame::FrameError, index::IndexError, parity::ParityError, source::SourceError};

/// Why a blob or its index could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The source could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A file, or a part of a blob, is not on the medium.
    #[error("`{}` is missing", .0.display())]
    Missing(PathBuf),
    /// The system could not read the medium, also when tried again.
    #[error("could not read `{}` at byte {offset}", path.display())]
    Io {
        /// Blob or part.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// Bytes on the medium are not those that were signed.
    #[error("`{}` is damaged at byte {offset}{}", path.display(), in_frame(*frame))]
    Damaged {
        /// Blob or part.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// Which frame of the blob, counted from 0.
        frame: Option<u64>,
        /// How.
        #[source]
        source: Damage,
    },
    /// Bytes are lost or damaged, there is parity, and it does not bring them back.
    #[error("parity cannot repair it: {why}")]
    Uncured {
        /// Why not.
        why: Incurable,
        /// What is wrong with the medium.
        source: Box<ReadError>,
    },
    /// The index is not the signed one, or breaks the format.
    #[error("could not take index `{name}`")]
    Index {
        /// File name.
        name: String,
        /// Why.
        source: VerifyError<IndexError>,
    },
    /// Manifest and index are both signed and say different things.
    #[error("component `{component}`: {what} is {got} by its index, {expected} by its manifest")]
    Disagree {
        /// Component id.
        component: String,
        /// What differs.
        what: &'static str,
        /// By the index.
        got: String,
        /// By the manifest.
        expected: String,
    },
    /// A frame has the signed hash and still is no frame of the format.
    #[error("component `{component}`: frame {frame} breaks the format")]
    Frame {
        /// Component id.
        component: String,
        /// Which frame, counted from 0.
        frame: u64,
        /// How.
        source: FrameError,
    },
    /// The content of a signed frame is not the signed content.
    #[error("component `{component}`: frame {frame} decodes to sha256 `{got}`, its index says `{expected}`")]
    Content {
        /// Component id.
        component: String,
        /// Which frame, counted from 0.
        frame: u64,
        /// As decoded.
        got: Digest,
        /// By the index.
        expected: Digest,
    },
    /// The tar inside the blob says something else than the index.
    #[error("component `{component}`: the tar header of `{path}` is not the one that the index implies")]
    Header {
        /// Component id.
        component: String,
        /// Entry, or where the stream ends.
        path: String,
    },
    /// The bytes of a file are not those that the index names.
    #[error("component `{component}`: file `{path}` has sha256 `{got}`, its index says `{expected}`")]
    File {
        /// Component id.
        component: String,
        /// Which file.
        path: String,
        /// As decoded.
        got: Digest,
        /// By the index.
        expected: Digest,
    },
    /// The receiver refused.
    #[error("could not take `{path}` of component `{component}`")]
    Sink {
        /// Component id.
        component: String,
        /// Which entry.
        path: String,
        /// The receiver's own error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No decoder could be made.
    #[error("could not start a decoder")]
    Decoder(#[source] io::Error),
    /// The caller asked to stop.
    #[error("reading was cancelled")]
    Cancelled,
}

fn in_frame(frame: Option<u64>) -> String {
    frame.map_or_else(String::new, |n| format!(" (frame {n})"))
}

/// Why parity does not bring back what is lost.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Incurable {
    /// Too much is lost.
    #[error("more than {most} of {of} blocks that belong together are lost")]
    Lost {
        /// How many would come back.
        most: usize,
        /// Data blocks of the group.
        of: u64,
    },
    /// The parity file is of no use itself.
    #[error("`{}` is of no use, {source}", path.display())]
    Useless {
        /// The parity file.
        path: PathBuf,
        /// Why.
        source: ParityError,
    },
    /// The parity file could not be read.
    #[error("`{}` cannot be read", .0.display())]
    Unreadable(PathBuf),
    /// A part that holds blocks of the same group is not there.
    #[error("it needs `{}`, which is missing", .0.display())]
    Part(PathBuf),
    /// What came back is not what was signed either.
    #[error("it was made for other bytes")]
    Otherwise,
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
}

/// How bytes on a medium differ from what was signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Other bytes.
    #[error("sha256 is `{got}`, expected `{expected}`")]
    Hash {
        /// As read.
        got: Digest,
        /// As signed.
        expected: Digest,
    },
    /// Too few or too many bytes.
    #[error("it has {got} bytes, expected {expected} bytes")]
    Size {
        /// As found.
        got: u64,
        /// As signed.
        expected: u64,
    },
    /// A part does not end where a frame ends: it was cut short, or is not of this blob.
    #[error("the part has {got} bytes, which is not where a frame ends")]
    Border {
        /// As found.
        got: u64,
    },
    /// A part does not begin with any frame of this blob.
    #[error("the part begins with no frame of this blob")]
    Start,
    /// The seek table is not the one that the frames imply.
    #[error("the seek table is not the one that the index implies")]
    SeekTable,
}

impl ReadError {
    /// What scripts see.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Source(e) => e.kind(),
            Self::Uncured { source, .. } => source.kind(),
            Self::Missing(_) => Kind::MediumMissing,
            Self::Io { .. } | Self::Decoder(_) => Kind::Io,
            Self::Damaged { .. } => Kind::Damaged,
            Self::Index { source, .. } => index_kind(source),
            Self::Disagree { .. }
            | Self::Frame { .. }
            | Self::Content { .. }
            | Self::Header { .. }
            | Self::File { .. } => Kind::Malformed,
            Self::Sink { .. } => Kind::Sink,
            Self::Cancelled => Kind::Cancelled,
        }
    }
}

fn index_kind(error: &VerifyError<IndexError>) -> Kind {
    match (error.refusal(), error) {
        (_, VerifyError::Document(IndexError::TooNew(_))) | (Some(Refusal::TooNew), _) => Kind::TooNew,
        (None | Some(Refusal::Malformed), _) => Kind::Malformed,
        // An index has no signature of its own: whatever else is wrong is a hash that does not match.
        (Some(_), _) => Kind::Damaged,
    }
}
