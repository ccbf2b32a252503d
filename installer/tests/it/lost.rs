//! Lost and damaged documents where the one that would help is not there either: every root has a way on.

use std::fs;

use kojibox_installer::transaction::{
    FindingKind, RepairOptions, UninstallOptions, recover, repair, set_journal_aside, uninstall, verify,
};
use kojibox_state::{CrashPoint, layout::place, receipts, records::Pointer};

use crate::{
    machine::{Machine, overwrite},
    reference::{active_release, check_finished, check_generations, check_whole, give_data},
    rig::{copy_tree, fast_dir, plan},
};

fn pointer(machine: &Machine) -> Pointer {
    machine.open().pointer().unwrap().unwrap()
}

fn repaired(machine: &Machine) -> Option<String> {
    let options = RepairOptions::default();
    let done = repair(&mut machine.locked(), &[], &options, &machine.world.env());
    done.unwrap().pointer
}

fn kinds(machine: &Machine) -> Vec<FindingKind> {
    let found = verify(&machine.open(), None, &machine.world.env()).unwrap().findings;
    found.into_iter().map(|f| f.kind).collect()
}

fn newest_receipt(machine: &Machine) -> std::path::PathBuf {
    let newest = receipts::txids(machine.open().dir()).unwrap().pop().unwrap();
    place::receipt(&newest).below(&machine.root)
}

fn removed(machine: &Machine) {
    let options = UninstallOptions {
        command: "uninstall".to_owned(),
        purge_data: false,
    };
    uninstall(machine.locked(), &options, &machine.world.env()).unwrap();
}

#[test]
fn the_only_generation_without_its_record_is_uninstalled_and_installed_again() {
    for damage in [Some(&b"{"[..]), None] {
        let machine = Machine::having(&[1]);
        let record = place::generation_record(1).below(&machine.root);
        match damage {
            Some(bytes) => overwrite(&record, bytes),
            None => fs::remove_file(&record).unwrap(),
        }
        removed(&machine);
        // The front door is a copy of the launcher that ran.
        assert_eq!(machine.world.gate.calls().last().unwrap(), "down 1");
        machine.install(&machine.release(1)).unwrap();
        give_data(&machine.root);
        check_generations(&machine.root, "installed again");
        assert_eq!(active_release(&machine.root), Some(1));
    }
}

#[test]
fn a_receipt_that_is_damaged_or_lost_is_in_nobodys_way_and_moves_no_pointer() {
    for damage in [Some(&b"{"[..]), None] {
        let machine = Machine::having(&[1, 2, 3]);
        let (good, receipt) = (pointer(&machine), newest_receipt(&machine));
        match damage {
            Some(bytes) => overwrite(&receipt, bytes),
            None => fs::remove_file(&receipt).unwrap(),
        }
        assert_eq!(kinds(&machine), []);
        assert!(machine.open().history().is_err(), "history names it");
        assert_eq!((repaired(&machine), pointer(&machine)), (None, good.clone()));
        // Both at once: what no receipt tells, the generation does that it made. Its gate passes anew at the next start.
        overwrite(&place::pointer().below(&machine.root), b"{");
        assert!(matches!(&kinds(&machine)[..], [FindingKind::Pointer(_)]));
        assert!(repaired(&machine).is_some());
        let rebuilt = Pointer {
            confirmed: false,
            ..good
        };
        assert_eq!(pointer(&machine), rebuilt);
        assert_eq!(machine.rollback(None, true).unwrap().to, 2);
        removed(&machine);
        assert_eq!(active_release(&machine.root), None);
    }
}

#[test]
fn an_old_receipt_that_is_damaged_keeps_no_pointer_from_being_rebuilt() {
    let machine = Machine::having(&[1, 2]);
    let good = pointer(&machine);
    let oldest = receipts::txids(machine.open().dir()).unwrap().swap_remove(0);
    overwrite(&place::receipt(&oldest).below(&machine.root), b"{");
    overwrite(&place::pointer().below(&machine.root), b"{");
    assert!(repaired(&machine).is_some());
    assert_eq!(pointer(&machine), good);
}

/// A pointer that cannot be read, wherever an update or a rollback was stopped.
#[test]
fn a_pointer_that_is_damaged_under_a_transaction_is_written_again_from_the_journal() {
    let machine = Machine::having(&[1, 2]);
    let before = fast_dir();
    copy_tree(&machine.root, before.path());
    for at in 1.. {
        fs::remove_dir_all(&machine.root).unwrap();
        copy_tree(before.path(), &machine.root);
        let (mut locked, faults) = machine.killed_at(at);
        let update = plan(&machine.release(3));
        drop(kojibox_installer::transaction::install(
            &mut locked,
            &update,
            &machine.world.env(),
        ));
        drop(locked);
        if !faults.is_dead() {
            assert!(at > 50, "{at}");
            return;
        }
        let was = pointer(&machine).current;
        overwrite(&place::pointer().below(&machine.root), b"{");
        if !machine.open().recovery_needed().unwrap() {
            assert!(repaired(&machine).is_some(), "stopped at {at}");
            assert_eq!(pointer(&machine).current, was, "stopped at {at}");
            continue;
        }
        recover(&mut machine.locked(), &machine.world.env()).unwrap_or_else(|e| panic!("stopped at {at}: {e:?}"));
        check_whole(&machine.root, &format!("stopped at {at}"));
        let now = pointer(&machine).current;
        // Never back: where the new generation was active, it is.
        assert!(
            now == was || (was, now) == (2, 3),
            "stopped at {at}: {was} was active, now {now}"
        );
        if now == 3 && was == 2 {
            assert!(
                !pointer(&machine).confirmed,
                "stopped at {at}: the next start is the gate"
            );
        }
        assert_eq!(machine.rollback(None, true).unwrap().to, if now == 3 { 2 } else { 1 });
    }
}

/// A broken line before the whole one of a transaction that has just begun.
fn damage_journal(machine: &Machine) {
    let journal = place::journal().below(&machine.root);
    let whole = fs::read(&journal).unwrap();
    fs::write(&journal, [b"kbxj1 broken\n", &whole[..]].concat()).unwrap();
}

#[test]
fn a_journal_that_is_set_aside_is_recorded_also_if_its_transaction_had_made_nothing() {
    let machine = Machine::having(&[1]);
    machine.stopped(&plan(&machine.release(2)), None, Some(CrashPoint::Begun));
    damage_journal(&machine);
    let before = fast_dir();
    copy_tree(&machine.root, before.path());
    for at in 1.. {
        fs::remove_dir_all(&machine.root).unwrap();
        copy_tree(before.path(), &machine.root);
        let (locked, faults) = machine.killed_at(at);
        if at == 1 {
            faults.stop_at(CrashPoint::JournalAside);
        }
        drop(set_journal_aside(&locked, "recover", &machine.world.env()));
        drop(locked);
        let dead = faults.is_dead();
        set_journal_aside(&machine.locked(), "recover", &machine.world.env()).unwrap();
        recover(&mut machine.locked(), &machine.world.env()).unwrap();
        let notes = machine.open().history().unwrap().pop().unwrap().0.notes;
        assert!(notes[0].contains("backups/journal"), "stopped at {at}: {notes:?}");
        check_finished(&machine.root, Some(1), &format!("stopped at {at}"));
        if !dead {
            assert!(at > 5, "{at}");
            return;
        }
    }
}

#[test]
fn generations_whose_receipts_are_lost_outlive_a_journal_that_is_set_aside() {
    let machine = Machine::having(&[1, 2, 3]);
    machine.rollback(Some(1), true).unwrap();
    for txid in receipts::txids(machine.open().dir()).unwrap().iter().take(2) {
        fs::remove_file(place::receipt(txid).below(&machine.root)).unwrap();
    }
    // Nothing is damaged: nothing is done.
    assert!(!set_journal_aside(&machine.locked(), "recover", &machine.world.env()).unwrap());
    machine.stopped(&plan(&machine.release(4)), None, Some(CrashPoint::Begun));
    damage_journal(&machine);
    assert!(set_journal_aside(&machine.locked(), "recover", &machine.world.env()).unwrap());
    assert_eq!(machine.open().generation_ids().unwrap(), [1, 2, 3]);
}

#[test]
fn what_a_stopped_pin_leaves_is_no_generation() {
    let machine = Machine::having(&[1, 2]);
    machine.rollback(None, true).unwrap();
    let pin = place::generation_pin(2).below(&machine.root);
    fs::write(pin.with_file_name("pin.json.new"), "{").unwrap();
    assert_eq!(machine.prune(1).generations, [2]);
    assert_eq!(kinds(&machine), []);
    assert_eq!(machine.prune(1).generations, [0_u64; 0]);
    removed(&machine);
    assert!(!machine.root.join("generations").exists());
}
