//! Owns the processes of one service on Linux: a subreaper that sees every end, `/proc` for who is who.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    io,
    os::{fd::AsFd, unix::process::CommandExt as _},
    path::Path,
    process::Command,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rustix::process::{self as rx, Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitOptions, WaitStatus};

use super::{Listening, Owner, signals::named};
use crate::machine::Status;

/// Keeps the processes of one service: starts them, sees them end, signals them.
///
/// As a subreaper it becomes the parent of every orphan below it, so that "no children" means that nobody is left,
/// however often a program forked away. Children are reaped and signalled under one lock: a process id that is
/// signalled has not been given to anyone else.
#[derive(Debug)]
pub(crate) struct Keeper {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    started: HashSet<u32>,
    ended: HashMap<u32, Status>,
    empty: bool,
}

impl Keeper {
    /// Makes this process the keeper of everything it starts.
    pub(crate) fn new() -> io::Result<Self> {
        rx::set_child_subreaper(Some(rx::getpid()))?;
        Ok(Self {
            inner: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a member in a session of its own. `last_wish` is the signal it gets from the kernel should the keeper's
    /// starting thread end first.
    #[expect(unsafe_code, reason = "`pre_exec` is the only way to act between fork and exec")]
    pub(crate) fn start(&self, command: &mut Command, last_wish: &str) -> io::Result<u32> {
        let wish = named(last_wish)?;
        let keeper = rx::getpid();
        let prepare = move || {
            rx::setsid()?;
            rx::set_parent_process_death_signal(Some(wish))?;
            // The keeper may have ended before the line above.
            if rx::getppid() != Some(keeper) {
                return Err(io::Error::from(rustix::io::Errno::SRCH));
            }
            Ok(())
        };
        let mut inner = self.lock();
        if inner.empty {
            return Err(io::Error::other("the group has ended"));
        }
        // SAFETY: setsid, prctl and getppid are async-signal-safe, and the closure allocates nothing.
        unsafe { command.pre_exec(prepare) };
        // A child that cannot exec is waited for by `spawn` itself, which the lock keeps `keep` away from.
        let child = command.spawn()?;
        inner.started.insert(child.id());
        Ok(child.id())
    }

    /// Reaps until nobody is left. Everything else happens on other threads meanwhile.
    pub(crate) fn keep(&self) {
        loop {
            let any = rx::waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
            let mut inner = self.lock();
            while let Ok(Some((pid, status))) = rx::wait(WaitOptions::NOHANG) {
                let pid = pid.as_raw_nonzero().get().cast_unsigned();
                // Orphans that came to us are nobody's business any more.
                if inner.started.remove(&pid) {
                    inner.ended.insert(pid, status_of(status));
                }
            }
            let nobody = rx::waitid(
                WaitId::All,
                WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG,
            );
            if any.is_err_and(|e| e == rustix::io::Errno::CHILD) && nobody.is_err() {
                inner.empty = true;
            }
            self.changed.notify_all();
            if inner.empty {
                return;
            }
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

    /// Signals one started member that has not been reaped.
    pub(crate) fn signal(&self, pid: u32, signal: &str) -> io::Result<()> {
        let signal = named(signal)?;
        let inner = self.lock();
        match pid_of(pid).filter(|_| inner.started.contains(&pid)) {
            Some(pid) => rx::kill_process(pid, signal).map_err(io::Error::from),
            None => Ok(()),
        }
    }

    /// Signals every process of the group, softly or for good.
    pub(crate) fn signal_all(&self, hard: bool) {
        let signal = if hard { Signal::KILL } else { Signal::TERM };
        // Nobody is reaped meanwhile, so the direct children keep their ids; the others are pinned one by one.
        let _held = self.lock();
        for pid in self.members() {
            if let Some(token) = start_token(pid) {
                drop(signal_as(pid, &token, signal));
            }
        }
    }

    /// Every living process of the group.
    #[expect(clippy::unused_self, reason = "the twins keep the group in themselves")]
    pub(crate) fn members(&self) -> Vec<u32> {
        let mut all = tree(std::process::id());
        all.retain(|pid| *pid != std::process::id());
        all
    }
}

fn status_of(status: WaitStatus) -> Status {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Status::Code(code),
        (_, Some(signal)) => Status::Signal(signal),
        _ => Status::Unknown,
    }
}

fn pid_of(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

/// Names the present run of the system; process ids and start times mean nothing beyond it.
pub(crate) fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// Fields of `/proc/<pid>/stat` after the name, which may hold anything: state, parent, group, session, … start time.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let (_, fields) = text.rsplit_once(')')?;
    Some(fields.split_ascii_whitespace().map(str::to_owned).collect())
}

/// When the process was started, in the finest unit there is; absent if it has ended.
pub(crate) fn start_token(pid: u32) -> Option<String> {
    let fields = stat(pid)?;
    let ended = matches!(fields.first()?.as_str(), "Z" | "X");
    (!ended).then(|| fields.get(19).cloned()).flatten()
}

/// The living processes below `top`, itself included.
pub(crate) fn tree(top: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for pid in processes() {
        if let Some(fields) = stat(pid)
            && let Some(parent) = fields.get(1).and_then(|p| p.parse().ok())
        {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut all = vec![top];
    let mut next = 0;
    while let Some(pid) = all.get(next) {
        all.extend(children.remove(pid).unwrap_or_default());
        next += 1;
    }
    all.retain(|pid| start_token(*pid).is_some());
    all
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|e| e.file_name().to_str()?.parse().ok())
}

/// Makes the command's process a session of its own, which ends at once should this thread end first.
#[expect(unsafe_code, reason = "`pre_exec` is the only way to act between fork and exec")]
pub(crate) fn die_with_parent(command: &mut Command) {
    let parent = rx::getpid();
    let prepare = move || {
        rx::setsid()?;
        rx::set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have ended before the line above.
        if rx::getppid() != Some(parent) {
            return Err(io::Error::from(rustix::io::Errno::SRCH));
        }
        Ok(())
    };
    // SAFETY: setsid, prctl and getppid are async-signal-safe, and the closure allocates nothing.
    unsafe { command.pre_exec(prepare) };
}

/// Living processes that belong to a service whose keeper is gone: of its session, or marked in their environment. What a
/// check started bears the same mark with more behind it.
pub(crate) fn leftovers(session: Option<(u32, &str)>, marker: &str) -> Vec<(u32, String)> {
    let own = std::process::id();
    // The session's number means something only as long as its leader is who it was, or nobody took its place.
    let session = session.filter(|(leader, token)| start_token(*leader).is_none_or(|now| now == *token));
    let belongs = |pid: &u32| {
        let of_session = session.is_some_and(|(leader, _)| {
            stat(*pid).is_some_and(|f| f.get(3).is_some_and(|sid| *sid == leader.to_string()))
        });
        let inherited = || {
            let env = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            env.split(|b| *b == 0).any(|v| v.starts_with(marker.as_bytes()))
        };
        of_session || inherited()
    };
    let all = processes().filter(|pid| *pid != own).filter(belongs);
    all.filter_map(|pid| Some((pid, start_token(pid)?))).collect()
}

/// Signals a process that is not our child, if it is still the one that was started at `token`.
pub(crate) fn signal(pid: u32, token: &str, signal: &str) -> io::Result<()> {
    signal_as(pid, token, named(signal)?)
}

fn signal_as(pid: u32, token: &str, signal: Signal) -> io::Result<()> {
    let Some(raw) = pid_of(pid) else { return Ok(()) };
    // The descriptor pins the process: its id cannot pass to another between the look and the signal.
    let pinned = match rx::pidfd_open(raw, PidfdFlags::empty()) {
        Err(rustix::io::Errno::SRCH) => return Ok(()),
        other => other?,
    };
    if start_token(pid).as_deref() != Some(token) {
        return Ok(());
    }
    match rx::pidfd_send_signal(pinned.as_fd(), signal) {
        Err(rustix::io::Errno::SRCH) => Ok(()),
        other => other.map_err(io::Error::from),
    }
}

/// Who listens on a TCP port of this machine.
pub(crate) fn listener(port: u16) -> Listening {
    let mut sockets = HashSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        match fs::read_to_string(table) {
            Ok(text) => sockets.extend(listening(&text, port)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(_) => return Listening::Unknown,
        }
    }
    if sockets.is_empty() {
        return Listening::Nobody;
    }
    let wanted: HashSet<String> = sockets.into_iter().map(|inode| format!("socket:[{inode}]")).collect();
    let holds = |pid: &u32| {
        let fds = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let mut links = fds.filter_map(|fd| fs::read_link(fd.path()).ok());
        links.any(|to| to.to_str().is_some_and(|to| wanted.contains(to)))
    };
    let name = |pid: u32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let owners = processes().filter(holds).map(|pid| Owner {
        pid,
        name: name(pid).trim().to_owned(),
    });
    Listening::By(owners.collect())
}

/// Inodes of the listening sockets of `port` in the text of `/proc/net/tcp`.
fn listening(table: &str, port: u16) -> Vec<String> {
    let mut found = Vec::new();
    for line in table.lines().skip(1) {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, local, _, state, .., inode] = fields.as_slice().get(..10).unwrap_or_default() else {
            continue;
        };
        let at = local
            .rsplit_once(':')
            .and_then(|(_, p)| u16::from_str_radix(p, 16).ok());
        if *state == "0A" && at == Some(port) {
            found.push((*inode).to_owned());
        }
    }
    found
}

/// Makes everything on the volume of `dir` durable, in one call.
pub(crate) fn sync_volume(dir: &File, _: &Path) -> io::Result<()> {
    rustix::fs::syncfs(dir).map_err(io::Error::from)
}

/// The socket through which a service says that it is ready.
#[derive(Debug)]
pub(crate) struct Notices(std::os::unix::net::UnixDatagram);

impl Notices {
    /// Listens at `path`, which is in a directory that only we may enter.
    pub(crate) fn bind(path: &Path) -> io::Result<Self> {
        match fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let socket = std::os::unix::net::UnixDatagram::bind(path)?;
        rustix::net::sockopt::set_socket_passcred(&socket, true)?;
        Ok(Self(socket))
    }

    /// Waits for the next datagram; `None` when there is none for `patience`, when it does not fit into `buffer`, and when its
    /// sender is not a process below `top`. The kernel says who the sender is.
    pub(crate) fn next(&self, buffer: &mut [u8], top: u32, patience: Duration) -> io::Result<Option<usize>> {
        use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};
        self.0.set_read_timeout(Some(patience))?;
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [io::IoSliceMut::new(buffer)];
        let heard = match recvmsg(&self.0, &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Ok(None),
            other => other?,
        };
        let sender = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmCredentials(who) => Some(who.pid.as_raw_nonzero().get().cast_unsigned()),
            _ => None,
        });
        let whole = !heard.flags.contains(ReturnFlags::TRUNC);
        let own = sender.is_some_and(|pid| descends(pid, top));
        Ok((whole && own).then_some(heard.bytes))
    }
}

/// True if `pid` is below `top`. A process that has just ended still has its parent.
fn descends(mut pid: u32, top: u32) -> bool {
    // Deeper nests than this no service builds.
    for _ in 0..256 {
        let parent = stat(pid).and_then(|fields| fields.get(1)?.parse().ok());
        match parent {
            Some(parent) if parent == top => return true,
            Some(parent) if parent > 1 => pid = parent,
            _ => return false,
        }
    }
    false
}

/// User of the process at the other end.
pub(crate) fn peer_uid(stream: &impl AsFd) -> io::Result<u32> {
    Ok(rustix::net::sockopt::socket_peercred(stream)?.uid.as_raw())
}

/// Makes the new file `to` share the blocks of `from`; false, and no `to`, where the file system cannot.
pub(crate) fn clone_file(from: &Path, to: &Path) -> io::Result<bool> {
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
    let source = File::open(from)?;
    let mode = source.metadata()?.permissions().mode();
    let target = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)?;
    match rustix::fs::ioctl_ficlone(&target, &source) {
        Ok(()) => target.set_permissions(fs::Permissions::from_mode(mode)).map(|()| true),
        // What a file system says that has no shared blocks, or not for this file: each has its own number for it.
        Err(error) if error != rustix::io::Errno::NOSPC && error != rustix::io::Errno::IO => {
            drop(target);
            fs::remove_file(to).map(|()| false)
        }
        Err(error) => Err(error.into()),
    }
}
