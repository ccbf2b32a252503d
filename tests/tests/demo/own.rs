//! The launcher's own update on a machine whose service runs: stopped anywhere, recovered, repaired, and outlived by others.

use std::{fs, path::PathBuf};

use kojibox_tests::{Failure, Outcome, Run, Sandbox, ensure, pack::host_target, small};
use serde_json::Value;

use crate::Machine;

/// Mark in a launcher's bytes before its version.
const MARK: &[u8] = b"kojibox-launcher-version=";

/// The real launcher with another version written into its bytes.
fn launcher(sandbox: &Sandbox, version: &str) -> Outcome<Vec<u8>> {
    let mut bytes = fs::read(sandbox.bin("kojibox")).map_err(Failure::doing("could not read the launcher"))?;
    let marks: Vec<usize> = (0..bytes.len() - MARK.len() - version.len())
        .filter(|at| bytes[*at] == MARK[0] && bytes[*at..].starts_with(MARK))
        .collect();
    ensure(!marks.is_empty(), || {
        "the launcher says its version in its bytes".into()
    })?;
    for at in marks {
        let at = at + MARK.len();
        bytes[at..at + version.len()].copy_from_slice(version.as_bytes());
    }
    Ok(bytes)
}

impl Machine<'_> {
    /// A pack that brings `program` as its launcher: one with a service, which nobody starts, has one.
    fn bring(&self, name: &str, version: &str, program: &[u8]) -> Outcome {
        let folder = format!("{name}-{version}");
        let stack = format!(
            "[pack]\nname = \"{name}\"\nversion = \"{version}\"\ntargets = [\"{}\"]\n\n\
             [[component]]\nid = \"{name}\"\nversion = \"{version}\"\ndefault = true\n\
             source = {{ path = \"files\", exec = [\"bin/*\"] }}\n\n\
             [[service]]\nid = \"{name}\"\ncomponent = \"{name}\"\nautostart = false\n\
             command = [\"{{component}}/bin/tool\"]\n",
            host_target()
        );
        let tool = format!("{folder}/files/bin/tool");
        self.sandbox
            .write(&tool, format!("#!/bin/sh\n# {version}\nexec sleep 1000\n"))?;
        let program = self.sandbox.write(&format!("{folder}/tools/kojibox"), program)?;
        let stack = self.sandbox.write(&format!("{folder}/stack.toml"), stack)?;
        let tools = program.parent().map(PathBuf::from).unwrap_or_default();
        let run = self
            .publisher
            .build_run(&stack)
            .args(["--level", "1", "--tools"])
            .arg(tools);
        run.answer().map(drop)
    }

    fn self_update(&self) -> Run {
        self.launcher(&["self-update", "--source"]).arg(self.publisher.depot())
    }

    /// The installer with `args`, of which the last takes a value.
    fn given(&self, args: &[&str], value: PathBuf) -> Run {
        let run = self.sandbox.installer(args).arg(value);
        run.arg("--root").arg(&self.root)
    }

    fn install_other(&self, name: &str) -> Run {
        let run = self.given(&["install", "--yes", name, "--source"], self.publisher.depot());
        run.warns()
    }

    /// Leaves the active generation alone; what runs would keep those that share its trees.
    fn prune(&self) -> Outcome {
        self.launcher(&["down"]).answer()?;
        self.installer(&["prune", "--keep", "1", "--yes"]).answer()?;
        self.launcher(&["up"]).answer().map(drop)
    }

    /// The active launcher: its version, its directory, and whether a pack is named for it alone.
    fn own(&self) -> Outcome<(String, PathBuf, Value)> {
        let read = |name: &str| -> Outcome<Value> {
            let bytes = fs::read(self.root.join(name)).map_err(Failure::doing(format!("could not read `{name}`")))?;
            serde_json::from_slice(&bytes).map_err(Failure::doing(format!("`{name}` is not JSON")))
        };
        let current = read("state/current.json")?["current"].to_string();
        let record = read(&format!("generations/{current}/record.json"))?;
        let components = record["components"].as_array().cloned().unwrap_or_default();
        let own = components.iter().find(|c| c["id"] == "kojibox-launcher");
        let own = own.ok_or_else(|| Failure::new(format!("generation {current} has no launcher: {record}")))?;
        let text = |key: &str| own[key].as_str().unwrap_or_default().to_owned();
        let dir = self.root.join("components").join(text("dir"));
        Ok((text("version"), dir, record["launcher_pack"].clone()))
    }

    fn has_launcher(&self, expected: &str) -> Outcome {
        let (version, ..) = self.own()?;
        ensure(version == expected, || {
            format!("launcher {version} is active, expected {expected}")
        })
    }

    /// Process of the guest book.
    fn process(&self) -> Outcome<Value> {
        let status = self.launcher(&["status"]).json()?;
        ensure(status["services"][0]["pid"].is_u64(), || {
            format!("it does not run: {status}")
        })?;
        Ok(status["services"][0]["pid"].clone())
    }

    /// Ended at `point`, a self-update is reported by whoever reads.
    fn stopped_at(&self, point: &str) -> Outcome {
        let (code, done) = self.self_update().env("KOJIBOX_CRASH_AT", point).any()?;
        ensure(code == 134, || format!("it ended with {code}: {}", done.stderr))?;
        let run = self.installer(&["status"]).fails(41).errors(0);
        run.answer().map(drop)
    }

    /// Recovers; this launcher is active then, and the service has not been touched.
    fn recovered_with(&self, launcher: &str, process: &Value) -> Outcome {
        self.installer(&["recover"]).answer()?;
        self.installer(&["verify"]).answer()?;
        self.installer(&["recover"]).fails(50).errors(0).answer()?;
        self.has_launcher(launcher)?;
        self.launcher(&["up"]).answer()?;
        self.expect("1.0.0", &["one"])?;
        let now = self.process()?;
        ensure(now == *process, || {
            format!("the service was process {process}, and is {now}")
        })
    }
}

#[test]
fn a_self_update_that_is_ended_anywhere_is_recovered_and_the_service_never_notices() -> Outcome {
    let sandbox = Sandbox::new()?;
    let machine = Machine::new(&sandbox)?;
    machine.install().answer()?;
    machine.sign("one")?;
    let process = machine.process()?;
    machine.bring("tools", "1.0.0", &launcher(&sandbox, "0.1.7")?)?;
    let mut active = "0.1.0";
    let before = ["begun", "tree-staged", "durable", "publishing", "published", "staged"];
    let after = [
        ("committed", "0.1.7"),
        ("confirmed", "0.1.8"),
        ("done", "0.1.9"),
        ("receipted", "0.2.0"),
    ];
    let points = before.map(|point| (point, None)).into_iter();
    for (point, version) in points.chain(after.map(|(point, version)| (point, Some(version)))) {
        let at = |failure: Failure| failure.at(&format!("`{point}`"));
        if let Some(version) = version {
            if version != "0.1.7" {
                machine.bring(
                    "tools",
                    &format!("1.{}.0", &version[4..]),
                    &launcher(&sandbox, version)?,
                )?;
            }
            active = version;
        }
        machine.stopped_at(point).map_err(at)?;
        // The launcher does not recover, and says who does.
        let again = machine.self_update().fails(41);
        let again = again.says("kojibox-installer recover --root");
        again.answer().map_err(at)?;
        machine.recovered_with(active, &process).map_err(at)?;
    }
    machine.self_update().fails(50).errors(0).go()?;
    machine.end()
}

#[test]
fn a_self_update_that_is_ended_on_its_way_back_leaves_the_old_launcher() -> Outcome {
    let sandbox = Sandbox::new()?;
    let machine = Machine::new(&sandbox)?;
    machine.install().answer()?;
    machine.sign("one")?;
    let process = machine.process()?;
    for (point, minor) in [("return-decided", 7), ("returned", 8)] {
        let at = |failure: Failure| failure.at(&format!("`{point}`"));
        // It checks itself well, and is no daemon.
        let version = format!("9.{minor}.0");
        let says = format!("{{\"version\":\"{version}\"}}\n");
        let marked = format!("kojibox-launcher-version={version}\n");
        machine.bring("tools", &format!("1.{minor}.0"), &small::program(&says, &marked))?;
        machine.stopped_at(point).map_err(at)?;
        machine.recovered_with("0.1.0", &process).map_err(at)?;
    }
    machine.end()
}

#[test]
fn a_launcher_that_updated_itself_is_repaired_from_the_stick_it_came_from() -> Outcome {
    let sandbox = Sandbox::new()?;
    let machine = Machine::new(&sandbox)?;
    machine.install().answer()?;
    machine.bring("tools", "1.0.0", &launcher(&sandbox, "0.1.7")?)?;
    machine.self_update().answer()?;
    let (_, dir, pack) = machine.own()?;
    ensure(pack["name"] == "tools", || format!("its pack is {pack}"))?;
    let script = r#"chmod u+w "$0/kojibox" && printf X >> "$0/kojibox""#;
    machine.launcher(&["down"]).answer()?;
    sandbox.run("/bin/sh").args(["-c", script]).arg(&dir).go()?;
    machine.installer(&["verify"]).fails(21).answer()?;
    let alone = machine.installer(&["repair"]).fails(33);
    alone.says("pack `tools`").answer()?;
    let repair = machine.given(&["repair", "--source"], machine.publisher.depot());
    repair.answer()?;
    machine.installer(&["verify"]).answer()?;
    machine.launcher(&["up"]).answer()?;
    let exported = sandbox.path("evidence.tar");
    machine.given(&["history", "--export"], exported.clone()).answer()?;
    let archive = fs::read(&exported).map_err(Failure::doing("could not read the evidence"))?;
    let named = format!(
        "packs/{}/manifest.kbx.json",
        pack["digest"].as_str().unwrap_or_default()
    );
    let found = archive.windows(named.len()).any(|w| w == named.as_bytes());
    ensure(found, || format!("the evidence has no `{named}`"))?;
    machine.end()
}

#[test]
fn other_packs_come_and_go_and_the_launcher_that_updated_itself_stays() -> Outcome {
    let sandbox = Sandbox::new()?;
    let machine = Machine::new(&sandbox)?;
    machine.install().answer()?;
    machine.sign("one")?;
    machine.bring("tools", "1.0.0", &launcher(&sandbox, "0.1.7")?)?;
    machine.self_update().answer()?;
    machine.bring("older", "1.0.0", &launcher(&sandbox, "0.1.5")?)?;
    let older = machine.install_other("older");
    older.answer()?;
    machine.has_launcher("0.1.7")?;
    machine.prune()?;
    machine.installer(&["verify"]).answer()?;
    let gone = machine.installer(&["uninstall", "older", "--yes"]);
    gone.warns().answer()?;
    machine.has_launcher("0.1.7")?;
    let (.., pack) = machine.own()?;
    ensure(pack["name"] == "tools", || format!("its pack is {pack}"))?;

    // A new pack that brings one as new takes over, and nothing of the other is left.
    machine.bring("newer", "1.0.0", &launcher(&sandbox, "0.1.9")?)?;
    machine.install_other("newer").answer()?;
    machine.has_launcher("0.1.9")?;
    machine.prune()?;
    let (.., pack) = machine.own()?;
    ensure(pack.is_null(), || format!("its pack is installed, and {pack} is named"))?;
    let kept =
        fs::read_dir(machine.root.join("records/packs")).map_err(Failure::doing("could not list the records"))?;
    let kept = kept.count();
    ensure(kept == 2, || format!("two packs are installed, {kept} are recorded"))?;

    // The pack that brought the launcher goes, and the launcher stays.
    machine.installer(&["uninstall", "newer", "--yes"]).warns().answer()?;
    machine.has_launcher("0.1.9")?;
    machine.installer(&["verify"]).answer()?;
    machine.expect("1.0.0", &["one"])?;
    machine.end()
}
