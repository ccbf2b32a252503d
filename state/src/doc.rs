//! Owns how documents of an install root are read and written: versioned JSON, bounded, replaced whole.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    error::StateError,
    path::RootPath,
    records::{Floors, GenerationRecord, Install, Pointer},
    store::{FileMode, RootDir, Store, compose},
};

/// Largest document in bytes.
pub const MAX_BYTES: u64 = 1 << 20;

/// A JSON document whose first key is `schema`, e.g. `kojibox.pointer/1`.
///
/// A minor addition keeps the number and is ignored by older programs; a new number is refused by them.
pub trait Versioned: Serialize + DeserializeOwned {
    /// Name and major version.
    const SCHEMA: &'static str;
    /// Largest size in bytes.
    const MAX_BYTES: u64 = MAX_BYTES;

    /// The bytes on disk: two-space indent, a line break at the end.
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("records have string keys and finite numbers");
        bytes.push(b'\n');
        bytes
    }
}

impl Versioned for Pointer {
    const SCHEMA: &'static str = "kojibox.pointer/1";
    const MAX_BYTES: u64 = 4096;
}

impl Versioned for Install {
    const SCHEMA: &'static str = "kojibox.install/1";
    const MAX_BYTES: u64 = 4096;
}

impl Versioned for GenerationRecord {
    const SCHEMA: &'static str = "kojibox.generation/1";
}

impl Versioned for Floors {
    const SCHEMA: &'static str = "kojibox.floors/1";
}

#[derive(Deserialize)]
struct Head {
    schema: String,
}

/// True if a later version of the same document is meant; anything else is no document of ours, or one that is damaged.
fn is_newer(found: &str, known: &str) -> bool {
    let parts = |schema: &str| {
        let (name, version) = schema.split_once('/')?;
        Some((name.to_owned(), version.parse::<u32>().ok()?))
    };
    match (parts(found), parts(known)) {
        (Some((found, theirs)), Some((known, ours))) => found == known && theirs > ours,
        _ => false,
    }
}

/// Parses `bytes` as the document at `path`.
pub fn parse<T: Versioned>(root: &RootDir, path: &RootPath, bytes: &[u8]) -> Result<T, StateError> {
    let fail = |source| StateError::Document {
        path: path.below(root.path()),
        source,
    };
    let head: Head = serde_json::from_slice(bytes).map_err(fail)?;
    if head.schema != T::SCHEMA {
        if !is_newer(&head.schema, T::SCHEMA) {
            let why = format!("its schema is not `{}`", T::SCHEMA);
            return Err(fail(serde::de::Error::custom(why)));
        }
        return Err(StateError::Schema {
            path: path.below(root.path()),
            found: head.schema.chars().take(60).collect(),
            known: T::SCHEMA,
        });
    }
    serde_json::from_slice(bytes).map_err(fail)
}

/// Reads the document at `path`; `None` if there is none.
pub fn read<T: Versioned>(root: &RootDir, path: &RootPath) -> Result<Option<T>, StateError> {
    match root.read(path, T::MAX_BYTES)? {
        Some(bytes) => parse(root, path, &bytes).map(Some),
        None => Ok(None),
    }
}

/// Makes `document` the content of `path`, durable when it returns; a reader sees the old one or the new one.
pub fn replace<T: Versioned>(store: &dyn Store, path: &RootPath, document: &T) -> Result<(), StateError> {
    Ok(compose::replace_file(
        store,
        path,
        &document.to_bytes(),
        FileMode::Plain,
    )?)
}
