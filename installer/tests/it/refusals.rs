//! Bad input, each with its exit code, its words, and a machine that is as it was.

use std::{fs, net::TcpListener};

use kojibox_signing::{Signer as _, root::Role};

use crate::publisher::{Key, Machine, Publisher, Release, sign, text};

/// Nothing of a refused install may be active or left in place.
#[track_caller]
fn expect_nothing(machine: &Machine) {
    assert!(!machine.root().join("state/current.json").exists());
    let components = fs::read_dir(machine.root().join("components"));
    assert_eq!(components.map_or(0, Iterator::count), 0);
}

#[test]
fn nobody_is_trusted_without_a_word() {
    let (publisher, machine) = (Publisher::new(), Machine::new());
    publisher.release(&Release::tree("1.0.0"));
    let (depot, root) = (publisher.depot(), machine.root());
    let plain = ["install", "--yes", "--source", text(&depot), "--root", text(&root)];
    machine
        .run(&plain)
        .expect(20, &["nothing says which publisher to trust", "--fingerprint"]);
    let wrong = format!("SHA256:{}", "A".repeat(43));
    machine
        .run(&[&plain[..], &["--fingerprint", &wrong]].concat())
        .expect(20, &[&wrong]);
    machine
        .run(&[&plain[..], &["--fingerprint", "SHA256:short"]].concat())
        .expect(2, &["43 characters"]);
    let somebody = Publisher::with(30, &[40], 1);
    let stranger = somebody.root_json();
    machine
        .run(&[&plain[..], &["--trust", text(&stranger)]].concat())
        .expect(20, &["could not verify pack", "nothing was written"]);
    expect_nothing(&machine);
    let print = publisher.fingerprint();
    machine
        .run(&[&plain[..], &["--fingerprint", &print]].concat())
        .expect(0, &[]);
    // From now on the root knows whom it trusts.
    machine
        .run(&[&plain[..], &["--trust", text(&stranger)]].concat())
        .expect(20, &["does not trust", "trust add"]);
    machine.run(&plain).expect(50, &[]);
}

#[test]
fn signatures_that_do_not_suffice_are_refused() {
    let (publisher, machine) = (Publisher::with(10, &[20, 21, 22], 2), Machine::new());
    let manifest = publisher.unsigned(&Release::tree("1.0.0"));
    machine
        .install(&publisher, &[])
        .expect(20, &["could not verify pack", "0 of 2"]);
    sign(&manifest, &Key::new(20));
    machine
        .install(&publisher, &[])
        .expect(20, &["1 of 2 needed signatures are valid"]);
    // A stranger's signature under the name of a key that counts.
    sign(&manifest, &Key::new(99));
    let name = |key: u8| {
        manifest.with_file_name(format!(
            "{}.{}.sshsig",
            manifest.file_name().unwrap().to_str().unwrap(),
            Key::new(key).short()
        ))
    };
    fs::rename(name(99), name(21)).unwrap();
    machine
        .install(&publisher, &[])
        .expect(20, &["does not give this role"]);
    fs::write(name(21), "").unwrap();
    machine
        .install(&publisher, &[])
        .expect(20, &["a signature file is empty"]);
    expect_nothing(&machine);
    sign(&manifest, &Key::new(21));
    machine.install(&publisher, &[]).expect(0, &[]);
}

#[test]
fn one_flipped_bit_anywhere_is_seen() {
    let publisher = Publisher::new();
    let manifest = publisher.release(&Release::tree("1.0.0"));
    let depot = publisher.depot();
    let blobs = fs::read_dir(depot.join("blobs")).unwrap().map(|e| e.unwrap().path());
    let mut files: Vec<_> = blobs.map(|path| (path, 21)).collect();
    assert!(files.len() > 2, "the blob is in parts");
    files.push((manifest.clone(), 20));
    for (path, code) in files {
        let good = fs::read(&path).unwrap();
        for at in [0, good.len() / 2] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&path, bad).unwrap();
            // A machine of its own: where an attempt was made before, a good index is kept, and the medium's is not read.
            let machine = Machine::new();
            machine.install(&publisher, &[]).expect(code, &["hint: "]);
            expect_nothing(&machine);
        }
        fs::write(&path, good).unwrap();
    }
    Machine::new().install(&publisher, &[]).expect(0, &[]);
}

#[test]
fn a_missing_part_is_named_and_another_stick_may_have_it() {
    let (publisher, machine) = (Publisher::new(), Machine::new());
    publisher.release(&Release::tree("1.0.0"));
    let blobs = publisher.depot().join("blobs");
    let names = fs::read_dir(&blobs)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap());
    let part = names.into_iter().find(|n| n.ends_with(".002")).expect("a second part");
    let second = machine.path("second-stick");
    fs::create_dir_all(second.join("blobs")).unwrap();
    fs::create_dir_all(second.join("packs")).unwrap();
    fs::rename(blobs.join(&part), second.join("blobs").join(&part)).unwrap();
    machine
        .install(&publisher, &[])
        .expect(33, &[&part, "hint: insert the medium"]);
    expect_nothing(&machine);
    machine.install(&publisher, &["--source", text(&second)]).expect(0, &[]);
}

#[test]
fn going_down_needs_a_word_and_some_steps_have_none() {
    let (publisher, machine) = (Publisher::new(), Machine::new());
    publisher.release(&Release::tree("1.0.0"));
    let old = fs::read(publisher.release(&Release::tree("1.1.0"))).unwrap();
    publisher.release(&Release::tree("2.0.0").edit(move |manifest| {
        manifest.min_sequence = kojibox_packs::manifest::sequence_of("1.1.0").unwrap();
        manifest.revokes = vec![kojibox_signing::Digest::of(&old)];
    }));
    machine.install(&publisher, &["tree@1.1.0"]).expect(0, &[]);
    machine
        .install(&publisher, &["tree@1.0.0"])
        .expect(23, &["sequence", "--allow-downgrade"]);
    machine
        .install(&publisher, &["tree@1.0.0", "--allow-downgrade"])
        .expect(0, &[]);
    let history = machine.on_root(&["history", "--json"]).json();
    let verdicts = history["receipts"][1]["verdicts"].as_array().unwrap();
    assert!(
        verdicts
            .iter()
            .any(|v| v["check"] == "sequence" && v["outcome"] == "allowed"),
        "{verdicts:?}"
    );

    machine.install(&publisher, &["tree@2.0.0"]).expect(0, &[]);
    machine
        .install(&publisher, &["tree@1.1.0", "--allow-downgrade"])
        .expect(23, &["withdrawn"]);
    machine
        .install(&publisher, &["tree@1.0.0", "--allow-downgrade"])
        .expect(23, &["forbids all below"]);
    publisher.release(&Release::tree("2.0.0"));
    machine
        .install(&publisher, &["tree@2.0.0", "--allow-downgrade"])
        .expect(23, &["other content"]);
    assert_eq!(machine.status()["packs"][0]["version"], "2.0.0");
}

#[test]
fn a_revoked_key_stays_revoked_even_when_an_older_stick_comes_back() {
    let (publisher, machine) = (Publisher::new(), Machine::new());
    publisher.release(&Release::tree("1.0.0"));
    machine.install(&publisher, &[]).expect(0, &[]);
    let trust = publisher.depot().join("trust").join(publisher.root16());
    publisher.next_root(|root| {
        root.add_key(Role::Pack, &Key::new(21).public_key(), None);
        root.remove_key(Role::Pack, &Key::new(20).public_key().key_id())
            .unwrap();
    });
    // The old key signs another release; the stick that brings it also brings the root that took its role.
    publisher.release(&Release::tree("1.1.0"));
    let depot = publisher.depot();
    let update = ["update", "--yes", "--source", text(&depot)];
    machine.on_root(&update).expect(20, &["trust root 2"]);
    assert_eq!(machine.status()["packs"][0]["version"], "1.0.0");
    let manifest = publisher.release(&Release::tree("1.2.0"));
    sign(&manifest, &Key::new(21));
    machine
        .on_root(&["update", "tree@1.2.0", "--yes", "--source", text(&depot)])
        .expect(0, &[]);
    // A stick that brings nothing but a newer root is worth a visit, too.
    let messenger = machine.path("messenger");
    let chain = messenger.join("trust").join(publisher.root16());
    fs::create_dir_all(&chain).unwrap();
    publisher.next_root(|root| root.add_key(Role::Pack, &Key::new(22).public_key(), None));
    fs::rename(trust.join("3.root.json"), chain.join("3.root.json")).unwrap();
    let visit = ["update", "--yes", "--source", text(&messenger)];
    machine.on_root(&visit).expect(0, &["has moved on to version 3"]);
    machine
        .on_root(&["trust", "show"])
        .expect(0, &["root 3", "pack (1 of 2)"]);
    // A stick without the second root cannot bring the old key back.
    fs::remove_file(trust.join("2.root.json")).unwrap();
    publisher.release(&Release::tree("1.3.0"));
    machine
        .on_root(&["update", "tree@1.3.0", "--yes", "--source", text(&depot)])
        .expect(20, &["trust root 3"]);
}

#[test]
fn a_place_that_is_not_ours_is_left_alone() {
    let (publisher, machine) = (Publisher::new(), Machine::new());
    publisher.release(&Release::tree("1.0.0"));
    fs::create_dir(machine.root()).unwrap();
    fs::write(machine.root().join("thesis.odt"), "years of work").unwrap();
    machine.install(&publisher, &[]).expect(
        2,
        &[
            "is not empty and not an install root",
            "thesis.odt",
            "nothing was written",
        ],
    );
    for command in ["status", "verify", "rollback", "prune", "recover"] {
        machine.on_root(&[command]).expect(2, &["is not an install root"]);
    }
    assert_eq!(fs::read_dir(machine.root()).unwrap().count(), 1);
    let inside = publisher.depot().join("root");
    let (depot, trust) = (publisher.depot(), publisher.root_json());
    let words = [
        "install",
        "--yes",
        "--source",
        text(&depot),
        "--trust",
        text(&trust),
        "--root",
        text(&inside),
    ];
    machine
        .run(&words)
        .expect(2, &["on the medium that the packs come from"]);
    assert!(!inside.exists());
}

#[test]
fn a_pack_for_another_system_or_a_newer_installer_is_told_apart() {
    let (publisher, machine) = (Publisher::new(), Machine::new());
    let foreign = |manifest: &mut kojibox_packs::manifest::Manifest| {
        manifest.target = "windows-aarch64".to_owned();
        for file in [&mut manifest.sums, &mut manifest.sbom, &mut manifest.provenance] {
            file.name = file.name.replace("-any.", "-windows-aarch64.");
        }
    };
    publisher.release(&Release::tree("1.0.0").edit(foreign));
    machine
        .install(&publisher, &[])
        .expect(2, &["has no pack for", "windows-aarch64"]);
    publisher.release(&Release::tree("1.1.0").edit(|m| m.min_installer = "99.0.0".to_owned()));
    machine.install(&publisher, &[]).expect(22, &["99.0.0"]);
    publisher.release(&Release::tree("1.1.0").edit(|m| m.schema = "kojibox.pack/2.0".to_owned()));
    machine.install(&publisher, &["tree"]).expect(22, &["kojibox.pack/2.0"]);
    publisher.release(&Release::tree("1.1.0").edit(|m| m.pack = "Not An Id".to_owned()));
    expect_nothing(&machine);
}

#[test]
fn time_comes_from_signed_documents() {
    let (publisher, machine) = (Publisher::new(), Machine::new());
    let expiring = |m: &mut kojibox_packs::manifest::Manifest| m.expires = Some("2026-11-20T00:00:01Z".to_owned());
    publisher.release(&Release::tree("1.0.0").edit(expiring));
    machine
        .install(&publisher, &["--strict-time"])
        .expect(23, &["expired at 2026-11-20T00:00:01Z", "the clock says"]);
    machine.install(&publisher, &[]).expect(0, &["warning", "expired"]);
    publisher.release(&Release::tree("1.1.0").edit(|m| m.issued = "2027-01-01T00:00:00Z".to_owned()));
    publisher.release(&Release::tree("1.0.1").edit(expiring));
    machine
        .install(&publisher, &["tree@1.1.0"])
        .expect(0, &["signed documents prove"]);
    machine
        .install(&publisher, &["tree@1.0.1", "--allow-downgrade"])
        .expect(23, &["signed documents prove"]);
}

#[test]
fn a_taken_port_is_told_and_a_pinned_one_stops() {
    let (publisher, machine) = (Publisher::new(), Machine::new());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    publisher.release(&Release::stack("1.0.0"));
    publisher.release(&Release::stack("1.1.0").edit(move |m| {
        let main = m.services[0].ports.get_mut("main").unwrap();
        (main.prefer, main.pin) = (port, true);
    }));
    machine
        .install(&publisher, &["stack@1.1.0"])
        .expect(40, &["is taken by another program", "exactly this one"]);
    expect_nothing(&machine);
    let flag = format!("app.main={port}");
    machine
        .install(&publisher, &["stack@1.0.0", "--port", &flag])
        .expect(0, &["warning: port", "is taken"]);
    let (depot, trust, fresh) = (publisher.depot(), publisher.root_json(), Machine::new());
    let doctor = [
        "doctor",
        "--json",
        "stack@1.1.0",
        "--source",
        text(&depot),
        "--trust",
        text(&trust),
    ];
    let report = fresh.on_root(&doctor);
    assert_eq!(report.code, 40, "{}", report.said());
    let checks = report.json()["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["check"].as_str().unwrap().to_owned())
        .collect::<Vec<_>>();
    for check in ["root", "space", "abilities", "ports", "clock"] {
        assert!(checks.iter().any(|c| c == check), "{check} is missing in {checks:?}");
    }
    assert!(!fresh.root().exists());
}

#[test]
fn the_medium_may_be_named_wrongly() {
    let machine = Machine::new();
    let root = machine.root();
    let install = |source: &str| machine.run(&["install", "--yes", "--root", text(&root), "--source", source]);
    install("nowhere").expect(33, &["could not open the source", "nowhere"]);
    fs::create_dir(machine.path("empty")).unwrap();
    install("empty").expect(33, &["is no depot"]);
    machine
        .run(&["install", "--yes", "--root", text(&root)])
        .expect(2, &["no packs were found", "--source"]);
    assert!(!root.exists());
}
