//! Owns [`TxError`]: why a transaction did not end as intended, and what the machine is now.

use std::{error::Error, fmt};

use kojibox_console::bytes;
use kojibox_packs::read::ReadError;
use kojibox_signing::Digest;
use kojibox_state::{RootPathError, StateError, StoreError};

use super::{formats::FormatChange, verify::Finding};
use crate::plan::GateError;

/// A transaction did not end as intended.
#[derive(Debug)]
pub struct TxError {
    cause: Box<Cause>,
    situation: Situation,
}

/// Why.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The install root could not be read or changed.
    #[error(transparent)]
    State(#[from] StateError),
    /// The bytes of a component could not be read, verified or decoded.
    #[error("could not stage component `{component}`")]
    Read {
        /// Component id.
        component: String,
        /// Why.
        source: Box<ReadError>,
    },
    /// The services of the active generation did not stop.
    #[error("could not stop the services of generation {generation}")]
    Stop {
        /// The active generation.
        generation: u64,
        /// Why.
        source: GateError,
    },
    /// Nothing runs any more, but data that has to be moved to another format was not left cleanly.
    #[error("the data of generation {generation} was not left cleanly, and is not moved to another format")]
    NotClean {
        /// The active generation.
        generation: u64,
        /// Which services.
        source: GateError,
    },
    /// The gate failed.
    #[error("generation {generation} did not become ready")]
    NotReady {
        /// The new generation.
        generation: u64,
        /// What was not ready.
        source: GateError,
    },
    /// A person pressed Ctrl-C.
    #[error("cancelled")]
    Cancelled,
    /// The journal of the last transaction could not be emptied.
    #[error("the journal of the last transaction could not be emptied")]
    Unsettled,
    /// A generation was named that is not there.
    #[error("there is no generation {0}")]
    NoGeneration(u64),
    /// There is no earlier generation.
    #[error("there is no generation to return to")]
    NothingBefore,
    /// It is active already.
    #[error("generation {0} is active already")]
    AlreadyActive(u64),
    /// Its gate failed once.
    #[error("generation {generation} is marked bad: {reason}")]
    MarkedBad {
        /// The generation.
        generation: u64,
        /// What was not ready then.
        reason: String,
    },
    /// A pack of it was withdrawn by its publisher.
    #[error("generation {generation} holds pack `{pack}`, which its publisher has revoked (manifest `{digest}`)")]
    Revoked {
        /// The generation.
        generation: u64,
        /// Pack id.
        pack: String,
        /// Its manifest.
        digest: Digest,
    },
    /// Its services read another data format than the present data has.
    #[error("generation {generation} reads an older data format: {}", lines(changes))]
    DataFormat {
        /// The generation.
        generation: u64,
        /// What would be missing, one per service.
        changes: Vec<FormatChange>,
    },
    /// Installed files are not what their index says.
    #[error("generation {generation} is damaged: {}", told(findings))]
    Damaged {
        /// The generation.
        generation: u64,
        /// What was found; never empty.
        findings: Vec<Finding>,
    },
    /// A pack has no such component.
    #[error("pack `{pack}` has no component `{component}`")]
    NoComponent {
        /// Pack id.
        pack: String,
        /// Component id.
        component: String,
    },
    /// A kept pack names a tree that is not installed.
    #[error("component `{component}` of the kept pack `{pack}` is not installed")]
    NotKept {
        /// Pack id.
        pack: String,
        /// Component id.
        component: String,
    },
    /// Two trees would have the same name.
    #[error("`components/{dir}` holds another tree: sha256 is `{got}`, expected `{expected}`")]
    Collision {
        /// Directory below `components/`.
        dir: String,
        /// As recorded.
        got: Digest,
        /// As planned.
        expected: Digest,
    },
}

fn lines(changes: &[FormatChange]) -> String {
    let lines: Vec<String> = changes.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

fn told(findings: &[Finding]) -> String {
    match findings {
        [] => "nothing".to_owned(),
        [one] => one.to_string(),
        [first, rest @ ..] => format!("{first}, and {} more", rest.len()),
    }
}

impl From<StoreError> for Cause {
    fn from(error: StoreError) -> Self {
        Self::State(error.into())
    }
}

impl From<RootPathError> for Cause {
    fn from(error: RootPathError) -> Self {
        Self::State(error.into())
    }
}

impl Cause {
    /// True if the process counts as dead (fault injection): nothing may be cleaned up.
    pub fn is_killed(&self) -> bool {
        matches!(self, Self::State(error) if error.is_killed())
    }

    /// True if the volume is full.
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::State(error) if error.store().is_some_and(StoreError::is_no_space))
    }
}

/// What the machine is after a transaction that did not end as intended; the `state:` line of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Situation {
    /// Nothing was written.
    Untouched {
        /// The active generation.
        active: Option<u64>,
    },
    /// What was begun is undone.
    Undone {
        /// The active generation, which is the one it was.
        active: Option<u64>,
        /// Bytes of staged files that are kept; the same command verifies them again and goes on from them.
        kept: u64,
        /// The services of the active generation were stopped and could not be started again.
        down: bool,
    },
    /// The new generation was active for a moment; it is kept, marked bad unless a person cancelled.
    Returned {
        /// The new generation.
        from: u64,
        /// The generation that is active again; `None` if there was none before.
        to: Option<u64>,
        /// Its services did not become ready again.
        down: bool,
        /// The new generation is marked bad.
        marked: bool,
    },
    /// The new generation is active; what comes after the commit is not finished.
    Active {
        /// The new generation.
        generation: u64,
    },
    /// What is installed is as it was, but its services were stopped and could not be started again.
    Stopped {
        /// The active generation.
        active: Option<u64>,
    },
    /// A damaged journal was moved to `backups/`; that is not recorded yet.
    Aside {
        /// The generation that the pointer names.
        active: Option<u64>,
    },
    /// Undoing failed too: the journal tells the next command.
    Interrupted {
        /// The generation that the pointer names.
        active: Option<u64>,
        /// Services were stopped, and nobody has started them since.
        down: bool,
    },
}

impl fmt::Display for Situation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stays = |active: &Option<u64>| match active {
            Some(n) => format!("generation {n} stays active"),
            None => "no generation is active".to_owned(),
        };
        match self {
            Self::Untouched { active } => write!(f, "nothing was written; {}", stays(active)),
            Self::Aside { active } => write!(
                f,
                "the damaged journal was moved to `backups`, which the same command records; {}",
                stays(active)
            ),
            Self::Undone { active, kept, down } => {
                let staged = if *kept > 0 {
                    format!("{} that were staged are kept for the next attempt", bytes(*kept))
                } else {
                    "staging was removed".to_owned()
                };
                let services = if *down { ", but its services are stopped" } else { "" };
                write!(f, "{staged}; {}{services}", stays(active))
            }
            Self::Returned { from, to, down, marked } => {
                match (to, down) {
                    (Some(to), false) => write!(f, "rolled back; generation {to} is active and ready")?,
                    (Some(to), true) => write!(f, "rolled back; generation {to} is active, but did not become ready")?,
                    (None, _) => write!(f, "no generation is active")?,
                }
                let mark = if *marked { ", marked bad" } else { "" };
                write!(f, "; generation {from} is kept{mark}")
            }
            Self::Active { generation } => {
                write!(f, "generation {generation} is active; the transaction is not closed")
            }
            Self::Stopped { active } => {
                write!(
                    f,
                    "nothing was written; {}, but its services are stopped",
                    stays(active)
                )
            }
            Self::Interrupted { active, down } => {
                match active {
                    Some(n) => write!(f, "the transaction is interrupted; generation {n} is active")?,
                    None => write!(f, "the transaction is interrupted; no generation is active")?,
                }
                f.write_str(if *down { ", its services are stopped" } else { "" })
            }
        }
    }
}

impl TxError {
    pub(super) fn new(cause: impl Into<Cause>, situation: Situation) -> Self {
        Self {
            cause: Box::new(cause.into()),
            situation,
        }
    }

    /// The same, with what the machine has become since.
    pub(super) fn now(self, situation: Situation) -> Self {
        Self { situation, ..self }
    }

    /// Why.
    pub fn cause(&self) -> &Cause {
        &self.cause
    }

    /// What the machine is now.
    pub fn situation(&self) -> &Situation {
        &self.situation
    }
}

impl fmt::Display for TxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl Error for TxError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.source()
    }
}
