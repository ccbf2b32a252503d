//! Owns the names of signals, for Linux and macOS.

use std::io;

use rustix::process::Signal;

/// Signals by name, as stop recipes write them.
pub(crate) fn named(signal: &str) -> io::Result<Signal> {
    Ok(match signal.strip_prefix("SIG").unwrap_or(signal) {
        "HUP" => Signal::HUP,
        "INT" => Signal::INT,
        "QUIT" => Signal::QUIT,
        "TERM" => Signal::TERM,
        "KILL" => Signal::KILL,
        "USR1" => Signal::USR1,
        "USR2" => Signal::USR2,
        "ABRT" => Signal::ABORT,
        "ALRM" => Signal::ALARM,
        "CONT" => Signal::CONT,
        "WINCH" => Signal::WINCH,
        _ => {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("`{signal}` is not a signal name such as `TERM` or `INT`"),
            ));
        }
    })
}
