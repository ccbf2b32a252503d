//! Owns the cutting of a blob into parts, at frame borders only.

use kojibox_signing::{Digest, Hasher};

use super::{BlobOutput, WriteError, WrittenPart};
use crate::names::MAX_PARTS;

/// A blob cannot be cut into parts of the wanted size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartError {
    /// One frame alone is larger.
    #[error("a frame of {len} bytes does not fit into a part of {limit} bytes")]
    Frame {
        /// Bytes of the frame.
        len: u64,
        /// Bytes of a part.
        limit: u64,
    },
    /// More parts than can be numbered.
    #[error("a blob may have at most {MAX_PARTS} parts; allow larger parts")]
    TooMany,
}

/// Says where the next part begins.
#[derive(Clone, Copy, Debug)]
pub struct PartCutter {
    limit: u64,
    used: u64,
    number: u32,
}

impl PartCutter {
    /// Parts of at most `limit` bytes.
    pub fn new(limit: u64) -> Self {
        Self {
            limit,
            used: 0,
            number: 0,
        }
    }

    /// Places a frame of `len` bytes; `Some(number)` if it begins a part, counted from 1.
    pub fn place(&mut self, len: u64) -> Result<Option<u32>, PartError> {
        if len > self.limit {
            return Err(PartError::Frame { len, limit: self.limit });
        }
        if self.number != 0 && len <= self.limit - self.used {
            self.used += len;
            return Ok(None);
        }
        if self.number == MAX_PARTS {
            return Err(PartError::TooMany);
        }
        self.number += 1;
        self.used = len;
        Ok(Some(self.number))
    }
}

/// Writes frames in order, cuts parts, and hashes parts and whole.
pub(super) struct PartSink<'a> {
    out: &'a mut dyn BlobOutput,
    cutter: PartCutter,
    whole: Hasher,
    size: u64,
    /// From the second part on; until then the whole is the part.
    part: Option<Hasher>,
    part_size: u64,
    parts: Vec<WrittenPart>,
}

impl<'a> PartSink<'a> {
    pub(super) fn new(out: &'a mut dyn BlobOutput, part_size: u64) -> Self {
        Self {
            out,
            cutter: PartCutter::new(part_size),
            whole: Hasher::new(),
            size: 0,
            part: None,
            part_size: 0,
            parts: Vec::new(),
        }
    }

    /// Appends one frame; gives its offset in the blob.
    pub(super) fn write(&mut self, frame: &[u8]) -> Result<u64, WriteError> {
        let len = frame.len() as u64;
        if let Some(number) = self.cutter.place(len)? {
            if number > 1 {
                self.end_part()?;
            }
            self.out.begin_part(number).map_err(WriteError::Output)?;
        }
        self.out.write(frame).map_err(WriteError::Output)?;
        self.whole.update(frame);
        if let Some(part) = &mut self.part {
            part.update(frame);
        }
        self.part_size += len;
        let offset = self.size;
        self.size += len;
        Ok(offset)
    }

    fn end_part(&mut self) -> Result<(), WriteError> {
        self.out.end_part().map_err(WriteError::Output)?;
        let part = self.part.replace(Hasher::new());
        let sha256 = part.unwrap_or_else(|| self.whole.clone()).finish();
        let size = std::mem::take(&mut self.part_size);
        self.parts.push(WrittenPart { size, sha256 });
        Ok(())
    }

    /// Ends the last part; gives size, digest and parts.
    pub(super) fn finish(mut self) -> Result<(u64, Digest, Vec<WrittenPart>), WriteError> {
        self.end_part()?;
        Ok((self.size, self.whole.finish(), self.parts))
    }
}
