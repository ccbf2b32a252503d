//! Checks: each kind that a pack can declare decides when its service counts as ready.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::{
    fixture::{Root, eventually, free_port, kill, lives, script, with},
    helper,
};

/// A service of the helper that does `words`, with a port `main` and this check.
fn helped(words: &str, check: &Value) -> Value {
    json!({
        "id": "it", "component": "app", "command": helper::command(), "env": { helper::VARIABLE: words },
        "ports": { "main": { "prefer": free_port() } },
        "readiness": { "check": check, "period": "50ms", "timeout": "30s" },
    })
}

/// It is not ready before `gate` exists, and is afterwards.
fn expect_gated(service: Value, gate: &Path) {
    let root = Root::new(&[service]);
    let up = root.start(&["up"]);
    eventually("it starts", || root.status().service("it").and_then(|s| s.pid));
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(format!("{:?}", root.service("it").state), "Starting");
    fs::write(gate, "").unwrap();
    let output = up.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(format!("{:?}", root.service("it").state), "Running");
}

#[test]
fn every_protocol_check_waits_for_a_server_that_speaks_it() {
    for protocol in ["tcp", "http", "postgres", "mysql", "redis", "smtp", "fastcgi"] {
        let dir = tempfile::tempdir().unwrap();
        let gate = dir.path().join("gate");
        let check = match protocol {
            "http" => json!({ "http": "http://127.0.0.1:{port:main}/healthz" }),
            other => json!({ other: "{port:main}" }),
        };
        let words = format!("speak\n{protocol}\n{{port:main}}\n{}", gate.display());
        expect_gated(helped(&words, &check), &gate);
    }
}

#[test]
fn exec_and_log_wait_for_what_they_ask_for() {
    let dir = tempfile::tempdir().unwrap();
    let gate = dir.path().join("gate");
    let exec = json!({ "exec": ["/usr/bin/test", "-e", gate.to_str().unwrap()] });
    let readiness = |check: &Value| json!({ "readiness": { "check": check, "period": "50ms", "timeout": "30s" } });
    expect_gated(with(script("it", "exec sleep 1000"), readiness(&exec)), &gate);
    fs::remove_file(&gate).unwrap();
    let body = format!(
        "while [ ! -e '{}' ]; do sleep 0.02; done; echo it is ready; exec sleep 1000",
        gate.display()
    );
    expect_gated(
        with(script("it", &body), readiness(&json!({ "log": "^it is ready$" }))),
        &gate,
    );
}

#[test]
fn process_is_ready_as_soon_as_it_runs() {
    let check = json!({ "readiness": { "check": { "process": true } } });
    let root = Root::new(&[with(script("it", "exec sleep 1000"), check)]);
    root.ok(&["up"]);
}

#[test]
fn notify_waits_for_the_word_of_the_service_and_shows_its_status() {
    let dir = tempfile::tempdir().unwrap();
    let gate = dir.path().join("gate");
    let words = format!("notify\nSTATUS=loading 3 of 9\nREADY=1\n{}", gate.display());
    let root = Root::new(&[helped(&words, &json!({ "notify": true }))]);
    let up = root.start(&["up"]);
    let told = eventually("its status is shown", || root.status().service("it")?.reason.clone());
    assert!(told.contains("it says `loading 3 of 9`"), "{told}");
    fs::write(&gate, "").unwrap();
    assert!(up.wait_with_output().unwrap().status.success());
    let log = root.log("it");
    assert!(log.iter().any(|r| r["msg"] == "status: loading 3 of 9"), "{log:?}");

    // The launcher is killed and comes back: what was said stays said.
    crate::fixture::kill("KILL", root.daemon().unwrap());
    eventually("it is found again", || {
        (format!("{:?}", root.service("it").state) == "Running").then_some(())
    });
    let socket = socket_of(root.pid("it"));
    root.ok(&["down"]);
    assert!(!Path::new(&socket).exists());
}

#[test]
fn a_child_may_speak_for_the_service_and_a_stranger_may_not() {
    let dir = tempfile::tempdir().unwrap();
    let gate = dir.path().join("gate");
    let words = format!("notify-child\n{}", gate.display());
    let root = Root::new(&[helped(&words, &json!({ "notify": true }))]);
    let up = root.start(&["up"]);
    let pid = eventually("it starts", || root.status().service("it").and_then(|s| s.pid));
    let socket = socket_of(pid);
    assert!(socket.len() < 107, "{socket}");
    let stranger = std::os::unix::net::UnixDatagram::unbound().unwrap();
    stranger.send_to(b"READY=1\nSTATUS=lie", &socket).unwrap();
    for junk in [&b""[..], &[0; 4000], &[b'x'; 9000], b"READY=1\0", b"\xff\xfe\n=\n"] {
        stranger.send_to(junk, &socket).unwrap();
    }
    std::thread::sleep(std::time::Duration::from_millis(300));
    let service = root.service("it");
    assert_eq!(format!("{:?}", service.state), "Starting");
    assert!(!service.reason.unwrap_or_default().contains("lie"));
    fs::write(&gate, "").unwrap();
    assert!(up.wait_with_output().unwrap().status.success());
}

/// `NOTIFY_SOCKET` of a running process.
fn socket_of(pid: u32) -> String {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap();
    let variables = String::from_utf8(environment).unwrap();
    let socket = variables.split('\0').find_map(|v| v.strip_prefix("NOTIFY_SOCKET="));
    socket.expect("it is told where to speak").to_owned()
}

/// A service with a check that hangs in a pipe; gives the processes of the check once it is under way.
fn hanging_check(root: &Root, pids: &Path) -> Vec<u32> {
    eventually("the check is under way", || {
        let text = fs::read_to_string(pids).ok()?;
        let found: Vec<u32> = text.lines().filter_map(|l| l.parse().ok()).collect();
        (found.len() >= 2 && found.iter().all(|p| lives(*p))).then_some(found)
    });
    let text = fs::read_to_string(pids).unwrap();
    assert!(root.daemon().is_some());
    text.lines().filter_map(|l| l.parse().ok()).collect()
}

fn hangs(pids: &Path) -> Value {
    let text = format!(
        "echo $$ >> '{0}'; sh -c 'echo $$ >> {0}; exec sleep 1000' | cat",
        pids.display()
    );
    let check = json!({ "check": { "exec": ["/bin/sh", "-c", text] }, "period": "60s", "timeout": "60s" });
    with(script("it", "exec sleep 1000"), json!({ "readiness": check }))
}

#[test]
fn nothing_of_a_check_outlives_its_time_or_its_service() {
    let dir = tempfile::tempdir().unwrap();
    let pids = dir.path().join("pids");
    let root = Root::new(&[hangs(&pids)]);
    let mut up = root.start(&["up"]);
    let late = hanging_check(&root, &pids);
    eventually("its time is over", || late.iter().all(|p| !lives(*p)).then_some(()));

    root.ok(&["down"]);
    up.wait().unwrap();
    fs::remove_file(&pids).unwrap();
    let mut up = root.start(&["up"]);
    let asking = hanging_check(&root, &pids);
    let began = std::time::Instant::now();
    root.ok(&["down"]);
    up.wait().unwrap();
    assert!(asking.iter().all(|p| !lives(*p)), "{asking:?}");
    assert!(
        began.elapsed() < std::time::Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn what_a_killed_daemon_was_asking_is_ended_by_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let pids = dir.path().join("pids");
    let root = Root::new(&[hangs(&pids)]);
    let mut up = root.start(&["up"]);
    let asking = hanging_check(&root, &pids);
    kill("KILL", root.daemon().expect("it runs"));
    up.wait().unwrap();
    root.ok(&["status"]);
    eventually("nothing of the check is left", || {
        asking.iter().all(|p| !lives(*p)).then_some(())
    });
}
