//! Owns [`Depot`]: a directory that holds packs and blobs (a stick, a share, a folder).

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{BlobSource, ReadSeekSend, Section, SourceError, checked, open_regular};
use crate::{
    limits,
    names::{self, FileName},
};

/// A depot on a file system; read only.
#[derive(Clone, Debug)]
pub struct Depot {
    root: PathBuf,
}

impl Depot {
    /// Opens the depot at `root`, which must have a folder `packs`, `trust` or `feed` (a stick may bring only a root).
    pub fn open(root: &Path) -> Result<Self, SourceError> {
        let meta = fs::metadata(root).map_err(|e| SourceError::io(root, e))?;
        let has = |folder: &str| root.join(folder).is_dir();
        if !meta.is_dir() || !["packs", "trust", "feed"].into_iter().any(has) {
            return Err(SourceError::NoDepot(root.to_owned()));
        }
        Ok(Self { root: root.to_owned() })
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn folder(&self, section: &Section) -> PathBuf {
        let mut path = self.root.clone();
        path.extend(section.folder().split('/'));
        path
    }

    /// Names of one folder that `keep` takes, sorted; none if there is no such folder.
    fn names(folder: &Path, dirs: bool, keep: impl Fn(&str) -> bool) -> Result<Vec<String>, SourceError> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(SourceError::io(folder, e)),
        };
        let mut out = Vec::new();
        for (seen, entry) in entries.enumerate() {
            if seen >= limits::FILES {
                return Err(SourceError::TooMany(folder.to_owned()));
            }
            let entry = entry.map_err(|e| SourceError::io(folder, e))?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if !keep(&name) {
                continue;
            }
            let path = entry.path();
            match fs::metadata(&path) {
                Ok(meta) if dirs && meta.is_dir() || !dirs && meta.is_file() => out.push(name),
                Ok(_) => {}
                // A link that leads nowhere, or a file that was just removed.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(SourceError::io(&path, e)),
            }
        }
        out.sort();
        Ok(out)
    }
}

impl BlobSource for Depot {
    fn open(&self, section: &Section, name: &str) -> Result<Option<Box<dyn ReadSeekSend>>, SourceError> {
        let name = checked(section, name)?;
        let path = self.folder(section).join(&*name);
        match open_regular(&path) {
            Ok(file) => Ok(Some(Box::new(file))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(SourceError::io(&path, e)),
        }
    }

    fn list(&self, section: &Section) -> Result<Vec<String>, SourceError> {
        section.check()?;
        Self::names(&self.folder(section), false, |name| FileName::new(name).is_ok())
    }

    fn publishers(&self) -> Result<Vec<String>, SourceError> {
        Self::names(&self.root.join("trust"), true, names::is_hex16)
    }

    fn describe(&self) -> String {
        self.root.display().to_string()
    }

    fn locate(&self, section: &Section, name: &str) -> PathBuf {
        self.folder(section).join(name)
    }
}
