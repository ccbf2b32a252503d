//! Owns why a lock could not be read, written or used.

use std::{io, path::PathBuf};

use super::VERSION;

/// Why a lock could not be read, written or used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The file system said no.
    #[error("could not {verb} `{}`", path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// The lock.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The text is no lock.
    #[error("`{}` is no lock", path.display())]
    Shape {
        /// The lock.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A newer shape.
    #[error("`{}` has version {found}, this program reads version {VERSION}", path.display())]
    Version {
        /// The lock.
        path: PathBuf,
        /// What it says.
        found: u32,
    },
    /// There is none.
    #[error("there is no lock `{}`", path.display())]
    Absent {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The lock does not know the component for this target.
    #[error("the lock has no entry for component `{component}` and target `{target}`")]
    Missing {
        /// Component id.
        component: String,
        /// Target.
        target: String,
    },
    /// The definition changed since.
    #[error(
        "the source of component `{component}` changed since the lock: locked is `{locked}`, written is `{written}`"
    )]
    Stale {
        /// Component id.
        component: String,
        /// Locator in the lock.
        locked: String,
        /// Locator of the definition.
        written: String,
    },
    /// The steps changed since.
    #[error("the steps of component `{component}` changed since the lock")]
    StepsChanged {
        /// Component id.
        component: String,
    },
}
