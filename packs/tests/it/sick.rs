//! Owns [`Sick`]: a medium with bad places, or one that answers otherwise at the second time; and what it was asked for.

use std::{
    collections::BTreeMap,
    io::{self, Read, Seek, SeekFrom},
    ops::Range,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use kojibox_packs::source::{BlobSource, Depot, ReadSeekSend, Section, SourceError};

/// What is wrong with a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ill {
    /// It cannot be read.
    Dead,
    /// It cannot be read this many times, then it can.
    Loose(u32),
    /// It is read rightly once, then with other bytes.
    Liar,
    /// Reading is interrupted by a signal this many times.
    Interrupted(u32),
}

/// A depot on such a medium.
pub(crate) struct Sick {
    depot: Depot,
    shared: Arc<Shared>,
}

/// Of a file: a place, what is wrong there, and how often it was met.
type Place = (String, Range<u64>, Ill, u32);

#[derive(Default)]
struct Shared {
    /// All bad places.
    ills: Mutex<Vec<Place>>,
    /// Bytes read per file.
    read: Mutex<BTreeMap<String, u64>>,
    /// No read gives more than this.
    most: usize,
}

impl Sick {
    pub(crate) fn new(depot: Depot) -> Self {
        Self::in_pieces(depot, usize::MAX)
    }

    /// Every read gives at most `most` bytes.
    pub(crate) fn in_pieces(depot: Depot, most: usize) -> Self {
        let shared = Arc::new(Shared {
            most,
            ..Shared::default()
        });
        Self { depot, shared }
    }

    pub(crate) fn with(self, name: &str, place: Range<u64>, ill: Ill) -> Self {
        self.shared.ills.lock().unwrap().push((name.to_owned(), place, ill, 0));
        self
    }

    /// Bytes that were read of `name`.
    pub(crate) fn read_of(&self, name: &str) -> u64 {
        self.shared.read.lock().unwrap().get(name).copied().unwrap_or(0)
    }
}

impl BlobSource for Sick {
    fn open(&self, section: &Section, name: &str) -> Result<Option<Box<dyn ReadSeekSend>>, SourceError> {
        let file = self.depot.open(section, name)?;
        Ok(file.map(|file| {
            let (name, shared) = (name.to_owned(), Arc::clone(&self.shared));
            Box::new(SickFile {
                name,
                file,
                at: 0,
                shared,
            }) as Box<dyn ReadSeekSend>
        }))
    }

    fn list(&self, section: &Section) -> Result<Vec<String>, SourceError> {
        self.depot.list(section)
    }

    fn publishers(&self) -> Result<Vec<String>, SourceError> {
        self.depot.publishers()
    }

    fn describe(&self) -> String {
        self.depot.describe()
    }

    fn locate(&self, section: &Section, name: &str) -> PathBuf {
        self.depot.locate(section, name)
    }
}

struct SickFile {
    name: String,
    file: Box<dyn ReadSeekSend>,
    at: u64,
    shared: Arc<Shared>,
}

impl Read for SickFile {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = buf.len().min(self.shared.most);
        let mut got = self.file.read(&mut buf[..most])?;
        let mut ills = self.shared.ills.lock().unwrap();
        for (name, place, ill, met) in ills.iter_mut() {
            let end = self.at + got as u64;
            if *name != self.name || place.start >= end || place.end <= self.at {
                continue;
            }
            // What lies before a bad place is still given, as a disk does.
            let before = usize::try_from(place.start.saturating_sub(self.at)).unwrap();
            *met += u32::from(before == 0 || *ill == Ill::Liar);
            let fails = match ill {
                Ill::Dead => Some(io::ErrorKind::Other),
                Ill::Loose(times) if *met <= *times => Some(io::ErrorKind::Other),
                Ill::Interrupted(times) if *met <= *times => Some(io::ErrorKind::Interrupted),
                Ill::Liar if *met > 1 => {
                    buf[before] ^= 1;
                    None
                }
                _ => None,
            };
            match fails {
                Some(_) if before > 0 => got = before,
                Some(kind) => {
                    self.file.seek(SeekFrom::Start(self.at))?;
                    return Err(kind.into());
                }
                None => {}
            }
        }
        self.at += got as u64;
        self.file.seek(SeekFrom::Start(self.at))?;
        *self.shared.read.lock().unwrap().entry(self.name.clone()).or_default() += got as u64;
        Ok(got)
    }
}

impl Seek for SickFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = self.file.seek(to)?;
        Ok(self.at)
    }
}
