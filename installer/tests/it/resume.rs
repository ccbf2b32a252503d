//! What is kept of an interrupted attempt: inside a large file, on a full volume, and what is told of it.

use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use kojibox_installer::{
    plan::{Env, Observer, PlannedPack, Space},
    transaction::{Situation, install, recover},
};
use kojibox_state::{
    InstallRoot, LockedRoot,
    store::{Fault, FaultPlan, FaultStore, Refusal, faults::Asked},
};

use crate::{
    machine::Machine,
    reference::{check_finished, give_data},
    rig::{Tree, holder, launcher, noise, plan, snapshot},
};

/// Bytes of the one large file, which has 32 frames of its own.
const BIG: usize = 2 << 20;

fn pack(machine: &Machine) -> PlannedPack {
    let tree = Tree::new("app", "1.0.0")
        .file("a.txt", 0o644, b"small".to_vec())
        .file("big.bin", 0o755, noise(3, BIG));
    machine.stick.pack(1, &[tree, launcher(1)])
}

/// Keeps what it is told of a resumed attempt.
#[derive(Default)]
struct Told {
    kept: AtomicU64,
    to_read: AtomicU64,
}

impl Observer for Told {
    fn phase(&self, _: kojibox_installer::plan::Phase, _: Option<u64>) {}
    fn add(&self, _: u64) {}
    fn note(&self, _: &str) {}
    fn resumed(&self, kept: u64, to_read: u64) {
        self.kept.store(kept, Ordering::Relaxed);
        self.to_read.store(to_read, Ordering::Relaxed);
    }
}

/// Runs the install with a fault; gives the mutations that there were, and what is said of the machine.
fn faulty(machine: &Machine, pack: &PlannedPack, fault: Option<FaultPlan>) -> (Vec<Asked>, Option<Situation>) {
    drop(machine.locked());
    let store = FaultStore::open(&machine.root, fault, false).unwrap();
    let faults = store.faults();
    let root = InstallRoot::open(&machine.root).unwrap();
    let mut locked = LockedRoot::open_with(root, Box::new(store), &holder(), crate::rig::NO_WAIT).unwrap();
    let ended = install(&mut locked, &plan(pack), &machine.world.env());
    (faults.asked(), ended.err().map(|e| e.situation().clone()))
}

/// The mutation that writes the last bytes of the large file.
fn last_write(pack: &PlannedPack) -> u64 {
    let machine = Machine::new();
    let asked = faulty(&machine, pack, None).0;
    let is_write = |a: &Asked| a.what == "write" && a.path.to_string().ends_with("big.bin");
    asked.iter().rposition(is_write).expect("the large file is written") as u64 + 1
}

#[test]
fn a_large_file_goes_on_where_it_was_cut() {
    let machine = Machine::new();
    let pack = pack(&machine);
    let at = last_write(&pack) - 3;
    let fault = FaultPlan {
        at,
        fault: Fault::TornKill,
        lasting: false,
    };
    faulty(&machine, &pack, Some(fault));
    let recovered = recover(&mut machine.locked(), &machine.world.env()).unwrap();
    assert!(recovered.kept > (BIG as u64) * 8 / 10, "{recovered:?}");
    let told = Told::default();
    let env = Env {
        observer: &told,
        ..machine.world.env()
    };
    let done = install(&mut machine.locked(), &plan(&pack), &env).unwrap();
    assert!(done.bytes.read * 100 <= BIG as u64 * 15, "{:?}", done.bytes);
    assert_eq!(told.kept.into_inner(), done.bytes.resumed);
    assert_eq!(told.to_read.into_inner(), done.bytes.read);
    give_data(&machine.root);
    check_finished(&machine.root, Some(1), "gone on inside a file");
}

#[test]
fn a_stop_anywhere_in_a_resumed_attempt_is_harmless() {
    let publisher = Machine::new();
    let pack = pack(&publisher);
    let cut = last_write(&pack) - 3;
    for at in (1..).step_by(2) {
        let machine = Machine::new();
        for at in [cut, at] {
            let fault = FaultPlan {
                at,
                fault: Fault::TornKill,
                lasting: false,
            };
            let (asked, _) = faulty(&machine, &pack, Some(fault));
            if (asked.len() as u64) < at {
                give_data(&machine.root);
                check_finished(&machine.root, Some(1), "not stopped");
                assert!(at > 20);
                return;
            }
        }
        machine.install(&pack).unwrap();
        give_data(&machine.root);
        check_finished(&machine.root, Some(1), &format!("stopped at {at} of a resumed attempt"));
    }
}

/// A volume of 1 GiB, of which everything is taken but what staging has given back.
#[expect(clippy::unnecessary_wraps, reason = "it stands for a measurement that can fail")]
fn full(root: &Path) -> std::io::Result<Space> {
    let files = snapshot(&root.join("staging")).into_values().flatten();
    let staged: u64 = files.map(|bytes| bytes.len() as u64).sum();
    let (floor, kept) = (64_u64 << 20, 1_u64 << 20);
    Ok(Space {
        free: (floor + kept).saturating_sub(staged),
        total: 1 << 30,
    })
}

#[test]
fn a_full_volume_gets_its_room_and_the_rest_is_kept() {
    let mut machine = Machine::new();
    machine.world.space = full;
    let pack = pack(&machine);
    let fault = FaultPlan {
        at: last_write(&pack),
        fault: Fault::Refused(Refusal::NoSpace),
        lasting: false,
    };
    let (_, situation) = faulty(&machine, &pack, Some(fault));
    let Some(Situation::Undone { kept, .. }) = situation else {
        panic!("{situation:?}");
    };
    assert!(kept <= 1 << 20 && kept > 900_000, "{kept} bytes are kept");
    let done = machine.install(&pack).unwrap();
    assert!(done.bytes.resumed + (128 << 10) > kept, "{:?} of {kept}", done.bytes);
    give_data(&machine.root);
    check_finished(&machine.root, Some(1), "gone on after a full volume");
}

/// Files that a staged tree shares with an installed one are not staging's to cut, not even for the superuser.
#[test]
fn a_full_volume_costs_no_installed_file_a_byte() {
    let tree = |version: &str, seed| {
        Tree::new("app", version)
            .file("big.bin", 0o755, noise(3, BIG))
            .file("zz/new.bin", 0o644, noise(seed, 64 << 10))
    };
    let updating = |fault: Option<u64>| {
        let mut machine = Machine::new();
        machine.world.space = full;
        machine
            .install(&machine.stick.pack(1, &[tree("1.0.0", 4), launcher(1)]))
            .unwrap();
        let before = snapshot(&machine.root.join("components"));
        let next = machine.stick.pack(2, &[tree("2.0.0", 5), launcher(2)]);
        let fault = fault.map(|at| FaultPlan {
            at,
            fault: Fault::Refused(Refusal::NoSpace),
            lasting: false,
        });
        let (asked, situation) = faulty(&machine, &next, fault);
        let after = snapshot(&machine.root.join("components"));
        (asked, situation, before, after)
    };
    let is_new = |a: &Asked| a.what == "write" && a.path.to_string().ends_with("zz/new.bin");
    let asked = updating(None).0;
    let at = asked.iter().rposition(is_new).expect("the new file is written") as u64 + 1;
    let (_, situation, before, after) = updating(Some(at));
    assert!(matches!(situation, Some(Situation::Undone { .. })), "{situation:?}");
    assert!(before == after, "an installed file was cut");
}

#[test]
fn a_quota_gets_everything_back() {
    let mut machine = Machine::new();
    machine.world.space = |_| {
        Ok(Space {
            free: 1 << 40,
            total: 1 << 41,
        })
    };
    let pack = pack(&machine);
    let fault = FaultPlan {
        at: last_write(&pack),
        fault: Fault::Refused(Refusal::Quota),
        lasting: false,
    };
    let (_, situation) = faulty(&machine, &pack, Some(fault));
    assert!(
        matches!(situation, Some(Situation::Undone { kept: 0, .. })),
        "{situation:?}"
    );
    assert!(
        snapshot(&machine.root.join("staging"))
            .into_values()
            .all(|b| b.is_none())
    );
}
