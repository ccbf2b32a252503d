//! Owns the daemon: feeds the machine with what happens and carries out what it decides.
//!
//! One thread decides, and never waits for a process or a person, and for a disk only to write down what is wanted and to take
//! away what was told; everything else runs beside it and reports.
//! The daemon may be killed at any time: the shims stay, and the next daemon finds them again.
//!
//! Files: `run/_instances/daemon.lock` (held as long as it lives), `run/_instances/daemon.place` (who it is and where it
//! listens), `run/_instances/daemon.state` (what is wanted and how often each service was started), `logs/_launcher/`.

mod act;
mod answer;
mod attach;
mod clients;
mod context;
mod mailbox;
mod prepare;
mod serve;
mod shims;
mod sweep;

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

pub(crate) use self::shims::complaints;
use self::{mailbox::Outbox, prepare::Ready, serve::Daemon};
use crate::{
    api::Request,
    clock::Clock,
    files::{self, FileError, failed},
    instance::{self, Instance},
    machine::Event,
    secrets::SecretError,
    stack::StackError,
    wire::{self, WireError},
};

/// What the program tells the daemon.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The install root, absolute.
    pub root: PathBuf,
    /// The program itself, to be started as shims.
    pub exe: PathBuf,
    /// Its version.
    pub version: String,
    /// The environment it was started in.
    pub environment: BTreeMap<String, String>,
    /// The clock.
    pub clock: Clock,
    /// Crash point of launcher/DATA.md at which the daemon ends as if it were killed; for tests from outside.
    pub crash_at: Option<String>,
}

/// The daemon could not be started, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// What is installed could not be read.
    #[error("could not read what is installed")]
    Stack(#[from] StackError),
    /// Another daemon serves this root.
    #[error("another daemon serves this install root")]
    Busy,
    /// A file could not be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// A secret could not be used.
    #[error("could not use the secrets")]
    Secret(#[from] SecretError),
    /// The event loop could not be made.
    #[error("could not start the event loop")]
    Loop(#[source] io::Error),
}

/// What a daemon says to who started it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Birth {
    /// It serves.
    Ready {
        /// Its process.
        pid: u32,
    },
    /// Another one does.
    Busy {
        /// Always true.
        busy: bool,
    },
    /// It cannot.
    Failed {
        /// What went wrong, with its causes, outermost first.
        causes: Vec<String>,
    },
}

/// Something the deciding thread has to look at.
#[derive(Debug)]
enum Input {
    /// It is about the machine only.
    Machine(Event),
    /// A start has been prepared.
    Ready(Box<Ready>),
    /// A shim tells its state.
    Told(Instance),
    /// A client asks.
    Asked(Request, Outbox),
}

/// The way to the deciding thread.
#[derive(Clone, Debug)]
struct Inputs(mpsc::Sender<Input>);

impl Inputs {
    /// Hands something over; a daemon that has ended needs nothing any more.
    fn send(&self, input: Input) {
        drop(self.0.blocking_send(input));
    }
}

/// Locks the root for one daemon.
pub(crate) fn lock(run: &Path) -> Result<Option<File>, FileError> {
    let path = instance::dir(run).join("daemon.lock");
    files::make_dir(&instance::dir(run))?;
    let opened = OpenOptions::new().create(true).append(true).open(&path);
    let file = opened.map_err(failed("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(e)) => Err(failed("lock", &path)(e)),
    }
}

/// Serves until everything is down or someone takes over. Says one line to `starter` when it serves or cannot.
pub fn run(settings: Settings, mut starter: impl Write) -> Result<(), DaemonError> {
    let born = Daemon::start(settings);
    let said = match &born {
        Ok(_) => Birth::Ready {
            pid: std::process::id(),
        },
        Err(DaemonError::Busy) => Birth::Busy { busy: true },
        Err(error) => Birth::Failed { causes: causes(error) },
    };
    // Who started us may be gone; others will ask.
    drop::<Result<(), WireError>>(wire::send(&mut starter, &said));
    drop(starter);
    let mut daemon = born?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(DaemonError::Loop)?;
    runtime.block_on(daemon.serve());
    daemon.finish();
    Ok(())
}

fn causes(error: &dyn std::error::Error) -> Vec<String> {
    std::iter::successors(Some(error), |e| e.source())
        .map(ToString::to_string)
        .collect()
}
