//! Each mutation does what it says, and stays inside the root.

use std::io::ErrorKind;

use kojibox_state::{
    Store, StoreError,
    store::{Fault, FaultPlan, FaultStore, FileMode, Kind, RealStore, Refusal, compose},
};

use crate::support::{dir, path, snapshot};

fn kind(result: Result<impl Sized, StoreError>) -> ErrorKind {
    result
        .err()
        .expect("must be refused")
        .kind()
        .expect("by the file system")
}

#[test]
fn files_are_made_once_and_never_replaced_by_accident() {
    let dir = dir();
    let store = RealStore::open(dir.path()).unwrap();
    compose::write_file(&store, &path("a"), b"one", FileMode::ReadOnly).unwrap();
    assert_eq!(kind(store.create_file(&path("a"))), ErrorKind::AlreadyExists);
    compose::write_file(&store, &path("b"), b"two", FileMode::Plain).unwrap();
    assert_eq!(kind(store.rename(&path("b"), &path("a"))), ErrorKind::AlreadyExists);
    store.create_dir(&path("d")).unwrap();
    store.create_dir(&path("e")).unwrap();
    assert_eq!(kind(store.rename(&path("d"), &path("e"))), ErrorKind::AlreadyExists);
    store.replace(&path("b"), &path("a")).unwrap();
    assert_eq!(store.root().read(&path("a"), 10).unwrap().unwrap(), b"two");
    assert_eq!(kind(store.root().read(&path("a"), 2)), ErrorKind::FileTooLarge);
}

#[test]
fn everything_of_a_read_only_tree_can_be_removed_again() {
    let dir = dir();
    let store = RealStore::open(dir.path()).unwrap();
    compose::create_dirs(&store, &path("t/x/y")).unwrap();
    compose::write_file(&store, &path("t/x/y/f"), b"f", FileMode::Program).unwrap();
    let stat = store.root().stat(&path("t/x/y/f")).unwrap().unwrap();
    assert_ne!(stat.executable, Some(false));
    assert!(compose::remove_tree(&store, &path("t")).unwrap());
    assert!(snapshot(dir.path()).is_empty());
}

#[test]
fn bytes_that_are_finished_or_shared_are_never_cut() {
    let dir = dir();
    let store = RealStore::open(dir.path()).unwrap();
    compose::write_file(&store, &path("journal"), b"12345", FileMode::Plain).unwrap();
    store.truncate(&path("journal"), 2).unwrap();
    assert_eq!(store.root().read(&path("journal"), 10).unwrap().unwrap(), b"12");
    compose::write_file(&store, &path("finished"), b"12345", FileMode::ReadOnly).unwrap();
    store.hard_link(&path("journal"), &path("other")).unwrap();
    for name in ["finished", "journal", "other"] {
        let refused = store.truncate(&path(name), 1);
        assert!(refused.is_err() || cfg!(windows) && name != "finished", "{name}");
    }
}

#[cfg(unix)]
mod unix {
    use std::{
        ffi::OsStr,
        os::unix::{
            ffi::OsStrExt as _,
            fs::{PermissionsExt as _, symlink},
        },
    };

    use super::*;

    #[test]
    fn names_that_no_root_has_are_removed_too() {
        let (dir, outside) = (dir(), dir());
        std::fs::write(outside.path().join("mine"), "m").unwrap();
        let store = RealStore::open(dir.path()).unwrap();
        let odd = [
            OsStr::new("1700:2,S"),
            OsStr::new("a\\b"),
            OsStr::from_bytes(b"\xff\xfe"),
        ];
        for top in ["temp", "tree"] {
            for name in odd {
                let below = dir.path().join(top).join("svc").join(name);
                std::fs::create_dir_all(&below).unwrap();
                std::fs::write(below.join(name), "x").unwrap();
                symlink(outside.path(), below.join("away")).unwrap();
            }
        }
        store
            .remove_all(&path("temp").parent().unwrap(), OsStr::new("temp"))
            .unwrap();
        assert!(compose::remove_tree(&store, &path("tree")).unwrap());
        assert!(snapshot(dir.path()).is_empty());
        assert_eq!(std::fs::read(outside.path().join("mine")).unwrap(), b"m");
    }

    #[test]
    fn below_a_file_or_a_link_there_is_nothing() {
        let dir = dir();
        std::fs::write(dir.path().join("file"), "f").unwrap();
        symlink(".", dir.path().join("link")).unwrap();
        symlink(OsStr::from_bytes(b"\xff"), dir.path().join("odd")).unwrap();
        let store = RealStore::open(dir.path()).unwrap();
        for below in ["file/x", "link/file", "link/x/y"] {
            assert_eq!(store.root().stat(&path(below)).unwrap(), None, "{below}");
        }
        assert_eq!(store.root().read_link(&path("odd")).unwrap(), None);
        assert_eq!(store.root().read_link(&path("link")).unwrap().as_deref(), Some("."));
    }

    #[test]
    fn no_link_is_followed_on_the_way_or_at_the_end() {
        let (dir, outside) = (dir(), dir());
        std::fs::write(outside.path().join("secret"), "s").unwrap();
        symlink(outside.path(), dir.path().join("way")).unwrap();
        symlink(outside.path().join("secret"), dir.path().join("end")).unwrap();
        let store = RealStore::open(dir.path()).unwrap();
        assert!(store.create_file(&path("way/planted")).is_err());
        assert!(store.create_dir(&path("way/planted")).is_err());
        assert!(store.root().open_file(&path("way/secret")).is_err());
        assert!(store.root().open_file(&path("end")).is_err());
        assert!(store.append(&path("end"), b"x").is_err());
        assert!(store.root().list(&path("way")).is_err());
        assert_eq!(store.root().stat(&path("end")).unwrap().unwrap().kind, Kind::Link);
        compose::remove_tree(&store, &path("way")).unwrap();
        assert_eq!(snapshot(outside.path()), [("secret".to_owned(), Some(b"s".to_vec()))]);
    }

    #[test]
    fn finished_files_have_exactly_their_mode() {
        let dir = dir();
        let store = RealStore::open(dir.path()).unwrap();
        for (name, mode) in [
            ("a", FileMode::Plain),
            ("b", FileMode::ReadOnly),
            ("c", FileMode::Program),
            ("d", FileMode::FrontDoor),
        ] {
            compose::write_file(&store, &path(name), b"x", mode).unwrap();
            let on_disk = std::fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
            assert_eq!(on_disk & 0o7777, mode.bits(), "{name}");
        }
        let unfinished = store.create_file(&path("u")).unwrap();
        drop(unfinished);
        let mode = std::fs::metadata(dir.path().join("u")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600, "what is not finished is private");
    }

    #[test]
    fn a_renamed_directory_is_found_under_its_new_name_only() {
        let dir = dir();
        let store = RealStore::open(dir.path()).unwrap();
        store.create_dir(&path("a")).unwrap();
        compose::write_file(&store, &path("a/f"), b"1", FileMode::Plain).unwrap();
        store.rename(&path("a"), &path("b")).unwrap();
        store.create_dir(&path("a")).unwrap();
        compose::write_file(&store, &path("a/f"), b"2", FileMode::Plain).unwrap();
        assert_eq!(std::fs::read(dir.path().join("b/f")).unwrap(), b"1");
        assert_eq!(std::fs::read(dir.path().join("a/f")).unwrap(), b"2");
    }
}

#[test]
fn a_fault_comes_at_its_number_and_a_stop_lasts() {
    let dir = dir();
    let plan = |at, fault, lasting| Some(FaultPlan { at, fault, lasting });
    let store = FaultStore::open(dir.path(), plan(2, Fault::Refused(Refusal::NoSpace), true), false).unwrap();
    store.create_dir(&path("a")).unwrap();
    assert!(store.create_dir(&path("b")).unwrap_err().is_no_space());
    assert!(
        store.create_dir(&path("c")).unwrap_err().is_no_space(),
        "a full disk stays full"
    );
    store.remove_dir(&path("a")).unwrap();

    let store = FaultStore::open(dir.path(), plan(2, Fault::TornKill, false), false).unwrap();
    let mut file = store.create_file(&path("f")).unwrap();
    assert!(file.write(b"12345678").unwrap_err().is_killed());
    assert!(file.write(b"more").unwrap_err().is_killed());
    drop(file);
    assert!(store.remove_file(&path("f")).unwrap_err().is_killed());
    assert_eq!(
        std::fs::read(dir.path().join("f")).unwrap(),
        b"1234",
        "half of the write is on disk"
    );
    assert_eq!(store.faults().count(), 2);
}
