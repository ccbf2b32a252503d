//! Owns the other machine of the demo: what its carrier and its daily user do.

use std::path::PathBuf;

use serde_json::Value;

use crate::{Failure, Outcome, Run, Sandbox, Story, failure::ensure, pack::host_target, tree, units};

use super::guestbook::GuestBook;

/// An install root, and the stick beside it.
pub(super) struct Machine<'a> {
    sandbox: &'a Sandbox,
    root: PathBuf,
    /// The installer's own file on the stick.
    installer: PathBuf,
}

impl<'a> Machine<'a> {
    pub(super) fn new(sandbox: &'a Sandbox) -> Outcome<Self> {
        let name = format!("install-{}{}", host_target(), std::env::consts::EXE_SUFFIX);
        let installer = sandbox.path("stick").join(name);
        ensure(installer.is_file(), || {
            format!("there is no installer `{}` on the stick", installer.display())
        })?;
        Ok(Self {
            sandbox,
            root: sandbox.path("Kojibox di rumah"),
            installer,
        })
    }

    /// Installs with the installer on the stick, which carries the trust root, and starts the stack.
    pub(super) fn install(&self, story: &Story<'_>) -> Outcome {
        story.chapter("Install from the stick, start");
        story.run(self.sandbox.dir(), self.with_stick("install"))?;
        let size = tree::bytes_below(&self.root.join("components"));
        story.found(&format!("Installed: {}.", units::size(size)));
        self.expect_generation(1)
    }

    /// Finds the guest book where the launcher says it is.
    pub(super) fn guest_book(&self) -> Outcome<GuestBook> {
        let status = self.launcher(["status"]).json()?;
        let service = status["services"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|s| s["name"] == "guestbook");
        let service = service.ok_or_else(|| Failure::new(format!("no service `guestbook` in {status}")))?;
        ensure(service["state"] == "running", || {
            format!("the guest book is not running: {service}")
        })?;
        let port = service["ports"]["main"]
            .as_u64()
            .and_then(|port| u16::try_from(port).ok());
        Ok(GuestBook::at(
            port.ok_or_else(|| Failure::new(format!("no port `main` in {service}")))?,
        ))
    }

    /// Updates from the stick.
    pub(super) fn update(&self, story: &Story<'_>) -> Outcome {
        story.chapter("Update from the stick");
        story.run(self.sandbox.dir(), self.with_stick("update"))?;
        self.expect_generation(2)
    }

    /// The note is there, in the new format.
    pub(super) fn expect_release_two(&self, story: &Story<'_>) -> Outcome {
        let book = self.guest_book()?;
        let version = book.version()?;
        ensure(version == "2.0.0", || format!("expected version 2.0.0, got {version}"))?;
        book.expect_notes(&["The first note, written in version 1."])?;
        story.found(&format!("Guest book {version} answers; the note came along."));
        book.sign("Budi", "The second note, written in version 2.")?;
        story.found("A visitor signs it again.");
        Ok(())
    }

    /// The launcher replaces itself; the guest book goes on running.
    pub(super) fn self_update(&self, story: &Story<'_>) -> Outcome {
        story.chapter("The launcher updates itself");
        let (version, process) = (self.launcher_version()?, self.service_pid()?);
        let run = self
            .launcher(["self-update", "--source"])
            .arg(self.sandbox.path("depot"));
        story.run(self.sandbox.dir(), run)?;
        let (newer, still) = (self.launcher_version()?, self.service_pid()?);
        ensure(newer != version, || format!("the launcher is still {version}"))?;
        ensure(still == process, || {
            format!("the guest book was restarted: process {process} became {still}")
        })?;
        story.found(&format!(
            "{version} became {newer}; the guest book was not touched: process {still} went on."
        ));
        self.guest_book()?.expect_notes(&BOTH)
    }

    /// What the launcher behind the front door says of itself.
    fn launcher_version(&self) -> Outcome<String> {
        Ok(self.launcher(["--version"]).answer()?.stdout.trim().to_owned())
    }

    /// The broken release verifies, installs, and does not become ready: the machine goes back by itself.
    pub(super) fn refuse_release_three(&self, story: &Story<'_>) -> Outcome {
        let generation = self.generation()?;
        let run = self.with_stick("update");
        let line = run.line();
        let done = run
            .fails(40)
            .says("did not become ready")
            .says("rolled back")
            .answer()?;
        story.found(&format!(
            "The update ends with 40 after {}, and says why:",
            units::time(done.took)
        ));
        for line in done.stderr.lines().skip_while(|line| !line.starts_with("error:")) {
            story.found(&format!("  {line}"));
        }
        let now = self.generation()?;
        ensure(now == generation, || {
            format!("generation {now} is active after `{line}`, expected {generation}")
        })?;
        let book = self.guest_book()?;
        book.expect_notes(&BOTH)?;
        story.found(&format!(
            "Guest book {} answers again, both notes are there.",
            book.version()?
        ));
        Ok(())
    }

    /// Every installed file is what was signed.
    pub(super) fn verify(&self, story: &Story<'_>) -> Outcome {
        story.chapter("Verify, uninstall");
        story.run(self.sandbox.dir(), self.installer("verify"))?;
        Ok(())
    }

    /// Takes everything away; the data only because it is asked for.
    pub(super) fn uninstall(&self, story: &Story<'_>) -> Outcome {
        story.run(self.sandbox.dir(), self.installer("uninstall").arg("--yes"))?;
        let kept = tree::picture(&self.root.join("data"))?;
        ensure(kept.keys().any(|path| path.ends_with("guestbook.sqlite")), || {
            format!("the data must stay without `--purge-data`, but only this is left: {kept:?}")
        })?;
        story.found("The data stayed, because nobody asked for it to go.");
        Ok(())
    }

    /// Says where everything is and how to end it.
    pub(super) fn leave_running(&self, story: &Story<'_>) -> Outcome {
        let book = self.guest_book()?;
        let launcher = self.root.join("kojibox");
        story.chapter("Left running");
        story.found(&format!("Root      {}", self.root.display()));
        story.found(&format!("Status    '{}' status", launcher.display()));
        story.found(&format!("Stop      '{}' down", launcher.display()));
        story.found(&format!(
            "Uninstall '{}' uninstall --root '{}'",
            self.installer.display(),
            self.root.display()
        ));
        story.answer(&book.address());
        Ok(())
    }

    fn with_stick(&self, command: &str) -> Run {
        let run = self.installer(command).arg("--source").arg(self.sandbox.path("stick"));
        // Another program may have the preferred port: that is a warning.
        run.arg("--yes").warns()
    }

    fn installer(&self, command: &str) -> Run {
        self.sandbox
            .run(&self.installer)
            .arg(command)
            .arg("--root")
            .arg(&self.root)
    }

    fn launcher(&self, args: impl IntoIterator<Item = &'static str>) -> Run {
        self.sandbox.launcher(&self.root, args)
    }

    fn status(&self) -> Outcome<Value> {
        self.installer("status").json()
    }

    fn generation(&self) -> Outcome<u64> {
        let status = self.status()?;
        status["generation"]
            .as_u64()
            .ok_or_else(|| Failure::new(format!("no generation in {status}")))
    }

    fn expect_generation(&self, expected: u64) -> Outcome {
        let status = self.status()?;
        let holds = status["generation"] == expected && status["state"] == "active";
        ensure(holds, || {
            format!("expected generation {expected} to be active, got {status}")
        })
    }

    fn service_pid(&self) -> Outcome<u64> {
        let status = self.launcher(["status"]).json()?;
        let pid = status["services"]
            .as_array()
            .into_iter()
            .flatten()
            .find_map(|service| service["pid"].as_u64());
        pid.ok_or_else(|| Failure::new(format!("no process in {status}")))
    }
}

/// The notes after release 2, newest first.
const BOTH: [&str; 2] = [
    "The second note, written in version 2.",
    "The first note, written in version 1.",
];
