//! Owns the pipeline: one reader, workers, and the committer in the calling thread.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use kojibox_signing::Digest;

use super::{
    Damage, ExtractOptions, ExtractReport, ReadError, TreeSink,
    budget::Budget,
    commit::{Committer, Plan},
    medium::{Medium, MediumReader},
    repair::Repair,
};
use crate::{
    Progress,
    frame::Decoder,
    index::{Frame, Index},
    manifest::Component,
    seek,
};

/// Bytes that are read at once, as long as frames are shorter.
const READ: u64 = 1 << 20;

/// Everything an extraction needs.
pub(super) struct Job<'a> {
    pub(super) component: &'a Component,
    pub(super) index: &'a Index,
    pub(super) medium: &'a Medium<'a>,
    pub(super) repair: &'a Repair<'a>,
    pub(super) plan: &'a Plan,
    pub(super) options: &'a ExtractOptions,
    pub(super) progress: &'a dyn Progress,
    pub(super) cancel: &'a AtomicBool,
}

/// A frame as read.
struct Work {
    /// Place in the order of what is read.
    turn: usize,
    /// Number of the frame.
    number: usize,
    /// What was read; or why not, where parity may help.
    bytes: Result<Piece, ReadError>,
}

/// One frame of several that were read at once.
struct Piece {
    bytes: Arc<Vec<u8>>,
    from: usize,
}

/// What became of one turn: the content of a frame, or nothing for the seek table.
type Outcome = (usize, Result<Vec<u8>, ReadError>);

/// What the threads share.
struct Shared<'a> {
    job: &'a Job<'a>,
    budget: Budget,
    stop: AtomicBool,
}

pub(super) fn run(job: &Job<'_>, sink: &mut dyn TreeSink) -> Result<ExtractReport, ReadError> {
    let shared = Shared {
        job,
        budget: Budget::new(job.options.queue_bytes),
        stop: AtomicBool::new(false),
    };
    let threads = job.options.threads.max(1);
    thread::scope(|scope| {
        let (work_in, work) = bounded::<Work>(threads);
        let (done_in, done) = unbounded::<Outcome>();
        let (spare_in, spare) = bounded::<Vec<u8>>(threads);
        // Whichever thread ends by a panic, the others must not wait for it.
        let _end = End(&shared, true);
        for _ in 0..threads {
            let (work, done_in, spare) = (work.clone(), done_in.clone(), spare.clone());
            let mut decoder = Decoder::new().map_err(ReadError::Decoder)?;
            let shared = &shared;
            scope.spawn(move || {
                let _end = End(shared, false);
                shared.decode(&mut decoder, &work, &done_in, &spare);
            });
        }
        drop(work);
        let reader = &shared;
        scope.spawn(move || {
            let _end = End(reader, false);
            reader.read(&work_in, &done_in);
        });
        shared.commit(&done, &spare_in, sink)
    })
}

/// Ends the other threads when this one ends: always, or by a panic.
struct End<'a>(&'a Shared<'a>, bool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        if self.1 || thread::panicking() {
            self.0.end();
        }
    }
}

impl Shared<'_> {
    fn end(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.budget.stop();
    }

    fn ended(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.job.cancel.load(Ordering::Relaxed)
    }

    fn frame(&self, number: usize) -> &Frame {
        &self.job.index.frames()[number]
    }

    /// The reader: needed frames in order, several small ones at once.
    fn read(&self, work: &Sender<Work>, done: &Sender<Outcome>) {
        let needed = &self.job.plan.frames;
        let mut reader = self.job.medium.reader();
        let mut turn = 0;
        while turn < needed.len() && !self.ended() {
            let batch = self.batch(&needed[turn..]);
            let cost = batch.iter().map(|n| cost(self.frame(*n))).sum();
            if !self.budget.take(cost) {
                return;
            }
            let start = self.frame(batch[0]).comp_off;
            let len = batch.iter().map(|n| self.frame(*n).comp_len).sum();
            // Zeroed memory as the system gives it costs nothing until it is written to.
            let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
            let sent = match reader.read(start, len, &mut bytes) {
                Ok(()) => self.share(batch, turn, bytes, work),
                Err(error) if self.job.repair.may_cure(&error) => self.singly(batch, turn, error, &mut reader, work),
                // Whoever does not listen any more has failed before.
                Err(error) => return drop(done.send((turn, Err(error)))),
            };
            if !sent {
                return;
            }
            turn += batch.len();
        }
        if self.job.plan.whole && turn == needed.len() && !self.ended() {
            drop(done.send((turn, self.seek_table(&mut reader))));
        }
    }

    /// Gives the frames that were read at once to the workers; false if nobody takes them any more.
    fn share(&self, batch: &[usize], turn: usize, bytes: Vec<u8>, work: &Sender<Work>) -> bool {
        let start = self.frame(batch[0]).comp_off;
        let bytes = Arc::new(bytes);
        (turn..).zip(batch).all(|(turn, number)| {
            let from = usize::try_from(self.frame(*number).comp_off - start).expect("within what was just read");
            let bytes = Ok(Piece {
                bytes: Arc::clone(&bytes),
                from,
            });
            let number = *number;
            work.send(Work { turn, number, bytes }).is_ok()
        })
    }

    /// The same frames one by one, after `error`: what cannot be read goes to the workers as such.
    fn singly(
        &self,
        batch: &[usize],
        turn: usize,
        error: ReadError,
        reader: &mut MediumReader<'_>,
        work: &Sender<Work>,
    ) -> bool {
        if let [number] = batch {
            let (number, bytes) = (*number, Err(error));
            return work.send(Work { turn, number, bytes }).is_ok();
        }
        (turn..).zip(batch).all(|(turn, number)| {
            let frame = self.frame(*number);
            let mut bytes = Vec::new();
            let read = reader.read(frame.comp_off, frame.comp_len, &mut bytes);
            let bytes = read.map(|()| Piece {
                bytes: Arc::new(bytes),
                from: 0,
            });
            let number = *number;
            work.send(Work { turn, number, bytes }).is_ok()
        })
    }

    /// The frames to read at once: next to each other, in one part, together at most [`READ`] bytes or one frame.
    fn batch<'n>(&self, needed: &'n [usize]) -> &'n [usize] {
        let first = self.frame(needed[0]);
        let part_end = self.job.medium.part_end(first.comp_off);
        let room = self.job.options.queue_bytes / 2;
        let mut sum = cost(first);
        let mut len = 1;
        while let Some(number) = needed.get(len) {
            let frame = self.frame(*number);
            sum += cost(frame);
            let end = frame.comp_off + frame.comp_len;
            let next = *number == needed[len - 1] + 1;
            if !next || end > part_end || end - first.comp_off > READ || sum > room {
                break;
            }
            len += 1;
        }
        &needed[..len]
    }

    fn seek_table(&self, reader: &mut MediumReader<'_>) -> Result<Vec<u8>, ReadError> {
        let index = self.job.index;
        let expected = seek::table(index.frames());
        let (offset, len) = (index.frames_size(), expected.len() as u64);
        let mut bytes = Vec::new();
        let error = match reader.read(offset, len, &mut bytes) {
            Ok(()) if bytes == expected => return Ok(Vec::new()),
            Ok(()) => self.job.medium.damaged_at(offset, None, Damage::SeekTable),
            Err(error) if self.job.repair.may_cure(&error) => error,
            Err(error) => return Err(error),
        };
        self.job.repair.range(offset, len, &|bytes| bytes == expected, error)?;
        Ok(Vec::new())
    }

    /// A worker: hash, decode, hash.
    fn decode(&self, decoder: &mut Decoder, work: &Receiver<Work>, done: &Sender<Outcome>, spare: &Receiver<Vec<u8>>) {
        for item in work {
            if self.ended() {
                return;
            }
            let mut raw = spare.try_recv().unwrap_or_default();
            let turn = item.turn;
            let outcome = self.decode_one(decoder, item, &mut raw).map(|()| raw);
            if done.send((turn, outcome)).is_err() {
                return;
            }
        }
    }

    fn decode_one(&self, decoder: &mut Decoder, item: Work, raw: &mut Vec<u8>) -> Result<(), ReadError> {
        let frame = self.frame(item.number);
        let number = item.number as u64;
        let len = usize::try_from(frame.comp_len).expect("it was read into memory");
        let expected = frame.comp_sha256;
        let read = item.bytes.and_then(|piece| {
            let got = Digest::of(&piece.bytes[piece.from..piece.from + len]);
            let damaged = |damage| self.job.medium.damaged_at(frame.comp_off, Some(number), damage);
            if got == expected {
                Ok(piece)
            } else {
                Err(damaged(Damage::Hash { got, expected }))
            }
        });
        let is_right = |bytes: &[u8]| Digest::of(bytes) == expected;
        let repaired = |error: ReadError| self.job.repair.range(frame.comp_off, frame.comp_len, &is_right, error);
        let piece = read.or_else(|error: ReadError| -> Result<Piece, ReadError> {
            let bytes = Arc::new(repaired(error)?);
            Ok(Piece { bytes, from: 0 })
        })?;
        let bytes = &piece.bytes[piece.from..piece.from + len];
        let component = || self.job.component.id.clone();
        decoder
            .decode(bytes, frame.raw_len, raw)
            .map_err(|source| ReadError::Frame {
                component: component(),
                frame: number,
                source,
            })?;
        let (got, expected) = (Digest::of(raw), frame.raw_sha256);
        if got == expected {
            return Ok(());
        }
        Err(ReadError::Content {
            component: component(),
            frame: number,
            got,
            expected,
        })
    }

    /// The committer: turns in order, whatever the order in which they arrive.
    fn commit(
        &self,
        done: &Receiver<Outcome>,
        spare: &Sender<Vec<u8>>,
        sink: &mut dyn TreeSink,
    ) -> Result<ExtractReport, ReadError> {
        let Job {
            index, plan, progress, ..
        } = self.job;
        let mut committer = Committer::new(&self.job.component.id, index, plan);
        let mut arrived = BTreeMap::new();
        let mut report = ExtractReport {
            bytes_kept: plan.bytes_kept,
            ..ExtractReport::default()
        };
        let turns = plan.frames.len() + usize::from(plan.whole);
        let mut told = 0;
        for turn in 0..turns {
            let raw = self.wait(turn, &mut arrived, done)?;
            let Some(number) = plan.frames.get(turn) else {
                break;
            };
            let frame = self.frame(*number);
            committer.frame(frame, &raw, sink)?;
            // A full shelf of spare buffers is no failure.
            drop(spare.try_send(raw));
            self.budget.give_back(cost(frame));
            report.bytes_read += frame.comp_len;
            report.frames += 1;
            let end = frame.comp_off + frame.comp_len;
            progress.add(end - told);
            told = end;
        }
        if !plan.lacking {
            progress.add(index.frames_size() - told);
        }
        report.repaired = self.job.repair.repaired();
        Ok(report)
    }

    fn wait(
        &self,
        turn: usize,
        arrived: &mut BTreeMap<usize, Result<Vec<u8>, ReadError>>,
        done: &Receiver<Outcome>,
    ) -> Result<Vec<u8>, ReadError> {
        loop {
            if self.job.cancel.load(Ordering::Relaxed) {
                return Err(ReadError::Cancelled);
            }
            if let Some(outcome) = arrived.remove(&turn) {
                return outcome;
            }
            // Every thread that could answer has ended, which only a cancellation makes them do.
            let (at, outcome) = done.recv().map_err(|_| ReadError::Cancelled)?;
            arrived.insert(at, outcome);
        }
    }
}

/// What a frame takes of the budget.
fn cost(frame: &Frame) -> u64 {
    frame.comp_len + frame.raw_len
}
