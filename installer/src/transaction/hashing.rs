//! Owns the hashing of installed files on all cores: what is on disk against what the index says.

use std::{
    io::Read as _,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use kojibox_signing::{Digest, Hasher};
use kojibox_state::{RootPath, store::RootDir};

use super::error::Cause;
use crate::plan::Env;

/// Bytes per read.
const PIECE: usize = 256 << 10;

/// One file and what it must be.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) path: RootPath,
    pub(super) sha256: Digest,
    pub(super) size: u64,
}

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Hashed {
    /// As the index says.
    Same,
    /// Something else.
    Differs,
    /// The file system does not give it out.
    Unreadable(String),
}

/// Hashes all jobs; the answers are in the order of the jobs. The largest files are begun first, so that no worker is
/// left alone with one of them at the end.
///
/// # Errors
/// [`Cause::Cancelled`] only; a file that cannot be read is an answer.
pub(super) fn hash_all(root: &RootDir, jobs: &[Job], env: &Env<'_>, counted: bool) -> Result<Vec<Hashed>, Cause> {
    let mut order: Vec<usize> = (0..jobs.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(jobs[*at].size));
    let next = AtomicUsize::new(0);
    let work = || {
        let (mut piece, mut done) = (vec![0; PIECE], Vec::new());
        while !env.cancel.load(Ordering::Relaxed) {
            let Some(at) = order.get(next.fetch_add(1, Ordering::Relaxed)).copied() else {
                break;
            };
            done.push((
                at,
                hash(root, &jobs[at], &mut piece, |n| {
                    if counted {
                        env.observer.add(n);
                    }
                }),
            ));
        }
        done
    };
    let workers = env.threads.clamp(1, jobs.len().max(1));
    let mut all = if workers == 1 {
        work()
    } else {
        thread::scope(|scope| {
            let running: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
            let joined = running.into_iter().map(|t| t.join().expect("hashing does not panic"));
            joined.flatten().collect()
        })
    };
    if all.len() < jobs.len() {
        return Err(Cause::Cancelled);
    }
    all.sort_unstable_by_key(|(at, _)| *at);
    Ok(all.into_iter().map(|(_, hashed)| hashed).collect())
}

fn hash(root: &RootDir, job: &Job, piece: &mut [u8], count: impl Fn(u64)) -> Hashed {
    let mut file = match root.open_file(&job.path) {
        Ok(file) => file,
        Err(error) => return Hashed::Unreadable(reason(&error)),
    };
    let mut hasher = Hasher::new();
    loop {
        match file.read(piece) {
            Ok(0) => break,
            Ok(n) => {
                hasher.update(&piece[..n]);
                count(n as u64);
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Hashed::Unreadable(error.to_string()),
        }
    }
    if hasher.finish() == job.sha256 {
        Hashed::Same
    } else {
        Hashed::Differs
    }
}

fn reason(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}
