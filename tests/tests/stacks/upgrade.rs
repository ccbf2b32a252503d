//! Owns the story of a database across a declared format change: Debian's PostgreSQL 15 to 18, back, and forward again.
//!
//! Built outside; lived with as a user who is not root, without a network. The whole story has to end within its time.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use kojibox_tests::{
    Done, Failure, Network, Outcome, Programs, Run, Sandbox, Story, ensure, image, tree, units, workspace,
};

use crate::{
    inside::{Database, expect_no_network, services},
    outside::{edit_file, go_inside},
    stick,
};

/// The part without a network takes a minute; what takes five hangs.
const LIMIT: Duration = Duration::from_mins(5);

/// Builds the releases and starts the inside.
pub(crate) fn tell(story: &Story<'_>) -> Outcome {
    stick::need_tools(story)?;
    let sandbox = Sandbox::with(&Programs::locate()?, Network::Host)?;
    story.chapter("PostgreSQL 15 and 18 as releases of one stack");
    write_releases(&sandbox)?;
    let keys = sandbox
        .builder(["trust", "init", "--unsafe-no-password", "--out"])
        .arg(sandbox.path("keys"));
    story.run(sandbox.dir(), keys.warns())?;
    for name in ["stack-15", "broken/stack-18", "stack-18"] {
        story.run(sandbox.dir(), build(&sandbox, name))?;
    }
    go_inside(&sandbox, "inside-upgrade")?;
    sandbox.expect_no_survivors()?;
    story.end("");
    Ok(())
}

fn write_releases(sandbox: &Sandbox) -> Outcome {
    let recipes = workspace().join("tests/tests/stacks/ledger");
    for place in ["", "broken/"] {
        sandbox.copy(&workspace().join("packs/components"), &format!("{place}components"))?;
        sandbox.copy(&recipes.join("stack-18.toml"), &format!("{place}stack-18.toml"))?;
    }
    sandbox.copy(&recipes.join("stack-15.toml"), "stack-15.toml")?;
    edit_file(&sandbox.path("broken/stack-18.toml"), "2.0.0", "1.9.0")?;
    // The data moves, and then the server refuses its command line.
    edit_file(
        &sandbox.path("broken/components/postgres.toml"),
        "\"config_file={run}/postgresql.conf\"]",
        "\"config_file={run}/postgresql.conf\", \"-c\", \"no_such_setting=1\"]",
    )
}

fn build(sandbox: &Sandbox, name: &str) -> Run {
    let run = sandbox
        .builder(["build"])
        .arg(sandbox.path(format!("{name}.toml")))
        .within(Duration::from_mins(20));
    let run = run.arg("--key").arg(sandbox.path("keys/pack"));
    let run = run.arg("--trust").arg(sandbox.path("keys/root.json"));
    run.arg("--depot").arg(sandbox.path("depot")).warns()
}

/// The side without a network.
pub(crate) fn inside(story: &Story<'_>, place: &Path) -> Outcome {
    let began = Instant::now();
    let sandbox = Sandbox::lent(place);
    expect_no_network(story)?;
    let root = sandbox.path("Buku besar");
    let machine = Machine { sandbox, story, root };
    machine.fill_15()?;
    let before = machine.picture_of_15()?;
    machine.refuse_broken_18()?;
    machine.update_to_18(&before)?;
    machine.go_back()?;
    machine.go_forward_through_a_kill()?;
    machine.uninstall()?;
    let took = began.elapsed();
    ensure(took < LIMIT, || format!("it took {}", units::time(took)))?;
    story.found(&format!("All of this took {}.", units::time(took)));
    Ok(())
}

struct Machine<'a> {
    sandbox: Sandbox,
    story: &'a Story<'a>,
    root: PathBuf,
}

impl Machine<'_> {
    fn fill_15(&self) -> Outcome {
        self.story.chapter("PostgreSQL 15, 10,000 rows and a sequence");
        let install = self.change("install", "1.0.0").arg("--trust");
        self.say(install.arg(self.sandbox.path("keys/root.json")))?;
        let mut database = self.database("15")?;
        database.fill()?;
        database.fill_notes()?;
        database.expect_notes(1..=3)?;
        self.say(self.launcher("down"))?;
        self.expect_nothing_runs()
    }

    /// The directory of format 15, stopped.
    fn picture_of_15(&self) -> Outcome<tree::Picture> {
        tree::picture(&self.root.join("data/postgres/15"))
    }

    /// The data moves, the server does not start: the old one is back with its rows, its directory as it was.
    fn refuse_broken_18(&self) -> Outcome {
        self.story.chapter("A release of 18 that does not become ready");
        self.say(self.launcher("up"))?;
        let run = self.change("update", "1.9.0").fails(40).says("did not become ready");
        let done = run.says("rolled back").within(LIMIT).answer()?;
        for line in done.stderr.lines().skip_while(|line| !line.starts_with("error:")) {
            self.story.found(line);
        }
        let mut database = self.database("15")?;
        database.expect_rows()?;
        database.expect_notes(1..=3)?;
        database.add_note()?;
        let aside = self.root.join("data/postgres/18.aside-1/PG_VERSION");
        ensure(aside.is_file(), || format!("`{}` is not there", aside.display()))?;
        self.story
            .found("15 is active with every row; what the broken release made lies aside.");
        Ok(())
    }

    fn update_to_18(&self, before: &tree::Picture) -> Outcome {
        self.story.chapter("The good release of 18");
        self.say(self.launcher("down"))?;
        let old = self.picture_of_15()?;
        ensure(old != *before, || "a row was written meanwhile".into())?;
        self.say(self.change("update", "2.0.0"))?;
        let mut database = self.database("18")?;
        database.expect_rows()?;
        database.expect_notes(1..=4)?;
        database.add_note()?;
        database.expect_notes(1..=5)?;
        ensure(self.picture_of_15()? == old, || "the old directory was changed".into())?;
        self.story
            .found("Every row is there and the sequence goes on; the directory of 15 is byte-identical.");
        Ok(())
    }

    fn go_back(&self) -> Outcome {
        self.story.chapter("Back to 15");
        let refused = self.installer("rollback").fails(2).says("add `--restore-data`");
        let refused = refused.says("what was written since").answer()?;
        for line in refused.stderr.lines() {
            self.story.found(line);
        }
        let kept = "it is kept in `data/postgres/18.aside-2`";
        self.installer("rollback")
            .arg("--restore-data")
            .fails(2)
            .says("--yes")
            .says(kept)
            .answer()?;
        self.database("18")?.expect_notes(1..=5)?;
        self.say(self.installer("rollback").args(["--restore-data", "--yes"]).says(kept))?;
        let mut database = self.database("15")?;
        database.expect_rows()?;
        database.expect_notes(1..=4)?;
        let status = self.launcher("status").answer()?;
        let told = status.stdout.contains("kept aside: data/postgres/18.aside-2, ");
        ensure(told, || format!("nothing of it in\n{}", status.stdout))?;
        let version = fs::read_to_string(self.root.join("data/postgres/18.aside-2/PG_VERSION"));
        ensure(version.is_ok_and(|v| v.trim() == "18"), || {
            "the newer data is lost".into()
        })?;
        self.story
            .found("No row of the time before is lost, and the newer data lies aside, named with its size.");
        Ok(())
    }

    /// Everything is killed while the dump runs; the next start ends well.
    fn go_forward_through_a_kill(&self) -> Outcome {
        self.story.chapter("Forward again, killed in the middle");
        self.database("15")?.add_note()?;
        self.say(self.change("update", "2.0.0").arg("--no-start"))?;
        let up = self.launcher("up").start()?;
        let begun = self.root.join("data/postgres/18.init/.new/global");
        wait_for("the migration runs", || begun.is_dir())?;
        self.kill_everything()?;
        drop(up);
        ensure(!self.root.join("data/postgres/18").exists(), || {
            "it was done already".into()
        })?;
        self.say(self.launcher("up"))?;
        let mut database = self.database("18")?;
        database.expect_rows()?;
        database.expect_notes(1..=5)?;
        self.story
            .found("The rows are those of 15, with what was written there since; nothing that lay aside was used.");
        Ok(())
    }

    fn uninstall(&self) -> Outcome {
        self.story.chapter("Uninstall; the data stays");
        self.say(self.installer("uninstall").arg("--yes"))?;
        self.expect_nothing_runs()?;
        for dir in ["15", "18", "18.aside-1", "18.aside-2"] {
            let version = self.root.join("data/postgres").join(dir).join("PG_VERSION");
            ensure(version.is_file(), || format!("`{}` is gone", version.display()))?;
        }
        Ok(())
    }

    /// Every process of a program in this place but this one, which was copied into it.
    fn processes(&self) -> Vec<String> {
        let own = std::process::id().to_string();
        let left = self.sandbox.survivors();
        let ids = left.iter().filter_map(|line| line.split(' ').next());
        ids.filter(|id| *id != own).map(str::to_owned).collect()
    }

    fn expect_nothing_runs(&self) -> Outcome {
        let left = self.processes();
        ensure(left.is_empty(), || format!("still running: {left:?}"))
    }

    /// Kills every process of this root, as a machine does that goes down.
    fn kill_everything(&self) -> Outcome {
        wait_for("everything is dead", || {
            for id in self.processes() {
                drop(image::system("kill", &["-KILL", &id].map(Path::new)));
            }
            self.processes().is_empty()
        })
    }

    fn say(&self, run: Run) -> Outcome<Done> {
        self.story.run(self.sandbox.dir(), run.within(LIMIT))
    }

    fn change(&self, command: &str, version: &str) -> Run {
        let run = self.installer(command).arg("--source").arg(self.sandbox.path("depot"));
        run.args([&format!("ledger@{version}"), "--yes"])
    }

    fn installer(&self, command: &str) -> Run {
        self.sandbox.installer([command, "--root"]).arg(&self.root)
    }

    fn launcher(&self, command: &str) -> Run {
        self.sandbox.launcher(&self.root, [command])
    }

    /// A connection to the running server, which has to be of this version.
    fn database(&self, version: &str) -> Outcome<Database> {
        let status = self.launcher("status").json()?;
        let found = services(&status).find(|s| s["name"] == "postgres" && s["state"] == "running");
        let port = found.and_then(|s| s["ports"]["main"].as_u64());
        let port = port.and_then(|port| u16::try_from(port).ok());
        let port = port.ok_or_else(|| Failure::new(format!("PostgreSQL does not run: {status}")))?;
        let secret = self.root.join("secrets/postgres");
        let password = fs::read_to_string(secret).map_err(Failure::doing("could not read the password"))?;
        let mut database = Database::connect(port, password.trim())?;
        let found = database.version()?;
        ensure(found.starts_with(&format!("PostgreSQL {version}.")), || {
            format!("expected PostgreSQL {version}, got {found}")
        })?;
        Ok(database)
    }
}

fn wait_for(what: &str, mut look: impl FnMut() -> bool) -> Outcome {
    let end = Instant::now() + Duration::from_mins(1);
    while !look() {
        ensure(Instant::now() < end, || format!("did not happen in time: {what}"))?;
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
