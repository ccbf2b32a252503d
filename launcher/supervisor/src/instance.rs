//! Owns what is known about one started service on disk and on the wire: who runs it, and how it ended.
//!
//! `run/_instances/<service>.json` is written by the shim before it starts anything and removed when nothing is left;
//! `<service>.exit.json` is the true exit, kept until a daemon has taken it; `<service>.lease` is locked by the shim and
//! everything it starts. No service has an underscore in its name, so these never meet `run/<service>/`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    files::{self, FileError},
    machine::{Exit, Millis},
    platform,
};

/// Who a process is: its number alone may be another's tomorrow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) pid: u32,
    /// When it was started, as the system tells it.
    pub(crate) token: String,
}

impl Identity {
    /// The living process `pid`.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        platform::start_token(pid).map(|token| Self { pid, token })
    }

    /// True if exactly this process lives; of another run of the system, none does.
    pub(crate) fn lives(&self) -> bool {
        platform::start_token(self.pid).as_ref() == Some(&self.token)
    }
}

/// What the shim was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// Runs the service.
    Service,
    /// Runs a step before it: the making or the moving of its data.
    Helper,
}

/// How far the shim is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Phase {
    /// The program runs, or is about to.
    Running,
    /// It is being stopped, or what is left of its group is.
    Stopping,
    /// Nothing is left.
    Gone,
}

/// What a daemon wants the next one to know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Memo {
    pub(crate) ready: bool,
    pub(crate) restarts: u32,
}

/// One started service, as its shim tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Instance {
    pub(crate) service: String,
    pub(crate) generation: u64,
    pub(crate) role: Role,
    /// What it runs: the tree of its component and the pack that declares it; none if an older launcher started it.
    #[serde(default)]
    pub(crate) program: Option<String>,
    /// Random; also in the environment of everything the shim starts.
    pub(crate) nonce: String,
    pub(crate) boot: String,
    pub(crate) shim: Identity,
    pub(crate) process: Option<Identity>,
    pub(crate) started: Millis,
    pub(crate) ports: BTreeMap<String, u16>,
    pub(crate) memo: Memo,
    pub(crate) phase: Phase,
    pub(crate) exit: Option<Exit>,
    /// Processes that do not end.
    pub(crate) unkillable: Vec<u32>,
    /// The log check has matched.
    pub(crate) log_matched: bool,
    /// It said that it is ready.
    #[serde(default)]
    pub(crate) notified: bool,
    /// What it said last about what it is doing, masked.
    #[serde(default)]
    pub(crate) said: Option<String>,
}

/// Name of the variable that marks everything a shim starts.
pub(crate) const MARKER: &str = "KOJIBOX_INSTANCE";

impl Instance {
    /// The marker as it stands in an environment.
    pub(crate) fn marker(&self) -> String {
        format!("{MARKER}={}", self.nonce)
    }
}

/// How an instance ended, kept for a daemon that was not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExitRecord {
    pub(crate) service: String,
    pub(crate) generation: u64,
    pub(crate) role: Role,
    pub(crate) nonce: String,
    pub(crate) boot: String,
    pub(crate) exit: Exit,
}

/// The files about one service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Traces {
    dir: PathBuf,
    service: String,
}

impl Traces {
    pub(crate) fn new(run: &Path, service: &str) -> Self {
        Self {
            dir: dir(run),
            service: service.to_owned(),
        }
    }

    /// The install root.
    pub(crate) fn root(&self) -> PathBuf {
        self.dir.ancestors().nth(2).unwrap_or(&self.dir).to_owned()
    }

    fn file(&self, kind: &str) -> PathBuf {
        self.dir.join(format!("{}.{kind}", self.service))
    }

    /// The file that is locked as long as anything of the service lives.
    pub(crate) fn lease(&self) -> PathBuf {
        self.file("lease")
    }

    pub(crate) fn instance(&self) -> Result<Option<Instance>, FileError> {
        files::read_json(&self.file("json"))
    }

    pub(crate) fn write_instance(&self, instance: &Instance) -> Result<(), FileError> {
        files::write_json(&self.file("json"), instance)
    }

    pub(crate) fn remove_instance(&self) -> Result<(), FileError> {
        files::remove_file(&self.file("json"))
    }

    pub(crate) fn exit(&self) -> Result<Option<ExitRecord>, FileError> {
        files::read_json(&self.file("exit.json"))
    }

    pub(crate) fn write_exit(&self, record: &ExitRecord) -> Result<(), FileError> {
        files::write_json(&self.file("exit.json"), record)
    }

    pub(crate) fn remove_exit(&self) -> Result<(), FileError> {
        files::remove_file(&self.file("exit.json"))
    }
}

/// `run/_instances/`.
pub(crate) fn dir(run: &Path) -> PathBuf {
    run.join("_instances")
}

/// Services that left an instance or an exit record.
pub(crate) fn traced(run: &Path) -> Result<Vec<String>, FileError> {
    let names = files::names(&dir(run))?;
    let services = names
        .iter()
        .filter(|n| !n.starts_with('.'))
        .filter_map(|n| n.strip_suffix(".json"));
    let mut services: Vec<String> = services
        .map(|n| n.strip_suffix(".exit").unwrap_or(n).to_owned())
        .collect();
    services.dedup();
    Ok(services)
}
