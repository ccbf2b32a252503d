//! Owns how our processes talk: JSON lines with a protocol version, one request per connection.
//!
//! A connection carries one request line from the client and then only lines from the server. So both directions are
//! never busy at once, and a plain blocking pipe is enough on every system.

use std::{
    io::{self, BufRead as _, BufReader, Read, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::platform::{self, Stream};

/// Version of what is said now.
pub(crate) const PROTOCOL: u32 = 1;
/// Oldest version that is still understood: shims outlive an update of the launcher.
pub(crate) const OLDEST: u32 = 1;
/// No line is longer.
const MAX_LINE: u64 = 1 << 20;

/// Two of our processes could not talk.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// Nobody listens.
    #[error("nobody answers at `{}`", endpoint.display())]
    NoAnswer {
        /// Where.
        endpoint: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The connection broke.
    #[error("the connection broke")]
    Broken(#[source] io::Error),
    /// The line is not one of ours.
    #[error("the other side said something else than was expected")]
    Odd(#[source] serde_json::Error),
    /// The other side speaks a version that is too old or too new.
    #[error("the other side speaks protocol {0}, this program speaks {OLDEST} to {PROTOCOL}")]
    Version(u32),
    /// The other side ended the connection without an answer.
    #[error("the connection ended without an answer")]
    Silent,
}

/// A line with its version.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Line<T> {
    pub(crate) v: u32,
    #[serde(flatten)]
    pub(crate) body: T,
}

#[derive(Deserialize)]
struct Version {
    v: u32,
}

/// Writes one line.
pub(crate) fn send(to: &mut impl Write, body: impl Serialize) -> Result<(), WireError> {
    let mut bytes = serde_json::to_vec(&Line { v: PROTOCOL, body }).map_err(WireError::Odd)?;
    bytes.push(b'\n');
    to.write_all(&bytes)
        .and_then(|()| to.flush())
        .map_err(WireError::Broken)
}

/// Reads lines.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    from: BufReader<R>,
}

impl<R: Read> Lines<R> {
    pub(crate) fn new(from: R) -> Self {
        Self {
            from: BufReader::new(from),
        }
    }

    /// Reads the next line; `None` at the end.
    pub(crate) fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, WireError> {
        let mut bytes = Vec::new();
        let mut limited = self.from.by_ref().take(MAX_LINE);
        limited.read_until(b'\n', &mut bytes).map_err(WireError::Broken)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        // The version is looked at first: a line of another version may have another shape.
        let Version { v } = serde_json::from_slice(&bytes).map_err(WireError::Odd)?;
        if !(OLDEST..=PROTOCOL).contains(&v) {
            return Err(WireError::Version(v));
        }
        let line: Line<T> = serde_json::from_slice(&bytes).map_err(WireError::Odd)?;
        Ok(Some(line.body))
    }
}

/// Asks and leaves the connection open for any number of answers.
pub(crate) fn ask(endpoint: &Path, request: impl Serialize) -> Result<Lines<Stream>, WireError> {
    let mut stream = platform::connect(endpoint).map_err(|source| WireError::NoAnswer {
        endpoint: endpoint.to_owned(),
        source,
    })?;
    send(&mut stream, request)?;
    Ok(Lines::new(stream))
}

/// Asks for one answer and gives up after `patience`.
pub(crate) fn ask_once<T: DeserializeOwned>(
    endpoint: &Path,
    request: impl Serialize,
    patience: Duration,
) -> Result<T, WireError> {
    let mut stream = platform::connect(endpoint).map_err(|source| WireError::NoAnswer {
        endpoint: endpoint.to_owned(),
        source,
    })?;
    platform::set_patience(&stream, patience).map_err(WireError::Broken)?;
    send(&mut stream, request)?;
    Lines::new(stream).next()?.ok_or(WireError::Silent)
}
