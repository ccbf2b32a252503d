//! Owns reading a zip file.

use std::{fs::File, io::Read as _};

use zip::ZipArchive;

use super::{SourceError, Unpacker, archive_error};

/// Longest target of a link in bytes.
const MAX_LINK: u64 = 4096;

pub(super) fn unpack(file: &mut File, unpacker: &mut Unpacker<'_>) -> Result<(), SourceError> {
    let name = unpacker.name;
    let broken = |e: zip::result::ZipError| archive_error(name, e);
    let mut archive = ZipArchive::new(file).map_err(broken)?;
    for i in 0..archive.len() {
        let mut member = archive.by_index(i).map_err(broken)?;
        let raw = member.name_raw().to_vec();
        let Some(path) = unpacker.path(&raw)? else { continue };
        let mode = member.unix_mode().unwrap_or(0);
        if raw.ends_with(b"/") || mode & 0o170_000 == 0o040_000 {
            unpacker.dir(path)?;
        } else if mode & 0o170_000 == 0o120_000 {
            let mut target = Vec::new();
            (&mut member)
                .take(MAX_LINK)
                .read_to_end(&mut target)
                .map_err(|e| archive_error(name, e))?;
            unpacker.link(path, &target)?;
        } else {
            unpacker.file(&path, mode & 0o111 != 0, &mut member)?;
        }
    }
    Ok(())
}
