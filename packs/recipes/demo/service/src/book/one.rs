//! Owns data format 1: one table, the author's name in each note.

use rusqlite::Transaction;

use super::{Draft, Note};

pub(super) const SCHEMA: &str = "
    CREATE TABLE notes (
        id     INTEGER PRIMARY KEY AUTOINCREMENT,
        author TEXT NOT NULL,
        text   TEXT NOT NULL
    ) STRICT;";

pub(super) const LIST: &str = "SELECT id, author, text, NULL FROM notes ORDER BY id DESC";

pub(super) fn add(tx: &Transaction<'_>, draft: &Draft) -> rusqlite::Result<Note> {
    tx.execute(
        "INSERT INTO notes (author, text) VALUES (?1, ?2)",
        [&draft.author, &draft.text],
    )?;
    Ok(Note {
        id: tx.last_insert_rowid(),
        author: draft.author.clone(),
        text: draft.text.clone(),
        created: None,
    })
}
