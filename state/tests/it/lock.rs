//! One writes, many read, and a dead process holds nothing.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    time::Duration,
};

use kojibox_state::{ExclusiveLock, Holder, LockedRoot, SharedLock, StateError, layout::place, store::RootDir};

use crate::support::{dir, holder};

const ROLE: &str = "KOJIBOX_TEST_HOLDS_LOCK_OF";

fn root() -> (tempfile::TempDir, RootDir) {
    let dir = dir();
    std::fs::create_dir(dir.path().join("state")).unwrap();
    let root = RootDir::open(dir.path()).unwrap();
    (dir, root)
}

#[test]
fn the_second_writer_is_told_who_the_first_is() {
    let (_dir, root) = root();
    let first = ExclusiveLock::acquire(&root, &holder("kojibox-installer update"), Duration::ZERO).unwrap();
    let Err(StateError::Busy { holder: Some(who), .. }) =
        ExclusiveLock::acquire(&root, &holder("second"), Duration::from_millis(120))
    else {
        panic!("the second one must be refused, with the name of the first");
    };
    assert_eq!(who, holder("kojibox-installer update"));
    assert!(SharedLock::acquire(&root, Duration::ZERO).is_err());
    drop(first);
    let readers = [0, 1].map(|_| SharedLock::acquire(&root, Duration::ZERO).unwrap());
    let Err(StateError::Busy { holder: None, .. }) = ExclusiveLock::acquire(&root, &holder("x"), Duration::ZERO) else {
        panic!("a writer waits for readers, and blames no writer that has gone");
    };
    drop(readers);
    drop(ExclusiveLock::acquire(&root, &holder("x"), Duration::ZERO).unwrap());
}

/// Not a test of its own: the process that the next test kills.
#[test]
fn holds_the_lock_until_it_is_killed() {
    let Ok(path) = std::env::var(ROLE) else { return };
    let root = RootDir::open(path).unwrap();
    let _lock = ExclusiveLock::acquire(&root, &holder("the one that dies"), Duration::ZERO).unwrap();
    std::thread::sleep(Duration::from_mins(1));
}

#[test]
fn a_killed_process_frees_its_lock() {
    let (dir, root) = root();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "lock::holds_the_lock_until_it_is_killed", "--nocapture"])
        .env(ROLE, dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let named = place::holder().below(dir.path());
    let mut patience = 500;
    while std::fs::metadata(&named).map_or(0, |m| m.len()) == 0 {
        std::thread::sleep(Duration::from_millis(10));
        patience -= 1;
        assert!(patience > 0, "the child never took the lock");
    }
    let Err(StateError::Busy {
        holder: Some(Holder { pid, .. }),
        ..
    }) = ExclusiveLock::acquire(&root, &holder("x"), Duration::ZERO)
    else {
        panic!("the child holds it");
    };
    assert_eq!(pid, child.id());
    child.kill().unwrap();
    child.wait().unwrap();
    drop(ExclusiveLock::acquire(&root, &holder("x"), Duration::from_secs(5)).unwrap());
}

#[test]
fn a_root_is_locked_as_long_as_it_is_open_for_writing() {
    let dir = dir();
    let path = dir.path().join("root");
    let open = || LockedRoot::open_or_create(&path, "2026-01-01T00:00:00Z", &holder("x"), Duration::ZERO);
    let locked = open().unwrap();
    assert!(matches!(open().err(), Some(StateError::Busy { .. })));
    let id = locked.root().install().unwrap().unwrap().id;
    drop(locked);
    assert_eq!(
        open().unwrap().root().install().unwrap().unwrap().id,
        id,
        "the id is made once"
    );
}
