//! Stops as a kill makes them: before and in the middle of every mutation, in a transaction and in its recovery.

use std::path::Path;

use kojibox_installer::transaction::recover;
use kojibox_state::{
    CrashPoint,
    store::{Fault, FaultStore},
};

use super::{
    check_active, copy, faulty, kill, kit, last_asked, lock, once, op::Op, recover_once, settle, told, visited,
};

/// Stops `op` before and in the middle of every mutation; then stops the recovery of each at every one of its own.
pub(super) fn everywhere(op: Op) {
    let before = op.before(kit());
    let (mut points, mut recoveries) = (0, 0);
    for at in 1.. {
        for fault in [Fault::Kill, Fault::TornKill] {
            let (_dir, root) = copy(&before.path().join("root"));
            let (faults, locked) = faulty(&root, once(at, fault), false);
            let ended = op.run(kit(), locked);
            if !faults.is_dead() {
                assert!(ended.is_ok() || op.is_broken(), "{ended:?}");
                op.check_finished(&root, op.ends().1, "not stopped");
                told(op, "stops", points);
                told(op, "stops of a recovery", recoveries);
                assert!(
                    points > 20 && recoveries > 20,
                    "{op:?} takes more than {points} mutations"
                );
                return;
            }
            let name = format!("{op:?}, {fault:?} at {at} ({})", last_asked(&faults));
            assert!(
                ended.is_err_and(|e| e.cause().is_killed()),
                "{name}: a stop is told as one"
            );
            points += 1;
            if fault == Fault::Kill && visited(at, 2) {
                recoveries += recovery_everywhere(op, &root, &name);
            }
            settle(kit(), op, &root, &name);
        }
    }
}

fn recovery_everywhere(op: Op, dead: &Path, at: &str) -> u64 {
    for n in 1.. {
        let (_dir, root) = copy(dead);
        let (faults, mut locked) = faulty(&root, kill(n), false);
        let world = op.world();
        drop(recover(&mut locked, &world.env()));
        drop(locked);
        if !faults.is_dead() {
            return n - 1;
        }
        let at = format!("{at}, recovery stopped at {n}");
        recover_once(&root, &at);
        op.check_at_rest(&root, &at);
        check_active(op, &root, &at);
    }
    unreachable!()
}

/// Stops `op` at each named point, and asserts that it passes them.
pub(super) fn at_names(op: Op, points: &[CrashPoint]) {
    let before = op.before(kit());
    for point in points {
        let (_dir, root) = copy(&before.path().join("root"));
        let store = FaultStore::open(&root, None, false).unwrap();
        store.faults().stop_at(*point);
        let (faults, locked) = lock(&root, store);
        drop(op.run(kit(), locked));
        let name = format!("{op:?} at `{point}`");
        assert!(faults.is_dead(), "{name}: it is passed");
        settle(kit(), op, &root, &name);
    }
}
