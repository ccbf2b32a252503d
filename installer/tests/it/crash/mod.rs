//! The crash matrix: every transaction, stopped at every mutation, refused at every mutation, cut off at every mutation.
//!
//! After each the root is opened again with a real store, recovered, recovered once more, compared with the reference
//! model, and the same command is run to its end. Recovery itself is stopped, refused and cut off at every one of its
//! mutations too. Without `KOJIBOX_MATRIX=full` a bounded sample is walked, the same each time: every mutation of a
//! transaction, some of the ways to fail there, and the recovery of some of the stops.

mod cut;
mod op;
mod refused;
mod stopped;
mod workers;

use std::{
    collections::BTreeSet,
    env,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use kojibox_installer::transaction::recover;
use kojibox_state::{
    CrashPoint, InstallRoot, LockedRoot, Store,
    store::{Fault, FaultPlan, FaultStore, Faults},
};
use op::{Kit, Op, kit};
use tempfile::TempDir;

use crate::{
    reference::active_release,
    rig::{NO_WAIT, World, copy_tree, fast_dir, holder, snapshot},
};

/// True if the whole matrix is to be walked.
fn whole() -> bool {
    static WHOLE: OnceLock<bool> = OnceLock::new();
    *WHOLE.get_or_init(|| env::var_os("KOJIBOX_MATRIX").is_some_and(|value| value == "full"))
}

/// True for every `n` in the whole matrix, for one of `step` in the sample.
fn visited(n: u64, step: u64) -> bool {
    whole() || n.is_multiple_of(step)
}

/// Locks `root` for a run whose store is `store`.
fn lock(root: &Path, store: FaultStore) -> (Arc<Faults>, LockedRoot) {
    let faults = store.faults();
    let store: Box<dyn Store> = Box::new(store);
    let locked = LockedRoot::open_with(InstallRoot::open(root).unwrap(), store, &holder(), NO_WAIT).unwrap();
    (faults, locked)
}

fn faulty(root: &Path, plan: FaultPlan, model: bool) -> (Arc<Faults>, LockedRoot) {
    lock(root, FaultStore::open(root, Some(plan), model).unwrap())
}

fn once(at: u64, fault: Fault) -> FaultPlan {
    FaultPlan {
        at,
        fault,
        lasting: false,
    }
}

fn kill(at: u64) -> FaultPlan {
    once(at, Fault::Kill)
}

/// A copy of a prepared root, which a run may ruin.
fn copy(of: &Path) -> (TempDir, PathBuf) {
    let dir = fast_dir();
    let root = dir.path().join("root");
    copy_tree(of, &root);
    (dir, root)
}

/// What was asked for last, for the name of a case.
fn last_asked(faults: &Faults) -> String {
    let asked = faults.asked().pop().expect("something was asked for");
    format!("{} {}", asked.what, asked.path)
}

fn recover_once(root: &Path, at: &str) {
    let world = World::new();
    let mut locked = LockedRoot::open(root, &holder(), NO_WAIT).unwrap_or_else(|error| panic!("{at}: {error}"));
    recover(&mut locked, &world.env()).unwrap_or_else(|error| panic!("{at}: {error:?}"));
    let started = world.gate.calls().into_iter().find(|call| call.starts_with("up"));
    assert_eq!(started, None, "{at}: recovery starts nothing");
}

/// Recovers twice; the second time must find nothing and change nothing.
fn recover_twice(root: &Path, at: &str) {
    let interrupted = InstallRoot::open(root).unwrap();
    let begun = interrupted
        .journal()
        .unwrap()
        .begin()
        .map(|begin| begin.txid().to_owned());
    let past: Vec<_> = txids(&interrupted)
        .into_iter()
        .filter(|txid| Some(txid) != begun.as_ref())
        .collect();
    recover_once(root, at);
    let now = txids(&InstallRoot::open(root).unwrap());
    let expected: Vec<_> = past.into_iter().chain(begun).collect();
    assert_eq!(
        now, expected,
        "{at}: the interrupted transaction has one receipt, the last"
    );
    let once = snapshot(root);
    recover_once(root, at);
    assert!(snapshot(root) == once, "{at}: recovery is idempotent");
}

/// Transactions that have a receipt, in order.
fn txids(root: &InstallRoot) -> Vec<String> {
    let history = root.history().unwrap().into_iter();
    history.map(|(receipt, _)| receipt.txid).collect()
}

/// Recovers, compares with the model, runs the command to its end.
fn settle(kit: &Kit, op: Op, root: &Path, at: &str) {
    recover_twice(root, at);
    op.check_at_rest(root, at);
    check_active(op, root, at);
    let release = op.complete(kit, root, at);
    op.check_finished(root, release, at);
}

/// The same after a refusal, which may have left an old front door, an empty staging directory, a doomed tree.
fn settle_refused(kit: &Kit, op: Op, root: &Path, at: &str) {
    recover_twice(root, at);
    op.check_whole(root, at);
    check_active(op, root, at);
    let release = op.complete(kit, root, at);
    op.check_whole(root, at);
    assert_eq!(active_release(root), release, "{at}: what is active");
}

fn check_active(op: Op, root: &Path, at: &str) {
    let active = active_release(root);
    assert!(op.may_be_active().contains(&active), "{at}: {active:?} is active");
}

#[expect(clippy::print_stdout, reason = "the figures of the matrix are its result")]
fn told(op: Op, what: &str, n: u64) {
    println!("{op:?}: {n} {what}");
}

/// A generator of choices that follows from a seed alone.
fn choices(seed: u64) -> impl FnMut(u32) -> u32 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move |n| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        u32::try_from((state >> 33) % u64::from(n)).expect("less than n")
    }
}

macro_rules! matrix {
    ($($module:ident = $op:ident),+ $(,)?) => {
        $(mod $module {
            use super::*;

            #[test]
            fn stopped_at_every_mutation() {
                stopped::everywhere(Op::$op);
            }

            #[test]
            fn refused_at_every_mutation() {
                refused::everywhere(Op::$op);
            }

            #[test]
            fn power_cut_at_every_mutation() {
                cut::everywhere(Op::$op);
            }

            #[test]
            fn recovery_refused_at_every_mutation() {
                refused::recovery_everywhere(Op::$op);
            }

            #[test]
            fn power_cut_at_every_mutation_of_a_recovery() {
                cut::recovery_everywhere(Op::$op);
            }

            #[test]
            fn two_workers_in_seeded_schedules() {
                workers::seeded(Op::$op);
            }
        })+

        #[test]
        fn every_transaction_has_its_matrix() {
            assert_eq!(Op::ALL, [$(Op::$op),+]);
        }
    };
}

matrix! {
    first_install = Install,
    first_install_refused_by_its_gate = InstallBroken,
    update = Update,
    update_refused_by_its_gate = UpdateBroken,
    update_of_one_pack_and_install_of_another = UpdateAndInstall,
    back = Rollback,
    pruning = Prune,
    uninstalling = Uninstall,
    purging = Purge,
    repairing = Repair,
}

#[test]
fn every_named_point_is_passed_and_recovered_from() {
    use CrashPoint as P;
    let activation = [P::Stopped, P::Committed, P::Confirmed, P::Done, P::Receipted];
    let staging = [
        P::Begun,
        P::TreeStaged,
        P::Durable,
        P::Publishing,
        P::Published,
        P::Staged,
    ];
    let update = [&staging[..], &activation[..]].concat();
    stopped::at_names(Op::Install, &update);
    stopped::at_names(Op::Update, &update);
    let returning = [P::Committed, P::ReturnDecided, P::Returned, P::Done];
    stopped::at_names(Op::UpdateBroken, &returning);
    stopped::at_names(Op::InstallBroken, &returning);
    stopped::at_names(Op::Rollback, &[&[P::Begun][..], &activation[..]].concat());
    stopped::at_names(Op::Prune, &[P::Begun, P::Doomed, P::Done, P::Receipted]);
    stopped::at_names(
        Op::Uninstall,
        &[P::Begun, P::Committed, P::Doomed, P::Done, P::Receipted],
    );
    let repair = [
        P::Begun,
        P::TreeStaged,
        P::Durable,
        P::Staged,
        P::Repaired,
        P::Done,
        P::Receipted,
    ];
    stopped::at_names(Op::Repair, &repair);
    let covered: BTreeSet<P> = [
        &update[..],
        &returning[..],
        &repair[..],
        &[P::Doomed, P::RootMade, P::Pointed, P::JournalAside, P::Pinned][..],
    ]
    .concat()
    .into_iter()
    .collect();
    let all: BTreeSet<P> = P::ALL.iter().copied().collect();
    assert_eq!(
        covered, all,
        "every point has its row here; a pointer that is rebuilt is in `documents`, making a root, setting a journal aside and pinning in `roots` of `kojibox-state`"
    );
}
