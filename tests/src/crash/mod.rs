//! Owns the proof from outside that nothing can be lost: the real programs, killed, refused, cut off and let loose on each
//! other, and after each the install root compared with a model that knows every byte it may hold.
//!
//! Nothing here uses the crates that write an install root: what they are judged by must not share their mistakes. Linux
//! only, because `strace` and a loop-mounted ext4 are. A bounded sample runs with the tests, the whole with
//! `cargo crash-matrix`, which prints how much was covered.

mod actors;
mod bench;
mod cut;
mod disk;
mod events;
mod inject;
mod main;
mod model;
mod op;
mod power;
mod together;
mod trace;

pub use bench::Bench;
pub use cut::cut_real_disks;
pub use inject::{kill_everywhere, refuse_everywhere};
pub use main::main;
pub use power::cut_everywhere;
pub use together::{interleave, name_the_holder};

use std::{
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use crate::{Outcome, ensure};

/// How much is walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// A bounded part, the same each time.
    Sample,
    /// All of it.
    Whole,
}

impl Extent {
    /// `all`, or `sample`.
    pub fn of<T>(self, sample: T, all: T) -> T {
        match self {
            Self::Sample => sample,
            Self::Whole => all,
        }
    }
}

/// What a walk covered; a walk that met a violation gives none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures(Vec<(String, u64)>);

impl Figures {
    /// Adds `n` to what is called `what`.
    pub fn add(&mut self, what: impl Into<String>, n: u64) {
        let what = what.into();
        match self.0.iter_mut().find(|(name, _)| *name == what) {
            Some((_, sum)) => *sum += n,
            None => self.0.push((what, n)),
        }
    }

    /// How many of `what`.
    pub fn get(&self, what: &str) -> u64 {
        self.0.iter().find(|(name, _)| name == what).map_or(0, |(_, n)| *n)
    }

    /// Each with its number, in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(what, n)| (what.as_str(), *n))
    }

    /// Fails unless there are `at_least` so many of `what`: too few would mean that nothing was looked for.
    pub fn expect(&self, what: &str, at_least: u64) -> Outcome {
        ensure(self.get(what) >= at_least, || {
            format!("{what}: expected at least {at_least}, got {self}")
        })
    }

    /// Adds those of another walk.
    pub fn merge(&mut self, other: Self) {
        for (what, n) in other.0 {
            self.add(what, n);
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.0.iter().map(|(what, n)| format!("{n} {what}")).collect();
        f.write_str(&parts.join(", "))
    }
}

/// Does `work` for every job on all cores; ends with the first failure.
pub(crate) fn each<T: Sync>(jobs: &[T], work: impl Fn(&T) -> Outcome<Figures> + Sync) -> Outcome<Figures> {
    let next = AtomicUsize::new(0);
    let sum = Mutex::new(Ok(Figures::default()));
    let lock = || sum.lock().unwrap_or_else(PoisonError::into_inner);
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let done = work(job);
                    let mut sum = lock();
                    match (&mut *sum, done) {
                        (Ok(sum), Ok(figures)) => sum.merge(figures),
                        (Ok(_), Err(failure)) => *sum = Err(failure),
                        (Err(_), _) => return,
                    }
                }
            });
        }
    });
    sum.into_inner().unwrap_or_else(PoisonError::into_inner)
}
