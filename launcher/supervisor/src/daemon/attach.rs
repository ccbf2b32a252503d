//! Owns finding shims again: what an earlier daemon left is verified before anything is believed or done.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{
    Input, Inputs,
    context::Context,
    shims::{ask, is_of_this_run, watch},
    sweep::{self, Left},
};
use crate::{
    diagnosis,
    instance::{ExitRecord, Instance, Phase, Role},
    machine::{Event, Exit, Found, Status},
    shim::{self, Step},
};

/// How long a shim that lives may take to answer.
const ATTACH: Duration = Duration::from_secs(5);

/// What an earlier daemon has left of a service.
pub(super) enum Trace {
    /// Its shim, to be asked.
    Instance(Box<Instance>),
    /// Only how it ended.
    Ended(ExitRecord),
}

impl Trace {
    fn is_alive(&self) -> bool {
        matches!(self, Self::Instance(instance) if instance.shim.lives())
    }
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
        drop(ask(context, &instance.service, &shim::Request::Kill));
        thread::sleep(Duration::from_millis(20));
    }
    Left::of(instance).end(&[]);
}

/// Finds the shim of `instance` again, verifies who answers, and stays with it; or says what became of it.
pub(super) fn attach(context: &Context, instance: &Instance, inputs: &Inputs) {
    let (name, generation) = (instance.service.clone(), instance.generation);
    Left::of_checks(instance).kill();
    let end = Instant::now() + ATTACH;
    while instance.shim.lives() {
        match ask(context, &name, &shim::Request::Hello) {
            Ok(answer) if is_same(instance, &answer) => {
                let found = alive(context, &answer);
                // Its checks need to know whom they ask.
                inputs.send(Input::Told(answer));
                inputs.send(Input::Machine(Event::Found(name.clone(), generation, found)));
                return watch(context, &name, generation, inputs);
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
    let exit = clear_up(context, instance, &sweep::steps(context, &name));
    let exit = exit.unwrap_or(Exit {
        status: Status::Unknown,
        port_clash: false,
        last_line: None,
    });
    inputs.send(Input::Machine(Event::Found(name, generation, Found::Ended(exit))));
}

/// Ends what a dead shim may have left, takes its trace away, and gives how its service ended, if it has said so.
fn clear_up(context: &Context, instance: &Instance, steps: &[Step]) -> Option<Exit> {
    let traces = context.traces(&instance.service);
    let record = traces.exit().ok().flatten();
    let exit = record.filter(|r| r.nonce == instance.nonce).map(|r| r.exit);
    if exit.is_none() {
        // It was killed while nobody watched.
        Left::of(instance).end(steps);
    }
    drop(traces.remove_instance());
    exit
}

/// Takes over a living shim that turned up only now. False if there is none.
pub(super) fn adopt(context: &Context, name: &str, inputs: &Inputs) -> bool {
    let Some(Trace::Instance(instance)) = trace(context, name).filter(Trace::is_alive) else {
        return false;
    };
    context.ports().adopt(name, &instance.ports);
    inputs.send(Input::Machine(Event::Reattach(name.to_owned(), instance.generation)));
    attach(context, &instance, inputs);
    true
}

fn is_same(left: &Instance, answer: &Instance) -> bool {
    (&left.nonce, &left.shim, &left.service, left.generation)
        == (&answer.nonce, &answer.shim, &answer.service, answer.generation)
}

fn alive(context: &Context, instance: &Instance) -> Found {
    let wanted = context.stack.services.get(&instance.service);
    let wanted = wanted.map(|definition| context.stack.program(definition));
    Found::Alive {
        outdated: instance.program.is_some() && instance.program != wanted,
        pid: instance.process.as_ref().map(|p| p.pid),
        ready: instance.memo.ready || instance.log_matched || instance.notified,
        since: instance.started,
        restarts: instance.memo.restarts,
        stopping: instance.phase != Phase::Running,
    }
}

/// Services that left traces and are no longer declared are ended too: nobody else would.
pub(super) fn end_undeclared(context: &Context) {
    let run = context.stack.layout.run();
    let traced = crate::instance::traced(&run).unwrap_or_default();
    for name in traced.into_iter().filter(|n| !context.stack.services.contains_key(n)) {
        if let Some(Trace::Instance(instance)) = trace(context, &name) {
            drop(ask(context, &name, &shim::Request::Stop));
            let end = Instant::now() + ATTACH;
            while instance.shim.lives() && Instant::now() < end {
                thread::sleep(Duration::from_millis(20));
            }
            if !instance.shim.lives() {
                clear_up(context, &instance, &[]);
                drop(context.traces(&name).remove_exit());
            }
        }
    }
}
