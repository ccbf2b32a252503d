//! Owns what is told: to clients who ask, to everyone who watches, and to the next daemon.

use std::path::PathBuf;

use super::{
    mailbox::Outbox,
    serve::{Daemon, Notes},
};
use crate::{
    api::{Hello, Reply, Request, Status},
    files, instance,
    machine::{Desired, Event, State},
};

impl Daemon {
    pub(super) fn asked(&mut self, request: Request, replies: Outbox) {
        if let Err(reply) = self.check(&request) {
            replies.put(reply);
            return;
        }
        let watches = !matches!(
            request,
            Request::Hello | Request::Status | Request::Force | Request::Leave
        );
        match request {
            Request::Hello => drop(replies.put(Reply::Hello(self.hello()))),
            Request::Status | Request::Watch => {}
            Request::Up { services } => {
                self.closing = false;
                let named = !services.is_empty();
                let services = if named {
                    services
                } else {
                    self.context.stack.autostarted()
                };
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
        replies.put(Reply::Status(self.last.clone()));
        if watches {
            self.watchers.push(replies);
        }
    }

    fn check(&self, request: &Request) -> Result<(), Reply> {
        let (Request::Up { services } | Request::Down { services } | Request::Restart { services }) = request else {
            return Ok(());
        };
        let known = &self.context.stack.services;
        let Some(odd) = services.iter().find(|s| !known.contains_key(*s)) else {
            return Ok(());
        };
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

    /// Tells everyone who watches, and the next daemon, what changed.
    pub(super) fn tell(&mut self) {
        let now = Status::of(&self.machine, &self.context.ports().all());
        if now != self.last {
            self.last = now;
            let status = Reply::Status(self.last.clone());
            self.watchers.retain(|w| w.put(status.clone()));
        }
        let services = self.machine.services();
        let up = services
            .iter()
            .filter(|(_, s)| s.desired == Desired::Up)
            .map(|(n, _)| n.clone());
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

    pub(super) fn notes_file(&self) -> PathBuf {
        instance::dir(&self.context.stack.layout.run()).join("daemon.state")
    }
}
