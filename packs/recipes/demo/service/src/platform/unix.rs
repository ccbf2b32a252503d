//! Waits for the signals that end a service on Linux and macOS.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// TERM and INT, caught from the moment this exists.
pub(crate) struct StopSignal {
    term: Signal,
    int: Signal,
}

/// Starts to catch TERM and INT.
pub(crate) fn stop_signal() -> io::Result<StopSignal> {
    Ok(StopSignal {
        term: signal(SignalKind::terminate())?,
        int: signal(SignalKind::interrupt())?,
    })
}

impl StopSignal {
    /// Returns when the service is asked to stop; gives back how.
    pub(crate) async fn recv(mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "TERM",
            _ = self.int.recv() => "INT",
        }
    }
}
