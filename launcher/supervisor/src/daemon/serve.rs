//! Owns the deciding thread: takes what happens, one after the other, and keeps what is known.

use std::{
    collections::BTreeMap,
    fs::File,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use kojibox_packs::manifest::{Check, Probe};
use serde::{Deserialize, Serialize};
use tokio::{sync::mpsc, task::AbortHandle};

use super::{
    DaemonError, Input, Inputs, Settings,
    act::{beside, unless_panicked},
    attach::{self, Trace},
    clients,
    context::Context,
    lock,
    mailbox::Outbox,
    prepare::Ready,
    shims::is_of_this_run,
};
use crate::{
    api::Status,
    clock::Steady,
    data, environment,
    files::{self, FileError, failed},
    instance::{Identity, Instance, Phase},
    machine::{Event, Found, Machine, State, Which, step},
    place::{self, Door, Place},
    platform,
    ports::Ports,
    secrets::Secrets,
    stack::Stack,
};

/// What the next daemon has to know that no shim tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Notes {
    pub(super) boot: String,
    pub(super) up: Vec<String>,
    pub(super) generations: BTreeMap<String, u64>,
}

pub(super) struct Daemon {
    pub(super) context: Arc<Context>,
    pub(super) settings: Settings,
    pub(super) clock: Steady,
    pub(super) machine: Machine,
    pub(super) inputs: Inputs,
    pub(super) from_all: mpsc::Receiver<Input>,
    pub(super) ready: BTreeMap<String, Ready>,
    pub(super) aborts: BTreeMap<String, Arc<AtomicBool>>,
    pub(super) told: BTreeMap<String, Instance>,
    /// Checks that are being made.
    pub(super) probes: BTreeMap<String, Vec<AbortHandle>>,
    /// Shims whose service is gone, and who are about to go.
    pub(super) parting: Vec<Identity>,
    pub(super) watchers: Vec<Outbox>,
    pub(super) clients: Arc<AtomicUsize>,
    pub(super) last: Status,
    pub(super) notes: Notes,
    /// Everything was asked to go down; the daemon follows.
    pub(super) closing: bool,
    /// Someone takes over.
    pub(super) leaving: bool,
    /// Where clients come in, once it serves.
    door: Option<Arc<Door>>,
    _lock: File,
}

impl Daemon {
    pub(super) fn start(settings: Settings) -> Result<Self, DaemonError> {
        let stack = Stack::load(&settings.root)?;
        let run = stack.layout.run();
        let lock = lock(&run)?.ok_or(DaemonError::Busy)?;
        let sockets = place::choose(
            &settings.root,
            &stack.install,
            stack.services.keys().map(String::as_str),
        )?;
        // Whoever finds the lock taken learns here whose it is.
        Place::write(&settings.root, &sockets)?;
        let secrets = Secrets::load(&stack.layout.secrets(), &stack.secrets)?;
        let context = Arc::new(Context {
            ports: Mutex::new(Ports::load(&stack)?),
            allowed: environment::allowed(settings.environment.clone()),
            exe: settings.exe.clone(),
            stack,
            secrets,
            sockets: Mutex::new(sockets),
            clock: settings.clock,
            disk: data::Real::new(settings.crash_at.clone()),
        });
        let (to_us, from_all) = mpsc::channel(256);
        let clock = settings.clock.steady();
        let mut daemon = Self {
            machine: Machine::new(context.stack.rules(), clock.now()),
            inputs: Inputs(to_us),
            from_all,
            ready: BTreeMap::new(),
            aborts: BTreeMap::new(),
            told: BTreeMap::new(),
            probes: BTreeMap::new(),
            parting: Vec::new(),
            watchers: Vec::new(),
            clients: Arc::new(AtomicUsize::new(0)),
            last: Status::default(),
            notes: Notes::default(),
            closing: false,
            leaving: false,
            door: None,
            _lock: lock,
            context,
            settings,
            clock,
        };
        daemon.reattach();
        let endpoint = place::daemon_endpoint(&daemon.context.sockets());
        let door = Door::open(&endpoint).map(Arc::new);
        let door = door.map_err(failed("listen at", &endpoint))?;
        clients::listen(Arc::clone(&door), daemon.inputs.clone(), Arc::clone(&daemon.clients))
            .map_err(failed("listen at", &endpoint))?;
        daemon.door = Some(Arc::clone(&door));
        let context = Arc::clone(&daemon.context);
        // Without it, a daemon whose socket was taken away is ended by the next command.
        drop(platform::on_wake(move || drop(keep_reachable(&context, &door))));
        Ok(daemon)
    }

    /// Finds what an earlier daemon left, and wants what it wanted.
    fn reattach(&mut self) {
        attach::end_undeclared(&self.context);
        let boot = platform::boot_id().unwrap_or_default();
        let notes: Option<Notes> = files::read_json(&self.notes_file()).unwrap_or_default();
        let notes = notes.unwrap_or_default();
        for (name, generation) in &notes.generations {
            self.machine.count_from(name, *generation);
        }
        let mut up: Vec<String> = Vec::new();
        if notes.boot == boot {
            up.extend(
                notes
                    .up
                    .iter()
                    .filter(|n| self.context.stack.services.contains_key(*n))
                    .cloned(),
            );
        }
        let mut found = Vec::new();
        for name in self.context.stack.services.keys().cloned().collect::<Vec<_>>() {
            match attach::trace(&self.context, &name) {
                Some(Trace::Instance(instance)) => {
                    self.context.ports().adopt(&name, &instance.ports);
                    self.feed(Event::Reattach(name, instance.generation));
                    found.push(instance);
                }
                Some(Trace::Ended(record)) => {
                    self.feed(Event::Reattach(name.clone(), record.generation));
                    let ended = Event::Found(name, record.generation, Found::Ended(record.exit));
                    let inputs = self.inputs.clone();
                    beside(move || inputs.send(Input::Machine(ended)));
                }
                None => {}
            }
        }
        self.notes = Notes { boot, ..notes };
        self.feed(Event::Up {
            services: up,
            named: false,
        });
        for instance in found {
            let (context, inputs) = (Arc::clone(&self.context), self.inputs.clone());
            beside(move || {
                if unless_panicked(|| attach::attach(&context, &instance, &inputs)).is_none() {
                    let found = Found::Unverified("the launcher has a defect".to_owned());
                    let (name, generation) = (instance.service.clone(), instance.generation);
                    inputs.send(Input::Machine(Event::Found(name, generation, found)));
                }
            });
        }
    }

    pub(super) async fn serve(&mut self) {
        while !self.is_done() {
            let next = self
                .machine
                .next_deadline()
                .map(|at| at.saturating_sub(self.clock.now()));
            let pause = Duration::from_millis(next.unwrap_or(3_600_000));
            tokio::select! {
                Some(input) = self.from_all.recv() => self.take(input),
                () = tokio::time::sleep(pause) => self.feed(Event::Tick),
            }
        }
    }

    fn is_done(&self) -> bool {
        self.leaving || self.closing && self.machine.is_quiet() && self.machine.is_unwanted()
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Machine(event) => {
                let gone = match &event {
                    Event::Gone(name, generation) | Event::Found(name, generation, Found::Ended(_)) => {
                        Some((name.clone(), *generation))
                    }
                    _ => None,
                };
                let born = match &event {
                    Event::Spawned(name, generation, _) | Event::Found(name, generation, _) => {
                        Some((name.clone(), *generation))
                    }
                    _ => None,
                };
                self.feed(event);
                if let Some((name, generation)) = born {
                    self.answer_pushed(&name, generation);
                }
                if let Some((name, generation)) = gone {
                    self.forget(&name, generation);
                }
            }
            Input::Ready(ready) => {
                let (name, generation) = (ready.spec.service.clone(), ready.spec.generation);
                self.ready.insert(name.clone(), *ready);
                self.feed(Event::Prepared(name.clone(), generation));
                // Without a wish to spawn it, its ports are let go.
                self.ready.remove(&name);
            }
            Input::Told(instance) => self.hear(instance),
            Input::Asked(request, replies) => self.asked(request, replies),
        }
    }

    /// Turns what a shim tells into events; it tells everything each time, so only what is new counts.
    fn hear(&mut self, new: Instance) {
        let (name, generation) = (new.service.clone(), new.generation);
        let old = self.told.get(&name).filter(|o| o.nonce == new.nonce);
        let first = |now: bool, before: fn(&Instance) -> bool| now && !old.is_some_and(before);
        let mut events = Vec::new();
        if let Some(exit) = new
            .exit
            .clone()
            .filter(|_| first(new.exit.is_some(), |o| o.exit.is_some()))
        {
            events.push(Event::Exited(name.clone(), generation, exit));
        }
        if first(!new.unkillable.is_empty(), |o| !o.unkillable.is_empty()) {
            events.push(Event::Unkillable(name.clone(), generation, new.unkillable.clone()));
        }
        let gone = new.phase == Phase::Gone;
        if gone {
            events.push(Event::Gone(name.clone(), generation));
        }
        self.told.insert(name.clone(), new);
        self.answer_pushed(&name, generation);
        for event in events {
            self.feed(event);
        }
        if gone {
            self.forget(&name, generation);
        }
    }

    /// What the shim has seen in the log or heard from the service answers the checks that wait for it. It may come before the
    /// machine knows of the process, so this is looked at again then.
    fn answer_pushed(&mut self, name: &str, generation: u64) {
        let Some(told) = self.told.get(name).filter(|t| t.generation == generation) else {
            return;
        };
        if self
            .machine
            .services()
            .get(name)
            .is_none_or(|s| s.state != State::Starting)
        {
            return;
        }
        let answer = |probe: &Option<Probe>| match probe.as_ref().map(|p| &p.check) {
            Some(Check::Log(_)) if told.log_matched => Some(Ok(())),
            Some(Check::Notify(_)) if told.notified => Some(Ok(())),
            Some(Check::Notify(_)) => told.said.as_ref().map(|said| Err(format!("it says `{said}`"))),
            _ => None,
        };
        let service = &self.context.stack.services[name].service;
        let answers = [
            (Which::Startup, answer(&service.startup)),
            (Which::Readiness, answer(&service.readiness)),
        ];
        for (which, answer) in answers {
            if let Some(answer) = answer {
                self.feed(Event::Probed(name.to_owned(), generation, which, answer));
            }
        }
    }

    /// The exit has been taken; nothing has to be kept for a later daemon.
    fn forget(&mut self, name: &str, generation: u64) {
        self.give_up_probes(name);
        let traces = self.context.traces(name);
        if traces.exit().ok().flatten().is_some_and(|r| r.generation == generation) {
            drop(traces.remove_exit());
        }
        if self.told.get(name).is_some_and(|t| t.generation == generation)
            && let Some(told) = self.told.remove(name)
        {
            self.parting.retain(Identity::lives);
            self.parting.push(told.shim);
        }
    }

    /// Decides, acts, and tells everyone what changed.
    pub(super) fn feed(&mut self, event: Event) {
        let now = self.clock.now();
        let decide = || step(self.machine.clone(), event, now);
        // A defect in one decision must not end the watch over all services: that event is dropped.
        let Some((machine, actions)) = unless_panicked(decide) else {
            return;
        };
        self.machine = machine;
        for action in actions {
            self.act(action);
        }
        self.tell();
    }

    /// Lets everyone hear the last word, then takes the endpoint away.
    pub(super) fn finish(mut self) {
        self.watchers.clear();
        let end = Instant::now() + Duration::from_secs(2);
        let parting = || self.parting.iter().any(Identity::lives);
        while (self.clients.load(Ordering::SeqCst) > 0 || parting()) && Instant::now() < end {
            thread::sleep(Duration::from_millis(2));
        }
        self.door.iter().for_each(|door| door.remove());
        if !self.leaving {
            drop(std::fs::remove_dir(self.context.sockets()));
            drop(Place::remove(self.context.stack.layout.root()));
        }
    }
}

/// Makes sure that clients find the daemon and the daemon its shims, wherever sockets can be now.
fn keep_reachable(context: &Context, door: &Door) -> Result<(), FileError> {
    let endpoint = place::daemon_endpoint(&context.find_sockets()?);
    door.keep_at(&endpoint).map_err(failed("listen at", &endpoint))?;
    for name in context.stack.services.keys() {
        if let Some(instance) = context.traces(name).instance()?
            && is_of_this_run(&instance.boot)
        {
            place::wake(&instance.shim);
        }
    }
    Ok(())
}
