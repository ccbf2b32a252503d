//! What `prune` and `uninstall` take away, and what they leave.

use std::{fs, path::PathBuf};

use kojibox_installer::transaction::{Pruned, UninstallOptions, recover, uninstall};
use kojibox_state::{CrashPoint, layout::place};

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
    assert_eq!(
        machine.install(&machine.release(1)).unwrap().previous,
        None,
        "it can be installed again"
    );
}

#[test]
fn uninstall_with_its_data_leaves_nothing() {
    let machine = Machine::having(&[1, 2]);
    fs::create_dir_all(machine.root.join("run/app")).unwrap();
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
