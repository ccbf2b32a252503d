//! Owns clearing up after a shim that was killed: what it had started ends gently, and surely.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{Input, Inputs, context::Context, shims::is_of_this_run};
use crate::{
    instance::{Identity, Instance, MARKER},
    machine::Event,
    platform, probe,
    shim::{Act, Step},
    stack::Definition,
};

/// The signals of the recipe of `name`; a shim that is gone runs no programs.
pub(super) fn steps(context: &Context, name: &str) -> Vec<Step> {
    let declared = context
        .stack
        .services
        .get(name)
        .map(Definition::stop_steps)
        .unwrap_or_default();
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
    let remaining = left
        .map(|i| Left::of(&i).end(&steps(context, name)))
        .unwrap_or_default();
    if remaining.is_empty() {
        drop(context.traces(name).remove_instance());
        inputs.send(Input::Machine(Event::Gone(name.to_owned(), generation)));
    } else {
        let pids = remaining.into_iter().map(|(pid, _)| pid).collect();
        inputs.send(Input::Machine(Event::Unkillable(name.to_owned(), generation, pids)));
    }
}

/// Processes without a shim.
pub(super) struct Left {
    pub(super) session: Option<Identity>,
    pub(super) marker: String,
}

impl Left {
    pub(super) fn of(instance: &Instance) -> Self {
        Self {
            session: instance.process.clone(),
            marker: instance.marker(),
        }
    }

    /// What bears this mark.
    pub(super) fn marked(nonce: &str) -> Self {
        Self {
            session: None,
            marker: format!("{MARKER}={nonce}"),
        }
    }

    /// What the checks of an earlier daemon have started.
    pub(super) fn of_checks(instance: &Instance) -> Self {
        Self::marked(&probe::mark(&instance.nonce))
    }

    /// Ends all of it at once.
    pub(super) fn kill(&self) {
        for (pid, token) in self.find() {
            drop(platform::signal(pid, &token, "KILL"));
        }
    }

    fn find(&self) -> Vec<(u32, String)> {
        let session = self.session.as_ref().map(|i| (i.pid, i.token.as_str()));
        platform::leftovers(session, &self.marker)
    }

    /// Follows the signals of the recipe for the main process, then ends the others, firmly at last. Gives who stays.
    pub(super) fn end(&self, steps: &[Step]) -> Vec<(u32, String)> {
        for step in steps {
            let Some(main) = self.session.as_ref().filter(|s| s.lives()) else {
                break;
            };
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
