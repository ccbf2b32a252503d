//! Owns [`KpackWriter`]: the making of a single-file pack.

use std::io::{self, Read, Write};

use super::{super::Section, KpackError, rank, split};
use crate::{header, limits};

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
        self.out.write_all(header::zeros(padding))?;
        self.written += header.len() as u64 + size + padding;
        Ok(())
    }

    /// Writes the end mark; gives the destination back and the bytes written.
    pub fn finish(mut self) -> io::Result<(W, u64)> {
        self.out.write_all(header::zeros(header::TRAILER))?;
        self.out.flush()?;
        Ok((self.out, self.written + header::TRAILER))
    }
}
