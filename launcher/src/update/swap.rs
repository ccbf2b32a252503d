//! Owns the change of daemons: the new program proves itself in its place, then takes over every shim, or the old one
//! comes back. Services notice nothing.

use std::{
    collections::BTreeMap,
    io::{self, Read as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use kojibox_supervisor::{
    api::{ServiceStatus, Status},
    client::{self, Client, ClientError},
    daemon::Settings,
    machine::State,
    shim::never_runs,
};
use serde::Deserialize;

/// How long the new program may take to check itself.
const CHECK: Duration = Duration::from_secs(30);
/// How long the new daemon may take to find every shim again.
const TAKE_OVER: Duration = Duration::from_secs(30);

/// The new program did not prove itself.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SwapError {
    /// It could not be started.
    #[error("could not start `{}`", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Its self-check failed.
    #[error("its self-check ended with {status}: {said}")]
    Check {
        /// How it ended.
        status: String,
        /// Its last words.
        said: String,
    },
    /// It is not what the pack says it is.
    #[error("it says that it is version {got}, the pack says {expected}")]
    Version {
        /// What it says.
        got: String,
        /// What was signed.
        expected: String,
    },
    /// It took too long.
    #[error("it did not answer within {} s", .0.as_secs())]
    Late(Duration),
    /// The daemon before did not make room.
    #[error("the daemon before did not do its part")]
    Old(#[source] ClientError),
    /// The new daemon did not serve.
    #[error("the new daemon did not do its part")]
    New(#[source] ClientError),
    /// A service is not what it was.
    #[error("service `{service}` was process {before:?}, and is {after} now")]
    Touched {
        /// The service.
        service: String,
        /// Process before.
        before: Option<u32>,
        /// What it is now.
        after: String,
        /// The process before lives: only the new daemon does not know it.
        lives: bool,
    },
}

impl SwapError {
    /// True if the new program itself is to blame, so that it would fail again. A daemon before it that hangs, a service that
    /// ended by itself meanwhile, or a machine that has no room say nothing about it.
    pub(super) fn is_its_own(&self) -> bool {
        match self {
            Self::Check { .. } | Self::Version { .. } => true,
            Self::Start { source, .. } => never_runs(source),
            Self::Late(_) | Self::Old(_) => false,
            Self::New(error) => match error {
                ClientError::Start { source, .. } => never_runs(source),
                ClientError::State(_) | ClientError::Empty(_) | ClientError::File(_) | ClientError::Busy => false,
                ClientError::Failed(_)
                | ClientError::Late(_)
                | ClientError::Mute(_)
                | ClientError::Wire(_)
                | ClientError::Odd => true,
            },
            Self::Touched { lives, .. } => *lives,
        }
    }
}

/// How daemons are started here.
#[derive(Clone, Debug)]
pub(crate) struct Swap<'a> {
    /// Settings of the active program.
    pub(crate) settings: &'a Settings,
}

/// What the self-check prints.
#[derive(Deserialize)]
struct Checked {
    version: String,
}

impl Swap<'_> {
    /// Lets `program` check itself where it is, and say who it is.
    pub(super) fn check(&self, program: &Path, expected: &str) -> Result<(), SwapError> {
        let mut command = Command::new(program);
        command
            .args(["self-check", "--json", "--root"])
            .arg(&self.settings.root);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let failed = |source| SwapError::Start {
            program: program.to_owned(),
            source,
        };
        let mut child = command.spawn().map_err(failed)?;
        let end = Instant::now() + CHECK;
        let status = loop {
            if let Some(status) = child.try_wait().map_err(failed)? {
                break status;
            }
            if Instant::now() > end {
                drop(child.kill());
                drop(child.wait());
                return Err(SwapError::Late(CHECK));
            }
            thread::sleep(Duration::from_millis(5));
        };
        // What it says fits a pipe: it has ended, and was never waited for.
        let (mut out, mut err) = (String::new(), String::new());
        drop(child.stdout.take().map(|mut o| o.read_to_string(&mut out)));
        drop(child.stderr.take().map(|mut e| e.read_to_string(&mut err)));
        match serde_json::from_str::<Checked>(&out) {
            Ok(checked) if status.success() && checked.version == expected => Ok(()),
            Ok(checked) if status.success() => Err(SwapError::Version {
                got: checked.version,
                expected: expected.to_owned(),
            }),
            _ => Err(SwapError::Check {
                status: status.to_string(),
                said: err.lines().next_back().unwrap_or("it said nothing").to_owned(),
            }),
        }
    }

    /// Lets a daemon of `program` take over; gives the number of services it took. The pointer names it already.
    pub(super) fn hand_over(&self, program: &Path) -> Result<usize, SwapError> {
        let root = &self.settings.root;
        let before = match Client::find(root).map_err(SwapError::Old)? {
            Some(old) => {
                let before = processes(&old.status().map_err(SwapError::Old)?);
                old.leave(root).map_err(SwapError::Old)?;
                before
            }
            None if client::has_traces(root) => BTreeMap::new(),
            // Nothing runs, so there is nothing to take over.
            None => return Ok(0),
        };
        let settings = Settings {
            exe: program.to_owned(),
            ..self.settings.clone()
        };
        let new = Client::start(&settings, CHECK).map_err(SwapError::New)?;
        wait_for(&new, &before)
    }

    /// Takes the new daemon away, whatever state it is in. Its shims stay.
    pub(super) fn dismiss(&self) {
        let root = &self.settings.root;
        if let Ok(Some(new)) = Client::find(root)
            && new.leave(root).is_err()
        {
            new.kill();
        }
    }

    /// Starts the old daemon again, which takes over what is there. The pointer names its generation again.
    pub(super) fn take_back(&self) -> Result<(), ClientError> {
        if client::has_traces(&self.settings.root) {
            Client::find_or_start(self.settings)?;
        }
        Ok(())
    }
}

/// A service's process: its number, when it was started, and how many were started before it.
#[derive(Debug, PartialEq, Eq)]
struct Process {
    pid: Option<u32>,
    token: Option<String>,
    generation: u64,
}

impl Process {
    fn lives(&self) -> bool {
        self.token.is_some() && self.pid.and_then(client::start_token) == self.token
    }
}

fn processes(status: &Status) -> BTreeMap<String, Process> {
    let live = status
        .services
        .iter()
        .filter(|s| s.pid.is_some() && s.state != State::Stopping);
    let process = |s: &ServiceStatus| Process {
        pid: s.pid,
        token: s.pid.and_then(client::start_token),
        generation: s.generation,
    };
    live.map(|s| (s.name.clone(), process(s))).collect()
}

/// Waits until `new` knows every shim, and compares.
fn wait_for(new: &Client, was: &BTreeMap<String, Process>) -> Result<usize, SwapError> {
    let end = Instant::now() + TAKE_OVER;
    let after = loop {
        let status = new.status().map_err(SwapError::New)?;
        if status.is_known() {
            break status;
        }
        if Instant::now() > end {
            return Err(SwapError::New(ClientError::Late(TAKE_OVER)));
        }
        thread::sleep(Duration::from_millis(10));
    };
    let is = processes(&after);
    let same = |name: &String, process: &Process| {
        let now = is.get(name);
        now.is_some_and(|now| (now.pid, now.generation) == (process.pid, process.generation))
    };
    match was.iter().find(|(name, process)| !same(name, process)) {
        None => Ok(is.len()),
        Some((service, process)) => Err(SwapError::Touched {
            service: service.clone(),
            before: process.pid,
            after: after
                .service(service)
                .map_or("unknown".to_owned(), |s| format!("{:?}, process {:?}", s.state, s.pid)),
            lives: process.lives(),
        }),
    }
}
