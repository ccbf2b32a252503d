//! What `repair` puts right, from where, and what it leaves alone.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc};

use kojibox_installer::transaction::{FindingKind, RepairOptions, Repaired, repair, verify};
use kojibox_packs::source::BlobSource;
use kojibox_state::{layout::place, receipts::TxOutcome};

use crate::{
    machine::{Machine, overwrite},
    reference::{check_at_rest, give_data},
    rig::{Tree, app, launcher, noise, snapshot},
};

/// Runs a repair from these sources.
fn repaired(machine: &Machine, sources: &[Arc<dyn BlobSource>], tune: impl Fn(&mut RepairOptions)) -> Repaired {
    let mut options = RepairOptions {
        command: "repair".to_owned(),
        ..RepairOptions::default()
    };
    tune(&mut options);
    repair(&mut machine.locked(), sources, &options, &machine.world.env()).unwrap()
}

fn from_stick(machine: &Machine) -> Repaired {
    repaired(machine, &[machine.stick.source()], |_| ())
}

fn expect_whole(machine: &Machine, at: &str) {
    check_at_rest(&machine.root, at);
    let staged = machine.open().dir().list(&place::staging()).unwrap();
    assert!(staged.is_empty(), "{at}: staging is empty");
}

#[test]
fn every_kind_of_damage_is_put_right_and_nothing_else_is_touched() {
    let machine = Machine::having(&[1]);
    let file = |name: &str| machine.installed("app", name);
    overwrite(&file("lib/changes.bin"), &noise(9, 1000));
    overwrite(&file("bin/run"), b"short");
    fs::remove_file(file("only-in-1.txt")).unwrap();
    fs::remove_dir(file("var")).unwrap();
    fs::remove_file(file("lib/empty")).unwrap();
    fs::remove_file(file("lib/alias")).unwrap();
    let before = snapshot(&machine.root.join("components"));
    let done = from_stick(&machine);
    // `bin/run` has other bytes and another mode.
    assert_eq!((done.files, done.repaired.len()), (4, 7), "{done:?}");
    assert!(done.left.is_empty() && done.lacking.is_empty(), "{done:?}");
    expect_whole(&machine, "repaired");
    let after = snapshot(&machine.root.join("components"));
    let same = |name: &&PathBuf| before.get(*name) == after.get(*name);
    assert_eq!(after.keys().filter(|name| !same(name)).count(), 6);
    let receipt = machine.open().history().unwrap().pop().unwrap().0;
    assert_eq!((receipt.outcome, receipt.to), (TxOutcome::Done, Some(1)));
    assert!(
        receipt.bytes.read == done.read && receipt.notes.len() == 7,
        "{receipt:?}"
    );
    assert_eq!(from_stick(&machine).txid, None, "there is nothing left to do");
}

#[test]
fn only_the_frames_that_are_needed_are_read() {
    let machine = Machine::new();
    let tree = (0..40).fold(Tree::new("app", "1.0.0"), |tree, n| {
        tree.file(&format!("f{n:02}"), 0o644, noise(n + 1, 60 << 10))
    });
    machine.install(&machine.stick.pack(1, &[tree])).unwrap();
    give_data(&machine.root);
    overwrite(&machine.installed("app", "f17"), b"damaged");
    let foreseen = repaired(&machine, &[machine.stick.source()], |o| o.dry_run = true);
    assert_eq!(foreseen.txid, None, "a dry run writes nothing");
    let done = from_stick(&machine);
    assert_eq!((foreseen.files, foreseen.read), (done.files, done.read));
    assert!(done.read < 130 << 10, "one file is in two frames at most: {done:?}");
    expect_whole(&machine, "repaired");
}

#[test]
fn sound_files_of_the_root_come_before_any_medium() {
    let machine = Machine::having(&[1, 2]);
    // The same bytes under another path of the same tree, and in another tree.
    overwrite(&machine.installed("app", "lib/twin.bin"), b"x");
    let done = repaired(&machine, &[], |_| ());
    assert_eq!((done.files, done.read, done.lacking.len()), (1, 0, 0), "{done:?}");
    expect_whole(&machine, "repaired without a medium");
}

#[cfg(unix)]
#[test]
fn what_shares_a_damaged_file_is_repaired_under_each_of_its_names() {
    use std::{io::Write as _, os::unix::fs::PermissionsExt as _};
    let machine = Machine::having(&[1, 2]);
    let victim = machine.installed("app", "lib/stays.bin");
    fs::set_permissions(&victim, fs::Permissions::from_mode(0o644)).unwrap();
    let mut open = fs::OpenOptions::new().write(true).open(&victim).unwrap();
    open.write_all(b"damage in the one inode of all names").unwrap();
    drop(open);
    fs::set_permissions(&victim, fs::Permissions::from_mode(0o444)).unwrap();
    let seen = verify(&machine.open(), None, &machine.world.env()).unwrap();
    let changed = seen.findings.iter().filter(|f| f.kind == FindingKind::Changed).count();
    let shares = |path: &PathBuf| fs::read(path).unwrap().starts_with(b"damage");
    assert!(changed >= 1 && shares(&victim));
    let done = from_stick(&machine);
    assert_eq!(done.repaired.len(), changed, "{done:?}");
    expect_whole(&machine, "each name has its bytes again");
}

#[cfg(unix)]
#[test]
fn a_mode_is_put_right_without_touching_the_open_file() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let machine = Machine::having(&[1]);
    let program = machine.installed("app", "bin/run");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o444)).unwrap();
    let open = fs::File::open(&program).unwrap();
    let done = repaired(&machine, &[], |_| ());
    assert_eq!((done.files, done.read), (1, 0), "{done:?}");
    expect_whole(&machine, "the mode is right");
    let (old, new) = (open.metadata().unwrap(), fs::metadata(&program).unwrap());
    assert_ne!(old.ino(), new.ino(), "whoever has opened it keeps what it has opened");
    assert_eq!((old.mode() & 0o777, new.mode() & 0o777), (0o444, 0o555));
}

#[test]
fn a_whole_tree_and_its_records_come_back() {
    let machine = Machine::having(&[1]);
    let record = machine.open().current().unwrap().unwrap();
    let app = record.components.iter().find(|c| c.id == "app").unwrap();
    let root = &machine.root;
    fs::remove_dir_all(place::component(&app.dir).below(root)).unwrap();
    let index = place::component_index(&record.components[2].dir).below(root);
    overwrite(&index, b"no index");
    fs::remove_dir_all(place::pack_record(&record.packs[0].digest).below(root)).unwrap();
    let seen = verify(&machine.open(), None, &machine.world.env()).unwrap();
    let kinds: Vec<_> = seen.findings.iter().map(|f| (f.component.as_str(), &f.kind)).collect();
    assert!(matches!(kinds[0], ("app", FindingKind::Missing)), "{kinds:?}");
    assert!(matches!(kinds[1], ("demo", FindingKind::Manifest(_))), "{kinds:?}");
    assert!(matches!(kinds[2], ("web", FindingKind::Index(_))), "{kinds:?}");
    let alone = repaired(&machine, &[], |_| ());
    assert!(alone.txid.is_none() && alone.lacking.len() == 3, "{alone:?}");
    let done = from_stick(&machine);
    assert!(done.lacking.is_empty() && done.left.is_empty(), "{done:?}");
    expect_whole(&machine, "everything is back");
}

#[test]
fn what_is_not_part_of_a_tree_is_named_and_moved_only_if_asked() {
    let machine = Machine::having(&[1]);
    let extra = machine.installed("app", "lib/stays.bin").with_file_name("notes.txt");
    fs::write(&extra, "a person's").unwrap();
    let in_the_way = machine.installed("app", "lib/changes.bin");
    fs::remove_file(&in_the_way).unwrap();
    fs::create_dir(&in_the_way).unwrap();
    fs::write(in_the_way.join("mine"), "mine").unwrap();
    let done = from_stick(&machine);
    let left: Vec<_> = done.left.iter().map(|f| (f.path.as_str(), &f.kind)).collect();
    assert_eq!(left, [("lib/notes.txt", &FindingKind::Extra)]);
    assert_eq!(done.aside.len(), 1, "what was in the way is kept: {done:?}");
    let moved = from_backup(&machine, &done);
    assert_eq!(moved.values().next().unwrap().as_deref(), Some(&b"mine"[..]));
    assert_eq!(fs::read_to_string(&extra).unwrap(), "a person's");
    let done = repaired(&machine, &[], |o| o.remove_extra = true);
    assert_eq!((done.aside.len(), done.left.len(), done.files), (1, 0, 0), "{done:?}");
    let moved = from_backup(&machine, &done);
    assert_eq!(moved.values().next().unwrap().as_deref(), Some(&b"a person's"[..]));
    expect_whole(&machine, "the trees are as signed");
}

/// Files below `backups/<txid>`.
fn from_backup(machine: &Machine, done: &Repaired) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let backup = place::backup(done.txid.as_deref().unwrap()).below(&machine.root);
    let mut files = snapshot(&backup);
    files.retain(|_, bytes| bytes.is_some());
    files
}

#[test]
fn what_one_medium_cannot_give_another_one_does() {
    let machine = Machine::having(&[1]);
    overwrite(&machine.installed("app", "lib/changes.bin"), &noise(9, 1000));
    let other = Machine::new();
    drop(other.stick.pack(1, &[app(1), crate::rig::web(), launcher(1)]));
    for blob in fs::read_dir(machine.stick.dir.path().join("blobs")).unwrap() {
        let path = blob.unwrap().path();
        if path.extension().is_some_and(|e| e == "zst") && !path.to_string_lossy().contains(".idx.") {
            let mut bytes = fs::read(&path).unwrap();
            bytes[40] ^= 1;
            fs::write(&path, bytes).unwrap();
        }
    }
    let damaged = from_stick(&machine);
    assert!(damaged.lacking[0].why.is_some() && damaged.files == 0, "{damaged:?}");
    let both = [machine.stick.source(), other.stick.source()];
    let done = repaired(&machine, &both, |_| ());
    assert!(done.lacking.is_empty() && done.files == 1, "{done:?}");
    expect_whole(&machine, "from the second medium");
}
