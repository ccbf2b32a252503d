//! The crash matrix: every transaction, stopped at every mutation, refused at every mutation, cut off at every mutation.
//!
//! After each the root is opened again with a real store, recovered, recovered once more, compared with the reference
//! model, and the same command is run to its end. Recovery itself is stopped at every one of its mutations too.

use std::{
    collections::BTreeSet,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use kojibox_installer::{
    plan::PlannedPack,
    transaction::{
        Cause, PruneOptions, RepairOptions, RollbackOptions, Situation, TxError, UninstallOptions, install, prune,
        recover, repair, rollback, uninstall, verify,
    },
};
use kojibox_state::{
    CrashPoint, InstallRoot, LockedRoot, Store,
    journal::Record,
    layout::place,
    store::{Fault, FaultPlan, FaultStore, Faults},
};
use tempfile::TempDir;

use crate::{
    reference::{active_release, check_at_rest, check_finished, check_generations, check_whole, give_data},
    rig::{CREATED, FakeGate, NO_WAIT, Stick, World, app, copy_tree, fast_dir, holder, launcher, plan, snapshot, web},
};

/// Packs of releases 1 to 3, built once.
struct Kit {
    stick: Stick,
    packs: Vec<PlannedPack>,
}

fn kit() -> &'static Kit {
    static KIT: OnceLock<Kit> = OnceLock::new();
    KIT.get_or_init(|| {
        let stick = Stick::new();
        let packs = (1..=3).map(|n| stick.pack(n, &[app(n), web(), launcher(n)])).collect();
        Kit { stick, packs }
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Install,
    InstallBroken,
    Update,
    UpdateBroken,
    Rollback,
    Prune,
    Uninstall,
    Repair,
}

impl Op {
    /// Releases that were installed before it.
    fn history(self) -> &'static [u8] {
        match self {
            Self::Install | Self::InstallBroken => &[],
            Self::Update | Self::UpdateBroken | Self::Uninstall => &[1],
            Self::Rollback | Self::Repair => &[1, 2],
            Self::Prune => &[1, 2, 3],
        }
    }

    /// What is active before, and what after it ran through.
    fn ends(self) -> (Option<u8>, Option<u8>) {
        match self {
            Self::Install => (None, Some(1)),
            Self::InstallBroken => (None, None),
            Self::Update => (Some(1), Some(2)),
            Self::UpdateBroken => (Some(1), Some(1)),
            Self::Rollback => (Some(2), Some(1)),
            Self::Prune => (Some(3), Some(3)),
            Self::Uninstall => (Some(1), None),
            Self::Repair => (Some(2), Some(2)),
        }
    }

    /// What may be active after a stop anywhere and a recovery.
    fn may_be_active(self) -> BTreeSet<Option<u8>> {
        let (before, after) = self.ends();
        let committed = match self {
            Self::InstallBroken => Some(1),
            Self::UpdateBroken => Some(2),
            _ => after,
        };
        [before, after, committed].into()
    }

    fn world(self) -> World {
        match self {
            Self::InstallBroken => World::with(FakeGate::refusing(1)),
            Self::UpdateBroken => World::with(FakeGate::refusing(2)),
            _ => World::new(),
        }
    }

    /// A root just before it.
    fn before(self) -> TempDir {
        let dir = fast_dir();
        let root = dir.path().join("root");
        let world = World::new();
        let mut locked = LockedRoot::open_or_create(&root, CREATED, &holder(), NO_WAIT).unwrap();
        for n in self.history() {
            let pack = &kit().packs[usize::from(*n) - 1];
            install(&mut locked, &plan(pack), &world.env()).unwrap();
        }
        drop(locked);
        give_data(&root);
        if self == Self::Repair {
            damage(&root);
        }
        dir
    }

    fn run(self, mut locked: LockedRoot) -> Result<(), TxError> {
        let world = self.world();
        let env = world.env();
        let command = "test".to_owned();
        match self {
            Self::Install | Self::InstallBroken => install(&mut locked, &plan(&kit().packs[0]), &env).map(drop),
            Self::Update | Self::UpdateBroken => install(&mut locked, &plan(&kit().packs[1]), &env).map(drop),
            Self::Rollback => {
                let options = RollbackOptions {
                    command,
                    to: Some(1),
                    ..RollbackOptions::default()
                };
                rollback(&mut locked, &options, &env).map(drop)
            }
            Self::Prune => prune(&mut locked, &PruneOptions { command, keep: 1 }, &env).map(drop),
            Self::Repair => {
                let options = RepairOptions {
                    command,
                    remove_extra: true,
                    dry_run: false,
                };
                let sources = [kit().stick.source()];
                let done = repair(&mut locked, &sources, &options, &env)?;
                assert!(done.lacking.is_empty() && done.left.is_empty(), "{done:?}");
                Ok(())
            }
            Self::Uninstall => {
                let purge_data = false;
                uninstall(locked, &UninstallOptions { command, purge_data }, &env).map(drop)
            }
        }
    }

    /// What must hold after a recovery: everything, or before a repair is through, no damage but what there was.
    fn check_recovered(self, root: &Path, at: &str) {
        if self != Self::Repair {
            return check_at_rest(root, at);
        }
        let opened = InstallRoot::open(root).unwrap();
        assert!(!opened.recovery_needed().unwrap(), "{at}: nothing is left to recover");
        opened.history().unwrap_or_else(|error| panic!("{at}: {error}"));
        let seen = verify(&opened, None, &World::new().env()).unwrap();
        let known = ["", "extra", "lib/changes.bin", "only-in-2.txt", "var"];
        let new = seen.findings.iter().find(|f| !known.contains(&f.path.as_str()));
        assert_eq!(new, None, "{at}: a repair damages nothing");
        let mut files = snapshot(root).into_values().flatten();
        assert!(
            files.any(|bytes| bytes == b"a person's"),
            "{at}: what is not ours is never lost"
        );
    }

    /// Runs it to its end on a healthy file system; what is done already counts as done. Returns what must be active.
    fn complete(self, root: &Path, at: &str) -> Option<u8> {
        let was = active_release(root);
        let locked = LockedRoot::open(root, &holder(), NO_WAIT).unwrap();
        let broken = matches!(self, Self::InstallBroken | Self::UpdateBroken);
        match self.run(locked) {
            Ok(()) => assert!(!broken, "{at}: the gate must refuse"),
            Err(error) => {
                let expected = match error.cause() {
                    Cause::NotReady { .. } => broken,
                    Cause::AlreadyActive(1) => self == Self::Rollback,
                    _ => false,
                };
                assert!(expected, "{at}: {error:?}");
            }
        }
        // A first generation whose gate never came to a verdict stays the one to return to: it may have run since.
        let unproven = self == Self::InstallBroken && was == Some(1);
        if unproven { was } else { self.ends().1 }
    }
}

/// Damages both generations of a root in every way that a repair knows.
fn damage(root: &Path) {
    let opened = InstallRoot::open(root).unwrap();
    let record = opened.current().unwrap().unwrap();
    let dir = |id: &str| {
        let component = record.components.iter().find(|c| c.id == id).unwrap();
        place::component(&component.dir).below(root)
    };
    let app = dir("app");
    fs::remove_file(app.join("lib/changes.bin")).unwrap();
    fs::write(app.join("lib/changes.bin"), "changed").unwrap();
    fs::remove_file(app.join("only-in-2.txt")).unwrap();
    fs::create_dir(app.join("only-in-2.txt")).unwrap();
    fs::remove_dir(app.join("var")).unwrap();
    fs::write(app.join("extra"), "a person's").unwrap();
    fs::remove_dir_all(dir("web")).unwrap();
    let index = record.components.iter().find(|c| c.id == "web").unwrap();
    fs::remove_file(opened.layout().component_index("web", &index.tree_sha256)).unwrap();
}

fn faulty(root: &Path, plan: FaultPlan, model: bool) -> (Arc<Faults>, LockedRoot) {
    let store = FaultStore::open(root, Some(plan), model).unwrap();
    let faults = store.faults();
    let store: Box<dyn Store> = Box::new(store);
    let locked = LockedRoot::open_with(InstallRoot::open(root).unwrap(), store, &holder(), NO_WAIT).unwrap();
    (faults, locked)
}

fn kill(at: u64) -> FaultPlan {
    FaultPlan {
        at,
        fault: Fault::Kill,
        lasting: false,
    }
}

/// A copy of a prepared root, which a run may ruin.
fn copy(of: &Path) -> (TempDir, PathBuf) {
    let dir = fast_dir();
    let root = dir.path().join("root");
    copy_tree(of, &root);
    (dir, root)
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
    recover_once(root, at);
    let once = snapshot(root);
    recover_once(root, at);
    assert!(snapshot(root) == once, "{at}: recovery is idempotent");
}

/// Recovers, compares with the model, runs the command to its end.
fn settle(op: Op, root: &Path, at: &str) {
    recover_twice(root, at);
    op.check_recovered(root, at);
    check_active(op, root, at);
    let release = op.complete(root, at);
    check_finished(root, release, at);
}

/// The same after a refusal, which may have left an old front door, an empty staging directory, a doomed tree.
fn settle_refused(op: Op, root: &Path, at: &str) {
    recover_twice(root, at);
    if op != Op::Repair {
        check_whole(root, at);
    }
    check_active(op, root, at);
    let release = op.complete(root, at);
    check_whole(root, at);
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

/// Stops `op` before and in the middle of every mutation; then stops the recovery of each at every one of its own.
fn stopped_everywhere(op: Op) {
    let before = op.before();
    let (mut points, mut recoveries) = (0, 0);
    for at in 1.. {
        for fault in [Fault::Kill, Fault::TornKill] {
            let (_dir, root) = copy(&before.path().join("root"));
            let lasting = false;
            let (faults, locked) = faulty(&root, FaultPlan { at, fault, lasting }, false);
            let ended = op.run(locked);
            if !faults.is_dead() {
                assert!(
                    ended.is_ok() || matches!(op, Op::InstallBroken | Op::UpdateBroken),
                    "{ended:?}"
                );
                check_finished(&root, op.ends().1, "not stopped");
                told(op, "stops", points);
                told(op, "stops of a recovery", recoveries);
                assert!(
                    points > 20 && recoveries > 20,
                    "{op:?} takes more than {points} mutations"
                );
                return;
            }
            let asked = faults.asked().pop().expect("it was stopped at one");
            let name = format!("{op:?}, {fault:?} at {at} ({} {})", asked.what, asked.path);
            assert!(
                ended.is_err_and(|e| e.cause().is_killed()),
                "{name}: a stop is told as one"
            );
            points += 1;
            if fault == Fault::Kill {
                recoveries += recovery_stopped_everywhere(op, &root, &name);
            }
            settle(op, &root, &name);
        }
    }
}

fn recovery_stopped_everywhere(op: Op, dead: &Path, at: &str) -> u64 {
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
        op.check_recovered(&root, &at);
        check_active(op, &root, &at);
    }
    unreachable!()
}

/// Refuses every mutation of `op` in every way a file system knows.
fn refused_everywhere(op: Op) {
    let before = op.before();
    let was = active_release(&before.path().join("root"));
    let mut points = 0;
    for fault in [
        Fault::Error(ErrorKind::Other),
        Fault::Error(ErrorKind::StorageFull),
        Fault::Error(ErrorKind::PermissionDenied),
        Fault::Error(ErrorKind::Interrupted),
        Fault::ShortWrite,
    ] {
        for at in 1.. {
            let (_dir, root) = copy(&before.path().join("root"));
            let full = fault == Fault::Error(ErrorKind::StorageFull);
            let plan = FaultPlan {
                at,
                fault,
                lasting: full,
            };
            let (faults, locked) = faulty(&root, plan, false);
            let ended = op.run(locked);
            if faults.count() < at {
                break;
            }
            points += 1;
            let asked = &faults.asked()[usize::try_from(at).unwrap() - 1];
            let name = format!("{op:?}, {fault:?} at {at} ({} {})", asked.what, asked.path);
            check_situation(op, &root, ended.err().as_ref(), was, full, &name);
            settle_refused(op, &root, &name);
        }
    }
    told(op, "refusals", points);
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
            if op != Op::Repair {
                check_generations(root, at);
            }
        }
        Situation::Returned { marked, .. } => {
            assert_eq!(active_release(root), was, "{at}: the old generation is active again");
            assert!(*marked && clean(), "{at}");
        }
        Situation::Active { generation } => {
            let pointer = InstallRoot::open(root).unwrap().pointer().unwrap().unwrap();
            assert_eq!(pointer.current, *generation, "{at}");
        }
        Situation::Interrupted { .. } => {
            let root = InstallRoot::open(root).unwrap();
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

/// Cuts the power at every mutation of `op`: of what was not synced, nothing, everything, or any part of it is on disk.
fn cut_everywhere(op: Op, seeds: u64) {
    let before = op.before();
    let mut disks = 0;
    for at in 1.. {
        let (_dir, root) = copy(&before.path().join("root"));
        let (faults, locked) = faulty(&root, kill(at), true);
        drop(op.run(locked));
        for seed in 0..seeds {
            let dir = fast_dir();
            let disk = dir.path().join("root");
            fs::create_dir(&disk).unwrap();
            let mut random = choices(at * 1000 + seed);
            let mut choose = |n: u32| match seed {
                0 => 0,
                1 => n.min(2) - 1,
                _ => random(n),
            };
            faults.power_cut(&disk, &mut choose).unwrap().unwrap();
            copy_tree(&root.join("data"), &disk.join("data"));
            let asked = faults.asked().pop().expect("something was asked for");
            let name = format!("{op:?}, power cut at {at} ({} {}), disk {seed}", asked.what, asked.path);
            settle(op, &disk, &name);
            disks += 1;
        }
        if !faults.is_dead() {
            told(op, "disks after a power cut", disks);
            return;
        }
    }
}

/// Stops `op` at each named point that it passes, and asserts that it passes `points`.
fn stopped_at_names(op: Op, points: &[CrashPoint]) {
    let before = op.before();
    for point in points {
        let (_dir, root) = copy(&before.path().join("root"));
        let store = FaultStore::open(&root, None, false).unwrap();
        let faults = store.faults();
        faults.stop_at(*point);
        let opened = InstallRoot::open(&root).unwrap();
        let locked = LockedRoot::open_with(opened, Box::new(store), &holder(), NO_WAIT).unwrap();
        drop(op.run(locked));
        let name = format!("{op:?} at `{point}`");
        assert!(faults.is_dead(), "{name}: it is passed");
        settle(op, &root, &name);
    }
}

macro_rules! matrix {
    ($($module:ident = $op:ident),+ $(,)?) => {
        $(mod $module {
            use super::*;

            #[test]
            fn stopped_at_every_mutation() {
                stopped_everywhere(Op::$op);
            }

            #[test]
            fn refused_at_every_mutation() {
                refused_everywhere(Op::$op);
            }

            #[test]
            fn power_cut_at_every_mutation() {
                cut_everywhere(Op::$op, 4);
            }
        })+
    };
}

matrix! {
    first_install = Install,
    first_install_refused_by_its_gate = InstallBroken,
    update = Update,
    update_refused_by_its_gate = UpdateBroken,
    back = Rollback,
    pruning = Prune,
    uninstalling = Uninstall,
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
    stopped_at_names(Op::Install, &update);
    stopped_at_names(Op::Update, &update);
    let returning = [P::Committed, P::ReturnDecided, P::Returned, P::Done];
    stopped_at_names(Op::UpdateBroken, &returning);
    stopped_at_names(Op::InstallBroken, &returning);
    stopped_at_names(Op::Rollback, &[&[P::Begun][..], &activation[..]].concat());
    stopped_at_names(Op::Prune, &[P::Begun, P::Doomed, P::Done, P::Receipted]);
    stopped_at_names(
        Op::Uninstall,
        &[P::Begun, P::Committed, P::Doomed, P::Done, P::Receipted],
    );
    stopped_at_names(
        Op::Repair,
        &[
            P::Begun,
            P::TreeStaged,
            P::Durable,
            P::Staged,
            P::Repaired,
            P::Done,
            P::Receipted,
        ],
    );
    let covered: BTreeSet<P> = [
        &update[..],
        &returning[..],
        &[P::Doomed, P::RootMade, P::Repaired, P::Pinned][..],
    ]
    .concat()
    .into_iter()
    .collect();
    let all: BTreeSet<P> = P::ALL.iter().copied().collect();
    assert_eq!(
        covered, all,
        "every point has its row here; making a root and pinning are tested in `kojibox-state`"
    );
}
