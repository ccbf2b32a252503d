//! The commands as a script sees them: exit codes, what is said, what is on disk.

use std::{
    fs,
    process::Stdio,
    time::{Duration, Instant},
};

use kojibox_signing::{Signer as _, root::Role};

use crate::publisher::{Key, Machine, Publisher, Release, text};

#[test]
fn install_update_rollback_verify_prune_uninstall() {
    let (publisher, machine) = (Publisher::new(), Machine::new());
    publisher.release(&Release::tree("1.0.0"));
    machine.install(&publisher, &[]).expect(0, &[]);
    let status = machine.status();
    assert_eq!(status["generation"], 1);
    assert_eq!(status["state"], "active");
    assert_eq!(status["packs"][0]["version"], "1.0.0");

    publisher.release(&Release::tree("1.1.0"));
    let depot = publisher.depot();
    let update = ["update", "--yes", "--source", text(&depot)];
    machine.on_root(&update).expect(0, &[]);
    assert_eq!(machine.status()["packs"][0]["version"], "1.1.0");
    machine.on_root(&update).expect(50, &["nothing newer"]);

    machine
        .on_root(&["rollback"])
        .expect(0, &["Generation 1 is active again"]);
    assert_eq!(machine.status()["packs"][0]["version"], "1.0.0");
    machine.on_root(&["verify"]).expect(0, &["all is what was signed"]);
    let history = machine.on_root(&["history", "--json"]).expect(0, &[]).json();
    let kinds: Vec<_> = history["receipts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["kind"].clone())
        .collect();
    assert_eq!(kinds, ["install", "update", "rollback"]);

    machine
        .on_root(&["prune", "--keep", "1"])
        .expect(0, &["1 generation and"]);
    machine.on_root(&["uninstall", "--yes"]).expect(0, &["files removed"]);
    assert!(!machine.root().exists());
}

#[test]
fn a_changed_file_is_found_and_named() {
    let (publisher, machine) = (Publisher::new(), Machine::new());
    publisher.release(&Release::tree("1.0.0"));
    machine.install(&publisher, &[]).expect(0, &[]);
    let components = machine.root().join("components");
    let tree = fs::read_dir(components).unwrap().next().unwrap().unwrap().path();
    let victim = tree.join("a.txt");
    fs::remove_file(&victim).unwrap();
    fs::write(&victim, "changed").unwrap();
    machine
        .on_root(&["verify"])
        .expect(21, &["a.txt", "state: generation 1 is active", "hint: "]);
    let findings = machine.on_root(&["verify", "--json"]).expect(21, &[]);
    let lines: Vec<_> = findings.stdout.lines().collect();
    assert_eq!(lines.len(), 1, "one document on stdout: {}", findings.stdout);
    assert_eq!(findings.json()["findings"][0]["path"], "a.txt");
}

#[test]
fn a_service_that_is_not_ready_brings_the_old_version_back() {
    let (publisher, machine) = (Publisher::new(), Machine::new());
    publisher.release(&Release::stack("1.0.0"));
    let done = machine.install(&publisher, &["--json"]).expect(0, &[]).json();
    assert_eq!(done["services"][0]["ports"]["main"], 28_080);

    publisher.release(&Release::stack("2.0.0"));
    fs::create_dir_all(machine.root().join("config")).unwrap();
    fs::write(machine.root().join("config/refuse-2.0.0"), "").unwrap();
    let depot = publisher.depot();
    let update = ["update", "--yes", "--source", text(&depot)];
    machine.on_root(&update).expect(
        40,
        &[
            "generation 2 did not become ready",
            "it broke on purpose",
            "a last word",
            "rolled back; generation 1",
        ],
    );
    assert_eq!(machine.status()["packs"][0]["version"], "1.0.0");
    let calls = fs::read_to_string(machine.root().join("logs/calls")).unwrap();
    assert_eq!(calls, "up 1.0.0\ndown 1.0.0\nup 2.0.0\ndown 2.0.0\nup 1.0.0\n");

    fs::remove_file(machine.root().join("config/refuse-2.0.0")).unwrap();
    machine.on_root(&update).expect(0, &[]);
    assert_eq!(machine.status()["packs"][0]["version"], "2.0.0");
}

#[test]
#[cfg(unix)]
fn ctrl_c_while_services_start_brings_the_old_version_back() {
    let (publisher, machine) = (Publisher::new(), Machine::new());
    publisher.release(&Release::stack("1.0.0"));
    machine.install(&publisher, &["--no-start"]).expect(0, &[]);
    publisher.release(&Release::stack("2.0.0"));
    fs::create_dir_all(machine.root().join("config")).unwrap();
    fs::write(machine.root().join("config/hang"), "").unwrap();
    let (depot, root, trust) = (publisher.depot(), machine.root(), publisher.root_json());
    let answers = machine.path("answers.toml");
    fs::write(&answers, "start = true\n").unwrap();
    let words = [
        "install",
        "--yes",
        "--source",
        text(&depot),
        "--root",
        text(&root),
        "--trust",
        text(&trust),
    ];
    let mut command = machine.command(&[&words[..], &["--answers", text(&answers)]].concat());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let calls = machine.root().join("logs/calls");
    let deadline = Instant::now() + Duration::from_secs(20);
    while !fs::read_to_string(&calls).is_ok_and(|c| c.contains("up 2.0.0")) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    let kill = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(kill.unwrap().success());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(
        said.contains("error: cancelled") && said.contains("state: rolled back; generation 1"),
        "{said}"
    );
    assert_eq!(machine.status()["packs"][0]["version"], "1.0.0");
}

#[test]
fn answers_are_saved_and_install_the_next_machine() {
    let (publisher, machine) = (Publisher::new(), Machine::new());
    publisher.release(&Release::stack("1.0.0"));
    let answers = machine.path("answers.toml");
    let flags = ["--component", "app,extra", "--port", "app.main=28999", "--no-start"];
    machine
        .install(&publisher, &[&flags[..], &["--save-answers", text(&answers)]].concat())
        .expect(0, &[]);
    let second = Machine::new();
    second
        .install(&publisher, &["--answers", text(&answers)])
        .expect(0, &[]);
    let record = |m: &Machine| fs::read_to_string(m.root().join("generations/1/record.json")).unwrap();
    for root in [record(&machine), record(&second)] {
        assert!(
            root.contains("extra") && root.contains("28999") && root.contains("\"start\": false"),
            "{root}"
        );
    }

    let wrong = fs::read_to_string(&answers).unwrap().replace("\"extra\"", "\"extar\"");
    fs::write(&answers, wrong).unwrap();
    let third = Machine::new();
    let told = third.install(&publisher, &["--answers", text(&answers)]);
    told.expect(2, &["answers.toml:", "no component `extar`", "did you mean `extra`?"]);
    assert!(!third.root().exists());
}

#[test]
fn the_installer_on_the_stick_brings_its_trust_along() {
    let (publisher, machine) = (Publisher::new(), Machine::new());
    publisher.release(&Release::tree("1.0.0"));
    let own = fs::read(env!("CARGO_BIN_EXE_kojibox-installer")).unwrap();
    let trailer = kojibox_signing::embedded::append(&[fs::read(publisher.root_json()).unwrap()]).unwrap();
    let installer = publisher
        .depot()
        .join(format!("install-test{}", std::env::consts::EXE_SUFFIX));
    fs::copy(env!("CARGO_BIN_EXE_kojibox-installer"), &installer).unwrap();
    fs::write(&installer, [own.clone(), trailer].concat()).unwrap();
    let run = |words: &[&str]| {
        let output = std::process::Command::new(&installer).args(words).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let version: serde_json::Value = serde_json::from_str(&run(&["--version", "--json"])).unwrap();
    assert_eq!(
        version["sha256_without_trust"],
        kojibox_signing::Digest::of(&own).to_string()
    );
    let root = machine.root();
    run(&["install", "--yes", "--root", text(&root)]);
    assert_eq!(machine.status()["state"], "active");
}

#[test]
fn a_dry_run_shows_everything_and_writes_nothing() {
    let (publisher, machine) = (Publisher::new(), Machine::new());
    publisher.release(&Release::stack("1.0.0"));
    let plan = machine
        .install(&publisher, &["--dry-run", "--json"])
        .expect(0, &[])
        .json();
    assert_eq!(plan["packs"][0]["change"], "install");
    assert_eq!(plan["ports"]["app.main"], 28_080);
    assert!(plan["space"]["needed"].as_u64().unwrap() > 0);
    machine
        .install(&publisher, &["--dry-run"])
        .expect(0, &["install stack 1.0.0", "Nothing is written outside"]);
    assert!(!machine.root().exists());
}

#[test]
fn several_packs_share_a_root_and_leave_one_by_one() {
    let (publisher, machine) = (Publisher::new(), Machine::new());
    publisher.release(&Release::tree("1.0.0"));
    publisher.release(&Release::stack("1.0.0"));
    machine
        .install(&publisher, &[])
        .expect(2, &["several packs", "`stack`, `tree`", "name the packs"]);
    machine.install(&publisher, &["tree", "stack@1.0.0"]).expect(0, &[]);
    assert_eq!(machine.status()["packs"].as_array().unwrap().len(), 2);
    machine
        .install(&publisher, &["tree"])
        .expect(50, &["exactly this is installed"]);
    machine
        .on_root(&["uninstall", "stack", "--yes"])
        .expect(0, &["Generation 2 is active without stack"]);
    assert_eq!(machine.status()["packs"][0]["name"], "tree");
    machine
        .on_root(&["uninstall", "stack", "--yes"])
        .expect(2, &["pack `stack` is not installed"]);
}

#[test]
fn what_is_missing_is_a_usage_error_that_names_its_flag() {
    let (publisher, machine) = (Publisher::new(), Machine::new());
    publisher.release(&Release::tree("1.0.0").edit(|manifest| {
        manifest.questions = serde_json::from_value(serde_json::json!([{
            "id": "name", "prompt": { "en": "Your name" }, "kind": "text",
        }]))
        .unwrap();
    }));
    let (depot, root, trust) = (publisher.depot(), machine.root(), publisher.root_json());
    let from = ["--source", text(&depot), "--trust", text(&trust)];
    machine
        .run(&[&["install"], &from[..]].concat())
        .expect(2, &["pass `--root`"]);
    machine
        .install(&publisher, &[])
        .expect(2, &["an answer to `name` is needed", "--set name=VALUE"]);
    let no_yes = [&["install", "--set", "name=Ani", "--root", text(&root)], &from[..]].concat();
    machine.run(&no_yes).expect(2, &["pass `--yes`"]);
    machine.run(&[]).expect(2, &["the wizard needs a terminal"]);
    machine.on_root(&["uninstall"]).expect(2, &["is not an install root"]);
    assert!(!root.exists());
    machine.install(&publisher, &["--set", "name=Ani"]).expect(0, &[]);
}

#[test]
fn a_site_demands_its_own_signature() {
    let (publisher, machine, site) = (Publisher::new(), Machine::new(), Publisher::with(50, &[60], 1));
    let manifest = publisher.release(&Release::tree("1.0.0"));
    let clerk = Key::new(70);
    site.next_root(|root| root.add_key(Role::Approval, &clerk.public_key(), None));
    machine.install(&publisher, &[]).expect(0, &[]);
    let (depot, print) = (site.depot(), site.fingerprint());
    let wrong = format!("SHA256:{}", "A".repeat(43));
    machine
        .on_root(&["trust", "add", "--source", text(&depot), "--fingerprint", &wrong])
        .expect(20, &["no trust root"]);
    machine
        .on_root(&["trust", "add", "--source", text(&depot), "--fingerprint", &print])
        .expect(0, &[]);
    machine
        .on_root(&["trust", "show"])
        .expect(0, &[&site.root16(), "approval (1 of 1)"]);

    drop(manifest);
    let manifest = publisher.release(&Release::tree("1.1.0"));
    let depot = publisher.depot();
    let update = ["update", "--yes", "--source", text(&depot)];
    machine
        .on_root(&update)
        .expect(20, &["no sufficient approval", "--approval FILE"]);
    let stranger = publisher.approval(&manifest, &Key::new(71));
    machine
        .on_root(&[&update[..], &["--approval", text(&stranger)]].concat())
        .expect(20, &["approval"]);
    let approval = publisher.approval(&manifest, &clerk);
    let name = manifest.file_name().unwrap().to_str().unwrap();
    let beside = manifest.with_file_name(kojibox_packs::names::approval(name, &clerk.short()));
    fs::copy(&approval, &beside).unwrap();
    machine
        .on_root(&[&update[..], &["--dry-run"]].concat())
        .expect(0, &["update tree from 1.0.0 to 1.1.0"]);
    fs::remove_file(beside).unwrap();
    machine
        .on_root(&[&update[..], &["--approval", text(&approval)]].concat())
        .expect(0, &[]);
    machine
        .on_root(&["trust", "remove", &publisher.root16(), "--yes"])
        .expect(2, &["is installed"]);
    machine
        .on_root(&["trust", "remove", &site.root16(), "--yes"])
        .expect(0, &[]);
}
