//! Owns [`Repair`]: bytes that a medium has lost, got back from the rest of their group and from parity.
//!
//! One range at a time: the blocks of its group are read once, those that are not what they were are solved, and the range is
//! handed out only if the caller's signed hash fits. Nothing is ever written.
//!
//! Memory: the parity blocks of one group (which become the solved ones), two blocks beside them and 2 MiB of stripes, at most 45 MiB;
//! 16 bytes per block of the blob; and the range itself.

use std::{
    collections::BTreeSet,
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{
    error::{Incurable, ReadError},
    medium::{Medium, MediumReader},
    parity_file::ParityFile,
};
use crate::{
    manifest::BlobRef,
    parity::{Group, Layout},
    source::{BlobSource, SourceError},
};

/// Repairs one blob; threads wait for each other, so that its memory is taken once.
pub(super) struct Repair<'a> {
    source: &'a dyn BlobSource,
    medium: &'a Medium<'a>,
    blob: &'a BlobRef,
    threads: usize,
    cancel: &'a AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Looked for at the first damage.
    file: Option<Result<Option<ParityFile>, Incurable>>,
    /// The group that was solved last: frames of the same block follow.
    solved: Option<Solved>,
    /// Blocks that were lost, and that a repaired range needed.
    repaired: BTreeSet<u64>,
}

struct Solved {
    group: u64,
    lost: Vec<(u64, Vec<u8>)>,
}

/// A stretch of the blob that is wanted, as far as it is filled.
struct Wanted {
    offset: u64,
    bytes: Vec<u8>,
}

impl Wanted {
    fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }

    /// Takes what `block`, which begins at `start`, has of it.
    fn take(&mut self, start: u64, block: &[u8]) {
        let common = self.common(&(start..start + block.len() as u64));
        if common.is_empty() {
            return;
        }
        let here = |at: u64, origin: u64| usize::try_from(at - origin).expect("within memory");
        let from = &block[here(common.start, start)..here(common.end, start)];
        let (start, end) = (here(common.start, self.offset), here(common.end, self.offset));
        self.bytes[start..end].copy_from_slice(from);
    }

    fn common(&self, block: &Range<u64>) -> Range<u64> {
        let start = self.offset.max(block.start);
        start..self.end().min(block.end).max(start)
    }
}

impl<'a> Repair<'a> {
    pub(super) fn new(
        source: &'a dyn BlobSource,
        medium: &'a Medium<'a>,
        blob: &'a BlobRef,
        threads: usize,
        cancel: &'a AtomicBool,
    ) -> Self {
        Self {
            source,
            medium,
            blob,
            threads,
            cancel,
            state: Mutex::default(),
        }
    }

    /// True if `error` is of a kind that parity may cure, and there is parity.
    pub(super) fn may_cure(&self, error: &ReadError) -> bool {
        let curable = matches!(
            error,
            ReadError::Io { .. } | ReadError::Damaged { .. } | ReadError::Source(SourceError::Io { .. })
        );
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        curable && !matches!(self.file(&mut state), Ok(None))
    }

    /// Blocks that were lost and are in what was handed out.
    pub(super) fn repaired(&self) -> u64 {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.repaired.len() as u64
    }

    /// Gets back `len` bytes at `offset` for which `is_right` holds; `error` is why they are needed, and what is told if
    /// there is no parity.
    pub(super) fn range(
        &self,
        offset: u64,
        len: u64,
        is_right: &dyn Fn(&[u8]) -> bool,
        error: ReadError,
    ) -> Result<Vec<u8>, ReadError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match self.file(&mut state) {
            Ok(None) => return Err(error),
            Ok(Some(_)) => {}
            Err(why) => return Err(uncured(why.clone(), error)),
        }
        let State { file, solved, repaired } = &mut *state;
        let Some(Ok(Some(file))) = file else { return Err(error) };
        let layout = *file.layout();
        // A group that was solved before may have lost more since; then it is read anew.
        for known in [true, false] {
            let mut wanted = Wanted {
                offset,
                bytes: vec![0; usize::try_from(len).expect("a frame or a seek table was to be in memory")],
            };
            let blocks = layout.block_at(offset)..layout.block_at(offset + len - 1) + 1;
            let mut lost = Vec::new();
            for group in layout.group_of(blocks.start)..=layout.group_of(blocks.end - 1) {
                let again = known && solved.as_ref().is_some_and(|s| s.group == group);
                if !again || !self.take_solved(solved.as_ref(), &layout, &mut wanted) {
                    // The old one goes before memory for the next is taken.
                    *solved = None;
                    match self.solve(file, group, &mut wanted) {
                        Ok(now) => *solved = Some(now),
                        Err(_) if self.cancel.load(Ordering::Relaxed) => return Err(ReadError::Cancelled),
                        Err(why) => {
                            let blocks = layout.members(group).map(|n| layout.bytes_of(n));
                            return Err(uncured(self.because_of_a_part(why, blocks), error));
                        }
                    }
                }
                let all = solved.iter().flat_map(|s| &s.lost).map(|(n, _)| *n);
                lost.extend(all.filter(|n| blocks.contains(n)));
            }
            if is_right(&wanted.bytes) {
                repaired.extend(lost);
                return Ok(wanted.bytes);
            }
        }
        Err(uncured(Incurable::Otherwise, error))
    }

    /// Too much of these blocks is lost, and some of it only because a part is on another stick: that part is what helps.
    fn because_of_a_part(&self, why: Incurable, mut blocks: impl Iterator<Item = Range<u64>>) -> Incurable {
        let lost = blocks.find_map(|block| {
            [block.start, block.end - 1]
                .into_iter()
                .find(|at| !self.medium.has(*at))
        });
        match (why, lost.map(|at| self.medium.missing_at(at))) {
            (Incurable::Lost { .. }, Some(ReadError::Missing(part))) => Incurable::Part(part),
            (why, _) => why,
        }
    }

    /// The parity file, opened once.
    fn file<'s>(&self, state: &'s mut State) -> Result<Option<&'s ParityFile>, &'s Incurable> {
        let open = || ParityFile::open(self.source, self.blob, self.cancel);
        match state.file.get_or_insert_with(open) {
            Ok(file) => Ok(file.as_ref()),
            Err(why) => Err(why),
        }
    }

    /// Fills what `wanted` has of the solved group; false if the medium does not give the rest.
    fn take_solved(&self, solved: Option<&Solved>, layout: &Layout, wanted: &mut Wanted) -> bool {
        let Some(solved) = solved else { return false };
        let mut reader = self.medium.reader();
        let mut bytes = Vec::new();
        for n in layout.members(solved.group) {
            let block = layout.bytes_of(n);
            let common = wanted.common(&block);
            if common.is_empty() {
                continue;
            }
            match solved.lost.iter().find(|(lost, _)| *lost == n) {
                Some((_, known)) => wanted.take(block.start, known),
                None if across(&mut reader, self.medium, common.clone(), &mut bytes) => {
                    wanted.take(common.start, &bytes);
                }
                None => return false,
            }
        }
        true
    }

    /// Reads the blocks of a group, each once, and solves those that are lost.
    fn solve(&self, file: &ParityFile, group: u64, wanted: &mut Wanted) -> Result<Solved, Incurable> {
        let layout = file.layout();
        let (members, most) = (layout.members(group), layout.parity() as usize);
        let mut code = Group::new(layout, self.threads);
        let mut reader = self.medium.reader();
        let mut bytes = Vec::new();
        let mut lost = Vec::new();
        for n in members.clone() {
            let block = layout.bytes_of(n);
            let there = across(&mut reader, self.medium, block.clone(), &mut bytes);
            if self.cancel.load(Ordering::Relaxed) {
                return Err(Incurable::Cancelled);
            }
            if there && file.directory().is_data(n, &bytes) {
                wanted.take(block.start, &bytes);
                bytes.resize(usize::try_from(layout.block()).expect("a block is at most 4 MiB"), 0);
                code.feed(within(n, members.start), &bytes);
                continue;
            }
            lost.push(n);
            if lost.len() > most {
                return Err(Incurable::Lost {
                    most,
                    of: members.end - members.start,
                });
            }
        }
        let mut rows = Vec::new();
        for row in 0..layout.parity() {
            if rows.len() < lost.len()
                && let Some(parity) = file.block(self.source, group, row, self.cancel)
            {
                code.difference(row as usize, &parity);
                rows.push(row as usize);
            }
        }
        if rows.len() < lost.len() {
            return Err(Incurable::Lost {
                most: rows.len(),
                of: members.end - members.start,
            });
        }
        let places: Vec<usize> = lost.iter().map(|n| within(*n, members.start)).collect();
        let solved = if lost.is_empty() {
            Vec::new()
        } else {
            code.solve(&places, &rows)
        };
        let mut known = Vec::new();
        for (n, mut bytes) in lost.into_iter().zip(solved) {
            let block = layout.bytes_of(n);
            bytes.truncate(within(block.end, block.start));
            wanted.take(block.start, &bytes);
            known.push((n, bytes));
        }
        Ok(Solved { group, lost: known })
    }
}

/// Reads a stretch of the blob, across parts; false if the medium does not give it.
pub(super) fn across(
    reader: &mut MediumReader<'_>,
    medium: &Medium<'_>,
    mut range: Range<u64>,
    out: &mut Vec<u8>,
) -> bool {
    out.clear();
    let mut piece = Vec::new();
    while range.start < range.end {
        let len = medium.part_end(range.start).min(range.end) - range.start;
        if reader.read(range.start, len, &mut piece).is_err() {
            return false;
        }
        out.extend_from_slice(&piece);
        range.start += len;
    }
    true
}

fn within(at: u64, start: u64) -> usize {
    usize::try_from(at - start).expect("a block is at most 4 MiB, and a group has at most 64 of them")
}

fn uncured(why: Incurable, source: ReadError) -> ReadError {
    let source = Box::new(source);
    ReadError::Uncured { why, source }
}
