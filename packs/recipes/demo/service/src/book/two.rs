//! Owns data format 2: authors in a table of their own, and the time of each note.

use rusqlite::{OptionalExtension as _, Transaction, params};

use super::{Draft, Note};

pub(super) const SCHEMA: &str = "
    CREATE TABLE authors (
        id   INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE
    ) STRICT;
    CREATE TABLE notes (
        id      INTEGER PRIMARY KEY AUTOINCREMENT,
        author  INTEGER NOT NULL REFERENCES authors (id),
        text    TEXT NOT NULL,
        created TEXT
    ) STRICT;
    CREATE INDEX notes_by_author ON notes (author);";

pub(super) const LIST: &str = "
    SELECT notes.id, authors.name, notes.text, notes.created
    FROM notes JOIN authors ON authors.id = notes.author ORDER BY notes.id DESC";

pub(super) fn add(tx: &Transaction<'_>, draft: &Draft) -> rusqlite::Result<Note> {
    let author = author(tx, &draft.author)?;
    let (id, created) = tx.query_row(
        "INSERT INTO notes (author, text, created) VALUES (?1, ?2, strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))
         RETURNING id, created",
        params![author, draft.text],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    Ok(Note {
        id,
        author: draft.author.clone(),
        text: draft.text.clone(),
        created: Some(created),
    })
}

/// Keeps the number of a note of format 1; when it was written is not known.
pub(super) fn take_over(tx: &Transaction<'_>, note: &Note) -> rusqlite::Result<()> {
    let author = author(tx, &note.author)?;
    tx.execute(
        "INSERT INTO notes (id, author, text) VALUES (?1, ?2, ?3)",
        params![note.id, author, note.text],
    )?;
    Ok(())
}

fn author(tx: &Transaction<'_>, name: &str) -> rusqlite::Result<i64> {
    let known = tx
        .query_row("SELECT id FROM authors WHERE name = ?1", [name], |row| row.get(0))
        .optional()?;
    match known {
        Some(id) => Ok(id),
        None => tx.query_row("INSERT INTO authors (name) VALUES (?1) RETURNING id", [name], |row| {
            row.get(0)
        }),
    }
}
