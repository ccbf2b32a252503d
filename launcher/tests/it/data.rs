//! Data directories: made once, moved between formats, kept on the way back.

use std::fs;

use serde_json::{Value, json};

use crate::fixture::{Root, eventually, kill, lives, script, with};

fn keeper(format: &str, init: &str) -> Value {
    with(
        script("db", "exec sleep 1000"),
        json!({
            "command": ["/bin/sh", "-c", "exec sleep 1000", "sh", "{data}"], "data_format": format,
            "init": { "command": ["/bin/sh", "-c", init, "sh", "{data}"] },
        }),
    )
}

fn migration(text: &str, in_place: bool) -> Value {
    json!([{ "service": "db", "from": "1", "to": "2", "in_place": in_place,
             "command": ["/bin/sh", "-c", text, "sh", "{data_old}", "{data}", "{component_old}"] }])
}

#[test]
fn data_is_made_once_and_a_failed_attempt_leaves_nothing() {
    let gate = tempfile::tempdir().unwrap();
    let gate = gate.path().join("gate");
    let init = format!(
        "echo half > \"$1/half\"; [ -e '{0}' ] || {{ echo no gate >&2; exit 3; }}; rm \"$1/half\"; echo once >> \"$1/rows\"",
        gate.display()
    );
    let root = Root::new(&[keeper("1", &init)]);
    let said = root.fails(40, &["up"]);
    assert!(
        said.contains("making the data directory failed") && said.contains("no gate"),
        "{said}"
    );
    assert!(!root.path.join("data/db/1").exists());
    fs::create_dir_all(gate.parent().unwrap()).unwrap();
    fs::write(&gate, "").unwrap();
    root.ok(&["up"]);
    root.ok(&["restart", "db"]);
    assert_eq!(root.read("data/db/1/rows"), "once\n");
    assert!(!root.path.join("data/db/1/half").exists() && !root.path.join("data/db/1.init").exists());
}

#[test]
fn killed_while_data_is_made_it_starts_over_and_the_helper_does_not_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let (begun, gate) = (dir.path().join("begun"), dir.path().join("gate"));
    let init = format!(
        "echo $$ >> '{0}'; echo litter > \"$1/$$\"; while [ ! -e '{1}' ]; do sleep 0.02; done; echo done > \"$1/rows\"",
        begun.display(),
        gate.display()
    );
    let root = Root::new(&[keeper("1", &init)]);
    let mut up = root.start(&["up"]);
    let first: u32 = eventually("it begins", || {
        fs::read_to_string(&begun).ok()?.lines().next()?.parse().ok()
    });
    let daemon = root.daemon().expect("it runs");
    kill("KILL", daemon);
    drop(up.wait());
    eventually("the daemon is dead", || (!lives(daemon)).then_some(()));
    fs::write(&gate, "").unwrap();
    root.ok(&["up"]);
    assert!(!lives(first));
    assert_eq!(root.read("data/db/1/rows"), "done\n");
    let tries: Vec<String> = fs::read_to_string(&begun).unwrap().lines().map(str::to_owned).collect();
    let litter = |pid: &String| root.path.join("data/db/1").join(pid).exists();
    assert!(!litter(&tries[0]) || tries.len() == 1, "{tries:?}");
}

#[test]
fn data_moves_forward_and_the_way_back_finds_it_as_it_was() {
    let mut root = Root::new(&[keeper("1", "echo old > \"$1/rows\"")]);
    root.ok(&["up"]);
    root.ok(&["down"]);
    root.extra.insert(
        "migrations".to_owned(),
        migration(
            "sed s/old/new/ \"$1/rows\" > \"$2/rows\"; echo \"$3\" > \"$2/was\"",
            false,
        ),
    );
    root.install("2.0.0", &[keeper("2", "exit 9")]);
    root.ok(&["up"]);
    assert_eq!(
        (root.read("data/db/1/rows"), root.read("data/db/2/rows")),
        ("old\n".into(), "new\n".into())
    );
    assert!(
        root.read("data/db/2/was").contains("app-1.0.0-"),
        "the tree of the generation that used it last"
    );
    root.ok(&["down"]);

    root.point_to(1);
    root.ok(&["up"]);
    let active: Value = serde_json::from_str(&root.read("data/db/active.json")).unwrap();
    assert_eq!(
        (active["format"].as_str(), active["generation"].as_u64()),
        (Some("1"), Some(1))
    );
    assert_eq!(
        (root.read("data/db/1/rows"), root.read("data/db/2/rows")),
        ("old\n".into(), "new\n".into())
    );
    root.ok(&["down"]);

    root.point_to(2);
    root.ok(&["up"]);
    assert_eq!(
        root.read("data/db/2.aside-1/rows"),
        "new\n",
        "what an earlier move had made is kept"
    );
}

#[test]
fn a_move_that_fails_leaves_the_old_data_active() {
    let mut root = Root::new(&[keeper("1", "echo old > \"$1/rows\"")]);
    root.ok(&["up"]);
    root.ok(&["down"]);
    root.extra.insert(
        "migrations".to_owned(),
        migration("echo broken >> \"$1/rows\"; exit 4", true),
    );
    root.install("2.0.0", &[keeper("2", "exit 9")]);
    let said = root.fails(40, &["up"]);
    assert!(
        said.contains("moving the data to its new format failed") && said.contains("code 4"),
        "{said}"
    );
    assert_eq!(root.read("data/db/1/rows"), "old\n", "it works on a copy");
    assert!(!root.path.join("data/db/2").exists());
    root.ok(&["down"]);
    root.point_to(1);
    root.ok(&["up"]);

    root.extra.remove("migrations");
    root.ok(&["down"]);
    root.install("3.0.0", &[keeper("3", "exit 9")]);
    let said = root.fails(40, &["up"]);
    assert!(
        said.contains("the data has format `1`, this version needs `3`"),
        "{said}"
    );
}
