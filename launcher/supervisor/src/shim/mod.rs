//! Owns the shim: the small process that is the parent of one service for one generation.
//!
//! It holds the pipes, writes the log, runs the stop recipe, sees the true exit and leaves a record of it. It reads
//! what to do from its input, answers one line, and from then on needs nobody: services, logs and exit statuses survive
//! a crash, a kill and an update of the daemon. It ends when nothing of the service is left.
//!
//! Files: `run/_instances/<service>.{json,exit.json,lease}`, `logs/<service>/`.

mod control;
mod director;
mod lines;
mod mask;
mod notices;
mod pump;
mod spec;
mod store;

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    iter,
    path::PathBuf,
    process::{Command, Stdio},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use regex_lite::Regex;

pub use self::store::Record;
use self::{
    control::Control,
    mask::Mask,
    pump::{Pump, Setup},
    store::Store,
};
pub(crate) use self::{
    control::{Order, Request},
    spec::{Act, Answer, Refusal, RefusalKind, Spec, Step},
    store::{CURRENT, Limits, rotated},
};
use crate::{
    clock::Clock,
    data::{End, Mark},
    diagnosis,
    files::{self, FileError, failed},
    instance::{ExitRecord, Identity, Instance, MARKER, Memo, Phase},
    machine::{Exit, Status},
    platform::{self, Keeper, Notices},
    wire::{self, Lines, WireError},
};

/// A shim could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ShimError {
    /// It was not told what to do.
    #[error("could not read what to run")]
    Told(#[source] WireError),
    /// Nobody told it anything.
    #[error("nothing was said about what to run")]
    Nothing,
    /// Something of the service still lives.
    #[error("something of `{0}` still lives")]
    Leased(String),
    /// The program could not be started.
    #[error("could not start `{program}`")]
    Start {
        /// First word of the command.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// A file could not be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The check of the log is not a regular expression.
    #[error("the log check is not a regular expression")]
    Check(#[from] regex_lite::Error),
}

/// What the threads of a shim share.
struct Shared {
    spec: Spec,
    keeper: Keeper,
    state: Mutex<Instance>,
    control: Control,
    /// How the data had been left before this start.
    left_before: Option<Mark>,
    /// The main process did not end by its recipe.
    killed: AtomicBool,
    /// Where the service says that it is ready.
    notices: Option<Notices>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Instance> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is told about the instance, on disk and to everyone who watches.
    fn change(&self, change: impl FnOnce(&mut Instance)) {
        let mut state = self.lock();
        change(&mut state);
        // Who cannot write to the disk can still be asked.
        drop(self.spec.traces.write_instance(&state));
        self.control.publish(&state);
    }
}

/// Runs one service to its end. `said` holds what to do; `answer` takes one line about whether it was started.
pub fn run(said: impl Read, mut answer: impl Write, clock: Clock) -> Result<(), ShimError> {
    let told = Lines::new(said).next::<Spec>().map_err(ShimError::Told)?;
    let spec = told.ok_or(ShimError::Nothing)?;
    let started = start(&spec, clock);
    // The daemon may be gone already; the service is not.
    drop(wire::send(&mut answer, reply(&started)));
    drop(answer);
    let (shared, pump, _lease) = started?;
    attend(&shared, &pump);
    leave(&shared, pump);
    Ok(())
}

fn reply(started: &Result<(Arc<Shared>, Arc<Pump>, File), ShimError>) -> Answer {
    let error = match started {
        Ok((shared, ..)) => return Answer::Started(Box::new(shared.lock().clone())),
        Err(error) => error,
    };
    let kind = match error {
        ShimError::Leased(_) => RefusalKind::Leased,
        ShimError::Check(_) => RefusalKind::NotRunnable,
        ShimError::Start { source, .. } if never_runs(source) => RefusalKind::NotRunnable,
        _ => RefusalKind::Other,
    };
    let text = diagnosis::chain(error);
    Answer::Failed(Refusal { kind, text })
}

/// True if the system will never run the program that it refused so.
pub fn never_runs(error: &io::Error) -> bool {
    error
        .raw_os_error()
        .is_some_and(|code| platform::NOT_RUNNABLE.contains(&code))
        || error.kind() == io::ErrorKind::InvalidInput
}

fn start(spec: &Spec, clock: Clock) -> Result<(Arc<Shared>, Arc<Pump>, File), ShimError> {
    let lease = take_lease(spec)?;
    let check = spec.log_check.as_deref().map(Regex::new).transpose()?;
    let problem = |source| ShimError::Start {
        program: spec.command.first().cloned().unwrap_or_default(),
        source,
    };
    let keeper = Keeper::new().map_err(problem)?;
    let control = Control::bind(&spec.endpoint).map_err(failed("listen at", &spec.endpoint))?;
    let state = first_state(spec, clock).map_err(problem)?;
    spec.traces.write_instance(&state)?;
    let mut marked = None;
    match begin(spec, clock, (keeper, control, state, check), &mut marked) {
        Ok((shared, pump)) => Ok((shared, pump, lease)),
        Err(error) => {
            nothing_started(spec, marked.as_ref());
            Err(error)
        }
    }
}

/// What a start needs beside what it is told.
type Parts = (Keeper, Control, Instance, Option<Regex>);

/// The data has been marked; what the mark said before.
struct Marked(Option<Mark>);

/// Opens the log, marks the data and starts the program.
fn begin(
    spec: &Spec,
    clock: Clock,
    (keeper, control, state, check): Parts,
    marked: &mut Option<Marked>,
) -> Result<(Arc<Shared>, Arc<Pump>), ShimError> {
    let problem = |source| ShimError::Start {
        program: spec.command.first().cloned().unwrap_or_default(),
        source,
    };
    let bind = |path: &PathBuf| Notices::bind(path).map_err(failed("listen at", path));
    let notices = spec.notify.as_ref().map(bind).transpose()?;
    let store = Store::open(&spec.logs, spec.limits).map_err(failed("open the log in", &spec.logs))?;
    // From here on the data counts as in use: a mark that cannot be written keeps the program from being started.
    if let Some(marker) = &spec.data {
        *marked = Some(Marked(marker.begin()?));
    }
    let shared = Arc::new(Shared {
        spec: spec.clone(),
        keeper,
        state: Mutex::new(state),
        control,
        left_before: marked.as_ref().and_then(|m| m.0.clone()),
        killed: AtomicBool::new(false),
        notices,
    });
    let watcher = Arc::clone(&shared);
    let setup = Setup {
        clock,
        service: spec.service.clone(),
        generation: spec.generation,
        mask: Mask::new(spec.secrets.iter().map(|(n, v)| (n.as_str(), v.as_str()))),
        check,
        on_match: Box::new(move || watcher.change(|s| s.log_matched = true)),
    };
    let pump = Pump::start(setup, store).map(Arc::new).map_err(problem)?;
    if let Err(source) = start_main(&shared, &pump) {
        pump.say(format!("could not start `{}`: {source}", spec.command.join(" ")));
        if let Some(pump) = Arc::into_inner(pump) {
            pump.finish(Duration::from_secs(1));
        }
        return Err(problem(source));
    }
    Ok((shared, pump))
}

/// Nothing was started: nothing is left to tell but the answer.
fn nothing_started(spec: &Spec, marked: Option<&Marked>) {
    drop(spec.traces.remove_instance());
    if let (Some(marker), Some(Marked(before))) = (&spec.data, marked) {
        drop(marker.take_back(before.as_ref()));
    }
    for path in iter::once(&spec.endpoint).chain(&spec.notify) {
        drop(files::remove_file(path));
    }
}

/// Locks the lease. The lock is inherited by everything that is started, so it is free only when nothing lives.
fn take_lease(spec: &Spec) -> Result<File, ShimError> {
    let path = spec.traces.lease();
    let opened = OpenOptions::new().create(true).append(true).open(&path);
    let lease = opened.map_err(failed("open", &path))?;
    match lease.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => return Err(ShimError::Leased(spec.service.clone())),
        Err(std::fs::TryLockError::Error(e)) => return Err(failed("lock", &path)(e).into()),
    }
    platform::inherit(&lease).map_err(failed("pass on", &path))?;
    Ok(lease)
}

fn first_state(spec: &Spec, clock: Clock) -> io::Result<Instance> {
    let shim = Identity::of(std::process::id()).ok_or_else(|| io::Error::other("this process cannot be identified"))?;
    Ok(Instance {
        service: spec.service.clone(),
        generation: spec.generation,
        role: spec.role,
        program: spec.program.clone(),
        nonce: spec.nonce.clone(),
        boot: platform::boot_id()?,
        shim,
        process: None,
        started: clock.millis(),
        ports: spec.ports.clone(),
        memo: Memo {
            ready: false,
            restarts: spec.restarts,
        },
        phase: Phase::Running,
        exit: None,
        unkillable: Vec::new(),
        log_matched: false,
        notified: false,
        said: None,
    })
}

/// Starts the program with two pipes; its environment is exactly what was given.
fn start_main(shared: &Arc<Shared>, pump: &Arc<Pump>) -> io::Result<()> {
    let mut command = command_of(&shared.spec, &shared.spec.command)?;
    let (out, for_out) = io::pipe()?;
    let (err, for_err) = io::pipe()?;
    command.stdin(Stdio::null()).stdout(for_out).stderr(for_err);
    if let Some(path) = &shared.spec.notify {
        command.env("NOTIFY_SOCKET", path);
    }
    let pid = shared.keeper.start(&mut command, first_signal(&shared.spec))?;
    // Our own copies of the writing ends, or the pipes would never end.
    drop(command);
    let process = Identity::of(pid).or(Some(Identity {
        pid,
        // It has ended already; no living process has this token.
        token: "ended".to_owned(),
    }));
    pump.say(format!("started process {pid} (generation {})", shared.spec.generation));
    pump.read(0, out)?;
    pump.read(1, err)?;
    shared.change(|s| s.process = process);
    Ok(())
}

fn command_of(spec: &Spec, words: &[String]) -> io::Result<Command> {
    let (program, arguments) = words
        .split_first()
        .ok_or_else(|| io::Error::other("the command is empty"))?;
    let mut command = Command::new(platform::program_name(program));
    command
        .args(arguments)
        .current_dir(&spec.dir)
        .env_clear()
        .envs(&spec.env);
    command.env(MARKER, &spec.nonce);
    Ok(command)
}

/// What the kernel sends the service should its shim be killed: the first signal of its recipe, never a harder one.
fn first_signal(spec: &Spec) -> &str {
    let signal = spec.stop.iter().find_map(|s| match &s.act {
        Act::Signal(signal) => Some(signal.as_str()),
        Act::Run(_) => None,
    });
    signal.unwrap_or(platform::DEFAULT_SIGNAL)
}

/// Serves and watches until nothing is left. This thread started the program and stays until the end, because the
/// kernel ties the last wish to the thread.
fn attend(shared: &Arc<Shared>, pump: &Arc<Pump>) {
    let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
        let builder = thread::Builder::new().name(name.to_owned()).stack_size(pump::STACK);
        builder
            .spawn(work)
            .expect("the system gives a thread to a process that just started")
    };
    let (on_control, on_director, on_signal) = (Arc::clone(shared), Arc::clone(shared), Arc::clone(shared));
    let on_wake = Arc::clone(shared);
    let director_pump = Arc::clone(pump);
    drop(spawn("control", Box::new(move || control::serve(&on_control))));
    if shared.notices.is_some() {
        let (heard, pump) = (Arc::clone(shared), Arc::clone(pump));
        let listen = move || heard.notices.iter().for_each(|n| notices::listen(&heard, &pump, n));
        drop(spawn("notices", Box::new(listen)));
    }
    let directing = spawn(
        "director",
        Box::new(move || director::run(&on_director, &director_pump)),
    );
    // A system that shuts down asks everyone to end: for a shim this is the wish to stop its service.
    drop(platform::on_terminate(move || on_signal.order(Order::Stop)));
    drop(platform::on_wake(move || on_wake.keep_reachable()));
    shared.keeper.keep();
    drop(directing.join());
}

/// Writes down how the service left its data. Without that it counts as interrupted, so an error here loses nothing.
fn mark_data(shared: &Shared, exit: &Exit) {
    let Some(marker) = &shared.spec.data else { return };
    let end = End {
        status: exit.status,
        killed: shared.killed.load(Ordering::SeqCst),
        was_ready: {
            let state = shared.lock();
            state.memo.ready || state.log_matched || state.notified
        },
    };
    drop(marker.end(shared.left_before.as_ref(), end));
}

/// Writes the exit record, tells everyone who watches, and takes the traces away.
fn leave(shared: &Arc<Shared>, pump: Arc<Pump>) {
    let told = pump.told();
    if let Some(pump) = Arc::into_inner(pump) {
        pump.finish(Duration::from_secs(2));
    }
    let exit = {
        let state = shared.lock();
        let mut exit = state.exit.clone().unwrap_or(Exit {
            status: Status::Unknown,
            port_clash: false,
            last_line: None,
        });
        (exit.port_clash, exit.last_line) = (told.port_clash, told.last_line);
        exit
    };
    let spec = &shared.spec;
    mark_data(shared, &exit);
    let record = ExitRecord {
        service: spec.service.clone(),
        generation: spec.generation,
        role: spec.role,
        nonce: spec.nonce.clone(),
        boot: shared.lock().boot.clone(),
        exit: exit.clone(),
    };
    drop(spec.traces.write_exit(&record));
    let mut state = shared.lock();
    (state.phase, state.exit) = (Phase::Gone, Some(exit));
    drop(spec.traces.remove_instance());
    if let Some(path) = &spec.notify {
        drop(files::remove_file(path));
    }
    // Who hears the end may look at once whether anything is left.
    shared.control.close();
    shared.control.publish(&state);
    drop(state);
    shared.control.finish(Duration::from_secs(2));
}
