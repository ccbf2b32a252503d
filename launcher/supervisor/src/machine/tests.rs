//! Owns the proofs about decisions: a model of the world drives the machine through random events.

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

/// What a person or fate does next; numbers are taken modulo what there is.
#[derive(Clone, Debug)]
enum Move {
    Up(usize),
    UpAll,
    Down(usize),
    Restart(usize),
    Shutdown,
    Force,
    /// Answers the oldest open request, well or badly.
    Answer(u8),
    /// A running process ends with this code.
    Die(usize, u8),
    LoseShim(usize),
    Wait,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        2 => (0..4_usize).prop_map(Move::Up),
        2 => Just(Move::UpAll),
        2 => (0..4_usize).prop_map(Move::Down),
        1 => (0..4_usize).prop_map(Move::Restart),
        1 => Just(Move::Shutdown),
        1 => Just(Move::Force),
        12 => any::<u8>().prop_map(Move::Answer),
        3 => ((0..4_usize), any::<u8>()).prop_map(|(i, c)| Move::Die(i, c)),
        1 => (0..4_usize).prop_map(Move::LoseShim),
        4 => Just(Move::Wait),
    ];
    proptest::collection::vec(one, 0..80)
}

fn graphs() -> impl Strategy<Value = Vec<(&'static str, Rules)>> {
    let rule = (any::<u16>(), any::<u8>()).prop_map(|(bits, limit)| (bits, u32::from(limit % 4)));
    proptest::collection::vec(rule, 4).prop_map(|seeds| {
        const NAMES: [&str; 4] = ["a", "b", "c", "d"];
        let one = |(i, (bits, limit)): (usize, (u16, u32))| {
            let bit = |n: u32| bits >> n & 1 == 1;
            let mut r = rules();
            // Edges only to earlier names: no circles.
            for (j, name) in NAMES.iter().enumerate().take(i) {
                let name = (*name).to_owned();
                match bits >> (2 * j) & 3 {
                    1 => drop(r.requires.insert(name, Condition::Ready)),
                    2 => drop(r.wants.insert(name, Condition::Started)),
                    3 if bit(12) => r.binds.push(name),
                    _ => {}
                }
            }
            r.readiness = bit(8).then(checked);
            r.liveness = bit(9).then(checked);
            r.kind = if bit(10) && i == 0 {
                ServiceKind::Oneshot
            } else {
                ServiceKind::Daemon
            };
            r.movable_ports = bit(11);
            r.restart.policy =
                [RestartPolicy::Never, RestartPolicy::OnFailure, RestartPolicy::Always][usize::from(bits >> 13) % 3];
            r.restart.limit = limit;
            (NAMES[i], r)
        };
        seeds.into_iter().enumerate().map(one).collect()
    })
}

/// The world outside: live process groups and requests that were not answered yet.
struct World {
    bench: Bench,
    names: Vec<String>,
    live: BTreeSet<(String, u64)>,
    open: Vec<Action>,
}

impl World {
    fn feed(&mut self, event: Event) {
        self.bench.feed(event);
        for action in self.bench.last.clone() {
            if let Action::Spawn(name, generation) = &action {
                let other = self.live.iter().find(|(n, _)| n == name);
                assert_eq!(other, None, "two live generations of {name}");
                self.live.insert((name.clone(), *generation));
            }
            if !matches!(action, Action::Remember(..)) {
                self.open.push(action);
            }
        }
        self.check();
    }

    fn check(&self) {
        for (name, service) in self.bench.machine.services() {
            let live = self.live.iter().any(|(n, _)| n == name);
            let without = matches!(
                service.state,
                State::Stopped | State::Waiting | State::Preparing | State::Backoff | State::Completed
            );
            assert!(
                !(without && live),
                "{name} is {:?} while a process of it lives",
                service.state
            );
            let explained = matches!(service.state, State::Waiting | State::Backoff | State::Failed);
            assert!(
                !explained || service.reason.is_some(),
                "{name} is {:?} and does not say why",
                service.state
            );
        }
    }

    fn die(&mut self, name: &str, generation: u64, code: u8) {
        if self.live.contains(&(name.to_owned(), generation)) {
            let mut exit = exit(i32::from(code % 3));
            exit.port_clash = code.is_multiple_of(5);
            self.feed(Event::Exited(name.to_owned(), generation, exit));
            self.live.remove(&(name.to_owned(), generation));
            self.feed(Event::Gone(name.to_owned(), generation));
        }
    }

    fn answer(&mut self, how: u8) {
        if self.open.is_empty() {
            return;
        }
        let bad = how.is_multiple_of(4);
        match self.open.remove(0) {
            Action::Prepare(n, g, _) if bad => self.feed(Event::PrepareFailed(n, g, failure(how > 200))),
            Action::Prepare(n, g, _) => self.feed(Event::Prepared(n, g)),
            Action::Abort(n, g) => self.feed(Event::PrepareFailed(n, g, failure(false))),
            Action::Spawn(n, g) if bad => {
                self.live.remove(&(n.clone(), g));
                self.feed(Event::SpawnFailed(n, g, failure(how > 200)));
            }
            Action::Spawn(n, g) if self.live.contains(&(n.clone(), g)) => self.feed(Event::Spawned(n, g, 1)),
            Action::Stop(n, g) | Action::Kill(n, g) | Action::Sweep(n, g) => self.die(&n, g, how),
            Action::Probe(n, g, which) => {
                let answer = if bad { Err("no".to_owned()) } else { Ok(()) };
                self.feed(Event::Probed(n, g, which, answer));
            }
            Action::Spawn(..) | Action::Remember(..) => {}
        }
    }

    fn make(&mut self, next: &Move) {
        let name = |i: usize| vec![self.names[i % self.names.len()].clone()];
        match *next {
            Move::Up(i) => self.feed(Event::Up {
                services: name(i),
                named: true,
            }),
            Move::UpAll => self.feed(Event::Up {
                services: self.names.clone(),
                named: false,
            }),
            Move::Down(i) => self.feed(Event::Down(name(i))),
            Move::Restart(i) => self.feed(Event::Restart(name(i))),
            Move::Shutdown => self.feed(Event::Shutdown),
            Move::Force => self.feed(Event::Force),
            Move::Answer(how) => self.answer(how),
            Move::Die(i, code) => {
                if let Some((n, g)) = self.live.iter().nth(i).cloned() {
                    self.die(&n, g, code);
                }
            }
            Move::LoseShim(i) => {
                if let Some((n, g)) = self.live.iter().nth(i).cloned() {
                    self.feed(Event::ShimLost(n, g));
                }
            }
            Move::Wait => self.wait(),
        }
    }

    fn wait(&mut self) {
        if let Some(at) = self.bench.machine.next_deadline() {
            self.bench.now = at.max(self.bench.now);
            self.feed(Event::Tick);
        }
    }

    /// From now on everything succeeds: lets the world come to rest.
    fn rest(&mut self) {
        for _ in 0..4000 {
            if !self.open.is_empty() {
                self.answer(1);
                continue;
            }
            let settled = |s: &super::Service| match s.desired {
                Desired::Up => matches!(s.state, State::Running | State::Completed | State::Failed),
                Desired::Down => !s.may_be_alive() && !matches!(s.state, State::Stopping | State::Preparing),
            };
            if self.bench.machine.services().values().all(settled) {
                return;
            }
            self.wait();
        }
        panic!("did not come to rest: {:#?}", self.bench.machine);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Never two live generations; never without a process while one lives; every wish ends.
    #[test]
    fn whatever_happens_the_rules_hold_and_every_wish_ends(graph in graphs(), moves in moves()) {
        let names = graph.iter().map(|(n, _)| (*n).to_owned()).collect();
        let mut world = World { bench: Bench::new(&graph), names, live: BTreeSet::new(), open: Vec::new() };
        for next in moves {
            world.make(&next);
        }
        world.rest();
        world.make(&Move::Shutdown);
        world.rest();
        prop_assert!(world.live.is_empty(), "left alive: {:?}", world.live);
        prop_assert!(world.bench.machine.is_quiet());
    }
}
