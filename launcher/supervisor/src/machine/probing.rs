//! Owns the arithmetic of checks: when the next try is due, and what a row of answers means.

use super::{Action, Health, Machine, Millis, Reason, ReasonCode, Service, State, Timing, Which, service::Cause};

/// The tries of one check in one generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tries {
    /// Next try; absent while one is under way or none is wanted.
    pub(super) next_at: Option<Millis>,
    pub(super) under_way: bool,
    pub(super) good: u32,
    pub(super) bad: u32,
    pub(super) last_error: Option<String>,
    pub(super) passed: bool,
}

/// What a try changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Open,
    Passed,
    Failed,
}

impl Tries {
    fn arm(&mut self, timing: &Timing, now: Millis) {
        *self = Self {
            next_at: (!timing.pushed).then_some(now + timing.delay),
            ..Self::default()
        };
    }

    fn count(&mut self, timing: &Timing, answer: Result<(), String>, now: Millis) -> Verdict {
        self.under_way = false;
        match answer {
            Ok(()) => (self.good, self.bad, self.last_error) = (self.good.saturating_add(1), 0, None),
            Err(error) => (self.good, self.bad, self.last_error) = (0, self.bad.saturating_add(1), Some(error)),
        }
        let pushed = timing.pushed && self.last_error.is_none();
        let verdict = if pushed || self.good >= timing.success {
            Verdict::Passed
        } else if self.bad >= timing.failure {
            Verdict::Failed
        } else {
            Verdict::Open
        };
        self.passed |= verdict == Verdict::Passed;
        let period = if self.passed { timing.steady } else { timing.period };
        self.next_at = (!timing.pushed).then_some(now + period);
        verdict
    }
}

impl Service {
    fn check(&mut self, which: Which) -> (Option<&Timing>, &mut Tries) {
        match which {
            Which::Startup => (self.rules.startup.as_ref(), &mut self.startup),
            Which::Readiness => (self.rules.readiness.as_ref(), &mut self.readiness),
            Which::Liveness => (self.rules.liveness.as_ref(), &mut self.liveness),
        }
    }

    fn arm(&mut self, which: Which, now: Millis) {
        let (timing, tries) = self.check(which);
        if let Some(timing) = timing {
            tries.arm(timing, now);
        }
    }

    /// The process runs: decides what it has to prove before it counts as running.
    pub(super) fn spawned(&mut self, now: Millis) {
        let start = [&self.rules.startup, &self.rules.readiness];
        let budget: Millis = start
            .iter()
            .filter_map(|t| t.as_ref())
            .map(|t| t.delay + t.timeout)
            .sum();
        if self.rules.startup.is_some() {
            self.arm(Which::Startup, now);
        } else if self.rules.readiness.is_some() {
            self.arm(Which::Readiness, now);
        } else {
            return self.ready(now);
        }
        self.health = Health::Starting;
        self.deadline = Some(now + budget);
    }

    /// It can serve.
    pub(super) fn ready(&mut self, now: Millis) {
        self.enter(State::Running, now);
        self.was_ready = true;
        self.health = if self.rules.readiness.is_some() {
            Health::Healthy
        } else {
            Health::Unknown
        };
        self.stable_at = Some(now + super::step::STABLE);
        if self.liveness == Tries::default() {
            self.arm(Which::Liveness, now);
        }
    }

    /// It had been ready before an earlier daemon ended: runs, and is asked again at once.
    pub(super) fn ready_again(&mut self, now: Millis) {
        self.ready(now);
        self.startup.passed = true;
        self.arm(Which::Readiness, now);
        // A line of the log does not come twice.
        let pushed = self.rules.readiness.as_ref().is_some_and(|t| t.pushed);
        self.readiness.passed = pushed;
        self.health = if pushed { Health::Healthy } else { Health::Unknown };
    }

    /// When the next try of any check is due.
    pub(super) fn next_probe(&self) -> Option<Millis> {
        let all = [&self.startup, &self.readiness, &self.liveness];
        all.iter().filter_map(|t| t.next_at).min()
    }

    /// What the last failed try of the start said.
    pub(super) fn last_probe_error(&self) -> Option<&str> {
        let start = [&self.readiness, &self.startup];
        start.iter().find_map(|t| t.last_error.as_deref())
    }

    fn start_probe_failed(&mut self) {
        let error = self.last_probe_error().unwrap_or("no answer yet").to_owned();
        self.reason = Some(Reason::new(
            ReasonCode::Readiness,
            format!("not ready yet: {error}"),
            "wait; it is asked again until its time is over",
        ));
    }
}

impl Machine {
    /// Takes the answer of a try.
    pub(super) fn probed(
        &mut self,
        name: &str,
        which: Which,
        answer: Result<(), String>,
        now: Millis,
        out: &mut Vec<Action>,
    ) {
        let Some(service) = self.services.get_mut(name) else {
            return;
        };
        if !service.state.has_process() || service.pid.is_none() {
            return;
        }
        let (timing, tries) = service.check(which);
        let Some(timing) = timing.cloned() else { return };
        let verdict = tries.count(&timing, answer, now);
        match (which, verdict) {
            (Which::Startup, Verdict::Passed) => {
                service.startup.next_at = None;
                if service.rules.readiness.is_some() {
                    service.arm(Which::Readiness, now);
                } else if service.state == State::Starting {
                    self.became_ready(name, now, out);
                }
            }
            (Which::Readiness, Verdict::Passed) => self.became_ready(name, now, out),
            (Which::Readiness, Verdict::Failed) if service.state == State::Running => {
                let error = service.readiness.last_error.clone().unwrap_or_default();
                service.enter(State::Degraded, now);
                service.health = Health::Unhealthy;
                service.stable_at = None;
                service.reason = Some(Reason::new(
                    ReasonCode::Readiness,
                    format!("was ready, does not answer its check now: {error}"),
                    format!("read `kojibox logs {name} --since 10m`"),
                ));
            }
            (Which::Liveness, Verdict::Failed) => {
                let error = service.liveness.last_error.clone().unwrap_or_default();
                let reason = Reason::new(
                    ReasonCode::Liveness,
                    format!("its liveness check failed {} times; last: {error}", timing.failure),
                    format!("read `kojibox logs {name} --since 10m`"),
                );
                self.begin_stop(name, Cause::Fault, Some(reason), now, out);
            }
            (Which::Startup | Which::Readiness, _) if service.state == State::Starting => service.start_probe_failed(),
            _ => {}
        }
    }

    fn became_ready(&mut self, name: &str, now: Millis, out: &mut Vec<Action>) {
        let Some(service) = self.services.get_mut(name) else {
            return;
        };
        match service.state {
            State::Running => service.health = Health::Healthy,
            State::Starting | State::Degraded => {
                service.ready(now);
                out.push(Action::Remember(name.to_owned(), service.generation));
            }
            _ => {}
        }
    }

    /// Asks for the tries that are due.
    pub(super) fn probe_due(&mut self, name: &str, now: Millis, out: &mut Vec<Action>) {
        let Some(service) = self.services.get_mut(name) else {
            return;
        };
        let generation = service.generation;
        for which in [Which::Startup, Which::Readiness, Which::Liveness] {
            let (_, tries) = service.check(which);
            if tries.next_at.is_some_and(|at| at <= now) && !tries.under_way {
                (tries.next_at, tries.under_way) = (None, true);
                out.push(Action::Probe(name.to_owned(), generation, which));
            }
        }
    }
}
