//! Owns what is particular to Windows beside processes: named pipes, access lists, creation flags.
//!
//! *Limitations*: whether a file is private is decided by the access list of its directory, which is set when the
//! directory is made; it is not read back.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::windows::{
        ffi::OsStrExt as _,
        fs::OpenOptionsExt as _,
        io::{AsRawHandle as _, FromRawHandle as _, OwnedHandle},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use kojibox_packs::manifest::{Span, Stop, StopStep};
use kojibox_signing::Digest;
use windows_sys::Win32::{
    Foundation::{
        ERROR_ACCESS_DENIED, ERROR_BAD_EXE_FORMAT, ERROR_DIRECTORY, ERROR_FILE_NOT_FOUND, ERROR_PATH_NOT_FOUND,
        ERROR_PIPE_BUSY, ERROR_PIPE_CONNECTED, INVALID_HANDLE_VALUE, LocalFree,
    },
    Networking::WinSock::WSAEAFNOSUPPORT,
    Security::{
        Authorization::{ConvertStringSecurityDescriptorToSecurityDescriptorW, SDDL_REVISION_1},
        DACL_SECURITY_INFORMATION, PROTECTED_DACL_SECURITY_INFORMATION, PSECURITY_DESCRIPTOR, SECURITY_ATTRIBUTES,
        SetFileSecurityW,
    },
    Storage::FileSystem::{FILE_FLAG_FIRST_PIPE_INSTANCE, GetDiskFreeSpaceExW, PIPE_ACCESS_DUPLEX},
    System::{
        JobObjects::{
            IsProcessInJob, JOB_OBJECT_LIMIT_BREAKAWAY_OK, JOBOBJECT_EXTENDED_LIMIT_INFORMATION,
            JobObjectExtendedLimitInformation, QueryInformationJobObject,
        },
        Pipes::{
            ConnectNamedPipe, CreateNamedPipeW, PIPE_READMODE_BYTE, PIPE_REJECT_REMOTE_CLIENTS, PIPE_TYPE_BYTE,
            PIPE_UNLIMITED_INSTANCES, PIPE_WAIT,
        },
        SystemInformation::GetSystemDirectoryW,
        Threading::{CREATE_BREAKAWAY_FROM_JOB, CREATE_NEW_PROCESS_GROUP, CREATE_NO_WINDOW, GetCurrentProcess},
    },
};

/// A connection between two of our processes.
pub(crate) type Stream = File;

/// What a program file's name ends with.
pub(crate) const EXE: &str = ".exe";
/// What a service is sent when it declares no stop recipe: Ctrl-Break.
pub(crate) const DEFAULT_SIGNAL: &str = "BREAK";
/// Variables that services may see.
pub(crate) const ALLOWED_ENV: &[&str] = &[
    "APPDATA",
    "COMPUTERNAME",
    "COMSPEC",
    "HOMEDRIVE",
    "HOMEPATH",
    "LANG",
    "LOCALAPPDATA",
    "NUMBER_OF_PROCESSORS",
    "OS",
    "PATHEXT",
    "PROCESSOR_ARCHITECTURE",
    "PROGRAMDATA",
    "SYSTEMDRIVE",
    "SYSTEMROOT",
    "TZ",
    "USERNAME",
    "USERPROFILE",
    "WINDIR",
];
/// Errors of a start that will not go away.
pub(crate) const NOT_RUNNABLE: &[i32] = &[
    ERROR_FILE_NOT_FOUND.cast_signed(),
    ERROR_PATH_NOT_FOUND.cast_signed(),
    ERROR_ACCESS_DENIED.cast_signed(),
    ERROR_BAD_EXE_FORMAT.cast_signed(),
    ERROR_DIRECTORY.cast_signed(),
];
/// What the system says where there is no IPv6.
pub(crate) const NO_FAMILY: i32 = WSAEAFNOSUPPORT;

/// The owner and the system, nobody else; inherited by what is inside.
const ONLY_US: &str = "D:P(A;OICI;GA;;;OW)(A;OICI;GA;;;SY)";
/// How long a busy pipe is asked again.
const BUSY: Duration = Duration::from_secs(2);

/// The stop recipe of this system; the default one if nothing is declared.
pub(crate) fn stop_steps(stop: &Stop) -> Vec<StopStep> {
    if stop.windows.is_empty() {
        return vec![StopStep {
            signal: Some(DEFAULT_SIGNAL.to_owned()),
            run: None,
            wait: Span::from_secs(10),
        }];
    }
    stop.windows.clone()
}

/// Where the system's own programs are.
#[expect(unsafe_code, reason = "the directory is known to the system only")]
pub(crate) fn system_path() -> Vec<PathBuf> {
    let mut buffer = [0_u16; 300];
    // SAFETY: the buffer holds the number of characters that is passed.
    let length = unsafe { GetSystemDirectoryW(buffer.as_mut_ptr(), 300) };
    let text = String::from_utf16_lossy(buffer.get(..length as usize).unwrap_or_default());
    let system = PathBuf::from(text);
    let windows = system.parent().map(Path::to_owned);
    std::iter::once(system).chain(windows).collect()
}

fn wide(text: &std::ffi::OsStr) -> Vec<u16> {
    text.encode_wide().chain([0]).collect()
}

/// An access list in the system's memory.
struct Access(PSECURITY_DESCRIPTOR);

impl Access {
    #[expect(unsafe_code, reason = "access lists are made by the system")]
    fn only_us() -> io::Result<Self> {
        let text = wide(ONLY_US.as_ref());
        let mut made: PSECURITY_DESCRIPTOR = std::ptr::null_mut();
        // SAFETY: the text ends with a zero, and `made` is a valid place for one pointer.
        let done = unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(
                text.as_ptr(),
                SDDL_REVISION_1,
                &raw mut made,
                std::ptr::null_mut(),
            )
        };
        if done == 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(Self(made))
        }
    }
}

impl Drop for Access {
    #[expect(unsafe_code, reason = "the system's memory is given back to it")]
    fn drop(&mut self) {
        // SAFETY: the pointer came from a function whose memory is freed with `LocalFree`, and is freed once.
        unsafe { LocalFree(self.0) };
    }
}

/// Waits for connections at one endpoint.
#[derive(Debug)]
pub(crate) struct Listener {
    endpoint: PathBuf,
    next: Mutex<OwnedHandle>,
}

impl Listener {
    /// Makes the pipe; it must not exist yet.
    pub(crate) fn bind(endpoint: &Path) -> io::Result<Self> {
        Ok(Self {
            endpoint: endpoint.to_owned(),
            next: Mutex::new(new_pipe(endpoint, true)?),
        })
    }

    /// Waits for the next connection; the access list lets only the same user in.
    #[expect(unsafe_code, reason = "named pipes have no safe wrapper")]
    pub(crate) fn accept(&self) -> io::Result<Stream> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the handle is that of a pipe of ours and is open.
        let done = unsafe { ConnectNamedPipe(next.as_raw_handle(), std::ptr::null_mut()) };
        if done == 0 {
            let error = io::Error::last_os_error();
            if error.raw_os_error() != Some(ERROR_PIPE_CONNECTED.cast_signed()) {
                *next = new_pipe(&self.endpoint, false)?;
                return Err(error);
            }
        }
        let connected = std::mem::replace(&mut *next, new_pipe(&self.endpoint, false)?);
        Ok(File::from(connected))
    }

    /// Never happens: a pipe does not lose its name while it lives.
    #[expect(clippy::unused_self, reason = "the twin on Unix wakes who waits")]
    pub(crate) fn close(&self) {}

    /// A pipe is gone with its last handle.
    #[expect(clippy::unused_self, reason = "the twin on Unix has a file to remove")]
    pub(crate) fn remove(&self, _endpoint: &Path) {}
}

#[expect(unsafe_code, reason = "named pipes have no safe wrapper")]
fn new_pipe(endpoint: &Path, first: bool) -> io::Result<OwnedHandle> {
    let access = Access::only_us()?;
    let attributes = SECURITY_ATTRIBUTES {
        nLength: u32::try_from(size_of::<SECURITY_ATTRIBUTES>()).unwrap_or(0),
        lpSecurityDescriptor: access.0,
        bInheritHandle: 0,
    };
    let open = PIPE_ACCESS_DUPLEX | if first { FILE_FLAG_FIRST_PIPE_INSTANCE } else { 0 };
    let mode = PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS;
    let name = wide(endpoint.as_os_str());
    // SAFETY: the name ends with a zero; the attributes and what they point to live until the call returns.
    let handle = unsafe {
        CreateNamedPipeW(
            name.as_ptr(),
            open,
            mode,
            PIPE_UNLIMITED_INSTANCES,
            65_536,
            65_536,
            0,
            &raw const attributes,
        )
    };
    if handle == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the handle was just made and belongs to nobody else.
    Ok(unsafe { OwnedHandle::from_raw_handle(handle) })
}

/// Connects to an endpoint.
pub(crate) fn connect(endpoint: &Path) -> io::Result<Stream> {
    let end = Instant::now() + BUSY;
    loop {
        match OpenOptions::new().read(true).write(true).open(endpoint) {
            Err(e) if e.raw_os_error() == Some(ERROR_PIPE_BUSY.cast_signed()) && Instant::now() < end => {
                thread::sleep(Duration::from_millis(5));
            }
            other => return other,
        }
    }
}

/// The reading side of a connection.
pub(crate) fn reader(stream: &Stream) -> Result<Stream, crate::wire::WireError> {
    stream.try_clone().map_err(crate::wire::WireError::Broken)
}

/// A pipe of this kind waits as long as it takes; who is at the other end is one of us.
#[expect(clippy::unnecessary_wraps, reason = "the twin on Unix can fail")]
pub(crate) fn set_patience(_stream: &Stream, _patience: Duration) -> io::Result<()> {
    Ok(())
}

/// Where `name` listens below a runtime directory.
pub(crate) fn endpoint(dir: &Path, name: &str) -> PathBuf {
    let mut full = dir.as_os_str().to_owned();
    full.push("-");
    full.push(name);
    PathBuf::from(full)
}

/// What the pipes of the root with this key begin with.
pub(crate) fn socket_dirs(_own: &Path, key: &str) -> Vec<PathBuf> {
    vec![PathBuf::from(format!(r"\\.\pipe\kojibox-{key}"))]
}

/// Pipes need no directory.
#[expect(clippy::unnecessary_wraps, reason = "the twin on Unix can fail")]
pub(crate) fn socket_dir(_dir: &Path, _longest: usize) -> io::Result<()> {
    Ok(())
}

/// Who may use a pipe is said when it is made.
#[expect(clippy::unnecessary_wraps, reason = "the twin on Unix can fail")]
pub(crate) fn is_private_dir(_dir: &Path) -> io::Result<bool> {
    Ok(true)
}

/// Makes a directory that only we may enter.
#[expect(unsafe_code, reason = "access lists are set by the system")]
pub(crate) fn make_private_dir(dir: &Path) -> io::Result<()> {
    match fs::create_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => return Ok(()),
        other => other?,
    }
    let (access, name) = (Access::only_us()?, wide(dir.as_os_str()));
    let what = DACL_SECURITY_INFORMATION | PROTECTED_DACL_SECURITY_INFORMATION;
    // SAFETY: the name ends with a zero, and the access list lives until the call returns.
    let done = unsafe { SetFileSecurityW(name.as_ptr(), what, access.0) };
    if done == 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Makes a file; who may read it follows from its directory. It must not exist yet.
pub(crate) fn new_private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

/// Opens a file to be written at its end; who may read it follows from its directory.
pub(crate) fn append_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// True if it is a file; who may read it follows from its directory.
pub(crate) fn is_private(path: &Path) -> io::Result<bool> {
    Ok(fs::symlink_metadata(path)?.is_file())
}

/// Names are durable with the file system's own journal.
#[expect(clippy::unnecessary_wraps, reason = "the twin on Unix can fail")]
pub(crate) fn sync_dir(_dir: &Path) -> io::Result<()> {
    Ok(())
}

/// Makes everything below `dir` durable, through handles that may write.
pub(crate) fn sync_tree(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let (entry, kind) = entry.and_then(|e| e.file_type().map(|k| (e, k)))?;
        if kind.is_dir() {
            sync_tree(&entry.path())?;
        } else if kind.is_file() {
            OpenOptions::new()
                .write(true)
                .share_mode(7)
                .open(entry.path())?
                .sync_all()?;
        }
    }
    Ok(())
}

/// Bytes that we may still write on the volume of `dir`.
#[expect(unsafe_code, reason = "free space has no safe wrapper")]
pub(crate) fn free_space(dir: &Path) -> io::Result<u64> {
    let wide: Vec<u16> = dir.as_os_str().encode_wide().chain([0]).collect();
    let mut free = 0;
    // SAFETY: `wide` ends with a zero, `free` may be written to, and the other two are not asked for.
    let done = unsafe { GetDiskFreeSpaceExW(wide.as_ptr(), &raw mut free, std::ptr::null_mut(), std::ptr::null_mut()) };
    if done == 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(free)
}

/// There are no signals here.
pub(crate) fn is_gentle(_signal: i32) -> bool {
    false
}

/// Shares no blocks itself: `CopyFileEx`, which a copy uses, does on volumes that can (ReFS), and does not say so.
pub(crate) fn clone_file(_from: &Path, _to: &Path) -> io::Result<bool> {
    Ok(false)
}

/// The socket through which a service says that it is ready; there are no such sockets here.
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

/// Copies a symbolic link as it is.
pub(crate) fn copy_link(from: &Path, to: &Path) -> io::Result<()> {
    let target = fs::read_link(from)?;
    if fs::metadata(from).is_ok_and(|m| m.is_dir()) {
        return std::os::windows::fs::symlink_dir(target, to);
    }
    std::os::windows::fs::symlink_file(target, to)
}

/// Names the directory; one that is in use cannot be moved here, so its path will do.
pub(crate) fn root_key(root: &Path) -> io::Result<String> {
    let path = fs::canonicalize(root)?.to_string_lossy().to_lowercase();
    Ok(Digest::of(path.as_bytes()).short()[..8].to_owned())
}

/// Makes the command's process independent of our console and, where that is allowed, of our job.
pub(crate) fn detach(command: &mut Command) {
    let leave = if may_leave_job() { CREATE_BREAKAWAY_FROM_JOB } else { 0 };
    // A console without a window: Ctrl-Break needs one to reach the service.
    command.creation_flags(CREATE_NO_WINDOW | CREATE_NEW_PROCESS_GROUP | leave);
}

#[expect(unsafe_code, reason = "jobs have no safe wrapper")]
fn may_leave_job() -> bool {
    let mut inside = 0;
    let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
    let size = u32::try_from(size_of::<JOBOBJECT_EXTENDED_LIMIT_INFORMATION>()).unwrap_or(0);
    // SAFETY: no job handle means the job of this process; both places are valid, and `size` is that of the second.
    let known = unsafe {
        IsProcessInJob(GetCurrentProcess(), std::ptr::null_mut(), &raw mut inside) != 0
            && inside != 0
            && QueryInformationJobObject(
                std::ptr::null_mut(),
                JobObjectExtendedLimitInformation,
                (&raw mut limits).cast(),
                size,
                std::ptr::null_mut(),
            ) != 0
    };
    known && limits.BasicLimitInformation.LimitFlags & JOB_OBJECT_LIMIT_BREAKAWAY_OK != 0
}

/// Locks are not inherited here; the shim holds it, and its job ends everything with it.
#[expect(clippy::unnecessary_wraps, reason = "the twin on Unix can fail")]
pub(crate) fn inherit(_file: &File) -> io::Result<()> {
    Ok(())
}

/// Calls `act` whenever the system asks this process to end; it does not end by that.
pub(crate) fn on_terminate(act: impl Fn() + Send + 'static) -> io::Result<()> {
    use tokio::signal::windows::{ctrl_break, ctrl_close, ctrl_shutdown};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut pause, mut close, mut shutdown) = {
        let _guard = runtime.enter();
        (ctrl_break()?, ctrl_close()?, ctrl_shutdown()?)
    };
    let wait = async move {
        loop {
            tokio::select! {
                Some(()) = close.recv() => act(),
                Some(()) = shutdown.recv() => act(),
                // Meant for the service, which shares our console.
                Some(()) = pause.recv() => {}
                else => return,
            }
        }
    };
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || runtime.block_on(wait))?;
    Ok(())
}

/// Nobody is woken here: a pipe does not lose its name while it lives.
#[expect(clippy::unnecessary_wraps, reason = "the twin on Unix can fail")]
pub(crate) fn on_wake(_act: impl Fn() + Send + 'static) -> io::Result<()> {
    Ok(())
}

/// Runs the command and ends as it ends; returns only if it could not be started.
#[expect(clippy::exit, reason = "a process cannot become another one here")]
pub fn replace_process(command: &mut Command) -> io::Error {
    match command.status() {
        Ok(status) => std::process::exit(status.code().unwrap_or(1)),
        Err(error) => error,
    }
}

/// Nothing is inherited here unless it is asked for.
pub fn close_inherited() {}

/// Path of the program that `name` means.
pub(crate) fn program_name(name: &str) -> PathBuf {
    PathBuf::from(name)
}
