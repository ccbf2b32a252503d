//! Owns what a daemon tells a shim: everything it needs, with nothing left to look up. It comes through a pipe, because
//! environment values may be secret.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::store::Limits;
use crate::{
    data::Marker,
    instance::{Instance, Role, Traces},
    machine::Millis,
};

/// What to run and how to stop it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spec {
    pub(crate) service: String,
    pub(crate) generation: u64,
    pub(crate) role: Role,
    /// What is run, as [`Instance`] says it.
    #[serde(default)]
    pub(crate) program: Option<String>,
    pub(crate) nonce: String,
    pub(crate) restarts: u32,
    pub(crate) traces: Traces,
    pub(crate) endpoint: PathBuf,
    pub(crate) logs: PathBuf,
    pub(crate) limits: Limits,
    pub(crate) dir: PathBuf,
    pub(crate) command: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) stop: Vec<Step>,
    pub(crate) ports: BTreeMap<String, u16>,
    /// Where to write down how the service leaves its data, if it has any.
    pub(crate) data: Option<Marker>,
    /// Secrets by name, to be masked.
    pub(crate) secrets: BTreeMap<String, String>,
    /// Where the service says that it is ready, if it does.
    #[serde(default)]
    pub(crate) notify: Option<PathBuf>,
    /// Regular expression of the log check.
    pub(crate) log_check: Option<String>,
}

/// One step of a stop recipe, filled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) act: Act,
    pub(crate) wait: Millis,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Act {
    /// Signals the main process.
    Signal(String),
    /// Runs a program.
    Run(Vec<String>),
}

/// What the shim answers when it has started the program or could not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Answer {
    /// What runs now.
    Started(Box<Instance>),
    /// Why not.
    Failed(Refusal),
}

/// Why a shim started nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) kind: RefusalKind,
    pub(crate) text: String,
}

/// What kind of refusal it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RefusalKind {
    /// Something of the service still lives.
    Leased,
    /// The program cannot be run, now or later.
    NotRunnable,
    /// Something else, which may pass.
    Other,
}
