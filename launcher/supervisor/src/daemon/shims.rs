//! Owns the daemon's side of shims: starting them, hearing them, finding them again, clearing up after lost ones.

use std::{
    fs::{File, OpenOptions},
    io,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use super::{Input, Inputs, context::Context, prepare::Ready};
use crate::{
    diagnosis, files,
    instance::{ExitRecord, Identity, Instance, Phase, Role},
    machine::{Event, Exit, Failure, Found, Reason, ReasonCode, Status},
    platform,
    shim::{self, Act, Answer, Refusal, RefusalKind, Spec, Step},
    wire::{self, Lines},
};

/// A shim answers at once, or something is wrong.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a shim that lives may take to answer a new daemon.
const ATTACH: Duration = Duration::from_secs(5);
/// Where the program says what it is to be.
const ROLE: &str = "shim";

/// Starts the service and stays with it until its shim has ended.
pub(super) fn start(context: &Context, ready: Ready, inputs: &Inputs) {
    let Ready { spec, held } = ready;
    let (name, generation) = (spec.service.clone(), spec.generation);
    drop(held);
    match spawn(context, &spec) {
        Ok((mut child, instance)) => {
            let pid = instance.process.as_ref().map_or(0, |p| p.pid);
            inputs.send(Input::Told(*instance));
            inputs.send(Input::Machine(Event::Spawned(name, generation, pid)));
            watch(context, &spec.service, generation, &spec.endpoint, inputs);
            drop(child.wait());
        }
        Err(refusal) => {
            let failure = failure(&name, &spec, refusal);
            inputs.send(Input::Machine(Event::SpawnFailed(name, generation, failure)));
        }
    }
}

fn failure(name: &str, spec: &Spec, refusal: Refusal) -> Failure {
    let program = spec.command.first().map_or("", String::as_str);
    let fix = match refusal.kind {
        RefusalKind::Leased => format!("see `kojibox status`; end what is left of `{name}` yourself if this stays"),
        RefusalKind::NotRunnable => format!("check that `{program}` is there, may be run, and is made for this system"),
        RefusalKind::Other => format!("read `kojibox logs {name} --since 10m`"),
    };
    Failure {
        reason: Reason::new(ReasonCode::Exec, refusal.text, fix),
        permanent: refusal.kind == RefusalKind::NotRunnable,
    }
}

/// Starts a shim, tells it what to run, and waits for its answer.
fn spawn(context: &Context, spec: &Spec) -> Result<(Child, Box<Instance>), Refusal> {
    let other = |text: String| Refusal {
        kind: RefusalKind::Other,
        text,
    };
    let io_error = |what: &'static str| move |e: io::Error| other(format!("could not {what}: {e}"));
    drop(spec.traces.remove_exit());
    let mut command = Command::new(&context.exe);
    command.arg(ROLE).env_clear().envs(&context.allowed).current_dir(context.stack.layout.root());
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command.stderr(complaints(&context.stack.layout).map_or(Stdio::null(), Stdio::from));
    platform::detach(&mut command);
    let mut child = command.spawn().map_err(io_error("start a shim"))?;
    let told = match child.stdin.take() {
        Some(mut stdin) => wire::send(&mut stdin, spec),
        None => Ok(()),
    };
    let answer = told.and_then(|()| match child.stdout.take() {
        Some(stdout) => Lines::new(stdout).next::<Answer>(),
        None => Ok(None),
    });
    match answer {
        Ok(Some(Answer::Started(instance))) => Ok((child, instance)),
        Ok(Some(Answer::Failed(refusal))) => {
            drop(child.wait());
            Err(refusal)
        }
        Ok(None) | Err(_) => {
            drop(child.kill());
            drop(child.wait());
            Err(other("the shim ended without an answer".to_owned()))
        }
    }
}

/// Where programs of ours complain that have nowhere else to: `logs/_launcher/stderr.log`.
pub(crate) fn complaints(layout: &kojibox_state::Layout) -> io::Result<File> {
    let dir = layout.service_logs("_launcher");
    std::fs::create_dir_all(&dir)?;
    OpenOptions::new().create(true).append(true).open(dir.join("stderr.log"))
}

/// Hears a shim to its end.
fn watch(context: &Context, name: &str, generation: u64, endpoint: &Path, inputs: &Inputs) {
    let mut last = None;
    if let Ok(mut lines) = wire::ask(endpoint, shim::Request::Watch) {
        while let Ok(Some(state)) = lines.next::<Instance>() {
            if state.generation != generation || state.service != name {
                break;
            }
            last = Some(state.clone());
            inputs.send(Input::Told(state));
        }
    }
    if last.as_ref().is_some_and(|l| l.phase == Phase::Gone) {
        return;
    }
    // Its last word may be on disk only.
    let record = context.traces(name).exit().ok().flatten();
    match record.filter(|r| r.generation == generation && r.role == Role::Service) {
        Some(record) => ended(name, generation, record.exit, inputs),
        None => inputs.send(Input::Machine(Event::ShimLost(name.to_owned(), generation))),
    }
}

fn ended(name: &str, generation: u64, exit: Exit, inputs: &Inputs) {
    inputs.send(Input::Machine(Event::Exited(name.to_owned(), generation, exit)));
    inputs.send(Input::Machine(Event::Gone(name.to_owned(), generation)));
}

/// Asks a shim to do something. Should it not answer although it lives, it is asked through the system.
pub(super) fn order(context: &Context, name: &str, request: &shim::Request) {
    let answer = wire::ask_once::<Instance>(&context.endpoint(name), request, PATIENCE);
    if answer.is_ok() || matches!(request, shim::Request::Remember { .. }) {
        return;
    }
    if let Ok(Some(instance)) = context.traces(name).instance()
        && is_of_this_run(&instance.boot)
    {
        let signal = platform::DEFAULT_SIGNAL;
        drop(platform::signal(instance.shim.pid, &instance.shim.token, signal));
    }
}

fn is_of_this_run(boot: &str) -> bool {
    platform::boot_id().is_ok_and(|now| now == boot)
}

/// Runs a helper to its end; kills it when `abort` is set.
pub(super) fn run_helper(context: &Arc<Context>, spec: &Spec, abort: &AtomicBool) -> Result<Exit, String> {
    let (mut child, _) = spawn(context, spec).map_err(|r| r.text)?;
    let (done, waiting) = mpsc::channel();
    let waiter = thread::spawn(move || {
        drop(child.wait());
        let _ = done.send(());
    });
    let mut killing = false;
    while waiting.recv_timeout(Duration::from_millis(50)) == Err(mpsc::RecvTimeoutError::Timeout) {
        if abort.load(Ordering::SeqCst) && !killing {
            let asked = wire::ask_once::<Instance>(&spec.endpoint, shim::Request::Kill, PATIENCE);
            killing = asked.is_ok();
        }
    }
    drop(waiter.join());
    let record = spec.traces.exit().map_err(|e| e.to_string())?;
    drop(spec.traces.remove_exit());
    let record = record.filter(|r| r.nonce == spec.nonce);
    match record {
        Some(record) => Ok(record.exit),
        None => {
            // Its shim was killed: what it had started must not work on beside the next attempt.
            let left = Left {
                session: None,
                marker: format!("{}={}", crate::instance::MARKER, spec.nonce),
            };
            left.end(&[]);
            Err("the process that watched it was killed".to_owned())
        }
    }
}

/// What an earlier daemon has left of a service.
pub(super) enum Trace {
    /// Its shim, to be asked.
    Instance(Box<Instance>),
    /// Only how it ended.
    Ended(ExitRecord),
}

/// Looks for what an earlier daemon left, and clears away what means nothing any more.
pub(super) fn trace(context: &Context, name: &str) -> Option<Trace> {
    let traces = context.traces(name);
    if let Ok(Some(instance)) = traces.instance() {
        if is_of_this_run(&instance.boot) && instance.role == Role::Service {
            return Some(Trace::Instance(Box::new(instance)));
        }
        if is_of_this_run(&instance.boot) {
            end_helper(context, &instance);
        }
        drop(traces.remove_instance());
    }
    let record = traces.exit().ok().flatten();
    let useful = record.filter(|r| is_of_this_run(&r.boot) && r.role == Role::Service);
    if useful.is_none() {
        drop(traces.remove_exit());
    }
    useful.map(Trace::Ended)
}

/// A helper whose daemon is gone starts over; it must not go on beside its successor.
fn end_helper(context: &Context, instance: &Instance) {
    let end = Instant::now() + ATTACH;
    while instance.shim.lives() && Instant::now() < end {
        drop(wire::ask_once::<Instance>(
            &context.endpoint(&instance.service),
            shim::Request::Kill,
            Duration::from_secs(1),
        ));
        thread::sleep(Duration::from_millis(20));
    }
    Left::of(instance).end(&[]);
}

/// Finds the shim of `instance` again, verifies who answers, and stays with it; or says what became of it.
pub(super) fn attach(context: &Context, instance: &Instance, inputs: &Inputs) {
    let (name, generation) = (instance.service.clone(), instance.generation);
    let endpoint = context.endpoint(&name);
    let end = Instant::now() + ATTACH;
    while instance.shim.lives() {
        match wire::ask_once::<Instance>(&endpoint, shim::Request::Hello, Duration::from_secs(2)) {
            Ok(answer) if is_same(instance, &answer) => {
                let found = alive(&answer);
                // Its checks need to know whom they ask.
                inputs.send(Input::Told(answer));
                inputs.send(Input::Machine(Event::Found(name.clone(), generation, found)));
                return watch(context, &name, generation, &endpoint, inputs);
            }
            other if Instant::now() > end => {
                let why = match other {
                    Ok(_) => "someone else answers at its endpoint".to_owned(),
                    Err(error) => diagnosis::chain(&error),
                };
                let found = Found::Unverified(why);
                return inputs.send(Input::Machine(Event::Found(name, generation, found)));
            }
            Ok(_) | Err(_) => {}
        }
        thread::sleep(Duration::from_millis(50));
    }
    let record = context.traces(&name).exit().ok().flatten();
    let exit = record.filter(|r| r.nonce == instance.nonce).map(|r| r.exit);
    if exit.is_none() {
        // Its shim was killed while nobody watched.
        sweep(&Left::of(instance), &steps(context, &name));
    }
    drop(context.traces(&name).remove_instance());
    let exit = exit.unwrap_or(Exit {
        status: Status::Unknown,
        port_clash: false,
        last_line: None,
    });
    inputs.send(Input::Machine(Event::Found(name, generation, Found::Ended(exit))));
}

fn is_same(left: &Instance, answer: &Instance) -> bool {
    (&left.nonce, &left.shim, &left.service, left.generation)
        == (&answer.nonce, &answer.shim, &answer.service, answer.generation)
}

fn alive(instance: &Instance) -> Found {
    Found::Alive {
        pid: instance.process.as_ref().map(|p| p.pid),
        ready: instance.memo.ready || instance.log_matched,
        since: instance.started,
        restarts: instance.memo.restarts,
        stopping: instance.phase != Phase::Running,
    }
}

/// The signals of the recipe of `name`; a shim that is gone runs no programs.
fn steps(context: &Context, name: &str) -> Vec<Step> {
    let declared = context.stack.services.get(name).map(|d| d.stop_steps()).unwrap_or_default();
    let signals = declared.into_iter().filter_map(|s| {
        let act = Act::Signal(s.signal?);
        Some(Step {
            act,
            wait: s.wait.as_millis(),
        })
    });
    signals.collect()
}

/// Ends what is left of a service whose shim was killed, and says when nothing is.
pub(super) fn clear_up(context: &Context, name: &str, generation: u64, inputs: &Inputs) {
    let instance = context.traces(name).instance().ok().flatten();
    let left = instance.filter(|i| i.generation == generation && is_of_this_run(&i.boot));
    let remaining = left.map(|i| sweep(&Left::of(&i), &steps(context, name))).unwrap_or_default();
    if remaining.is_empty() {
        drop(context.traces(name).remove_instance());
        inputs.send(Input::Machine(Event::Gone(name.to_owned(), generation)));
    } else {
        let pids = remaining.into_iter().map(|(pid, _)| pid).collect();
        inputs.send(Input::Machine(Event::Unkillable(name.to_owned(), generation, pids)));
    }
}

fn sweep(left: &Left, steps: &[Step]) -> Vec<(u32, String)> {
    left.end(steps)
}

/// Processes without a shim.
struct Left {
    session: Option<Identity>,
    marker: String,
}

impl Left {
    fn of(instance: &Instance) -> Self {
        Self {
            session: instance.process.clone(),
            marker: instance.marker(),
        }
    }

    fn find(&self) -> Vec<(u32, String)> {
        let session = self.session.as_ref().map(|i| (i.pid, i.token.as_str()));
        platform::leftovers(session, &self.marker)
    }

    /// Follows the signals of the recipe for the main process, then ends the others, firmly at last. Gives who stays.
    fn end(&self, steps: &[Step]) -> Vec<(u32, String)> {
        for step in steps {
            let Some(main) = self.session.as_ref().filter(|s| s.lives()) else { break };
            if let Act::Signal(signal) = &step.act {
                drop(platform::signal(main.pid, &main.token, signal));
            }
            let end = Instant::now() + Duration::from_millis(step.wait);
            while main.lives() && Instant::now() < end {
                thread::sleep(Duration::from_millis(20));
            }
        }
        for (signal, patience) in [(platform::DEFAULT_SIGNAL, 5), ("KILL", 1), ("KILL", 2)] {
            for (pid, token) in self.find() {
                drop(platform::signal(pid, &token, signal));
            }
            let end = Instant::now() + Duration::from_secs(patience);
            while !self.find().is_empty() && Instant::now() < end {
                thread::sleep(Duration::from_millis(20));
            }
        }
        self.find()
    }
}

/// Services that left traces and are no longer declared are ended too: nobody else would.
pub(super) fn end_undeclared(context: &Context) {
    let run = context.stack.layout.run();
    let traced = crate::instance::traced(&run).unwrap_or_default();
    for name in traced.into_iter().filter(|n| !context.stack.services.contains_key(n)) {
        if let Some(Trace::Instance(instance)) = trace(context, &name) {
            drop(wire::ask_once::<Instance>(&context.endpoint(&name), shim::Request::Stop, PATIENCE));
            let end = Instant::now() + ATTACH;
            while instance.shim.lives() && Instant::now() < end {
                thread::sleep(Duration::from_millis(20));
            }
            drop(files::remove_file(&run.join(format!("_instances/{name}.exit.json"))));
        }
    }
}
