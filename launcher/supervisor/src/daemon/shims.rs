//! Owns the daemon's side of shims: starting them, hearing them to their end, giving them orders.

use std::{
    fs::File,
    io,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use super::{Input, Inputs, attach, context::Context, prepare::Ready, sweep::Left};
use crate::{
    files,
    instance::{Instance, Phase, Role},
    machine::{Event, Exit, Failure, Reason, ReasonCode},
    place, platform,
    shim::{self, Answer, Refusal, RefusalKind, Spec},
    wire::{self, Lines, WireError},
};

/// A shim answers at once, or something is wrong.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How long a shim may take to start its program: a slow disk has to take the mark of its data first.
const BIRTH: Duration = Duration::from_mins(1);
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
            watch(context, &spec.service, generation, inputs);
            drop(child.wait());
        }
        Err(refusal) => {
            // A shim that no daemon had heard of yet when its daemon was killed.
            if refusal.kind == RefusalKind::Leased && attach::adopt(context, &name, inputs) {
                return;
            }
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
    command
        .arg(ROLE)
        .env_clear()
        .envs(&context.allowed)
        .current_dir(context.stack.layout.root());
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command.stderr(complaints(&context.stack.layout).map_or(Stdio::null(), Stdio::from));
    platform::detach(&mut command);
    let mut child = command.spawn().map_err(io_error("start a shim"))?;
    match answer(&mut child, spec, BIRTH) {
        Ok(Some(Answer::Started(instance))) => Ok((child, instance)),
        Ok(Some(Answer::Failed(refusal))) => {
            drop(child.wait());
            Err(refusal)
        }
        given_up => {
            drop(child.kill());
            drop(child.wait());
            // It may have come to starting something.
            Left::marked(&spec.nonce).end(&[]);
            drop(spec.traces.remove_instance());
            Err(other(match given_up {
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    format!("the shim gave no answer within {} s", BIRTH.as_secs())
                }
                _ => "the shim ended without an answer".to_owned(),
            }))
        }
    }
}

/// Tells a shim what to run and waits for its answer, not longer than `patience`; none if it ended without one.
fn answer(child: &mut Child, spec: &Spec, patience: Duration) -> Result<Option<Answer>, mpsc::RecvTimeoutError> {
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let (tell, told) = mpsc::channel();
    let spec = spec.clone();
    // Ends with the shim, which is killed if it is late.
    let talk = move || {
        let sent = stdin.map_or(Ok(()), |mut stdin| wire::send(&mut stdin, &spec));
        let answer = sent.and_then(|()| stdout.map_or(Ok(None), |stdout| Lines::new(stdout).next::<Answer>()));
        drop(tell.send(answer.unwrap_or_default()));
    };
    drop(thread::Builder::new().name("birth".to_owned()).spawn(talk));
    match told.recv_timeout(patience) {
        Err(mpsc::RecvTimeoutError::Disconnected) => Ok(None),
        other => other,
    }
}

/// Where programs of ours complain that have nowhere else to: `logs/_launcher/stderr.log`.
pub(crate) fn complaints(layout: &kojibox_state::Layout) -> io::Result<File> {
    let dir = files::make_log_dirs(layout, "_launcher").map_err(|e| e.source)?;
    platform::append_private(&dir.join("stderr.log"))
}

/// Hears a shim to its end.
pub(super) fn watch(context: &Context, name: &str, generation: u64, inputs: &Inputs) {
    loop {
        if hear(context, name, generation, inputs) {
            return;
        }
        // A connection may break, and an endpoint may be gone, although the shim lives.
        let instance = living(context, name).filter(|i| i.generation == generation && i.role == Role::Service);
        let Some(instance) = instance else { break };
        place::wake(&instance.shim);
        thread::sleep(Duration::from_millis(100));
    }
    // Its last word may be on disk only.
    let record = context.traces(name).exit().ok().flatten();
    match record.filter(|r| r.generation == generation && r.role == Role::Service) {
        Some(record) => ended(name, generation, record.exit, inputs),
        None => inputs.send(Input::Machine(Event::ShimLost(name.to_owned(), generation))),
    }
}

/// Passes on what the shim tells; true if that was its last word.
fn hear(context: &Context, name: &str, generation: u64, inputs: &Inputs) -> bool {
    let Ok(mut lines) = wire::ask(&context.endpoint(name), shim::Request::Watch) else {
        return false;
    };
    let mut gone = false;
    while let Ok(Some(state)) = lines.next::<Instance>() {
        if state.generation != generation || state.service != name {
            break;
        }
        gone = state.phase == Phase::Gone;
        inputs.send(Input::Told(state));
    }
    gone
}

/// The shim of `name`, if it lives.
fn living(context: &Context, name: &str) -> Option<Instance> {
    let instance = context.traces(name).instance().ok().flatten();
    instance.filter(|i| is_of_this_run(&i.boot) && i.shim.lives())
}

/// Asks the shim of `name`. One that lives and whose endpoint is gone is woken first.
pub(super) fn ask(context: &Context, name: &str, request: &shim::Request) -> Result<Instance, WireError> {
    let end = Instant::now() + PATIENCE;
    let mut woken = false;
    loop {
        let answer = wire::ask_once::<Instance>(&context.endpoint(name), request, PATIENCE);
        let lost = matches!(answer, Err(WireError::NoAnswer { .. })) && Instant::now() < end;
        let Some(instance) = living(context, name).filter(|_| lost) else {
            return answer;
        };
        if !std::mem::replace(&mut woken, true) {
            place::wake(&instance.shim);
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn ended(name: &str, generation: u64, exit: Exit, inputs: &Inputs) {
    inputs.send(Input::Machine(Event::Exited(name.to_owned(), generation, exit)));
    inputs.send(Input::Machine(Event::Gone(name.to_owned(), generation)));
}

/// Asks a shim to do something. Should it not answer although it lives, it is asked through the system.
pub(super) fn order(context: &Context, name: &str, request: &shim::Request) {
    if ask(context, name, request).is_ok() || matches!(request, shim::Request::Remember { .. }) {
        return;
    }
    if let Ok(Some(instance)) = context.traces(name).instance()
        && is_of_this_run(&instance.boot)
    {
        let signal = platform::DEFAULT_SIGNAL;
        drop(platform::signal(instance.shim.pid, &instance.shim.token, signal));
    }
}

pub(super) fn is_of_this_run(boot: &str) -> bool {
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
            killing = ask(context, &spec.service, &shim::Request::Kill).is_ok();
        }
    }
    drop(waiter.join());
    let record = spec.traces.exit().map_err(|e| e.to_string())?;
    drop(spec.traces.remove_exit());
    if let Some(record) = record.filter(|r| r.nonce == spec.nonce) {
        return Ok(record.exit);
    }
    // Its shim was killed: what it had started must not work on beside the next attempt.
    Left::marked(&spec.nonce).end(&[]);
    Err("the process that watched it was killed".to_owned())
}
