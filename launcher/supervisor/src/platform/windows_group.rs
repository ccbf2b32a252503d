//! Owns the processes of one service on Windows: a job that holds the shim and everything it starts.
//!
//! *Limitations*: who listens on a port is not asked.

use std::{
    collections::HashMap,
    io,
    os::windows::{
        io::{AsRawHandle as _, FromRawHandle as _, OwnedHandle, RawHandle},
        process::CommandExt as _,
    },
    process::Command,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use windows_sys::Win32::{
    Foundation::{FILETIME, WAIT_TIMEOUT},
    System::{
        Console::{CTRL_BREAK_EVENT, GenerateConsoleCtrlEvent},
        JobObjects::{
            AssignProcessToJobObject, CreateJobObjectW, IsProcessInJob, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE,
            JOBOBJECT_BASIC_PROCESS_ID_LIST, JOBOBJECT_EXTENDED_LIMIT_INFORMATION, JobObjectBasicProcessIdList,
            JobObjectExtendedLimitInformation, QueryInformationJobObject, SetInformationJobObject,
        },
        Threading::{
            CREATE_NEW_PROCESS_GROUP, GetCurrentProcess, GetProcessTimes, OpenProcess,
            PROCESS_QUERY_LIMITED_INFORMATION, PROCESS_SET_QUOTA, PROCESS_SYNCHRONIZE, PROCESS_TERMINATE,
            TerminateProcess, WaitForSingleObject,
        },
    },
};

use super::Listening;
use crate::machine::Status;

/// More members than this are not listed at once; they are found when the first have ended.
const LISTED: usize = 1024;

/// Keeps the processes of one service: starts them, sees them end, ends them.
///
/// This process is in the job itself; the job ends everything in it when its last handle is closed, so nothing outlives
/// the shim.
#[derive(Debug)]
pub(crate) struct Keeper {
    job: OwnedHandle,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    started: Vec<u32>,
    ended: HashMap<u32, Status>,
    empty: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keeper {
    /// Puts this process into a job of its own.
    #[expect(unsafe_code, reason = "jobs have no safe wrapper")]
    pub(crate) fn new() -> io::Result<Self> {
        let job = new_job()?;
        // SAFETY: both handles are open.
        let done = unsafe { AssignProcessToJobObject(job.as_raw_handle(), GetCurrentProcess()) };
        if done == 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self {
            job,
            shared: Arc::default(),
        })
    }

    /// Starts a member in a console group of its own. Should the keeper end first, the job ends the member.
    pub(crate) fn start(&self, command: &mut Command, _last_wish: &str) -> io::Result<u32> {
        let mut inner = self.shared.lock();
        if inner.empty {
            return Err(io::Error::other("the group has ended"));
        }
        command.creation_flags(CREATE_NEW_PROCESS_GROUP);
        let mut child = command.spawn()?;
        let pid = child.id();
        inner.started.push(pid);
        let shared = Arc::clone(&self.shared);
        // The child's handle is held until it has ended, so its number belongs to nobody else.
        let wait = move || {
            let code = child.wait().ok().and_then(|s| s.code());
            shared
                .lock()
                .ended
                .insert(pid, code.map_or(Status::Unknown, Status::Code));
            shared.changed.notify_all();
        };
        thread::Builder::new().name("wait".to_owned()).spawn(wait)?;
        Ok(pid)
    }

    /// Watches until nobody is left. Everything else happens on other threads meanwhile.
    pub(crate) fn keep(&self) {
        loop {
            let mut inner = self.shared.lock();
            while inner.ended.len() < inner.started.len() {
                inner = self.shared.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
            }
            inner.empty = self.members().is_empty();
            self.shared.changed.notify_all();
            if inner.empty {
                return;
            }
            let waited = self.shared.changed.wait_timeout(inner, Duration::from_millis(50));
            drop(waited.unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Waits until `pid` has ended, `stop` says so (asked again after every change and poke), or time is over.
    pub(crate) fn wait(&self, pid: u32, until: Option<Instant>, stop: impl Fn() -> bool) -> Option<Status> {
        self.wait_for(until, |inner| inner.ended.contains_key(&pid) || inner.empty || stop());
        let inner = self.shared.lock();
        let status = inner.ended.get(&pid).copied();
        status.or_else(|| inner.empty.then_some(Status::Unknown))
    }

    /// Waits until nobody is left; false if time is over first.
    pub(crate) fn wait_empty(&self, until: Instant, stop: impl Fn() -> bool) -> bool {
        self.wait_for(Some(until), |inner| inner.empty || stop());
        self.shared.lock().empty
    }

    fn wait_for(&self, until: Option<Instant>, done: impl Fn(&Inner) -> bool) {
        let mut inner = self.shared.lock();
        while !done(&inner) {
            let left = until.map_or(Duration::from_hours(1), |u| u.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return;
            }
            let waited = self.shared.changed.wait_timeout(inner, left);
            inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Wakes everyone who waits.
    pub(crate) fn poke(&self) {
        let _held = self.shared.lock();
        self.shared.changed.notify_all();
    }

    /// Sends Ctrl-Break to the console group of a member, or ends it for good with `KILL`.
    #[expect(unsafe_code, reason = "console events have no safe wrapper")]
    pub(crate) fn signal(&self, pid: u32, signal: &str) -> io::Result<()> {
        let inner = self.shared.lock();
        if !inner.started.contains(&pid) || inner.ended.contains_key(&pid) {
            return Ok(());
        }
        if signal == "KILL" {
            return self.terminate(pid);
        }
        // SAFETY: takes two numbers; the group is one that was started here and has not ended.
        let done = unsafe { GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, pid) };
        if done == 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }

    /// Ends every process of the job, softly where it has a console group, or for good.
    pub(crate) fn signal_all(&self, hard: bool) {
        if hard {
            for pid in self.members() {
                drop(self.terminate(pid));
            }
            return;
        }
        let started = self.shared.lock().started.clone();
        for pid in started {
            drop(self.signal(pid, super::DEFAULT_SIGNAL));
        }
    }

    /// Ends a process if it is in the job, looked at through the same handle.
    #[expect(unsafe_code, reason = "processes have no safe wrapper")]
    fn terminate(&self, pid: u32) -> io::Result<()> {
        let Some(process) = open(pid, PROCESS_TERMINATE | PROCESS_QUERY_LIMITED_INFORMATION) else {
            return Ok(());
        };
        let mut inside = 0;
        // SAFETY: both handles are open, and `inside` is a valid place.
        unsafe {
            if IsProcessInJob(process.as_raw_handle(), self.job.as_raw_handle(), &raw mut inside) == 0 {
                return Err(io::Error::last_os_error());
            }
            if inside != 0 && TerminateProcess(process.as_raw_handle(), 1) == 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    }

    /// Every living process of the job but this one.
    #[expect(unsafe_code, reason = "jobs have no safe wrapper")]
    pub(crate) fn members(&self) -> Vec<u32> {
        /// The system's structure ends with an array of one; this one has room for more.
        #[repr(C)]
        struct Listing {
            head: JOBOBJECT_BASIC_PROCESS_ID_LIST,
            more: [usize; LISTED],
        }
        let mut listing = Listing {
            head: JOBOBJECT_BASIC_PROCESS_ID_LIST::default(),
            more: [0; LISTED],
        };
        let size = u32::try_from(size_of::<Listing>()).unwrap_or(0);
        // SAFETY: the job is open, and the structure is of the kind that is named and has `size` bytes.
        unsafe {
            QueryInformationJobObject(
                self.job.as_raw_handle(),
                JobObjectBasicProcessIdList,
                (&raw mut listing).cast(),
                size,
                std::ptr::null_mut(),
            )
        };
        let count = listing.head.NumberOfProcessIdsInList as usize;
        let all = listing.head.ProcessIdList.into_iter().chain(listing.more).take(count);
        let pids = all.filter_map(|pid| u32::try_from(pid).ok());
        pids.filter(|pid| *pid != std::process::id() && start_token(*pid).is_some())
            .collect()
    }
}

/// Makes a job that ends everything in it when its last handle is closed.
#[expect(unsafe_code, reason = "jobs have no safe wrapper")]
fn new_job() -> io::Result<OwnedHandle> {
    // SAFETY: both arguments may be null: default security, no name.
    let job = unsafe { CreateJobObjectW(std::ptr::null(), std::ptr::null()) };
    if job.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the handle was just made and belongs to nobody else.
    let job = unsafe { OwnedHandle::from_raw_handle(job) };
    let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
    limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
    let size = u32::try_from(size_of::<JOBOBJECT_EXTENDED_LIMIT_INFORMATION>()).unwrap_or(0);
    // SAFETY: the job is open, the structure is of the kind that is named and has `size` bytes.
    let done = unsafe {
        SetInformationJobObject(
            job.as_raw_handle(),
            JobObjectExtendedLimitInformation,
            (&raw const limits).cast(),
            size,
        )
    };
    if done == 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(job)
}

/// Ends a short command with everything it has started when it is dropped, or when this process ends.
///
/// *Limitations*: what it started before it was held is not in the job.
#[derive(Debug)]
pub(crate) struct Leash {
    _job: OwnedHandle,
}

impl Leash {
    /// Nothing has to be prepared here.
    pub(crate) fn prepare(_command: &mut Command) {}

    /// Holds what was started so.
    #[expect(unsafe_code, reason = "jobs have no safe wrapper")]
    pub(crate) fn hold(pid: u32) -> io::Result<Self> {
        let job = new_job()?;
        if let Some(process) = open(pid, PROCESS_SET_QUOTA | PROCESS_TERMINATE) {
            // SAFETY: both handles are open, with the rights that are asked for.
            let done = unsafe { AssignProcessToJobObject(job.as_raw_handle(), process.as_raw_handle()) };
            if done == 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(Self { _job: job })
    }
}

#[expect(unsafe_code, reason = "processes have no safe wrapper")]
fn open(pid: u32, access: u32) -> Option<OwnedHandle> {
    // SAFETY: takes numbers only.
    let handle: RawHandle = unsafe { OpenProcess(access, 0, pid) };
    // SAFETY: the handle was just made and belongs to nobody else.
    (!handle.is_null()).then(|| unsafe { OwnedHandle::from_raw_handle(handle) })
}

/// Start times are absolute here and finer than a microsecond, so that they tell processes of different runs apart.
#[expect(clippy::unnecessary_wraps, reason = "the twin on Linux can fail")]
pub(crate) fn boot_id() -> io::Result<String> {
    Ok("windows".to_owned())
}

/// When the process was started; absent if it has ended.
pub(crate) fn start_token(pid: u32) -> Option<String> {
    token_of(&open(pid, PROCESS_QUERY_LIMITED_INFORMATION | PROCESS_SYNCHRONIZE)?)
}

#[expect(unsafe_code, reason = "processes have no safe wrapper")]
fn token_of(process: &OwnedHandle) -> Option<String> {
    let mut times = [FILETIME::default(); 4];
    let [made, ended, kernel, user] = &mut times;
    // SAFETY: the handle is open with the right to ask, and the four places are valid.
    let known = unsafe {
        WaitForSingleObject(process.as_raw_handle(), 0) == WAIT_TIMEOUT
            && GetProcessTimes(process.as_raw_handle(), made, ended, kernel, user) != 0
    };
    known.then(|| format!("{:08x}{:08x}", times[0].dwHighDateTime, times[0].dwLowDateTime))
}

/// Only the top is known here; listeners are not asked for either.
pub(crate) fn tree(top: u32) -> Vec<u32> {
    vec![top]
}

/// Nothing outlives a shim here: its job ends everything with it.
pub(crate) fn leftovers(_session: Option<(u32, &str)>, _marker: &str) -> Vec<(u32, String)> {
    Vec::new()
}

/// Ends a process for good if it is still the one that was started at `token`, looked at through the same handle. There
/// is no gentle way to reach a process of another console.
#[expect(unsafe_code, reason = "processes have no safe wrapper")]
pub(crate) fn signal(pid: u32, token: &str, signal: &str) -> io::Result<()> {
    if signal != "KILL" {
        return Ok(());
    }
    let access = PROCESS_QUERY_LIMITED_INFORMATION | PROCESS_SYNCHRONIZE | PROCESS_TERMINATE;
    let Some(process) = open(pid, access).filter(|p| token_of(p).as_deref() == Some(token)) else {
        return Ok(());
    };
    // SAFETY: the handle is open with the right to end the process.
    let done = unsafe { TerminateProcess(process.as_raw_handle(), 1) };
    if done == 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Who listens on a TCP port of this machine is not asked here.
pub(crate) fn listener(_port: u16) -> Listening {
    Listening::Unknown
}
