//! The reference model: what must hold of an install root at rest, whatever happened to it before.

use std::{collections::BTreeSet, fs, path::Path};

use kojibox_installer::transaction::verify;
use kojibox_state::{GenerationState, InstallRoot, layout::place};

use crate::rig::{World, launcher_bytes, snapshot};

/// What is active: the release of the pack, or nothing.
pub(crate) fn active_release(root: &Path) -> Option<u8> {
    let root = InstallRoot::open(root).ok()?;
    let record = root.current().expect("the pointer names a generation that is there")?;
    Some(record.packs[0].version.as_bytes()[0] - b'0')
}

/// Puts data of a service into a root; no transaction may touch it.
pub(crate) fn give_data(root: &Path) {
    fs::create_dir_all(root.join("data/app/default")).expect("a data directory");
    fs::write(root.join("data/app/default/table"), b"10000 rows").expect("data");
}

fn check_data(root: &Path, at: &str) {
    let data = snapshot(&root.join("data"));
    let files: Vec<_> = data.into_iter().filter(|(_, bytes)| bytes.is_some()).collect();
    assert_eq!(files.len(), 1, "{at}: one file of data");
    assert_eq!(
        files[0].1.as_deref(),
        Some(&b"10000 rows"[..]),
        "{at}: data is what it was"
    );
}

/// Checks everything that holds of a root without an interrupted transaction.
///
/// Every generation is complete, every file of it re-hashed; nothing lies around that no generation names; the receipts
/// follow one another; the front door, if there is one, is a whole launcher; data is untouched.
pub(crate) fn check_at_rest(path: &Path, at: &str) {
    check_whole(path, at);
    let root = InstallRoot::open(path).unwrap();
    let (listed, named) = names(&root, at);
    assert_eq!(listed, named, "{at}: exactly what generations name has a final name");
}

/// The same, but for names: a removal that was refused may have left a tree behind, for the next one to take.
pub(crate) fn check_whole(path: &Path, at: &str) {
    check_data(path, at);
    let root = check_generations(path, at);
    assert!(!root.recovery_needed().unwrap(), "{at}: nothing is left to recover");
    let (listed, named) = names(&root, at);
    assert!(listed.is_superset(&named), "{at}: {named:?} in {listed:?}");
    check_pointer(&root, at);
    root.history().unwrap_or_else(|error| panic!("{at}: {error}"));
    if let Ok(door) = fs::read(place::front_door().below(path)) {
        assert!(
            (0..10).any(|n| launcher_bytes(n) == door),
            "{at}: the front door is whole"
        );
    }
}

/// Every generation is complete: every file of it re-hashed.
pub(crate) fn check_generations(path: &Path, at: &str) -> InstallRoot {
    let root = InstallRoot::open(path).unwrap_or_else(|error| panic!("{at}: {error}"));
    let world = World::new();
    let seen = verify(&root, None, &world.env()).unwrap_or_else(|error| panic!("{at}: {error}"));
    assert_eq!(seen.findings, [], "{at}: every generation is whole");
    root
}

/// Trees, manifests and indexes that are there, and those that generations name.
fn names(root: &InstallRoot, at: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let mut named = BTreeSet::new();
    for generation in root.generations().unwrap() {
        for c in &generation.record.components {
            named.insert(place::component(&c.dir).to_string());
            named.insert(place::component_index(&c.dir).to_string());
        }
        for pack in generation.record.manifests() {
            named.insert(place::pack_record(&pack.digest).to_string());
            let signatures = root.signatures(&pack.digest).unwrap();
            assert_eq!(signatures.len(), 1, "{at}: the signature is recorded");
            assert_eq!(signatures[0].1, b"signature", "{at}");
        }
    }
    let mut listed = BTreeSet::new();
    for dir in [place::components(), place::pack_records(), place::component_records()] {
        for entry in root.dir().list(&dir).unwrap() {
            listed.insert(dir.join(&entry.name.unwrap()).unwrap().to_string());
        }
    }
    (listed, named)
}

fn check_pointer(root: &InstallRoot, at: &str) {
    let pointer = root.pointer().unwrap();
    if let Some((newest, _)) = root.history().unwrap().pop() {
        assert_eq!(
            newest.to,
            pointer.as_ref().map(|p| p.current),
            "{at}: the newest receipt says what is active"
        );
    }
    let Some(pointer) = pointer else { return };
    let generations = root.generations().unwrap();
    let current = generations.iter().find(|g| g.record.id == pointer.current);
    let current = current.unwrap_or_else(|| panic!("{at}: the pointer names generation {}", pointer.current));
    assert!(current.bad.is_none(), "{at}: what is active is not marked bad");
    if let Some(previous) = pointer.previous {
        let there = generations.iter().any(|g| g.record.id == previous);
        assert!(there, "{at}: the generation to return to is there");
    }
    let standing = [GenerationState::Active, GenerationState::Unconfirmed];
    assert!(standing.contains(&current.state), "{at}");
}

/// The front door is the launcher of the active generation.
fn check_front_door(path: &Path, at: &str) {
    if let Some(n) = active_release(path) {
        let door = fs::read(place::front_door().below(path)).unwrap();
        assert_eq!(door, launcher_bytes(n), "{at}: the front door is the active launcher");
    }
}

/// Checks the end of a transaction that ran through: nothing is left in staging, the front door is fresh.
pub(crate) fn check_finished(path: &Path, release: Option<u8>, at: &str) {
    check_at_rest(path, at);
    assert_eq!(active_release(path), release, "{at}: what is active");
    let root = InstallRoot::open(path).unwrap();
    let staged = root.dir().list(&place::staging()).unwrap();
    assert!(staged.is_empty(), "{at}: staging is empty");
    check_front_door(path, at);
}
