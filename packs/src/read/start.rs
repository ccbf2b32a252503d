//! Owns [`Start`]: the first bytes of a file that an interrupted extraction left, as far as whole frames prove them.
//!
//! The data of a large file has frames of its own, and each frame has a signed digest of its content. So a file that was cut short
//! is verified frame by frame, and reading goes on at the first frame that is not whole: a file of many frames does not
//! begin again because its last one is missing.

use std::io::{self, Read};

use kojibox_signing::{Digest, Hasher};

use crate::{
    fill::fill,
    index::{Entry, Index},
};

/// The first bytes of a file, verified against the frames that hold them.
#[derive(Clone, Debug)]
pub struct Start {
    len: u64,
    hasher: Hasher,
}

impl Start {
    /// How many bytes; less than the file has, and at the end of a frame. None at all: the file was begun, so nothing but its data is needed.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// No byte of it is there yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The digest so far, to go on with.
    pub(super) fn hasher(&self) -> Hasher {
        self.hasher.clone()
    }
}

/// Reads from `bytes` what is there of the file at `path`, and tells how much of it whole frames prove.
///
/// `None` if it has no frames of its own: then it cannot go on, and is made anew. A file of which no frame is whole goes on with
/// its first frame, which may lie in another part of the blob than its header.
/// Memory: one frame, raw.
///
/// # Errors
/// What `bytes` answers.
pub fn verified_start(index: &Index, path: &str, bytes: &mut dyn Read) -> io::Result<Option<Start>> {
    let Some(Entry::File { size, raw_off, .. }) = index.get(path) else {
        return Ok(None);
    };
    // A file without data has no place in the stream.
    let (data, data_end) = (*raw_off, raw_off + size);
    let frames = index.frames();
    let first = frames.partition_point(|f| f.raw_off < data);
    let (mut at, mut hasher, mut piece) = (data, Hasher::new(), Vec::new());
    if *size == 0 || frames.get(first).is_none_or(|f| f.raw_off != data) {
        return Ok(None);
    }
    for frame in &frames[first..] {
        let end = frame.raw_off + frame.raw_len;
        // The last frame would also prove that the file is whole, which its own digest does better.
        if frame.raw_off != at || end >= data_end {
            break;
        }
        let wanted = usize::try_from(frame.raw_len).map_err(io::Error::other)?;
        piece.resize(wanted, 0);
        if fill(bytes, &mut piece)? < wanted || Digest::of(&piece) != frame.raw_sha256 {
            break;
        }
        hasher.update(&piece);
        at = end;
    }
    let len = at - data;
    Ok(Some(Start { len, hasher }))
}
