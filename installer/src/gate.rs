//! Owns the gate: the generation's own launcher, run as a child with a deadline, its words kept for the error report.
//!
//! The exit code decides. The JSON document that `up` writes names the services that are not ready, and the addresses
//! that are shown at the end.
//!
//! Source: state/TRANSACTIONS.md, "The seam".

use std::{
    collections::BTreeMap,
    io::{self, Read},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use kojibox_console::Exit;
use kojibox_packs::manifest::{Manifest, Span};
use kojibox_state::{InstallRoot, journal};
use serde::Deserialize;

use crate::{
    plan::{DataInUse, Gate, GateError, Output, Unclean},
    platform,
};

/// What is kept of a child's stdout: one status document.
const STDOUT_MAX: usize = 4 << 20;
/// What is kept of a child's stderr: its last lines.
const STDERR_KEPT: usize = 8 << 10;
/// How long a launcher may take to tell the state: it measures what lies aside.
const LOOK: Duration = Duration::from_mins(2);
/// The variable for it; the launcher's `turn.rs` reads it.
const TRANSACTION: &str = "KOJIBOX_TRANSACTION";
/// How often a running child is looked at.
const POLL: Duration = Duration::from_millis(25);

/// Runs a generation's launcher.
#[derive(Debug)]
pub struct LauncherGate<'a> {
    start_deadline: Duration,
    stop_deadline: Duration,
    cancel: &'a AtomicBool,
    started: Mutex<Vec<ServiceStatus>>,
}

/// One service as the launcher's status document tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct ServiceStatus {
    /// Service id.
    pub name: String,
    /// State, one of the launcher's words.
    #[serde(default)]
    pub state: String,
    /// Port numbers by name.
    #[serde(default)]
    pub ports: BTreeMap<String, u16>,
    /// Why it is not running.
    #[serde(default)]
    pub reason: Option<String>,
    /// What to do about it.
    #[serde(default)]
    pub fix: Option<String>,
    /// Its main process, while it runs.
    #[serde(default)]
    pub pid: Option<u32>,
    /// Its data.
    #[serde(default)]
    pub data: Option<DataInUse>,
}

#[derive(Deserialize)]
struct StatusDocument {
    #[serde(default)]
    services: Vec<ServiceStatus>,
}

impl<'a> LauncherGate<'a> {
    /// A gate that waits as long as the services of `manifests` may take; `cancel` ends a start early.
    pub fn new<'m>(manifests: impl IntoIterator<Item = &'m Manifest>, cancel: &'a AtomicBool) -> Self {
        let (start, stop) = deadlines(manifests);
        Self::with_deadlines(start, stop, cancel)
    }

    /// A gate with deadlines of the caller's choice.
    pub fn with_deadlines(start: Duration, stop: Duration, cancel: &'a AtomicBool) -> Self {
        Self {
            start_deadline: start,
            stop_deadline: stop,
            cancel,
            started: Mutex::default(),
        }
    }

    /// Services as the last successful start told them.
    pub fn services(&self) -> Vec<ServiceStatus> {
        self.started.lock().map(|s| s.clone()).unwrap_or_default()
    }

    fn run(
        launcher: &Path,
        root: &Path,
        (verb, deadline): (&'static str, Duration),
        cancel: Option<&AtomicBool>,
    ) -> Result<Ended, GateError> {
        let mut command = Command::new(launcher);
        command.arg("--root").arg(root).arg(verb);
        command
            .arg("--json")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.env(TRANSACTION, transaction(root));
        platform::own_group(&mut command);
        let wrap = |source| GateError::Run {
            launcher: launcher.to_owned(),
            source,
        };
        let mut child = command.spawn().map_err(wrap)?;
        let stdout = keep(child.stdout.take(), STDOUT_MAX, End::First);
        let stderr = keep(child.stderr.take(), STDERR_KEPT, End::Last);
        let waited = wait(&mut child, deadline, cancel).map_err(wrap)?;
        if !matches!(waited, Waited::Ended(_)) {
            // Its exit is awaited, so no zombie and no half-written document is left.
            child.kill().and_then(|()| child.wait()).map_err(wrap)?;
        }
        let output = Output(String::from_utf8_lossy(&stderr.collected()).into_owned());
        match waited {
            Waited::Ended(status) => Ok(Ended {
                status,
                document: stdout.collected(),
                output,
            }),
            Waited::TooLong => Err(GateError::Deadline { verb, deadline, output }),
            Waited::Cancelled => Err(GateError::Cancelled { verb }),
        }
    }

    fn up(&self, launcher: &Path, root: &Path, cancel: Option<&AtomicBool>) -> Result<(), GateError> {
        let ended = Self::run(launcher, root, ("up", self.start_deadline), cancel)?;
        let services = ended.check("up")?;
        if let Ok(mut started) = self.started.lock() {
            *started = services;
        }
        Ok(())
    }
}

impl Gate for LauncherGate<'_> {
    fn stop(&self, launcher: &Path, root: &Path) -> Result<(), GateError> {
        // A stop that is left half way would leave services behind.
        let ended = Self::run(launcher, root, ("down", self.stop_deadline), None)?;
        ended.unclean()?.check("down").map(drop)
    }

    fn start(&self, launcher: &Path, root: &Path) -> Result<(), GateError> {
        self.up(launcher, root, Some(self.cancel))
    }

    fn start_again(&self, launcher: &Path, root: &Path) -> Result<(), GateError> {
        self.up(launcher, root, None)
    }

    fn data(&self, launcher: &Path, root: &Path) -> Option<BTreeMap<String, DataInUse>> {
        let ended = Self::run(launcher, root, ("status", LOOK), None).ok()?;
        let services = ended.check("status").ok()?;
        Some(services.into_iter().filter_map(|s| Some((s.name, s.data?))).collect())
    }
}

/// What tells a launcher that it works for the one that holds the root: the transaction, or this process before there is one.
fn transaction(root: &Path) -> String {
    let found = InstallRoot::open(root).and_then(|root| journal::read(root.dir()));
    let txid = found.ok().and_then(|f| f.begin().map(|b| b.txid().to_owned()));
    txid.unwrap_or_else(|| std::process::id().to_string())
}

/// A child that ended by itself.
struct Ended {
    status: ExitStatus,
    document: Vec<u8>,
    output: Output,
}

impl Ended {
    /// Tells a stop that left nothing running, but some data not as it should be, from one that failed.
    fn unclean(self) -> Result<Self, GateError> {
        let document: StatusDocument = match serde_json::from_slice(&self.document) {
            Ok(document) if self.status.code() == Some(i32::from(Exit::NotReady as u8)) => document,
            _ => return Ok(self),
        };
        if document.services.iter().any(|s| s.pid.is_some()) {
            return Ok(self);
        }
        let complaint = |s: ServiceStatus| {
            Some(Unclean {
                why: s.data?.unclean?,
                service: s.name,
            })
        };
        let services: Vec<Unclean> = document.services.into_iter().filter_map(complaint).collect();
        if services.is_empty() {
            return Ok(self);
        }
        Err(GateError::Unclean {
            services,
            output: self.output,
        })
    }

    fn check(self, verb: &'static str) -> Result<Vec<ServiceStatus>, GateError> {
        let document: Option<StatusDocument> = serde_json::from_slice(&self.document).ok();
        let services = document.map(|d| d.services).unwrap_or_default();
        if self.status.success() {
            return Ok(services);
        }
        // Stopped without a reason: nobody wanted it.
        let unwanted = |s: &ServiceStatus| s.state == "stopped" && s.reason.is_none();
        let not_ready = services
            .into_iter()
            .filter(|s| !matches!(s.state.as_str(), "running" | "completed" | "disabled") && !unwanted(s));
        Err(GateError::Failed {
            verb,
            how: self.status.to_string(),
            services: not_ready.map(|s| told(&s)).collect(),
            output: self.output,
        })
    }
}

fn told(service: &ServiceStatus) -> String {
    let mut line = format!("service `{}` is {}", service.name, service.state);
    if let Some(reason) = service.reason.as_deref().filter(|r| !r.is_empty()) {
        line.push_str(": ");
        line.push_str(reason);
    }
    line
}

enum Waited {
    Ended(ExitStatus),
    TooLong,
    Cancelled,
}

fn wait(child: &mut Child, deadline: Duration, cancel: Option<&AtomicBool>) -> io::Result<Waited> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Waited::Ended(status));
        }
        if cancel.is_some_and(|c| c.load(Ordering::Relaxed)) {
            return Ok(Waited::Cancelled);
        }
        if started.elapsed() >= deadline {
            return Ok(Waited::TooLong);
        }
        thread::sleep(POLL);
    }
}

/// Which end of a long output is kept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    First,
    Last,
}

/// Output of a child, read by a thread of its own so that a talkative child never blocks.
struct Kept {
    reader: Option<thread::JoinHandle<()>>,
    bytes: std::sync::Arc<Mutex<Vec<u8>>>,
}

/// How long output is awaited after the end of the child that wrote it: a daemon may hold the pipe open for good.
const DRAIN: Duration = Duration::from_millis(500);

impl Kept {
    fn collected(&self) -> Vec<u8> {
        let started = Instant::now();
        while self.reader.as_ref().is_some_and(|r| !r.is_finished()) && started.elapsed() < DRAIN {
            thread::sleep(Duration::from_millis(5));
        }
        self.bytes.lock().map(|b| b.clone()).unwrap_or_default()
    }
}

fn keep(pipe: Option<impl Read + Send + 'static>, limit: usize, end: End) -> Kept {
    let bytes = std::sync::Arc::new(Mutex::new(Vec::new()));
    let shared = std::sync::Arc::clone(&bytes);
    let reader = pipe.map(|mut pipe| {
        thread::spawn(move || {
            let mut buffer = [0; 8192];
            while let Ok(n @ 1..) = pipe.read(&mut buffer) {
                let Ok(mut kept) = shared.lock() else { return };
                kept.extend_from_slice(&buffer[..n]);
                let over = kept.len().saturating_sub(limit);
                match end {
                    End::First => kept.truncate(limit),
                    End::Last => drop(kept.drain(..over)),
                }
            }
        })
    });
    Kept { reader, bytes }
}

/// Time for a start and a stop of every service one after the other, which is more than any real order needs.
fn deadlines<'m>(manifests: impl IntoIterator<Item = &'m Manifest>) -> (Duration, Duration) {
    const BASE: Duration = Duration::from_mins(1);
    const READY: Duration = Duration::from_mins(1);
    const MIGRATION: Duration = Duration::from_mins(30);
    const INIT: Duration = Duration::from_mins(5);
    let (mut start, mut stop) = (BASE, BASE);
    for manifest in manifests {
        for service in &manifest.services {
            let probes = [&service.startup, &service.readiness];
            let given = probes.into_iter().flatten().filter_map(|p| p.timeout);
            start += given.map(Span::duration).sum::<Duration>().max(READY);
            start += if service.init.is_some() { INIT } else { Duration::ZERO };
            let steps = service.stop.unix.iter().chain(&service.stop.windows);
            stop += steps.map(|s| s.wait.duration()).sum::<Duration>().max(BASE);
        }
        start += MIGRATION * u32::try_from(manifest.migrations.len()).unwrap_or(u32::MAX).min(64);
    }
    (start, stop)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, sync::atomic::AtomicBool, time::Duration};

    use super::LauncherGate;
    use crate::plan::{Gate as _, GateError};

    /// A launcher that is a shell script.
    struct Script {
        dir: tempfile::TempDir,
        cancel: AtomicBool,
    }

    impl Script {
        fn new(body: &str) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let script = dir.path().join("kojibox");
            fs::write(&script, format!("#!/bin/sh\n{body}\n")).unwrap();
            fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
            Self {
                dir,
                cancel: AtomicBool::new(false),
            }
        }

        fn launcher(&self) -> PathBuf {
            self.dir.path().join("kojibox")
        }

        fn gate(&self) -> LauncherGate<'_> {
            LauncherGate::with_deadlines(Duration::from_secs(2), Duration::from_secs(2), &self.cancel)
        }
    }

    const STATUS: &str = r#"{"services":[{"name":"web","state":"running","ports":{"main":8080}},
        {"name":"db","state":"failed","ports":{},"reason":"port 5432 is taken"}]}"#;

    #[test]
    fn a_good_start_gives_the_addresses() {
        let script = Script::new(&format!(r#"test "$1 $3 $4" = "--root up --json" && echo '{STATUS}'"#));
        let gate = script.gate();
        gate.start(&script.launcher(), script.dir.path()).unwrap();
        assert_eq!(gate.services()[0].ports["main"], 8080);
    }

    #[test]
    fn what_is_not_ready_is_named_and_its_words_are_kept() {
        let script = Script::new(&format!("echo '{STATUS}'; echo oh no >&2; exit 40"));
        let error = script.gate().start(&script.launcher(), script.dir.path()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`kojibox up` ended with exit status: 40\nservice `db` is failed: port 5432 is taken"
        );
        assert_eq!(error.output(), "oh no\n");
    }

    #[test]
    fn a_launcher_that_never_ends_is_killed_at_its_deadline() {
        let script = Script::new("echo waiting >&2; exec sleep 60");
        let error = script.gate().stop(&script.launcher(), script.dir.path()).unwrap_err();
        assert!(matches!(&error, GateError::Deadline { verb: "down", .. }), "{error}");
        assert_eq!(error.output(), "waiting\n");
    }

    #[test]
    fn a_daemon_that_keeps_the_pipe_open_does_not_hold_us() {
        let script = Script::new(&format!("sleep 5 & echo '{STATUS}'"));
        let started = std::time::Instant::now();
        script.gate().start(&script.launcher(), script.dir.path()).unwrap();
        assert!(started.elapsed() < Duration::from_secs(4));
    }

    #[test]
    fn ctrl_c_ends_a_start_but_never_a_stop_or_the_return_to_what_ran() {
        let script = Script::new("sleep 0.3");
        script.cancel.store(true, std::sync::atomic::Ordering::Relaxed);
        let error = script.gate().start(&script.launcher(), script.dir.path()).unwrap_err();
        assert!(matches!(error, GateError::Cancelled { verb: "up" }));
        script.gate().stop(&script.launcher(), script.dir.path()).unwrap();
        script
            .gate()
            .start_again(&script.launcher(), script.dir.path())
            .unwrap();
    }

    #[test]
    fn a_stop_that_was_not_clean_is_told_from_one_that_failed() {
        let stopped = |pid: &str| {
            let data = r#"{"format":"1","since":"t","unclean":"it was killed","keep_as":"data/db/1.aside-1"}"#;
            format!(r#"echo '{{"services":[{{"name":"db","state":"stopped","pid":{pid},"data":{data}}}]}}'; exit 40"#)
        };
        let script = Script::new(&stopped("null"));
        let error = script.gate().stop(&script.launcher(), script.dir.path()).unwrap_err();
        assert!(matches!(error, GateError::Unclean { .. }), "{error}");
        assert_eq!(error.to_string(), "services did not stop cleanly\n`db`: it was killed");
        let script = Script::new(&stopped("17"));
        let error = script.gate().stop(&script.launcher(), script.dir.path()).unwrap_err();
        assert!(
            matches!(error, GateError::Failed { .. }),
            "something still runs: {error}"
        );
    }

    #[test]
    fn a_launcher_that_is_not_there_is_named() {
        let cancel = AtomicBool::new(false);
        let gate = LauncherGate::with_deadlines(Duration::from_secs(1), Duration::from_secs(1), &cancel);
        let error = gate.start("/nowhere/kojibox".as_ref(), "/tmp".as_ref()).unwrap_err();
        assert_eq!(error.to_string(), "could not run `/nowhere/kojibox`");
    }
}
