//! Owns the processes of one service on macOS: process groups, kept from being reused by leaving their leader unreaped.
//!
//! *Limitations*: there is no subreaper and no signal at the death of a parent. A program that makes a session of its
//! own leaves the group and is not found; what a killed shim leaves is found by its session.

use std::{
    collections::HashMap,
    ffi::{c_int, c_void},
    fs::{self, File},
    io,
    os::{
        fd::{AsFd, AsRawFd as _},
        unix::process::CommandExt as _,
    },
    path::Path,
    process::Command,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rustix::process::{self as rx, Pid, Signal, WaitId, WaitIdOptions};

use super::{Listening, signals::named};
use crate::machine::Status;

/// Keeps the processes of one service: starts them, sees them end, signals them.
///
/// The leader of each group stays a zombie until its group is empty: so its number, which names the group, belongs to
/// nobody else meanwhile.
#[derive(Debug)]
pub(crate) struct Keeper {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    started: Vec<u32>,
    ended: HashMap<u32, Status>,
    empty: bool,
}

impl Keeper {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            inner: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a member in a session of its own. Nothing is sent to it should the keeper end first.
    #[expect(unsafe_code, reason = "`pre_exec` is the only way to act between fork and exec")]
    pub(crate) fn start(&self, command: &mut Command, last_wish: &str) -> io::Result<u32> {
        named(last_wish)?;
        let mut inner = self.lock();
        if inner.empty {
            return Err(io::Error::other("the group has ended"));
        }
        // SAFETY: setsid is async-signal-safe, and the closure allocates nothing.
        unsafe {
            command.pre_exec(|| rx::setsid().map(drop).map_err(io::Error::from));
        }
        let child = command.spawn()?;
        inner.started.push(child.id());
        Ok(child.id())
    }

    /// Watches until nobody is left. Everything else happens on other threads meanwhile.
    pub(crate) fn keep(&self) {
        let first = self.lock().started.first().copied().and_then(pid_of);
        if let Some(first) = first {
            // Whatever it says, the loop below looks for itself.
            let _ = rx::waitid(WaitId::Pid(first), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
        }
        loop {
            let mut inner = self.lock();
            for pid in inner.started.clone() {
                if let Some(status) = status_of(pid) {
                    inner.ended.insert(pid, status);
                }
            }
            if inner.ended.len() == inner.started.len() && inner.started.iter().all(|pid| group(*pid).is_empty()) {
                for pid in inner.started.drain(..).filter_map(pid_of) {
                    let _ = rx::waitid(WaitId::Pid(pid), WaitIdOptions::EXITED);
                }
                inner.empty = true;
            }
            self.changed.notify_all();
            if inner.empty {
                return;
            }
            let waited = self.changed.wait_timeout(inner, Duration::from_millis(20));
            drop(waited.unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Waits until `pid` has ended, `stop` says so (asked again after every change and poke), or time is over.
    pub(crate) fn wait(&self, pid: u32, until: Option<Instant>, stop: impl Fn() -> bool) -> Option<Status> {
        self.wait_for(until, |inner| inner.ended.contains_key(&pid) || inner.empty || stop());
        let inner = self.lock();
        let status = inner.ended.get(&pid).copied();
        status.or_else(|| inner.empty.then_some(Status::Unknown))
    }

    /// Waits until nobody is left; false if time is over first.
    pub(crate) fn wait_empty(&self, until: Instant, stop: impl Fn() -> bool) -> bool {
        self.wait_for(Some(until), |inner| inner.empty || stop());
        self.lock().empty
    }

    fn wait_for(&self, until: Option<Instant>, done: impl Fn(&Inner) -> bool) {
        let mut inner = self.lock();
        while !done(&inner) {
            let left = until.map_or(Duration::from_hours(1), |u| u.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return;
            }
            let waited = self.changed.wait_timeout(inner, left);
            inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Wakes everyone who waits.
    pub(crate) fn poke(&self) {
        let _held = self.lock();
        self.changed.notify_all();
    }

    /// Signals one started member; it has not been reaped, so its number is its own.
    pub(crate) fn signal(&self, pid: u32, signal: &str) -> io::Result<()> {
        let signal = named(signal)?;
        let inner = self.lock();
        match pid_of(pid).filter(|_| inner.started.contains(&pid) && !inner.ended.contains_key(&pid)) {
            Some(pid) => rx::kill_process(pid, signal).map_err(io::Error::from),
            None => Ok(()),
        }
    }

    /// Signals every process of the group, softly or for good.
    pub(crate) fn signal_all(&self, hard: bool) {
        let signal = if hard { Signal::KILL } else { Signal::TERM };
        for pid in self.lock().started.iter().copied().filter_map(pid_of) {
            let _ = rx::kill_process_group(pid, signal);
        }
    }

    /// Every living process of the group.
    pub(crate) fn members(&self) -> Vec<u32> {
        self.lock().started.iter().flat_map(|pid| group(*pid)).collect()
    }
}

fn status_of(pid: u32) -> Option<Status> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    let status = rx::waitid(WaitId::Pid(pid_of(pid)?), options).ok().flatten()?;
    Some(match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Status::Code(code),
        (_, Some(signal)) => Status::Signal(signal),
        _ => Status::Unknown,
    })
}

fn pid_of(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

/// Start times are absolute and in microseconds here, so that they tell processes of different runs apart.
pub(crate) fn boot_id() -> io::Result<String> {
    Ok("macos".to_owned())
}

const BY_GROUP: u32 = 2;
const BY_PARENT: u32 = 6;
const ALL: u32 = 1;
const BASIC_INFO: c_int = 3;
const ZOMBIE: u32 = 5;

/// `struct proc_bsdinfo` of `<sys/proc_info.h>`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct BasicInfo {
    flags: u32,
    status: u32,
    /// Exit status, ids of process, parent, users and groups, one reserved.
    numbers: [u32; 10],
    /// Short and long name.
    names: [[u8; 16]; 3],
    /// Open files, group, job control, terminal and its group, niceness.
    more: [u32; 6],
    start_seconds: u64,
    start_microseconds: u64,
}

#[expect(unsafe_code, reason = "libSystem's functions about processes have no safe wrapper")]
// SAFETY: declared as in `<libproc.h>` and `<unistd.h>`; part of libSystem, which every program links.
unsafe extern "C" {
    fn proc_listpids(kind: u32, of: u32, buffer: *mut c_void, size: c_int) -> c_int;
    fn proc_pidinfo(pid: c_int, flavor: c_int, argument: u64, buffer: *mut c_void, size: c_int) -> c_int;
    fn getpeereid(socket: c_int, user: *mut u32, group: *mut u32) -> c_int;
}

#[expect(unsafe_code, reason = "libSystem's functions about processes have no safe wrapper")]
fn list(kind: u32, of: u32) -> Vec<u32> {
    let mut pids = vec![0_u32; 8192];
    let size = c_int::try_from(pids.len() * size_of::<u32>()).unwrap_or(0);
    // SAFETY: the buffer has `size` bytes, and a process id is 4 bytes.
    let bytes = unsafe { proc_listpids(kind, of, pids.as_mut_ptr().cast(), size) };
    pids.truncate(usize::try_from(bytes).unwrap_or(0) / size_of::<u32>());
    pids.retain(|pid| *pid != 0);
    pids
}

#[expect(unsafe_code, reason = "libSystem's functions about processes have no safe wrapper")]
fn info(pid: u32) -> Option<BasicInfo> {
    let mut info = BasicInfo::default();
    let size = c_int::try_from(size_of::<BasicInfo>()).ok()?;
    let pid = c_int::try_from(pid).ok()?;
    // SAFETY: the structure has the layout of `proc_bsdinfo` and `size` bytes; any bytes are valid for it.
    let bytes = unsafe { proc_pidinfo(pid, BASIC_INFO, 0, (&raw mut info).cast(), size) };
    (bytes == size).then_some(info)
}

/// When the process was started, in the finest unit there is; absent if it has ended.
pub(crate) fn start_token(pid: u32) -> Option<String> {
    let info = info(pid).filter(|i| i.status != ZOMBIE)?;
    Some(format!("{}.{:06}", info.start_seconds, info.start_microseconds))
}

/// Living members of a process group.
fn group(leader: u32) -> Vec<u32> {
    list(BY_GROUP, leader)
        .into_iter()
        .filter(|pid| start_token(*pid).is_some())
        .collect()
}

/// The living processes below `top`, itself included.
pub(crate) fn tree(top: u32) -> Vec<u32> {
    let mut all = vec![top];
    let mut next = 0;
    while let Some(pid) = all.get(next) {
        all.extend(list(BY_PARENT, *pid));
        next += 1;
    }
    all.retain(|pid| start_token(*pid).is_some());
    all
}

/// Makes the command's process a session of its own. Nothing is sent to it should its parent end first.
pub(crate) fn die_with_parent(command: &mut Command) {
    super::detach(command);
}

/// Living processes of the session of a service whose keeper is gone.
pub(crate) fn leftovers(session: Option<(u32, &str)>, _marker: &str) -> Vec<(u32, String)> {
    let Some((leader, token)) = session else {
        return Vec::new();
    };
    if start_token(leader).is_some_and(|now| now != token) {
        return Vec::new();
    }
    let of_session = |pid: &u32| {
        let session = rx::getsid(pid_of(*pid)).ok().map(|s| s.as_raw_nonzero().get());
        session == i32::try_from(leader).ok()
    };
    let all = list(ALL, 0).into_iter().filter(of_session);
    all.filter_map(|pid| Some((pid, start_token(pid)?))).collect()
}

/// Signals a process that is not our child, if it is still the one that was started at `token`.
pub(crate) fn signal(pid: u32, token: &str, signal: &str) -> io::Result<()> {
    let signal = named(signal)?;
    match pid_of(pid).filter(|_| start_token(pid).as_deref() == Some(token)) {
        Some(pid) => rx::kill_process(pid, signal).map_err(io::Error::from),
        None => Ok(()),
    }
}

/// Who listens on a TCP port of this machine is not asked here.
pub(crate) fn listener(_port: u16) -> Listening {
    Listening::Unknown
}

/// Makes everything below `dir` durable, down to the medium itself.
pub(crate) fn sync_volume(dir: &File, path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let (entry, kind) = entry.and_then(|e| e.file_type().map(|k| (e, k)))?;
        if kind.is_dir() {
            sync_volume(&File::open(entry.path())?, &entry.path())?;
        } else if kind.is_file() {
            File::open(entry.path())?.sync_all()?;
        }
    }
    rustix::fs::fcntl_fullfsync(dir).map_err(io::Error::from)
}

/// The socket through which a service says that it is ready; this system does not say who sent a
/// datagram, so anyone could say it.
#[derive(Debug)]
pub(crate) enum Notices {}

impl Notices {
    /// Cannot listen here.
    pub(crate) fn bind(_path: &Path) -> io::Result<Self> {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "the check `notify` works on Linux only",
        ))
    }

    /// Is never asked.
    pub(crate) fn next(&self, _buffer: &mut [u8], _top: u32, _patience: Duration) -> io::Result<Option<usize>> {
        match *self {}
    }
}

/// User of the process at the other end.
#[expect(unsafe_code, reason = "`getpeereid` has no safe wrapper")]
pub(crate) fn peer_uid(stream: &impl AsFd) -> io::Result<u32> {
    let (mut user, mut group) = (0, 0);
    // SAFETY: the descriptor is open as long as `stream` is borrowed, and both places are valid for writing.
    let result = unsafe { getpeereid(stream.as_fd().as_raw_fd(), &raw mut user, &raw mut group) };
    if result == 0 {
        Ok(user)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Makes the new file `to` share the blocks of `from`; false, and no `to`, where the file system cannot.
pub(crate) fn clone_file(from: &Path, to: &Path) -> io::Result<bool> {
    use rustix::io::Errno;
    let source = File::open(from)?;
    match rustix::fs::fclonefileat(&source, rustix::fs::CWD, to, rustix::fs::CloneFlags::empty()) {
        Ok(()) => Ok(true),
        Err(Errno::NOTSUP | Errno::OPNOTSUPP | Errno::XDEV | Errno::INVAL | Errno::NOSYS) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
