//! Owns what the daemon can be asked, and what it answers.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::{
    clock,
    data::{DataStatus, data_of},
    machine::{Desired, Health, Machine, ReasonCode, Service, State},
    stack::Stack,
};

/// What the daemon can be asked. All but `hello`, `status`, `force` and `leave` are answered by the status now and after
/// every change, until the asker goes away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cmd", rename_all = "lowercase")]
pub enum Request {
    /// Who are you?
    Hello,
    /// What is the state?
    Status,
    /// Tell me of every change.
    Watch,
    /// Start these services, or all that start without being named.
    Up {
        /// Services; empty means all of these.
        services: Vec<String>,
    },
    /// Stop these services; or all, and then end.
    Down {
        /// Services; empty means all.
        services: Vec<String>,
    },
    /// Start these services anew.
    Restart {
        /// Services.
        services: Vec<String>,
    },
    /// What is being stopped is killed now.
    Force,
    /// End without touching any service; the next daemon takes over.
    Leave,
}

/// What the daemon answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "re", rename_all = "lowercase")]
pub enum Reply {
    /// Who it is.
    Hello(Hello),
    /// How things are.
    Status(Status),
    /// It does not do that.
    Refused {
        /// Why.
        why: String,
        /// What would be possible.
        hint: String,
    },
}

/// Who a daemon is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Version of the launcher it runs.
    pub version: String,
    /// Its program.
    pub exe: PathBuf,
    /// Its process.
    pub pid: u32,
    /// The root as it was when it was started.
    pub root: PathBuf,
    /// The generation it runs.
    pub generation: u64,
    /// Shims of an earlier daemon that have not been heard yet.
    pub reattaching: usize,
}

/// The state of all services: the document of `status --json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// By name.
    pub services: Vec<ServiceStatus>,
}

/// The state of one service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Its id.
    pub name: String,
    /// Where it is.
    pub state: State,
    /// What is wanted.
    pub desired: Desired,
    /// What the checks say.
    pub health: Health,
    /// Main process.
    pub pid: Option<u32>,
    /// Ports by name.
    pub ports: BTreeMap<String, u16>,
    /// When it entered this state, RFC 3339 in UTC.
    pub since: String,
    /// Starts that nobody asked for.
    pub restarts: u32,
    /// Why it is where it is.
    pub reason: Option<String>,
    /// What to do about it.
    pub fix: Option<String>,
    /// What the reason is about, for programs.
    pub code: Option<ReasonCode>,
    /// Counts its starts.
    pub generation: u64,
    /// It runs to completion.
    pub oneshot: bool,
    /// Its data, if it has any; the daemon does not look there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<DataStatus>,
}

impl ServiceStatus {
    fn of(service: &Service, ports: &BTreeMap<String, u16>) -> Self {
        let prefix = format!("{}.", service.name);
        let own = ports
            .iter()
            .filter_map(|(k, p)| Some((k.strip_prefix(&prefix)?.to_owned(), *p)));
        Self {
            name: service.name.clone(),
            state: service.state,
            desired: service.desired,
            health: service.health,
            pid: service.pid,
            ports: own.collect(),
            since: clock::show(service.since),
            restarts: service.restarts,
            reason: service.reason.as_ref().map(|r| r.text.clone()),
            fix: service.reason.as_ref().map(|r| r.fix.clone()),
            code: service.reason.as_ref().map(|r| r.code),
            generation: service.generation,
            oneshot: service.rules.kind == kojibox_packs::manifest::ServiceKind::Oneshot,
            data: None,
        }
    }

    /// True if what was wanted has been reached: it serves, or has done its work.
    pub fn is_up(&self) -> bool {
        match self.state {
            State::Running => !self.oneshot,
            State::Completed => true,
            _ => false,
        }
    }

    /// True if it will not get further without a person.
    pub fn is_stuck(&self) -> bool {
        matches!(
            self.state,
            State::Failed | State::Disabled | State::Degraded | State::Stopped
        )
    }

    /// True if nothing of it runs any more, or a person is needed to end it.
    pub fn is_down(&self) -> bool {
        matches!(
            self.state,
            State::Stopped | State::Disabled | State::Completed | State::Failed
        )
    }
}

impl Status {
    /// The document for `machine`; `ports` by `service.name`.
    pub fn of(machine: &Machine, ports: &BTreeMap<String, u16>) -> Self {
        let services = machine.services().values();
        Self {
            services: services.map(|s| ServiceStatus::of(s, ports)).collect(),
        }
    }

    /// Adds what is known about the data of each service.
    #[must_use]
    pub fn with_data(mut self, stack: &Stack) -> Self {
        for service in &mut self.services {
            let runs = service.pid.is_some() || !service.is_down();
            service.data = data_of(stack, &service.name, runs);
        }
        self
    }

    /// True if nothing has to be heard yet from shims that an earlier daemon left.
    pub fn is_known(&self) -> bool {
        self.services.iter().all(|s| s.state != State::Reattaching)
    }

    /// One service.
    pub fn service(&self, name: &str) -> Option<&ServiceStatus> {
        self.services.iter().find(|s| s.name == name)
    }
}
