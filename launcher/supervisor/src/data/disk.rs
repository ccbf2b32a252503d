//! Owns the one way in which the data directories of services are changed: a few mutations and named crash points.
//!
//! Everything that makes, copies, moves or publishes a data directory goes through [`Disk`], so that a test can stop it
//! before each mutation. What a service or a migration writes inside its directory is its own business.
//!
//! Source: launcher/DATA.md, one row per point.

use std::{fs, io, path::Path};

use crate::{
    files::{self, FileError, failed},
    platform,
};

macro_rules! points {
    ($($(#[$doc:meta])+ $variant:ident = $name:literal),+ $(,)?) => {
        /// A moment at which a test may end the process. Everything between two points is covered by counting mutations.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Point { $($(#[$doc])+ $variant),+ }

        impl Point {
            /// Every point, in the order of a move.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name, as the table writes it.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
    };
}

points! {
    /// `active.json` says what is about to be made from what.
    Intended = "data-intended",
    /// The unfinished directory is there and empty.
    Begun = "data-begun",
    /// The snapshot for a move in place is whole and durable.
    Copied = "data-copied",
    /// What was made is durable; it has no final name yet.
    Durable = "data-durable",
    /// It has its final name; `active.json` does not name it yet.
    Published = "data-published",
    /// `active.json` names it.
    Activated = "data-activated",
    /// The way back: `active.json` names the older data; the newer one has no name aside yet.
    Returned = "data-returned",
    /// The newer data has its name aside.
    SetAside = "data-set-aside",
}

/// Changes data directories.
pub(crate) trait Disk {
    /// Makes a directory that only we may enter, with those above it.
    fn make_dir(&self, dir: &Path) -> Result<(), FileError>;
    /// Removes a directory with everything in it; absent is fine.
    fn remove_tree(&self, dir: &Path) -> Result<(), FileError>;
    /// Makes `to` share the bytes of `from`; false, and no `to`, where the file system cannot.
    fn clone_file(&self, from: &Path, to: &Path) -> Result<bool, FileError>;
    /// Copies the bytes and the mode of a file.
    fn copy_file(&self, from: &Path, to: &Path) -> Result<(), FileError>;
    /// Copies a symbolic link as it is.
    fn copy_link(&self, from: &Path, to: &Path) -> Result<(), FileError>;
    /// Removes a file; absent is fine.
    fn remove_file(&self, path: &Path) -> Result<(), FileError>;
    /// Gives a directory another name; nothing has that name.
    fn rename(&self, from: &Path, to: &Path) -> Result<(), FileError>;
    /// Makes everything below `dir` durable.
    fn sync_tree(&self, dir: &Path) -> Result<(), FileError>;
    /// Makes the names in `dir` durable.
    fn sync_dir(&self, dir: &Path) -> Result<(), FileError>;
    /// Replaces a document; durable when it returns.
    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), FileError>;
    /// Passes a point.
    fn reach(&self, point: Point) -> Result<(), FileError>;
}

/// The disk itself. May end the process at a point: a test asks for that from outside.
#[derive(Clone, Debug, Default)]
pub(crate) struct Real {
    end_at: Option<String>,
}

impl Real {
    /// `end_at` names the point at which the process ends as if it were killed.
    pub(crate) fn new(end_at: Option<String>) -> Self {
        Self { end_at }
    }
}

impl Disk for Real {
    fn make_dir(&self, dir: &Path) -> Result<(), FileError> {
        files::make_dir(dir.parent().unwrap_or(dir))?;
        platform::make_private_dir(dir).map_err(failed("create", dir))
    }

    fn remove_tree(&self, dir: &Path) -> Result<(), FileError> {
        match fs::remove_dir_all(dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(failed("remove", dir)),
        }
    }

    fn clone_file(&self, from: &Path, to: &Path) -> Result<bool, FileError> {
        platform::clone_file(from, to).map_err(failed("copy", from))
    }

    fn copy_file(&self, from: &Path, to: &Path) -> Result<(), FileError> {
        fs::copy(from, to).map(drop).map_err(failed("copy", from))
    }

    fn copy_link(&self, from: &Path, to: &Path) -> Result<(), FileError> {
        platform::copy_link(from, to).map_err(failed("copy", from))
    }

    fn remove_file(&self, path: &Path) -> Result<(), FileError> {
        files::remove_file(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), FileError> {
        if to.exists() {
            let there = io::Error::new(io::ErrorKind::AlreadyExists, format!("`{}` is there", to.display()));
            return Err(failed("rename", from)(there));
        }
        fs::rename(from, to).map_err(failed("rename", from))
    }

    fn sync_tree(&self, dir: &Path) -> Result<(), FileError> {
        platform::sync_tree(dir).map_err(failed("sync", dir))
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), FileError> {
        platform::sync_dir(dir).map_err(failed("sync", dir))
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), FileError> {
        files::replace(path, bytes)
    }

    fn reach(&self, point: Point) -> Result<(), FileError> {
        if self.end_at.as_deref() == Some(point.name()) {
            std::process::abort();
        }
        Ok(())
    }
}

/// Names of the crash points, in the order of a move; each has a row in launcher/DATA.md.
pub fn point_names() -> Vec<&'static str> {
    Point::ALL.iter().map(|p| p.name()).collect()
}
