//! Owns the power cuts: the recorded calls of the real program, cut after each, and every kind of state that may be left.

use std::{collections::BTreeSet, sync::Mutex};

use super::{
    Extent, Figures,
    bench::{Bench, Place, run},
    disk::{Disk, State},
    each,
    events::Reader,
    inject::{recovered, settle},
    model::{Rest, check, receipts},
    op::Op,
    trace,
};
use crate::{Choices, Failure, Outcome, ensure};

/// One state to recover from.
struct Case {
    op: Op,
    number: usize,
    after: String,
    state: Mutex<Option<State>>,
    /// The program had said that it was done.
    done: bool,
}

/// Cuts the power after every call of every command and recovers from every state that is left.
pub fn cut_everywhere(bench: &Bench, extent: Extent) -> Outcome<Figures> {
    let mut figures = Figures::default();
    for op in Op::ALL {
        figures.merge(cut(bench, op, extent)?);
    }
    Ok(figures)
}

fn cut(bench: &Bench, op: Op, extent: Extent) -> Outcome<Figures> {
    let mut figures = Figures::default();
    let cases = cases(bench, op, extent, &mut figures)?;
    let past = if op == Op::Install {
        Vec::new()
    } else {
        receipts(&bench.prepared(op)?)?
    };
    figures.merge(each(&cases, |case| {
        let place = bench.place()?;
        recover(bench, case, &place, &past)
            .map_err(|failure| failure.at(&format!("{op}, power cut after {}, state {}", case.after, case.number)))
    })?);
    Ok(figures)
}

fn recover(bench: &Bench, case: &Case, place: &Place, past: &[String]) -> Outcome<Figures> {
    let (op, root) = (case.op, place.root());
    let mut state = case.state.lock().map_err(Failure::doing("another case failed"))?;
    state.take().map_or(Ok(()), |state| state.write(&root))?;
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

/// Runs `op` under the recorder and gathers what may be left after each of its calls, every state once.
fn cases(bench: &Bench, op: Op, extent: Extent, figures: &mut Figures) -> Outcome<Vec<Case>> {
    let place = bench.copy(op)?;
    let root = place.root();
    let mut disk = Disk::load(&root)?;
    let recorded = trace::record(&bench.command(op, &root), &root)?;
    ensure(recorded.code == op.code(), || {
        format!("{op} ended with {}", recorded.code)
    })?;
    let mut reader = Reader::new(&root);
    let (mut seen, mut cases, mut number) = (BTreeSet::new(), Vec::new(), 0_usize);
    let on_root = recorded.all.iter().filter(|call| call.is_on(&root) && call.result >= 0);
    let relevant = on_root.filter(|call| call.changes() || call.name == "openat" || call.name == "lseek");
    let calls: Vec<_> = relevant.collect();
    let last = calls.iter().rposition(|call| call.changes()).unwrap_or(0);
    for (n, call) in calls.iter().enumerate() {
        let events = reader.read(call, |path| disk.exists(path))?;
        for event in &events {
            disk.apply(event)?;
        }
        if events.is_empty() {
            continue;
        }
        if n != last && !n.is_multiple_of(extent.of(4, 1)) {
            continue;
        }
        figures.add("moments of a cut", 1);
        for state in states(&disk, extent, n as u64) {
            figures.add("states", 1);
            let done = n == last;
            if !seen.insert((done, state.digest().to_string())) {
                continue;
            }
            figures.add("different states", 1);
            number += 1;
            if number.is_multiple_of(extent.of(10, 1)) || done {
                cases.push(Case {
                    op,
                    number,
                    after: format!("`{}` ({})", call.name, call.args),
                    state: Mutex::new(Some(state)),
                    done,
                });
            }
        }
    }
    disk.now().expect(&root)?;
    Ok(cases)
}

/// States after a cut: nothing of what is open, all, one, all but one, all up to one; each open write by half and as
/// zeros; and random answers.
fn states(disk: &Disk, extent: Extent, salt: u64) -> Vec<State> {
    let open = disk.open();
    let mut out = vec![disk.after_cut(&mut |_, _| 0), disk.now()];
    for one in 0..open {
        out.push(disk.after_cut(&mut |n, _| u32::from(n == one)));
        out.push(disk.after_cut(&mut |n, _| u32::from(n != one)));
        out.push(disk.after_cut(&mut |n, _| u32::from(n <= one)));
        for way in [2, 3] {
            out.push(disk.after_cut(&mut |n, ways| if n == one { way % ways } else { 1 }));
        }
    }
    let mut choices = Choices::new(salt);
    for _ in 0..if open > 1 { extent.of(4, 48) } else { 0 } {
        out.push(
            disk.after_cut(&mut |_, ways| u32::try_from(choices.below(u64::from(ways))).expect("less than `ways`")),
        );
    }
    out
}
