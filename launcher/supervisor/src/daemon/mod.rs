//! Owns the daemon: feeds the machine with what happens and carries out what it decides.
//!
//! One thread decides, and never waits for a disk, a process or a person; everything slow runs beside it and reports.
//! The daemon may be killed at any time: the shims stay, and the next daemon finds them again.
//!
//! Files: `run/_instances/daemon.lock` (held as long as it lives), `run/_instances/daemon.state` (what is wanted and how
//! often each service was started), `logs/_launcher/`.

mod clients;
mod context;
mod prepare;
mod shims;

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::Sender,
    },
    thread,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

pub(crate) use self::shims::complaints;
use self::{context::Context, prepare::Ready, shims::Trace};
use crate::{
    api::{Hello, Reply, Request, Status},
    clock::{Clock, Steady},
    environment,
    files::{self, FileError, failed},
    instance::{self, Identity, Instance, Memo, Phase},
    machine::{Action, Desired, Event, Found, Machine, State, Which, step},
    platform,
    ports::Ports,
    probe::{self, Surroundings},
    secrets::{SecretError, Secrets},
    shim,
    stack::{Stack, StackError},
    wire::{self, WireError},
};

/// What the program tells the daemon.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The install root, absolute.
    pub root: PathBuf,
    /// The program itself, to be started as shims.
    pub exe: PathBuf,
    /// Its version.
    pub version: String,
    /// The environment it was started in.
    pub environment: BTreeMap<String, String>,
    /// The clock.
    pub clock: Clock,
}

/// The daemon could not be started, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// What is installed could not be read.
    #[error("could not read what is installed")]
    Stack(#[from] StackError),
    /// Another daemon serves this root.
    #[error("another daemon serves this install root")]
    Busy,
    /// A file could not be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// A secret could not be used.
    #[error("could not use the secrets")]
    Secret(#[from] SecretError),
    /// The event loop could not be made.
    #[error("could not start the event loop")]
    Loop(#[source] io::Error),
}

/// What a daemon says to who started it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Birth {
    /// It serves.
    Ready {
        /// Its process.
        pid: u32,
    },
    /// Another one does.
    Busy {
        /// Always true.
        busy: bool,
    },
    /// It cannot.
    Failed {
        /// What went wrong, with its causes, outermost first.
        causes: Vec<String>,
    },
}

/// Something the deciding thread has to look at.
#[derive(Debug)]
enum Input {
    /// It is about the machine only.
    Machine(Event),
    /// A start has been prepared.
    Ready(Box<Ready>),
    /// A shim tells its state.
    Told(Instance),
    /// A client asks.
    Asked(Request, Sender<Reply>),
}

/// The way to the deciding thread.
#[derive(Clone, Debug)]
struct Inputs(mpsc::Sender<Input>);

impl Inputs {
    /// Hands something over; a daemon that has ended needs nothing any more.
    fn send(&self, input: Input) {
        drop(self.0.blocking_send(input));
    }
}

/// Where the daemon of `root` listens, and where its sockets are.
pub(crate) fn sockets(root: &Path, install: &str) -> Result<PathBuf, FileError> {
    let key = platform::root_key(root).map_err(failed("identify", root))?;
    let short = install.get(..8).unwrap_or(install);
    platform::runtime_dir(&format!("{short}{key}")).map_err(failed("use the runtime directory of", root))
}

/// Name of the daemon's endpoint.
pub(crate) const ENDPOINT: &str = "daemon";

/// Locks the root for one daemon.
pub(crate) fn lock(run: &Path) -> Result<Option<File>, FileError> {
    let path = instance::dir(run).join("daemon.lock");
    files::make_dir(&instance::dir(run))?;
    let opened = OpenOptions::new().create(true).append(true).open(&path);
    let file = opened.map_err(failed("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(e)) => Err(failed("lock", &path)(e)),
    }
}

/// Serves until everything is down or someone takes over. Says one line to `starter` when it serves or cannot.
pub fn run(settings: Settings, mut starter: impl Write) -> Result<(), DaemonError> {
    let born = Daemon::start(settings);
    let said = match &born {
        Ok(_) => Birth::Ready {
            pid: std::process::id(),
        },
        Err(DaemonError::Busy) => Birth::Busy { busy: true },
        Err(error) => Birth::Failed { causes: causes(error) },
    };
    // Who started us may be gone; others will ask.
    drop::<Result<(), WireError>>(wire::send(&mut starter, &said));
    drop(starter);
    let mut daemon = born?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(DaemonError::Loop)?;
    runtime.block_on(daemon.serve());
    daemon.finish();
    Ok(())
}

fn causes(error: &dyn std::error::Error) -> Vec<String> {
    std::iter::successors(Some(error), |e| e.source()).map(ToString::to_string).collect()
}

/// What the next daemon has to know that no shim tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Notes {
    boot: String,
    up: Vec<String>,
    generations: BTreeMap<String, u64>,
}

struct Daemon {
    context: Arc<Context>,
    settings: Settings,
    clock: Steady,
    machine: Machine,
    inputs: Inputs,
    from_all: mpsc::Receiver<Input>,
    ready: BTreeMap<String, Ready>,
    aborts: BTreeMap<String, Arc<AtomicBool>>,
    told: BTreeMap<String, Instance>,
    /// Shims whose service is gone, and who are about to go.
    parting: Vec<Identity>,
    watchers: Vec<Sender<Reply>>,
    clients: Arc<AtomicUsize>,
    last: Status,
    notes: Notes,
    /// Everything was asked to go down; the daemon follows.
    closing: bool,
    /// Someone takes over.
    leaving: bool,
    _lock: File,
}

impl Daemon {
    fn start(settings: Settings) -> Result<Self, DaemonError> {
        let stack = Stack::load(&settings.root)?;
        let run = stack.layout.run();
        let lock = lock(&run)?.ok_or(DaemonError::Busy)?;
        let sockets = sockets(&settings.root, &stack.install)?;
        let secrets = Secrets::load(&stack.layout.secrets(), &stack.secrets)?;
        let context = Arc::new(Context {
            ports: Mutex::new(Ports::load(&stack)?),
            allowed: environment::allowed(settings.environment.clone()),
            exe: settings.exe.clone(),
            stack,
            secrets,
            sockets,
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
            parting: Vec::new(),
            watchers: Vec::new(),
            clients: Arc::new(AtomicUsize::new(0)),
            last: Status::default(),
            notes: Notes::default(),
            closing: false,
            leaving: false,
            _lock: lock,
            context,
            settings,
            clock,
        };
        daemon.reattach()?;
        let endpoint = platform::endpoint(&daemon.context.sockets, ENDPOINT);
        clients::listen(&endpoint, daemon.inputs.clone(), Arc::clone(&daemon.clients)).map_err(failed("listen at", &endpoint))?;
        Ok(daemon)
    }

    /// Finds what an earlier daemon left, and wants what it wanted.
    fn reattach(&mut self) -> Result<(), DaemonError> {
        shims::end_undeclared(&self.context);
        let boot = platform::boot_id().unwrap_or_default();
        let notes: Option<Notes> = files::read_json(&self.notes_file()).unwrap_or_default();
        let notes = notes.unwrap_or_default();
        for (name, generation) in &notes.generations {
            self.machine.count_from(name, *generation);
        }
        let mut up: Vec<String> = Vec::new();
        if notes.boot == boot {
            up.extend(notes.up.iter().filter(|n| self.context.stack.services.contains_key(*n)).cloned());
        }
        let mut found = Vec::new();
        for name in self.context.stack.services.keys().cloned().collect::<Vec<_>>() {
            match shims::trace(&self.context, &name) {
                Some(Trace::Instance(instance)) => {
                    self.context.ports().adopt(&name, &instance.ports);
                    self.feed(Event::Reattach(name, instance.generation));
                    found.push(instance);
                }
                Some(Trace::Ended(record)) => {
                    self.feed(Event::Reattach(name.clone(), record.generation));
                    let ended = Event::Found(name, record.generation, Found::Ended(record.exit));
                    self.inputs_later(ended);
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
            self.beside(move || shims::attach(&context, &instance, &inputs));
        }
        Ok(())
    }

    /// Puts an event behind everything that is decided now.
    fn inputs_later(&self, event: Event) {
        let inputs = self.inputs.clone();
        self.beside(move || inputs.send(Input::Machine(event)));
    }

    /// Runs something slow on a thread of its own.
    fn beside(&self, work: impl FnOnce() + Send + 'static) {
        let started = thread::Builder::new().name("work".to_owned()).spawn(work);
        started.map(drop).expect("the system gives the daemon its threads");
    }

    async fn serve(&mut self) {
        while !self.is_done() {
            let next = self.machine.next_deadline().map(|at| at.saturating_sub(self.clock.now()));
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
                    self.answer_from_log(&name, generation);
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
        if let Some(exit) = new.exit.clone().filter(|_| first(new.exit.is_some(), |o| o.exit.is_some())) {
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
        self.answer_from_log(&name, generation);
        events.into_iter().for_each(|e| self.feed(e));
        if gone {
            self.forget(&name, generation);
        }
    }

    /// A match in the log answers the checks that ask for one. It may come before the machine knows of the process, so
    /// this is looked at again then.
    fn answer_from_log(&mut self, name: &str, generation: u64) {
        if !self.told.get(name).is_some_and(|t| t.log_matched && t.generation == generation) {
            return;
        }
        let Some(service) = self.machine.services().get(name).filter(|s| s.state == State::Starting) else { return };
        let checks = [(Which::Startup, &service.rules.startup), (Which::Readiness, &service.rules.readiness)];
        let asks = checks.into_iter().filter(|(_, timing)| timing.as_ref().is_some_and(|t| t.pushed));
        let asks: Vec<Which> = asks.map(|(which, _)| which).collect();
        for which in asks {
            self.feed(Event::Probed(name.to_owned(), generation, which, Ok(())));
        }
    }

    /// The exit has been taken; nothing has to be kept for a later daemon.
    fn forget(&mut self, name: &str, generation: u64) {
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

    fn asked(&mut self, request: Request, replies: Sender<Reply>) {
        if let Err(reply) = self.check(&request) {
            drop(replies.send(reply));
            return;
        }
        let all = || self.context.stack.services.keys().cloned().collect::<Vec<_>>();
        let watches = !matches!(request, Request::Hello | Request::Status | Request::Force | Request::Leave);
        match request {
            Request::Hello => drop(replies.send(Reply::Hello(self.hello()))),
            Request::Status | Request::Watch => {}
            Request::Up { services } => {
                self.closing = false;
                let named = !services.is_empty();
                let services = if named { services } else { all() };
                self.feed(Event::Up { services, named });
            }
            Request::Down { services } if services.is_empty() => {
                self.closing = true;
                self.feed(Event::Shutdown);
            }
            Request::Down { services } => self.feed(Event::Down(services)),
            Request::Restart { services } => {
                self.closing = false;
                self.feed(Event::Restart(services));
            }
            Request::Force => self.feed(Event::Force),
            Request::Leave => self.leaving = true,
        }
        // Who asks hears the state as it is now, changed or not.
        drop(replies.send(Reply::Status(self.last.clone())));
        if watches {
            self.watchers.push(replies);
        }
    }

    fn check(&self, request: &Request) -> Result<(), Reply> {
        let (Request::Up { services } | Request::Down { services } | Request::Restart { services }) = request else {
            return Ok(());
        };
        let known = &self.context.stack.services;
        let Some(odd) = services.iter().find(|s| !known.contains_key(*s)) else { return Ok(()) };
        let names: Vec<&str> = known.keys().map(String::as_str).collect();
        Err(Reply::Refused {
            why: format!("there is no service `{odd}`"),
            hint: format!("services are: {}", names.join(", ")),
        })
    }

    fn hello(&self) -> Hello {
        let services = self.machine.services().values();
        Hello {
            version: self.settings.version.clone(),
            exe: self.settings.exe.clone(),
            pid: std::process::id(),
            root: self.settings.root.clone(),
            generation: self.context.stack.generation.id,
            reattaching: services.filter(|s| s.state == State::Reattaching).count(),
        }
    }

    /// Decides, acts, and tells everyone what changed.
    fn feed(&mut self, event: Event) {
        let (machine, actions) = step(std::mem::take(&mut self.machine), event, self.clock.now());
        self.machine = machine;
        for action in actions {
            self.act(action);
        }
        self.tell();
    }

    fn act(&mut self, action: Action) {
        let (context, inputs) = (Arc::clone(&self.context), self.inputs.clone());
        match action {
            Action::Prepare(name, generation, avoid) => {
                let abort = Arc::new(AtomicBool::new(false));
                self.aborts.insert(name.clone(), Arc::clone(&abort));
                self.beside(move || match prepare::prepare(&context, &name, generation, avoid, &abort) {
                    Ok(ready) => inputs.send(Input::Ready(Box::new(ready))),
                    Err(failure) => inputs.send(Input::Machine(Event::PrepareFailed(name, generation, failure))),
                });
            }
            Action::Abort(name, _) => {
                if let Some(abort) = self.aborts.get(&name) {
                    abort.store(true, Ordering::SeqCst);
                }
            }
            Action::Spawn(name, _) => {
                if let Some(mut ready) = self.ready.remove(&name) {
                    ready.spec.restarts = self.machine.services().get(&name).map_or(0, |s| s.restarts);
                    self.beside(move || shims::start(&context, ready, &inputs));
                }
            }
            Action::Stop(name, _) => self.beside(move || shims::order(&context, &name, &shim::Request::Stop)),
            Action::Kill(name, _) => self.beside(move || shims::order(&context, &name, &shim::Request::Kill)),
            Action::Sweep(name, generation) => {
                self.beside(move || shims::clear_up(&context, &name, generation, &inputs));
            }
            Action::Remember(name, _) => {
                let restarts = self.machine.services().get(&name).map_or(0, |s| s.restarts);
                let memo = Memo { ready: true, restarts };
                self.beside(move || shims::order(&context, &name, &shim::Request::Remember { memo }));
            }
            Action::Probe(name, generation, which) => self.probe(name, generation, which),
        }
    }

    fn probe(&self, name: String, generation: u64, which: Which) {
        let prepared = self.prepare_probe(&name, which);
        let to_us = self.inputs.0.clone();
        let make = async move {
            let answer = match prepared {
                Ok((probe, around)) => probe::check(probe, around).await,
                Err(why) => Err(why),
            };
            drop(to_us.send(Input::Machine(Event::Probed(name, generation, which, answer))).await);
        };
        // Before the loop runs nothing is probed: a service is found again only by an input.
        drop(tokio::spawn(make));
    }

    fn prepare_probe(&self, name: &str, which: Which) -> Result<(probe::Probe, Surroundings), String> {
        let definition = &self.context.stack.services[name];
        let declared = match which {
            Which::Startup => definition.service.startup.as_ref(),
            Which::Readiness => definition.service.readiness.as_ref(),
            Which::Liveness => definition.service.liveness.as_ref(),
        };
        let declared = declared.ok_or("the check is not declared")?;
        let ports = self.context.ports().all();
        let filler = self.context.filler(definition, &ports);
        let probe = probe::prepare(&declared.check, &filler).map_err(|e| e.to_string())?;
        let generation = self.machine.services().get(name).map(|s| s.generation);
        let told = self.told.get(name).filter(|t| Some(t.generation) == generation);
        let told = told.ok_or("its shim has not been heard yet")?;
        let liveness = declared.timeout.filter(|_| which == Which::Liveness);
        let env = environment::of_service(&filler, &definition.service.env, &self.context.allowed);
        let around = Surroundings {
            ports: told.ports.values().copied().collect(),
            shim: told.shim.pid,
            dir: filler.dir("run").unwrap_or_default(),
            env: env.map_err(|e| e.to_string())?,
            nonce: told.nonce.clone(),
            patience: liveness.map_or(Duration::from_secs(5), |t| t.duration()),
        };
        Ok((probe, around))
    }

    /// Tells everyone who watches, and the next daemon, what changed.
    fn tell(&mut self) {
        let now = Status::of(&self.machine, &self.context.ports().all());
        if now != self.last {
            self.last = now;
            let status = Reply::Status(self.last.clone());
            self.watchers.retain(|w| w.send(status.clone()).is_ok());
        }
        let services = self.machine.services();
        let up = services.iter().filter(|(_, s)| s.desired == Desired::Up).map(|(n, _)| n.clone());
        let generations = services.iter().map(|(n, s)| (n.clone(), s.generation));
        let notes = Notes {
            boot: self.notes.boot.clone(),
            up: up.collect(),
            generations: generations.collect(),
        };
        if notes != self.notes && !notes.boot.is_empty() {
            self.notes = notes;
            // Losing this costs a daemon that is killed its wishes, not a service its life.
            drop(files::write_json(&self.notes_file(), &self.notes));
        }
    }

    fn notes_file(&self) -> PathBuf {
        instance::dir(&self.context.stack.layout.run()).join("daemon.state")
    }

    /// Lets everyone hear the last word, then takes the endpoint away.
    fn finish(mut self) {
        self.watchers.clear();
        let end = Instant::now() + Duration::from_secs(2);
        let parting = || self.parting.iter().any(Identity::lives);
        while (self.clients.load(Ordering::SeqCst) > 0 || parting()) && Instant::now() < end {
            thread::sleep(Duration::from_millis(2));
        }
        let endpoint = platform::endpoint(&self.context.sockets, ENDPOINT);
        drop(std::fs::remove_file(endpoint));
        if !self.leaving {
            drop(std::fs::remove_dir(&self.context.sockets));
        }
    }
}
