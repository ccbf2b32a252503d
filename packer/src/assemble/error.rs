//! Owns why a pack could not be assembled, and what scripts see of it.

use std::io;

use kojibox_console::{Exit, Report};
use kojibox_packs::write::WriteError;
use kojibox_signing::Digest;

use super::{differs::Difference, runtime::RuntimeError};
use crate::{
    depot::{LayOutError, PlaceError, io_exit},
    interrupt,
};

/// Why a pack could not be assembled.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// A file of a component could not be looked at.
    #[error("could not read `{path}` of component `{component}`")]
    Read {
        /// Component id.
        component: String,
        /// Path in the component.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// What a component needs of its host is not what the definition says.
    #[error("component `{component}` cannot run as declared")]
    Runtime {
        /// Component id.
        component: String,
        /// How they differ.
        #[source]
        source: RuntimeError,
    },
    /// The blob could not be written.
    #[error("could not pack component `{component}`")]
    Blob {
        /// Component id.
        component: String,
        /// Why.
        #[source]
        source: WriteError,
    },
    /// A file of the depot could not be written.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The trust roots could not be laid out.
    #[error("could not lay out the trust roots")]
    Trust(#[source] LayOutError),
    /// No number follows from the version.
    #[error("no `sequence` follows from the version `{version}`")]
    NoSequence {
        /// Version of the pack.
        version: String,
    },
    /// The manifest breaks a rule of the format.
    #[error("could not make the manifest of `{pack}`")]
    Manifest {
        /// Pack id.
        pack: String,
        /// Which rule.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The tree is not the one that the lock states.
    #[error("component `{component}` is not what the lock says")]
    Tree {
        /// Component id.
        component: String,
        /// Where they differ first.
        #[source]
        source: Difference,
    },
    /// Two builds of the same input differ.
    #[error("two builds of `{pack}` differ in {what}")]
    NotReproducible {
        /// Pack id.
        pack: String,
        /// What differs first.
        what: String,
        /// The two digests.
        #[source]
        source: TwoDigests,
    },
}

/// What the first and the second build gave.
#[derive(Debug, thiserror::Error)]
#[error("sha256 is `{first}` in the first build and `{second}` in the second")]
pub struct TwoDigests {
    /// Of the first build.
    pub first: Digest,
    /// Of the second build.
    pub second: Digest,
}

impl From<AssembleError> for Report {
    fn from(error: AssembleError) -> Self {
        if interrupt::asked() {
            return interrupt::report();
        }
        let exit = match &error {
            AssembleError::Place(e) | AssembleError::Trust(LayOutError::Place(e)) => e.exit(),
            AssembleError::Read { source, .. }
            | AssembleError::Blob {
                source: WriteError::Input { source, .. } | WriteError::Output(source),
                ..
            } => io_exit(source),
            AssembleError::NotReproducible { .. } => Exit::Unexpected,
            _ => Exit::Usage,
        };
        let hint = match &error {
            AssembleError::Runtime {
                source: RuntimeError::ForeignLoader { .. },
                ..
            } => Some(
                "take a build for glibc or a static one, or bundle the loader and write `runtime = \"own-loader\"`",
            ),
            AssembleError::Runtime { .. } => {
                Some("change `runtime` of the component, or leave it out to have it computed")
            }
            AssembleError::Tree { .. } => {
                Some("if the change is meant, build once without `--locked`; else restore the source")
            }
            AssembleError::NoSequence { .. } => {
                Some("write `sequence` in `[pack]`: a number above that of every earlier release")
            }
            AssembleError::Trust(LayOutError::Fork { .. }) => {
                Some("use the depot of this publisher, or another folder")
            }
            _ if exit == Exit::NoSpace => Some("free space on the depot's volume, or name another depot"),
            _ => None,
        };
        let report = Self::new(exit, error)
            .state("packs whose manifest is in the depot are whole; running the same command again finishes the job");
        match hint {
            Some(hint) => report.hint(hint),
            None => report,
        }
    }
}
