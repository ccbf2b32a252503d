//! Logs: two streams, numbered, masked, readable without a daemon.

use std::io::BufRead as _;

use serde_json::{Value, json};

use crate::fixture::{Root, eventually, script, with};

#[test]
fn output_is_kept_by_stream_numbered_across_restarts_and_masked() {
    let mut root = Root::empty();
    root.extra.insert("secrets".to_owned(), json!([{ "id": "key" }]));
    let talk = with(
        script(
            "talk",
            "echo out; echo err >&2; echo key $KEY; printf 'no end'; exec sleep 1000",
        ),
        json!({ "env": { "KEY": "{secret:key}" } }),
    );
    root.install("1.0.0", &[talk]);
    root.ok(&["up"]);
    let has = |text: &str| root.log("talk").iter().any(|r| r["msg"] == text);
    eventually("all lines are there, the unfinished one too", || {
        (has("out") && has("err") && has("no end")).then_some(())
    });
    root.ok(&["restart", "talk"]);
    eventually("it talks again", || {
        (root.log("talk").iter().filter(|r| r["msg"] == "no end").count() == 2).then_some(())
    });

    let log = root.log("talk");
    let stream = |msg: &str| log.iter().find(|r| r["msg"] == msg).map(|r| r["s"].clone());
    assert_eq!((stream("out"), stream("err")), (Some(json!("out")), Some(json!("err"))));
    let numbers: Vec<u64> = log.iter().map(|r| r["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    assert_eq!(
        log.iter()
            .filter(|r| r["msg"] == "out")
            .map(|r| r["gen"].as_u64().unwrap())
            .collect::<Vec<_>>(),
        [1, 2]
    );
    assert_eq!(log.iter().filter(|r| r["msg"] == "key ***(key)").count(), 2);
    let secret = root.ok(&["secrets", "show", "key"]);
    let raw = root.read("logs/talk/current.jsonl");
    assert!(!raw.contains(secret.trim()));
}

#[test]
fn logs_are_merged_filtered_followed_and_exported() {
    let root = Root::new(&[
        script("a", "echo from a; exec sleep 1000"),
        script("b", "echo from b; exec sleep 1000"),
    ]);
    root.ok(&["up"]);
    eventually("both have written", || {
        (root.ok(&["logs", "--grep", "^from"]).lines().count() == 2).then_some(())
    });
    assert_eq!(root.ok(&["logs", "b", "--grep", "from"]).trim(), "b | from b");
    let records: Vec<Value> = root
        .ok(&["logs", "--json", "--grep", "from"])
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(records.len(), 2);
    let file = root.path.join("out.jsonl");
    root.ok(&["logs", "--export", file.to_str().unwrap()]);
    assert!(root.read("out.jsonl").lines().count() >= 4);
    assert!(root.fails(2, &["logs", "nobody"]).contains("a, b"));

    let mut follow = root.start(&["logs", "-f", "a", "--grep", "process|from"]);
    let out = follow.stdout.take().unwrap();
    let (tell, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in std::io::BufReader::new(out).lines().map_while(Result::ok) {
            drop(tell.send(line));
        }
    });
    let next = || lines.recv_timeout(crate::fixture::LONG).expect("another line comes");
    while next() != "a | from a" {}
    root.ok(&["restart", "a"]);
    while next() != "a | from a" {}
    follow.kill().unwrap();
    follow.wait().unwrap();
}

#[test]
fn an_endless_flood_does_not_stop_the_service_or_fill_the_disk() {
    let flood = with(
        script(
            "flood",
            "i=0; while [ $i -lt 300000 ]; do echo \"line $i of a flood that does not end soon\"; i=$((i+1)); done; exit 0",
        ),
        json!({ "kind": "oneshot" }),
    );
    let root = Root::new(&[flood]);
    root.ok(&["up"]);
    let size: u64 = std::fs::read_dir(root.path.join("logs/flood"))
        .unwrap()
        .flatten()
        .map(|e| e.metadata().unwrap().len())
        .sum();
    assert!(size < 45 << 20, "{size}");
    let log = root.log("flood");
    let text = |r: &Value| r["msg"].as_str().unwrap().to_owned();
    assert!(log.iter().map(text).any(|m| m.contains("exited with code 0")));
}

#[test]
fn what_a_service_writes_gives_no_orders_to_the_terminal() {
    let text = r"printf 'a\033]0;owned\007\tb\302\233x\n'; exit 3";
    let keys = json!({ "kind": "oneshot", "restart": { "policy": "never" } });
    let root = Root::new(&[with(script("job", text), keys)]);
    let said = root.fails(40, &["up"]);
    assert!(said.contains("owned"), "{said}");
    let shown = [said, root.ok(&["logs"]), root.ok(&["status"])];
    for shown in &shown {
        assert!(
            !shown.chars().any(|c| c.is_control() && c != '\n' && c != '\t'),
            "{shown:?}"
        );
    }
    assert!(shown[1].contains("a\\u{1b}]0;owned\\u{7}\tb\\u{9b}x"), "{}", shown[1]);
    let raw: Value = serde_json::from_str(
        root.ok(&["logs", "--json"])
            .lines()
            .find(|l| l.contains("owned"))
            .unwrap(),
    )
    .unwrap();
    assert!(
        raw["msg"].as_str().unwrap().contains('\u{1b}'),
        "JSON stays as it is: {raw}"
    );
}

#[test]
fn a_level_leaves_out_what_matters_less() {
    let text = "echo 'LOG: all is well'; echo 'WARNING: not quite'; echo 'plain'; echo '{\"level\":\"error\",\"msg\":\"bad\"}'";
    let root = Root::new(&[with(script("job", text), json!({ "kind": "oneshot" }))]);
    root.ok(&["up"]);
    let shown = root.ok(&["logs", "--level", "warn"]);
    assert_eq!(
        shown,
        "job | WARNING: not quite\njob | {\"level\":\"error\",\"msg\":\"bad\"}\n"
    );
    assert!(root.ok(&["logs", "--level", "info"]).contains("all is well"));
    assert!(
        root.fails(2, &["logs", "--level", "loud"])
            .contains("`debug`, `info`, `warn` or `error`")
    );
}

#[test]
fn logs_of_a_tree_are_for_their_owner_only_and_nothing_above_them_changes() {
    use std::os::unix::fs::PermissionsExt as _;
    let root = Root::new(&[with(script("job", "echo x"), json!({ "kind": "oneshot" }))]);
    let mode = |path: &str| std::fs::metadata(root.path.join(path)).unwrap().permissions().mode() & 0o7777;
    let above = [mode("."), mode(".."), mode("../..")];
    root.ok(&["up"]);
    assert_eq!([mode("logs"), mode("logs/job"), mode("logs/_launcher")], [0o700; 3]);
    assert_eq!(
        [mode("logs/job/current.jsonl"), mode("logs/_launcher/stderr.log")],
        [0o600; 2]
    );
    assert_eq!([mode("."), mode(".."), mode("../..")], above);
}
