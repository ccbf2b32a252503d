//! Owns the way from format 1 to format 2: a new database beside the old one, which is only read.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::book::{Book, BookError, FILE, Format};

/// Makes a guest book of `format` in `new` from the previous format's in `old`; gives back the number of notes.
///
/// Crash: nothing in `old` is ever written, not even a journal or a lock: the work is done on a copy in `new`. A
/// half-made `new` is the caller's to remove; the launcher does so and starts over.
pub(crate) fn migrate(old: &Path, new: &Path, format: Format) -> Result<usize, BookError> {
    if format != Format::Two {
        return Err(BookError::NoPredecessor(format));
    }
    let copy = Copy::of(old, new)?;
    let mut notes = Book::open(&copy.dir, Format::One)?.notes()?;
    notes.reverse();
    Book::create(new, format)?.take_over(&notes)?;
    copy.remove()?;
    Ok(notes.len())
}

/// A copy of the old database inside the new directory. A journal that a crash left is copied too, so that `SQLite`
/// finishes the old book's last transaction in the copy.
struct Copy {
    dir: PathBuf,
}

impl Copy {
    fn of(old: &Path, new: &Path) -> Result<Self, BookError> {
        let source = old.join(FILE);
        if !source.exists() {
            return Err(BookError::Missing(source));
        }
        let dir = new.join("old-format");
        fs::create_dir_all(&dir).map_err(|source| BookError::Io {
            path: dir.clone(),
            source,
        })?;
        for name in [FILE.to_owned(), format!("{FILE}-journal")] {
            copy_file(&old.join(&name), &dir.join(&name))?;
        }
        Ok(Self { dir })
    }

    fn remove(self) -> Result<(), BookError> {
        for name in [FILE.to_owned(), format!("{FILE}-journal")] {
            let path = self.dir.join(name);
            match fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(BookError::Io { path, source }),
                _ => {}
            }
        }
        fs::remove_dir(&self.dir).map_err(|source| BookError::Io { path: self.dir, source })
    }
}

fn copy_file(from: &Path, to: &Path) -> Result<(), BookError> {
    match fs::copy(from, to) {
        Ok(_) => Ok(()),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(BookError::Io {
            path: from.into(),
            source,
        }),
    }
}
