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
    medium::Medium,
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
    /// The bytes of several frames that were read at once.
    bytes: Arc<Vec<u8>>,
    /// Where this one begins.
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
            if let Err(error) = reader.read(start, len, &mut bytes) {
                // Whoever does not listen any more has failed before.
                return drop(done.send((turn, Err(error))));
            }
            let bytes = Arc::new(bytes);
            for number in batch {
                let from = usize::try_from(self.frame(*number).comp_off - start).expect("within what was just read");
                let bytes = Arc::clone(&bytes);
                let number = *number;
                if work
                    .send(Work {
                        turn,
                        number,
                        bytes,
                        from,
                    })
                    .is_err()
                {
                    return;
                }
                turn += 1;
            }
        }
        if self.job.plan.whole && turn == needed.len() && !self.ended() {
            drop(done.send((turn, self.seek_table(&mut reader))));
        }
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

    fn seek_table(&self, reader: &mut super::medium::MediumReader<'_>) -> Result<Vec<u8>, ReadError> {
        let index = self.job.index;
        let expected = seek::table(index.frames());
        let offset = index.frames_size();
        let mut bytes = Vec::new();
        reader.read(offset, expected.len() as u64, &mut bytes)?;
        if bytes == expected {
            Ok(Vec::new())
        } else {
            Err(self.job.medium.damaged_at(offset, None, Damage::SeekTable))
        }
    }

    /// A worker: hash, decode, hash.
    fn decode(&self, decoder: &mut Decoder, work: &Receiver<Work>, done: &Sender<Outcome>, spare: &Receiver<Vec<u8>>) {
        for item in work {
            if self.ended() {
                return;
            }
            let mut raw = spare.try_recv().unwrap_or_default();
            let outcome = self.decode_one(decoder, &item, &mut raw).map(|()| raw);
            if done.send((item.turn, outcome)).is_err() {
                return;
            }
        }
    }

    fn decode_one(&self, decoder: &mut Decoder, item: &Work, raw: &mut Vec<u8>) -> Result<(), ReadError> {
        let frame = self.frame(item.number);
        let number = item.number as u64;
        let len = usize::try_from(frame.comp_len).expect("it was read into memory");
        let bytes = &item.bytes[item.from..item.from + len];
        let (got, expected) = (Digest::of(bytes), frame.comp_sha256);
        if got != expected {
            let damage = Damage::Hash { got, expected };
            return Err(self.job.medium.damaged_at(frame.comp_off, Some(number), damage));
        }
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
        progress.add(index.frames_size() - told);
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
