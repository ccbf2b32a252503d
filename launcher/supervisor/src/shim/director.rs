//! Owns the end of a service: the stop recipe step by step, then whatever is left of the group.

use std::{
    process::Stdio,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use super::{Act, Order, Shared, Step, command_of, pump::Pump};
use crate::{
    instance::Phase,
    machine::{Exit, Status},
};

/// How long the last words of the program may take to be read.
const READ: Duration = Duration::from_millis(500);
/// What is left after the main process gets this long to end softly.
const SOFT: Duration = Duration::from_secs(5);
/// How long a killed group may take before it counts as unkillable.
const HARD: Duration = Duration::from_secs(2);

/// Waits for the main process to end or for an order, and brings the group to its end.
pub(super) fn run(shared: &Shared, pump: &Pump) {
    let Some(main) = shared.lock().process.as_ref().map(|p| p.pid) else {
        return;
    };
    let ordered = |at_least: Order| move || shared.control.ordered() >= at_least;
    let mut status = shared.keeper.wait(main, None, ordered(Order::Stop));
    if status.is_none() {
        shared.change(|s| s.phase = Phase::Stopping);
        status = follow_recipe(shared, pump, main);
    }
    if status.is_none() {
        pump.say("the stop recipe is over; killing the group");
        shared.killed.store(true, Ordering::SeqCst);
        shared.keeper.signal_all(true);
        status = shared.keeper.wait(main, Some(Instant::now() + HARD), || false);
    }
    if let Some(status) = status {
        pump.say(format!("process {main} {status}"));
        tell_exit(shared, pump, status);
    }
    clear(shared, pump);
}

/// Goes through the recipe until the main process has ended; gives up when someone wants it killed.
fn follow_recipe(shared: &Shared, pump: &Pump, main: u32) -> Option<Status> {
    for step in &shared.spec.stop {
        if shared.control.ordered() >= Order::Kill {
            break;
        }
        let until = Instant::now() + Duration::from_millis(step.wait);
        act(shared, pump, main, step);
        let killed = || shared.control.ordered() >= Order::Kill;
        if let Some(status) = shared.keeper.wait(main, Some(until), killed) {
            return Some(status);
        }
    }
    None
}

fn act(shared: &Shared, pump: &Pump, main: u32, step: &Step) {
    let done = match &step.act {
        Act::Signal(signal) => {
            pump.say(format!("stopping: signal {signal}"));
            shared.keeper.signal(main, signal)
        }
        Act::Run(words) => {
            pump.say(format!("stopping: `{}`", words.join(" ")));
            command_of(&shared.spec, words).and_then(|mut command| {
                command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                shared.keeper.start(&mut command, "KILL").map(drop)
            })
        }
    };
    if let Err(error) = done {
        pump.say(format!("stopping: that failed: {error}"));
    }
}

fn tell_exit(shared: &Shared, pump: &Pump, status: Status) {
    let told = pump.told_in_the_end(READ);
    let exit = Exit {
        status,
        port_clash: told.port_clash,
        last_line: told.last_line,
    };
    shared.change(|s| {
        s.phase = Phase::Stopping;
        s.exit = Some(exit);
    });
}

/// Ends what the main process left behind.
fn clear(shared: &Shared, pump: &Pump) {
    let keeper = &shared.keeper;
    // Children that end with their parent need a moment to do so.
    if keeper.wait_empty(Instant::now() + Duration::from_millis(50), || false) {
        return;
    }
    let left = keeper.members();
    if !left.is_empty() {
        pump.say(format!("ending {} more processes of the group", left.len()));
    }
    let killed = || shared.control.ordered() >= Order::Kill;
    if !killed() {
        keeper.signal_all(false);
        if keeper.wait_empty(Instant::now() + SOFT, killed) {
            return;
        }
    }
    let mut first = true;
    loop {
        keeper.signal_all(true);
        if keeper.wait_empty(Instant::now() + HARD, || false) {
            return;
        }
        let left = keeper.members();
        if first && !left.is_empty() {
            pump.say(format!("{} processes do not end", left.len()));
            shared.change(|s| s.unkillable = left);
            first = false;
        }
    }
}
