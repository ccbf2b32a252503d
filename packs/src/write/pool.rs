//! Owns the workers that compress frames, and the order in which their results come back.

use std::{collections::VecDeque, io, thread::Scope};

use crossbeam_channel::{Receiver, Sender, bounded};
use kojibox_signing::Digest;

use super::{BlobOptions, WriteError};
use crate::frame::Encoder;

/// A frame that is ready to be written.
pub(super) struct Done {
    pub(super) raw: Vec<u8>,
    pub(super) comp: Vec<u8>,
    pub(super) raw_sha256: Digest,
    pub(super) comp_sha256: Digest,
}

struct Job {
    raw: Vec<u8>,
    reply: Sender<io::Result<Done>>,
}

/// Hands frames to workers; results are taken in the order in which frames were given.
pub(super) struct Pool {
    jobs: Sender<Job>,
    pending: VecDeque<Receiver<io::Result<Done>>>,
    most: usize,
}

impl Pool {
    pub(super) fn start<'scope>(scope: &'scope Scope<'scope, '_>, options: &BlobOptions) -> Result<Self, WriteError> {
        let most = options.threads + 1;
        let (jobs, queue) = bounded::<Job>(most);
        for _ in 0..options.threads {
            let queue = queue.clone();
            let mut encoder =
                Encoder::new(options.level, options.effective_window_log()).map_err(WriteError::Compress)?;
            scope.spawn(move || {
                for Job { raw, reply } in queue {
                    // Nobody waits for the answer any more when the caller has failed.
                    let _ignored = reply.send(compress(&mut encoder, raw));
                }
            });
        }
        Ok(Self {
            jobs,
            pending: VecDeque::new(),
            most,
        })
    }

    /// True if a result must be taken before another frame is given.
    pub(super) fn is_full(&self) -> bool {
        self.pending.len() >= self.most
    }

    /// Gives a frame; there must be room.
    pub(super) fn give(&mut self, raw: Vec<u8>) {
        let (reply, answer) = bounded(1);
        self.jobs
            .send(Job { raw, reply })
            .expect("workers live as long as the pool");
        self.pending.push_back(answer);
    }

    /// Takes the next result in order; `None` when nothing is under way.
    pub(super) fn take(&mut self) -> Option<io::Result<Done>> {
        let answer = self.pending.pop_front()?;
        Some(answer.recv().expect("a worker answers every job"))
    }
}

fn compress(encoder: &mut Encoder, raw: Vec<u8>) -> io::Result<Done> {
    let comp = encoder.encode(&raw)?;
    Ok(Done {
        raw_sha256: Digest::of(&raw),
        comp_sha256: Digest::of(&comp),
        raw,
        comp,
    })
}
