//! Owns the proofs about decisions, one situation each.

mod rules;

use std::collections::{BTreeMap, BTreeSet};

use kojibox_packs::manifest::{Condition, Restart, RestartPolicy, ServiceKind};
use proptest::prelude::*;

use super::{
    Action, CycleError, Desired, Event, Exit, Failure, Found, Machine, Millis, Reason, ReasonCode, Rules, State,
    Status, Timing, Which, find_cycle, step,
};

fn rules() -> Rules {
    Rules {
        kind: ServiceKind::Daemon,
        requires: BTreeMap::new(),
        wants: BTreeMap::new(),
        binds: Vec::new(),
        restart: Restart {
            policy: RestartPolicy::OnFailure,
            limit: 3,
        },
        startup: None,
        readiness: None,
        liveness: None,
        stop_budget: 10_000,
        movable_ports: false,
        broken: None,
        disabled: false,
    }
}

fn checked() -> Timing {
    Timing {
        delay: 0,
        period: 250,
        steady: 10_000,
        timeout: 5_000,
        success: 1,
        failure: 3,
        pushed: false,
    }
}

fn exit(code: i32) -> Exit {
    Exit {
        status: Status::Code(code),
        port_clash: false,
        last_line: None,
    }
}

fn failure(permanent: bool) -> Failure {
    let reason = Reason::new(ReasonCode::Io, "no", "do");
    Failure { reason, permanent }
}

/// The machine with a clock; keeps the actions of the last event.
struct Bench {
    machine: Machine,
    now: Millis,
    last: Vec<Action>,
}

impl Bench {
    fn new(services: &[(&str, Rules)]) -> Self {
        let rules = services.iter().map(|(n, r)| ((*n).to_owned(), r.clone())).collect();
        Self {
            machine: Machine::new(rules, 0),
            now: 0,
            last: Vec::new(),
        }
    }

    fn feed(&mut self, event: Event) -> &[Action] {
        let (machine, actions) = step(std::mem::take(&mut self.machine), event, self.now);
        (self.machine, self.last) = (machine, actions);
        &self.last
    }

    fn up(&mut self) {
        let services = self.machine.services().keys().cloned().collect();
        self.feed(Event::Up { services, named: false });
    }

    /// Goes on to the machine's next deadline.
    fn wait(&mut self) {
        self.now = self.machine.next_deadline().expect("something is due").max(self.now);
        self.feed(Event::Tick);
    }

    fn state(&self, name: &str) -> State {
        self.machine.services()[name].state
    }

    fn generation(&self, name: &str) -> u64 {
        self.machine.services()[name].generation
    }

    fn reason(&self, name: &str) -> &Reason {
        self.machine.services()[name].reason.as_ref().expect("it has a reason")
    }

    fn run(&mut self, name: &str) {
        let generation = self.generation(name);
        self.feed(Event::Prepared(name.to_owned(), generation));
        self.feed(Event::Spawned(name.to_owned(), generation, 100));
    }

    fn end(&mut self, name: &str, code: i32) {
        let generation = self.generation(name);
        self.feed(Event::Exited(name.to_owned(), generation, exit(code)));
        self.feed(Event::Gone(name.to_owned(), generation));
    }
}

fn needs(name: &str, condition: Condition) -> Rules {
    Rules {
        requires: BTreeMap::from([(name.to_owned(), condition)]),
        ..rules()
    }
}

#[test]
fn a_dependent_starts_when_its_dependency_is_ready_and_stops_before_it() {
    let database = Rules {
        readiness: Some(checked()),
        ..rules()
    };
    let mut b = Bench::new(&[("app", needs("db", Condition::Ready)), ("db", database)]);
    b.feed(Event::Up {
        services: vec!["app".to_owned()],
        named: true,
    });
    assert_eq!((b.state("db"), b.state("app")), (State::Preparing, State::Waiting));
    b.run("db");
    assert_eq!((b.state("db"), b.state("app")), (State::Starting, State::Waiting));
    assert!(b.reason("app").text.contains("waits for `db` to be ready"));
    b.feed(Event::Probed("db".to_owned(), 1, Which::Readiness, Ok(())));
    assert_eq!((b.state("db"), b.state("app")), (State::Running, State::Preparing));
    b.run("app");

    b.feed(Event::Shutdown);
    assert_eq!(b.last, [Action::Stop("app".to_owned(), 1)]);
    b.end("app", 0);
    assert_eq!(b.last, [Action::Stop("db".to_owned(), 1)]);
    b.end("db", 0);
    assert!(b.machine.is_quiet());
    assert_eq!((b.state("db"), b.state("app")), (State::Stopped, State::Stopped));
}

#[test]
fn crashes_back_off_longer_each_time_then_fail_and_the_root_cause_is_named() {
    let mut b = Bench::new(&[
        ("app", needs("db", Condition::Ready)),
        (
            "db",
            Rules {
                readiness: Some(checked()),
                ..rules()
            },
        ),
    ]);
    b.up();
    let mut pauses = Vec::new();
    for _ in 0..2 {
        b.run("db");
        b.end("db", 7);
        assert_eq!(b.state("db"), State::Backoff);
        let before = b.now;
        b.wait();
        pauses.push(b.now - before);
        assert_eq!(b.state("db"), State::Preparing);
    }
    assert!(
        (900..=1100).contains(&pauses[0]) && (1800..=2200).contains(&pauses[1]),
        "{pauses:?}"
    );
    b.run("db");
    b.end("db", 7);
    assert_eq!(
        (b.state("db"), b.reason("db").code),
        (State::Failed, ReasonCode::CrashLoop)
    );
    assert_eq!(b.state("app"), State::Failed);
    assert!(b.reason("app").text.contains("`db`") && b.reason("app").text.contains("code 7"));
}

#[test]
fn a_minute_of_service_forgives_earlier_failures() {
    let mut b = Bench::new(&[("db", rules())]);
    b.up();
    for _ in 0..6 {
        b.run("db");
        b.wait();
        b.end("db", 1);
        assert_eq!(b.state("db"), State::Backoff);
        b.wait();
    }
}

#[test]
fn what_cannot_be_mended_by_waiting_fails_at_once() {
    let mut b = Bench::new(&[("db", rules())]);
    b.up();
    b.feed(Event::PrepareFailed("db".to_owned(), 1, failure(true)));
    assert_eq!(b.state("db"), State::Failed);
    b.up();
    b.feed(Event::Prepared("db".to_owned(), 2));
    b.feed(Event::SpawnFailed("db".to_owned(), 2, failure(true)));
    assert_eq!(b.state("db"), State::Failed);
}

#[test]
fn a_start_that_takes_too_long_is_stopped_and_tried_again() {
    let mut b = Bench::new(&[(
        "db",
        Rules {
            readiness: Some(checked()),
            ..rules()
        },
    )]);
    b.up();
    b.run("db");
    let refused = || Err("connection refused".to_owned());
    while b.state("db") == State::Starting {
        b.feed(Event::Probed("db".to_owned(), 1, Which::Readiness, refused()));
        b.wait();
    }
    assert_eq!((b.state("db"), b.now), (State::Stopping, 5_000));
    assert!(b.last.contains(&Action::Stop("db".to_owned(), 1)));
    b.end("db", 0);
    assert_eq!(b.state("db"), State::Backoff);
    assert!(
        b.reason("db").text.contains("connection refused"),
        "{:?}",
        b.reason("db")
    );
}

#[test]
fn a_taken_port_is_replaced_without_counting_as_a_failure() {
    let mut b = Bench::new(&[(
        "web",
        Rules {
            movable_ports: true,
            readiness: Some(checked()),
            ..rules()
        },
    )]);
    b.up();
    for round in 1..=3 {
        b.run("web");
        let clash = Exit {
            port_clash: true,
            ..exit(1)
        };
        b.feed(Event::Exited("web".to_owned(), round, clash));
        b.feed(Event::Gone("web".to_owned(), round));
        assert_eq!(b.last, [Action::Prepare("web".to_owned(), round + 1, true)]);
    }
    b.run("web");
    let clash = Exit {
        port_clash: true,
        ..exit(1)
    };
    b.feed(Event::Exited("web".to_owned(), 4, clash));
    b.feed(Event::Gone("web".to_owned(), 4));
    assert_eq!(b.state("web"), State::Backoff);
}

#[test]
fn readiness_only_degrades_and_liveness_restarts() {
    let rules = Rules {
        readiness: Some(checked()),
        liveness: Some(checked()),
        ..rules()
    };
    let mut b = Bench::new(&[("db", rules)]);
    b.up();
    b.run("db");
    b.feed(Event::Probed("db".to_owned(), 1, Which::Readiness, Ok(())));
    for _ in 0..3 {
        b.feed(Event::Probed(
            "db".to_owned(),
            1,
            Which::Readiness,
            Err("slow".to_owned()),
        ));
    }
    assert_eq!((b.state("db"), b.last.as_slice()), (State::Degraded, &[][..]));
    b.feed(Event::Probed("db".to_owned(), 1, Which::Readiness, Ok(())));
    assert_eq!(b.state("db"), State::Running);
    for _ in 0..3 {
        b.feed(Event::Probed(
            "db".to_owned(),
            1,
            Which::Liveness,
            Err("dead".to_owned()),
        ));
    }
    assert_eq!(
        (b.state("db"), b.last.as_slice()),
        (State::Stopping, &[Action::Stop("db".to_owned(), 1)][..])
    );
}

#[test]
fn a_bound_service_follows_the_end_of_what_it_is_bound_to_and_returns_with_it() {
    let bound = Rules {
        binds: vec!["db".to_owned()],
        ..rules()
    };
    let mut b = Bench::new(&[("side", bound), ("db", rules())]);
    b.up();
    b.run("db");
    b.run("side");
    b.feed(Event::Exited("db".to_owned(), 1, exit(9)));
    assert_eq!(b.state("side"), State::Stopping);
    b.end("side", 0);
    b.feed(Event::Gone("db".to_owned(), 1));
    assert_eq!((b.state("side"), b.state("db")), (State::Waiting, State::Backoff));
    b.wait();
    b.run("db");
    assert_eq!(b.state("side"), State::Preparing);
}

#[test]
fn what_is_only_wanted_holds_nobody_up_for_long() {
    let soft = Rules {
        wants: BTreeMap::from([("mail".to_owned(), Condition::Ready)]),
        ..rules()
    };
    let mut b = Bench::new(&[("app", soft), ("mail", rules())]);
    b.up();
    assert_eq!(b.state("app"), State::Waiting);
    b.wait();
    assert_eq!((b.state("app"), b.now), (State::Preparing, 10_000));
}

#[test]
fn a_oneshot_completes_and_opens_the_gate() {
    let once = Rules {
        kind: ServiceKind::Oneshot,
        ..rules()
    };
    let mut b = Bench::new(&[("app", needs("seed", Condition::Completed)), ("seed", once)]);
    b.up();
    b.run("seed");
    assert_eq!(b.state("app"), State::Waiting);
    b.end("seed", 0);
    assert_eq!((b.state("seed"), b.state("app")), (State::Completed, State::Preparing));
    b.up();
    assert_eq!(
        b.state("seed"),
        State::Completed,
        "it is not run again unless it is named"
    );
}

#[test]
fn reattaching_keeps_generation_and_state_and_fails_closed() {
    let mut b = Bench::new(&[("db", rules()), ("web", rules()), ("job", rules())]);
    for (name, generation) in [("db", 4), ("web", 2), ("job", 9)] {
        b.feed(Event::Reattach(name.to_owned(), generation));
    }
    b.up();
    let alive = Found::Alive {
        pid: Some(7),
        ready: true,
        since: 0,
        restarts: 1,
        stopping: false,
        outdated: false,
    };
    b.feed(Event::Found("db".to_owned(), 4, alive));
    b.feed(Event::Found("web".to_owned(), 2, Found::Ended(exit(3))));
    b.feed(Event::Found(
        "job".to_owned(),
        9,
        Found::Unverified("silent".to_owned()),
    ));
    assert_eq!((b.state("db"), b.generation("db")), (State::Running, 4));
    assert_eq!(b.state("web"), State::Backoff);
    assert!(b.reason("web").text.contains("code 3"));
    assert_eq!(
        (b.state("job"), b.reason("job").code),
        (State::Degraded, ReasonCode::Unverified)
    );
    assert_eq!(b.generation("job"), 9, "no second copy");
}

#[test]
fn what_an_earlier_generation_started_is_started_anew() {
    for wanted in [true, false] {
        let mut b = Bench::new(&[("db", rules())]);
        b.feed(Event::Reattach("db".to_owned(), 4));
        if wanted {
            b.up();
        }
        let alive = Found::Alive {
            pid: Some(7),
            ready: true,
            since: 0,
            restarts: 0,
            stopping: false,
            outdated: true,
        };
        b.feed(Event::Found("db".to_owned(), 4, alive));
        assert_eq!(b.state("db"), State::Stopping);
        b.end("db", 0);
        let after = if wanted { State::Preparing } else { State::Stopped };
        assert_eq!(b.state("db"), after);
    }
}

#[test]
fn events_of_an_earlier_generation_change_nothing() {
    let mut b = Bench::new(&[("db", rules())]);
    b.up();
    b.run("db");
    b.end("db", 1);
    b.wait();
    b.run("db");
    let before = b.machine.clone();
    b.feed(Event::Gone("db".to_owned(), 1));
    b.feed(Event::Exited("db".to_owned(), 1, exit(0)));
    assert_eq!(b.machine, before);
}

#[test]
fn a_circle_is_named() {
    let all = BTreeMap::from([
        ("a".to_owned(), needs("b", Condition::Ready)),
        ("b".to_owned(), needs("a", Condition::Started)),
    ]);
    let expected = CycleError(["a", "b", "a"].map(str::to_owned).to_vec());
    assert_eq!(find_cycle(&all), Err(expected));
}
