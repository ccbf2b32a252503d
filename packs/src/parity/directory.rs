//! Owns the directory of a parity file: its head and the checksum of every block, twice in the file.

use kojibox_signing::Digest;

use super::{Layout, ParityError};

/// Bytes of the head.
pub const HEAD: usize = 128;
/// Bytes of a checksum.
pub(super) const CHECKSUM: usize = 16;

const MAGIC: [u8; 8] = *b"KBXPAR\r\n";
const VERSION: u32 = 1;

/// The first 16 bytes of the SHA-256 of a block: enough to see damage, nothing to trust.
pub type Checksum = [u8; CHECKSUM];

/// The head: what the parity is for, and the digest of the checksums that follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Sizes.
    pub layout: Layout,
    /// SHA-256 of the blob.
    pub blob_sha256: Digest,
    /// SHA-256 of all checksums.
    pub table_sha256: Digest,
}

impl Head {
    /// The 128 bytes of the head.
    pub fn to_bytes(&self) -> [u8; HEAD] {
        let mut out = Vec::with_capacity(HEAD);
        out.extend_from_slice(&MAGIC);
        let block = u32::try_from(self.layout.block()).expect("a block is at most 4 MiB");
        for number in [VERSION, self.layout.data(), self.layout.parity(), block] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.layout.size().to_le_bytes());
        out.extend_from_slice(self.blob_sha256.as_bytes());
        out.extend_from_slice(self.table_sha256.as_bytes());
        let sum = Digest::of(&out);
        out.extend_from_slice(sum.as_bytes());
        out.try_into().expect("the fields above have 128 bytes")
    }

    /// Reads a head; every number in it is within its limits afterwards.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParityError> {
        let bytes = bytes.first_chunk::<HEAD>().ok_or(ParityError::Short)?;
        let (body, sum) = bytes.split_at(HEAD - 32);
        if body[..8] != MAGIC {
            return Err(ParityError::Magic);
        }
        if Digest::of(body).as_bytes() != sum {
            return Err(ParityError::Damaged("head"));
        }
        let number = |at: usize| u32::from_le_bytes(body[at..at + 4].try_into().expect("four bytes"));
        if number(8) != VERSION {
            return Err(ParityError::Version(number(8)));
        }
        let size = u64::from_le_bytes(body[24..32].try_into().expect("eight bytes"));
        let digest = |at: usize| Digest::from_bytes(<[u8; 32]>::try_from(&body[at..at + 32]).expect("32 bytes"));
        Ok(Self {
            layout: Layout::new(number(12), number(16), number(20).into(), size)?,
            blob_sha256: digest(32),
            table_sha256: digest(64),
        })
    }
}

/// Head and checksums.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    head: Head,
    table: Vec<u8>,
}

impl Directory {
    /// Makes the directory of a blob from the checksums of its blocks, data blocks first.
    pub(super) fn make(layout: Layout, blob_sha256: Digest, table: Vec<u8>) -> Self {
        let table_sha256 = Digest::of(&table);
        Self {
            head: Head {
                layout,
                blob_sha256,
                table_sha256,
            },
            table,
        }
    }

    /// Joins a head and the checksums that belong to it.
    pub fn new(head: Head, table: Vec<u8>) -> Result<Self, ParityError> {
        if table.len() as u64 != head.layout.table_len() || Digest::of(&table) != head.table_sha256 {
            return Err(ParityError::Damaged("list of checksums"));
        }
        Ok(Self { head, table })
    }

    /// Reads a directory from the beginning of `bytes`.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParityError> {
        let head = Head::parse(bytes)?;
        let len = usize::try_from(head.layout.table_len()).map_err(|_| ParityError::Short)?;
        let table = bytes.get(HEAD..).and_then(|rest| rest.get(..len));
        Self::new(head, table.ok_or(ParityError::Short)?.to_vec())
    }

    /// The head.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Sizes.
    pub fn layout(&self) -> &Layout {
        &self.head.layout
    }

    /// All checksums as they lie in the file.
    pub(super) fn table(&self) -> &[u8] {
        &self.table
    }

    /// True if `bytes` are what data block `n` was.
    pub fn is_data(&self, n: u64, bytes: &[u8]) -> bool {
        self.is(n, bytes)
    }

    /// True if `bytes` are what parity block `n`, counted over all groups, was.
    pub fn is_parity(&self, n: u64, bytes: &[u8]) -> bool {
        self.is(self.layout().blocks() + n, bytes)
    }

    fn is(&self, n: u64, bytes: &[u8]) -> bool {
        let at = usize::try_from(n).ok().and_then(|n| n.checked_mul(CHECKSUM));
        let expected = at.and_then(|at| self.table.get(at..at + CHECKSUM));
        expected == Some(&checksum(bytes)[..])
    }
}

/// The checksum of a block.
pub(super) fn checksum(bytes: &[u8]) -> Checksum {
    *Digest::of(bytes)
        .as_bytes()
        .first_chunk()
        .expect("a digest has 32 bytes")
}

#[cfg(test)]
mod tests {
    use kojibox_signing::Digest;

    use super::{Directory, HEAD, Head};
    use crate::parity::{Layout, ParityError};

    fn directory() -> Directory {
        let layout = Layout::of_blob(10_000, 2).unwrap();
        Directory::make(layout, Digest::of(b"blob"), (0..5 * 16).collect())
    }

    #[test]
    fn every_flipped_bit_of_a_directory_is_found() {
        let made = directory();
        let bytes = [&made.head().to_bytes()[..], made.table()].concat();
        assert_eq!(Directory::parse(&bytes).unwrap(), made);
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 4;
            let error = Directory::parse(&bad).unwrap_err();
            let expected = match at {
                0..8 => ParityError::Magic,
                8..HEAD => ParityError::Damaged("head"),
                _ => ParityError::Damaged("list of checksums"),
            };
            assert_eq!(error, expected, "byte {at}");
        }
        for len in 0..bytes.len() {
            assert_eq!(Directory::parse(&bytes[..len]), Err(ParityError::Short), "{len} bytes");
        }
    }

    #[test]
    fn a_head_with_other_numbers_is_refused_even_when_its_digest_fits() {
        let good = directory().head().to_bytes();
        for (at, byte) in [(8, 2), (12, 0), (16, 200), (20, 1), (30, 0xff)] {
            let mut bad = good;
            bad[at] = byte;
            let sum = Digest::of(&bad[..HEAD - 32]);
            bad[HEAD - 32..].copy_from_slice(sum.as_bytes());
            let error = Head::parse(&bad).unwrap_err();
            let named = matches!(error, ParityError::Version(2) | ParityError::Limit { .. });
            assert!(named, "byte {at}: {error:?}");
        }
    }
}
