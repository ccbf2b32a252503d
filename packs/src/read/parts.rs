//! Owns [`Parts`]: which file holds which bytes of a blob, and which bytes are not at hand.
//!
//! Parts are not signed. A part whose place follows from those before it must end where a frame ends. One behind a gap (the part before it
//! is on another stick) says by itself where it belongs: by its length, and by the signed hash of its first frame. Either way every
//! frame of it is compared with its signed hash when it is read. A source may remember how long a part was that is not there any more.
//!
//! *Limitations*: behind a gap, a part that could lie at two places, since the same frames begin there and frames end where it
//! ends, counts as not there until the lengths of the parts before it are known.

use std::{
    collections::BTreeMap,
    io::{Read as _, SeekFrom},
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
};

use kojibox_signing::{Digest, Hasher};

use super::{
    error::{Damage, ReadError},
    medium::{Stop, patiently},
};
use crate::{
    index::Index,
    manifest::BlobRef,
    names, seek,
    source::{BlobSource, ReadSeekSend, Section, SourceError},
};

/// Bytes that are read at once to find out where a part belongs.
const PIECE: usize = 1 << 20;

/// A stretch of a blob.
pub(super) struct Part {
    /// The file that holds it; or the first one that is missing.
    pub(super) name: String,
    pub(super) start: u64,
    pub(super) len: u64,
    /// It is at hand.
    pub(super) there: bool,
}

impl Part {
    pub(super) fn end(&self) -> u64 {
        self.start + self.len
    }
}

/// All stretches of a blob, ascending, with neither gap nor overlap.
pub(super) struct Parts(Vec<Part>);

/// Looks for the parts of one blob.
struct Finder<'a> {
    source: &'a dyn BlobSource,
    blob: &'a BlobRef,
    index: &'a Index,
    cancel: &'a AtomicBool,
    /// Numbers of the parts that are there; looked for at the first gap.
    listed: Option<Vec<u32>>,
}

/// Digests of the frames with which a part may begin, by their length: where each would lie.
type Starts = BTreeMap<u64, Vec<(u64, Digest)>>;

impl Parts {
    /// Finds the files of a blob, whole or in parts, and checks their sizes.
    ///
    /// A file that is too short counts as whole where there is parity: what it lacks is lost, and may come back.
    pub(super) fn find(
        source: &dyn BlobSource,
        blob: &BlobRef,
        index: &Index,
        cancel: &AtomicBool,
    ) -> Result<Self, ReadError> {
        let mut finder = Finder {
            source,
            blob,
            index,
            cancel,
            listed: None,
        };
        if let Some(whole) = finder.whole()? {
            return Ok(Self(vec![whole]));
        }
        let (mut parts, mut start, mut number) = (Vec::new(), 0, 1);
        while start < blob.size && number <= names::MAX_PARTS {
            let name = names::part(&blob.name, number);
            let part = match finder.len_of(&name)? {
                Some(got) => finder.following(name, number, start, got)?,
                None if let Some(part) = finder.remembered(&name, start) => part,
                None => {
                    let (behind, gap) = finder.behind(name, number, start)?;
                    parts.push(gap);
                    match behind {
                        Some((at, part)) => {
                            number = at;
                            part
                        }
                        None => return Ok(Self(parts)),
                    }
                }
            };
            start = part.end();
            number += 1;
            if part.there {
                source.remember_part(&part.name, part.len);
            }
            parts.push(part);
        }
        if start == blob.size {
            return Ok(Self(parts));
        }
        let (got, expected) = (start, blob.size);
        Err(finder.damaged(&blob.name, got, Damage::Size { got, expected }))
    }

    /// The stretch that holds the byte at `offset` of the blob.
    pub(super) fn at(&self, offset: u64) -> &Part {
        let after = self.0.partition_point(|part| part.start <= offset);
        &self.0[after.saturating_sub(1)]
    }

    /// The first that is missing.
    pub(super) fn missing(&self) -> Option<&Part> {
        self.0.iter().find(|part| !part.there)
    }

    /// Nothing of the blob is at hand.
    pub(super) fn is_nothing(&self) -> bool {
        self.0.iter().all(|part| !part.there)
    }
}

impl Finder<'_> {
    fn whole(&self) -> Result<Option<Part>, ReadError> {
        let (name, expected) = (&self.blob.name, self.blob.size);
        let Some(got) = self.len_of(name)? else {
            return Ok(None);
        };
        if got > expected || (got < expected && !self.has_parity()) {
            return Err(self.damaged(name, got.min(expected), Damage::Size { got, expected }));
        }
        Ok(Some(part(name.clone(), 0, expected)))
    }

    /// Part `number` of `got` bytes, where everything before it is known.
    fn following(&self, name: String, number: u32, start: u64, got: u64) -> Result<Part, ReadError> {
        let fits = |len: u64| start.checked_add(len).is_some_and(|end| self.ends_a_frame(end));
        if got > 0 && fits(got) {
            return Ok(part(name, start, got));
        }
        match self.len_before_cut(number, start)? {
            Some(len) if len > got && fits(len) => Ok(part(name, start, len)),
            _ => Err(self.damaged(&name, got, Damage::Border { got })),
        }
    }

    /// A part that was at hand before another medium took its place.
    fn remembered(&self, name: &str, start: u64) -> Option<Part> {
        let len = self.source.remembered_part(name)?;
        let fits = len > 0 && start.checked_add(len).is_some_and(|end| self.ends_a_frame(end));
        fits.then(|| Part {
            there: false,
            ..part(name.to_owned(), start, len)
        })
    }

    /// The next part that is there behind a missing one, with its number; and the gap before it.
    fn behind(&mut self, name: String, number: u32, start: u64) -> Result<(Option<(u32, Part)>, Part), ReadError> {
        let next = self.listed().iter().copied().find(|n| *n > number);
        let found = match next {
            Some(next) => self.place(&names::part(&self.blob.name, next), start)?,
            None => None,
        };
        let name = if number == 1 && next.is_none() {
            self.blob.name.clone()
        } else {
            name
        };
        let end = found.as_ref().map_or(self.blob.size, |part| part.start);
        let gap = Part {
            there: false,
            ..part(name, start, end - start)
        };
        Ok((next.zip(found), gap))
    }

    /// Where a part behind a gap that begins at `after` belongs; `None` if that is not known yet.
    fn place(&self, name: &str, after: u64) -> Result<Option<Part>, ReadError> {
        let Some(len) = self.len_of(name)? else {
            return Ok(None);
        };
        let starts = self.starts(len, after);
        let found = patiently(self.cancel, || self.compare(name, &starts));
        let found = found.map_err(|stop| self.stopped(name, stop))?;
        match found[..] {
            [start] => Ok(Some(part(name.to_owned(), start, len))),
            // What it has lost may come back once the parts before it are there.
            [] if self.has_parity() => Ok(None),
            [] if starts.is_empty() => Err(self.damaged(name, len, Damage::Border { got: len })),
            [] => Err(self.damaged(name, 0, Damage::Start)),
            _ => Ok(None),
        }
    }

    /// Every place behind `after` where a part of `len` bytes begins and ends with a frame.
    fn starts(&self, len: u64, after: u64) -> Starts {
        let size = self.blob.size;
        let mut starts = Starts::new();
        for frame in self.index.frames() {
            let at = frame.comp_off;
            if at > after && len <= size - at && frame.comp_len <= len && self.ends_a_frame(at + len) {
                starts.entry(frame.comp_len).or_default().push((at, frame.comp_sha256));
            }
        }
        let table = self.index.frames_size();
        if table > after && len == size - table {
            let bytes = seek::table(self.index.frames());
            starts.entry(len).or_default().push((table, Digest::of(&bytes)));
        }
        starts
    }

    /// Hashes the beginning of a part, and tells at which of `starts` it may lie.
    fn compare(&self, name: &str, starts: &Starts) -> Result<Vec<u64>, Stop> {
        let mut file = self.source.open(&Section::Blobs, name)?.ok_or(Stop::Gone)?;
        let (mut hasher, mut at, mut found) = (Hasher::new(), 0, Vec::new());
        let mut piece = vec![0; PIECE];
        for (len, places) in starts {
            while at < *len && !self.cancel.load(Ordering::Relaxed) {
                let most = usize::try_from(len - at).unwrap_or(PIECE).min(PIECE);
                match file.read(&mut piece[..most]) {
                    Ok(0) => return Err(Stop::Short(at)),
                    Ok(got) => {
                        hasher.update(&piece[..got]);
                        at += got as u64;
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error.into()),
                }
            }
            let got = hasher.clone().finish();
            found.extend(places.iter().filter(|(_, digest)| *digest == got).map(|(at, _)| *at));
        }
        Ok(found)
    }

    /// Numbers of the parts that are there, ascending; a source that cannot be listed has none that we know of.
    fn listed(&mut self) -> &[u32] {
        let (source, blob) = (self.source, self.blob);
        self.listed.get_or_insert_with(|| {
            let names = source.list(&Section::Blobs).unwrap_or_default();
            let number = |name: &String| {
                let number = name.strip_prefix(&blob.name)?.strip_prefix('.')?.parse().ok()?;
                (names::part(&blob.name, number) == *name).then_some(number)
            };
            let mut numbers: Vec<u32> = names.iter().filter_map(number).collect();
            numbers.sort_unstable();
            numbers
        })
    }

    fn has_parity(&self) -> bool {
        let there = self.source.open(&Section::Parity, &names::parity(&self.blob.name));
        there.is_ok_and(|file| file.is_some())
    }

    /// How long part `number` must have been if it alone was cut short: what the parts around it leave of the blob.
    fn len_before_cut(&self, number: u32, start: u64) -> Result<Option<u64>, ReadError> {
        if !self.has_parity() {
            return Ok(None);
        }
        let mut others = start;
        for number in number + 1..=names::MAX_PARTS {
            match self.len_of(&names::part(&self.blob.name, number))? {
                Some(len) => others = others.saturating_add(len),
                None => break,
            }
        }
        Ok(self.blob.size.checked_sub(others))
    }

    fn len_of(&self, name: &str) -> Result<Option<u64>, ReadError> {
        let len = patiently::<_, Stop>(self.cancel, || match self.source.open(&Section::Blobs, name)? {
            Some(mut file) => Ok(Some(len(&mut *file)?)),
            None => Ok(None),
        });
        len.map_err(|stop| self.stopped(name, stop))
    }

    fn stopped(&self, name: &str, stop: Stop) -> ReadError {
        match stop {
            Stop::Source(source) => source.into(),
            Stop::Io(source) => SourceError::io(&self.locate(name), source).into(),
            Stop::Gone => ReadError::Missing(self.locate(name)),
            Stop::Short(got) => self.damaged(name, got, Damage::Border { got }),
        }
    }

    /// True if `end` is the end of a data frame, or of the whole blob.
    fn ends_a_frame(&self, end: u64) -> bool {
        let frames = self.index.frames();
        let at = frames.partition_point(|f| f.comp_off + f.comp_len < end);
        end == self.blob.size || frames.get(at).is_some_and(|f| f.comp_off + f.comp_len == end)
    }

    fn locate(&self, name: &str) -> PathBuf {
        self.source.locate(&Section::Blobs, name)
    }

    fn damaged(&self, name: &str, offset: u64, source: Damage) -> ReadError {
        ReadError::Damaged {
            path: self.locate(name),
            offset,
            frame: None,
            source,
        }
    }
}

fn part(name: String, start: u64, len: u64) -> Part {
    let there = true;
    Part {
        name,
        start,
        len,
        there,
    }
}

fn len(file: &mut dyn ReadSeekSend) -> std::io::Result<u64> {
    file.seek(SeekFrom::End(0))
}
