//! The command line: how the tree is found, the front door, the answers for programs.

use std::{fs, process::Command};

use serde_json::Value;

use crate::fixture::{Root, free_port, script, server, text};

#[test]
fn the_tree_is_found_by_flag_variable_and_place() {
    let root = Root::new(&[script("a", "exec sleep 1000")]);
    let exe = env!("CARGO_BIN_EXE_kojibox");
    let run = |command: &mut Command| {
        let output = command.env_remove("KOJIBOX_ROOT_UNUSED").output().unwrap();
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    };
    let (code, said) = run(Command::new(exe).env_remove("KOJIBOX_ROOT").arg("status"));
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--root DIR"), "{said}");
    let (code, said) = run(Command::new(exe).env("KOJIBOX_ROOT", &root.path).arg("status"));
    assert_eq!((code, said.contains("stopped")), (Some(0), true), "{said}");
    let (code, said) = run(Command::new(exe)
        .env("KOJIBOX_ROOT", "/nowhere")
        .arg("--root")
        .arg(&root.path)
        .arg("status"));
    assert_eq!(code, Some(0), "{said}");

    let inside = root.path.join("kojibox");
    fs::copy(exe, &inside).unwrap();
    let (code, said) = run(Command::new(&inside).env_remove("KOJIBOX_ROOT").arg("status"));
    assert_eq!((code, said.contains("stopped")), (Some(0), true), "{said}");
}

#[test]
fn programs_get_the_documents_they_rely_on() {
    let port = free_port();
    let root = Root::new(&[server("web", port)]);
    let rest: Value = serde_json::from_str(&root.ok(&["status", "--json"])).unwrap();
    let web = &rest["services"][0];
    assert_eq!(
        (&web["state"], &web["desired"], &web["pid"]),
        (&"stopped".into(), &"down".into(), &Value::Null)
    );
    assert_eq!(web["ports"]["main"], port);
    root.ok(&["up", "-q"]);
    let ports: Value = serde_json::from_str(&root.ok(&["ports", "--json"])).unwrap();
    assert_eq!(ports["ports"][0]["port"], port);
    let env: Value = serde_json::from_str(&root.ok(&["env", "--json"])).unwrap();
    assert_eq!(env["KOJIBOX_PORT_WEB_MAIN"], port.to_string());
    assert!(root.ok(&["doctor"]).contains("all 1 components are in their places"));
}

#[test]
fn the_first_full_start_confirms_a_generation_whose_gate_was_interrupted() {
    let root = Root::new(&[script("a", "exec sleep 1000"), script("b", "exec sleep 1000")]);
    let pointer = || -> Value { serde_json::from_str(&root.read("state/current.json")).unwrap() };
    let open = root
        .read("state/current.json")
        .replace("\"confirmed\": true", "\"confirmed\": false");
    fs::write(root.path.join("state/current.json"), open).unwrap();
    root.ok(&["up", "a"]);
    assert_eq!(pointer()["confirmed"], false, "one service is not the gate");
    root.ok(&["up"]);
    assert_eq!(pointer()["confirmed"], true);
}

#[test]
fn exec_runs_with_the_local_path_and_ends_as_its_command_ends() {
    let root = Root::new(&[script("a", "exec sleep 1")]);
    let tree = fs::read_dir(root.path.join("components"))
        .unwrap()
        .flatten()
        .find(|e| text(e.file_name().as_encoded_bytes()).starts_with("app-"));
    let bin = tree.unwrap().path().join("bin");
    fs::create_dir(&bin).unwrap();
    fs::write(bin.join("hello-from-here"), "#!/bin/sh\necho \"$0 $1\"; exit 5\n").unwrap();
    Command::new("/bin/chmod")
        .arg("+x")
        .arg(bin.join("hello-from-here"))
        .status()
        .unwrap();
    let output = root.run(&["exec", "--", "hello-from-here", "--flag"]);
    assert_eq!(output.status.code(), Some(5), "{}", text(&output.stderr));
    assert_eq!(
        text(&output.stdout).trim(),
        format!("{} --flag", bin.join("hello-from-here").display())
    );
    let said = root.fails(2, &["exec", "--", "no-such-program"]);
    assert!(said.contains("no-such-program"), "{said}");
}

#[test]
fn nothing_installed_is_told_as_such() {
    let root = Root::empty();
    let said = root.fails(50, &["up"]);
    assert!(said.contains("nothing is installed"), "{said}");
}

#[test]
fn a_damaged_record_is_refused() {
    let root = Root::new(&[script("a", "exec sleep 1")]);
    let packs = root.path.join("records/packs");
    let manifest = fs::read_dir(&packs)
        .unwrap()
        .flatten()
        .next()
        .unwrap()
        .path()
        .join("manifest.kbx.json");
    let changed = fs::read_to_string(&manifest)
        .unwrap()
        .replace("exec sleep 1", "exec sleep 2");
    fs::write(&manifest, changed).unwrap();
    let said = root.fails(21, &["up"]);
    assert!(said.contains("is damaged: sha256 is"), "{said}");
}
