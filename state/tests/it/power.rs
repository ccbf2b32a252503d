//! What a power cut may leave: every outcome of every cut, one by one.

use kojibox_state::{
    Store,
    store::{Fault, FaultPlan, FaultStore, FileMode, RealStore, compose},
};

use crate::support::{Odometer, dir, path, snapshot};

/// Runs `act` until it is stopped at its N-th mutation, for every N, and hands every disk that a cut there may leave to
/// `check`. Returns how many disks there were.
fn all_cuts(prepare: impl Fn(&dyn Store), act: impl Fn(&dyn Store), check: impl Fn(&std::path::Path, u64)) -> u64 {
    let mut disks = 0;
    for at in 1.. {
        let dir = dir();
        prepare(&RealStore::open(dir.path()).unwrap());
        let plan = FaultPlan {
            at,
            fault: Fault::Kill,
            lasting: false,
        };
        let store = FaultStore::open(dir.path(), Some(plan), true).unwrap();
        act(&store);
        let faults = store.faults();
        let mut odometer = Odometer::default();
        loop {
            let out = crate::support::dir();
            faults
                .power_cut(out.path(), &mut |n| odometer.choose(n))
                .unwrap()
                .unwrap();
            check(out.path(), at);
            disks += 1;
            if !odometer.next() {
                break;
            }
        }
        if !faults.is_dead() {
            return disks;
        }
    }
    unreachable!()
}

#[test]
fn a_replaced_document_is_the_old_or_the_new_one_after_any_cut() {
    let document = path("s/current.json");
    let write = |store: &dyn Store, text: &[u8]| compose::replace_file(store, &document, text, FileMode::Plain);
    let disks = all_cuts(
        |store| {
            compose::create_dirs(store, &path("s")).unwrap();
            write(store, b"old").unwrap();
        },
        |store| drop(write(store, b"new and longer")),
        |disk, at| {
            let found = std::fs::read(disk.join("s/current.json")).unwrap();
            assert!(
                found == b"old" || found == b"new and longer",
                "stopped at {at}: {found:?}"
            );
        },
    );
    assert!(disks > 20, "{disks} disks");
}

#[test]
fn the_model_does_lose_what_is_not_synced() {
    let careless = |store: &dyn Store| {
        let mut file = store.create_file(&path("s/new")).unwrap();
        file.write(b"new").unwrap();
        file.finish(FileMode::Plain).unwrap();
        store.replace(&path("s/new"), &path("s/doc")).unwrap();
    };
    let outcomes = std::cell::RefCell::new(std::collections::BTreeSet::new());
    let dir = dir();
    let real = RealStore::open(dir.path()).unwrap();
    compose::create_dirs(&real, &path("s")).unwrap();
    compose::write_file(&real, &path("s/doc"), b"old", FileMode::Plain).unwrap();
    let store = FaultStore::open(dir.path(), None, true).unwrap();
    careless(&store);
    let mut odometer = Odometer::default();
    loop {
        let out = crate::support::dir();
        store
            .faults()
            .power_cut(out.path(), &mut |n| odometer.choose(n))
            .unwrap()
            .unwrap();
        outcomes
            .borrow_mut()
            .insert(std::fs::read(out.path().join("s/doc")).ok());
        if !odometer.next() {
            break;
        }
    }
    let outcomes = outcomes.into_inner();
    for expected in [&b"old"[..], b"new", b"", b"n", b"\0\0\0"] {
        assert!(
            outcomes.contains(&Some(expected.to_vec())),
            "{expected:?} in {outcomes:?}"
        );
    }
}

#[test]
fn a_synced_tree_is_whole_after_any_cut() {
    let dir = dir();
    let store = FaultStore::open(dir.path(), None, true).unwrap();
    compose::create_dirs(&store, &path("a/b")).unwrap();
    compose::write_file(&store, &path("a/b/f"), b"f", FileMode::ReadOnly).unwrap();
    store.hard_link(&path("a/b/f"), &path("a/g")).unwrap();
    store.sync_tree(&kojibox_state::RootPath::ROOT).unwrap();
    store.remove_file(&path("a/g")).unwrap();
    store.sync_dir(&path("a")).unwrap();
    let out = crate::support::dir();
    store
        .faults()
        .power_cut(out.path(), &mut |_| panic!("nothing is open"))
        .unwrap()
        .unwrap();
    assert_eq!(snapshot(out.path()), snapshot(dir.path()));
}
