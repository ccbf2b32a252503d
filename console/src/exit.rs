//! Owns the exit codes: the one table that scripts rely on.
//!
//! Source: the command line contract, `docs/cli.md`.

use std::process::ExitCode;

/// Why a program ended, as scripts see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// What was asked for is done.
    Done = 0,
    /// A programming error or something no other code describes.
    Unexpected = 1,
    /// The command line, a definition or an answer file is wrong.
    Usage = 2,
    /// A person said no, or pressed Ctrl-C.
    Cancelled = 3,
    /// `--check` found an update.
    UpdateAvailable = 10,
    /// No sufficient valid signature over the bytes as read.
    Refused = 20,
    /// A signed hash does not match.
    Damaged = 21,
    /// The format is newer than this program reads.
    FormatTooNew = 22,
    /// Older than what is or was installed, or a replay.
    Downgrade = 23,
    /// Signed content that breaks the format.
    Malformed = 24,
    /// Another process holds the lock.
    Busy = 30,
    /// Not enough space.
    NoSpace = 31,
    /// The file system said no.
    FileSystem = 32,
    /// A stick or a part is not there; the message names it.
    MediumMissing = 33,
    /// A service did not become ready; rolled back where a transaction ran.
    NotReady = 40,
    /// An interrupted transaction must be recovered first.
    RecoveryNeeded = 41,
    /// There was nothing to do.
    NothingToDo = 50,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
