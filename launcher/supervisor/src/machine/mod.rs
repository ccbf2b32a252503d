//! Owns the decisions of the supervisor: a pure function from (state, event, now) to (state, actions).
//!
//! Nothing here reads a clock, opens a file or starts a process: the daemon feeds events and carries out actions.
//! `desired`, `health` and `generation` are fields beside the state, not states. Every event about a process names
//! the generation it belongs to; what comes late is dropped.
//!
//! *Limitations*: a restart of a dependency does not restart what depends on it, unless that `binds` to it.

mod order;
mod probing;
mod rules;
mod service;
mod settle;
mod step;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use order::{CycleError, find_cycle};
pub use rules::{Rules, Timing};
pub use service::{Cause, Desired, Health, Reason, ReasonCode, Service, State};

/// Milliseconds since 1970, counted by a clock that never goes back while the daemon lives.
pub type Millis = u64;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It ended by itself with this code.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
    /// Nobody was there to see.
    Unknown,
}

impl Status {
    /// True for exit code 0.
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited with code {code}"),
            Self::Signal(signal) => write!(f, "was ended by signal {signal}"),
            Self::Unknown => f.write_str("ended, and nobody saw how"),
        }
    }
}

/// The end of a service's main process.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Exit {
    /// How it ended.
    pub status: Status,
    /// Its output said that an address was in use.
    #[serde(default)]
    pub port_clash: bool,
    /// The last line it wrote, masked.
    #[serde(default)]
    pub last_line: Option<String>,
}

/// Why something could not be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What it is about.
    pub reason: Reason,
    /// Trying again cannot help.
    pub permanent: bool,
}

/// Which of a service's checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Suspends liveness until it first succeeds.
    Startup,
    /// Says whether the service can serve.
    Readiness,
    /// Restarts the service when it fails.
    Liveness,
}

/// What a new daemon learned about a process that an earlier one had started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Its shim answered and is who it should be.
    Alive {
        /// Process id of the service.
        pid: Option<u32>,
        /// It had been ready.
        ready: bool,
        /// When it was started.
        since: Millis,
        /// Restarts so far.
        restarts: u32,
        /// Its shim is stopping it.
        stopping: bool,
        /// It is not what is declared now.
        outdated: bool,
    },
    /// It ended while no daemon was there.
    Ended(Exit),
    /// Someone is there who cannot be verified; nothing is signalled, nothing is started beside it.
    Unverified(String),
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A person wants these services (and what they need); `named` ones start again even if completed.
    Up {
        /// Services.
        services: Vec<String>,
        /// They were named one by one.
        named: bool,
    },
    /// A person wants these services (and what depends on them) stopped.
    Down(Vec<String>),
    /// A person wants these services started anew.
    Restart(Vec<String>),
    /// Everything is to be stopped.
    Shutdown,
    /// Order and grace no longer matter for what is being stopped.
    Force,
    /// An earlier daemon left a process of this generation.
    Reattach(String, u64),
    /// What became of it.
    Found(String, u64, Found),
    /// Ports, files and data are ready.
    Prepared(String, u64),
    /// They are not.
    PrepareFailed(String, u64, Failure),
    /// The process runs.
    Spawned(String, u64, u32),
    /// It could not be started.
    SpawnFailed(String, u64, Failure),
    /// A check was made.
    Probed(String, u64, Which, Result<(), String>),
    /// The main process ended; others of its group may still run.
    Exited(String, u64, Exit),
    /// No process of the group is left.
    Gone(String, u64),
    /// The shim ended without saying what became of its service.
    ShimLost(String, u64),
    /// These processes do not end, whatever is done.
    Unkillable(String, u64, Vec<u32>),
    /// Time went by.
    Tick,
}

/// Something the daemon has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Get ports, files, data and secrets ready; `retry_ports` after a clash.
    Prepare(String, u64, bool),
    /// Give up preparing.
    Abort(String, u64),
    /// Start the process through a shim.
    Spawn(String, u64),
    /// Run the stop recipe.
    Stop(String, u64),
    /// Skip the rest of the recipe.
    Kill(String, u64),
    /// Clear up after a lost shim: end what is left of the group.
    Sweep(String, u64),
    /// Make one check.
    Probe(String, u64, Which),
    /// Let the shim remember this, so that a new daemon knows.
    Remember(String, u64),
}

/// The state of all services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    services: BTreeMap<String, Service>,
    /// Set by [`Event::Force`], cleared when someone wants something up again.
    forced: bool,
}

impl Machine {
    /// Starts with every service stopped (or disabled, if its rules say so).
    pub fn new(rules: BTreeMap<String, Rules>, now: Millis) -> Self {
        let services = rules
            .into_iter()
            .map(|(name, rules)| (name.clone(), Service::new(&name, rules, now)))
            .collect();
        Self {
            services,
            forced: false,
        }
    }

    /// All services by name.
    pub fn services(&self) -> &BTreeMap<String, Service> {
        &self.services
    }

    /// Goes on counting starts where an earlier daemon ended.
    pub fn count_from(&mut self, name: &str, generation: u64) {
        if let Some(service) = self.services.get_mut(name) {
            service.generation = service.generation.max(generation);
        }
    }

    /// True if no service has a process or is about to get one.
    pub fn is_quiet(&self) -> bool {
        self.services
            .values()
            .all(|s| !s.alive && !matches!(s.state, State::Preparing | State::Reattaching | State::Stopping))
    }

    /// True if nothing is wanted.
    pub fn is_unwanted(&self) -> bool {
        self.services.values().all(|s| s.desired == Desired::Down)
    }
}

/// Decides: takes the state and what happened at `now`, gives the new state and what has to be done, in order.
pub fn step(mut machine: Machine, event: Event, now: Millis) -> (Machine, Vec<Action>) {
    let mut actions = Vec::new();
    machine.apply(event, now, &mut actions);
    machine.settle(now, &mut actions);
    (machine, actions)
}
