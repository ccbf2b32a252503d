//! Owns reading a Debian package: an `ar` file that holds `control.tar.*` and `data.tar.*`.

use std::{
    fs::File,
    io::{self, Read, Seek as _, SeekFrom},
};

use super::{SourceError, Stoppable, Unpacker, archive_error, decoder, tar};

/// Longest control file in bytes.
const MAX_CONTROL: u64 = 1 << 20;

/// What a Debian package says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Control {
    pub(crate) package: String,
    pub(crate) version: String,
    pub(crate) architecture: String,
}

/// Unpacks the files of the package.
pub(super) fn unpack(file: &mut File, unpacker: &mut Unpacker<'_>) -> Result<(), SourceError> {
    let name = unpacker.name;
    let broken = |e: io::Error| archive_error(name, e);
    let size = find(file, "data.tar").map_err(broken)?;
    let mut stream = Stoppable(decoder(file.take(size)).map_err(broken)?);
    tar::unpack(&mut stream, unpacker)
}

/// Reads name, version and architecture of the package.
pub(crate) fn control(file: &mut File, name: &str) -> Result<Control, SourceError> {
    let broken = |e: io::Error| archive_error(name, e);
    let size = find(file, "control.tar").map_err(broken)?;
    let text = control_text(Stoppable(decoder(file.take(size)).map_err(broken)?)).map_err(broken)?;
    let field = |key: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(':'));
        let value = line.map(|v| v.trim().to_owned());
        value.ok_or_else(|| archive_error(name, format!("its control file has no `{key}`")))
    };
    Ok(Control {
        package: field("Package")?,
        version: field("Version")?,
        architecture: field("Architecture")?,
    })
}

fn control_text(stream: impl Read) -> io::Result<String> {
    let mut archive = ::tar::Archive::new(stream);
    for entry in archive.entries()?.raw(true) {
        let mut entry = entry?;
        if matches!(&*entry.path_bytes(), b"./control" | b"control") {
            let mut text = String::new();
            (&mut entry).take(MAX_CONTROL).read_to_string(&mut text)?;
            return Ok(text);
        }
    }
    Err(io::Error::other("it has no control file"))
}

/// Sets `file` to the start of the member whose name starts with `wanted`; gives its size.
fn find(file: &mut File, wanted: &str) -> io::Result<u64> {
    let mut at = 8;
    loop {
        file.seek(SeekFrom::Start(at))?;
        let mut header = [0; 60];
        file.read_exact(&mut header)
            .map_err(|_| io::Error::other(format!("it has no member `{wanted}.*`")))?;
        let size = std::str::from_utf8(&header[48..58])
            .ok()
            .and_then(|s| s.trim().parse::<u64>().ok());
        let Some(size) = size.filter(|_| &header[58..] == b"`\n") else {
            return Err(io::Error::other(format!("its member header at byte {at} is damaged")));
        };
        if header.starts_with(wanted.as_bytes()) {
            return Ok(size);
        }
        at = at
            .checked_add(60 + size + size % 2)
            .ok_or_else(|| io::Error::other("its sizes overflow"))?;
    }
}
