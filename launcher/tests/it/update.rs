//! Self-update: a launcher out of a signed pack takes over, or the old one comes back; services never notice.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Output};

use serde_json::{Value, json};

use crate::{
    fixture::{Root, free_port, lives, script, server, text},
    publisher::{Publisher, meddler, pretender, program},
};

/// A tree with a launcher of its own, two running services, and a publisher it trusts.
struct Scene {
    root: Root,
    publisher: Publisher,
    pids: Vec<Option<u32>>,
}

impl Scene {
    fn new() -> Self {
        let mut root = Root::empty();
        root.launcher = Some(env!("CARGO_PKG_VERSION").to_owned());
        root.install(
            "1.0.0",
            &[server("web", free_port()), script("plain", "exec sleep 1000")],
        );
        let publisher = Publisher::new(10);
        publisher.pin(&root);
        root.ok(&["up"]);
        let pids = pids(&root);
        assert!(pids.iter().all(Option::is_some));
        Self { root, publisher, pids }
    }

    fn update(&self, more: &[&str]) -> Output {
        let depot = self.publisher.depot();
        let front_door = std::process::Command::new(self.root.path.join("kojibox"))
            .args(["self-update", "--source", depot.to_str().unwrap()])
            .args(more)
            .env_remove("KOJIBOX_ROOT")
            .output();
        front_door.expect("the front door opens")
    }

    /// The update ends with `code`; gives what was said to people.
    fn ends(&self, code: i32, more: &[&str]) -> String {
        let output = self.update(more);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        said
    }

    fn pointer(&self) -> Value {
        serde_json::from_str(&self.root.read("state/current.json")).unwrap()
    }

    /// Program of the running daemon.
    fn daemon_program(&self) -> String {
        let daemon = self.root.daemon().expect("it runs");
        fs::read_link(format!("/proc/{daemon}/exe"))
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    }

    /// Nothing is left to recover, and no service was touched.
    fn is_calm(&self) {
        assert_eq!(pids(&self.root), self.pids, "a service was touched");
        assert!(self.pids.iter().flatten().all(|pid| lives(*pid)));
        assert_eq!(self.root.read("state/journal"), "");
        let staging = self.root.path.join("staging");
        let left: Vec<_> = fs::read_dir(staging)
            .into_iter()
            .flatten()
            .flatten()
            .map(|e| e.path())
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

fn pids(root: &Root) -> Vec<Option<u32>> {
    root.status().services.iter().map(|s| s.pid).collect()
}

#[test]
fn a_newer_launcher_takes_over_and_services_go_on() {
    let scene = Scene::new();
    assert!(scene.ends(50, &[]).contains("is the newest there is"));
    scene.publisher.release("0.1.7", program("0.1.7"));
    assert!(scene.ends(10, &["--check"]).contains("0.1.7 is available"));
    scene.is_calm();
    assert!(
        scene.daemon_program().contains("kojibox-launcher-0.1.0-"),
        "{}",
        scene.daemon_program()
    );

    let said = scene.ends(0, &[]);
    assert!(
        said.contains("Launcher 0.1.7 replaced 0.1.0; 2 running services were taken over"),
        "{said}"
    );
    scene.is_calm();
    assert!(
        scene.daemon_program().contains("kojibox-launcher-0.1.7-"),
        "{}",
        scene.daemon_program()
    );
    let pointer = scene.pointer();
    assert_eq!(
        (&pointer["current"], &pointer["previous"], &pointer["confirmed"]),
        (&json!(2), &json!(1), &json!(true))
    );

    let door = scene.root.path.join("kojibox");
    let version = std::process::Command::new(&door).arg("--version").output().unwrap();
    assert_eq!(text(&version.stdout).trim(), "kojibox 0.1.7", "the front door is fresh");
    let tree = fs::read_dir(scene.root.path.join("components")).unwrap().flatten();
    let tree = tree
        .map(|e| e.path())
        .find(|p| p.to_str().unwrap().contains("launcher-0.1.7"))
        .unwrap();
    let mode = fs::metadata(tree.join("kojibox")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o555, "it is never changed again");
    let receipts = fs::read_dir(scene.root.path.join("state/receipts")).unwrap().count();
    assert_eq!(receipts, 1);
    assert!(scene.ends(50, &[]).contains("0.1.7"));
    scene.root.ok(&["restart", "plain"]);
}

#[test]
fn the_manifest_that_vouches_for_the_launcher_is_kept_and_only_the_launcher_is_taken() {
    let scene = Scene::new();
    let (manifest, _) = scene.publisher.release("0.1.7", program("0.1.7"));
    scene.ends(0, &[]);
    let before: Value = serde_json::from_str(&scene.root.read("generations/1/record.json")).unwrap();
    let record: Value = serde_json::from_str(&scene.root.read("generations/2/record.json")).unwrap();
    assert_eq!(record["packs"], before["packs"], "the pack itself is not installed");
    let bytes = fs::read(&manifest).unwrap();
    let digest = kojibox_signing::Digest::of(&bytes).to_string();
    assert_eq!(record["launcher_pack"]["digest"], digest);
    let kept = scene.root.path.join("records/packs").join(&digest);
    assert_eq!(fs::read(kept.join("manifest.kbx.json")).unwrap(), bytes);
    let signatures: Vec<_> = fs::read_dir(kept.join("signatures")).unwrap().flatten().collect();
    assert_eq!(signatures.len(), 1);

    // An attempt that fails takes its manifest back with it, and leaves the one that is named.
    scene.publisher.release("2.0.0", b"#!/bin/sh\nexit 7\n".to_vec());
    scene.ends(40, &[]);
    let left: Vec<_> = fs::read_dir(scene.root.path.join("records/packs"))
        .unwrap()
        .flatten()
        .collect();
    let left: Vec<_> = left.iter().map(|e| text(e.file_name().as_encoded_bytes())).collect();
    assert!(left.contains(&digest) && left.len() == 2, "{left:?}");
}

#[test]
fn what_is_damaged_or_signed_by_a_stranger_is_refused() {
    let scene = Scene::new();
    let (manifest, blob) = scene.publisher.release("0.1.7", program("0.1.7"));
    flip(&blob, 1_000_000);
    let said = scene.ends(21, &[]);
    assert!(said.contains("0.1.0 stays active"), "{said}");
    scene.is_calm();
    assert_eq!(scene.pointer()["current"], 1);
    assert!(!scene.root.path.join("generations/2").exists());

    flip(&blob, 1_000_000);
    flip(&manifest, 300);
    scene.ends(20, &[]);
    flip(&manifest, 300);
    scene.ends(10, &["--check"]);

    let stranger = Publisher::new(50);
    stranger.release("0.1.9", program("0.1.9"));
    let scene = Scene {
        publisher: stranger,
        ..scene
    };
    let said = scene.ends(20, &[]);
    assert!(said.contains("signed by a publisher that this tree trusts"), "{said}");
    scene.is_calm();
}

#[test]
fn a_launcher_that_does_not_work_here_leaves_nothing_and_is_remembered() {
    let scene = Scene::new();
    scene
        .publisher
        .release("2.0.0", b"#!/bin/sh\necho 'wrong system' >&2\nexit 7\n".to_vec());
    let said = scene.ends(40, &[]);
    assert!(
        said.contains("does not work in its place") && said.contains("wrong system"),
        "{said}"
    );
    scene.is_calm();
    assert_eq!(scene.pointer()["current"], 1);
    assert!(!scene.root.path.join("generations/2").exists());
    let trees = fs::read_dir(scene.root.path.join("components")).unwrap().flatten();
    assert!(
        !trees
            .into_iter()
            .any(|e| text(e.file_name().as_encoded_bytes()).contains("launcher-2.0.0"))
    );
    let said = scene.ends(40, &[]);
    assert!(said.contains("was refused before"), "{said}");

    scene.publisher.release("2.0.1", pretender("9.9.9", "exit 1"));
    let said = scene.ends(40, &[]);
    assert!(
        said.contains("it says that it is version 9.9.9"),
        "a signed name is not enough: {said}"
    );
}

#[test]
fn a_daemon_that_does_not_take_over_gives_the_pointer_back() {
    for trouble in [
        "echo broken >&2; exit 1",
        "echo '{\"v\":1,\"ready\":{\"pid\":1}}'; exec sleep 1000 >/dev/null",
    ] {
        let scene = Scene::new();
        scene.publisher.release("2.0.0", pretender("2.0.0", trouble));
        let said = scene.ends(40, &[]);
        assert!(
            said.contains("did not take over") && said.contains("the pointer is back"),
            "{said}"
        );
        scene.is_calm();
        assert_eq!(
            (&scene.pointer()["current"], &scene.pointer()["confirmed"]),
            (&json!(1), &json!(true))
        );
        assert!(scene.root.path.join("generations/2/bad.json").exists());
        assert!(
            scene.daemon_program().contains("kojibox-launcher-0.1.0-"),
            "the old daemon serves again"
        );
        assert!(scene.ends(40, &[]).contains("was refused before"));
        scene.publisher.release("2.1.0", program("2.1.0"));
        scene.ends(0, &[]);
        scene.is_calm();
    }
}

#[test]
fn an_interrupted_update_is_told_and_left_to_the_installer() {
    let scene = Scene::new();
    scene.publisher.release("0.1.7", program("0.1.7"));
    fs::write(scene.root.path.join("state/journal"), "kbxj1 half a line").unwrap();
    let said = scene.ends(41, &[]);
    assert!(said.contains("kojibox-installer recover"), "{said}");
    fs::write(scene.root.path.join("state/journal"), "").unwrap();
    scene.is_calm();
}

#[test]
fn what_any_release_of_the_source_withdraws_is_not_installed() {
    let scene = Scene::new();
    let (manifest, _) = scene.publisher.release("0.1.7", program("0.1.7"));
    scene.ends(10, &["--check"]);
    scene.publisher.withdraw(&manifest);
    let said = scene.ends(23, &[]);
    assert!(said.contains("its publisher withdrew it"), "{said}");
    scene.is_calm();
    scene.publisher.release("0.1.6", program("0.1.6"));
    let said = scene.ends(0, &[]);
    assert!(said.contains("Launcher 0.1.6 replaced 0.1.0"), "{said}");
    let floors = scene.root.read("state/trust/floors.json");
    assert!(floors.contains("revoked") && floors.contains("2026-11-20"), "{floors}");
}

#[test]
fn a_launcher_is_not_blamed_for_a_service_that_ended_and_may_be_tried_again() {
    let scene = Scene::new();
    // A launcher like any other; while it takes over, a service is killed by somebody else.
    let plain = scene.root.pid("plain");
    let trouble = format!("kill -9 {plain}; exec {} \"$@\"", env!("CARGO_BIN_EXE_kojibox"));
    scene.publisher.release("2.0.0", pretender("2.0.0", &trouble));
    let said = scene.ends(40, &[]);
    assert!(
        said.contains("service `plain` was process") && said.contains("run the same command again"),
        "{said}"
    );
    assert!(!scene.root.path.join("state/launcher.json").exists());

    let broken = pretender("2.0.1", "echo broken >&2; exit 1");
    scene.publisher.release("2.0.1", broken);
    scene.ends(40, &[]);
    let said = scene.ends(40, &[]);
    assert!(
        said.contains("was refused before") && said.contains("--retry-refused"),
        "{said}"
    );
    assert!(scene.ends(40, &["--retry-refused"]).contains("did not take over"));
    assert!(scene.ends(40, &[]).contains("was refused before"));
}

#[test]
fn the_front_door_of_a_tree_that_is_named_by_a_link_opens_too() {
    let scene = Scene::new();
    scene.publisher.release("0.1.7", program("0.1.7"));
    scene.ends(0, &[]);
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&scene.root.path, &link).unwrap();
    // An old front door, as a copy of it that a person has kept would be.
    fs::remove_file(scene.root.path.join("kojibox")).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_kojibox"), scene.root.path.join("kojibox")).unwrap();
    let output = std::process::Command::new(scene.root.path.join("kojibox"))
        .args([
            "self-update",
            "--check",
            "--json",
            "--source",
            scene.publisher.depot().to_str().unwrap(),
            "--root",
        ])
        .arg(&link)
        .output()
        .unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["version"], "0.1.7", "the active launcher answers");
}

#[test]
fn a_tree_that_a_person_left_at_the_final_name_is_kept_whatever_comes() {
    let scene = Scene::new();
    let (manifest, blob) = scene.publisher.release("0.1.7", program("0.1.7"));
    let manifest: Value = serde_json::from_slice(&fs::read(manifest).unwrap()).unwrap();
    let tree = manifest["components"][0]["tree_sha256"].as_str().unwrap();
    let dir = format!("components/kojibox-launcher-0.1.7-{}", &tree[..16]);
    let notes = scene.root.path.join(&dir).join("notes");
    let leave = |text: &str| {
        fs::create_dir_all(notes.parent().unwrap()).unwrap();
        fs::write(&notes, text).unwrap();
    };
    let kept = || -> Vec<String> {
        let backups = fs::read_dir(scene.root.path.join("backups"))
            .into_iter()
            .flatten()
            .flatten();
        let mut all: Vec<_> = backups
            .map(|e| fs::read_to_string(e.path().join(&dir).join("notes")).unwrap())
            .collect();
        all.sort();
        all
    };

    leave("one");
    flip(&blob, 1_000_000);
    scene.ends(21, &[]);
    assert_eq!(
        kept(),
        ["one"],
        "an attempt that failed early has moved it, and deleted nothing"
    );
    scene.is_calm();

    leave("two");
    flip(&blob, 1_000_000);
    let said = scene.ends(0, &[]);
    assert!(
        said.contains("belonged to no generation and was moved to `backups/"),
        "{said}"
    );
    assert_eq!(kept(), ["one", "two"]);
    scene.is_calm();
}

#[test]
fn what_fails_after_the_new_launcher_took_over_is_told_as_that() {
    let scene = Scene::new();
    let state = scene.root.path.join("state");
    // The pointer cannot be written any more once the new daemon runs.
    let first = format!("mkdir '{}/current.json.new'", state.display());
    scene.publisher.release("2.0.0", meddler("2.0.0", &scene.root, &first));
    let said = scene.ends(41, &[]);
    assert!(
        said.contains("launcher 2.0.0 is active and serves; the transaction is not closed"),
        "{said}"
    );
    let hint = format!("kojibox-installer recover --root \"{}\"", scene.root.path.display());
    assert!(said.contains(&hint), "{said}");
    assert_eq!(
        (&scene.pointer()["current"], &scene.pointer()["confirmed"]),
        (&json!(2), &json!(false))
    );
    assert_eq!(pids(&scene.root), scene.pids, "no service was touched");
}

#[test]
fn a_front_door_that_cannot_be_refreshed_takes_nothing_back() {
    let scene = Scene::new();
    let door = scene.root.path.join("kojibox");
    let first = format!("rm '{0}'; mkdir -p '{0}/full'", door.display());
    scene.publisher.release("2.0.0", meddler("2.0.0", &scene.root, &first));
    let said = scene.ends(0, &[]);
    assert!(
        said.contains("could not refresh the front door") && said.contains("Launcher 2.0.0 replaced 0.1.0"),
        "{said}"
    );
    assert_eq!(
        (&scene.pointer()["current"], &scene.pointer()["confirmed"]),
        (&json!(2), &json!(true))
    );
    fs::remove_dir_all(&door).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_kojibox"), door).unwrap();
}

#[test]
fn a_generation_that_was_never_ready_is_no_way_back() {
    let scene = Scene::new();
    scene.publisher.release("0.1.7", program("0.1.7"));
    let mut pointer = scene.pointer();
    pointer["confirmed"] = json!(false);
    fs::write(scene.root.path.join("state/current.json"), pointer.to_string()).unwrap();
    let said = scene.ends(40, &[]);
    assert!(
        said.contains("generation 1 has not been ready yet") && said.contains("kojibox\" up`"),
        "{said}"
    );
    scene.root.ok(&["up"]);
    scene.ends(0, &[]);
    scene.is_calm();
}

#[test]
fn a_source_that_is_not_there_is_a_missing_medium() {
    let scene = Scene::new();
    let nowhere = scene.root.path.join("nowhere");
    let output = std::process::Command::new(scene.root.path.join("kojibox"))
        .args(["self-update", "--source", nowhere.to_str().unwrap()])
        .env_remove("KOJIBOX_ROOT")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(33), "{}", text(&output.stderr));
}

fn flip(file: &std::path::Path, at: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[at] ^= 1;
    fs::write(file, bytes).unwrap();
}
