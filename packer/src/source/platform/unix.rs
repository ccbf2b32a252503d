//! Unix: a program is a file with an execute bit; a client and what it starts are one session.

use std::{
    fs::Metadata,
    io,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::Path,
    process::{Child, Command, ExitStatus},
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, setsid, waitid};

/// True if the file is a program.
pub(crate) fn is_executable(_path: &Path, metadata: &Metadata) -> bool {
    metadata.permissions().mode() & 0o111 != 0
}

/// A program and everything that it starts, in a session of its own: it has no terminal to ask on, and Ctrl-C reaches it
/// only through [`Group::end`].
#[derive(Debug)]
pub(crate) struct Group {
    child: Child,
}

impl Group {
    /// Starts `command`. On Linux it is also told to end should this thread end first.
    #[expect(unsafe_code, reason = "`pre_exec` is the only way to act between fork and exec")]
    pub(crate) fn start(command: &mut Command) -> io::Result<Self> {
        let prepare = || {
            setsid()?;
            #[cfg(target_os = "linux")]
            rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
            Ok(())
        };
        // SAFETY: setsid and prctl are async-signal-safe, and the closure allocates nothing.
        unsafe { command.pre_exec(prepare) };
        let child = command.spawn()?;
        Ok(Self { child })
    }

    /// The program that was started.
    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Asks all of it to end; false: there is no way to ask.
    pub(crate) fn ask(&self) -> bool {
        self.signal(Signal::TERM);
        true
    }

    /// True once the program itself has ended. It is not reaped, so its number stays its own.
    pub(crate) fn has_ended(&mut self) -> bool {
        let Some(pid) = self.pid() else { return true };
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(waitid(WaitId::Pid(pid), look), Ok(None))
    }

    /// Ends all of it, now.
    pub(crate) fn end(&mut self) -> io::Result<ExitStatus> {
        self.signal(Signal::KILL);
        self.child.wait()
    }

    fn pid(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            // An error says that nobody is left.
            let _ = kill_process_group(pid, signal);
        }
    }
}
