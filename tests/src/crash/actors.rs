//! Owns who takes part in an interleaving: seeded commands, when each starts, and which of them are killed when.

use std::time::{Duration, Instant};

use super::{
    bench::{Bench, run},
    op::Op,
};
use crate::{Choices, Outcome, Part};

/// Commands that change a root; the last is rare.
const WRITERS: [&[&str]; 8] = [
    &["update", "--yes", "--source", "{2}"],
    &["update", "--yes", "--source", "{3}"],
    &["rollback", "--yes"],
    &["rollback", "--yes", "--to", "1"],
    &["prune", "--yes", "--keep", "1"],
    &["recover"],
    &["install", "--yes", "--allow-downgrade", "--source", "{1}"],
    &["uninstall", "--yes"],
];
/// Commands that only read.
pub(crate) const READERS: [&[&str]; 3] = [&["status"], &["history"], &["verify"]];

/// All of them in an order in which each has its work to do, beginning where release 2 is active and 1 is there too; and
/// how they end.
const ALONE: [(&[&str], i32); 11] = [
    (READERS[0], 0),
    (READERS[1], 0),
    (READERS[2], 0),
    (WRITERS[3], 0),
    (WRITERS[0], 0),
    (WRITERS[1], 40),
    (WRITERS[6], 0),
    (WRITERS[2], 0),
    (WRITERS[4], 0),
    (WRITERS[5], 50),
    (WRITERS[7], 0),
];

/// All start within so many times what a command takes.
const STARTS: u32 = 2;

/// One command of an interleaving.
pub(crate) struct Actor {
    pub(crate) words: &'static [&'static str],
    pub(crate) writes: bool,
    /// When it starts, as a part of what a command takes.
    pub(crate) starts: Part,
    /// When it is killed, if it is, as a part of what it takes in the same company when nobody is.
    pub(crate) killed: Option<Part>,
}

/// Those of `seed`.
pub(crate) fn actors(seed: u64) -> Vec<Actor> {
    let mut choices = Choices::new(seed);
    let count = 2 + choices.below(3);
    let actor = |_| {
        let writes = choices.below(4) > 0;
        let rare = usize::from(choices.below(8) > 0);
        let all: &[&[&str]] = if writes {
            &WRITERS[..WRITERS.len() - rare]
        } else {
            &READERS
        };
        let words = all[usize::try_from(choices.below(all.len() as u64)).unwrap_or(0)];
        let starts = Part::drawn(&mut choices, STARTS);
        let killed = (choices.below(2) == 0).then(|| Part::drawn(&mut choices, 1));
        Actor {
            words,
            writes,
            starts,
            killed,
        }
    };
    (0..count).map(actor).collect()
}

/// How long a command takes on this machine, if it runs alone: the mean of all.
pub(crate) fn pace(bench: &Bench) -> Outcome<Duration> {
    let place = bench.copy(Op::Rollback)?;
    let began = Instant::now();
    for (words, code) in ALONE {
        run(&mut bench.installer(words, &place.root()), &[code])?;
    }
    Ok(began.elapsed() / u32::try_from(ALONE.len()).unwrap_or(1))
}
