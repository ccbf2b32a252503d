//! Owns the committer: verified frames become headers that are compared and files that are handed over.

use std::collections::{BTreeMap, BTreeSet};

use kojibox_signing::{Digest, Hasher};

use super::{ReadError, SinkResult, Start, TreeSink};
use crate::{
    header,
    index::{Entry, Frame, Index},
};

/// What of a blob is read, decided before anything is.
pub(super) struct Plan {
    /// Per entry: not wanted.
    skipped: Vec<bool>,
    /// By number of the entry: its first bytes are there.
    starts: BTreeMap<usize, Start>,
    /// Numbers of the frames that are needed, ascending.
    pub(super) frames: Vec<usize>,
    /// No bytes are at hand, so the whole blob is read and checked; directories may be there.
    pub(super) whole: bool,
    /// By number of the entry, a file that is at hand only up to this byte of the raw stream, which is the end of a frame.
    cuts: BTreeMap<usize, u64>,
    /// Some of what is wanted is not at hand.
    pub(super) lacking: bool,
    pub(super) bytes_kept: u64,
}

impl Plan {
    pub(super) fn new(index: &Index, sink: &dyn TreeSink) -> Self {
        let skipped: Vec<bool> = index.entries().iter().map(|entry| sink.skip(entry)).collect();
        let wanted = index.entries().iter().enumerate().filter(|(i, _)| !skipped[*i]);
        let files = wanted.filter(|(_, entry)| entry.data_len() > 0);
        let starts: BTreeMap<usize, Start> = files.filter_map(|(i, e)| Some((i, sink.start(e)?))).collect();
        let at_hand = |(entry, skipped): (&Entry, &bool)| *skipped && !matches!(entry, Entry::Dir { .. });
        let whole = starts.is_empty() && !index.entries().iter().zip(&skipped).any(at_hand);
        let frames = if whole {
            (0..index.frames().len()).collect()
        } else {
            needed(index, &skipped, &starts, &BTreeMap::new())
        };
        let entries = index.entries().iter().zip(&skipped);
        let kept = entries.filter(|(_, skipped)| **skipped).map(|(entry, _)| entry);
        let kept = kept
            .filter_map(|entry| index.content(entry.path()))
            .map(|(size, _)| size);
        Self {
            bytes_kept: kept.chain(starts.values().map(Start::len)).sum(),
            skipped,
            starts,
            frames,
            whole,
            cuts: BTreeMap::new(),
            lacking: false,
        }
    }

    /// Leaves out what is not at hand; gives the first byte of the blob that is wanted and is not.
    ///
    /// What is left are entries that are there as a whole, and the first bytes of files which have frames of their own: only
    /// these can be taken up where they stopped.
    pub(super) fn limit(&mut self, index: &Index, is_there: &dyn Fn(u64) -> bool) -> Option<u64> {
        let frames = index.frames();
        let there = |n: &usize| is_there(frames[*n].comp_off);
        let lost = self.frames.iter().find(|n| !there(n)).map(|n| frames[*n].comp_off);
        let table = index.frames_size();
        let missing = lost.or((self.whole && !is_there(table)).then_some(table))?;
        (self.whole, self.lacking) = (false, true);
        let mut start = 0;
        // Entries that are not made this time, or not to their end.
        let mut later = BTreeSet::new();
        for (i, entry) in index.entries().iter().enumerate() {
            let data = start + header::header_len(entry);
            let data_end = data + entry.data_len();
            if !self.skipped[i] {
                let wanted = self.starts.get(&i).map_or(start, |there| data + there.len());
                let first = frames.partition_point(|f| f.raw_off + f.raw_len <= wanted);
                let mut own = (first..frames.len()).take_while(|n| frames[*n].raw_off < data_end);
                let lost = own.find(|n| !there(n)).map(|n| frames[n].raw_off.max(wanted));
                match lost {
                    _ if relies_on(index, entry).any(|n| later.contains(&n)) => self.skipped[i] = true,
                    Some(cut) if cut >= data && begins_a_frame(index, data) => drop(self.cuts.insert(i, cut)),
                    Some(_) => self.skipped[i] = true,
                    None => {}
                }
                if self.skipped[i] || lost.is_some() {
                    later.insert(i);
                }
            }
            start = data_end + header::padding(entry.data_len());
        }
        self.frames = needed(index, &self.skipped, &self.starts, &self.cuts);
        Some(missing)
    }
}

/// The entries that must be made before `entry`: its parent, and of a `same` the one with its bytes.
fn relies_on<'i>(index: &'i Index, entry: &'i Entry) -> impl Iterator<Item = usize> + 'i {
    let parent = entry.path().as_str().rsplit_once('/').map(|(parent, _)| parent);
    let first = match entry {
        Entry::Same { first, .. } => Some(first.as_str()),
        _ => None,
    };
    let entries = index.entries();
    let number = |path: &str| entries.binary_search_by(|e| e.path().as_str().cmp(path)).ok();
    [parent, first].into_iter().flatten().filter_map(number)
}

fn begins_a_frame(index: &Index, raw: u64) -> bool {
    index.frames().binary_search_by_key(&raw, |f| f.raw_off).is_ok()
}

/// Frames that hold the header or the data of an entry that is wanted, from where it is not there yet to where it is cut.
fn needed(index: &Index, skipped: &[bool], starts: &BTreeMap<usize, Start>, cuts: &BTreeMap<usize, u64>) -> Vec<usize> {
    let frames = index.frames();
    let mut out: Vec<usize> = Vec::new();
    let mut start = 0;
    for (i, (entry, skipped)) in index.entries().iter().zip(skipped).enumerate() {
        let data = start + header::header_len(entry);
        let data_end = data + entry.data_len();
        if !skipped {
            let wanted = starts.get(&i).map_or(start, |there| data + there.len());
            let first = frames.partition_point(|f| f.raw_off + f.raw_len <= wanted);
            let from = out.last().map_or(first, |last| first.max(last + 1));
            let until = cuts.get(&i).copied().unwrap_or(data_end);
            out.extend((from..frames.len()).take_while(|i| frames[*i].raw_off < until));
        }
        start = data_end + header::padding(entry.data_len());
    }
    out
}

/// Walks along the raw stream, frame by frame; frames that were not read are jumped over.
pub(super) struct Committer<'a> {
    component: &'a str,
    index: &'a Index,
    plan: &'a Plan,
    /// Where in the raw stream.
    at: u64,
    /// Which entry, and where its header begins.
    entry: usize,
    start: u64,
    /// The header of that entry, once it was needed.
    header: Option<Vec<u8>>,
    hasher: Hasher,
}

impl<'a> Committer<'a> {
    pub(super) fn new(component: &'a str, index: &'a Index, plan: &'a Plan) -> Self {
        Self {
            component,
            index,
            plan,
            at: 0,
            entry: 0,
            start: 0,
            header: None,
            hasher: Hasher::new(),
        }
    }

    /// Takes the content of the next frame that was read.
    pub(super) fn frame(&mut self, frame: &Frame, raw: &[u8], sink: &mut dyn TreeSink) -> Result<(), ReadError> {
        self.at = frame.raw_off;
        let mut rest = raw;
        while !rest.is_empty() {
            let Some(entry) = self.index.entries().get(self.entry) else {
                return zero(rest)
                    .then_some(())
                    .ok_or_else(|| self.header_error("the end of the stream"));
            };
            let header_end = self.start + header::header_len(entry);
            let data_end = header_end + entry.data_len();
            let end = data_end + header::padding(entry.data_len());
            let border = [header_end, data_end, end].into_iter().find(|border| self.at < *border);
            if let Some(border) = border {
                let len = usize::try_from(border - self.at).map_or(rest.len(), |len| len.min(rest.len()));
                let (piece, after) = rest.split_at(len);
                rest = after;
                self.piece(entry, piece, header_end, data_end, sink)?;
                self.at += len as u64;
            }
            if self.at >= end {
                self.entry += 1;
                self.start = end;
                self.header = None;
            }
        }
        Ok(())
    }

    /// A piece that is all header, all data or all padding of `entry`.
    fn piece(
        &mut self,
        entry: &Entry,
        piece: &[u8],
        header_end: u64,
        data_end: u64,
        sink: &mut dyn TreeSink,
    ) -> Result<(), ReadError> {
        let after = self.at + piece.len() as u64;
        let wanted = !self.plan.skipped[self.entry];
        if self.at < header_end {
            let mtime = self.index.mtime();
            let expected = self.header.get_or_insert_with(|| header::header(entry, mtime));
            let from = usize::try_from(self.at - self.start).expect("a header is a few blocks");
            if expected.get(from..from + piece.len()) != Some(piece) {
                return Err(self.header_error(entry.path()));
            }
            if after == header_end && wanted && !self.plan.starts.contains_key(&self.entry) {
                self.begin(entry, sink)?;
            }
        } else if self.at < data_end {
            if wanted && self.wants_data(entry, header_end, sink)? {
                self.hasher.update(piece);
                self.told(entry, sink.data(piece))?;
                if after == data_end {
                    self.end_file(entry, sink)?;
                }
            }
        } else if !zero(piece) {
            return Err(self.header_error(entry.path()));
        }
        Ok(())
    }

    /// True unless these bytes of `entry` are there already, or follow on some that are missing; takes up the file where
    /// what is there ends.
    fn wants_data(&mut self, entry: &Entry, data: u64, sink: &mut dyn TreeSink) -> Result<bool, ReadError> {
        if self.plan.cuts.get(&self.entry).is_some_and(|cut| self.at >= *cut) {
            return Ok(false);
        }
        let Some(there) = self.plan.starts.get(&self.entry) else {
            return Ok(true);
        };
        let goes_on = data + there.len();
        if let Entry::File { mode, path, .. } = entry
            && self.at == goes_on
        {
            self.hasher = there.hasher();
            self.told(entry, sink.resume_file(path, *mode, there.len()))?;
        }
        Ok(self.at >= goes_on)
    }

    /// The header of `entry` was compared.
    fn begin(&mut self, entry: &Entry, sink: &mut dyn TreeSink) -> Result<(), ReadError> {
        let told = match entry {
            Entry::Dir { mode, path } => sink.dir(path, *mode),
            Entry::Link { path, target } => sink.link(path, target),
            Entry::Same { mode, path, first } => {
                let (size, sha256) = self.index.content(path).expect("the first of a `same` was checked");
                sink.same(path, *mode, first, sha256, size)
            }
            Entry::File {
                mode,
                size,
                sha256,
                path,
                ..
            } => {
                self.hasher = Hasher::new();
                self.told(entry, sink.begin_file(path, *mode, *size, sha256))?;
                return if *size == 0 { self.end_file(entry, sink) } else { Ok(()) };
            }
        };
        self.told(entry, told)
    }

    fn end_file(&mut self, entry: &Entry, sink: &mut dyn TreeSink) -> Result<(), ReadError> {
        let got: Digest = std::mem::take(&mut self.hasher).finish();
        if let Entry::File { sha256, path, .. } = entry
            && got != *sha256
        {
            return Err(ReadError::File {
                component: self.component.to_owned(),
                path: path.to_string(),
                got,
                expected: *sha256,
            });
        }
        self.told(entry, sink.end_file())
    }

    fn told(&self, entry: &Entry, answer: SinkResult) -> Result<(), ReadError> {
        answer.map_err(|source| ReadError::Sink {
            component: self.component.to_owned(),
            path: entry.path().to_string(),
            source,
        })
    }

    fn header_error(&self, path: &str) -> ReadError {
        ReadError::Header {
            component: self.component.to_owned(),
            path: path.to_owned(),
        }
    }
}

fn zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|b| *b == 0)
}
