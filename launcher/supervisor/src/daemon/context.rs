//! Owns what every part of the daemon needs: the stack, its ports and secrets, and who we are.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    clock::Clock,
    data,
    files::FileError,
    fill::Filler,
    instance::Traces,
    place::{self, Place},
    platform,
    ports::Ports,
    secrets::Secrets,
    stack::{Definition, Stack},
};

/// What every part of the daemon needs.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) stack: Stack,
    pub(super) secrets: Secrets,
    pub(super) ports: Mutex<Ports>,
    /// What services may see of the outer environment.
    pub(super) allowed: BTreeMap<String, String>,
    /// The program that is started as a shim.
    pub(super) exe: PathBuf,
    /// Directory of the sockets; another one if it went away.
    pub(super) sockets: Mutex<PathBuf>,
    pub(super) clock: Clock,
    /// Changes data directories.
    pub(super) disk: data::Real,
}

impl Context {
    pub(super) fn ports(&self) -> MutexGuard<'_, Ports> {
        self.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn sockets(&self) -> PathBuf {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Finds a directory for sockets again, and tells everybody where it is.
    pub(super) fn find_sockets(&self) -> Result<PathBuf, FileError> {
        let root = self.stack.layout.root();
        let dir = place::choose(
            root,
            &self.stack.install,
            self.stack.services.keys().map(String::as_str),
        )?;
        if dir != self.sockets() || Place::read(root).is_none() {
            self.sockets
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone_from(&dir);
            Place::write(root, &dir)?;
        }
        Ok(dir)
    }

    pub(super) fn traces(&self, service: &str) -> Traces {
        Traces::new(&self.stack.layout.run(), service)
    }

    pub(super) fn endpoint(&self, service: &str) -> PathBuf {
        place::shim_endpoint(&self.sockets(), service)
    }

    /// Where a service says that it is ready.
    pub(super) fn notify_socket(&self, service: &str) -> PathBuf {
        platform::endpoint(&self.sockets(), &format!("n-{service}"))
    }

    /// Fills placeholders for a service whose data is in its final place.
    pub(super) fn filler<'a>(&'a self, definition: &'a Definition, ports: &'a BTreeMap<String, u16>) -> Filler<'a> {
        let service = definition.service.id.as_str();
        Filler {
            stack: &self.stack,
            service,
            component: &definition.service.component,
            data: self.stack.layout.service_data(service).join(definition.format()),
            data_old: None,
            component_old: None,
            ports,
            secrets: &self.secrets,
        }
    }
}
