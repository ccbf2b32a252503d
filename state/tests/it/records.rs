//! Receipts follow one another; floors and pins only grow.

use std::{collections::BTreeMap, time::Duration};

use kojibox_signing::Digest;
use kojibox_state::{
    InstallRoot, LockedRoot, RootPath, StateError,
    doc::Versioned as _,
    layout::place,
    receipts,
    records::{Floors, PackFloor},
    store::{Fault, FaultPlan, FaultStore, compose},
    trust,
};
use tempfile::TempDir;

use crate::support::{dir, holder, receipt};

fn root() -> (TempDir, LockedRoot) {
    let dir = dir();
    let locked = LockedRoot::open_or_create(dir.path(), "2026-01-01T00:00:00Z", &holder("x"), Duration::ZERO).unwrap();
    (dir, locked)
}

fn three_receipts(locked: &LockedRoot) -> Vec<String> {
    let dir = locked.root().dir();
    (0..3)
        .map(|_| {
            let txid = receipts::next_txid(dir, None).unwrap();
            let mut next = receipt(&txid);
            next.previous = receipts::last_link(dir).unwrap();
            receipts::publish(locked.store(), &next).unwrap();
            txid
        })
        .collect()
}

#[test]
fn receipts_are_numbered_and_chained() {
    let (_dir, locked) = root();
    let txids = three_receipts(&locked);
    let history = locked.root().history().unwrap();
    assert_eq!(history.iter().map(|(r, _)| r.txid.clone()).collect::<Vec<_>>(), txids);
    for (i, txid) in txids.iter().enumerate() {
        assert_eq!(receipts::number_of(txid), Some(i as u64 + 1));
    }
    let next = receipts::next_txid(locked.root().dir(), Some("000009-00000000")).unwrap();
    assert_eq!(
        receipts::number_of(&next),
        Some(10),
        "a transaction in the journal counts too"
    );
}

#[test]
fn a_changed_missing_or_swapped_receipt_breaks_the_chain() {
    let damage: [fn(&TempDir, &[String]); 3] = [
        |dir, txids| {
            let path = dir.path().join(format!("state/receipts/{}.json", txids[0]));
            let text = std::fs::read_to_string(&path).unwrap().replace("install", "1nstall");
            std::fs::remove_file(&path).unwrap();
            std::fs::write(&path, text).unwrap();
        },
        |dir, txids| std::fs::remove_file(dir.path().join(format!("state/receipts/{}.json", txids[1]))).unwrap(),
        |dir, txids| {
            let at = |i: usize| dir.path().join(format!("state/receipts/{}.json", txids[i]));
            std::fs::rename(at(0), at(2)).unwrap();
        },
    ];
    for (i, hurt) in damage.iter().enumerate() {
        let (dir, locked) = root();
        let txids = three_receipts(&locked);
        hurt(&dir, &txids);
        let told = locked.root().history();
        assert!(
            matches!(told, Err(StateError::Chain { .. } | StateError::Document { .. })),
            "damage {i}"
        );
    }
}

fn floors(not_before: &str, sequence: u64, min_sequence: u64, digest: &[u8]) -> Floors {
    let digests = BTreeMap::from([("linux-x86_64".to_owned(), Digest::of(digest))]);
    Floors {
        schema: Floors::SCHEMA.to_owned(),
        not_before: not_before.to_owned(),
        packs: BTreeMap::from([(
            "0123456789abcdef/demo".to_owned(),
            PackFloor {
                sequence,
                min_sequence,
                digests,
            },
        )]),
        revoked: [Digest::of(digest)].into(),
    }
}

#[test]
fn floors_never_sink() {
    let (_dir, locked) = root();
    trust::raise(locked.store(), &floors("2026-05-01T00:00:00Z", 20, 3, b"high")).unwrap();
    trust::raise(locked.store(), &floors("2026-02-01T00:00:00Z", 10, 5, b"low")).unwrap();
    let now = locked.root().floors().unwrap().unwrap();
    let pack = &now.packs["0123456789abcdef/demo"];
    assert_eq!((pack.sequence, pack.min_sequence), (20, 5));
    assert_eq!(pack.digests["linux-x86_64"], Digest::of(b"high"));
    assert_eq!(now.not_before, "2026-05-01T00:00:00Z");
    assert_eq!(now.revoked.len(), 2);
}

#[test]
fn pinned_roots_stay_as_they_are() {
    let (_dir, locked) = root();
    let id = "0123456789abcdef";
    trust::pin(locked.store(), id, &[(1, b"one".to_vec())]).unwrap();
    trust::pin(locked.store(), id, &[(1, b"another".to_vec()), (2, b"two".to_vec())]).unwrap();
    let roots = trust::roots(locked.root().dir(), id).unwrap();
    assert_eq!(roots, [(1, b"one".to_vec()), (2, b"two".to_vec())]);
    assert_eq!(trust::publishers(locked.root().dir()).unwrap(), [id]);
    assert_eq!(trust::roots(locked.root().dir(), "../../../etc").unwrap(), []);
    assert!(trust::unpin(locked.store(), id).unwrap());
    assert_eq!(trust::publishers(locked.root().dir()).unwrap(), Vec::<String>::new());
}

/// A shorter chain could count keys that a later root took back, so a stopped removal leaves all of it or nothing.
#[test]
fn a_publisher_is_trusted_wholly_or_not_at_all() {
    let id = "0123456789abcdef";
    for at in 1.. {
        let (dir, locked) = root();
        trust::pin(locked.store(), id, &[(1, b"one".to_vec()), (2, b"two".to_vec())]).unwrap();
        let plan = FaultPlan {
            at,
            fault: Fault::Kill,
            lasting: false,
        };
        let store = FaultStore::open(dir.path(), Some(plan), false).unwrap();
        let done = trust::unpin(&store, id);
        let left = trust::roots(locked.root().dir(), id).unwrap().len();
        assert!([0, 2].contains(&left), "{left} documents after a stop at {at}");
        if done.is_ok() {
            assert!(at > 4);
            return;
        }
        assert_eq!(trust::unpin(locked.store(), id).unwrap(), left == 2);
        let names = locked
            .root()
            .dir()
            .list(&RootPath::new("state/trust").unwrap())
            .unwrap();
        assert!(names.is_empty(), "{names:?}");
    }
}

#[test]
fn a_pin_is_there_or_not() {
    let pinned = |locked: &LockedRoot| locked.root().pin_mark(7).unwrap().is_some();
    let open = |path: &std::path::Path, at: Option<u64>| {
        let plan = at.map(|at| FaultPlan {
            at,
            fault: Fault::Kill,
            lasting: false,
        });
        let store = FaultStore::open(path, plan, false).unwrap();
        let faults = store.faults();
        let root = InstallRoot::open(path).unwrap();
        let locked = LockedRoot::open_with(root, Box::new(store), &holder("x"), Duration::ZERO).unwrap();
        (locked, faults)
    };
    for (before, after) in [
        (None, Some("2026-01-01T00:00:00Z")),
        (Some("2026-01-01T00:00:00Z"), None),
    ] {
        for at in 1.. {
            let (dir, locked) = root();
            compose::create_dirs(locked.store(), &place::generation(7)).unwrap();
            locked.pin(7, before).unwrap();
            drop(locked);
            let (locked, faults) = open(dir.path(), Some(at));
            let ended = locked.pin(7, after);
            drop(locked);
            let (locked, _) = open(dir.path(), None);
            if !faults.is_dead() {
                assert!(ended.unwrap() && pinned(&locked) == after.is_some() && at > 1);
                assert!(!locked.pin(7, after).unwrap(), "once is enough");
                break;
            }
            assert!(ended.unwrap_err().is_killed(), "stopped at {at}");
            locked.pin(7, after).unwrap();
            assert_eq!(pinned(&locked), after.is_some(), "repeated after a stop at {at}");
        }
    }
}
