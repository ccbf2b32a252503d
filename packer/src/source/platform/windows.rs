//! Windows: a program is known by its extension; for other systems' programs there is the step `exec`. A client and what it
//! starts are one job.
//!
//! *Limitations*: what a client starts before it is put into its job, in its first instant, is not in it.

use std::{
    fs::Metadata,
    io,
    os::windows::io::{AsRawHandle as _, FromRawHandle as _, OwnedHandle},
    path::Path,
    process::{Child, Command, ExitStatus},
};

use windows_sys::Win32::System::JobObjects::{
    AssignProcessToJobObject, CreateJobObjectW, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE,
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION, JobObjectExtendedLimitInformation, SetInformationJobObject,
    TerminateJobObject,
};

/// True if the file is a program.
pub(crate) fn is_executable(path: &Path, _metadata: &Metadata) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    ["exe", "dll", "bat", "cmd"]
        .iter()
        .any(|e| extension.eq_ignore_ascii_case(e))
}

/// A program and everything that it starts, in a job of its own, which ends with this process.
#[derive(Debug)]
pub(crate) struct Group {
    child: Child,
    /// None: the system gave none (within a job that allows no other, on old systems).
    job: Option<OwnedHandle>,
}

impl Group {
    /// Starts `command`.
    pub(crate) fn start(command: &mut Command) -> io::Result<Self> {
        let child = command.spawn()?;
        let job = job_of(&child).ok();
        Ok(Self { child, job })
    }

    /// The program that was started.
    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Asks all of it to end; false: there is no way to ask.
    pub(crate) fn ask(&self) -> bool {
        false
    }

    /// True once the program itself has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Ends all of it, now.
    #[expect(unsafe_code, reason = "jobs have no safe wrapper")]
    pub(crate) fn end(&mut self) -> io::Result<ExitStatus> {
        match &self.job {
            Some(job) => {
                // SAFETY: the job is open for as long as `self` has it.
                unsafe { TerminateJobObject(job.as_raw_handle(), 1) };
            }
            // It may have ended by itself meanwhile.
            None => drop(self.child.kill()),
        }
        self.child.wait()
    }
}

/// Puts a program into a new job that ends with its last handle.
#[expect(unsafe_code, reason = "jobs have no safe wrapper")]
fn job_of(child: &Child) -> io::Result<OwnedHandle> {
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
    // SAFETY: job and process are open, the structure is of the kind that is named and has `size` bytes.
    let done = unsafe {
        SetInformationJobObject(
            job.as_raw_handle(),
            JobObjectExtendedLimitInformation,
            (&raw const limits).cast(),
            size,
        ) != 0
            && AssignProcessToJobObject(job.as_raw_handle(), child.as_raw_handle()) != 0
    };
    if done { Ok(job) } else { Err(io::Error::last_os_error()) }
}
