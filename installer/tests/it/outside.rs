//! The real program, ended at every named crash point of an update with services, and run again.

use std::collections::BTreeSet;

use kojibox_state::CrashPoint;

use crate::publisher::{Machine, Publisher, Release, text};

/// The points an update passes, with what is active when it ends there.
const UPDATE: &[(CrashPoint, &str)] = &[
    (CrashPoint::Begun, "1.0.0"),
    (CrashPoint::TreeStaged, "1.0.0"),
    (CrashPoint::Durable, "1.0.0"),
    (CrashPoint::Publishing, "1.0.0"),
    (CrashPoint::Published, "1.0.0"),
    (CrashPoint::Staged, "1.0.0"),
    (CrashPoint::Stopped, "1.0.0"),
    (CrashPoint::Committed, "2.0.0"),
    (CrashPoint::Confirmed, "2.0.0"),
    (CrashPoint::Done, "2.0.0"),
    (CrashPoint::Receipted, "2.0.0"),
];

#[test]
fn an_update_that_is_ended_anywhere_is_reported_recovered_and_finished() {
    let publisher = Publisher::new();
    publisher.release(&Release::stack("1.0.0"));
    let machines: Vec<Machine> = UPDATE.iter().map(|_| Machine::new()).collect();
    for machine in &machines {
        machine.install(&publisher, &[]).expect(0, &[]);
    }
    publisher.release(&Release::stack("2.0.0"));
    let depot = publisher.depot();
    for ((point, active), machine) in UPDATE.iter().zip(&machines) {
        let root = machine.root();
        let update = ["update", "--yes", "--source", text(&depot), "--root", text(&root)];
        let ended = machine
            .command(&update)
            .env("KOJIBOX_CRASH_AT", point.name())
            .output()
            .unwrap();
        assert_eq!(ended.status.code(), None, "`{point}`: it ends as killed: {ended:?}");
        let status = machine.status();
        assert_eq!(status["state"], "recovery-needed", "`{point}`");
        assert_eq!(status["packs"][0]["version"], *active, "`{point}`");
        machine.on_root(&["recover"]).expect(0, &[]);
        assert_eq!(machine.status()["state"], "active", "`{point}`");
        machine.on_root(&["verify"]).expect(0, &["all is what was signed"]);
        let code = if *active == "1.0.0" { 0 } else { 50 };
        machine.on_root(&update[..4]).expect(code, &[]);
        assert_eq!(machine.status()["packs"][0]["version"], "2.0.0", "`{point}`");
    }
}

/// Words of a command that may change a root, and the exit code that it has then.
type Writer<'a> = (&'a [&'a str], i32);

#[test]
fn every_command_that_writes_recovers_first_and_the_others_report() {
    let publisher = Publisher::new();
    publisher.release(&Release::stack("1.0.0"));
    let (depot, trust, fingerprint) = (publisher.depot(), publisher.root_json(), publisher.fingerprint());
    let writers: &[Writer<'_>] = &[
        (
            &["trust", "add", "--fingerprint", &fingerprint, "--trust", text(&trust)],
            0,
        ),
        (&["trust", "remove", "--yes", "0000000000000000"], 2),
        (&["uninstall", "--yes", "unknown"], 2),
        (&["prune", "--yes"], 0),
        (&["rollback", "--yes"], 50),
        (&["update", "--yes", "--source", text(&depot)], 0),
        (&["install", "--yes", "--source", text(&depot)], 0),
        (&["repair", "--source", text(&depot)], 50),
        (&["pin", "1"], 0),
        (&["unpin", "1"], 50),
        (&["recover"], 0),
        (&["uninstall", "--yes"], 0),
    ];
    let machines: Vec<Machine> = writers.iter().map(|_| Machine::new()).collect();
    for machine in &machines {
        machine.install(&publisher, &[]).expect(0, &[]);
    }
    publisher.release(&Release::stack("2.0.0"));
    for ((words, code), machine) in writers.iter().zip(&machines) {
        let root = machine.root();
        let update = ["update", "--yes", "--source", text(&depot), "--root", text(&root)];
        let mut ended = machine.command(&update);
        let ended = ended
            .env("KOJIBOX_CRASH_AT", CrashPoint::Staged.name())
            .output()
            .unwrap();
        assert_eq!(ended.status.code(), None, "it ends as killed: {ended:?}");
        for reader in [
            &["status"][..],
            &["history"],
            &["verify"],
            &["trust", "show"],
            &["doctor"],
        ] {
            machine.on_root(reader).expect(41, &[]);
        }
        for dry in [
            &["update", "--yes", "--source", text(&depot), "--dry-run"][..],
            &["install", "--yes", "--source", text(&depot), "--dry-run"],
            &["repair", "--dry-run"],
        ] {
            machine.on_root(dry).expect(41, &["recover --root"]);
        }
        machine.on_root(words).expect(*code, &[]);
        if words[0] == "uninstall" && words.len() == 2 {
            assert!(!root.join("state/current.json").exists());
        } else {
            assert_eq!(machine.status()["state"], "active", "{words:?}");
        }
    }
}

/// Every command is in one of the two lists above, or changes no root, or is `install` by another name:
/// `wizard` is killed and run again on a terminal in `tests/tests/install/wizard.rs`.
#[test]
fn no_command_is_left_out() {
    let help = Machine::new().command(&["--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = commands
        .take_while(|line| line.starts_with("  "))
        .filter_map(|line| line.strip_prefix("  "));
    // Further lines of a description are indented more.
    let listed = names
        .filter(|line| !line.starts_with(' '))
        .filter_map(|line| line.split(' ').next());
    let listed: BTreeSet<_> = listed.collect();
    let known = [
        "wizard",
        "install",
        "update",
        "rollback",
        "status",
        "history",
        "verify",
        "repair",
        "recover",
        "prune",
        "pin",
        "unpin",
        "uninstall",
        "trust",
        "doctor",
        "help",
    ];
    assert_eq!(listed, BTreeSet::from(known));
}

#[test]
fn every_point_has_a_row_in_the_normative_text() {
    let text = include_str!("../../../state/TRANSACTIONS.md");
    let rows = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let rows: BTreeSet<&str> = rows.collect();
    for point in CrashPoint::ALL {
        assert!(rows.contains(point.name()), "`{point}` has no row in TRANSACTIONS.md");
    }
}
