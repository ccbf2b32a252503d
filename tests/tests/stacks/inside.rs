//! Owns the side without a network: what the carrier and the daily user do with the real stack.

mod database;

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    time::Duration,
};

use kojibox_tests::{Done, Failure, Outcome, Run, Sandbox, Story, ensure, http, tree, units};
use serde_json::Value;

use crate::measure;
pub(crate) use database::Database;

pub(crate) fn tell(story: &Story<'_>, place: &Path) -> Outcome {
    let sandbox = Sandbox::lent(place);
    expect_no_network(story)?;
    let mut machine = Machine {
        sandbox: &sandbox,
        story,
        root: sandbox.path("Kojibox saya"),
    };
    machine.install()?;
    machine.use_everything()?;
    machine.update()?;
    machine.refuse_broken_release()?;
    machine.roll_back()?;
    machine.move_away()?;
    machine.verify_and_damage()?;
    measure::tell(story, &sandbox, &machine.root)?;
    machine.uninstall()
}

/// Only the loopback of this namespace is there, and this user is not root.
pub(crate) fn expect_no_network(story: &Story<'_>) -> Outcome {
    story.chapter("A user who is not root, a machine without a network");
    let devices = fs::read_to_string("/proc/net/dev").map_err(Failure::doing("could not list network devices"))?;
    let names: Vec<&str> = devices
        .lines()
        .skip(2)
        .filter_map(|line| line.split_once(':'))
        .map(|(name, _)| name.trim())
        .collect();
    ensure(names == ["lo"], || format!("there is a network: {names:?}"))?;
    // TEST-NET-1, which is nobody's.
    let outside = SocketAddr::from(([192, 0, 2, 1], 443));
    let tried = TcpStream::connect_timeout(&outside, Duration::from_secs(2));
    ensure(tried.is_err(), || "a connection to the outside was made".into())?;
    let status = fs::read_to_string("/proc/self/status").map_err(Failure::doing("could not read the own status"))?;
    let uid = status
        .lines()
        .find_map(|line| line.strip_prefix("Uid:"))
        .unwrap_or_default()
        .trim()
        .to_owned();
    ensure(!uid.starts_with("0\t") && !uid.is_empty(), || {
        format!("this user is root: {uid}")
    })?;
    story.found(&format!(
        "User {}, network devices: lo.",
        uid.split('\t').next().unwrap_or_default()
    ));
    Ok(())
}

struct Machine<'a> {
    sandbox: &'a Sandbox,
    story: &'a Story<'a>,
    root: PathBuf,
}

impl Machine<'_> {
    fn install(&self) -> Outcome {
        self.story.chapter("Install from the stick, up");
        let run = self
            .stick(1, "install")
            .args(["--yes", "--save-answers"])
            .arg(self.sandbox.path("answers.toml"));
        let done = self.say(run)?;
        let bytes = tree::bytes_below(&self.root.join("components"));
        self.story.found(&format!(
            "Installed {} and up in {}.",
            units::size(bytes),
            units::time(done.took)
        ));
        self.expect_generation(1)
    }

    /// The database takes rows, the application counts visits in it and sends mail, the catcher has the mail.
    fn use_everything(&self) -> Outcome {
        self.story.chapter("Use it");
        let mut database = self.database()?;
        database.expect_one()?;
        let took = database.fill()?;
        self.story.found(&format!(
            "{}; 10,000 rows written in {}.",
            database.version()?,
            units::time(took)
        ));
        let page = http::get(self.port("welcome", "main")?, "/")?;
        let right = page.status == 200
            && page
                .body
                .contains("This is visit 1, counted by PostgreSQL and announced by mail.");
        ensure(right, || {
            format!("the application answers {} {}", page.status, page.body)
        })?;
        let mails = http::get(self.port("maildev", "web")?, "/email")?.json()?;
        ensure(mails[0]["subject"] == "Visit 1", || {
            format!("the mail catcher has {mails}")
        })?;
        self.story
            .found("The application answers 200, counts in PostgreSQL, and the mail catcher has its mail.");
        Ok(())
    }

    fn update(&self) -> Outcome {
        self.story.chapter("Update from the second stick");
        let before = self.port("welcome", "main")?;
        let done = self.say(self.stick(2, "update").arg("--yes"))?;
        self.story.found(&format!("Updated in {}.", units::time(done.took)));
        self.expect_generation(2)?;
        self.database()?.expect_rows()?;
        let port = self.port("welcome", "main")?;
        ensure(port == before, || format!("the port moved from {before} to {port}"))?;
        self.expect_page("Release 1.1.0. This is visit 2")?;
        self.story
            .found("All rows are there; the new release answers at the same port.");
        Ok(())
    }

    fn refuse_broken_release(&self) -> Outcome {
        self.story.chapter("A release that does not become ready");
        let run = self
            .stick(3, "update")
            .arg("--yes")
            .fails(40)
            .says("did not become ready")
            .says("rolled back");
        let done = run.within(Duration::from_mins(5)).answer()?;
        for line in done.stderr.lines().skip_while(|line| !line.starts_with("error:")) {
            self.story.found(line);
        }
        self.story
            .found(&format!("Back on generation 2 after {}.", units::time(done.took)));
        self.expect_generation(2)?;
        self.database()?.expect_rows()?;
        self.expect_page("Release 1.1.0. This is visit 3")
    }

    fn roll_back(&self) -> Outcome {
        self.story.chapter("Roll back, without a stick");
        let done = self.say(self.installer("rollback").arg("--yes"))?;
        self.story.found(&format!("Rolled back in {}.", units::time(done.took)));
        let status = self.installer("status").json()?;
        ensure(status["packs"][0]["version"] == "1.0.0", || {
            format!("expected release 1.0.0, got {status}")
        })?;
        self.database()?.expect_rows()?;
        self.expect_page("<p>This is visit 4")
    }

    /// Stopped, moved to another name, started: everything is still there.
    fn move_away(&mut self) -> Outcome {
        self.story.chapter("Move the root");
        self.say(self.launcher("down"))?;
        self.sandbox.expect_no_survivors()?;
        let to = self.sandbox.path("Kojibox pindah");
        fs::rename(&self.root, &to).map_err(Failure::doing("could not move the root"))?;
        self.root = to;
        self.say(self.launcher("up"))?;
        self.database()?.expect_rows()?;
        self.expect_page("<p>This is visit 5")
    }

    fn verify_and_damage(&self) -> Outcome {
        self.story.chapter("Verify");
        let done = self.say(self.installer("verify"))?;
        self.story.found(&format!(
            "Every file is what was signed, in {}.",
            units::time(done.took)
        ));
        self.say(self.launcher("down"))?;
        self.sandbox.expect_no_survivors()?;
        let file = self.find("components", "node_modules/maildev/index.js")?;
        let bytes = fs::read(&file).map_err(Failure::doing("could not read a file"))?;
        let mut changed = bytes.clone();
        changed[10] ^= 1;
        overwrite(&file, &changed)?;
        self.installer("verify").fails(21).says("maildev/index.js").answer()?;
        overwrite(&file, &bytes)?;
        self.story.found("One flipped bit is found and named.");
        Ok(())
    }

    fn uninstall(&self) -> Outcome {
        self.story.chapter("Uninstall; the data stays");
        self.say(self.installer("uninstall").arg("--yes"))?;
        self.sandbox.expect_no_survivors()?;
        let data = self.root.join("data/postgres/18/PG_VERSION");
        ensure(data.is_file(), || format!("`{}` is gone", data.display()))?;
        let left = tree::picture(&self.root.join("components"))?;
        ensure(left.is_empty(), || format!("left behind: {left:?}"))?;
        self.story
            .found("No process and no component is left; the database is where it was.");
        Ok(())
    }

    fn say(&self, run: Run) -> Outcome<Done> {
        self.story.run(self.sandbox.dir(), run.within(Duration::from_mins(5)))
    }

    fn stick(&self, number: u8, command: &str) -> Run {
        let stick = self.sandbox.path(format!("stick-{number}"));
        let run = self
            .sandbox
            .run(stick.join("install-linux-x86_64"))
            .arg(command)
            .arg("--source")
            .arg(&stick);
        run.arg("--root").arg(&self.root)
    }

    fn installer(&self, command: &str) -> Run {
        self.sandbox.installer([command, "--root"]).arg(&self.root)
    }

    fn launcher(&self, command: &str) -> Run {
        self.sandbox.launcher(&self.root, [command])
    }

    fn port(&self, service: &str, name: &str) -> Outcome<u16> {
        let status = self.launcher("status").json()?;
        let found = services(&status).find(|s| s["name"] == service && s["state"] == "running");
        let port = found
            .and_then(|s| s["ports"][name].as_u64())
            .and_then(|port| u16::try_from(port).ok());
        port.ok_or_else(|| {
            Failure::new(format!(
                "no running service `{service}` with a port `{name}` in {status}"
            ))
        })
    }

    fn database(&self) -> Outcome<Database> {
        let secret = self.root.join("secrets/postgres");
        let password =
            fs::read_to_string(&secret).map_err(Failure::doing(format!("could not read `{}`", secret.display())))?;
        Database::connect(self.port("postgres", "main")?, password.trim())
    }

    fn expect_page(&self, text: &str) -> Outcome {
        let page = http::get(self.port("welcome", "main")?, "/")?;
        ensure(page.status == 200 && page.body.contains(text), || {
            format!("expected `{text}`, got {} {}", page.status, page.body)
        })
    }

    fn expect_generation(&self, expected: u64) -> Outcome {
        let status = self.installer("status").json()?;
        let holds = status["generation"] == expected && status["state"] == "active";
        ensure(holds, || {
            format!("expected generation {expected} to be active, got {status}")
        })
    }

    /// The file below `folder` whose path ends with `end`.
    fn find(&self, folder: &str, end: &str) -> Outcome<PathBuf> {
        let dir = self.root.join(folder);
        let found = tree::picture(&dir)?.into_keys().find(|path| path.ends_with(end));
        found
            .map(|path| dir.join(path))
            .ok_or_else(|| Failure::new(format!("no `{end}` below `{}`", dir.display())))
    }
}

pub(crate) fn services(status: &Value) -> impl Iterator<Item = &Value> {
    status["services"].as_array().into_iter().flatten()
}

/// Writes over a file of a read-only tree, as a bad disk would.
fn overwrite(path: &Path, bytes: &[u8]) -> Outcome {
    use std::os::unix::fs::PermissionsExt as _;
    let doing = || Failure::doing(format!("could not write over `{}`", path.display()));
    let mode = fs::metadata(path).map_err(doing())?.permissions();
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).map_err(doing())?;
    fs::write(path, bytes).map_err(doing())?;
    fs::set_permissions(path, mode).map_err(doing())
}
