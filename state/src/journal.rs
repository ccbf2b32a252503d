//! Owns `state/journal`: what a transaction intends and how far it is, so that another process can finish or undo it.
//!
//! One line per record: `kbxj1 <length, 8 hex> <first 16 hex of the sha256 of the JSON> <JSON>`. A record counts once its
//! line is whole; every append is synced before the next step is taken, so only the last line can be torn. A torn tail is
//! cut; a broken line with a whole one behind it is damage, which no crash does, and is refused.

use kojibox_signing::Digest;
use serde::{Deserialize, Serialize};

use crate::{
    error::StateError,
    layout::place,
    receipts::Receipt,
    records::{Floors, Pointer},
    store::{FileMode, RootDir, Store, StoreError, compose},
};

/// Largest journal in bytes; one transaction writes at most seven records.
const MAX_BYTES: u64 = 16 << 20;
const MAGIC: &str = "kbxj1 ";
/// Bytes before the JSON: magic, length, space, checksum, space.
const HEAD: usize = MAGIC.len() + 8 + 1 + 16 + 1;

/// What a transaction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TxKind {
    /// The first generation, or a new one after an uninstall.
    Install,
    /// The next generation.
    Update,
    /// A kept generation becomes active again.
    Rollback,
    /// Damaged files get their bytes back.
    Repair,
    /// Generations that nobody needs are removed.
    Prune,
    /// Everything of ours is removed.
    Uninstall,
}

/// One step of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum Record {
    /// What is going to be done. Nothing outside `staging/<txid>` has been touched.
    Begin(Box<Begin>),
    /// Everything has its final name and is durable; the pointer is still the old one.
    Staged,
    /// No service of the old generation runs.
    Stopped,
    /// The gate failed: the pointer goes back.
    Return {
        /// What was not ready.
        reason: String,
        /// RFC 3339, UTC.
        at: String,
        /// The generation gets a mark; not if a person cancelled or if it was good before.
        mark: bool,
    },
    /// The transaction is over; what is left is to write the receipt, refresh the front door and empty the journal.
    Done {
        /// The receipt as it will be on disk.
        receipt: Box<Receipt>,
    },
}

/// What a transaction is going to do, and all that another process needs to finish or undo it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// The receipt as far as it is known; names the transaction, its kind and its command.
    pub draft: Receipt,
    /// The pointer as it was; an automatic return writes this one, or the one before it if this never passed its gate.
    pub pointer: Option<Pointer>,
    /// Generation that is made or activated.
    #[serde(default)]
    pub generation: Option<u64>,
    /// What did not exist before and goes away if the transaction is undone.
    #[serde(default)]
    pub fresh: Names,
    /// What existed before and goes away if the transaction is done.
    #[serde(default)]
    pub doomed: Names,
    /// Floors that hold once the generation has been active.
    #[serde(default)]
    pub floors: Option<Floors>,
    /// Uninstall: data of the services goes away too.
    #[serde(default)]
    pub purge: bool,
    /// Repair: what is in the trees and not part of them is moved to `backups/<txid>`.
    #[serde(default)]
    pub extra_aside: bool,
}

impl Begin {
    /// Names the transaction, its staging directory and its receipt.
    pub fn txid(&self) -> &str {
        &self.draft.txid
    }

    /// What it is for.
    pub fn kind(&self) -> TxKind {
        self.draft.kind
    }
}

/// Objects of an install root, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// Generations by number.
    #[serde(default)]
    pub generations: Vec<u64>,
    /// Directories below `components/`.
    #[serde(default)]
    pub components: Vec<String>,
    /// Directories below `records/packs/`.
    #[serde(default)]
    pub packs: Vec<Digest>,
    /// Files below `records/components/`.
    #[serde(default)]
    pub indexes: Vec<String>,
}

/// The journal as it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Whole records, in order.
    pub records: Vec<Record>,
    /// Bytes of the whole records.
    pub intact: u64,
    /// Bytes behind them, left by a stopped append.
    pub torn: u64,
}

impl Found {
    /// True if there is nothing to finish or undo.
    pub fn is_clean(&self) -> bool {
        self.records.is_empty() && self.torn == 0
    }

    /// The intention of the transaction that the journal tells of.
    pub fn begin(&self) -> Option<&Begin> {
        match self.records.first() {
            Some(Record::Begin(begin)) => Some(begin),
            _ => None,
        }
    }
}

/// Reads the journal; an absent one is clean.
pub fn read(root: &RootDir) -> Result<Found, StateError> {
    let bytes = root.read(&place::journal(), MAX_BYTES)?.unwrap_or_default();
    let mut found = Found::default();
    let mut at = 0;
    while at < bytes.len() {
        match record_at(&bytes, at) {
            Line::Whole(record, end) => {
                found.records.push(*record);
                at = end;
            }
            // No stop leaves a line with the right sum, so a newer program wrote it; to cut it would forget a transaction.
            Line::Unknown(found) => {
                return Err(StateError::Schema {
                    path: place::journal().below(root.path()),
                    found,
                    known: MAGIC.trim_ascii_end(),
                });
            }
            Line::Torn if follows(&bytes, at) => {
                return Err(StateError::Journal {
                    path: place::journal().below(root.path()),
                    offset: at as u64,
                });
            }
            Line::Torn => break,
        }
    }
    found.intact = at as u64;
    found.torn = (bytes.len() - at) as u64;
    Ok(found)
}

/// What begins at a place of the journal.
enum Line {
    /// A record, and where the next one begins.
    Whole(Box<Record>, usize),
    /// A whole line that this program does not know; what it says it is.
    Unknown(String),
    /// Nothing whole.
    Torn,
}

fn record_at(bytes: &[u8], at: usize) -> Line {
    let Some((json, end)) = line_at(bytes, at) else {
        return other_magic(&bytes[at..]).map_or(Line::Torn, Line::Unknown);
    };
    match serde_json::from_slice(json) {
        Ok(record) => Line::Whole(Box::new(record), end),
        Err(error) => Line::Unknown(format!("{}, {error}", MAGIC.trim_ascii_end())),
    }
}

/// The JSON of a line with the right length and sum, and where the next line begins.
fn line_at(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let head = std::str::from_utf8(bytes.get(at..at + HEAD)?).ok()?;
    let digits = head.strip_prefix(MAGIC)?.get(..8)?;
    let len = usize::from_str_radix(digits, 16).ok()?;
    let end = at.checked_add(HEAD)?.checked_add(len)?;
    let json = bytes.get(at + HEAD..end)?;
    if bytes.get(end) != Some(&b'\n') || head != head_of(json) {
        return None;
    }
    Some((json, end + 1))
}

/// The first word of a line, if it is that of another version of the journal.
fn other_magic(line: &[u8]) -> Option<String> {
    let word = line.split(|b| *b == b' ').next()?;
    let digits = word.strip_prefix(b"kbxj")?;
    let is_other = line.len() > word.len() && (1..=6).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    let word = String::from_utf8_lossy(word).into_owned();
    (is_other && word != MAGIC.trim_ascii_end()).then_some(word)
}

/// The one form of what stands before the JSON of a record.
fn head_of(json: &[u8]) -> String {
    format!("{MAGIC}{:08x} {} ", json.len(), Digest::of(json).short())
}

/// True if a whole record begins anywhere behind `at`.
fn follows(bytes: &[u8], at: usize) -> bool {
    let rest = &bytes[at + 1..];
    let starts = rest.windows(MAGIC.len()).enumerate();
    starts
        .filter(|(_, w)| *w == MAGIC.as_bytes())
        .any(|(i, _)| line_at(bytes, at + 1 + i).is_some())
}

/// The journal, opened for writing.
pub struct Journal<'s> {
    store: &'s dyn Store,
    len: u64,
    /// An append failed half-way, and what it left could not be cut yet.
    torn: bool,
}

impl<'s> Journal<'s> {
    /// Makes the file; part of making an install root.
    pub fn create(store: &dyn Store) -> Result<(), StoreError> {
        compose::write_file(store, &place::journal(), b"", FileMode::Plain)
    }

    /// Continues after the whole records that were found; a torn tail is cut before the first append.
    pub fn open(store: &'s dyn Store, found: &Found) -> Self {
        Self {
            store,
            len: found.intact,
            torn: found.torn > 0,
        }
    }

    /// Adds `record`, durable when it returns.
    ///
    /// Crash: the record is there whole, or its tail is cut by the next reader. An error leaves the journal as it was.
    pub fn append(&mut self, record: &Record) -> Result<(), StoreError> {
        self.mend()?;
        let json = serde_json::to_vec(record).expect("records have string keys and finite numbers");
        let mut line = head_of(&json).into_bytes();
        line.extend_from_slice(&json);
        line.push(b'\n');
        let path = place::journal();
        self.torn = true;
        let done = self
            .store
            .append(&path, &line)
            .and_then(|()| self.store.sync_file(&path));
        if let Err(error) = done {
            if !error.is_killed() {
                // If this fails too, the next append or the next reader cuts it; the first error is the one that is told.
                drop(self.mend());
            }
            return Err(error);
        }
        self.torn = false;
        self.len += line.len() as u64;
        Ok(())
    }

    /// Empties the journal, durable when it returns: nothing is left to finish or undo.
    pub fn clear(&mut self) -> Result<(), StoreError> {
        if self.len == 0 && !self.torn {
            return Ok(());
        }
        self.len = 0;
        self.torn = true;
        self.mend()
    }

    fn mend(&mut self) -> Result<(), StoreError> {
        if self.torn {
            self.store.truncate(&place::journal(), self.len)?;
            self.store.sync_file(&place::journal())?;
            self.torn = false;
        }
        Ok(())
    }
}
