//! Black box: packs with a service, on a machine that starts it, updates it, breaks it and goes back.

mod life;
mod meet;
mod own;
#[cfg(target_os = "linux")]
mod reflink;
mod story;
#[cfg(unix)]
mod wizard;

use std::path::PathBuf;

use kojibox_tests::{
    Failure, Outcome, Run, Sandbox, ensure, http,
    pack::{Publisher, demo_stack},
};

/// A machine with the demo's guest book, and its publisher.
struct Machine<'a> {
    sandbox: &'a Sandbox,
    publisher: Publisher<'a>,
    root: PathBuf,
}

impl<'a> Machine<'a> {
    /// The publisher has built release 1; nothing is installed.
    fn new(sandbox: &'a Sandbox) -> Outcome<Self> {
        Self::with(sandbox, sandbox.path("akar saya"))
    }

    /// The same, to be installed in `root`.
    fn with(sandbox: &'a Sandbox, root: PathBuf) -> Outcome<Self> {
        let publisher = Publisher::new(sandbox, "publisher")?;
        let machine = Self {
            sandbox,
            publisher,
            root,
        };
        machine.release(1)?;
        Ok(machine)
    }

    fn release(&self, number: u8) -> Outcome {
        self.publisher.build(&demo_stack(self.sandbox, number)?).map(drop)
    }

    /// Another program, or another test, may have the preferred port: that is a warning.
    fn install(&self) -> Run {
        self.publisher.install_run(&self.root).warns()
    }

    fn update(&self) -> Run {
        let run = self
            .sandbox
            .installer(["update", "--yes", "--source"])
            .arg(self.publisher.depot());
        run.arg("--root").arg(&self.root).warns()
    }

    fn installer(&self, args: &[&str]) -> Run {
        self.sandbox.installer(args).arg("--root").arg(&self.root)
    }

    fn launcher(&self, args: &[&str]) -> Run {
        self.sandbox.launcher(&self.root, args)
    }

    /// Port of the running guest book.
    fn port(&self) -> Outcome<u16> {
        let status = self.launcher(&["status"]).json()?;
        let service = &status["services"][0];
        let port = service["ports"]["main"]
            .as_u64()
            .and_then(|port| u16::try_from(port).ok());
        let running = service["name"] == "guestbook" && service["state"] == "running";
        port.filter(|_| running)
            .ok_or_else(|| Failure::new(format!("the guest book is not running: {status}")))
    }

    fn sign(&self, text: &str) -> Outcome {
        let answer = http::post(self.port()?, "/api/notes", &serde_json::json!({ "text": text }))?;
        ensure(answer.status == 201, || format!("{} {}", answer.status, answer.body))
    }

    /// Exactly these notes are there, newest first, served by this version.
    fn expect(&self, version: &str, notes: &[&str]) -> Outcome {
        let port = self.port()?;
        let found = http::get(port, "/version")?.json()?;
        ensure(found["version"] == version, || {
            format!("expected version {version}, got {found}")
        })?;
        let found = http::get(port, "/api/notes")?.json()?;
        let texts: Vec<&str> = found
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|note| note["text"].as_str())
            .collect();
        ensure(texts == notes, || format!("expected {notes:?}, got {texts:?}"))
    }

    /// Stops everything and takes it away.
    fn end(&self) -> Outcome {
        self.installer(&["uninstall", "--yes", "--purge-data"]).answer()?;
        self.sandbox.expect_no_survivors()
    }
}
