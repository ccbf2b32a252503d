//! Making, refusing and reading install roots.

use std::time::Duration;

use kojibox_state::{
    CrashPoint, InstallRoot, LockedRoot, StateError, foreign,
    journal::{Journal, Record},
    layout::place,
    prepare, receipts,
    store::{Fault, FaultPlan, FaultStore, RealStore},
};

use crate::support::{dir, holder, receipt};

const NOW: &str = "2026-01-01T00:00:00Z";

#[test]
fn what_belongs_to_somebody_else_is_refused_and_untouched() {
    for holds in ["thesis.odt", "state/current.json", "state/notes/x", "components/x"] {
        let dir = dir();
        let file = dir.path().join(holds);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, "mine").unwrap();
        let before = crate::support::snapshot(dir.path());
        let refused = LockedRoot::open_or_create(dir.path(), NOW, &holder("x"), Duration::ZERO);
        assert!(matches!(refused.err(), Some(StateError::Foreign { .. })), "{holds}");
        assert_eq!(crate::support::snapshot(dir.path()), before);
        assert!(matches!(
            InstallRoot::open(dir.path()),
            Err(StateError::NotARoot { .. })
        ));
    }
}

#[test]
fn empty_missing_and_littered_directories_are_fine() {
    let dir = dir();
    for name in ["empty", "a/b/missing", "littered", "with space ü"] {
        let path = dir.path().join(name);
        if name == "littered" {
            std::fs::create_dir_all(&path).unwrap();
            std::fs::write(path.join(".DS_Store"), "x").unwrap();
            std::fs::create_dir(path.join("lost+found")).unwrap();
        }
        let locked = LockedRoot::open_or_create(&path, NOW, &holder("x"), Duration::ZERO).unwrap();
        assert_eq!(locked.root().pointer().unwrap(), None);
        assert_eq!(foreign(&path).unwrap(), None, "it is ours now");
    }
    let file = dir.path().join("file");
    std::fs::write(&file, "x").unwrap();
    assert!(prepare(&file).is_err());
}

#[test]
fn a_root_that_was_never_finished_can_be_finished() {
    for at in 1.. {
        let dir = dir();
        let plan = FaultPlan {
            at,
            fault: Fault::TornKill,
            lasting: false,
        };
        let store = FaultStore::open(dir.path(), Some(plan), false).unwrap();
        let faults = store.faults();
        drop(LockedRoot::create_with(
            Box::new(store),
            NOW,
            &holder("x"),
            Duration::ZERO,
        ));
        let again = LockedRoot::open_or_create(dir.path(), NOW, &holder("x"), Duration::ZERO).unwrap();
        assert!(again.root().install().unwrap().is_some(), "stopped at {at}");
        assert!(!again.root().recovery_needed().unwrap());
        drop(again);
        if !faults.is_dead() {
            assert!(at > 5, "making a root takes more than {at} mutations");
            return;
        }
    }
}

#[test]
fn an_empty_root_dissolves_without_a_trace_wherever_it_is_stopped() {
    for at in 1.. {
        let dir = dir();
        let path = dir.path().join("root");
        let locked = LockedRoot::open_or_create(&path, NOW, &holder("x"), Duration::ZERO).unwrap();
        for txid in ["000001-00000000", "000002-00000000"] {
            let previous = receipts::last_link(locked.root().dir()).unwrap();
            let receipt = receipts::Receipt {
                previous,
                ..receipt(txid)
            };
            receipts::publish(locked.store(), &receipt).unwrap();
        }
        drop(locked);
        let plan = FaultPlan {
            at,
            fault: Fault::Kill,
            lasting: false,
        };
        let store = FaultStore::open(&path, Some(plan), false).unwrap();
        let faults = store.faults();
        let root = InstallRoot::open(&path).unwrap();
        let stopped = LockedRoot::open_with(root, Box::new(store), &holder("x"), Duration::ZERO).unwrap();
        let first = kojibox_state::dissolve(stopped);
        if !faults.is_dead() {
            assert!(first.unwrap() && !path.exists());
            return;
        }
        // What is a root still takes the next transaction, the same uninstall above all.
        let again = match LockedRoot::open(&path, &holder("x"), Duration::ZERO) {
            Ok(again) => again,
            Err(StateError::NotARoot { .. }) => {
                LockedRoot::open_or_create(&path, NOW, &holder("x"), Duration::ZERO).unwrap()
            }
            Err(error) => panic!("stopped at {at}: {error}"),
        };
        // All receipts or none: what is left of them is a chain.
        let left = receipts::history(again.root().dir()).unwrap().len();
        assert!(left == 0 || left == 2, "stopped at {at}");
        let mut journal = Journal::open(again.store(), &again.root().journal().unwrap());
        journal.append(&Record::Staged).unwrap();
        journal.clear().unwrap();
        assert!(kojibox_state::dissolve(again).unwrap(), "stopped at {at}");
        assert!(!path.exists());
    }
}

#[test]
fn a_journal_that_is_set_aside_is_at_one_of_two_places_wherever_that_is_stopped() {
    for at in 1.. {
        let dir = dir();
        drop(LockedRoot::open_or_create(dir.path(), NOW, &holder("x"), Duration::ZERO).unwrap());
        let (journal, aside) = (dir.path().join("state/journal"), dir.path().join("backups/journal"));
        std::fs::write(&journal, "damaged\n").unwrap();
        let plan = FaultPlan {
            at,
            fault: Fault::Kill,
            lasting: false,
        };
        let store = FaultStore::open(dir.path(), Some(plan), false).unwrap();
        let faults = store.faults();
        let root = InstallRoot::open(dir.path()).unwrap();
        let stopped = LockedRoot::open_with(root, Box::new(store), &holder("x"), Duration::ZERO).unwrap();
        let done = stopped.set_journal_aside().is_ok();
        drop(stopped);
        let again = LockedRoot::open(dir.path(), &holder("x"), Duration::ZERO).unwrap();
        let moved = std::fs::read(&aside).is_ok_and(|bytes| bytes == b"damaged\n");
        let kept = std::fs::read(&journal).unwrap() == b"damaged\n";
        assert!(moved != kept, "stopped at {at}");
        assert_eq!(
            again.root().journal().is_ok_and(|found| found.is_clean()),
            moved,
            "stopped at {at}"
        );
        if !faults.is_dead() {
            assert!(done && at > 5);
            std::fs::write(&journal, "again\n").unwrap();
            assert_eq!(again.set_journal_aside().unwrap().as_str(), "backups/journal.1");
            return;
        }
    }
}

#[test]
fn the_named_points_of_a_root_are_passed_and_a_stop_there_loses_nothing() {
    for point in [CrashPoint::RootMade, CrashPoint::JournalAside, CrashPoint::Pinned] {
        let dir = dir();
        if point != CrashPoint::RootMade {
            let made = LockedRoot::open_or_create(dir.path(), NOW, &holder("x"), Duration::ZERO).unwrap();
            std::fs::create_dir_all(place::generation(1).below(dir.path())).unwrap();
            drop(made);
        }
        let store = FaultStore::open(dir.path(), None, false).unwrap();
        let faults = store.faults();
        faults.stop_at(point);
        let open = |store| {
            let root = InstallRoot::open(dir.path()).unwrap();
            LockedRoot::open_with(root, Box::new(store), &holder("x"), Duration::ZERO).unwrap()
        };
        let ended = match point {
            CrashPoint::RootMade => {
                let made = LockedRoot::create_with(Box::new(store), NOW, &holder("x"), Duration::ZERO);
                made.map(drop)
            }
            CrashPoint::Pinned => open(store).pin(1, Some(NOW)).map(drop),
            _ => open(store).set_journal_aside().map(drop),
        };
        assert!(ended.is_err() && faults.is_dead(), "{point:?}: {ended:?}");
        let again = LockedRoot::open_or_create(dir.path(), NOW, &holder("x"), Duration::ZERO).unwrap();
        assert!(!again.root().recovery_needed().unwrap(), "{point:?}");
        let pinned = again.root().pin_mark(1).unwrap().is_some();
        assert_eq!(pinned, point == CrashPoint::Pinned);
    }
}

#[test]
fn who_waits_for_a_root_that_dissolves_is_told_that_there_is_none() {
    let dir = dir();
    let path = dir.path().join("root");
    let first = LockedRoot::open_or_create(&path, NOW, &holder("x"), Duration::ZERO).unwrap();
    let waits = std::thread::spawn({
        let path = path.clone();
        move || LockedRoot::open(&path, &holder("second"), Duration::from_secs(20)).map(drop)
    });
    // Long enough to have it waiting; if it is slower, it finds no root at once, which is told the same way.
    std::thread::sleep(Duration::from_millis(300));
    kojibox_state::dissolve(first).unwrap();
    let told = waits.join().unwrap();
    assert!(matches!(told, Err(StateError::NotARoot { .. })), "{told:?}");
}

#[test]
fn what_a_killed_probe_left_does_not_make_a_directory_foreign() {
    let dir = dir();
    std::fs::create_dir(dir.path().join(".kojibox-probe-Ab12")).unwrap();
    std::fs::write(dir.path().join(".kojibox-probe-Ab12/probe"), "probe").unwrap();
    drop(LockedRoot::open_or_create(dir.path(), NOW, &holder("x"), Duration::ZERO).unwrap());
    InstallRoot::open(dir.path()).unwrap();
}

#[test]
fn newer_documents_are_refused_and_larger_ones_not_read() {
    let dir = dir();
    drop(LockedRoot::open_or_create(dir.path(), NOW, &holder("x"), Duration::ZERO).unwrap());
    let root = InstallRoot::open(dir.path()).unwrap();
    let pointer = |text: &str| std::fs::write(dir.path().join("state/current.json"), text).unwrap();
    pointer(r#"{"schema":"kojibox.pointer/1","current":3,"previous":null,"confirmed":true,"txid":"t","later":1}"#);
    assert_eq!(root.pointer().unwrap().unwrap().current, 3, "an addition is ignored");
    pointer(r#"{"schema":"kojibox.pointer/2","current":3}"#);
    assert!(matches!(root.pointer(), Err(StateError::Schema { .. })));
    pointer(r#"{"schema":"kojibox.poinuer/1","current":3,"previous":null,"confirmed":true,"txid":"t"}"#);
    assert!(matches!(root.pointer(), Err(StateError::Document { .. })));
    pointer("{");
    assert!(matches!(root.pointer(), Err(StateError::Document { .. })));
    pointer(&" ".repeat(5000));
    assert!(matches!(root.pointer(), Err(StateError::Store(_))));
    assert!(RealStore::open(dir.path().join("no")).is_err());
}
