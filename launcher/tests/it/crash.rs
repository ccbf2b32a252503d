//! Crashes of everything: the service, the daemon, the shim, all at once.

use std::fs;

use serde_json::json;

use crate::fixture::{Root, eventually, free_port, kill, lives, script, server, with};

#[test]
fn a_service_that_crashes_is_started_again_until_it_is_too_often() {
    let crash = with(
        script("crash", "echo so long; exit 7"),
        json!({ "restart": { "policy": "on-failure", "limit": 2 } }),
    );
    let root = Root::new(&[crash]);
    // It runs for a moment, so `up` may see it running; what counts is where it ends.
    drop(root.run(&["up"]));
    let failed = eventually("it has failed too often", || {
        let s = root.service("crash");
        (format!("{:?}", s.state) == "Failed").then_some(s)
    });
    let reason = failed.reason.unwrap();
    assert!(
        reason.contains("2 attempts in a row failed") && reason.contains("code 7") && reason.contains("so long"),
        "{reason}"
    );
    assert_eq!((failed.restarts, failed.generation), (1, 2));
}

#[test]
fn killing_the_daemon_leaves_services_alone_and_the_next_one_takes_over() {
    let root = Root::new(&[server("web", free_port()), script("plain", "echo one; exec sleep 1000")]);
    root.ok(&["up"]);
    let (web, plain, daemon) = (root.pid("web"), root.pid("plain"), root.daemon().expect("it runs"));
    kill("KILL", daemon);
    eventually("the daemon is dead", || (!lives(daemon)).then_some(()));
    assert!(lives(web) && lives(plain));

    let status = root.status();
    assert_ne!(root.daemon(), Some(daemon));
    for (name, pid) in [("web", web), ("plain", plain)] {
        let service = status.service(name).unwrap();
        assert_eq!(
            (service.pid, service.restarts, service.generation),
            (Some(pid), 0, 1),
            "{service:?}"
        );
        assert!(service.is_up(), "{service:?}");
    }
    root.ok(&["up"]);
    assert_eq!((root.pid("web"), root.pid("plain")), (web, plain));
}

#[test]
fn the_true_exit_code_is_kept_when_no_daemon_saw_it() {
    let dir = tempfile::tempdir().unwrap();
    let gate = dir.path().join("gate");
    let text = format!("while [ ! -e '{}' ]; do sleep 0.02; done; exit 42", gate.display());
    let root = Root::new(&[with(script("job", &text), json!({ "restart": { "policy": "never" } }))]);
    root.ok(&["up"]);
    let (job, daemon) = (root.pid("job"), root.daemon().expect("it runs"));
    kill("KILL", daemon);
    eventually("the daemon is dead", || (!lives(daemon)).then_some(()));
    fs::write(&gate, "").unwrap();
    eventually("the service has ended", || (!lives(job)).then_some(()));
    eventually("its shim has left a record", || {
        root.path.join("run/_instances/job.exit.json").exists().then_some(())
    });
    let job = eventually("it is told", || {
        Some(root.service("job")).filter(|s| format!("{:?}", s.state) == "Failed")
    });
    assert!(job.reason.as_ref().unwrap().contains("code 42"), "{job:?}");
}

#[test]
fn a_killed_shim_takes_its_service_along_gently_and_both_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let note = dir.path().join("note");
    let script_text = format!(
        "trap 'echo bye >> {}; exit 0' INT; while :; do sleep 0.05; done",
        note.display()
    );
    let stop = json!({ "stop": { "unix": [{ "signal": "INT", "wait": "10s" }] } });
    let root = Root::new(&[with(script("db", &script_text), stop)]);
    root.ok(&["up"]);
    let before = root.pid("db");
    kill("KILL", parent(before));
    let after = eventually("it runs again", || {
        root.status().service("db").and_then(|s| s.pid).filter(|p| *p != before)
    });
    assert!(!lives(before) && lives(after));
    assert_eq!(
        fs::read_to_string(note).unwrap(),
        "bye\n",
        "it was asked with its own first signal"
    );
    assert_eq!(root.service("db").restarts, 1);
}

#[test]
fn daemon_and_shim_killed_together_leave_nothing_unaccounted_for() {
    let root = Root::new(&[script("db", "trap '' INT TERM; while :; do sleep 0.05; done")]);
    root.ok(&["up"]);
    let (db, daemon) = (root.pid("db"), root.daemon().expect("it runs"));
    let shim = parent(db);
    kill("KILL", daemon);
    kill("KILL", shim);
    eventually("both are dead", || (!lives(daemon) && !lives(shim)).then_some(()));
    assert!(lives(db), "it ignores the gentle signal");
    let after = eventually("one copy runs again", || {
        root.status().service("db").and_then(|s| s.pid).filter(|p| *p != db)
    });
    assert!(lives(after) && !lives(db), "never two copies");
}

#[test]
fn a_stranger_with_a_recorded_number_is_not_touched() {
    let root = Root::new(&[script("db", "exec sleep 1000")]);
    root.ok(&["up"]);
    let (db, daemon) = (root.pid("db"), root.daemon().expect("it runs"));
    let file = root.path.join("run/_instances/db.json");
    let mut instance: serde_json::Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    kill("KILL", daemon);
    kill("TERM", parent(db));
    eventually("the service is stopped", || (!lives(db)).then_some(()));
    eventually("its shim has left", || (!file.exists()).then_some(()));

    // The same numbers, now of somebody else who was started at another time.
    let mut stranger = std::process::Command::new("/bin/sleep").arg("1000").spawn().unwrap();
    for who in ["shim", "process"] {
        instance[who]["pid"] = json!(stranger.id());
    }
    fs::write(&file, instance.to_string()).unwrap();
    drop(root.status());
    root.ok(&["down"]);
    assert!(lives(stranger.id()));
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[test]
fn a_port_taken_at_the_last_instant_is_replaced_without_a_restart_counting() {
    // The first start fails as if somebody had been faster; the second finds another port.
    let port = free_port();
    let dir = tempfile::tempdir().unwrap();
    let first = dir.path().join("first");
    let text = format!(
        "if [ ! -e '{0}' ]; then touch '{0}'; echo 'bind: Address already in use' >&2; exit 98; fi; echo ready; exec sleep 1000",
        first.display()
    );
    let keys = json!({
        "ports": { "main": { "prefer": port } },
        "readiness": { "check": { "log": "^ready$" }, "timeout": "20s" },
        "restart": { "policy": "never" },
    });
    let root = Root::new(&[with(script("web", &text), keys)]);
    root.ok(&["up"]);
    let web = root.service("web");
    assert_ne!(web.ports["main"], port);
    assert_eq!((web.restarts, web.generation), (0, 2));
}

fn parent(pid: u32) -> u32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, rest) = stat.rsplit_once(')').unwrap();
    rest.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

/// As after a logout: the directory is gone, daemon and services live.
fn loses_its_sockets(root: &Root) {
    root.ok(&["up"]);
    let (web, plain, daemon) = (root.pid("web"), root.pid("plain"), root.daemon().expect("it runs"));
    fs::remove_dir_all(root.sockets()).unwrap();
    let status = root.status();
    let pids = ["web", "plain"].map(|n| status.service(n).unwrap().pid);
    assert_eq!((pids, root.daemon()), ([Some(web), Some(plain)], Some(daemon)));

    // Once more, and now the daemon is gone too: the next one has to find shims that nobody can reach.
    fs::remove_dir_all(root.sockets()).unwrap();
    kill("KILL", daemon);
    eventually("the daemon is dead", || (!lives(daemon)).then_some(()));
    assert_eq!((root.pid("web"), root.pid("plain")), (web, plain));

    fs::remove_dir_all(root.sockets()).unwrap();
    root.ok(&["down"]);
    assert!(root.processes().is_empty(), "{:?}", root.processes());
}

#[test]
fn sockets_that_are_taken_away_come_back() {
    let services = [server("web", free_port()), script("plain", "exec sleep 1000")];
    let root = Root::new(&services);
    loses_its_sockets(&root);
}

#[test]
fn sockets_of_a_tree_with_a_long_path_come_back() {
    let services = [server("web", free_port()), script("plain", "exec sleep 1000")];
    let mut root = Root::new(&services);
    let long = root.path.with_file_name("l".repeat(120));
    fs::rename(&root.path, &long).unwrap();
    root.path = long;
    loses_its_sockets(&root);
    root.ok(&["up"]);
    assert!(root.sockets().starts_with("/tmp"), "{:?}", root.sockets());
}

#[test]
fn a_suspended_daemon_goes_on() {
    let root = Root::new(&[script("plain", "exec sleep 1000")]);
    root.ok(&["up"]);
    let (plain, daemon) = (root.pid("plain"), root.daemon().expect("it runs"));
    kill("STOP", daemon);
    assert_eq!((root.pid("plain"), root.daemon()), (plain, Some(daemon)));
}

#[test]
fn what_a_dead_shim_left_of_a_service_that_is_declared_no_more_is_ended() {
    let mut root = Root::new(&[script("old", "trap '' INT TERM; while :; do sleep 0.05; done")]);
    root.ok(&["up"]);
    let (old, daemon) = (root.pid("old"), root.daemon().expect("it runs"));
    kill("KILL", daemon);
    kill("KILL", parent(old));
    eventually("the daemon is dead", || (!lives(daemon)).then_some(()));
    assert!(lives(old), "it ignores the gentle signal");
    root.install("2.0.0", &[script("new", "exec sleep 1000")]);
    root.ok(&["up"]);
    assert!(!lives(old));
    assert!(!root.path.join("run/_instances/old.json").exists());
}
