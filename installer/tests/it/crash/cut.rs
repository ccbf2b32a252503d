//! Power cuts: at every mutation of a transaction and of its recovery, with every kind of disk that is left.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use kojibox_installer::transaction::recover;
use kojibox_state::store::{FaultStore, Faults};

use super::{
    check_active, choices, copy, faulty, kill, kit, last_asked, lock, op::Op, recover_once, recover_twice, settle,
    told, visited, whole,
};
use crate::rig::{World, copy_tree, fast_dir, snapshot};

/// Disks per cut of a transaction: nothing of what was not synced, all of it, and random parts.
const DISKS: (u64, u64) = (4, 12);
/// Disks per cut of a recovery.
const DISKS_OF_RECOVERY: (u64, u64) = (1, 3);

fn disks((sample, all): (u64, u64)) -> u64 {
    if whole() { all } else { sample }
}

/// Makes disk number `seed` of those that a cut now may leave, and hands it to `check`.
fn with_disk(root: &Path, faults: &Faults, seed: u64, salt: u64, check: impl FnOnce(&Path)) {
    let dir = fast_dir();
    let disk = dir.path().join("root");
    fs::create_dir(&disk).unwrap();
    let mut random = choices(salt * 1000 + seed);
    let mut choose = |n: u32| match seed {
        0 => 0,
        1 => n.min(2) - 1,
        _ => random(n),
    };
    faults.power_cut(&disk, &mut choose).unwrap().unwrap();
    // A purge takes it.
    if root.join("data").is_dir() {
        copy_tree(&root.join("data"), &disk.join("data"));
    }
    check(&disk);
}

/// Names of the receipts that are there.
fn receipts(root: &Path) -> BTreeSet<PathBuf> {
    snapshot(&root.join("state/receipts")).into_keys().collect()
}

/// Cuts the power at every mutation of `op`.
pub(super) fn everywhere(op: Op) {
    let before = op.before(kit());
    let past = receipts(&before.path().join("root"));
    let mut count = 0;
    for at in 1.. {
        let (_dir, root) = copy(&before.path().join("root"));
        let (faults, locked) = faulty(&root, kill(at), true);
        drop(op.run(kit(), locked));
        let name = format!("{op:?}, power cut at {at} ({})", last_asked(&faults));
        // What is over keeps its receipt; what is not over keeps those of its past.
        let kept = if faults.is_dead() { &past } else { &receipts(&root) };
        for seed in 0..disks(DISKS) {
            with_disk(&root, &faults, seed, at, |disk| {
                assert!(
                    receipts(disk).is_superset(kept),
                    "{name}, disk {seed}: a receipt is lost"
                );
                settle(kit(), op, disk, &format!("{name}, disk {seed}"));
            });
            count += 1;
        }
        if !faults.is_dead() {
            assert!(count > 20, "{op:?} takes more than {count} mutations");
            told(op, "disks after a power cut", count);
            return;
        }
    }
}

/// Cuts the power at every mutation of the recovery of `op` stopped at every mutation: what the stopped process had not
/// synced is as open then as what its recovery did not.
///
/// Then the same for a recovery that follows a power cut.
pub(super) fn recovery_everywhere(op: Op) {
    let before = op.before(kit());
    let mut count = 0;
    for at in 1.. {
        let (_dir, dead) = copy(&before.path().join("root"));
        let (faults, locked) = faulty(&dead, kill(at), true);
        drop(op.run(kit(), locked));
        if !faults.is_dead() {
            assert!(count > 20, "{op:?}: a recovery takes more than {count} mutations");
            told(op, "disks after a power cut in a recovery", count);
            return;
        }
        if !visited(at, 4) {
            continue;
        }
        let name = format!("{op:?}, stopped at {at} ({})", last_asked(&faults));
        let reopen = |root: &Path, n| FaultStore::after(&faults, root, Some(kill(n))).unwrap();
        count += recovery(op, &dead, &reopen, &name);
        with_disk(&dead, &faults, 2, at, |disk| {
            let name = format!("{op:?}, power cut at {at} ({})", last_asked(&faults));
            let reopen = |root: &Path, n| FaultStore::open(root, Some(kill(n)), true).unwrap();
            count += recovery(op, disk, &reopen, &name);
        });
    }
}

fn recovery(op: Op, dead: &Path, reopen: &dyn Fn(&Path, u64) -> FaultStore, at: &str) -> u64 {
    let mut count = 0;
    for n in 1.. {
        let (_dir, root) = copy(dead);
        let (faults, mut locked) = lock(&root, reopen(&root, n));
        let world = World::new();
        drop(recover(&mut locked, &world.env()));
        drop(locked);
        for seed in 0..disks(DISKS_OF_RECOVERY) {
            // The sample takes the random disks, which the sample of the transaction sees less of.
            let seed = if disks(DISKS_OF_RECOVERY) == 1 { n % 3 } else { seed };
            let at = format!("{at}, recovery cut at {n}, disk {seed}");
            with_disk(&root, &faults, seed, n, |disk| {
                if seed == 1 {
                    recover_twice(disk, &at);
                } else {
                    recover_once(disk, &at);
                }
                op.check_at_rest(disk, &at);
                check_active(op, disk, &at);
                if n == 1 {
                    let release = op.complete(kit(), disk, &at);
                    op.check_finished(disk, release, &at);
                }
            });
            count += 1;
        }
        if !faults.is_dead() {
            return count;
        }
    }
    unreachable!()
}
