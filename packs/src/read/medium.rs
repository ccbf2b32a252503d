//! Owns [`Medium`]: a blob where it lies, whole or in parts, read in place.
//!
//! Which bytes are at hand in which file, [`Parts`] knows; here they are read, and tried again where that fails.

use std::{
    io::{self, Seek as _, SeekFrom},
    ops::Range,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use kojibox_signing::{Digest, Hasher};

use super::{
    error::{Damage, Incurable, ReadError},
    parts::{Part, Parts},
    survey::Place,
};
use crate::{
    Progress,
    fill::fill,
    index::Index,
    manifest::BlobRef,
    parity::ParityError,
    source::{BlobSource, ReadSeekSend, Section, SourceError},
};

/// How long is waited before a failing read is tried again, 2.1 s in all: a medium may have been reset or have a loose contact.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_millis(1600),
];
/// How soon a wait is over when the caller asks to stop.
const BEAT: Duration = Duration::from_millis(20);

/// Tries again what a medium may do at the second time, also what was there a moment ago and is not found.
pub(super) fn patiently<T, E: Passing>(cancel: &AtomicBool, mut attempt: impl FnMut() -> Result<T, E>) -> Result<T, E> {
    for pause in PAUSES {
        match attempt() {
            Err(stop) if stop.is_passing() && !cancel.load(Ordering::Relaxed) => wait(pause, cancel),
            outcome => return outcome,
        }
    }
    attempt()
}

fn wait(pause: Duration, cancel: &AtomicBool) {
    let mut left = pause;
    while !left.is_zero() && !cancel.load(Ordering::Relaxed) {
        let now = left.min(BEAT);
        thread::sleep(now);
        left -= now;
    }
}

/// Tells what may pass from what is so.
pub(super) trait Passing {
    /// True if it may go better at the next time.
    fn is_passing(&self) -> bool;
}

impl Passing for SourceError {
    fn is_passing(&self) -> bool {
        matches!(self, Self::Io { .. })
    }
}

/// A blob on a medium.
pub(super) struct Medium<'a> {
    source: &'a dyn BlobSource,
    cancel: &'a AtomicBool,
    parts: Parts,
    size: u64,
}

impl<'a> Medium<'a> {
    /// Finds what is at hand of a blob; that may be none or some of its parts.
    pub(super) fn open(
        source: &'a dyn BlobSource,
        blob: &BlobRef,
        index: &Index,
        cancel: &'a AtomicBool,
    ) -> Result<Self, ReadError> {
        Ok(Self {
            source,
            cancel,
            parts: Parts::find(source, blob, index, cancel)?,
            size: blob.size,
        })
    }

    /// The same, where every part is needed.
    pub(super) fn open_whole(
        source: &'a dyn BlobSource,
        blob: &BlobRef,
        index: &Index,
        cancel: &'a AtomicBool,
    ) -> Result<Self, ReadError> {
        let medium = Self::open(source, blob, index, cancel)?;
        medium.first_missing().map_or(Ok(()), Err)?;
        Ok(medium)
    }

    /// True if the byte at `offset` of the blob is at hand.
    pub(super) fn has(&self, offset: u64) -> bool {
        self.parts.at(offset).there
    }

    /// Nothing of the blob is at hand.
    pub(super) fn is_nothing(&self) -> bool {
        self.parts.is_nothing()
    }

    /// The error that names the first missing part, if one is.
    pub(super) fn first_missing(&self) -> Option<ReadError> {
        self.parts.missing().map(|part| self.missing_at(part.start))
    }

    /// The error that names the part that is missing at `offset` of the blob.
    pub(super) fn missing_at(&self, offset: u64) -> ReadError {
        ReadError::Missing(self.locate(&self.parts.at(offset).name))
    }

    pub(super) fn locate(&self, name: &str) -> PathBuf {
        self.source.locate(&Section::Blobs, name)
    }

    /// First byte of the part after the one that holds `offset`.
    pub(super) fn part_end(&self, offset: u64) -> u64 {
        self.parts.at(offset).end()
    }

    /// An error about the frame that begins at `offset` of the blob.
    pub(super) fn damaged_at(&self, offset: u64, frame: Option<u64>, source: Damage) -> ReadError {
        let part = self.parts.at(offset);
        self.damaged(&part.name, offset - part.start, frame, source)
    }

    /// A damaged stretch of the blob.
    pub(super) fn place(&self, range: Range<u64>, number: u64) -> Place {
        let part = self.parts.at(range.start);
        Place {
            path: self.locate(&part.name),
            offset: range.start - part.start,
            len: range.end - range.start,
            number,
        }
    }

    fn damaged(&self, name: &str, offset: u64, frame: Option<u64>, source: Damage) -> ReadError {
        ReadError::Damaged {
            path: self.locate(name),
            offset,
            frame,
            source,
        }
    }

    pub(super) fn reader(&self) -> MediumReader<'_> {
        MediumReader {
            medium: self,
            open: None,
        }
    }

    pub(super) fn sha256(&self, progress: &dyn Progress) -> Result<Digest, ReadError> {
        let mut reader = self.reader();
        let mut hasher = Hasher::new();
        let mut buffer = Vec::new();
        let mut at = 0;
        while at < self.size {
            if self.cancel.load(Ordering::Relaxed) {
                return Err(ReadError::Cancelled);
            }
            let len = (self.part_end(at) - at).min(1 << 20);
            reader.read(at, len, &mut buffer)?;
            hasher.update(&buffer);
            progress.add(len);
            at += len;
        }
        Ok(hasher.finish())
    }
}

/// Reads stretches of a blob, each within one part, and keeps the part open from one to the next.
pub(super) struct MediumReader<'a> {
    medium: &'a Medium<'a>,
    /// Part number, the file, and where it stands.
    open: Option<(u64, Box<dyn ReadSeekSend>, u64)>,
}

impl MediumReader<'_> {
    /// Reads `len` bytes at `offset` of the blob into `out`; a failure is tried again with the part opened anew.
    pub(super) fn read(&mut self, offset: u64, len: u64, out: &mut Vec<u8>) -> Result<(), ReadError> {
        let part = self.medium.parts.at(offset);
        if !part.there {
            return Err(self.medium.missing_at(offset));
        }
        let at = offset - part.start;
        let done = patiently(self.medium.cancel, || {
            let done = self.attempt(part, at, len, out);
            if done.is_err() {
                self.open = None;
            }
            done
        });
        done.map_err(|stop| self.error(part, at, len, stop))
    }

    fn attempt(&mut self, part: &Part, at: u64, len: u64, out: &mut Vec<u8>) -> Result<(), Stop> {
        let file = match &mut self.open {
            Some((start, file, stands)) if *start == part.start => {
                if *stands != at {
                    file.seek(SeekFrom::Start(at))?;
                    *stands = at;
                }
                file
            }
            open => {
                let found = self.medium.source.open(&Section::Blobs, &part.name)?;
                let mut file = found.ok_or(Stop::Gone)?;
                file.seek(SeekFrom::Start(at))?;
                &mut open.insert((part.start, file, at)).1
            }
        };
        out.resize(
            usize::try_from(len).expect("at most a frame or 1 MiB is read at once"),
            0,
        );
        let got = fill(file, out)? as u64;
        if got < len {
            return Err(Stop::Short(got));
        }
        if let Some((_, _, stands)) = &mut self.open {
            *stands = at + len;
        }
        Ok(())
    }

    fn error(&self, part: &Part, offset: u64, len: u64, stop: Stop) -> ReadError {
        let path = self.medium.locate(&part.name);
        match stop {
            Stop::Gone => ReadError::Missing(path),
            Stop::Source(source) => source.into(),
            Stop::Io(source) => ReadError::Io { path, offset, source },
            Stop::Short(got) => {
                let (got, expected) = (offset + got, offset + len);
                self.medium
                    .damaged(&part.name, offset, None, Damage::Size { got, expected })
            }
        }
    }
}

/// Why a read did not give what was asked for.
pub(super) enum Stop {
    /// The file is not there any more.
    Gone,
    Source(SourceError),
    Io(io::Error),
    /// The file is shorter than it was: only so many bytes were left.
    Short(u64),
}

impl Passing for Stop {
    fn is_passing(&self) -> bool {
        match self {
            Self::Gone | Self::Io(_) => true,
            Self::Source(error) => error.is_passing(),
            Self::Short(_) => false,
        }
    }
}

impl Stop {
    pub(super) fn incurable(self, path: PathBuf) -> Incurable {
        match self {
            Self::Short(_) => Incurable::Useless {
                path,
                source: ParityError::Short,
            },
            Self::Gone | Self::Source(_) | Self::Io(_) => Incurable::Unreadable(path),
        }
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<SourceError> for Stop {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}
