//! Owns carrying out decisions: everything slow runs on a thread of its own and reports when it is done.

use std::{
    panic::{self, AssertUnwindSafe},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::task::AbortHandle;

use super::{Input, prepare, serve::Daemon, shims, sweep};
use crate::{
    environment,
    instance::Memo,
    machine::{Action, Event, Failure, Reason, ReasonCode, Which},
    probe::{self, Surroundings},
    shim,
};

impl Daemon {
    pub(super) fn act(&mut self, action: Action) {
        let (context, inputs) = (Arc::clone(&self.context), self.inputs.clone());
        match action {
            Action::Prepare(name, generation, avoid) => {
                let abort = Arc::new(AtomicBool::new(false));
                self.aborts.insert(name.clone(), Arc::clone(&abort));
                beside(move || {
                    let prepared = unless_panicked(|| prepare::prepare(&context, &name, generation, avoid, &abort));
                    match prepared.unwrap_or_else(|| Err(defect())) {
                        Ok(ready) => inputs.send(Input::Ready(Box::new(ready))),
                        Err(failure) => inputs.send(Input::Machine(Event::PrepareFailed(name, generation, failure))),
                    }
                });
            }
            Action::Abort(name, _) => {
                if let Some(abort) = self.aborts.get(&name) {
                    abort.store(true, Ordering::SeqCst);
                }
            }
            Action::Spawn(name, generation) => {
                if let Some(mut ready) = self.ready.remove(&name) {
                    ready.spec.restarts = self.machine.services().get(&name).map_or(0, |s| s.restarts);
                    beside(move || {
                        if unless_panicked(|| shims::start(&context, ready, &inputs)).is_none() {
                            inputs.send(Input::Machine(Event::ShimLost(name, generation)));
                        }
                    });
                }
            }
            Action::Stop(name, _) => {
                self.give_up_probes(&name);
                beside(move || shims::order(&context, &name, &shim::Request::Stop));
            }
            Action::Kill(name, _) => {
                self.give_up_probes(&name);
                beside(move || shims::order(&context, &name, &shim::Request::Kill));
            }
            Action::Sweep(name, generation) => {
                self.give_up_probes(&name);
                beside(move || sweep::clear_up(&context, &name, generation, &inputs));
            }
            Action::Remember(name, _) => {
                let restarts = self.machine.services().get(&name).map_or(0, |s| s.restarts);
                let memo = Memo { ready: true, restarts };
                beside(move || shims::order(&context, &name, &shim::Request::Remember { memo }));
            }
            Action::Probe(name, generation, which) => self.probe(name, generation, which),
        }
    }

    /// What is being stopped is not asked any more.
    pub(super) fn give_up_probes(&mut self, name: &str) {
        self.probes.remove(name).iter().flatten().for_each(AbortHandle::abort);
    }

    fn probe(&mut self, name: String, generation: u64, which: Which) {
        let prepared = self.prepare_probe(&name, which);
        let to_us = self.inputs.0.clone();
        let under_way = self.probes.entry(name.clone()).or_default();
        let make = async move {
            let answer = match prepared {
                Ok((probe, around)) => probe::check(probe, around).await,
                Err(why) => Err(why),
            };
            drop(
                to_us
                    .send(Input::Machine(Event::Probed(name, generation, which, answer)))
                    .await,
            );
        };
        // Before the loop runs nothing is probed: a service is found again only by an input.
        under_way.retain(|p| !p.is_finished());
        under_way.push(tokio::spawn(make).abort_handle());
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
            patience: liveness.map_or(Duration::from_secs(5), kojibox_packs::manifest::Span::duration),
        };
        Ok((probe, around))
    }
}

/// Does `work`; none if that panicked, which has been told to `logs/_launcher/stderr.log` by then.
pub(super) fn unless_panicked<T>(work: impl FnOnce() -> T) -> Option<T> {
    panic::catch_unwind(AssertUnwindSafe(work)).ok()
}

/// What a panic means for the service it happened to.
fn defect() -> Failure {
    Failure {
        reason: Reason::new(
            ReasonCode::Io,
            "the launcher has a defect; see `logs/_launcher/stderr.log`",
            "tell its publisher",
        ),
        permanent: false,
    }
}

/// Runs something slow on a thread of its own.
pub(super) fn beside(work: impl FnOnce() + Send + 'static) {
    let started = thread::Builder::new().name("work".to_owned()).spawn(work);
    started.map(drop).expect("the system gives the daemon its threads");
}
