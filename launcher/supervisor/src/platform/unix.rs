//! Owns what Linux and macOS share: sockets in a private directory, modes, sessions.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write as _},
    os::fd::{AsFd as _, RawFd},
    os::unix::{
        fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
        net::{UnixListener, UnixStream},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use kojibox_packs::manifest::{Span, Stop, StopStep};
use kojibox_signing::Digest;
use rustix::io::FdFlags;

/// A connection between two of our processes.
pub(crate) type Stream = UnixStream;

/// What a program file's name ends with.
pub(crate) const EXE: &str = "";
/// What a service is sent when it declares no stop recipe.
pub(crate) const DEFAULT_SIGNAL: &str = "TERM";
/// Variables that services may see.
pub(crate) const ALLOWED_ENV: &[&str] = &["HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "TZ", "USER"];
/// Errors of a start that will not go away: ENOEXEC, ENOENT, EACCES, ENOTDIR, ELOOP, EISDIR.
pub(crate) const NOT_RUNNABLE: &[i32] = &[
    rustix::io::Errno::NOEXEC.raw_os_error(),
    rustix::io::Errno::NOENT.raw_os_error(),
    rustix::io::Errno::ACCESS.raw_os_error(),
    rustix::io::Errno::NOTDIR.raw_os_error(),
    rustix::io::Errno::LOOP.raw_os_error(),
    rustix::io::Errno::ISDIR.raw_os_error(),
];

/// What the system says where there is no IPv6.
pub(crate) const NO_FAMILY: i32 = rustix::io::Errno::AFNOSUPPORT.raw_os_error();

/// Where the system's own programs are.
pub(crate) fn system_path() -> Vec<PathBuf> {
    ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"]
        .map(PathBuf::from)
        .to_vec()
}

/// The stop recipe of this system; the default one if nothing is declared.
pub(crate) fn stop_steps(stop: &Stop) -> Vec<StopStep> {
    if stop.unix.is_empty() {
        return vec![StopStep {
            signal: Some(DEFAULT_SIGNAL.to_owned()),
            run: None,
            wait: Span::from_secs(10),
        }];
    }
    stop.unix.clone()
}

/// The longest path that a socket can have, in bytes: `sun_path` without its zero, on the system that has less.
const LONGEST: usize = 103;

/// Waits for connections at one endpoint.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: UnixListener,
    /// Something to read here means that it is closed.
    closed: io::PipeReader,
    close: io::PipeWriter,
}

impl Listener {
    /// Binds; a socket file that nobody answers at any more is replaced.
    pub(crate) fn bind(endpoint: &Path) -> io::Result<Self> {
        let socket = match UnixListener::bind(endpoint) {
            Err(e) if e.kind() == io::ErrorKind::AddrInUse && UnixStream::connect(endpoint).is_err() => {
                fs::remove_file(endpoint)?;
                UnixListener::bind(endpoint)?
            }
            other => other?,
        };
        // Who connects and is gone again before it is accepted must not hold us up.
        socket.set_nonblocking(true)?;
        let (closed, close) = io::pipe()?;
        Ok(Self { socket, closed, close })
    }

    /// Waits for the next connection of the same user; others are dropped.
    pub(crate) fn accept(&self) -> io::Result<Stream> {
        loop {
            self.wait()?;
            let stream = match self.socket.accept() {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => continue,
                other => other?.0,
            };
            stream.set_nonblocking(false)?;
            let own = rustix::process::getuid().as_raw();
            if super_peer(&stream).is_ok_and(|uid| uid == own || uid == 0) {
                return Ok(stream);
            }
        }
    }

    fn wait(&self) -> io::Result<()> {
        use rustix::event::{PollFd, PollFlags, poll};
        let mut both =
            [&self.socket.as_fd(), &self.closed.as_fd()].map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN));
        match poll(&mut both, None) {
            Ok(_) if both[1].revents().is_empty() => Ok(()),
            Ok(_) => Err(io::Error::other("the endpoint was closed")),
            Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Accepts nothing any more; who waits is told.
    pub(crate) fn close(&self) {
        drop((&self.close).write_all(&[0]));
    }

    /// Takes the socket file away.
    #[expect(clippy::unused_self, reason = "the listener is what the file belongs to")]
    pub(crate) fn remove(&self, endpoint: &Path) {
        drop(fs::remove_file(endpoint));
    }
}

/// The reading side of a connection.
pub(crate) fn reader(stream: &Stream) -> Result<Stream, crate::wire::WireError> {
    stream.try_clone().map_err(crate::wire::WireError::Broken)
}

/// Gives up reading and writing after `patience`.
pub(crate) fn set_patience(stream: &Stream, patience: Duration) -> io::Result<()> {
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))
}

#[cfg(target_os = "linux")]
use super::linux::peer_uid as super_peer;
#[cfg(target_os = "macos")]
use super::macos::peer_uid as super_peer;

/// Connects to an endpoint.
pub(crate) fn connect(endpoint: &Path) -> io::Result<Stream> {
    UnixStream::connect(endpoint)
}

/// Where `name` listens below a runtime directory.
pub(crate) fn endpoint(dir: &Path, name: &str) -> PathBuf {
    dir.join(name)
}

/// Where the sockets of a root may be: in the root, `own`; else below `/tmp`; else below the user's runtime directory, which
/// goes away with the last session of the user.
pub(crate) fn socket_dirs(own: &Path, key: &str) -> Vec<PathBuf> {
    let uid = rustix::process::getuid().as_raw();
    vec![
        own.to_owned(),
        PathBuf::from(format!("/tmp/kojibox-{uid}-{key}")),
        PathBuf::from(format!("/run/user/{uid}/kojibox-{key}")),
    ]
}

/// Makes or finds `dir`, which must belong to us and be closed to others, and tries whether sockets can be there whose names
/// have up to `longest` bytes.
pub(crate) fn socket_dir(dir: &Path, longest: usize) -> io::Result<()> {
    if dir.as_os_str().len() + 1 + longest > LONGEST {
        return Err(io::Error::new(
            io::ErrorKind::InvalidFilename,
            "its path is too long for sockets",
        ));
    }
    make_private_dir(dir)?;
    let tried = dir.join(format!(".{}", std::process::id() % 10_000));
    drop(UnixListener::bind(&tried)?);
    fs::remove_file(&tried)
}

/// True if nobody else may enter the directory.
pub(crate) fn is_private_dir(dir: &Path) -> io::Result<bool> {
    let meta = fs::symlink_metadata(dir)?;
    Ok(meta.is_dir() && meta.uid() == rustix::process::getuid().as_raw() && closed(meta.mode()))
}

/// Makes a directory that only we may enter, or checks that it is one.
pub(crate) fn make_private_dir(dir: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        other => return other,
    }
    let meta = fs::symlink_metadata(dir)?;
    if !meta.is_dir() || meta.uid() != rustix::process::getuid().as_raw() {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "it is not a directory of this user",
        ));
    }
    if !closed(meta.mode()) {
        fs::set_permissions(dir, Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// True if the mode gives group and others nothing.
fn closed(mode: u32) -> bool {
    mode.trailing_zeros() >= 6
}

/// Makes a file that only we may read; it must not exist yet.
pub(crate) fn new_private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Opens a file to be written at its end, for its owner only where the file system can keep that.
pub(crate) fn append_private(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    if file.metadata().is_ok_and(|m| !closed(m.mode())) {
        drop(file.set_permissions(Permissions::from_mode(0o600)));
    }
    Ok(file)
}

/// True if nobody else may read the file. False also where the file system keeps no modes.
pub(crate) fn is_private(path: &Path) -> io::Result<bool> {
    let meta = fs::symlink_metadata(path)?;
    Ok(meta.is_file() && meta.uid() == rustix::process::getuid().as_raw() && closed(meta.mode()))
}

/// Makes the names in `dir` durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Makes everything below `dir` durable.
pub(crate) fn sync_tree(dir: &Path) -> io::Result<()> {
    super::sync_volume(&File::open(dir)?, dir)
}

/// Bytes that we may still write on the volume of `dir`.
pub(crate) fn free_space(dir: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(dir)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// True for signals that a program may end by in an orderly way; others are crashes, or a kill.
pub(crate) fn is_gentle(signal: i32) -> bool {
    use rustix::process::Signal;
    let gentle = [
        Signal::HUP,
        Signal::INT,
        Signal::QUIT,
        Signal::TERM,
        Signal::USR1,
        Signal::USR2,
        Signal::ALARM,
        Signal::PIPE,
    ];
    gentle.iter().any(|s| s.as_raw() == signal)
}

/// Copies a symbolic link as it is.
pub(crate) fn copy_link(from: &Path, to: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(fs::read_link(from)?, to)
}

/// Names the directory itself, wherever it is moved to on its volume; a copy has another name.
pub(crate) fn root_key(root: &Path) -> io::Result<String> {
    let meta = fs::metadata(root)?;
    Ok(Digest::of(format!("{}/{}", meta.dev(), meta.ino()).as_bytes()).short()[..8].to_owned())
}

/// Ends a short command with everything of its group when it is dropped, whether it has ended by itself or not.
#[derive(Debug)]
pub(crate) struct Leash(Option<rustix::process::Pid>);

impl Leash {
    /// Makes the command the head of a group that can be held.
    pub(crate) fn prepare(command: &mut Command) {
        super::die_with_parent(command);
    }

    /// Holds what was started so.
    #[expect(clippy::unnecessary_wraps, reason = "the twin on Windows can fail")]
    pub(crate) fn hold(pid: u32) -> io::Result<Self> {
        Ok(Self(i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw)))
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        // As long as anyone is in the group, its number is nobody else's.
        if let Some(group) = self.0 {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

/// Makes the command's process a session of its own, so that no terminal reaches it.
#[expect(
    unsafe_code,
    reason = "`pre_exec` is the only way to call setsid between fork and exec"
)]
pub(crate) fn detach(command: &mut Command) {
    // SAFETY: setsid is async-signal-safe, and the closure touches no memory of the parent.
    unsafe {
        command.pre_exec(|| rustix::process::setsid().map(drop).map_err(io::Error::from));
    }
}

/// Lets processes started from now on inherit `file`, and with it the lock on it.
pub(crate) fn inherit(file: &File) -> io::Result<()> {
    rustix::io::fcntl_setfd(file, FdFlags::empty()).map_err(io::Error::from)
}

/// Calls `act` whenever the system asks this process to end; it does not end by that.
pub(crate) fn on_terminate(act: impl Fn() + Send + 'static) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (mut terminate, mut hangup, mut interrupt) = {
        let _guard = runtime.enter();
        (
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
            signal(SignalKind::interrupt())?,
        )
    };
    let wait = async move {
        loop {
            tokio::select! {
                Some(()) = terminate.recv() => act(),
                Some(()) = interrupt.recv() => act(),
                // A terminal that closes is no wish.
                Some(()) = hangup.recv() => {}
                else => return,
            }
        }
    };
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || runtime.block_on(wait))?;
    Ok(())
}

/// Calls `act` whenever somebody wakes this process, see `place::wake`. The signal has no effect on a process that does not
/// listen for it, unless that was suspended.
pub(crate) fn on_wake(act: impl Fn() + Send + 'static) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let mut wakes = {
        let _guard = runtime.enter();
        signal(SignalKind::from_raw(rustix::process::Signal::CONT.as_raw()))?
    };
    let wait = async move {
        while wakes.recv().await.is_some() {
            act();
        }
    };
    thread::Builder::new()
        .name("wakes".to_owned())
        .spawn(move || runtime.block_on(wait))?;
    Ok(())
}

/// Becomes the command; returns only if that failed.
pub fn replace_process(command: &mut Command) -> io::Error {
    command.exec()
}

/// Closes what this process was given by its parent beyond input, output and errors: a process that stays must not hold
/// open what belongs to the one that started it. To be called before anything is opened.
#[expect(unsafe_code, reason = "nothing else closes a descriptor by its number")]
pub fn close_inherited() {
    let listed = fs::read_dir("/dev/fd").into_iter().flatten().flatten();
    let open: Vec<RawFd> = listed
        .filter_map(|e| e.file_name().to_str()?.parse().ok())
        .filter(|fd| *fd > 2)
        .collect();
    // The directory that was listed is closed by now, and still in the list.
    for fd in open
        .into_iter()
        .filter(|fd| fs::metadata(format!("/dev/fd/{fd}")).is_ok())
    {
        // SAFETY: the number is open, and the caller opened nothing yet, so it was inherited and nothing here owns it.
        unsafe { rustix::io::close(fd) };
    }
}

/// Path of the program that `name` means: a relative name without a separator is looked up by the system.
pub(crate) fn program_name(name: &str) -> PathBuf {
    PathBuf::from(name)
}
