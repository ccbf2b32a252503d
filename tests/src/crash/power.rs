//! Owns the power cuts: the recorded calls of the real program, cut after each, and the states that may be left.
//!
//! Each thing that was open at the cut is there or not, and a write also by half or as zeros. Where the combinations are few, each
//! is tried; else a selection of them, which has every kind.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Extent, Figures,
    bench::{Bench, Place, run},
    disk::Disk,
    each,
    events::Reader,
    inject::{recovered, settle},
    model::{Rest, check, receipts},
    op::Op,
    trace,
};
use crate::{Choices, Outcome, ensure};

/// Combinations of answers up to which a moment is walked whole; of more there is a selection.
const WHOLE_UP_TO: u64 = 1 << 14;

/// One state to recover from.
struct Case {
    op: Op,
    number: usize,
    after: String,
    /// The moment, and what became of each thing that was open then.
    disk: Arc<Disk>,
    answers: Vec<u32>,
    /// The program had said that it was done.
    done: bool,
}

impl Case {
    /// Where it is, for people.
    fn told(&self) -> String {
        let Self {
            op,
            number,
            after,
            answers,
            ..
        } = self;
        format!("{op}, power cut after {after}, state {number}, answers {answers:?}")
    }
}

/// Cuts the power after every call of every command, and recovers from every state that may be left, or from a selection where
/// these are more than [`WHOLE_UP_TO`].
pub fn cut_everywhere(bench: &Bench, extent: Extent) -> Outcome<Figures> {
    let mut figures = Figures::default();
    for op in Op::ALL {
        figures.merge(cut(bench, op, extent)?);
    }
    for (what, at_least) in [
        ("moments with every combination", extent.of(80, 700)),
        ("states recovered from", extent.of(150, 18_000)),
    ] {
        figures.expect(what, at_least)?;
    }
    Ok(figures)
}

fn cut(bench: &Bench, op: Op, extent: Extent) -> Outcome<Figures> {
    let Gathered { mut figures, cases, .. } = gather(bench, op, extent)?;
    let past = if op == Op::Install {
        Vec::new()
    } else {
        receipts(&bench.prepared(op)?)?
    };
    figures.merge(each(&cases, |case| {
        let place = bench.place()?;
        recover(bench, case, &place, &past).map_err(|failure| failure.at(&case.told()))
    })?);
    Ok(figures)
}

fn recover(bench: &Bench, case: &Case, place: &Place, past: &[String]) -> Outcome<Figures> {
    let (op, root) = (case.op, place.root());
    case.disk.after_cut(&case.answers).write(&root)?;
    let mut figures = Figures::default();
    let made = root.join("state/install.json").exists();
    if !made || case.number.is_multiple_of(16) {
        settle(bench, op, &root, Rest::Clean)?;
        figures.add("states from which the command was run again", 1);
    } else {
        recovered(bench, op, &root, Rest::Clean)?;
    }
    let kept = receipts(&root)?;
    ensure(past.iter().all(|name| kept.contains(name)), || {
        format!("there were the receipts {past:?}, there are {kept:?}")
    })?;
    if case.done {
        // What was told as done is done, and has its receipt.
        let active = check(&root, Rest::Clean)?;
        ensure(active == op.ends().1 && kept.len() > past.len(), || {
            format!("it was done, and {active:?} is active, receipts {kept:?}")
        })?;
        run(&mut bench.installer(&["history"], &root), &[0])?;
    }
    figures.add("states recovered from", 1);
    Ok(figures)
}

/// What may be left of one command, every state once.
struct Gathered {
    op: Op,
    extent: Extent,
    figures: Figures,
    seen: BTreeSet<(bool, String)>,
    cases: Vec<Case>,
}

impl Gathered {
    /// Adds what a cut may leave of `disk` now, after the call `after`, which is number `n`.
    fn moment(&mut self, disk: &Disk, n: usize, after: &str, done: bool) {
        let questions = disk.questions();
        let each = questions.iter().map(|ways| u64::from(*ways));
        let combinations = each.fold(1_u64, u64::saturating_mul);
        let whole = combinations <= self.extent.of(16, WHOLE_UP_TO);
        self.figures.add("moments of a cut", 1);
        self.figures.add("moments with every combination", u64::from(whole));
        let all = if whole {
            every(&questions)
        } else {
            selection(&questions, self.extent, n as u64)
        };
        let disk = Arc::new(disk.clone());
        for answers in all {
            self.figures.add("states", 1);
            if !self.seen.insert((done, disk.after_cut(&answers).digest().to_string())) {
                continue;
            }
            self.figures.add("different states", 1);
            self.figures
                .add("of a first install", u64::from(self.op == Op::Install));
            let number = self.seen.len();
            if number.is_multiple_of(self.extent.of(10, 1)) || done {
                self.cases.push(Case {
                    op: self.op,
                    number,
                    after: after.to_owned(),
                    disk: Arc::clone(&disk),
                    answers,
                    done,
                });
            }
        }
    }
}

/// Runs `op` under the recorder and gathers what may be left after each of its calls.
fn gather(bench: &Bench, op: Op, extent: Extent) -> Outcome<Gathered> {
    let place = bench.copy(op)?;
    let root = place.root();
    let mut disk = Disk::load(&root)?;
    let recorded = trace::record(&bench.command(op, &root), &root)?;
    ensure(recorded.code == op.code(), || {
        format!("{op} ended with {}", recorded.code)
    })?;
    let mut gathered = Gathered {
        op,
        extent,
        figures: Figures::default(),
        seen: BTreeSet::new(),
        cases: Vec::new(),
    };
    let mut reader = Reader::new(&root);
    let on_root = recorded.all.iter().filter(|call| call.is_on(&root) && call.result >= 0);
    let relevant = on_root.filter(|call| call.changes() || call.name == "openat" || call.name == "lseek");
    let calls: Vec<_> = relevant.collect();
    let last = calls.iter().rposition(|call| call.changes()).unwrap_or(0);
    for (n, call) in calls.iter().enumerate() {
        let events = reader.read(call, |path| disk.exists(path))?;
        events.iter().try_for_each(|event| disk.apply(event))?;
        let visited = n == last || n.is_multiple_of(extent.of(4, 1));
        if visited && !events.is_empty() {
            gathered.moment(&disk, n, &format!("`{}` ({})", call.name, call.args), n == last);
        }
    }
    disk.now().expect(&root)?;
    Ok(gathered)
}

/// Every combination of answers.
fn every(questions: &[u32]) -> Vec<Vec<u32>> {
    questions.iter().fold(vec![Vec::new()], |all, ways| {
        all.iter()
            .flat_map(|begun| {
                (0..*ways).map(move |way| {
                    let mut answers = begun.clone();
                    answers.push(way);
                    answers
                })
            })
            .collect()
    })
}

/// Some of them: nothing of what is open, all, one, all but one, all up to one; each open write by half and as zeros;
/// and random answers.
fn selection(questions: &[u32], extent: Extent, salt: u64) -> Vec<Vec<u32>> {
    let open = questions.len();
    let each = |answer: &dyn Fn(usize) -> u32| (0..open).map(answer).collect::<Vec<u32>>();
    let mut out = vec![each(&|_| 0), each(&|_| 1)];
    for one in 0..open {
        out.push(each(&|n| u32::from(n == one)));
        out.push(each(&|n| u32::from(n != one)));
        out.push(each(&|n| u32::from(n <= one)));
        for way in [2, 3] {
            out.push(each(&|n| if n == one { way % questions[n] } else { 1 }));
        }
    }
    let mut choices = Choices::new(salt);
    let mut any = |ways: &u32| u32::try_from(choices.below(u64::from(*ways))).expect("less than `ways`");
    for _ in 0..extent.of(4, 48) {
        out.push(questions.iter().map(&mut any).collect());
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Extent, every, selection};

    #[test]
    fn every_combination_is_there_once_and_a_selection_is_some_of_them() {
        let questions = [2, 4, 2, 4];
        let all = every(&questions);
        let different: BTreeSet<_> = all.iter().collect();
        assert_eq!((all.len(), different.len()), (64, 64));
        assert_eq!(every(&[]), [Vec::<u32>::new()]);
        let some = selection(&questions, Extent::Whole, 1);
        assert!(some.iter().all(|answers| different.contains(answers)));
        assert!(some.iter().collect::<BTreeSet<_>>().len() > 20);
    }
}
