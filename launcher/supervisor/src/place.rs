//! Owns where our processes meet: the directory of their sockets, and the document that says where it is and who the daemon is.
//!
//! `run/_instances/daemon.place` is written by each daemon before it listens. Everybody else reads it instead of guessing:
//! which directories there are changes with logins, and services outlive those. The sockets are in the install root itself,
//! which lives as long as they do; where its path is too long for a socket or its file system has none, in a short
//! directory elsewhere. A process whose socket is gone makes it anew when it is woken.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};

use crate::{
    files::{self, FileError, failed},
    instance::{self, Identity},
    platform::{self, Listener, Stream},
};

/// Name of the daemon's endpoint.
const DAEMON: &str = "daemon";
/// The directory of sockets in an install root.
const OWN: &str = "run/_sockets";

/// Where one daemon and its shims listen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// Relative to the install root, so that it may be moved; absolute if it is elsewhere.
    dir: PathBuf,
    /// Names the root: in a copy of it, this is about somebody else.
    key: String,
    boot: String,
    pub(crate) daemon: Identity,
}

impl Place {
    /// The place of the newest daemon of `root`, living or not; none if it never had one since the system started.
    pub(crate) fn read(root: &Path) -> Option<Self> {
        let place: Self = files::read_json(&file(root)).ok().flatten()?;
        let own = platform::root_key(root).is_ok_and(|key| key == place.key);
        let now = platform::boot_id().is_ok_and(|boot| boot == place.boot);
        (own && now).then_some(place)
    }

    /// Writes down that this process is the daemon of `root` and that sockets are in `dir`.
    pub(crate) fn write(root: &Path, dir: &Path) -> Result<(), FileError> {
        let name = file(root);
        let unknown = || io::Error::other("this process cannot be identified");
        let daemon = Identity::of(std::process::id()).ok_or_else(unknown);
        let place = Self {
            dir: dir.strip_prefix(root).unwrap_or(dir).to_owned(),
            key: platform::root_key(root).map_err(failed("identify", root))?,
            boot: platform::boot_id().map_err(failed("describe the system in", &name))?,
            daemon: daemon.map_err(failed("describe the daemon in", &name))?,
        };
        files::write_json(&name, &place)
    }

    /// There is no daemon any more, and nothing that one would have to find.
    pub(crate) fn remove(root: &Path) -> Result<(), FileError> {
        files::remove_file(&file(root))
    }

    /// Where the daemon of `root` listens.
    pub(crate) fn daemon_endpoint(&self, root: &Path) -> PathBuf {
        daemon_endpoint(&self.dir(root))
    }

    /// The directory of the sockets.
    pub(crate) fn dir(&self, root: &Path) -> PathBuf {
        root.join(&self.dir)
    }

    /// Lets the daemon look whether its socket is still there, and go on if somebody suspended it.
    pub(crate) fn wake_daemon(&self) {
        wake(&self.daemon);
    }
}

fn file(root: &Path) -> PathBuf {
    instance::dir(&root.join("run")).join("daemon.place")
}

/// Lets a process of ours look whether its socket is still there. A process that knows no such word is not harmed by it.
pub(crate) fn wake(process: &Identity) {
    drop(platform::signal(process.pid, &process.token, "CONT"));
}

/// Where the daemon listens below `dir`.
pub(crate) fn daemon_endpoint(dir: &Path) -> PathBuf {
    platform::endpoint(dir, DAEMON)
}

/// Where the shim of `service` listens below `dir`.
pub(crate) fn shim_endpoint(dir: &Path, service: &str) -> PathBuf {
    platform::endpoint(dir, &format!("s-{service}"))
}

/// Makes or finds a private directory for the sockets of `root`, in which those of `services` fit.
pub(crate) fn choose<'a>(
    root: &Path,
    install: &str,
    services: impl Iterator<Item = &'a str>,
) -> Result<PathBuf, FileError> {
    let longest = services.map(str::len).max().unwrap_or(0) + "s-".len();
    let mut last = None;
    for dir in candidates(root, install)? {
        match platform::socket_dir(&dir, longest.max(DAEMON.len())) {
            Ok(()) => return Ok(dir),
            Err(error) => last = Some(failed("put sockets into", &dir)(error)),
        }
    }
    Err(last.unwrap_or_else(|| failed("find a place for the sockets of", root)(io::ErrorKind::NotFound.into())))
}

/// Where sockets may be, the best place first.
pub(crate) fn candidates(root: &Path, install: &str) -> Result<Vec<PathBuf>, FileError> {
    let key = platform::root_key(root).map_err(failed("identify", root))?;
    let short = install.get(..8).unwrap_or(install);
    Ok(platform::socket_dirs(&root.join(OWN), &format!("{short}{key}")))
}

/// An endpoint that can be made anew while it is served.
#[derive(Debug)]
pub(crate) struct Door(Mutex<(PathBuf, Arc<Listener>)>);

impl Door {
    /// Listens at `endpoint`.
    pub(crate) fn open(endpoint: &Path) -> io::Result<Self> {
        let listener = Arc::new(Listener::bind(endpoint)?);
        Ok(Self(Mutex::new((endpoint.to_owned(), listener))))
    }

    fn lock(&self) -> MutexGuard<'_, (PathBuf, Arc<Listener>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next connection of the same user.
    pub(crate) fn accept(&self) -> io::Result<Stream> {
        loop {
            let listener = Arc::clone(&self.lock().1);
            match listener.accept() {
                // Another one took its place.
                Err(_) if !Arc::ptr_eq(&listener, &self.lock().1) => {}
                other => return other,
            }
        }
    }

    /// Listens at `endpoint` from now on, if nobody can be reached there.
    pub(crate) fn keep_at(&self, endpoint: &Path) -> io::Result<()> {
        if platform::connect(endpoint).is_ok() {
            return Ok(());
        }
        let listener = Arc::new(Listener::bind(endpoint)?);
        let (_, old) = std::mem::replace(&mut *self.lock(), (endpoint.to_owned(), listener));
        old.close();
        Ok(())
    }

    /// Takes the endpoint away.
    pub(crate) fn remove(&self) {
        let (endpoint, listener) = &*self.lock();
        listener.remove(endpoint);
    }
}
