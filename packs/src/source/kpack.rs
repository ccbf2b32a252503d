//! Owns [`Kpack`]: a pack in one file, an uncompressed tar whose members are read in place.
//!
//! The container is not signed, so it decides nothing: every member is checked as the same file in a depot would be.
//! Its headers exist in one form only; the reader makes each again from name and size and compares.
//!
//! Source: packs/FORMAT.md, "Single-file pack".

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use super::{BlobSource, ReadSeekSend, Section, SourceError, checked, window::Window};
use crate::{
    header::{self, BLOCK},
    limits,
    names::{self, FileName},
};

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

#[derive(Clone, Copy, Debug)]
struct Place {
    offset: u64,
    size: u64,
}

impl Kpack {
    /// Opens the file and reads its headers.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        let file = File::open(path).map_err(|e| SourceError::io(path, e))?;
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
        let window = File::open(&self.path).and_then(|file| Window::new(file, place.offset, place.size));
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

enum Stop {
    Io(io::Error),
    Broken { offset: u64, source: KpackError },
}

/// Reads the headers of `file` and seeks over the data.
fn read_members(mut file: impl Read + Seek) -> Result<BTreeMap<(Section, String), Place>, Stop> {
    let end = file.seek(SeekFrom::End(0)).map_err(Stop::Io)?;
    file.rewind().map_err(Stop::Io)?;
    let mut members = BTreeMap::new();
    let mut last = 0;
    let mut at = 0;
    loop {
        let broken = |source| Stop::Broken { offset: at, source };
        let block = read_block(&mut file, at, end)?;
        if block == [0; BLOCK as usize] {
            end_mark(&mut file, at, end)?;
            return Ok(members);
        }
        if members.len() >= limits::FILES {
            return Err(broken(KpackError::TooMany));
        }
        let (path, size, header) = read_header(&mut file, block, at, end)?;
        let Some((section, name)) = split(&path) else {
            return Err(broken(KpackError::Member(path)));
        };
        let rank = rank(&section, &name);
        if rank < last {
            return Err(broken(KpackError::Order(path)));
        }
        last = rank;
        let offset = at + header.len() as u64;
        // Both numbers come from outside, but a size over the length of the file ends here.
        let next = size
            .checked_add(header::padding(size))
            .and_then(|len| offset.checked_add(len));
        let Some(next) = next.filter(|next| *next <= end) else {
            return Err(broken(KpackError::Short));
        };
        if members.insert((section, name), Place { offset, size }).is_some() {
            return Err(broken(KpackError::Twice(path)));
        }
        at = next;
        file.seek(SeekFrom::Start(at)).map_err(Stop::Io)?;
    }
}

fn read_block(file: &mut impl Read, at: u64, end: u64) -> Result<[u8; BLOCK as usize], Stop> {
    if end.saturating_sub(at) < BLOCK {
        return Err(Stop::Broken {
            offset: at,
            source: KpackError::Short,
        });
    }
    let mut block = [0; BLOCK as usize];
    file.read_exact(&mut block).map_err(Stop::Io)?;
    Ok(block)
}

/// The second zero block, then the end of the file.
fn end_mark(file: &mut impl Read, at: u64, end: u64) -> Result<(), Stop> {
    let second = read_block(file, at + BLOCK, end)?;
    if second == [0; BLOCK as usize] && at + header::TRAILER == end {
        Ok(())
    } else {
        Err(Stop::Broken {
            offset: at,
            source: KpackError::Stray,
        })
    }
}

/// Name and size of a member, with its whole header; the header is compared with the one they imply.
fn read_header(
    file: &mut impl Read,
    first: [u8; BLOCK as usize],
    at: u64,
    end: u64,
) -> Result<(String, u64, Vec<u8>), Stop> {
    let broken = || Stop::Broken {
        offset: at,
        source: KpackError::Header,
    };
    let mut seen = first.to_vec();
    let mut pax = (None, None);
    let mut block = first;
    if first[156] == b'x' {
        let len = octal(&first[124..135]).ok_or_else(broken)?;
        // The longest record pair, path and size, is far below one block.
        if len == 0 || len > BLOCK {
            return Err(broken());
        }
        let records = read_block(file, at + BLOCK, end)?;
        block = read_block(file, at + 2 * BLOCK, end)?;
        let len = usize::try_from(len).map_err(|_| broken())?;
        pax = records_of(&records[..len]).ok_or_else(broken)?;
        seen.extend_from_slice(&records);
        seen.extend_from_slice(&block);
    }
    let name = match pax.0 {
        Some(name) => name,
        None => text(&block[..100]).ok_or_else(broken)?,
    };
    let size = match pax.1 {
        Some(size) => size,
        None => octal(&block[124..135]).ok_or_else(broken)?,
    };
    let mtime = octal(&first[136..147]).ok_or_else(broken)?;
    if mtime != limits::MTIME_DEFAULT || header::member(&name, size, mtime) != seen {
        return Err(broken());
    }
    Ok((name, size, seen))
}

/// `path` and `size` of an extended header; what they are worth is decided by the comparison of the whole header.
fn records_of(mut bytes: &[u8]) -> Option<(Option<String>, Option<u64>)> {
    let mut out = (None, None);
    while !bytes.is_empty() {
        let space = bytes.iter().position(|b| *b == b' ')?;
        let len: usize = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
        let record = bytes.get(space + 1..len)?;
        let record = std::str::from_utf8(record).ok()?.strip_suffix('\n')?;
        match record.split_once('=')? {
            ("path", value) => out.0 = Some(value.to_owned()),
            ("size", value) => out.1 = Some(value.parse().ok()?),
            _ => return None,
        }
        bytes = bytes.get(len..)?;
    }
    Some(out)
}

fn text(field: &[u8]) -> Option<String> {
    let end = field.iter().position(|b| *b == 0).unwrap_or(field.len());
    std::str::from_utf8(&field[..end]).ok().map(str::to_owned)
}

fn octal(field: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(field).ok()?, 8).ok()
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

/// Writes a single-file pack, member by member in their order.
#[derive(Debug)]
#[must_use = "a single-file pack without its end mark is refused"]
pub struct KpackWriter<W> {
    out: W,
    last: u8,
    written: u64,
}

impl<W: Write> KpackWriter<W> {
    /// Starts a pack in `out`.
    pub fn new(out: W) -> Self {
        Self {
            out,
            last: 0,
            written: 0,
        }
    }

    /// Appends a member; `data` must give exactly `size` bytes.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] for a name or an order that the format does not have,
    /// [`io::ErrorKind::InvalidData`] when `data` is longer or shorter; the pack is unusable then.
    pub fn add(&mut self, section: &Section, name: &str, size: u64, data: &mut dyn Read) -> io::Result<()> {
        let path = format!("{}/{name}", section.folder());
        let invalid = |text: String| io::Error::new(io::ErrorKind::InvalidInput, text);
        if split(&path).is_none() {
            return Err(invalid(KpackError::Member(path).to_string()));
        }
        let rank = rank(section, name);
        if rank < self.last {
            return Err(invalid(KpackError::Order(path).to_string()));
        }
        self.last = rank;
        let header = header::member(&path, size, limits::MTIME_DEFAULT);
        self.out.write_all(&header)?;
        let got = io::copy(&mut data.take(size.saturating_add(1)), &mut self.out)?;
        if got != size {
            let text = format!("`{path}` changed while it was read: expected {size} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let padding = header::padding(size);
        self.out
            .write_all(&[0; BLOCK as usize][..usize::try_from(padding).expect("less than a block")])?;
        self.written += header.len() as u64 + size + padding;
        Ok(())
    }

    /// Writes the end mark; gives the destination back and the bytes written.
    pub fn finish(mut self) -> io::Result<(W, u64)> {
        self.out.write_all(&[0; header::TRAILER as usize])?;
        self.out.flush()?;
        Ok((self.out, self.written + header::TRAILER))
    }
}
