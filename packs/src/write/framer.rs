//! Owns the framing: which bytes of the raw stream share a frame.
//!
//! Source: packs/FORMAT.md, "Framing".

use std::{collections::HashMap, io::Read};

use kojibox_signing::{Digest, Hasher};

use super::{
    BlobOptions, InputEntry, InputKind, WriteError, WrittenBlob,
    parts::PartSink,
    pool::{Done, Pool},
    reading::Source,
    written,
};
use crate::{
    Progress, header,
    index::{Entry, Frame, IndexText},
    limits, seek,
};

/// Turns entries into frames, in order.
pub(super) struct Framer<'a> {
    pool: Pool,
    sink: PartSink<'a>,
    progress: &'a dyn Progress,
    mtime: u64,
    frame_max: usize,
    small: u64,
    /// The frame that small entries are added to.
    open: Vec<u8>,
    /// A buffer whose frame is written.
    spare: Vec<u8>,
    /// Raw bytes placed so far.
    at: u64,
    entries: Vec<Entry>,
    frames: Vec<Frame>,
    /// Digest and mode of every file with bytes, to its entry.
    known: HashMap<(Digest, u32), usize>,
    /// Size, mode and digest of the first `frame_max` bytes of every large file.
    starts: HashMap<(u64, u32), Vec<Digest>>,
    deduplicated: u64,
}

impl<'a> Framer<'a> {
    pub(super) fn new(pool: Pool, sink: PartSink<'a>, options: &BlobOptions, progress: &'a dyn Progress) -> Self {
        Self {
            pool,
            sink,
            progress,
            mtime: options.mtime,
            frame_max: usize::try_from(options.frame_max).expect("a frame is at most 64 MiB"),
            small: limits::small_file(options.frame_max),
            open: Vec::new(),
            spare: Vec::new(),
            at: 0,
            entries: Vec::new(),
            frames: Vec::new(),
            known: HashMap::new(),
            starts: HashMap::new(),
            deduplicated: 0,
        }
    }

    pub(super) fn add(&mut self, input: InputEntry) -> Result<(), WriteError> {
        let path = input.path;
        match input.kind {
            InputKind::Dir { mode } => self.bare(Entry::Dir { mode, path }),
            InputKind::Link { target } => self.bare(Entry::Link { path, target }),
            InputKind::File { mode, size, open } => {
                let source = Source {
                    path: &path,
                    mode,
                    size,
                    open: &open,
                };
                if size <= self.small {
                    self.small(&source)
                } else {
                    self.large(&source)
                }
            }
        }
    }

    /// An entry without data.
    fn bare(&mut self, entry: Entry) -> Result<(), WriteError> {
        let unit = header::header(&entry, self.mtime);
        self.unit(&unit)?;
        self.entries.push(entry);
        Ok(())
    }

    /// A file that is read whole and shares a frame with its neighbours.
    fn small(&mut self, source: &Source<'_>) -> Result<(), WriteError> {
        let mut file = source.open()?;
        let mut data = Vec::new();
        source.fill(&mut file, &mut data, source.size)?;
        source.end(&mut file)?;
        self.progress.add(source.size);
        let sha256 = Digest::of(&data);
        if self.same(source, sha256)? {
            return Ok(());
        }
        let mut entry = source.entry(sha256, 0);
        let mut unit = header::header(&entry, self.mtime);
        let header_len = unit.len() as u64;
        unit.append(&mut data);
        unit.extend_from_slice(header::zeros(header::padding(source.size)));
        let at = self.unit(&unit)?;
        if let Entry::File { raw_off, size, .. } = &mut entry
            && *size > 0
        {
            *raw_off = at + header_len;
        }
        self.file(entry);
        Ok(())
    }

    /// A file that has frames of its own.
    fn large(&mut self, source: &Source<'_>) -> Result<(), WriteError> {
        let mut file = source.open()?;
        let mut chunk = std::mem::take(&mut self.spare);
        let mut hasher = Hasher::new();
        source.fill(&mut file, &mut chunk, source.size.min(self.frame_max as u64))?;
        hasher.update(&chunk);
        let start = hasher.clone().finish();
        let starts = self.starts.entry((source.size, source.mode)).or_default();
        let mut expected = None;
        if starts.contains(&start) {
            // An earlier file begins alike, so the digest must be known before the header can be written.
            let sha256 = source.rest(&mut file, hasher.clone(), source.size - chunk.len() as u64)?;
            if self.same(source, sha256)? {
                self.progress.add(source.size);
                self.spare = chunk;
                return Ok(());
            }
            expected = Some(sha256);
            file = source.open()?;
            source.fill(&mut file, &mut chunk, self.frame_max as u64)?;
            hasher = Hasher::new();
            hasher.update(&chunk);
        } else {
            starts.push(start);
        }
        self.stream(source, &mut file, chunk, hasher, expected)
    }

    /// Writes the header, then the frames of a large file, whose first bytes are in `chunk`.
    fn stream(
        &mut self,
        source: &Source<'_>,
        file: &mut dyn Read,
        mut chunk: Vec<u8>,
        mut hasher: Hasher,
        expected: Option<Digest>,
    ) -> Result<(), WriteError> {
        let entry = source.entry(Digest::from_bytes([0; 32]), 0);
        let header = header::header(&entry, self.mtime);
        let raw_off = self.unit(&header)? + header.len() as u64;
        self.close()?;
        let mut left = source.size;
        loop {
            let len = chunk.len() as u64;
            left -= len;
            self.at += len;
            self.frame(chunk)?;
            self.progress.add(len);
            if left == 0 {
                break;
            }
            chunk = std::mem::take(&mut self.spare);
            source.fill(file, &mut chunk, left.min(self.frame_max as u64))?;
            hasher.update(&chunk);
        }
        source.end(file)?;
        let sha256 = hasher.finish();
        if expected.is_some_and(|expected| expected != sha256) {
            let path = source.path.to_string();
            return Err(WriteError::Changed { path });
        }
        self.unit(header::zeros(header::padding(source.size)))?;
        self.file(source.entry(sha256, raw_off));
        Ok(())
    }

    /// True if the file is stored already, by bytes and mode; it becomes a `same` then.
    fn same(&mut self, source: &Source<'_>, sha256: Digest) -> Result<bool, WriteError> {
        let Some(first) = self.known.get(&(sha256, source.mode)) else {
            return Ok(false);
        };
        let entry = Entry::Same {
            mode: source.mode,
            path: source.path.clone(),
            first: self.entries[*first].path().clone(),
        };
        self.deduplicated += source.size;
        self.bare(entry)?;
        Ok(true)
    }

    fn file(&mut self, entry: Entry) {
        if let Entry::File { mode, size, sha256, .. } = entry
            && size > 0
        {
            self.known.insert((sha256, mode), self.entries.len());
        }
        self.entries.push(entry);
    }

    /// Adds bytes that stay together to the open frame; gives their offset in the raw stream.
    fn unit(&mut self, unit: &[u8]) -> Result<u64, WriteError> {
        if self.open.len() + unit.len() > self.frame_max {
            self.close()?;
        }
        self.open.extend_from_slice(unit);
        let at = self.at;
        self.at += unit.len() as u64;
        Ok(at)
    }

    /// Closes the open frame, if it holds anything.
    fn close(&mut self) -> Result<(), WriteError> {
        if self.open.is_empty() {
            return Ok(());
        }
        let next = std::mem::take(&mut self.spare);
        let frame = std::mem::replace(&mut self.open, next);
        self.open.clear();
        self.frame(frame)
    }

    fn frame(&mut self, raw: Vec<u8>) -> Result<(), WriteError> {
        if self.pool.is_full() {
            self.take()?;
        }
        self.pool.give(raw);
        Ok(())
    }

    /// Writes the next finished frame; false when none is under way.
    fn take(&mut self) -> Result<bool, WriteError> {
        let Some(done) = self.pool.take() else {
            return Ok(false);
        };
        let Done {
            raw,
            comp,
            raw_sha256,
            comp_sha256,
        } = done.map_err(WriteError::Compress)?;
        if self.frames.len() as u64 == limits::FRAMES {
            return Err(WriteError::Limit {
                what: "frames",
                most: limits::FRAMES,
            });
        }
        let raw_off = self.frames.last().map_or(0, |f| f.raw_off + f.raw_len);
        self.frames.push(Frame {
            comp_off: self.sink.write(&comp)?,
            comp_len: comp.len() as u64,
            raw_off,
            raw_len: raw.len() as u64,
            comp_sha256,
            raw_sha256,
        });
        self.spare = raw;
        Ok(true)
    }

    pub(super) fn finish(mut self) -> Result<WrittenBlob, WriteError> {
        self.unit(header::zeros(header::TRAILER))?;
        self.close()?;
        while self.take()? {}
        self.sink.write(&seek::table(&self.frames))?;
        let (size, sha256, parts) = self.sink.finish()?;
        let text = IndexText::new(self.mtime, &self.frames, &self.entries).map_err(WriteError::Compress)?;
        if text.raw_size > limits::INDEX_RAW || text.bytes.len() > limits::INDEX {
            return Err(WriteError::Limit {
                what: "bytes of index",
                most: limits::INDEX_RAW,
            });
        }
        let frame_max = self.frame_max as u64;
        Ok(written(
            text,
            frame_max,
            self.frames.len(),
            self.deduplicated,
            size,
            sha256,
            parts,
        ))
    }
}
