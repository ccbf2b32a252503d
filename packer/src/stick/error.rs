//! Owns why a stick could not be laid out, and what scripts see of it.

use std::path::PathBuf;

use kojibox_console::{Exit, Report, bytes};
use kojibox_packs::{parity::ParityError, write::PartError};
use kojibox_signing::embedded::EmbeddedError;

use crate::{
    depot::{FindError, LayOutError, PlaceError, Refused},
    interrupt,
    tools::ToolError,
};

/// Why a stick could not be laid out.
#[derive(Debug, thiserror::Error)]
pub enum StickError {
    /// The depot could not be read.
    #[error(transparent)]
    Find(#[from] FindError),
    /// A pack is not good.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A named pack is not there for any of the targets.
    #[error("there is no pack `{pack}` for {targets} in `{}`", depot.display())]
    NoPack {
        /// As asked for.
        pack: String,
        /// As asked for.
        targets: String,
        /// Where.
        depot: PathBuf,
    },
    /// There is nothing to carry.
    #[error("there is no pack for {targets} in `{}`", depot.display())]
    Nothing {
        /// As asked for.
        targets: String,
        /// Where.
        depot: PathBuf,
    },
    /// An installer is not there.
    #[error("could not put an installer for `{target}` on the stick")]
    Tool {
        /// Target.
        target: String,
        /// Why.
        #[source]
        source: ToolError,
    },
    /// The trust root cannot be appended to an installer.
    #[error("could not append the trust root to the installer `{}`", path.display())]
    Embed {
        /// The program.
        path: PathBuf,
        /// Why.
        #[source]
        source: EmbeddedError,
    },
    /// A blob cannot be cut into parts of that size.
    #[error("could not cut `{blob}` into parts of {}", bytes(*size))]
    Part {
        /// The blob.
        blob: String,
        /// As asked for.
        size: u64,
        /// Why.
        #[source]
        source: PartError,
    },
    /// A blob is too large for parity.
    #[error("could not plan parity for `{blob}`")]
    Parity {
        /// The blob.
        blob: String,
        /// Why.
        #[source]
        source: ParityError,
    },
    /// A parity file would be too large for FAT32.
    #[error("the parity of `{blob}` would be {}, more than FAT32 holds in one file", bytes(*size))]
    ParitySize {
        /// The blob.
        blob: String,
        /// Bytes of its parity.
        size: u64,
    },
    /// It does not fit.
    #[error("not enough space on the stick `{}`", dir.display())]
    NoSpace {
        /// The stick.
        dir: PathBuf,
        /// How much.
        #[source]
        lack: Lack,
    },
    /// A file could not be written.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// A person pressed Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// The trust roots could not be laid out.
    #[error("could not lay out the trust roots")]
    Trust(#[source] LayOutError),
}

/// How much space is missing.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("{} needed, {} free", bytes(*needed), bytes(*free))]
pub struct Lack {
    /// Bytes to be written.
    pub needed: u64,
    /// Bytes that are free.
    pub free: u64,
}

impl StickError {
    /// True if something may have been written.
    fn after_writing(&self) -> bool {
        matches!(
            self,
            Self::Place(_) | Self::Trust(_) | Self::Refused(Refused::Damaged { .. })
        )
    }
}

impl From<StickError> for Report {
    fn from(error: StickError) -> Self {
        const AGAIN: &str =
            "packs on the stick whose manifest is there are whole; running the same command again goes on";
        if interrupt::asked() || matches!(error, StickError::Interrupted) {
            return interrupt::report().state(AGAIN);
        }
        let state = if error.after_writing() {
            AGAIN
        } else {
            "nothing was written"
        };
        let plain = |exit, error: StickError| Self::new(exit, error);
        let report = match error {
            StickError::Find(e) => e.into(),
            StickError::Refused(e) => e.into(),
            StickError::Place(e) | StickError::Trust(LayOutError::Place(e)) => e.into(),
            error @ (StickError::NoPack { .. } | StickError::Nothing { .. }) => {
                plain(Exit::MediumMissing, error).hint("build it, or name another `--target`")
            }
            error @ StickError::Tool { .. } => plain(Exit::Usage, error)
                .hint("name a folder that has it with `--tools DIR`, fewer targets with `--target`, or pass `--without-installer`"),
            error @ StickError::Part { .. } => plain(Exit::Usage, error).hint("allow larger parts with `--part-size`"),
            error @ (StickError::Parity { .. } | StickError::ParitySize { .. }) => {
                plain(Exit::Usage, error).hint("ask for less with `--parity`, or leave it out")
            }
            error @ StickError::NoSpace { .. } => {
                plain(Exit::NoSpace, error).hint("run it with `--plan` to see sizes; carry less with `--pack` and `--target`")
            }
            error @ (StickError::Embed { .. } | StickError::Interrupted) => plain(Exit::Usage, error),
            error @ StickError::Trust(_) => plain(Exit::Refused, error).hint("use a stick of this publisher, or an empty folder"),
        };
        report.state(state)
    }
}
