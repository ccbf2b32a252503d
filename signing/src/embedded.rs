//! Owns the trailer that carries trust roots at the very end of an installer's file.
//!
//! Bytes: `TRUST.md`, section 6. The trailer is worth exactly what the program is worth that it is appended to.
//!
//! *Limitations*: only a trailer at the end of the file is found, so one appended before code signing that adds bytes is not.

use crate::Digest;

/// Longest trailer: how much of a file's end must be read to find one.
pub const MAX_TRAILER: usize = 1 << 20;

const MAGIC: &[u8; 16] = b"kojibox-trust-1\n";
/// count, length of the body, SHA-256 of the body, magic.
const FOOTER: usize = 4 + 4 + 32 + 16;

/// Why a trailer cannot be made or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmbeddedError {
    /// More than a reader looks at.
    #[error("the trust roots are too long to append, at most {MAX_TRAILER} bytes are read back")]
    TooLarge,
    /// The mark is there, what it stands for is not.
    #[error("the trust roots appended to this program are damaged")]
    Damaged,
}

/// The bytes to append to a program so that it carries `roots`, a chain in order of versions.
///
/// # Errors
/// [`EmbeddedError::TooLarge`] if a reader would not find it again.
pub fn append(roots: &[Vec<u8>]) -> Result<Vec<u8>, EmbeddedError> {
    let u32 = |n: usize| u32::try_from(n).map_err(|_| EmbeddedError::TooLarge);
    let mut out = Vec::new();
    for root in roots {
        out.extend_from_slice(&u32(root.len())?.to_le_bytes());
        out.extend_from_slice(root);
    }
    let digest = Digest::of(&out);
    let len = u32(out.len())?;
    out.extend_from_slice(&u32(roots.len())?.to_le_bytes());
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(digest.as_bytes());
    out.extend_from_slice(MAGIC);
    if out.len() > MAX_TRAILER {
        return Err(EmbeddedError::TooLarge);
    }
    Ok(out)
}

/// The roots in a trailer. `tail` is the end of the file: its last [`MAX_TRAILER`] bytes, or all of a shorter one.
///
/// # Errors
/// [`EmbeddedError::Damaged`] if the mark of a trailer is there but its content is not as it was appended.
pub fn find(tail: &[u8]) -> Result<Option<Vec<Vec<u8>>>, EmbeddedError> {
    let Some((count, mut body)) = split(tail)? else {
        return Ok(None);
    };
    let mut roots = Vec::new();
    while let Some((len, rest)) = body.split_first_chunk::<4>() {
        let len = usize::try_from(u32::from_le_bytes(*len)).map_err(|_| EmbeddedError::Damaged)?;
        let (root, rest) = rest.split_at_checked(len).ok_or(EmbeddedError::Damaged)?;
        roots.push(root.to_vec());
        body = rest;
    }
    if !body.is_empty() || roots.len() != count {
        return Err(EmbeddedError::Damaged);
    }
    Ok(Some(roots))
}

/// Length of the trailer, so that the program can be hashed without it; 0 when there is none.
///
/// # Errors
/// As [`find`].
pub fn len(tail: &[u8]) -> Result<usize, EmbeddedError> {
    Ok(split(tail)?.map_or(0, |(_, body)| body.len() + FOOTER))
}

/// How many roots there should be, and the bytes that hold them.
fn split(tail: &[u8]) -> Result<Option<(usize, &[u8])>, EmbeddedError> {
    let Some(rest) = tail.strip_suffix(MAGIC) else {
        return Ok(None);
    };
    let (rest, digest) = rest.split_last_chunk::<32>().ok_or(EmbeddedError::Damaged)?;
    let (rest, len) = rest.split_last_chunk::<4>().ok_or(EmbeddedError::Damaged)?;
    let (rest, count) = rest.split_last_chunk::<4>().ok_or(EmbeddedError::Damaged)?;
    let number = |bytes: &[u8; 4]| usize::try_from(u32::from_le_bytes(*bytes)).map_err(|_| EmbeddedError::Damaged);
    let start = rest.len().checked_sub(number(len)?).ok_or(EmbeddedError::Damaged)?;
    let body = &rest[start..];
    if Digest::of(body).as_bytes() != digest || body.len() + FOOTER > MAX_TRAILER {
        return Err(EmbeddedError::Damaged);
    }
    Ok(Some((number(count)?, body)))
}
