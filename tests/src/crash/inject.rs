//! Owns the layer of system calls: the real program killed before, and refused at, every call that changes its root.

use std::{collections::BTreeSet, path::Path};

use super::{
    Extent, Figures,
    bench::{Bench, run},
    each,
    model::{Rest, Trees, check, check_data, check_purged, inspect, receipts},
    op::Op,
    trace::{self, Call},
};
use crate::{Outcome, ensure, platform};

/// What a file system answers, and whether it goes on answering so.
const REFUSALS: [(&str, bool); 8] = [
    ("EIO", false),
    ("ENOSPC", false),
    ("EACCES", false),
    ("EINTR", false),
    ("EROFS", false),
    ("EDQUOT", false),
    ("EIO", true),
    ("EROFS", true),
];

/// One call of one command, by the name that `strace` knows it by.
struct Point {
    op: Op,
    call: Call,
    /// What it is about, in any run.
    shape: String,
    number: usize,
}

/// Of so many calls one may be out of reach, because another thread comes to its own call of the same number first.
const OUT_OF_REACH: u64 = 50;

/// Every call of every command that changes something in its root, and how many of other tracees cannot be told apart.
fn points(bench: &Bench, figures: &mut Figures) -> Outcome<Vec<Point>> {
    let mut points = Vec::new();
    for op in Op::ALL {
        let place = bench.copy(op)?;
        let recorded = trace::record(&bench.command(op, &place.root()), &place.root())?;
        ensure(recorded.code == op.code(), || {
            format!("{op} ended with {}", recorded.code)
        })?;
        let active = check(&place.root(), Rest::Clean)?;
        ensure(active == op.ends().1, || format!("{op}: {active:?} is active"))?;
        let mut seen = BTreeSet::new();
        for call in recorded.calls {
            let first = seen.insert((call.name.clone(), call.nth));
            figures.add("calls that change a root", 1);
            figures.add("that another thread reaches first", u64::from(!first));
            if first {
                points.push(Point {
                    op,
                    shape: call.shape(&place.root()),
                    number: points.len(),
                    call,
                });
            }
        }
        ensure(seen.len() > 5, || format!("{op} makes only {} changes", seen.len()))?;
    }
    let (all, shared) = (
        figures.get("calls that change a root"),
        figures.get("that another thread reaches first"),
    );
    ensure(shared <= all / OUT_OF_REACH, || {
        format!("too many of another thread: {figures}")
    })?;
    Ok(points)
}

/// What was `tried` is accounted for: almost all of it `hit`, and all of the rest is told.
fn accounted(figures: &Figures, tried: usize, hit: &str, missed: &[&str]) -> Outcome {
    let tried = tried as u64;
    let missed: u64 = missed.iter().map(|what| figures.get(what)).sum();
    ensure(figures.get(hit) + missed == tried, || {
        format!("{tried} were tried, and there are {figures}")
    })?;
    // A sample is too small for a share.
    ensure(missed <= (tried / OUT_OF_REACH).max(3), || {
        format!("too many were missed: {figures}")
    })
}

/// Kills every command before every call that changes its root.
pub fn kill_everywhere(bench: &Bench, extent: Extent) -> Outcome<Figures> {
    let mut figures = Figures::default();
    let all = points(bench, &mut figures)?;
    let step = extent.of(12, 1);
    let chosen: Vec<&Point> = all.iter().filter(|point| point.number.is_multiple_of(step)).collect();
    figures.merge(each(&chosen, |point| {
        kill(bench, point).map_err(|failure| failure.at(&place(point, "killed")))
    })?);
    let missed = ["kills at another thread's call", "points never reached"];
    accounted(&figures, chosen.len(), "kills", &missed)?;
    Ok(figures)
}

/// Where a point is, for people.
fn place(point: &Point, how: &str) -> String {
    let Call { name, nth, args, .. } = &point.call;
    format!("{}, {how} at `{name}` number {nth} ({args})", point.op)
}

fn kill(bench: &Bench, point: &Point) -> Outcome<Figures> {
    let Point { op, call, .. } = point;
    let place = bench.copy(*op)?;
    let root = place.root();
    let (ended, at) = trace::killing(&bench.command(*op, &root), &call.name, call.nth)?;
    let mut figures = Figures::default();
    // `strace` counts calls by tracee: another thread may come to its own call of this number first. What was not reached is
    // told, not passed over; what was left must be recovered from all the same.
    let reached = at.iter().any(|at| at.shape(&root) == point.shape);
    let killed = trace::was_killed(&ended);
    figures.add("kills", u64::from(killed && reached));
    figures.add("kills at another thread's call", u64::from(killed && !reached));
    figures.add("points never reached", u64::from(!killed));
    if !killed {
        return Ok(figures);
    }
    expect_report(bench, &root)?;
    // What changes a root recovers by itself, so every other one is not told to; but the launcher leaves that to the installer.
    if call.nth.is_multiple_of(2) && root.join("state/install.json").exists() {
        if *op == Op::SelfUpdate && is_interrupted(&root) {
            run(&mut bench.command(*op, &root), &[41])?;
        } else {
            run(&mut bench.command(*op, &root), op.codes_again())?;
            check(&root, Rest::Clean)?;
        }
    }
    settle(bench, *op, &root, Rest::Clean)?;
    Ok(figures)
}

fn is_interrupted(root: &Path) -> bool {
    std::fs::metadata(root.join("state/journal")).is_ok_and(|meta| meta.len() > 0)
}

/// Until it is recovered, commands that only read say so.
fn expect_report(bench: &Bench, root: &Path) -> Outcome {
    if !is_interrupted(root) || !root.join("state/install.json").exists() {
        return Ok(());
    }
    for words in [
        &["status"][..],
        &["history"],
        &["trust", "show"],
        &["doctor", "--source", "{2}"],
        &["verify"],
    ] {
        run(&mut bench.installer(words, root), &[41])?;
    }
    Ok(())
}

/// Recovers, compares with the model, and runs the command to its end.
pub(crate) fn settle(bench: &Bench, op: Op, root: &Path, rest: Rest) -> Outcome {
    if !root.join("state/install.json").exists() {
        ensure(op == Op::Install, || "the root is not one any more".into())?;
        run(&mut bench.command(op, root), &[0])?;
        let active = check(root, Rest::Clean)?;
        return ensure(active == Some(1), || format!("{active:?} is active after the install"));
    }
    recovered(bench, op, root, rest)?;
    run(&mut bench.installer(&["recover"], root), &[50])?;
    let sound: &[i32] = if op.mends() { &[0, 21] } else { &[0] };
    run(&mut bench.installer(&["verify"], root), sound)?;
    let before = receipts(root)?;
    run(&mut bench.command(op, root), op.codes_again())?;
    if op == Op::RecoverPurge && rest == Rest::Whole {
        // A recovery that is over has nothing left to do; what it could not remove was told, and goes with the next attempt.
        run(&mut bench.command(Op::Purge, root), Op::Purge.codes_again())?;
    }
    if op == Op::RecoverRepair && rest == Rest::Whole {
        // The same: what could not get its place was told, and gets it with the next repair.
        run(&mut bench.command(Op::Repair, root), Op::Repair.codes_again())?;
    }
    let active = check(root, Rest::Whole)?;
    let expected = active == op.ends().1 || op == Op::UpdateBroken && op.may_be_active().contains(&active);
    ensure(expected, || {
        format!("{active:?} is active after the command was run again")
    })?;
    match op {
        Op::Install => {}
        _ if op.purges() => check_purged(root)?,
        _ => check_data(root)?,
    }
    let after = receipts(root)?;
    let kept = before.iter().all(|name| after.contains(name));
    ensure(kept, || {
        format!("there were the receipts {before:?}, there are {after:?}")
    })
}

/// Recovers and compares with the model.
pub(crate) fn recovered(bench: &Bench, op: Op, root: &Path, rest: Rest) -> Outcome {
    run(&mut bench.installer(&["recover"], root), &[0, 50])?;
    let trees = if op.mends() { Trees::MayBeDamaged } else { Trees::Sound };
    let active = inspect(root, rest, trees)?;
    match (op, active) {
        (Op::Install, _) => {}
        // What could not be removed was told, and the next attempt removes it.
        (_, None) if op.purges() && rest == Rest::Whole => {}
        (_, None) if op.purges() => check_purged(root)?,
        _ => check_data(root)?,
    }
    ensure(op.may_be_active().contains(&active), || format!("{active:?} is active"))
}

/// Refuses every call that changes a root, in every way.
pub fn refuse_everywhere(bench: &Bench, extent: Extent) -> Outcome<Figures> {
    let mut figures = Figures::default();
    let all = points(bench, &mut figures)?;
    let step = extent.of(97, 1);
    let chosen: Vec<(&Point, &str, bool)> = all
        .iter()
        .flat_map(|point| REFUSALS.iter().map(move |(error, lasts)| (point, *error, *lasts)))
        .enumerate()
        .filter(|(number, _)| number.is_multiple_of(step))
        .map(|(_, case)| case)
        .collect();
    figures.merge(each(&chosen, |(point, error, lasts)| {
        let how = format!("refused with {error}{}", if *lasts { " for good" } else { "" });
        refuse(bench, point, error, *lasts).map_err(|failure| failure.at(&place(point, &how)))
    })?);
    accounted(&figures, chosen.len(), "refusals", &["points never reached"])?;
    Ok(figures)
}

fn refuse(bench: &Bench, point: &Point, error: &str, lasts: bool) -> Outcome<Figures> {
    let Point { op, call, .. } = point;
    let place = bench.copy(*op)?;
    let root = place.root();
    let when = format!("{}{}", call.nth, if lasts { "+" } else { "" });
    let (ended, refused) = trace::refusing(
        &bench.command(*op, &root),
        &format!("{}:error={error}:when={when}", call.name),
    )?;
    let code = platform::code(ended.status);
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    // Done in spite of it, an installed file that cannot be read, no space, file system error, not ready, recovery needed:
    // nothing else is true.
    let known = [op.code(), 0, 21, 31, 32, 40, 41].contains(&code);
    // Where every write is refused, so is that of the message.
    let silenced = lasts && call.name == "write";
    let named = code == 0 || silenced || said.contains("error: ");
    ensure(known && named, || format!("it ended with {code}: {said}"))?;
    if op.mends() && code == 0 && !is_interrupted(&root) {
        let sound = run(&mut bench.installer(&["verify"], &root), &[0, 21])?
            .status
            .success();
        let told = said.contains("was not repaired") || said.contains("could not be moved");
        ensure(sound || told, || format!("damage stays that nobody tells of: {said}"))?;
    }
    settle(bench, *op, &root, Rest::Whole).map_err(|failure| failure.with(&said))?;
    let mut figures = Figures::default();
    figures.add("refusals", u64::from(refused));
    figures.add("points never reached", u64::from(!refused));
    Ok(figures)
}
