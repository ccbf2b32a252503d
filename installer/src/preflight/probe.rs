//! Owns the probe of a file system's abilities: a temporary directory of our own, tried out and removed.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

use crate::platform;

/// What a file system can do.
#[expect(clippy::struct_excessive_bools, reason = "six abilities, each there or not")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Abilities {
    /// A program can be marked as one, and run.
    pub exec: bool,
    /// Links to files can be made.
    pub symlink: bool,
    /// `a` and `A` are two files.
    pub case_sensitive: bool,
    /// Two names for one file.
    pub hard_link: bool,
    /// A file can be kept from others.
    pub modes: bool,
    /// A file can be added to later, as the journal is. Some drivers for sticks can only write a file from its start.
    pub append: bool,
}

impl Abilities {
    /// Tries out the file system of `dir`, which must exist; leaves nothing behind.
    pub(crate) fn probe(dir: &Path, noexec: bool) -> io::Result<Self> {
        let scratch = tempfile::Builder::new().prefix(".kojibox-probe-").tempdir_in(dir)?;
        let file = scratch.path().join("probe");
        fs::write(&file, b"probe")?;
        // What a file system without modes answers is no failure; what the file is then, is the answer.
        drop(platform::make_executable(&file));
        let abilities = Self {
            exec: platform::is_executable(&file)? && !noexec,
            symlink: able(platform::symlink_file(Path::new("probe"), &scratch.path().join("link")))?,
            case_sensitive: !scratch.path().join("PROBE").try_exists()?,
            hard_link: able(fs::hard_link(&file, scratch.path().join("second")))?,
            modes: platform::private_mode_kept(&file).unwrap_or(false),
            append: able(add_to(&scratch.path().join("journal")))?,
        };
        scratch.close()?;
        Ok(abilities)
    }
}

/// A refusal is an answer, unless the volume is full: then it says nothing of what it can do.
fn able(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if is_full(&error) => Err(error),
        Err(_) => Ok(false),
    }
}

/// True if a volume or a quota is full.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Writes a file, closes it, and writes more at its end.
fn add_to(path: &Path) -> io::Result<()> {
    fs::write(path, b"first")?;
    fs::OpenOptions::new().append(true).open(path)?.write_all(b"second")?;
    if fs::read(path)? == b"firstsecond" {
        Ok(())
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    #[test]
    fn the_temporary_directory_can_do_everything_and_is_left_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let found = super::Abilities::probe(dir.path(), false).unwrap();
        assert!(found.exec && found.symlink && found.case_sensitive && found.hard_link && found.modes && found.append);
        assert!(!super::Abilities::probe(dir.path(), true).unwrap().exec);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
