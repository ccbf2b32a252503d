//! Owns [`Rules`]: what is declared about a service, reduced to what decisions need.

use std::collections::BTreeMap;

use kojibox_packs::manifest::{self, Check, Condition, Probe, Restart, ServiceKind};

use super::{Millis, Reason};

/// Time for all tries of a start together, unless declared.
const START: Millis = 60_000;
/// Time for one try of a liveness check.
const PROBE: Millis = 2_000;
/// Time between tries while starting, and while running.
const START_PERIOD: Millis = 250;
const STEADY_PERIOD: Millis = 10_000;

/// What is declared about a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Long running, or run to completion.
    pub kind: ServiceKind,
    /// Must have reached a condition; their failure is ours.
    pub requires: BTreeMap<String, Condition>,
    /// Waited for a while, then started without.
    pub wants: BTreeMap<String, Condition>,
    /// Their end stops this one.
    pub binds: Vec<String>,
    /// What happens after an exit that was not asked for.
    pub restart: Restart,
    /// Suspends liveness until it first succeeds.
    pub startup: Option<Timing>,
    /// Says whether the service can serve.
    pub readiness: Option<Timing>,
    /// Restarts the service when it fails.
    pub liveness: Option<Timing>,
    /// All waits of the stop recipe together.
    pub stop_budget: Millis,
    /// At least one port may be moved when it is taken.
    pub movable_ports: bool,
    /// Why it can never be started, if so.
    pub broken: Option<Reason>,
    /// Excluded on purpose.
    pub disabled: bool,
}

/// When a check is made and what its answers mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Before the first try.
    pub delay: Millis,
    /// Between tries until it first succeeds.
    pub period: Millis,
    /// Between tries afterwards.
    pub steady: Millis,
    /// Startup and readiness: all tries together; liveness: one try.
    pub timeout: Millis,
    /// Successes in a row that count.
    pub success: u32,
    /// Failures in a row that count.
    pub failure: u32,
    /// The answer comes by itself (a line of the log, a word of the service), once; nothing is polled.
    pub pushed: bool,
}

impl Rules {
    /// Reduces a declared service; `stop_budget` is that of this platform's recipe.
    pub fn of(service: &manifest::Service, stop_budget: Millis) -> Self {
        Self {
            kind: service.kind,
            requires: service.requires.clone(),
            wants: service.wants.clone(),
            binds: service.binds.clone(),
            restart: service.restart.clone(),
            startup: Timing::of(service.startup.as_ref(), START, START_PERIOD),
            readiness: Timing::of(service.readiness.as_ref(), START, START_PERIOD),
            liveness: Timing::of(service.liveness.as_ref(), PROBE, STEADY_PERIOD),
            stop_budget,
            movable_ports: service.ports.values().any(|p| !p.pin),
            broken: None,
            disabled: false,
        }
    }

    /// Everything this service waits for, with what it waits for; `binds` counts as started.
    pub fn waits_for(&self) -> BTreeMap<&str, Condition> {
        let mut all: BTreeMap<&str, Condition> = self.binds.iter().map(|b| (b.as_str(), Condition::Started)).collect();
        all.extend(self.requires.iter().map(|(name, c)| (name.as_str(), *c)));
        all
    }

    /// Names of all services this one refers to.
    pub fn refers_to(&self) -> impl Iterator<Item = &str> {
        let names = self.requires.keys().chain(self.wants.keys()).chain(&self.binds);
        names.map(String::as_str)
    }
}

impl Timing {
    fn of(probe: Option<&Probe>, timeout: Millis, period: Millis) -> Option<Self> {
        let probe = probe.filter(|p| !matches!(p.check, Check::Process(_)))?;
        let declared = probe.period.map(manifest::Span::as_millis).map(|p| p.max(10));
        Some(Self {
            delay: probe.initial_delay.map_or(0, manifest::Span::as_millis),
            period: declared.unwrap_or(period),
            // A period below a second is meant for the start; a database need not answer that often for years.
            steady: declared.filter(|p| *p >= 1000).unwrap_or(STEADY_PERIOD),
            timeout: probe.timeout.map_or(timeout, manifest::Span::as_millis),
            success: probe.success_threshold.unwrap_or(1).max(1),
            failure: probe.failure_threshold.unwrap_or(3).max(1),
            pushed: matches!(probe.check, Check::Log(_) | Check::Notify(_)),
        })
    }
}
