//! Whatever happens, in any order: the rules hold, and every wish comes to an end.

use super::*;

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
            let settled = |s: &crate::machine::Service| match s.desired {
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
