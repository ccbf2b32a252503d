//! Data directories: made once, moved between formats, kept on the way back.

use std::fs;

use serde_json::{Value, json};

use kojibox_signing::Digest;

use crate::fixture::{Root, eventually, kill, lives, script, text, with};

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
        (root.read("data/db/1/rows"), root.read("data/db/2.aside-1/rows")),
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
    let status = root.ok(&["status"]);
    assert!(
        status.contains("older data: data/db/1, ") && status.contains("kept aside: data/db/2.aside-1, "),
        "{status}"
    );
    assert!(root.ok(&["doctor"]).contains("`data/db/2.aside-1` keeps "));
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

/// A database whose program ends by TERM only if it is `gentle`.
fn stubborn(gentle: bool) -> Value {
    let trap = if gentle { "trap 'exit 0' TERM" } else { "trap '' TERM" };
    let body = format!("{trap}; echo ready; while :; do sleep 0.02; done");
    with(
        keeper("1", "echo old > \"$1/rows\""),
        json!({
            "command": ["/bin/sh", "-c", body, "sh", "{data}"],
            "stop": { "unix": [{ "signal": "TERM", "wait": "200ms" }] },
            "readiness": { "check": { "log": "^ready$" }, "timeout": "20s" },
        }),
    )
}

#[test]
fn a_stop_that_was_not_clean_is_told_and_its_data_is_not_moved() {
    let mut root = Root::new(&[stubborn(false)]);
    root.ok(&["up"]);
    let said = root.fails(40, &["down"]);
    assert!(
        said.contains("`db` was not stopped cleanly") && said.contains("its stop recipe did not end it"),
        "{said}"
    );
    assert!(
        said.contains("state: nothing runs") && said.contains("kojibox\" up`"),
        "{said}"
    );
    assert!(root.processes().is_empty());
    let said = root.run(&["down", "--json"]);
    assert_eq!(said.status.code(), Some(40), "it is remembered");
    let document: Value = serde_json::from_slice(&said.stdout).unwrap();
    assert!(document["services"][0]["data"]["unclean"].is_string(), "{document}");
    assert_eq!(root.run(&["doctor"]).status.code(), Some(40));

    root.extra
        .insert("migrations".to_owned(), migration("cp \"$1/rows\" \"$2/rows\"", false));
    root.install("2.0.0", &[keeper("2", "exit 9")]);
    let said = root.fails(40, &["up"]);
    assert!(
        said.contains("was not left cleanly, so it is not moved to format `2`")
            && said.contains("hint: start and stop"),
        "{said}"
    );
    assert!(!root.path.join("data/db/2").exists() && !root.path.join("data/db/2.init").exists());
    // The version that wrote it starts, repairs it, and is stopped as it should be.
    root.run(&["down"]);
    root.extra.remove("migrations");
    root.install("1.0.1", &[stubborn(true)]);
    root.ok(&["up"]);
    root.ok(&["down"]);
    root.point_to(2);
    root.ok(&["up"]);
    assert_eq!(root.read("data/db/2/rows"), "old\n");
}

#[test]
fn data_in_use_when_everything_was_killed_is_not_moved() {
    let mut root = Root::new(&[stubborn(true)]);
    root.ok(&["up"]);
    for pid in root.processes() {
        if lives(pid) {
            kill("KILL", pid);
        }
    }
    eventually("everything is dead", || {
        root.processes().iter().all(|pid| !lives(*pid)).then_some(())
    });
    let said = root.fails(40, &["down"]);
    assert!(said.contains("went down"), "{said}");
    root.ok(&["up"]);
    root.ok(&["down"]);
    root.extra
        .insert("migrations".to_owned(), migration("echo more >> \"$2/rows\"", true));
    root.install("2.0.0", &[keeper("2", "exit 9")]);
    root.ok(&["up"]);
}

/// Names, modes and bytes of a directory.
fn picture(root: &Root, dir: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut open = vec![root.path.join(dir)];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).unwrap().flatten() {
            let (path, meta) = (entry.path(), entry.metadata().unwrap());
            if meta.is_dir() {
                open.push(path.clone());
            }
            let bytes = if meta.is_file() {
                fs::read(&path).unwrap()
            } else {
                Vec::new()
            };
            let mode = std::os::unix::fs::PermissionsExt::mode(&meta.permissions());
            all.push(format!("{} {mode:o} {}", path.display(), Digest::of(&bytes)));
        }
    }
    all.sort();
    all
}

#[test]
fn the_old_data_is_byte_identical_after_a_move_of_either_kind() {
    for in_place in [false, true] {
        let init = "mkdir -p \"$1/base/16384\"; seq 1 50000 > \"$1/base/16384/rows\"; head -c 100000 /dev/urandom > \"$1/wal\"; chmod 600 \"$1/wal\"; ln -s base \"$1/link\"";
        let mut root = Root::new(&[keeper("1", init)]);
        root.ok(&["up"]);
        root.ok(&["down"]);
        let before = picture(&root, "data/db/1");
        assert!(before.len() > 4, "{before:?}");
        let move_it = if in_place {
            "set -e; [ \"$1\" = \"$2\" ]; echo more >> \"$2/base/16384/rows\"; rm \"$2/wal\"; [ -L \"$2/link\" ]"
        } else {
            "set -e; [ \"$1\" != \"$2\" ]; mkdir -p \"$2/base\"; cp -r \"$1/base/16384\" \"$2/base/\"; echo more >> \"$2/base/16384/rows\""
        };
        root.extra.insert("migrations".to_owned(), migration(move_it, in_place));
        root.install("2.0.0", &[keeper("2", "exit 9")]);
        root.ok(&["up"]);
        assert_eq!(picture(&root, "data/db/1"), before);
        assert!(root.read("data/db/2/base/16384/rows").ends_with("50000\nmore\n"));
        root.ok(&["down"]);
        root.point_to(1);
        root.ok(&["up"]);
        root.ok(&["down"]);
        assert_eq!(picture(&root, "data/db/1"), before, "and after the way back");
    }
}

#[test]
fn killed_at_every_point_the_next_start_ends_well() {
    for point in kojibox_supervisor::point_names() {
        let mut root = Root::new(&[keeper("1", "echo old > \"$1/rows\"")]);
        let crash = |root: &Root| {
            let mut up = root.command(&["up"]);
            let ended = up.env("KOJIBOX_CRASH_AT", point).output().unwrap();
            !ended.status.success()
        };
        let made = crash(&root);
        root.ok(&["up"]);
        root.ok(&["down"]);
        root.extra.insert(
            "migrations".to_owned(),
            migration(
                "echo half > \"$2/half\"; sed -i s/old/new/ \"$2/rows\"; rm \"$2/half\"",
                true,
            ),
        );
        root.install("2.0.0", &[keeper("2", "exit 9")]);
        let moved = crash(&root);
        root.ok(&["up"]);
        assert_eq!(
            (root.read("data/db/1/rows"), root.read("data/db/2/rows")),
            ("old\n".to_owned(), "new\n".to_owned()),
            "`{point}`"
        );
        root.ok(&["down"]);
        root.point_to(1);
        let returned = crash(&root);
        root.ok(&["up"]);
        assert_eq!(root.read("data/db/1/rows"), "old\n", "`{point}`");
        assert_eq!(root.read("data/db/2.aside-1/rows"), "new\n", "`{point}`");
        let litter = fs::read_dir(root.path.join("data/db")).unwrap().flatten();
        let litter: Vec<_> = litter
            .filter(|e| e.file_name().to_string_lossy().contains(".init"))
            .collect();
        assert!(litter.is_empty(), "`{point}`: {litter:?}");
        assert!(made || moved || returned, "`{point}` is never reached");
    }
}

#[test]
fn no_room_for_the_copy_is_told_with_figures_before_anything_is_copied() {
    let mut root = Root::new(&[keeper(
        "1",
        "truncate -s 4T \"$1/rows\" 2>/dev/null || truncate -s 1T \"$1/rows\"",
    )]);
    root.ok(&["up"]);
    root.ok(&["down"]);
    root.extra.insert("migrations".to_owned(), migration("exit 0", true));
    root.install("2.0.0", &[keeper("2", "exit 9")]);
    let output = root.run(&["up"]);
    let said = text(&output.stderr);
    // Where blocks can be shared there is room enough.
    if output.status.success() {
        return;
    }
    assert_eq!(output.status.code(), Some(31), "{said}");
    assert!(said.contains("GiB needed") && said.contains(" free"), "{said}");
    assert!(!root.path.join("data/db/2.init").exists());
}

#[test]
fn data_of_a_service_that_was_not_started_after_all_counts_as_it_did() {
    let root = Root::new(&[with(script("db", "exec sleep 1000"), json!({ "data_format": "1" }))]);
    root.ok(&["up"]);
    root.ok(&["down"]);
    let before = root.read("data/db/use.json");
    assert!(before.contains("clean"), "{before}");
    // The log cannot be opened: the program is never started.
    let log = root.path.join("logs/db/current.jsonl");
    fs::remove_file(&log).unwrap();
    fs::create_dir(&log).unwrap();
    root.fails(40, &["up"]);
    assert_eq!(root.read("data/db/use.json"), before);
    assert!(!root.path.join("run/_instances/db.json").exists());
}
