//! Owns the reading of the container: headers in their one form, then a jump over the data.

use std::{
    collections::BTreeMap,
    io::{self, Read, Seek, SeekFrom},
};

use super::{super::Section, KpackError, rank, split};
use crate::{
    header::{self, BLOCK, Block},
    limits,
};

/// Where the data of a member is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) size: u64,
}

pub(super) enum Stop {
    Io(io::Error),
    Broken { offset: u64, source: KpackError },
}

/// Reads the headers of `file` and seeks over the data.
pub(super) fn read_members(mut file: impl Read + Seek) -> Result<BTreeMap<(Section, String), Place>, Stop> {
    let end = file.seek(SeekFrom::End(0)).map_err(Stop::Io)?;
    file.rewind().map_err(Stop::Io)?;
    let mut members = BTreeMap::new();
    let mut last = 0;
    let mut at = 0;
    loop {
        let broken = |source| Stop::Broken { offset: at, source };
        let block = read_block(&mut file, at, end)?;
        if block == *header::zeros(BLOCK) {
            end_mark(&mut file, at, end)?;
            return Ok(members);
        }
        if members.len() >= limits::FILES {
            return Err(broken(KpackError::TooMany));
        }
        let (path, size, header) = read_header(&mut file, &block, at, end)?;
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

fn read_block(file: &mut impl Read, at: u64, end: u64) -> Result<Block, Stop> {
    if end.saturating_sub(at) < BLOCK {
        return Err(Stop::Broken {
            offset: at,
            source: KpackError::Short,
        });
    }
    let mut block: Block = [0; 512];
    file.read_exact(&mut block).map_err(Stop::Io)?;
    Ok(block)
}

/// The second zero block, then the end of the file.
fn end_mark(file: &mut impl Read, at: u64, end: u64) -> Result<(), Stop> {
    let second = read_block(file, at + BLOCK, end)?;
    if second == *header::zeros(BLOCK) && at + header::TRAILER == end {
        Ok(())
    } else {
        Err(Stop::Broken {
            offset: at,
            source: KpackError::Stray,
        })
    }
}

/// Name and size of a member, with its whole header; the header is compared with the one they imply.
fn read_header(file: &mut impl Read, first: &Block, at: u64, end: u64) -> Result<(String, u64, Vec<u8>), Stop> {
    let broken = || Stop::Broken {
        offset: at,
        source: KpackError::Header,
    };
    let mut seen = first.to_vec();
    let mut pax = (None, None);
    let mut block = *first;
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
