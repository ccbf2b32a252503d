//! Owns [`Medium`]: a blob where it lies, whole or in parts, read in place.
//!
//! Parts are not signed. Their sizes must add up to the signed size of the blob, each must end where a frame ends, and
//! every frame is compared with its signed hash anyway.

use std::{
    io::{self, Seek as _, SeekFrom},
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use kojibox_signing::{Digest, Hasher};

use super::error::{Damage, ReadError};
use crate::{
    Progress,
    fill::fill,
    index::Index,
    manifest::BlobRef,
    names,
    source::{BlobSource, ReadSeekSend, Section, SourceError},
};

/// How often a failing read is tried again.
const RETRIES: u32 = 3;
/// How long the first of these waits; each next one waits twice as long.
const PAUSE: Duration = Duration::from_millis(50);

/// Tries again what a medium may do at the second time: it may have been reset, or have a loose contact.
pub(super) fn retry<T>(mut attempt: impl FnMut() -> Result<T, SourceError>) -> Result<T, SourceError> {
    let mut tries = 0;
    loop {
        match attempt() {
            Err(SourceError::Io { .. }) if tries < RETRIES => {
                thread::sleep(PAUSE * 2_u32.pow(tries));
                tries += 1;
            }
            outcome => return outcome,
        }
    }
}

/// A blob on a medium.
pub(super) struct Medium<'a> {
    source: &'a dyn BlobSource,
    parts: Vec<Part>,
}

/// A file that holds `len` bytes of the blob from `start` on.
pub(super) struct Part {
    name: String,
    start: u64,
    len: u64,
}

impl<'a> Medium<'a> {
    /// Finds the parts of a blob and checks their sizes.
    pub(super) fn open(source: &'a dyn BlobSource, blob: &BlobRef, index: &Index) -> Result<Self, ReadError> {
        let mut medium = Self {
            source,
            parts: Vec::new(),
        };
        if let Some(got) = medium.len_of(&blob.name)? {
            if got != blob.size {
                let expected = blob.size;
                return Err(medium.damaged(&blob.name, got.min(expected), None, Damage::Size { got, expected }));
            }
            medium.push(blob.name.clone(), 0, got);
            return Ok(medium);
        }
        let mut start = 0;
        for number in 1..=names::MAX_PARTS {
            let name = names::part(&blob.name, number);
            let Some(got) = medium.len_of(&name)? else {
                let missing = if number == 1 { &blob.name } else { &name };
                return Err(ReadError::Missing(medium.locate(missing)));
            };
            let end = start + got;
            if end > blob.size || !ends_a_frame(index, end, blob.size) {
                return Err(medium.damaged(&name, got, None, Damage::Border { got }));
            }
            medium.push(name, start, got);
            start = end;
            if start == blob.size {
                return Ok(medium);
            }
        }
        let (got, expected) = (start, blob.size);
        Err(medium.damaged(&blob.name, got, None, Damage::Size { got, expected }))
    }

    fn push(&mut self, name: String, start: u64, len: u64) {
        self.parts.push(Part { name, start, len });
    }

    fn len_of(&self, name: &str) -> Result<Option<u64>, ReadError> {
        let len = retry(|| {
            let Some(mut file) = self.source.open(&Section::Blobs, name)? else {
                return Ok(None);
            };
            file.seek(SeekFrom::End(0)).map(Some).map_err(|source| SourceError::Io {
                path: self.locate(name),
                source,
            })
        });
        Ok(len?)
    }

    pub(super) fn locate(&self, name: &str) -> PathBuf {
        self.source.locate(&Section::Blobs, name)
    }

    /// The part that holds the byte at `offset` of the blob.
    fn part_at(&self, offset: u64) -> &Part {
        let after = self.parts.partition_point(|part| part.start <= offset);
        &self.parts[after.saturating_sub(1)]
    }

    /// First byte of the part after the one that holds `offset`.
    pub(super) fn part_end(&self, offset: u64) -> u64 {
        let part = self.part_at(offset);
        part.start + part.len
    }

    /// An error about the frame that begins at `offset` of the blob.
    pub(super) fn damaged_at(&self, offset: u64, frame: Option<u64>, source: Damage) -> ReadError {
        let part = self.part_at(offset);
        self.damaged(&part.name, offset - part.start, frame, source)
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

    pub(super) fn sha256(&self, progress: &dyn Progress, cancel: &AtomicBool) -> Result<Digest, ReadError> {
        let mut reader = self.reader();
        let mut hasher = Hasher::new();
        let mut buffer = Vec::new();
        let end = self.parts.last().map_or(0, |part| part.start + part.len);
        let mut at = 0;
        while at < end {
            if cancel.load(Ordering::Relaxed) {
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

/// True if `end` is the end of a data frame, or of the whole blob.
fn ends_a_frame(index: &Index, end: u64, blob: u64) -> bool {
    let frames = index.frames();
    let at = frames.partition_point(|f| f.comp_off + f.comp_len < end);
    end == blob || frames.get(at).is_some_and(|f| f.comp_off + f.comp_len == end)
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
        let part = self.medium.part_at(offset);
        let mut tries = 0;
        loop {
            let Err(stop) = self.attempt(part, offset - part.start, len, out) else {
                return Ok(());
            };
            self.open = None;
            match stop {
                Stop::Io(_) | Stop::Source(SourceError::Io { .. }) if tries < RETRIES => {
                    thread::sleep(PAUSE * 2_u32.pow(tries));
                    tries += 1;
                }
                stop => return Err(self.error(part, offset - part.start, len, stop)),
            }
        }
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
                let found = self
                    .medium
                    .source
                    .open(&Section::Blobs, &part.name)
                    .map_err(Stop::Source)?;
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

enum Stop {
    /// The part is not there any more.
    Gone,
    Source(SourceError),
    Io(io::Error),
    /// The part is shorter than it was: only so many bytes were left.
    Short(u64),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
