//! Owns the probe of a file system's abilities: a temporary directory of our own, tried out and removed.

use std::{fs, io, path::Path};

use crate::platform;

/// What a file system can do.
#[expect(clippy::struct_excessive_bools, reason = "five abilities, each there or not")]
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
            symlink: platform::symlink_file(Path::new("probe"), &scratch.path().join("link")).is_ok(),
            case_sensitive: !scratch.path().join("PROBE").try_exists()?,
            hard_link: fs::hard_link(&file, scratch.path().join("second")).is_ok(),
            modes: platform::private_mode_kept(&file).unwrap_or(false),
        };
        scratch.close()?;
        Ok(abilities)
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    #[test]
    fn the_temporary_directory_can_do_everything_and_is_left_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let found = super::Abilities::probe(dir.path(), false).unwrap();
        assert!(found.exec && found.symlink && found.case_sensitive && found.hard_link && found.modes);
        assert!(!super::Abilities::probe(dir.path(), true).unwrap().exec);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
