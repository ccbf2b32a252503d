//! Owns what is known about one service at a time: state, health, generation, reason.

use serde::{Deserialize, Serialize};

use super::{Exit, Millis, Rules, probing::Tries};

/// What a person wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Desired {
    /// It should run.
    Up,
    /// It should not.
    Down,
}

/// What the checks say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Nothing yet, or there is no check.
    Unknown,
    /// Not ready so far.
    Starting,
    /// Ready.
    Healthy,
    /// Was ready, is not now.
    Unhealthy,
}

/// Where a service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Excluded on purpose.
    Disabled,
    /// Not wanted, no process.
    Stopped,
    /// Wanted; a dependency has not reached its condition.
    Waiting,
    /// Ports, files, data are being made ready.
    Preparing,
    /// A process runs, not ready.
    Starting,
    /// Ready.
    Running,
    /// Was ready; readiness now fails.
    Degraded,
    /// The stop recipe runs, or what is left of the group is ending.
    Stopping,
    /// Will be started again after a while.
    Backoff,
    /// Needs a person.
    Failed,
    /// A oneshot that succeeded.
    Completed,
    /// A new daemon is finding out what an earlier one had started.
    Reattaching,
}

impl State {
    /// True in the states in which a process is expected to serve or to be about to.
    pub fn has_process(self) -> bool {
        matches!(self, Self::Starting | Self::Running | Self::Degraded)
    }
}

/// What a reason is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReasonCode {
    /// A dependency has not reached its condition yet.
    Waiting,
    /// A dependency failed.
    Dependency,
    /// The declaration or the configuration is wrong.
    Config,
    /// The data directory cannot be used.
    Data,
    /// There is no room for what has to be written.
    Space,
    /// A port is taken.
    Port,
    /// The program could not be started.
    Exec,
    /// A file or directory could not be used.
    Io,
    /// The program ended.
    Exit,
    /// It ended again and again.
    CrashLoop,
    /// It was not ready in time.
    StartTimeout,
    /// It does not answer its readiness check.
    Readiness,
    /// It failed its liveness check.
    Liveness,
    /// Some of its processes do not end.
    Unkillable,
    /// It may still run, but cannot be identified.
    Unverified,
    /// Its shim was killed.
    ShimLost,
    /// It was started by an earlier generation of the install.
    Outdated,
}

/// Why a service is where it is, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// What it is about.
    pub code: ReasonCode,
    /// One sentence without a period.
    pub text: String,
    /// One command or one act.
    pub fix: String,
}

impl Reason {
    /// Makes a reason.
    pub fn new(code: ReasonCode, text: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
            fix: fix.into(),
        }
    }
}

/// Why a service is in [`State::Stopping`], which decides what comes after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A person asked for it.
    Asked,
    /// A person asked for a new start.
    Restart,
    /// Something it binds to ended.
    Bound,
    /// It ended by itself, or did not do what it should.
    Fault,
    /// It ended because a port was taken while it started.
    PortClash,
}

/// One service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its id.
    pub name: String,
    /// What is declared about it.
    pub rules: Rules,
    /// What a person wants.
    pub desired: Desired,
    /// Where it is.
    pub state: State,
    /// What the checks say.
    pub health: Health,
    /// Counts starts.
    pub generation: u64,
    /// When it entered this state.
    pub since: Millis,
    /// Process id of the main process.
    pub pid: Option<u32>,
    /// Starts that nobody asked for, since the last one that somebody did.
    pub restarts: u32,
    /// Why it is where it is.
    pub reason: Option<Reason>,
    /// It has been ready in this generation.
    pub was_ready: bool,
    /// A process of it may exist.
    pub(super) alive: bool,
    pub(super) cause: Cause,
    pub(super) exit: Option<Exit>,
    /// Failed attempts in a row.
    pub(super) attempts: u32,
    pub(super) port_retries: u32,
    /// When this state ends by itself.
    pub(super) deadline: Option<Millis>,
    /// When it has been ready long enough for its attempts to be forgotten.
    pub(super) stable_at: Option<Millis>,
    pub(super) startup: Tries,
    pub(super) readiness: Tries,
    pub(super) liveness: Tries,
}

impl Service {
    pub(super) fn new(name: &str, rules: Rules, now: Millis) -> Self {
        let state = if rules.disabled {
            State::Disabled
        } else {
            State::Stopped
        };
        Self {
            name: name.to_owned(),
            rules,
            desired: Desired::Down,
            state,
            health: Health::Unknown,
            generation: 0,
            since: now,
            pid: None,
            restarts: 0,
            reason: None,
            was_ready: false,
            alive: false,
            cause: Cause::Asked,
            exit: None,
            attempts: 0,
            port_retries: 0,
            deadline: None,
            stable_at: None,
            startup: Tries::default(),
            readiness: Tries::default(),
            liveness: Tries::default(),
        }
    }

    /// True if a process of it may exist.
    pub fn may_be_alive(&self) -> bool {
        self.alive
    }

    pub(super) fn enter(&mut self, state: State, now: Millis) {
        if self.state != state {
            self.since = now;
        }
        self.state = state;
        self.deadline = None;
        if !state.has_process() {
            self.stable_at = None;
            self.startup = Tries::default();
            self.readiness = Tries::default();
            self.liveness = Tries::default();
            self.health = Health::Unknown;
        }
        if !self.alive {
            self.pid = None;
        }
        if matches!(
            state,
            State::Running | State::Completed | State::Preparing | State::Starting
        ) {
            self.reason = None;
        }
    }

    pub(super) fn fail(&mut self, reason: Reason, now: Millis) {
        self.enter(State::Failed, now);
        self.reason = Some(reason);
    }
}
