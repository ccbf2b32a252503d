//! What damage of the documents that say what is installed means for commands, and how a root gets out of it.

use std::fs;

use kojibox_installer::transaction::{
    Cause, Finding, FindingKind, PruneOptions, RepairOptions, Repaired, UninstallOptions, prune, recover, repair,
    set_journal_aside, uninstall, verify,
};
use kojibox_state::{
    CrashPoint, InstallRoot, LockedRoot,
    layout::place,
    records::Pointer,
    store::{Fault, FaultPlan, FaultStore},
};

use crate::{
    machine::{Machine, overwrite},
    reference::{check_finished, give_data},
    rig::{NO_WAIT, app, copy_tree, fast_dir, holder, launcher, plan, same, snapshot},
};

fn findings(machine: &Machine) -> Vec<Finding> {
    verify(&machine.open(), None, &machine.world.env()).unwrap().findings
}

fn repaired(machine: &Machine) -> Repaired {
    let options = RepairOptions::default();
    repair(&mut machine.locked(), &[], &options, &machine.world.env()).unwrap()
}

fn pointer(machine: &Machine) -> Pointer {
    machine.open().pointer().unwrap().unwrap()
}

#[test]
fn a_damaged_pointer_is_named_and_rebuilt_from_the_receipts() {
    let machine = Machine::having(&[1, 2]);
    let good = pointer(&machine);
    let path = place::pointer().below(&machine.root);
    let text = fs::read_to_string(&path).unwrap();
    let flipped = text
        .replace("\"current\": 2", "\"current\": 1")
        .replace("\"current\":2", "\"current\":1");
    assert_ne!(flipped, text);
    for (bytes, why) in [
        (&b"{\"schema\""[..], "could not read"),
        (flipped.as_bytes(), "the last receipt 2"),
    ] {
        overwrite(&path, bytes);
        let found = findings(&machine);
        let told = matches!(&found[..], [Finding { kind: FindingKind::Pointer(what), .. }] if what.contains(why));
        assert!(told, "{found:?}");
        assert!(repaired(&machine).pointer.unwrap().contains(why));
        assert_eq!(pointer(&machine), good);
        check_finished(&machine.root, Some(2), why);
    }
    fs::remove_file(&path).unwrap();
    assert!(repaired(&machine).pointer.unwrap().contains("generation none"));
    assert_eq!((pointer(&machine), repaired(&machine).pointer), (good, None));
    assert_eq!(machine.rollback(None, true).unwrap().to, 1);
}

#[test]
fn a_pointer_that_is_rebuilt_is_the_old_one_or_the_new_one_wherever_that_is_stopped() {
    let machine = Machine::having(&[1, 2]);
    let good = pointer(&machine);
    let path = place::pointer().below(&machine.root);
    for n in 1.. {
        overwrite(&path, b"{");
        let store = FaultStore::open(
            &machine.root,
            Some(FaultPlan {
                at: n,
                fault: Fault::Kill,
                lasting: false,
            }),
            false,
        )
        .unwrap();
        let faults = store.faults();
        let mut locked = LockedRoot::open_with(machine.open(), Box::new(store), &holder(), NO_WAIT).unwrap();
        let ended = repair(&mut locked, &[], &RepairOptions::default(), &machine.world.env());
        drop(locked);
        if !faults.is_dead() {
            assert!(ended.is_ok() && n > 3, "{n} {ended:?}");
            break;
        }
        repaired(&machine);
        assert_eq!(pointer(&machine), good, "stopped before {n}");
        check_finished(&machine.root, Some(2), "rebuilt");
    }
    overwrite(&path, b"{");
    let store = FaultStore::open(&machine.root, None, false).unwrap();
    let faults = store.faults();
    faults.stop_at(CrashPoint::Pointed);
    let mut locked = LockedRoot::open_with(machine.open(), Box::new(store), &holder(), NO_WAIT).unwrap();
    assert!(repair(&mut locked, &[], &RepairOptions::default(), &machine.world.env()).is_err());
    assert!(faults.is_dead());
    assert_eq!(pointer(&machine), good);
}

#[test]
fn a_damaged_journal_is_in_the_way_until_it_is_set_aside_and_that_is_recorded() {
    let machine = Machine::having(&[1]);
    machine.stopped(&plan(&machine.release(2)), None, Some(CrashPoint::Staged));
    lose_journal(&machine);
    machine.install(&machine.release(3)).unwrap();
    machine.prune(1);
    check_finished(&machine.root, Some(3), "after all");

    let machine = Machine::having(&[1]);
    machine.stopped(&plan(&machine.release(2)), None, Some(CrashPoint::Committed));
    lose_journal(&machine);
    check_finished(&machine.root, Some(2), "what was active then is active");
    assert_eq!(machine.rollback(None, true).unwrap().to, 1);
}

/// Damages the journal and sets it aside, stopped before every mutation and begun again.
fn lose_journal(machine: &Machine) {
    let journal = place::journal().below(&machine.root);
    let mut bytes = fs::read(&journal).unwrap();
    bytes[100] ^= 1;
    fs::write(&journal, &bytes).unwrap();
    let world = &machine.world;
    assert!(recover(&mut machine.locked(), &world.env()).is_err());
    let before = fast_dir();
    copy_tree(&machine.root, before.path());
    for at in 1.. {
        fs::remove_dir_all(&machine.root).unwrap();
        copy_tree(before.path(), &machine.root);
        let (locked, faults) = machine.killed_at(at);
        let first = set_journal_aside(&locked, "recover", &world.env());
        drop(locked);
        if faults.is_dead() {
            // What was in the journal by then is recovered, else the same command goes on.
            set_journal_aside(&machine.locked(), "recover", &world.env()).unwrap();
            recover(&mut machine.locked(), &world.env()).unwrap();
        } else {
            assert!(first.unwrap() && at > 10, "{at}");
        }
        assert_eq!(
            fs::read(machine.root.join("backups/journal")).unwrap(),
            bytes,
            "stopped at {at}"
        );
        let again = set_journal_aside(&machine.locked(), "recover", &world.env());
        assert!(!again.unwrap(), "stopped at {at}: there is nothing left to do");
        let receipt = machine.open().history().unwrap().pop().unwrap().0;
        assert!(receipt.notes[0].contains("journal"), "stopped at {at}: {receipt:?}");
        assert_eq!(findings(machine), [], "stopped at {at}");
        let ids = machine.open().generation_ids().unwrap();
        assert_eq!(ids, [1, 2], "stopped at {at}: no number is given twice");
        if !faults.is_dead() {
            return;
        }
    }
}

#[test]
fn a_damaged_record_of_an_old_generation_is_named_and_in_nobodys_way() {
    for damage in [Some(&b"{"[..]), None] {
        let machine = Machine::having(&[1, 2]);
        let record = place::generation_record(1).below(&machine.root);
        if let Some(bytes) = damage {
            overwrite(&record, bytes);
        } else {
            fs::remove_file(&record).unwrap();
            fs::write(record.with_file_name("bad.json"), "{").unwrap();
        }
        let found = findings(&machine);
        assert!(
            matches!(
                &found[..],
                [Finding {
                    kind: FindingKind::Record(_),
                    ..
                }]
            ),
            "{found:?}"
        );
        assert_eq!(repaired(&machine).left, found);
        assert!(matches!(
            machine.rollback(None, true).unwrap_err().cause(),
            Cause::State(_) | Cause::NoGeneration(1)
        ));
        machine.install(&machine.release(3)).unwrap();
        let pruned = machine.prune(2);
        assert_eq!(pruned.generations, [1]);
        check_finished(&machine.root, Some(3), "pruned");
        assert_eq!(machine.rollback(None, true).unwrap().to, 2);
        overwrite(&place::generation_record(3).below(&machine.root), b"{");
        let options = UninstallOptions {
            command: "uninstall".to_owned(),
            purge_data: true,
        };
        let done = uninstall(machine.locked(), &options, &machine.world.env()).unwrap();
        // What only the damaged record names is left, and named.
        assert!(done.left.iter().any(|path| path.contains("app-3.0.0")), "{done:?}");
        assert!(
            InstallRoot::open(&machine.root)
                .unwrap()
                .generation_ids()
                .unwrap()
                .is_empty()
        );
    }
}

#[test]
fn a_damaged_record_of_the_active_generation_stops_a_prune_and_not_a_rollback() {
    for damage in [Some(&b"{"[..]), None] {
        let machine = Machine::having(&[1, 2]);
        let record = place::generation_record(2).below(&machine.root);
        match damage {
            Some(bytes) => overwrite(&record, bytes),
            None => fs::remove_file(&record).unwrap(),
        }
        let before = snapshot(&machine.root.join("components"));
        let options = PruneOptions {
            command: "prune".to_owned(),
            keep: 1,
        };
        let refused = prune(&mut machine.locked(), &options, &machine.world.env()).unwrap_err();
        assert!(matches!(refused.cause(), Cause::State(_)), "{refused:?}");
        assert_eq!(snapshot(&machine.root.join("components")), before);
        assert_eq!(machine.rollback(None, true).unwrap().to, 1);
        // The front door is a copy of the launcher that ran.
        assert_eq!(machine.world.gate.calls()[3..], ["down 2", "up 1"]);
        // Without anything in it, the directory only keeps its number.
        let gone: &[u64] = if damage.is_some() { &[2] } else { &[] };
        let pruned = machine.prune(1);
        assert_eq!((&pruned.generations[..], pruned.trees.len()), (gone, 2));
        give_data(&machine.root);
        check_finished(&machine.root, Some(1), "back");
    }
}

#[test]
fn two_packs_may_bring_one_tree_under_one_version_or_two() {
    for version in [1, 2] {
        let machine = Machine::new();
        let mut both = plan(&machine.stick.pack(1, &[app(1), same(1), launcher(1)]));
        both.packs
            .push(machine.stick.pack_called("second", 1, &[same(version)]));
        machine.carry_out(&both).unwrap();
        assert_eq!(findings(&machine), []);
    }
}

#[cfg(unix)]
#[test]
fn where_there_are_no_modes_a_kept_tree_is_whole() {
    use std::os::unix::fs::PermissionsExt as _;
    let machine = Machine::having(&[1]);
    let everything_runs = fs::Permissions::from_mode(0o755);
    fs::set_permissions(place::install().below(&machine.root), everything_runs.clone()).unwrap();
    fs::set_permissions(machine.installed("web", "index.html"), everything_runs).unwrap();
    assert_eq!(findings(&machine), []);
    machine.install(&machine.release(2)).unwrap();
}
