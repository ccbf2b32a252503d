//! The turn of commands: an installer that works on the tree comes first, and what it has replaced does not go on running.

use std::time::{Duration, Instant};

use kojibox_state::{LockedRoot, lock::Holder};
use serde_json::json;

use crate::fixture::{Root, free_port, lives, script, server, text, with};

fn installer(root: &Root) -> LockedRoot {
    let holder = Holder {
        pid: std::process::id(),
        command: "kojibox-installer update".to_owned(),
        started: "14:02:11".to_owned(),
    };
    LockedRoot::open(&root.path, &holder, Duration::ZERO).unwrap()
}

#[test]
fn commands_wait_for_an_installer_and_name_it() {
    let root = Root::new(&[script("app", "exec sleep 1000")]);
    let lock = installer(&root);
    let began = Instant::now();
    let waiting = ["up", "down"].map(|verb| root.start(&[verb]));
    for waiting in waiting {
        let output = waiting.wait_with_output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(30), "{said}");
        assert!(
            said.contains("Waiting until `kojibox-installer update` has ended"),
            "{said}"
        );
        assert!(
            said.contains(&format!("held by process {}", std::process::id())),
            "{said}"
        );
    }
    assert!(began.elapsed() >= Duration::from_secs(30));
    assert!(root.daemon().is_none(), "nothing was started");

    let waiting = root.start(&["up"]);
    std::thread::sleep(Duration::from_millis(500));
    assert!(root.daemon().is_none());
    drop(lock);
    assert!(waiting.wait_with_output().unwrap().status.success());
}

#[test]
fn what_the_installer_sends_does_not_wait() {
    let root = Root::new(&[script("app", "exec sleep 1000")]);
    let lock = installer(&root);
    for (verb, named) in [
        ("up", std::process::id().to_string()),
        ("down", std::process::id().to_string()),
    ] {
        let output = root
            .command(&[verb])
            .env("KOJIBOX_TRANSACTION", named)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    let mut other = root.command(&["up"]).env("KOJIBOX_TRANSACTION", "t9").spawn().unwrap();
    std::thread::sleep(Duration::from_millis(700));
    assert!(
        other.try_wait().unwrap().is_none() && root.daemon().is_none(),
        "another transaction is no pass"
    );
    drop(lock);
    assert!(other.wait().unwrap().success());
}

#[test]
fn what_another_generation_started_does_not_pass_for_what_is_declared() {
    let port = free_port();
    let mut root = Root::new(&[server("web", port), script("same", "exec sleep 1000")]);
    root.ok(&["up"]);
    let (web, same) = (root.pid("web"), root.pid("same"));
    // The same generation: nothing is touched, whoever asks.
    root.ok(&["up"]);
    assert_eq!((root.pid("web"), root.pid("same")), (web, same));
    // As if the installer's `down` had been undone behind its back.
    root.install("2.0.0", &[with(server("web", port), json!({ "autostart": true }))]);
    root.ok(&["up"]);
    assert_ne!(root.pid("web"), web);
    assert!(!lives(web) && !lives(same));
    assert!(root.read("run/_instances/web.json").contains("app-2.0.0-"));
}
