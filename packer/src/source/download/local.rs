//! Owns `file:` addresses.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use kojibox_packs::source::open_regular;

use super::{Failure, Partial};
use crate::{interrupt, source::Job};

/// The path behind a `file:` address. None: another kind of address.
pub(super) fn path_of(url: &str) -> Option<PathBuf> {
    let rest = url.strip_prefix("file://")?;
    let path = decode(rest.strip_prefix("localhost").unwrap_or(rest));
    // `file:///C:/x` is a path with a drive.
    let drive = path.strip_prefix('/').filter(|p| p.get(1..3) == Some(":/"));
    Some(PathBuf::from(drive.unwrap_or(&path)))
}

/// Undoes `%20` and its kin; what cannot be undone stays.
pub(super) fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = (*first == b'%').then(|| tail.get(..2)).flatten();
        let value = hex
            .and_then(|h| std::str::from_utf8(h).ok())
            .and_then(|h| u8::from_str_radix(h, 16).ok());
        bytes.push(value.unwrap_or(*first));
        rest = if value.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

/// Copies a local file.
pub(super) fn copy(job: &Job<'_>, path: &Path, partial: &mut Partial) -> Result<(), Failure> {
    partial.clear().map_err(Failure::Here)?;
    let mut file = open_regular(path).map_err(|e| Failure::Gone(e.into()))?;
    let mut buf = vec![0; 1 << 17];
    loop {
        interrupt::check().map_err(|e| Failure::Here(e.into()))?;
        match file.read(&mut buf) {
            Ok(0) => return Ok(()),
            Ok(n) => {
                partial.append(&buf[..n]).map_err(Failure::Here)?;
                job.progress.add(n as u64);
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Failure::Gone(e.into())),
        }
    }
}
