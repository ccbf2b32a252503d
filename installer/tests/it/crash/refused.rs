//! Refusals of the file system: every kind at every mutation, once and for good, in a transaction and in its recovery.

use std::path::Path;

use kojibox_installer::transaction::{Situation, TxError, recover};
use kojibox_state::{
    InstallRoot,
    journal::Record,
    store::{Asked, Fault, FaultPlan, Refusal},
};

use super::{check_active, copy, faulty, kill, kit, last_asked, op::Op, recover_twice, settle_refused, told, visited};
use crate::{
    reference::active_release,
    rig::{World, snapshot},
};

/// Every way in which a file system says no. A full volume and a full share stay full; the last two stay as they are.
fn ways(at: u64) -> impl Iterator<Item = FaultPlan> {
    let kinds = Refusal::ALL.iter().map(|kind| Fault::Refused(*kind));
    let others = [
        Fault::ShortWrite,
        Fault::RefusedFromHere(Refusal::Medium),
        Fault::RefusedFromHere(Refusal::ReadOnly),
    ];
    kinds.chain(others).map(move |fault| FaultPlan {
        at,
        fault,
        lasting: is_full(fault),
    })
}

fn is_full(fault: Fault) -> bool {
    matches!(fault, Fault::Refused(Refusal::NoSpace | Refusal::Quota))
}

/// Refuses every mutation of `op` in every way; in the sample, each in a third of them by turns.
pub(super) fn everywhere(op: Op) {
    let before = op.before(kit());
    let was = active_release(&before.path().join("root"));
    let mut points = 0;
    for at in 1.. {
        for (turn, plan) in (at..).zip(ways(at)).filter(|(turn, _)| visited(*turn, 3)) {
            let (_dir, root) = copy(&before.path().join("root"));
            let (faults, locked) = faulty(&root, plan, false);
            let ended = op.run(kit(), locked);
            if faults.count() < at {
                assert!(points > 20 && turn >= at, "{op:?} takes more than {points} mutations");
                told(op, "refusals", points);
                return;
            }
            points += 1;
            let asked = &faults.asked()[usize::try_from(at).unwrap() - 1];
            let name = format!("{op:?}, {:?} at {at} ({} {})", plan.fault, asked.what, asked.path);
            if ended.is_ok() {
                let asked = faults.asked();
                assert!(
                    may_be_overlooked(op, plan, &asked),
                    "{name}: it was refused, and nobody said so"
                );
            }
            check_situation(op, &root, ended.err().as_ref(), was, is_full(plan.fault), &name);
            settle_refused(kit(), op, &root, &name);
        }
    }
}

/// Whether a transaction may end well although this was refused: there is another way, it was told and is left to the next one, or
/// the transaction was over. Everything else must be an error: a sync that fails unseen is data that is lost.
fn may_be_overlooked(op: Op, plan: FaultPlan, asked: &[Asked]) -> bool {
    let at = usize::try_from(plan.at).unwrap() - 1;
    let refused = &asked[at];
    // DONE counts once it is durable: its append and the sync behind it.
    let done = asked.iter().rposition(|a| a.what == "append").unwrap_or(0) + 1;
    let other_way = matches!(refused.what, "reflink" | "hard_link");
    // Staged bytes that an earlier attempt left, and what services made.
    let whole = refused.what == "remove_all" && matches!(op, Op::Uninstall | Op::Purge);
    let left = whole || refused.what.starts_with("remove") && refused.path.as_str().starts_with("staging/");
    // Not ours to change; named in the result, or a tree that stays for the next prune.
    let pruned = op == Op::Prune && refused.what == "rename";
    let obstructed = (pruned || op == Op::Repair) && plan.fault == Fault::Refused(Refusal::Denied);
    // A prune without room for its BEGIN clears staging and says it again.
    let again = op == Op::Prune && at < 2 && plan.fault == Fault::ShortWrite;
    at > done || other_way || left || obstructed || again
}

/// Stops `op` at every mutation and refuses every mutation of the recovery that follows; then recovers.
pub(super) fn recovery_everywhere(op: Op) {
    let before = op.before(kit());
    let mut points = 0;
    for at in 1.. {
        let (_dir, dead) = copy(&before.path().join("root"));
        let (faults, locked) = faulty(&dead, kill(at), false);
        drop(op.run(kit(), locked));
        if !faults.is_dead() {
            assert!(points > 20, "{op:?}: a recovery takes more than {points} mutations");
            told(op, "refusals of a recovery", points);
            return;
        }
        if visited(at, 4) {
            points += recovery(op, &dead, &format!("{op:?}, stopped at {at} ({})", last_asked(&faults)));
        }
    }
}

fn recovery(op: Op, dead: &Path, at: &str) -> u64 {
    let mut points = 0;
    for n in 1.. {
        for (_, plan) in (n..).zip(ways(n)).filter(|(turn, _)| visited(*turn, 9)) {
            let (_dir, root) = copy(dead);
            let (faults, mut locked) = faulty(&root, plan, false);
            let world = World::new();
            let ended = recover(&mut locked, &world.env());
            drop(locked);
            if faults.count() < n {
                return points;
            }
            points += 1;
            let at = format!("{at}, recovery met {:?} at {n}", plan.fault);
            if let Err(error) = ended {
                let told = matches!(error.situation(), Situation::Interrupted { .. });
                assert!(told, "{at}: a recovery that was refused says so");
            }
            recover_twice(&root, &at);
            op.check_whole(&root, &at);
            check_active(op, &root, &at);
        }
    }
    unreachable!()
}

/// What the error says of the machine must be so, before anybody recovers.
fn check_situation(op: Op, root: &Path, error: Option<&TxError>, was: Option<u8>, full: bool, at: &str) {
    let Some(error) = error else { return };
    // What comes after DONE may be left to the next command.
    let clean = || {
        let found = InstallRoot::open(root).unwrap().journal().unwrap();
        found.is_clean() || matches!(found.records.last(), Some(Record::Done { .. }))
    };
    match error.situation() {
        Situation::Untouched { .. } | Situation::Undone { .. } => {
            assert_eq!(active_release(root), was, "{at}: the old generation stays active");
            assert!(clean(), "{at}: it is undone");
            op.check_generations(root, at);
        }
        Situation::Returned { marked, .. } => {
            assert_eq!(active_release(root), was, "{at}: the old generation is active again");
            assert!(*marked && clean(), "{at}");
        }
        Situation::Active { generation } => {
            let pointer = InstallRoot::open(root).unwrap().pointer().unwrap().unwrap();
            assert_eq!(pointer.current, *generation, "{at}");
        }
        Situation::Stopped { .. } | Situation::Aside { .. } => unreachable!("{at}: nothing of this is done here"),
        Situation::Interrupted { active, .. } => {
            let root = InstallRoot::open(root).unwrap();
            let named = root.pointer().unwrap().map(|p| p.current);
            assert_eq!(named, *active, "{at}: what it says is active is what the pointer names");
            assert!(root.recovery_needed().unwrap(), "{at}: recovery is due");
        }
    }
    let undone = matches!(error.situation(), Situation::Undone { .. });
    if full && undone && error.cause().is_no_space() {
        let left = snapshot(&root.join("staging"));
        assert!(
            left.values().all(Option::is_none),
            "{at}: a full disk gets its space back: {left:?}"
        );
    }
}
