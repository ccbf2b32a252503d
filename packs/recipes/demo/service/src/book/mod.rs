//! Owns the database: one `SQLite` file per data directory, in one of two formats.
//!
//! `guestbook.sqlite`: `application_id` says that it is a guest book, `user_version` says which format. The rollback
//! journal is used, not a write-ahead log, so that a book at rest is exactly one file.

mod one;
mod two;

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, Transaction};
use serde::{Deserialize, Serialize};

/// Name of the database in its directory.
pub(crate) const FILE: &str = "guestbook.sqlite";
/// `KBGB`: marks the file as a guest book.
const APPLICATION: i64 = 0x4b42_4742;

/// The shape of the data; each release reads exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One table, the author's name in each note.
    One = 1,
    /// Authors in a table of their own, and the time of each note.
    Two = 2,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", *self as u8)
    }
}

/// A note as a visitor writes it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Draft {
    /// Who writes; may be empty.
    #[serde(default)]
    pub(crate) author: String,
    /// What is written.
    pub(crate) text: String,
}

/// A note as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Note {
    /// Number, counted up from 1, never reused.
    pub(crate) id: i64,
    /// Who wrote it; may be empty.
    pub(crate) author: String,
    /// What was written.
    pub(crate) text: String,
    /// RFC 3339, UTC; unknown for notes from format 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) created: Option<String>,
}

/// Why a guest book could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BookError {
    #[error("there is no guest book at `{}`", .0.display())]
    Missing(PathBuf),
    #[error("there is a guest book at `{}` already", .0.display())]
    Exists(PathBuf),
    #[error("`{}` is not a guest book", .0.display())]
    Foreign(PathBuf),
    #[error("guest book `{}` has format {found}, this program reads format {expected}", path.display())]
    Format {
        path: PathBuf,
        found: i64,
        expected: Format,
    },
    #[error("could not open guest book `{}`", path.display())]
    Open { path: PathBuf, source: rusqlite::Error },
    #[error("could not use `{}`", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("the database refused")]
    Query(#[from] rusqlite::Error),
    #[error("guest books of format {0} have no predecessor to migrate from")]
    NoPredecessor(Format),
}

/// An open guest book.
#[derive(Debug)]
pub(crate) struct Book {
    connection: Connection,
    format: Format,
}

impl Book {
    /// Makes an empty guest book of `format` in `dir`.
    pub(crate) fn create(dir: &Path, format: Format) -> Result<Self, BookError> {
        fs::create_dir_all(dir).map_err(|source| BookError::Io {
            path: dir.into(),
            source,
        })?;
        let path = dir.join(FILE);
        if path.exists() {
            return Err(BookError::Exists(path));
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let mut book = Self {
            connection: connect(&path, flags)?,
            format,
        };
        book.write(|tx| {
            tx.execute_batch(match format {
                Format::One => one::SCHEMA,
                Format::Two => two::SCHEMA,
            })?;
            tx.pragma_update(None, "application_id", APPLICATION)?;
            tx.pragma_update(None, "user_version", format as u8)
        })?;
        Ok(book)
    }

    /// Opens the guest book in `dir`, which must have `format`.
    pub(crate) fn open(dir: &Path, format: Format) -> Result<Self, BookError> {
        let path = dir.join(FILE);
        if !path.exists() {
            return Err(BookError::Missing(path));
        }
        let connection = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let read = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let open = |source| BookError::Open {
            path: path.clone(),
            source,
        };
        if read("application_id").map_err(open)? != APPLICATION {
            return Err(BookError::Foreign(path));
        }
        let found = read("user_version").map_err(open)?;
        if found != i64::from(format as u8) {
            return Err(BookError::Format {
                path,
                found,
                expected: format,
            });
        }
        Ok(Self { connection, format })
    }

    /// All notes, newest first.
    pub(crate) fn notes(&self) -> Result<Vec<Note>, BookError> {
        let mut statement = self.connection.prepare_cached(match self.format {
            Format::One => one::LIST,
            Format::Two => two::LIST,
        })?;
        let rows = statement.query_map([], |row| {
            Ok(Note {
                id: row.get(0)?,
                author: row.get(1)?,
                text: row.get(2)?,
                created: row.get(3)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Adds `draft` and gives back the note it became; durable when this returns.
    pub(crate) fn add(&mut self, draft: &Draft) -> Result<Note, BookError> {
        let format = self.format;
        self.write(|tx| match format {
            Format::One => one::add(tx, draft),
            Format::Two => two::add(tx, draft),
        })
    }

    /// Removes the note `id`; says whether it was there.
    pub(crate) fn remove(&mut self, id: i64) -> Result<bool, BookError> {
        self.write(|tx| tx.execute("DELETE FROM notes WHERE id = ?1", [id]))
            .map(|n| n == 1)
    }

    /// Takes over the notes of format 1, oldest first, with their numbers, in one transaction.
    pub(crate) fn take_over(&mut self, notes: &[Note]) -> Result<(), BookError> {
        self.write(|tx| notes.iter().try_for_each(|note| two::take_over(tx, note)))
    }

    /// Fails if the database cannot be read now.
    pub(crate) fn check(&self) -> Result<(), BookError> {
        self.connection
            .query_row("SELECT count(*) FROM notes", [], |_| Ok(()))?;
        Ok(())
    }

    fn write<T>(&mut self, work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>) -> Result<T, BookError> {
        let tx = self.connection.transaction()?;
        let done = work(&tx)?;
        tx.commit()?;
        Ok(done)
    }
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, BookError> {
    let open = |source| BookError::Open {
        path: path.into(),
        source,
    };
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(open)?;
    connection.busy_timeout(Duration::from_secs(5)).map_err(open)?;
    connection
        .execute_batch("PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL;")
        .map_err(open)?;
    Ok(connection)
}
