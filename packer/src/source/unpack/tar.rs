//! Owns reading a tar stream: ustar, GNU long names, pax paths.

use std::io::Read;

use tar::{Archive, Entry, EntryType, PaxExtensions};

use super::{SourceError, Unpacker, archive_error};

/// Longest extended header in bytes.
const MAX_EXTENSION: u64 = 1 << 20;

/// What extended headers said about the next member.
#[derive(Default)]
struct Extended {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

pub(super) fn unpack(stream: &mut dyn Read, unpacker: &mut Unpacker<'_>) -> Result<(), SourceError> {
    let mut archive = Archive::new(stream);
    let name = unpacker.name;
    let broken = |e: std::io::Error| archive_error(name, e);
    let mut extended = Extended::default();
    // Raw: extended headers are read here, so that their size is bounded.
    for entry in archive.entries().map_err(broken)?.raw(true) {
        let mut entry = entry.map_err(broken)?;
        match entry.header().entry_type() {
            EntryType::XGlobalHeader => {}
            EntryType::XHeader => read_pax(&mut entry, &mut extended, unpacker)?,
            EntryType::GNULongName => extended.path = Some(read_long(&mut entry, unpacker)?),
            EntryType::GNULongLink => extended.link = Some(read_long(&mut entry, unpacker)?),
            _ => member(&mut entry, std::mem::take(&mut extended), unpacker)?,
        }
    }
    Ok(())
}

fn read_extension(entry: &mut Entry<'_, impl Read>, unpacker: &Unpacker<'_>) -> Result<Vec<u8>, SourceError> {
    if entry.size() > MAX_EXTENSION {
        return Err(unpacker.refuse(
            "extended header",
            format!("{} bytes, at most {MAX_EXTENSION}", entry.size()),
        ));
    }
    let mut bytes = Vec::new();
    entry
        .take(MAX_EXTENSION)
        .read_to_end(&mut bytes)
        .map_err(|e| archive_error(unpacker.name, e))?;
    Ok(bytes)
}

fn read_long(entry: &mut Entry<'_, impl Read>, unpacker: &Unpacker<'_>) -> Result<Vec<u8>, SourceError> {
    let mut bytes = read_extension(entry, unpacker)?;
    bytes.truncate(bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len()));
    Ok(bytes)
}

fn read_pax(
    entry: &mut Entry<'_, impl Read>,
    extended: &mut Extended,
    unpacker: &Unpacker<'_>,
) -> Result<(), SourceError> {
    let bytes = read_extension(entry, unpacker)?;
    for extension in PaxExtensions::new(&bytes) {
        let extension = extension.map_err(|e| archive_error(unpacker.name, e))?;
        match extension.key_bytes() {
            b"path" => extended.path = Some(extension.value_bytes().to_vec()),
            b"linkpath" => extended.link = Some(extension.value_bytes().to_vec()),
            b"size" => return Err(unpacker.refuse("extended header", "a member above 8 GiB")),
            key if key.starts_with(b"GNU.sparse") => {
                return Err(unpacker.refuse("extended header", "a sparse file"));
            }
            _ => {}
        }
    }
    Ok(())
}

fn member(
    entry: &mut Entry<'_, impl Read>,
    extended: Extended,
    unpacker: &mut Unpacker<'_>,
) -> Result<(), SourceError> {
    let raw = extended.path.unwrap_or_else(|| entry.path_bytes().into_owned());
    let Some(path) = unpacker.path(&raw)? else {
        return Ok(());
    };
    let link = extended
        .link
        .or_else(|| entry.link_name_bytes().map(std::borrow::Cow::into_owned));
    let link = link.unwrap_or_default();
    let mode = entry.header().mode().map_err(|e| archive_error(unpacker.name, e))?;
    match entry.header().entry_type() {
        // Old archives mark a folder by the slash alone.
        EntryType::Regular | EntryType::Continuous if raw.ends_with(b"/") => unpacker.dir(path),
        EntryType::Regular | EntryType::Continuous => unpacker.file(&path, mode & 0o111 != 0, entry),
        EntryType::Directory => unpacker.dir(path),
        EntryType::Symlink => unpacker.link(path, &link),
        EntryType::Link => {
            let first = unpacker.path(&link)?.unwrap_or_default();
            unpacker.same(path, &first)
        }
        other => Err(unpacker.refuse(
            &path,
            format!(
                "it is neither file, folder nor link (type {:?})",
                char::from(other.as_byte())
            ),
        )),
    }
}
