//! Waits for the console events that end a service on Windows.

use std::io;

use tokio::signal::windows::{CtrlBreak, CtrlC, ctrl_break, ctrl_c};

/// Ctrl-Break and Ctrl-C, caught from the moment this exists.
pub(crate) struct StopSignal {
    ctrl_break: CtrlBreak,
    ctrl_c: CtrlC,
}

/// Starts to catch Ctrl-Break and Ctrl-C.
pub(crate) fn stop_signal() -> io::Result<StopSignal> {
    Ok(StopSignal {
        ctrl_break: ctrl_break()?,
        ctrl_c: ctrl_c()?,
    })
}

impl StopSignal {
    /// Returns when the service is asked to stop; gives back how.
    pub(crate) async fn recv(mut self) -> &'static str {
        tokio::select! {
            _ = self.ctrl_break.recv() => "Ctrl-Break",
            _ = self.ctrl_c.recv() => "Ctrl-C",
        }
    }
}
