//! Owns the way of a service's output: two pipes, one bounded queue, one writer. The service never waits for the disk.

use std::{
    io::Read,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use regex_lite::Regex;

use super::{
    lines::{Assembler, Piece},
    mask::Mask,
    store::{Record, Store},
};
use crate::clock::Clock;

/// Bytes that may wait for the disk.
const QUEUE: usize = 4 << 20;
const CHUNK: usize = 8 << 10;
/// A line that does not end is shown after this time.
const PARTIAL: Duration = Duration::from_millis(200);
/// A shim has several threads, each with little to do.
pub(super) const STACK: usize = 256 << 10;
/// What programs say when a port is taken.
const CLASHES: [&str; 3] = [
    "address already in use",
    "eaddrinuse",
    "only one usage of each socket address",
];

/// What the output has told so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    pub(super) last_line: Option<String>,
    pub(super) port_clash: bool,
    pub(super) matched: bool,
    /// Pipes that nobody holds open any more.
    ended: usize,
}

enum Item {
    Chunk(usize, Vec<u8>),
    Said(String),
    End(usize),
}

/// The running log of one generation.
#[derive(Debug)]
pub(super) struct Pump {
    to_writer: Sender<Item>,
    backlog: Arc<Backlog>,
    told: Arc<Mutex<Told>>,
    writer: JoinHandle<()>,
}

/// What lines are written as, and what is looked for in them.
pub(super) struct Setup {
    pub(super) clock: Clock,
    pub(super) service: String,
    pub(super) generation: u64,
    pub(super) mask: Mask,
    pub(super) check: Option<Regex>,
    /// Called once, when the check first matches.
    pub(super) on_match: Box<dyn Fn() + Send>,
}

impl Pump {
    /// Starts the writer.
    pub(super) fn start(setup: Setup, store: Store) -> std::io::Result<Self> {
        let (to_writer, from_readers) = channel();
        let (backlog, told) = (Arc::new(Backlog::default()), Arc::new(Mutex::new(Told::default())));
        let mut writer = Writer {
            setup,
            store,
            backlog: Arc::clone(&backlog),
            told: Arc::clone(&told),
            open: [Assembler::default(), Assembler::default()],
            unwritten: 0,
        };
        let writer = thread::Builder::new()
            .name("log".to_owned())
            .stack_size(STACK)
            .spawn(move || writer.run(&from_readers))?;
        Ok(Self {
            to_writer,
            backlog,
            told,
            writer,
        })
    }

    /// Reads a pipe until its last holder closes it. `which`: 0 for stdout, 1 for stderr.
    pub(super) fn read(&self, which: usize, mut pipe: impl Read + Send + 'static) -> std::io::Result<()> {
        let (to_writer, backlog) = (self.to_writer.clone(), Arc::clone(&self.backlog));
        let read = move || {
            let mut buffer = vec![0; CHUNK];
            loop {
                match pipe.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(n) if backlog.take(&buffer[..n]) => {
                        drop(to_writer.send(Item::Chunk(which, buffer[..n].to_vec())));
                    }
                    Ok(_) => {}
                    Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(_) => break,
                }
            }
            drop(to_writer.send(Item::End(which)));
        };
        thread::Builder::new()
            .name("pipe".to_owned())
            .stack_size(STACK)
            .spawn(read)
            .map(drop)
    }

    /// Adds a line of the launcher's own.
    pub(super) fn say(&self, text: impl Into<String>) {
        drop(self.to_writer.send(Item::Said(text.into())));
    }

    /// What the output has told when everything that was written has been read; not later than after `patience`, because
    /// others than the main process may hold the pipes open.
    pub(super) fn told_in_the_end(&self, patience: Duration) -> Told {
        let end = Instant::now() + patience;
        while self.told().ended < 2 && Instant::now() < end {
            thread::sleep(Duration::from_millis(2));
        }
        self.told()
    }

    /// What the output has told so far.
    pub(super) fn told(&self) -> Told {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until everything is written; gives up when nothing has been for `patience`: the disk may hang, or someone
    /// outside of the group may hold a pipe open.
    pub(super) fn finish(self, patience: Duration) {
        let Self {
            to_writer,
            writer,
            backlog,
            ..
        } = self;
        drop(to_writer);
        let mut left = backlog.bytes.load(Ordering::Relaxed);
        let mut end = Instant::now() + patience;
        while !writer.is_finished() && Instant::now() < end {
            thread::sleep(Duration::from_millis(2));
            let now = backlog.bytes.load(Ordering::Relaxed);
            if now < left {
                (left, end) = (now, Instant::now() + patience);
            }
        }
    }
}

/// What waits for the disk, and what could not.
#[derive(Debug, Default)]
struct Backlog {
    bytes: AtomicUsize,
    lost: AtomicU64,
}

impl Backlog {
    /// Makes room for a chunk, or counts it as lost: a stalled disk must not block a service.
    fn take(&self, chunk: &[u8]) -> bool {
        if self.bytes.load(Ordering::Relaxed) + chunk.len() > QUEUE {
            let lines = chunk.split(|b| *b == b'\n').count();
            self.lost.fetch_add(lines as u64, Ordering::Relaxed);
            return false;
        }
        self.bytes.fetch_add(chunk.len(), Ordering::Relaxed);
        true
    }
}

struct Writer {
    setup: Setup,
    store: Store,
    backlog: Arc<Backlog>,
    told: Arc<Mutex<Told>>,
    open: [Assembler; 2],
    unwritten: u64,
}

impl Writer {
    fn run(&mut self, from_readers: &Receiver<Item>) {
        loop {
            let waits = self.open.iter().any(|a| !a.is_empty());
            let item = if waits {
                from_readers.recv_timeout(PARTIAL)
            } else {
                from_readers.recv().map_err(RecvTimeoutError::from)
            };
            match item {
                Ok(Item::Chunk(which, bytes)) => {
                    self.backlog.bytes.fetch_sub(bytes.len(), Ordering::Relaxed);
                    let pieces = self.open[which].push(&bytes, &self.setup.mask);
                    for piece in pieces {
                        self.line(which, piece);
                    }
                }
                Ok(Item::Said(text)) => self.record("sys", text, false),
                Ok(Item::End(which)) => {
                    self.flush(which, true);
                    self.told.lock().unwrap_or_else(PoisonError::into_inner).ended += 1;
                }
                Err(RecvTimeoutError::Timeout) => (0..2).for_each(|which| self.flush(which, false)),
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.confess();
        }
        (0..2).for_each(|which| self.flush(which, true));
        self.confess();
    }

    fn flush(&mut self, which: usize, last: bool) {
        if let Some(piece) = self.open[which].flush(last, &self.setup.mask) {
            self.line(which, piece);
        }
    }

    fn line(&mut self, which: usize, piece: Piece) {
        self.look_at(&piece.text);
        self.record(["out", "err"][which], piece.text, piece.cut);
    }

    fn look_at(&self, text: &str) {
        let small = text.to_ascii_lowercase();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.port_clash |= CLASHES.iter().any(|c| small.contains(c));
        if !text.trim().is_empty() {
            told.last_line = Some(text.chars().take(200).collect());
        }
        let check = self.setup.check.as_ref();
        let matched = !told.matched && check.is_some_and(|c| c.is_match(text));
        told.matched |= matched;
        drop(told);
        if matched {
            (self.setup.on_match)();
        }
    }

    fn record(&mut self, stream: &str, msg: String, trunc: bool) {
        let record = Record {
            ts: self.setup.clock.text(),
            svc: self.setup.service.clone(),
            generation: self.setup.generation,
            seq: 0,
            s: stream.to_owned(),
            msg,
            trunc,
        };
        if self.store.write(record).is_err() {
            self.unwritten += 1;
        }
    }

    /// Says in the log itself what is missing from it.
    fn confess(&mut self) {
        let lost = self.backlog.lost.swap(0, Ordering::Relaxed) + std::mem::take(&mut self.unwritten);
        if lost > 0 {
            let before = self.store.seq;
            self.record("sys", format!("dropped {lost} lines: the disk did not keep up"), false);
            if self.store.seq == before {
                self.unwritten = lost;
            }
        }
    }
}
