//! What `prune` and `uninstall` take away, and what they leave.

use std::{fs, path::PathBuf};

use kojibox_installer::transaction::{Pruned, UninstallOptions, recover, uninstall};
use kojibox_state::{
    CrashPoint,
    layout::place,
    store::{Fault, FaultPlan},
};

use crate::{
    machine::{Machine, overwrite},
    reference::check_finished,
    rig::{Tree, fast_dir, plan},
};

#[test]
fn prune_keeps_the_active_and_the_previous_generation() {
    let machine = Machine::having(&[1, 2, 3]);
    let done = machine.prune(2);
    assert_eq!((done.generations, done.trees.len()), (vec![1], 2));
    check_finished(&machine.root, Some(3), "pruned");
    assert_eq!(machine.prune(2), Pruned::default(), "nothing is left to remove");
    assert_eq!(machine.rollback(None, false).unwrap().to, 2);
    assert_eq!(machine.prune(1).generations, [3]);
    assert_eq!(
        machine.install(&machine.release(1)).unwrap().generation,
        4,
        "3 is not used twice"
    );
    check_finished(&machine.root, Some(1), "after all");
}

#[cfg(unix)]
#[test]
fn prune_leaves_a_generation_that_a_program_runs_from() {
    let machine = Machine::new();
    let sleep = fs::read("/bin/sleep").unwrap();
    let pack = machine
        .stick
        .pack(1, &[Tree::new("app", "1.0.0").file("bin/sleep", 0o755, sleep)]);
    machine.install(&pack).unwrap();
    let program = machine.installed("app", "bin/sleep");
    let mut child = std::process::Command::new(program).arg("60").spawn().unwrap();
    machine.install(&machine.release(2)).unwrap();
    let while_running = machine.prune(1);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!((while_running.in_use, while_running.generations), (vec![1], vec![]));
    assert_eq!(machine.prune(1).generations, [1]);
}

#[test]
fn prune_also_removes_what_an_interrupted_attempt_left() {
    let machine = Machine::having(&[1]);
    machine.stopped(&plan(&machine.release(2)), None, Some(CrashPoint::TreeStaged));
    recover(&mut machine.locked(), &machine.world.env()).unwrap();
    assert!(!machine.open().dir().list(&place::staging()).unwrap().is_empty());
    machine.prune(2);
    check_finished(&machine.root, Some(1), "pruned");
}

#[test]
fn uninstall_leaves_what_is_not_ours_and_names_it() {
    let machine = Machine::having(&[1, 2]);
    let changed = machine.installed("app", "lib/changes.bin");
    overwrite(&changed, b"mine now");
    let extra = machine.installed("web", "index.html").with_file_name("notes.txt");
    fs::write(&extra, "mine").unwrap();
    let options = UninstallOptions::default();
    let done = uninstall(machine.locked(), &options, &machine.world.env()).unwrap();
    let relative = |path: &PathBuf| path.strip_prefix(&machine.root).unwrap().display().to_string();
    let mut expected = vec!["data".to_owned(), relative(&changed), relative(&extra)];
    expected.sort();
    assert_eq!((done.left, done.gone), (expected, false));
    assert_eq!(fs::read(&changed).unwrap(), b"mine now");
    assert_eq!(
        fs::read(machine.root.join("data/app/default/table")).unwrap(),
        b"10000 rows"
    );
    assert!(!machine.root.join("generations").exists() && !machine.root.join("records").exists());
    let again = machine.install(&machine.release(2)).unwrap();
    assert_eq!(again.previous, None, "it can be installed again");
    let backup = machine.root.join("backups").join(&again.txid);
    for (path, bytes) in [(&changed, "mine now"), (&extra, "mine")] {
        let kept = backup.join(path.strip_prefix(&machine.root).unwrap());
        assert_eq!(
            fs::read_to_string(kept).unwrap(),
            bytes,
            "a person's bytes outlive an install"
        );
    }
    check_finished(&machine.root, Some(2), "installed again");
}

/// Wherever the next install is stopped, what a person has left in a tree is there, whole.
#[test]
fn what_an_uninstall_left_outlives_a_stop_anywhere_of_the_next_install() {
    for at in 1.. {
        let machine = Machine::having(&[1]);
        overwrite(&machine.installed("app", "lib/changes.bin"), b"mine now");
        let options = UninstallOptions::default();
        uninstall(machine.locked(), &options, &machine.world.env()).unwrap();
        let fault = FaultPlan {
            at,
            fault: Fault::Kill,
            lasting: false,
        };
        let count = machine.stopped(&plan(&machine.release(1)), Some(fault), None);
        let find = || {
            let all = crate::rig::snapshot(&machine.root).into_values().flatten();
            all.filter(|bytes| bytes == b"mine now").count()
        };
        assert_eq!(find(), 1, "stopped at {at}");
        recover(&mut machine.locked(), &machine.world.env()).unwrap();
        assert_eq!(find(), 1, "recovered after a stop at {at}");
        if count < at {
            return;
        }
        machine.install(&machine.release(1)).unwrap();
        assert_eq!(find(), 1, "installed after a stop at {at}");
    }
}

#[test]
fn the_way_back_from_what_nobody_has_seen_ready_is_kept() {
    let machine = Machine::having(&[1]);
    machine.stopped(&plan(&machine.release(2)), None, Some(CrashPoint::Committed));
    recover(&mut machine.locked(), &machine.world.env()).unwrap();
    assert!(!machine.open().pointer().unwrap().unwrap().confirmed);
    assert!(machine.prune(1).generations.is_empty());
    machine.locked().confirm().unwrap();
    assert_eq!(machine.prune(1).generations, [1]);
}

#[cfg(unix)]
#[test]
fn no_name_and_no_kind_of_thing_keeps_an_uninstall_from_its_end() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _, os::unix::fs::symlink};
    for purge_data in [false, true] {
        let machine = Machine::having(&[1]);
        for dir in ["temp/app", "run/app", "data/app/cur", "backups/x"] {
            let dir = machine.root.join(dir);
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("1700000000.M1P2.host:2,S"), "mail").unwrap();
            fs::write(dir.join(OsStr::from_bytes(b"\xff")), "latin").unwrap();
        }
        // A directory became a file, a link one that is not text, and a person has notes in the root.
        let lib = machine.installed("app", "lib/changes.bin");
        fs::remove_dir_all(lib.parent().unwrap()).unwrap();
        fs::write(lib.parent().unwrap(), "mine").unwrap();
        let page = machine.installed("web", "index.html");
        fs::remove_file(&page).unwrap();
        symlink(OsStr::from_bytes(b"\xff"), &page).unwrap();
        fs::write(machine.root.join("notes: x.txt"), "mine").unwrap();
        let found = kojibox_installer::transaction::verify(&machine.open(), None, &machine.world.env()).unwrap();
        assert!(found.findings.len() >= 2, "{:?}", found.findings);
        let command = String::new();
        let options = UninstallOptions { command, purge_data };
        let done = uninstall(machine.locked(), &options, &machine.world.env()).unwrap();
        assert!(done.left.contains(&"notes: x.txt".to_owned()), "{:?}", done.left);
        assert!(!machine.root.join("temp").exists() && !machine.root.join("run").exists());
        assert_eq!(machine.root.join("data").exists(), !purge_data);
        assert!(!machine.open().recovery_needed().unwrap());
    }
}

#[test]
fn uninstall_with_its_data_leaves_nothing() {
    let machine = Machine::having(&[1, 2]);
    fs::create_dir_all(machine.root.join("run/app")).unwrap();
    fs::create_dir_all(machine.root.join(".kojibox-probe-Xy12")).unwrap();
    let options = UninstallOptions {
        command: "uninstall".to_owned(),
        purge_data: true,
    };
    let done = uninstall(machine.locked(), &options, &machine.world.env()).unwrap();
    assert!(done.gone && done.left.is_empty(), "{done:?}");
    assert!(!machine.root.exists());
    assert_eq!(machine.world.gate.calls().last().unwrap(), "down 2");
}

#[cfg(unix)]
#[test]
fn a_purge_follows_no_link_out_of_the_root() {
    let machine = Machine::having(&[1]);
    let elsewhere = fast_dir();
    fs::write(elsewhere.path().join("thesis"), "mine").unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), machine.root.join("data/app/linked")).unwrap();
    let options = UninstallOptions {
        command: String::new(),
        purge_data: true,
    };
    assert!(
        uninstall(machine.locked(), &options, &machine.world.env())
            .unwrap()
            .gone
    );
    assert_eq!(fs::read(elsewhere.path().join("thesis")).unwrap(), b"mine");
}
