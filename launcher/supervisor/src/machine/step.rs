//! Owns what each event does to the service it is about.

use std::collections::BTreeSet;

use kojibox_packs::manifest::{RestartPolicy, ServiceKind};
use kojibox_signing::Digest;

use super::{
    Action, Cause, Desired, Event, Exit, Failure, Found, Machine, Millis, Reason, ReasonCode, Service, State, Status,
};

/// Ready for so long: earlier failures are forgotten.
pub(super) const STABLE: Millis = 60_000;
/// What a shim gets beyond its recipe before it counts as silent: firm end of the group and its verification.
pub(super) const STOP_MARGIN: Millis = 20_000;
/// First and longest pause before another attempt.
const BACKOFF: (Millis, Millis) = (1_000, 30_000);
/// How often a taken port is replaced without it counting as a failure.
const PORT_RETRIES: u32 = 3;

impl Machine {
    pub(super) fn apply(&mut self, event: Event, now: Millis, out: &mut Vec<Action>) {
        match event {
            Event::Up { services, named } => self.up(&services, named, now),
            Event::Down(names) => self.down(self.leans_on(&names), now, out),
            Event::Restart(names) => self.restart(&names, now, out),
            Event::Shutdown => self.down(self.services.keys().cloned().collect(), now, out),
            Event::Force => self.force(out),
            Event::Reattach(name, generation) => self.with(&name, |s| s.reattach(generation, now)),
            Event::Found(name, generation, found) => self.found(&name, generation, found, now, out),
            Event::Prepared(name, generation) => self.prepared(&name, generation, now, out),
            Event::PrepareFailed(name, generation, failure) | Event::SpawnFailed(name, generation, failure) => {
                self.of(&name, generation, |s| s.start_failed(failure, now));
            }
            Event::Spawned(name, generation, pid) => self.spawned(&name, generation, pid, now, out),
            Event::Probed(name, generation, which, answer) => {
                if self.services.get(&name).is_some_and(|s| s.generation == generation) {
                    self.probed(&name, which, answer, now, out);
                }
            }
            Event::Exited(name, generation, exit) => self.of(&name, generation, |s| s.exited(exit, now)),
            Event::Gone(name, generation) => self.of(&name, generation, |s| s.gone(now)),
            Event::ShimLost(name, generation) => self.shim_lost(&name, generation, now, out),
            Event::Unkillable(name, generation, pids) => self.of(&name, generation, |s| s.unkillable(&pids, now)),
            Event::Tick => {
                let names: Vec<String> = self.services.keys().cloned().collect();
                for name in names {
                    self.expire(&name, now, out);
                }
            }
        }
    }

    fn with(&mut self, name: &str, change: impl FnOnce(&mut Service)) {
        if let Some(service) = self.services.get_mut(name) {
            change(service);
        }
    }

    /// Changes the service only if the event is about its present generation.
    fn of(&mut self, name: &str, generation: u64, change: impl FnOnce(&mut Service)) {
        if let Some(service) = self.services.get_mut(name)
            && service.generation == generation
        {
            change(service);
        }
    }

    fn up(&mut self, names: &[String], again: bool, now: Millis) {
        self.forced = false;
        for name in self.needs(names) {
            let again = again && names.contains(&name);
            self.with(&name, |s| s.want(again, now));
        }
    }

    fn down(&mut self, names: BTreeSet<String>, now: Millis, out: &mut Vec<Action>) {
        for name in names {
            self.with(&name, Service::unwant);
            // What did not end the last time is asked again.
            if self
                .services
                .get(&name)
                .is_some_and(|s| s.alive && s.state == State::Failed)
            {
                self.begin_stop(&name, Cause::Asked, None, now, out);
            }
        }
    }

    fn restart(&mut self, names: &[String], now: Millis, out: &mut Vec<Action>) {
        self.up(names, true, now);
        for name in names {
            let Some(service) = self.services.get_mut(name) else {
                continue;
            };
            if service.state.has_process() {
                (service.attempts, service.restarts) = (0, 0);
                self.begin_stop(name, Cause::Restart, None, now, out);
            } else if service.state == State::Stopping && service.desired == Desired::Up {
                service.cause = Cause::Restart;
            }
        }
    }

    fn force(&mut self, out: &mut Vec<Action>) {
        self.forced = true;
        for (name, service) in &self.services {
            if service.alive && (service.state == State::Stopping || service.state == State::Failed) {
                out.push(Action::Kill(name.clone(), service.generation));
            }
        }
    }

    fn found(&mut self, name: &str, generation: u64, found: Found, now: Millis, out: &mut Vec<Action>) {
        let outdated = matches!(found, Found::Alive { outdated: true, .. });
        self.of(name, generation, |s| s.found(found, now));
        let of_now = |s: &Service| s.generation == generation && s.state.has_process();
        if outdated && self.services.get(name).is_some_and(of_now) {
            let reason = Reason::new(
                ReasonCode::Outdated,
                "runs what an earlier generation declared; it is started anew",
                "wait",
            );
            self.begin_stop(name, Cause::Restart, Some(reason), now, out);
        }
    }

    fn prepared(&mut self, name: &str, generation: u64, now: Millis, out: &mut Vec<Action>) {
        self.of(name, generation, |s| match s.state {
            State::Preparing => {
                s.alive = true;
                s.enter(State::Starting, now);
                out.push(Action::Spawn(name.to_owned(), generation));
            }
            // It was no longer wanted while it was prepared; nothing has been started.
            State::Stopping => s.gone(now),
            _ => {}
        });
    }

    fn spawned(&mut self, name: &str, generation: u64, pid: u32, now: Millis, out: &mut Vec<Action>) {
        let forced = self.forced;
        self.of(name, generation, |s| {
            match s.state {
                State::Starting => {
                    s.pid = Some(pid);
                    s.spawned(now);
                    if s.state == State::Running {
                        out.push(Action::Remember(name.to_owned(), generation));
                    }
                }
                // The wish to stop came between asking for the process and getting it.
                State::Stopping => {
                    s.pid = Some(pid);
                    let act = if forced { Action::Kill } else { Action::Stop };
                    out.push(act(name.to_owned(), generation));
                }
                _ => {}
            }
        });
    }

    fn shim_lost(&mut self, name: &str, generation: u64, now: Millis, out: &mut Vec<Action>) {
        self.of(name, generation, |s| {
            if !s.alive {
                return;
            }
            let exit = Exit {
                status: Status::Unknown,
                port_clash: false,
                last_line: None,
            };
            s.exited(exit, now);
            if s.cause == Cause::Fault {
                s.reason = Some(Reason::new(
                    ReasonCode::ShimLost,
                    "the process that watched it was killed",
                    "nothing; what is left of it is ended and it is started again",
                ));
            }
            out.push(Action::Sweep(name.to_owned(), generation));
        });
    }
}

impl Service {
    fn want(&mut self, again: bool, now: Millis) {
        if self.state == State::Disabled {
            return;
        }
        self.desired = Desired::Up;
        match self.state {
            State::Completed if !again => {}
            State::Stopped | State::Failed | State::Completed | State::Backoff if !self.alive => {
                (self.attempts, self.restarts, self.port_retries) = (0, 0, 0);
                self.reason = None;
                self.enter(State::Waiting, now);
            }
            _ => {}
        }
    }

    fn unwant(&mut self) {
        self.desired = Desired::Down;
        if self.state == State::Stopping {
            self.cause = Cause::Asked;
        }
    }

    fn reattach(&mut self, generation: u64, now: Millis) {
        (self.generation, self.alive) = (generation, true);
        self.enter(State::Reattaching, now);
    }

    fn found(&mut self, found: Found, now: Millis) {
        if self.state != State::Reattaching {
            return;
        }
        match found {
            Found::Alive {
                pid,
                ready,
                since,
                restarts,
                stopping,
                outdated: _,
            } => {
                (self.pid, self.restarts) = (pid, restarts);
                if stopping {
                    (self.cause, self.state) = (Cause::Asked, State::Stopping);
                    self.deadline = Some(now + self.rules.stop_budget + STOP_MARGIN);
                } else if ready {
                    self.ready_again(now);
                    self.since = since.min(now);
                } else {
                    self.enter(State::Starting, now);
                    self.spawned(now);
                }
            }
            Found::Ended(exit) => {
                self.exited(exit, now);
                self.gone(now);
            }
            Found::Unverified(why) => {
                self.enter(State::Degraded, now);
                self.reason = Some(Reason::new(
                    ReasonCode::Unverified,
                    format!("may still run, but cannot be identified: {why}"),
                    "end it yourself, then run `kojibox up`",
                ));
            }
        }
    }

    fn start_failed(&mut self, failure: Failure, now: Millis) {
        self.alive = false;
        match self.state {
            State::Preparing | State::Starting => {
                self.cause = Cause::Fault;
                self.reason = Some(failure.reason.clone());
                if failure.permanent {
                    self.fail(failure.reason, now);
                } else {
                    self.retry(now);
                }
            }
            State::Stopping => self.gone(now),
            _ => {}
        }
    }

    fn exited(&mut self, exit: Exit, now: Millis) {
        match self.state {
            State::Starting | State::Running | State::Degraded | State::Reattaching => {
                let clash = exit.port_clash && self.state == State::Starting && self.rules.movable_ports;
                let again = clash && self.port_retries < PORT_RETRIES;
                self.cause = if again { Cause::PortClash } else { Cause::Fault };
                let reason = (!exit.status.is_success()).then(|| end_reason(&self.name, &exit));
                self.enter(State::Stopping, now);
                self.reason = reason;
                self.deadline = Some(now + self.rules.stop_budget + STOP_MARGIN);
                self.exit = Some(exit);
            }
            State::Stopping => self.exit = Some(exit),
            _ => {}
        }
    }

    /// Nothing of the group is left: decides what comes after.
    fn gone(&mut self, now: Millis) {
        self.alive = false;
        self.pid = None;
        if self.state == State::Failed {
            if self.desired == Desired::Down {
                self.enter(State::Stopped, now);
                self.reason = None;
            }
            return;
        }
        if self.state.has_process() {
            let unknown = Exit {
                status: Status::Unknown,
                port_clash: false,
                last_line: None,
            };
            self.exited(unknown, now);
        }
        if self.state != State::Stopping {
            return;
        }
        let success = self.exit.as_ref().is_some_and(|e| e.status.is_success());
        match (self.desired, self.cause) {
            (_, Cause::Fault) if success && self.reason.is_none() && self.rules.kind == ServiceKind::Oneshot => {
                self.enter(State::Completed, now);
            }
            (Desired::Down, _) => {
                self.enter(State::Stopped, now);
                self.reason = None;
            }
            (Desired::Up, Cause::Fault) => self.after_fault(success, now),
            (Desired::Up, Cause::PortClash) => {
                self.port_retries += 1;
                self.enter(State::Waiting, now);
            }
            (Desired::Up, Cause::Asked | Cause::Restart | Cause::Bound) => self.enter(State::Waiting, now),
        }
    }

    fn after_fault(&mut self, success: bool, now: Millis) {
        // A stop for a failed check counts as a fault, whatever code the program then ended with.
        let checked = self.reason.is_some();
        match self.rules.restart.policy {
            RestartPolicy::Always => self.retry(now),
            RestartPolicy::OnFailure if checked || !success => self.retry(now),
            RestartPolicy::Never if checked || !success => {
                let reason = self.reason.take().unwrap_or_else(ended_by_itself);
                self.fail(reason, now);
            }
            RestartPolicy::OnFailure | RestartPolicy::Never => {
                self.desired = Desired::Down;
                self.enter(State::Stopped, now);
                self.reason = Some(ended_by_itself());
            }
        }
    }

    /// Another attempt after a pause, unless there were too many in a row.
    fn retry(&mut self, now: Millis) {
        self.attempts += 1;
        let reason = self.reason.take().unwrap_or_else(ended_by_itself);
        let limit = self.rules.restart.limit.max(1);
        if self.rules.restart.policy == RestartPolicy::Never || self.attempts >= limit {
            let text = match self.attempts {
                1 => reason.text,
                n => format!("{n} attempts in a row failed; last: {}", reason.text),
            };
            let code = if self.attempts > 1 {
                ReasonCode::CrashLoop
            } else {
                reason.code
            };
            return self.fail(Reason::new(code, text, reason.fix), now);
        }
        let pause = backoff(&self.name, self.attempts, self.generation);
        self.enter(State::Backoff, now);
        self.reason = Some(Reason {
            text: format!(
                "{}; attempt {} of {limit} in {:.1} s",
                reason.text,
                self.attempts + 1,
                pause_seconds(pause)
            ),
            ..reason
        });
        self.deadline = Some(now + pause);
    }

    fn unkillable(&mut self, pids: &[u32], now: Millis) {
        if self.state == State::Stopping {
            let list: Vec<String> = pids.iter().map(ToString::to_string).collect();
            let reason = Reason::new(
                ReasonCode::Unkillable,
                format!("process {} does not end", list.join(", ")),
                "see what it waits for (often a disk or a network share), then run `kojibox down` again",
            );
            self.fail(reason, now);
        }
    }
}

fn end_reason(name: &str, exit: &Exit) -> Reason {
    let mut text = format!("the program {}", exit.status);
    if let Some(line) = &exit.last_line {
        text = format!("{text}; last line: {line}");
    }
    Reason::new(
        ReasonCode::Exit,
        text,
        format!("read `kojibox logs {name} --since 10m`"),
    )
}

fn ended_by_itself() -> Reason {
    Reason::new(
        ReasonCode::Exit,
        "ended by itself with success",
        "run `kojibox up` to start it again",
    )
}

/// `min(1 s * 2^n, 30 s)`, moved by up to a tenth either way so that services that fell together do not rise together.
fn backoff(name: &str, attempts: u32, generation: u64) -> Millis {
    let base = (BACKOFF.0 << attempts.saturating_sub(1).min(10)).min(BACKOFF.1);
    let seed = Digest::of(format!("{name}/{attempts}/{generation}").as_bytes());
    base * (90 + u64::from(seed.as_bytes()[0]) % 21) / 100
}

#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
fn pause_seconds(pause: Millis) -> f64 {
    pause as f64 / 1000.0
}
