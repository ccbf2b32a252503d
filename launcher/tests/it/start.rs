//! Starting: order, readiness, ports, what services get to see.

use std::{fs, net::TcpListener};

use serde_json::json;

use crate::fixture::{Root, eventually, free_port, lives, script, server, text, with};

#[test]
fn a_service_starts_only_when_what_it_requires_is_ready() {
    let gate = tempfile::tempdir().unwrap();
    let gate_file = gate.path().join("open");
    let port = free_port();
    let slow = with(
        server("db", port),
        json!({ "env": { "TEST_HELPER": format!("serve\n{{port:main}}\n{}", gate_file.display()) } }),
    );
    let app = with(
        script("app", "echo started; exec sleep 1000"),
        json!({ "requires": { "db": "ready" } }),
    );
    let root = Root::new(&[app, slow]);
    let up = root.start(&["up", "--json"]);
    let waiting = eventually("the database starts", || {
        let status = root.status();
        (status.service("db").unwrap().pid.is_some()).then_some(status)
    });
    let app = waiting.service("app").unwrap();
    assert_eq!((format!("{:?}", app.state).as_str(), app.pid), ("Waiting", None));
    assert!(
        app.reason.as_ref().unwrap().contains("waits for `db` to be ready"),
        "{app:?}"
    );
    assert!(root.log("app").is_empty());

    fs::write(&gate_file, "").unwrap();
    let output = up.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let keys = [
        "name", "state", "desired", "health", "pid", "ports", "since", "restarts", "reason", "fix",
    ];
    assert!(keys.iter().all(|k| status["services"][0].get(k).is_some()), "{status}");
    assert_eq!(status["services"][1]["health"], "healthy");
    assert_eq!(status["services"][1]["ports"]["main"], port);
}

#[test]
fn independent_services_start_side_by_side() {
    // Each waits until the other runs: one after the other they would never be ready.
    let dir = tempfile::tempdir().unwrap();
    let meet = |own: &str, other: &str| {
        let (own, other) = (dir.path().join(own), dir.path().join(other));
        format!(
            "touch '{}'; while [ ! -e '{}' ]; do sleep 0.02; done; echo met; exec sleep 1000",
            own.display(),
            other.display()
        )
    };
    let check = json!({ "readiness": { "check": { "log": "^met$" }, "timeout": "20s" } });
    let root = Root::new(&[
        with(script("a", &meet("a", "b")), check.clone()),
        with(script("b", &meet("b", "a")), check),
    ]);
    root.ok(&["up"]);
}

#[test]
fn what_never_becomes_ready_is_named_with_its_last_answer_and_exit_40() {
    let check = json!({
        "readiness": { "check": { "tcp": "{port:main}" }, "period": "50ms", "timeout": "1s" },
        "ports": { "main": { "prefer": free_port() } },
        "restart": { "policy": "on-failure", "limit": 1 },
    });
    let root = Root::new(&[
        with(script("mute", "exec sleep 1000"), check),
        script("fine", "exec sleep 1000"),
    ]);
    let said = root.fails(40, &["up"]);
    assert!(
        said.contains("`mute` did not become ready") && said.contains("refused"),
        "{said}"
    );
    assert!(
        said.contains("hint: ") && said.contains("1 of 2 services run"),
        "{said}"
    );
    let mute = root.service("mute");
    assert_eq!((format!("{:?}", mute.state).as_str(), mute.pid), ("Failed", None));
}

#[test]
fn a_program_that_is_not_there_fails_at_once_with_a_fix() {
    let missing = json!({ "id": "ghost", "component": "app", "command": ["{component}/bin/ghost"] });
    let root = Root::new(&[missing]);
    let said = root.fails(40, &["up"]);
    assert!(
        said.contains("could not start") && said.contains("No such file"),
        "{said}"
    );
    assert_eq!(root.service("ghost").restarts, 0, "waiting cannot mend it");
}

#[test]
fn another_program_on_our_port_does_not_make_us_ready() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    // It is told its port and does not listen; somebody else does.
    let check = json!({
        "ports": { "main": { "prefer": free_port() } },
        "readiness": { "check": { "tcp": port.to_string() }, "period": "50ms", "timeout": "1s" },
    });
    let root = Root::new(&[with(script("honest", "exec sleep 1000"), check)]);
    root.ok(&["up"]);

    let port = free_port();
    let late = json!({
        "ports": { "main": { "prefer": port } },
        "readiness": { "check": { "tcp": "{port:main}" }, "period": "50ms", "timeout": "2s" },
        "restart": { "policy": "never" },
    });
    let dir = tempfile::tempdir().unwrap();
    let ready = dir.path().join("started");
    let root = Root::new(&[with(
        script("mute", &format!("touch '{}'; exec sleep 1000", ready.display())),
        late,
    )]);
    let up = root.start(&["up"]);
    eventually("it starts", || ready.exists().then_some(()));
    let _squatter = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let output = up.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(40));
    assert!(
        text(&output.stderr).contains("is not part of this service"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_taken_port_moves_is_remembered_and_a_pinned_one_names_its_owner() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    let root = Root::new(&[server("web", port)]);
    root.ok(&["up"]);
    let moved = root.service("web").ports["main"];
    assert!((20_000..30_000).contains(&moved), "{moved}");
    root.ok(&["restart", "web"]);
    assert_eq!(root.service("web").ports["main"], moved);
    root.ok(&["down"]);
    let ports: serde_json::Value = serde_json::from_str(&root.read("state/ports.json")).unwrap();
    assert_eq!(ports["ports"]["web.main"], moved);

    let pinned = with(
        server("web", port),
        json!({ "ports": { "main": { "prefer": port, "pin": true } } }),
    );
    let root = Root::new(&[pinned]);
    let said = root.fails(40, &["up"]);
    assert!(
        said.contains(&format!("port {port}")) && said.contains(&std::process::id().to_string()),
        "{said}"
    );
}

/// A service with a secret, an answer, a port and a template, which writes down what it sees.
fn curious() -> Root {
    let mut root = Root::empty();
    let question = json!({ "id": "title", "prompt": { "en": "?" }, "kind": "text", "default": "It's \"mine\"" });
    let template = json!({ "service": "app", "source": "t/app.toml.j2", "target": "app.toml", "format": "toml" });
    root.extra.insert("secrets".to_owned(), json!([{ "id": "db" }]));
    root.extra.insert("questions".to_owned(), json!([question]));
    root.extra.insert("templates".to_owned(), json!([template]));
    let text = "port = {{ port.main }}\ntitle = {{ answer.title }}\nkey = {{ secret.db }}\ndata = {{ data }}\n";
    root.files.insert("t/app.toml.j2".to_owned(), text.to_owned());
    let look = "env > \"$1/env\"; cat \"$2\" > \"$1/secret\"; exec sleep 1000";
    let app = json!({
        "id": "app", "component": "app",
        "command": ["/bin/sh", "-c", look, "sh", "{temp}", "{secret_file:db}"],
        "env": { "PASSWORD": "{secret:db}", "PORT": "{port:main}" },
        "ports": { "main": { "prefer": free_port() } },
    });
    root.install("1.0.0", &[app]);
    root
}

#[test]
fn services_see_what_is_declared_and_nothing_else() {
    let root = curious();
    let mut up = root.command(&["up"]);
    let evil = up
        .env("LD_LIBRARY_PATH", "/evil")
        .env("PGPASSWORD", "evil")
        .env("LANG", "C.UTF-8");
    let up = evil.output().unwrap();
    assert!(up.status.success(), "{}", text(&up.stderr));
    let secret = root.ok(&["secrets", "show", "db"]).trim().to_owned();
    assert_eq!(secret.len(), 32);
    let env = eventually("the service has written what it sees", || {
        let text = fs::read_to_string(root.path.join("temp/app/env")).ok()?;
        let seen = fs::read_to_string(root.path.join("temp/app/secret")).ok()?;
        (seen.len() == 32).then_some((text, seen))
    });
    assert_eq!(env.1, secret);
    assert!(
        env.0.contains(&format!("PASSWORD={secret}")) && env.0.contains("LANG=C.UTF-8"),
        "{}",
        env.0
    );
    assert!(!env.0.contains("evil"), "{}", env.0);

    let config: toml::Table = root.read("run/app/app.toml").parse().unwrap();
    assert_eq!(config["title"].as_str(), Some("It's \"mine\""));
    assert_eq!(config["key"].as_str(), Some(secret.as_str()));
    let port = i64::from(root.service("app").ports["main"]);
    assert_eq!(config["port"].as_integer(), Some(port));
}

#[test]
fn secrets_are_in_nobodys_arguments_and_in_no_readable_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let root = curious();
    root.ok(&["up"]);
    let secret = root.ok(&["secrets", "show", "db"]).trim().to_owned();
    let processes = root.processes();
    assert!(processes.len() >= 3, "daemon, shim and service: {processes:?}");
    for pid in processes {
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        assert!(
            !text(&arguments).contains(&secret),
            "a secret is visible in the arguments of {pid}"
        );
    }
    for file in ["secrets/db", "run/app/app.toml"] {
        let mode = fs::metadata(root.path.join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{file} has mode {mode:o}");
    }
}

#[test]
fn a_secret_in_a_command_is_refused() {
    let mut root = Root::empty();
    root.extra.insert("secrets".to_owned(), json!([{ "id": "db" }]));
    root.install("1.0.0", &[script("app", "echo {secret:db}")]);
    let said = root.fails(40, &["up"]);
    assert!(said.contains("secret_file:db"), "{said}");
}

#[test]
fn a_moved_tree_starts_where_it_is_now() {
    let mut root = Root::new(&[with(server("web", free_port()), json!({ "data_format": "1" }))]);
    root.ok(&["up"]);
    let before = root.pid("web");
    root.ok(&["down"]);
    assert!(!lives(before));
    let there = root.path.with_file_name("elsewhere");
    fs::rename(&root.path, &there).unwrap();
    let was = std::mem::replace(&mut root.path, there);
    root.ok(&["up"]);
    assert!(root.service("web").pid.is_some());
    for file in ["state/ports.json", "data/web/active.json", "run/_instances/web.json"] {
        assert!(!root.read(file).contains(was.to_str().unwrap()), "{file}");
    }
}

#[test]
fn a_service_that_is_not_installed_or_not_known_is_told() {
    let a = with(script("a", "exec sleep 1"), json!({ "requires": { "b": "ready" } }));
    let b = with(script("b", "exec sleep 1"), json!({ "component": "not-selected" }));
    let root = Root::new(&[a, b]);
    let said = root.fails(40, &["up"]);
    assert!(said.contains("needs `b`, which is not installed"), "{said}");
    let said = root.fails(2, &["up", "nobody"]);
    assert!(
        said.contains("no service `nobody`") && said.contains("services are: a"),
        "{said}"
    );
}

#[test]
fn what_does_not_start_by_itself_is_started_by_name_or_by_need() {
    let by_name = |id: &str| with(script(id, "exec sleep 1000"), json!({ "autostart": false }));
    let app = with(
        script("app", "exec sleep 1000"),
        json!({ "requires": { "needed": "started" } }),
    );
    // It would never become ready: nobody waits for it either.
    let mute = json!({
        "autostart": false, "ports": { "main": { "prefer": free_port() } },
        "readiness": { "check": { "tcp": "{port:main}" }, "timeout": "30s" },
    });
    let root = Root::new(&[
        app,
        by_name("needed"),
        by_name("idle"),
        with(script("mute", "exec sleep 1000"), mute),
    ]);
    root.ok(&["up"]);
    let up = |root: &Root| {
        let services = root.status().services;
        let up = services.iter().filter(|s| s.is_up()).map(|s| s.name.clone());
        up.collect::<Vec<_>>()
    };
    assert_eq!(up(&root), ["app", "needed"]);
    for name in ["idle", "mute"] {
        let service = root.service(name);
        assert_eq!((service.pid, service.reason), (None, None), "{name}");
    }
    root.ok(&["up", "idle"]);
    assert_eq!(up(&root), ["app", "idle", "needed"]);
}
