//! Owns [`BlobOutput`]: where the parts of a blob go, and [`DirOutput`], which puts them into a directory.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use crate::names;

/// Takes the parts of one blob, in order. Its name is known only at the end, because it holds the digest.
///
/// Errors should name the file.
pub trait BlobOutput {
    /// Begins part `number`, counted from 1; the one before it has ended.
    fn begin_part(&mut self, number: u32) -> io::Result<()>;
    /// Appends to the current part.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Ends the current part.
    fn end_part(&mut self) -> io::Result<()>;
}

impl BlobOutput for Vec<Vec<u8>> {
    fn begin_part(&mut self, _: u32) -> io::Result<()> {
        self.push(Vec::new());
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let part = self.last_mut().expect("a part was begun");
        part.extend_from_slice(bytes);
        Ok(())
    }

    fn end_part(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes parts into a directory under names that no reader takes, then gives them their own.
///
/// Crash: what was not published is litter that starts with a dot. Dropped unpublished, it removes its files.
#[derive(Debug)]
#[must_use = "parts that are not published are removed"]
pub struct DirOutput {
    dir: PathBuf,
    stem: String,
    parts: Vec<PathBuf>,
    current: Option<File>,
}

impl DirOutput {
    /// Writes into `dir`, which must exist; `stem` tells several writers in one directory apart.
    pub fn new(dir: &Path, stem: &str) -> Self {
        Self {
            dir: dir.to_owned(),
            stem: stem.to_owned(),
            parts: Vec::new(),
            current: None,
        }
    }

    /// Renames the parts to `blob`, or `blob.001` and so on, and removes parts of an earlier split of the same blob.
    ///
    /// Every part was synced when it ended; the directory is not, since more files follow. Gives the file names.
    pub fn publish(self, blob: &str) -> io::Result<Vec<String>> {
        let single = self.parts.len() == 1;
        let mut out = Vec::new();
        for (temp, number) in self.parts.iter().zip(1..) {
            let name = if single {
                blob.to_owned()
            } else {
                names::part(blob, number)
            };
            let place = self.dir.join(&name);
            fs::rename(temp, &place).map_err(|e| named(&place, e))?;
            out.push(name);
        }
        let kept = if single { 0 } else { out.len() };
        let stale = (kept + 1..=names::MAX_PARTS as usize).map(|n| names::part(blob, u32::try_from(n).unwrap_or(0)));
        for name in stale {
            if !self.remove(&name)? {
                break;
            }
        }
        if !single {
            self.remove(blob)?;
        }
        Ok(out)
    }

    /// False if there was no such file.
    fn remove(&self, name: &str) -> io::Result<bool> {
        let path = self.dir.join(name);
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(named(&path, e)),
        }
    }
}

impl BlobOutput for DirOutput {
    fn begin_part(&mut self, number: u32) -> io::Result<()> {
        let path = self.dir.join(format!(".{}.{number:03}.tmp", self.stem));
        let file = File::create(&path).map_err(|e| named(&path, e))?;
        self.parts.push(path);
        self.current = Some(file);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let file = self.current.as_mut().expect("a part was begun");
        let path = self.parts.last().expect("a part was begun");
        file.write_all(bytes).map_err(|e| named(path, e))
    }

    fn end_part(&mut self) -> io::Result<()> {
        let file = self.current.take().expect("a part was begun");
        let path = self.parts.last().expect("a part was begun");
        file.sync_all().map_err(|e| named(path, e))
    }
}

impl Drop for DirOutput {
    fn drop(&mut self) {
        self.current = None;
        for path in &self.parts {
            // Litter is harmless; there is nobody left to tell.
            drop(fs::remove_file(path));
        }
    }
}

/// The same error with the file in its text; its kind is kept.
fn named(path: &Path, error: io::Error) -> io::Error {
    #[derive(Debug, thiserror::Error)]
    #[error("could not write `{}`", path.display())]
    struct Named {
        path: PathBuf,
        source: io::Error,
    }
    let kind = error.kind();
    let path = path.to_owned();
    io::Error::new(kind, Named { path, source: error })
}
