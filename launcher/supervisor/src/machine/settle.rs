//! Owns what follows from the state alone: who may start, who has to stop, whose time is over.

use super::{Action, Cause, Desired, Machine, Millis, Reason, ReasonCode, Service, State, order::Gate};

/// How long a service waits for what it only wants.
const PATIENCE: Millis = 10_000;

impl Machine {
    /// Applies what follows until nothing follows any more. Bounded: each round moves at least one service forward.
    pub(super) fn settle(&mut self, now: Millis, out: &mut Vec<Action>) {
        let names: Vec<String> = self.services.keys().cloned().collect();
        for _ in 0..=names.len() * 4 {
            let mut moved = false;
            for name in &names {
                moved |= self.settle_one(name, now, out);
            }
            if !moved {
                break;
            }
        }
        for name in &names {
            self.probe_due(name, now, out);
        }
    }

    fn settle_one(&mut self, name: &str, now: Millis, out: &mut Vec<Action>) -> bool {
        let service = &self.services[name];
        match (service.desired, service.state) {
            (Desired::Up, State::Waiting) => self.try_start(name, now, out),
            (Desired::Down, State::Waiting | State::Backoff) => {
                self.change(name, |s| s.enter(State::Stopped, now));
                self.change(name, |s| s.reason = None);
                true
            }
            (Desired::Down, State::Preparing) => {
                self.change(name, |s| {
                    s.cause = Cause::Asked;
                    s.enter(State::Stopping, now);
                });
                out.push(Action::Abort(name.to_owned(), self.services[name].generation));
                true
            }
            (Desired::Down, State::Starting | State::Running | State::Degraded) => {
                if self.held_by_others(name) && !self.forced {
                    return false;
                }
                self.begin_stop(name, Cause::Asked, None, now, out);
                true
            }
            (Desired::Up, State::Starting | State::Running | State::Degraded) => self.follow_bind(name, now, out),
            _ => false,
        }
    }

    fn change(&mut self, name: &str, change: impl FnOnce(&mut Service)) {
        if let Some(service) = self.services.get_mut(name) {
            change(service);
        }
    }

    fn try_start(&mut self, name: &str, now: Millis, out: &mut Vec<Action>) -> bool {
        let service = &self.services[name];
        if service.alive {
            return false;
        }
        let patient = now < service.since + PATIENCE;
        match self.gate(service, patient) {
            Gate::Open => {
                self.change(name, |s| {
                    s.generation += 1;
                    (s.exit, s.was_ready) = (None, false);
                    s.enter(State::Preparing, now);
                });
                let service = &self.services[name];
                out.push(Action::Prepare(
                    name.to_owned(),
                    service.generation,
                    service.port_retries > 0,
                ));
                true
            }
            Gate::Closed(reason) => {
                let soft = patient && !service.rules.wants.is_empty();
                let until = soft.then_some(service.since + PATIENCE);
                self.change(name, |s| (s.reason, s.deadline) = (Some(reason), until));
                false
            }
            Gate::Barred(reason) => {
                self.change(name, |s| s.fail(reason, now));
                true
            }
        }
    }

    /// Stops a service when one it binds to no longer runs.
    fn follow_bind(&mut self, name: &str, now: Millis, out: &mut Vec<Action>) -> bool {
        let runs = |b: &String| {
            let other = self.services.get(b).map(|s| s.state);
            other.is_some_and(|s| s.has_process() || s == State::Reattaching || s == State::Completed)
        };
        let Some(lost) = self.services[name].rules.binds.iter().find(|b| !runs(b)).cloned() else {
            return false;
        };
        let reason = Reason::new(
            ReasonCode::Dependency,
            format!("`{lost}`, which it is bound to, ended"),
            format!("wait until `{lost}` runs again"),
        );
        self.begin_stop(name, Cause::Bound, Some(reason), now, out);
        true
    }

    /// Asks the shim to stop the service.
    pub(super) fn begin_stop(
        &mut self,
        name: &str,
        cause: Cause,
        reason: Option<Reason>,
        now: Millis,
        out: &mut Vec<Action>,
    ) {
        let forced = self.forced;
        let Some(service) = self.services.get_mut(name) else {
            return;
        };
        service.cause = cause;
        service.enter(State::Stopping, now);
        service.reason = reason;
        service.deadline = Some(now + service.rules.stop_budget + super::step::STOP_MARGIN);
        let act = if forced { Action::Kill } else { Action::Stop };
        out.push(act(name.to_owned(), service.generation));
    }

    /// Handles what is over for `name` at `now`.
    pub(super) fn expire(&mut self, name: &str, now: Millis, out: &mut Vec<Action>) {
        let Some(service) = self.services.get_mut(name) else {
            return;
        };
        if service.stable_at.is_some_and(|at| at <= now) {
            (service.stable_at, service.attempts, service.port_retries) = (None, 0, 0);
        }
        if service.deadline.is_none_or(|at| at > now) {
            return;
        }
        service.deadline = None;
        match service.state {
            State::Backoff => {
                service.restarts += 1;
                service.enter(State::Waiting, now);
            }
            State::Starting => {
                let time = now.saturating_sub(service.since).div_ceil(1000);
                let last = service.last_probe_error().unwrap_or("no answer").to_owned();
                let reason = Reason::new(
                    ReasonCode::StartTimeout,
                    format!("was not ready within {time} s; last: {last}"),
                    format!("read `kojibox logs {name} --since 10m`"),
                );
                self.begin_stop(name, Cause::Fault, Some(reason), now, out);
            }
            State::Stopping => service.fail(
                Reason::new(
                    ReasonCode::Unkillable,
                    "did not end, and its shim does not say why",
                    "run `kojibox down` again; a second Ctrl-C forces",
                ),
                now,
            ),
            _ => {}
        }
    }

    /// When something has to be looked at again without an event.
    pub fn next_deadline(&self) -> Option<Millis> {
        let of = |s: &Service| [s.deadline, s.stable_at, s.next_probe()].into_iter().flatten().min();
        self.services.values().filter_map(of).min()
    }
}
