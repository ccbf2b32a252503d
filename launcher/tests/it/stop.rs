//! Stopping: order, recipes, and that nothing is left.

use std::{fs, process::Stdio};

use serde_json::json;

use crate::fixture::{Root, eventually, free_port, kill, lives, script, server, text, with};

#[test]
fn nothing_survives_down_not_even_what_forked_away() {
    let dir = tempfile::tempdir().unwrap();
    let pids = dir.path().join("pids");
    // A grandchild in a session of its own that ignores every gentle signal and keeps no pipe open.
    let escape = format!(
        "setsid sh -c 'trap \"\" TERM INT HUP; echo $$ >> {0}; while :; do sleep 0.05; done' >/dev/null 2>&1 & echo $$ >> {0}; echo away; exec sleep 1000",
        pids.display()
    );
    let check = json!({ "readiness": { "check": { "log": "^away$" }, "timeout": "20s" } });
    let root = Root::new(&[with(script("fork", &escape), check), server("web", free_port())]);
    root.ok(&["up"]);
    let all: Vec<u32> = eventually("both have told their numbers", || {
        let text = fs::read_to_string(&pids).ok()?;
        let pids: Vec<u32> = text.lines().filter_map(|l| l.parse().ok()).collect();
        (pids.len() == 2).then_some(pids)
    });
    let sockets = root.sockets();
    assert!(sockets.exists());
    root.ok(&["down"]);
    assert!(all.iter().all(|pid| !lives(*pid)), "{all:?}");
    assert!(
        root.processes().is_empty(),
        "something of the tree still runs: {:?}",
        root.processes()
    );
    assert!(!sockets.exists(), "{sockets:?}");
}

#[test]
fn the_recipe_is_followed_step_by_step_and_dependents_stop_first() {
    let dir = tempfile::tempdir().unwrap();
    let note = dir.path().join("note");
    let db = format!(
        "trap 'echo db-int >> {0}' INT; trap 'echo db-quit >> {0}; exit 0' QUIT; echo ready; while :; do sleep 0.02; done",
        note.display()
    );
    let app = format!(
        "trap 'sleep 0.3; echo app-term >> {0}; exit 0' TERM; echo ready; while :; do sleep 0.02; done",
        note.display()
    );
    let ready = json!({ "readiness": { "check": { "log": "^ready$" }, "timeout": "20s" } });
    let db = with(
        with(script("db", &db), ready.clone()),
        json!({ "stop": { "unix": [{ "signal": "INT", "wait": "200ms" }, { "signal": "QUIT", "wait": "10s" }] } }),
    );
    let app = with(
        with(script("app", &app), ready),
        json!({ "requires": { "db": "ready" } }),
    );
    let root = Root::new(&[app, db]);
    root.ok(&["up"]);
    root.ok(&["down", "db"]);
    assert_eq!(fs::read_to_string(&note).unwrap(), "app-term\ndb-int\ndb-quit\n");
    let states: Vec<String> = root
        .status()
        .services
        .iter()
        .map(|s| format!("{:?}", s.state))
        .collect();
    assert_eq!(states, ["Stopped", "Stopped"]);
    assert!(
        root.daemon().is_some(),
        "the daemon stays unless everything was asked to go"
    );
}

#[test]
fn a_program_in_the_recipe_is_run() {
    let dir = tempfile::tempdir().unwrap();
    let flag = dir.path().join("flag");
    let body = format!("while [ ! -e '{}' ]; do sleep 0.02; done; exit 0", flag.display());
    let stop = json!({ "stop": { "unix": [{ "run": ["/bin/touch", flag.to_str().unwrap()], "wait": "20s" }] } });
    let root = Root::new(&[with(script("db", &body), stop)]);
    root.ok(&["up"]);
    root.ok(&["down"]);
    let said: Vec<String> = root
        .log("db")
        .iter()
        .map(|r| r["msg"].as_str().unwrap().to_owned())
        .collect();
    assert!(said.iter().any(|m| m.contains("exited with code 0")), "{said:?}");
    assert!(!said.iter().any(|m| m.contains("killing")), "{said:?}");
}

#[test]
fn a_second_interrupt_forces() {
    let root = Root::new(&[with(
        script("stubborn", "trap '' TERM; echo ready; while :; do sleep 0.02; done"),
        json!({ "stop": { "unix": [{ "signal": "TERM", "wait": "1h" }] }, "readiness": { "check": { "log": "^ready$" } } }),
    )]);
    root.ok(&["up"]);
    let pid = root.pid("stubborn");
    let mut down = root.command(&["down"]);
    let down = down.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("it is being stopped", || {
        (format!("{:?}", root.service("stubborn").state) == "Stopping").then_some(())
    });
    kill("INT", down.id());
    kill_until_gone(&down, pid);
    let output = down.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(!lives(pid));
}

/// Presses Ctrl-C again once the first has been taken, which only its effect shows.
fn kill_until_gone(down: &std::process::Child, pid: u32) {
    eventually("the second interrupt forces", || {
        if lives(down.id()) {
            kill("INT", down.id());
        }
        (!lives(pid)).then_some(())
    });
}

#[test]
fn an_interrupted_up_takes_back_what_it_began() {
    let never = json!({ "readiness": { "check": { "log": "^never$" }, "timeout": "1h" } });
    let root = Root::new(&[with(script("slow", "exec sleep 1000"), never)]);
    let mut up = root.command(&["up"]);
    let up = up.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = eventually("it starts", || root.status().service("slow").and_then(|s| s.pid));
    kill("INT", up.id());
    let output = up.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    eventually("it is stopped", || (!lives(pid)).then_some(()));
}

#[test]
fn down_without_anything_running_is_fine_and_down_twice_too() {
    let root = Root::new(&[script("a", "exec sleep 1000")]);
    root.ok(&["down"]);
    root.ok(&["up"]);
    root.ok(&["down"]);
    root.ok(&["down"]);
    assert_eq!(format!("{:?}", root.service("a").state), "Stopped");
    assert_eq!(root.daemon(), None, "asking for the state at rest starts nothing");
}

#[test]
fn down_finds_what_a_dead_daemon_left() {
    let root = Root::new(&[script("a", "exec sleep 1000")]);
    root.ok(&["up"]);
    let (a, daemon) = (root.pid("a"), root.daemon().expect("it runs"));
    kill("KILL", daemon);
    eventually("the daemon is dead", || (!lives(daemon)).then_some(()));
    root.ok(&["down"]);
    assert!(!lives(a));
    assert!(root.processes().is_empty(), "{:?}", root.processes());
}
