//! Owns why a launcher could not be updated, and what each reason means for scripts and people.

use std::{
    io,
    path::{Path, PathBuf},
};

use kojibox_console::{Exit, Report, quoted};
use kojibox_packs::{manifest::Manifest, read::ReadError, source::SourceError};
use kojibox_signing::{Document, Refusal, VerifyError, root::RootError};
use kojibox_state::{RootPathError, StateError, StoreError};

use super::{floors::Replay, swap::SwapError};

/// A launcher could not be updated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpdateError {
    /// The root could not be read, locked or changed.
    #[error("could not work on the install root")]
    State(#[source] Box<StateError>),
    /// A change was refused by the file system.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A name of the pack leads out of its tree.
    #[error(transparent)]
    Path(#[from] RootPathError),
    /// A transaction was interrupted before.
    #[error("a transaction was interrupted before")]
    RecoveryNeeded,
    /// The way back could not be gone to its end.
    #[error("the update failed, and not everything of it could be taken back{}", because(why.as_deref()))]
    HalfDone {
        /// The generation that the pointer names.
        active: Option<u64>,
        /// What was in the way, if a way back was tried.
        why: Option<String>,
        /// Why it failed.
        source: Box<UpdateError>,
    },
    /// The new launcher serves, but the transaction is still in the journal.
    #[error("launcher {version} took over, but its transaction could not be closed")]
    Unclosed {
        /// Its version.
        version: String,
        /// Why.
        source: Box<UpdateError>,
    },
    /// The active generation was never ready.
    #[error("generation {0} has not been ready yet")]
    NotProven(u64),
    /// Nothing has been installed yet.
    #[error("nothing is installed in `{}`", .0.display())]
    Empty(PathBuf),
    /// There is no depot.
    #[error("could not open the source `{}`", path.display())]
    Open {
        /// What was named.
        path: PathBuf,
        /// Why.
        source: SourceError,
    },
    /// The source stopped answering.
    #[error("could not read the source")]
    Source(#[from] SourceError),
    /// A root does not follow from the pinned one.
    #[error("could not accept trust root {version} of publisher `{root16}`")]
    Root {
        /// Publisher.
        root16: String,
        /// Of the root.
        version: u64,
        /// Why.
        source: Box<RootError>,
    },
    /// The pinned root expired before the newest signed time.
    #[error("trust root of publisher `{root16}` expired at {expires}, signed documents prove that it is at least {at}")]
    StaleRoot {
        /// Publisher.
        root16: String,
        /// When.
        expires: String,
        /// Newest signed time.
        at: String,
    },
    /// Signatures do not suffice, or what they sign breaks the format.
    #[error("could not verify pack `packs/{file}`")]
    Manifest {
        /// Manifest file.
        file: String,
        /// Why.
        source: Box<VerifyError<<Manifest as Document>::Error>>,
    },
    /// No pack of the source is signed by a publisher that is trusted here.
    #[error("no pack in `{0}` is signed by a publisher that this tree trusts")]
    NobodyTrusted(String),
    /// The pack must not be used here (any more).
    #[error("pack `{pack}` {version} is refused")]
    Floor {
        /// Pack id.
        pack: String,
        /// Its version.
        version: String,
        /// Why.
        source: Replay,
    },
    /// The pack asks for a newer reader.
    #[error("pack `packs/{file}` asks for version {wanted} or newer")]
    TooNew {
        /// Manifest file.
        file: String,
        /// Lowest version that understands it.
        wanted: String,
    },
    /// It did not work here before.
    #[error("launcher {version} was refused before: {why}")]
    RefusedBefore {
        /// Its version.
        version: String,
        /// What had happened.
        why: String,
    },
    /// The blob could not be read.
    #[error("could not read launcher {version} from the source")]
    Read {
        /// Its version.
        version: String,
        /// Why.
        source: Box<ReadError>,
    },
    /// The tree of the component has no program.
    #[error("the launcher's component has no `{0}` at its top")]
    NoProgram(&'static str),
    /// What the pipeline has placed could not be read.
    #[error("could not read `{}`", path.display())]
    Fetched {
        /// Full path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The pipeline refused.
    #[error("could not place the new launcher")]
    Pipeline(#[source] Box<self_update::Error>),
    /// The program on disk is not the signed one.
    #[error("`{}` is not what was signed: sha256 is `{got}`, expected `{expected}`", path.display())]
    Differs {
        /// Full path.
        path: PathBuf,
        /// Of the file.
        got: String,
        /// Signed.
        expected: String,
    },
    /// The new program does not work in its place.
    #[error("launcher {version} does not work in its place")]
    SelfCheck {
        /// Its version.
        version: String,
        /// What it said.
        source: Box<SwapError>,
    },
    /// The new program does not take over.
    #[error("launcher {version} did not take over the running services")]
    Swap {
        /// Its version.
        version: String,
        /// What went wrong.
        source: Box<SwapError>,
    },
}

impl UpdateError {
    /// What scripts see.
    fn exit(&self) -> Exit {
        match self {
            Self::State(error) => of_state(error),
            Self::Differs { .. } => Exit::Damaged,
            Self::TooNew { .. } => Exit::FormatTooNew,
            Self::Store(error) if error.is_no_space() => Exit::NoSpace,
            Self::Store(_) | Self::Path(_) | Self::Pipeline(_) | Self::Fetched { .. } => Exit::FileSystem,
            Self::RecoveryNeeded | Self::HalfDone { .. } | Self::Unclosed { .. } => Exit::RecoveryNeeded,
            Self::Empty(_) => Exit::NothingToDo,
            Self::Open { source, .. } => of_kind(source.kind()),
            Self::Source(error) => of_kind(error.kind()),
            Self::Read { source, .. } => of_kind(source.kind()),
            Self::Root { source, .. } => of_refusal(Some(source.refusal())),
            Self::Manifest { source, .. } => of_refusal(source.refusal()),
            Self::NobodyTrusted(_) | Self::StaleRoot { .. } => Exit::Refused,
            Self::Floor { .. } => Exit::Downgrade,
            Self::NoProgram(_) => Exit::Malformed,
            Self::NotProven(_) | Self::RefusedBefore { .. } | Self::SelfCheck { .. } | Self::Swap { .. } => {
                Exit::NotReady
            }
        }
    }

    /// True if the same launcher would fail here again.
    pub(super) fn is_lasting(&self) -> bool {
        match self {
            Self::SelfCheck { source, .. } | Self::Swap { source, .. } => source.is_its_own(),
            _ => false,
        }
    }

    /// True if the process counts as dead (fault injection): nothing may be cleaned up.
    pub(super) fn is_killed(&self) -> bool {
        match self {
            Self::Store(error) => error.is_killed(),
            Self::State(error) => error.is_killed(),
            _ => false,
        }
    }

    /// What to do about it, in the tree `root`.
    fn hint(&self, root: &Path) -> String {
        match self {
            // The launcher has no recovery of its own, and the installer does not know which tree was meant.
            Self::RecoveryNeeded | Self::HalfDone { .. } | Self::Unclosed { .. } => {
                format!("run `kojibox-installer recover --root {}`", quoted(root))
            }
            _ => self.advice().to_owned(),
        }
    }

    fn advice(&self) -> &'static str {
        match self {
            Self::NotProven(_) => "run `kojibox up`, then the same command again",
            Self::State(error) if of_state(error) == Exit::Busy => {
                "wait for it to end, then run the same command again"
            }
            Self::Empty(_) => "install a pack with `kojibox-installer install`",
            Self::Open { .. } => "name a stick, a directory or a `.kpack` file with `--source`",
            Self::Source(_) | Self::Read { .. } => "check the medium, or copy it again from its source",
            Self::Root { .. } | Self::StaleRoot { .. } | Self::Manifest { .. } | Self::NobodyTrusted(_) => {
                "run `kojibox-installer trust show`, and ask the publisher which key signs"
            }
            Self::Floor { .. } => "use a newer release",
            Self::RefusedBefore { .. } => "use a newer release, or try this one again with `--retry-refused`",
            Self::TooNew { .. } => "update with `kojibox-installer update`",
            Self::SelfCheck { .. } | Self::Swap { .. } if self.is_lasting() => {
                "tell the publisher; it will not be tried again here"
            }
            Self::SelfCheck { .. } | Self::Swap { .. } => "run the same command again",
            _ => "run `kojibox doctor`",
        }
    }

    /// The report: `state` says what the machine is now, `active` is the launcher that was active before.
    pub(crate) fn report(self, active: &str, root: &Path) -> Report {
        let state = match &self {
            Self::HalfDone { active, .. } => {
                let generation = active.map_or("no generation".to_owned(), |id| format!("generation {id}"));
                format!("the transaction is interrupted; {generation} is active, no service was touched")
            }
            Self::Unclosed { version, .. } => {
                format!("launcher {version} is active and serves; the transaction is not closed")
            }
            Self::Swap { .. } => format!("the pointer is back; launcher {active} serves again, no service was touched"),
            _ => format!("launcher {active} stays active, no service was touched"),
        };
        let (exit, hint) = (self.exit(), self.hint(root));
        Report::new(exit, self).state(state).hint(hint)
    }
}

impl From<StateError> for UpdateError {
    fn from(error: StateError) -> Self {
        Self::State(Box::new(error))
    }
}

fn because(why: Option<&str>) -> String {
    why.map_or_else(String::new, |why| format!(": {why}"))
}

fn of_state(error: &StateError) -> Exit {
    match error {
        StateError::Busy { .. } => Exit::Busy,
        StateError::NotARoot { .. } => Exit::Usage,
        StateError::Damaged { .. } => Exit::Damaged,
        StateError::Schema { .. } => Exit::FormatTooNew,
        StateError::Store(error) if error.is_no_space() => Exit::NoSpace,
        _ => Exit::FileSystem,
    }
}

fn of_kind(kind: kojibox_packs::Kind) -> Exit {
    use kojibox_packs::Kind;
    match kind {
        Kind::Damaged => Exit::Damaged,
        Kind::Malformed => Exit::Malformed,
        Kind::MediumMissing => Exit::MediumMissing,
        Kind::TooNew => Exit::FormatTooNew,
        Kind::Cancelled => Exit::Cancelled,
        Kind::Io | Kind::Sink => Exit::FileSystem,
    }
}

fn of_refusal(refusal: Option<Refusal>) -> Exit {
    match refusal {
        Some(Refusal::Damaged) => Exit::Damaged,
        Some(Refusal::TooNew) => Exit::FormatTooNew,
        Some(Refusal::Replay) => Exit::Downgrade,
        Some(Refusal::Malformed) | None => Exit::Malformed,
        Some(Refusal::Unsigned) => Exit::Refused,
    }
}
