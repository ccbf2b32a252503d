//! Owns [`Kpack`]: a pack in one file, an uncompressed tar whose members are read in place.
//!
//! The container is not signed, so it decides nothing: every member is checked as the same file in a depot would be.
//! Its headers exist in one form only; the reader makes each again from name and size and compares.
//!
//! Source: packs/FORMAT.md, "Single-file pack".

mod scan;
mod writer;

use std::{
    collections::BTreeMap,
    io::BufReader,
    path::{Path, PathBuf},
};

use self::scan::{Place, Stop, read_members};
use super::{BlobSource, ReadSeekSend, Section, SourceError, checked, open_regular, window::Window};
use crate::{
    limits,
    names::{self, FileName},
};

pub use writer::KpackWriter;

/// Largest file that FAT32 holds.
pub const MAX_FAT32: u64 = u32::MAX as u64;

/// True if a file of `size` bytes does not fit on FAT32, so that a depot is the better form.
pub const fn exceeds_fat32(size: u64) -> bool {
    size > MAX_FAT32
}

/// How the container of a single-file pack is broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KpackError {
    /// The file ends inside a header, inside a member or without an end mark.
    #[error("the file is cut short")]
    Short,
    /// A header is not the one that its own name and size imply.
    #[error("a header is not in the one form that is read")]
    Header,
    /// A name that the format does not have.
    #[error("member `{}` does not belong into a pack", crate::path::shorten(.0))]
    Member(String),
    /// Twice the same member.
    #[error("member `{0}` comes twice")]
    Twice(String),
    /// A member that must come earlier.
    #[error("member `{0}` is out of order")]
    Order(String),
    /// Bytes between members or after the end are not zero, or there are too many.
    #[error("there are bytes where none belong")]
    Stray,
    /// More members than are read.
    #[error("more than {} members", limits::FILES)]
    TooMany,
}

/// A single-file pack; read only, nothing of it is unpacked.
#[derive(Clone, Debug)]
pub struct Kpack {
    path: PathBuf,
    members: BTreeMap<(Section, String), Place>,
}

impl Kpack {
    /// Opens the file and reads its headers.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        let file = open_regular(path).map_err(|e| SourceError::io(path, e))?;
        let members = read_members(BufReader::with_capacity(4096, file)).map_err(|stop| match stop {
            Stop::Io(source) => SourceError::io(path, source),
            Stop::Broken { offset, source } => SourceError::Kpack {
                path: path.to_owned(),
                offset,
                source,
            },
        })?;
        Ok(Self {
            path: path.to_owned(),
            members,
        })
    }

    /// Sections, names and sizes of the members.
    pub fn members(&self) -> impl Iterator<Item = (&Section, &str, u64)> {
        self.members
            .iter()
            .map(|((section, name), place)| (section, name.as_str(), place.size))
    }
}

impl BlobSource for Kpack {
    fn open(&self, section: &Section, name: &str) -> Result<Option<Box<dyn ReadSeekSend>>, SourceError> {
        let name = checked(section, name)?;
        let Some(place) = self.members.get(&(section.clone(), name.to_string())) else {
            return Ok(None);
        };
        let window = open_regular(&self.path).and_then(|file| Window::new(file, place.offset, place.size));
        match window {
            Ok(window) => Ok(Some(Box::new(window))),
            Err(e) => Err(SourceError::io(&self.path, e)),
        }
    }

    fn list(&self, section: &Section) -> Result<Vec<String>, SourceError> {
        section.check()?;
        let names = self.members.keys().filter(|(s, _)| s == section);
        Ok(names.map(|(_, name)| name.clone()).collect())
    }

    fn publishers(&self) -> Result<Vec<String>, SourceError> {
        let mut out: Vec<String> = Vec::new();
        for (section, _) in self.members.keys() {
            if let Section::Trust(root16) = section
                && out.last() != Some(root16)
            {
                out.push(root16.clone());
            }
        }
        Ok(out)
    }

    fn describe(&self) -> String {
        self.path.display().to_string()
    }

    fn locate(&self, section: &Section, name: &str) -> PathBuf {
        self.path.join(section.folder()).join(name)
    }
}

/// Section and file name of a member.
fn split(path: &str) -> Option<(Section, String)> {
    let (folder, name) = path.rsplit_once('/')?;
    let section = match folder.split_once('/') {
        None if folder == "packs" => Section::Packs,
        None if folder == "blobs" => Section::Blobs,
        Some(("trust", root16)) if names::is_hex16(root16) => Section::Trust(root16.to_owned()),
        _ => return None,
    };
    FileName::new(name).ok()?;
    Some((section, name.to_owned()))
}

/// Place of a member in the order: manifest, signatures, trust, sums, SBOM and statement, indexes, blobs.
fn rank(section: &Section, name: &str) -> u8 {
    match section {
        Section::Packs if name.ends_with(names::MANIFEST) => 0,
        Section::Packs if name.ends_with(".sshsig") => 1,
        Section::Trust(_) => 2,
        Section::Packs if name.ends_with(".SHA256SUMS") => 3,
        Section::Packs => 4,
        Section::Blobs if name.ends_with(".tar.zst") || name.contains(".tar.zst.") => 6,
        _ => 5,
    }
}
