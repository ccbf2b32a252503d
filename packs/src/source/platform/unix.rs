//! Unix: a name may be a pipe, which blocks whoever opens it until somebody writes, or a device, which may do anything.

use std::{fs, fs::File, io, path::Path};

use rustix::fs::{Mode, OFlags, fcntl_setfl, open};

/// Opens `path`, following links, if it is a regular file; never waits for anybody.
///
/// # Errors
/// What the system says, or that it is no regular file.
pub fn open_regular(path: &Path) -> io::Result<File> {
    // Before: opening a device may have effects. After: the name may have become another file meanwhile.
    require(&fs::metadata(path)?)?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(open(path, flags, Mode::empty())?);
    require(&file.metadata()?)?;
    // Some file systems in user space look at the flag when they read.
    fcntl_setfl(&file, OFlags::empty())?;
    Ok(file)
}

fn require(found: &fs::Metadata) -> io::Result<()> {
    if found.is_file() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"))
}
