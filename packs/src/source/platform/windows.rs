//! Windows: pipes and devices have no names in folders; names of devices are no names of the format.

use std::{fs::File, io, path::Path};

/// Opens `path`, following links, if it is a regular file.
///
/// # Errors
/// What the system says, or that it is no regular file.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"))
}
