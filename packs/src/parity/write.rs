//! Owns the writing of a parity file, in one pass over its blob, and the look at one that is there.
//!
//! Memory: the parity blocks of one group and one data block, `(parity + 1) × block`, at most 36 MiB; and 16 bytes per block.

use std::io::{self, Read, Seek, SeekFrom, Write};

use kojibox_signing::{Digest, Hasher};

use super::{
    Directory, Layout, ParityError,
    code::Group,
    directory::{HEAD, Head, checksum},
};
use crate::fill::fill;

/// Takes a blob as a stream and writes its parity.
pub struct ParityWriter<W> {
    out: W,
    layout: Layout,
    blob_sha256: Digest,
    group: Group,
    /// The data block at hand.
    block: Vec<u8>,
    /// Data blocks that are complete.
    blocks: u64,
    data_sums: Vec<u8>,
    parity_sums: Vec<u8>,
}

impl<W: Write + Seek> ParityWriter<W> {
    /// Begins the parity of the blob with digest `blob_sha256`, which is not checked here; `threads` compute.
    pub fn new(mut out: W, layout: Layout, blob_sha256: Digest, threads: usize) -> io::Result<Self> {
        // The place of the directory, which is known at the end.
        io::copy(&mut io::repeat(0).take(layout.parity_offset(0)), &mut out)?;
        Ok(Self {
            out,
            layout,
            blob_sha256,
            group: Group::new(&layout, threads),
            block: Vec::new(),
            blocks: 0,
            data_sums: Vec::new(),
            parity_sums: Vec::new(),
        })
    }

    fn room(&self) -> usize {
        usize::try_from(self.layout.block()).expect("a block is at most 4 MiB") - self.block.len()
    }

    /// Takes the data block at hand into its group.
    fn end_block(&mut self) -> io::Result<()> {
        self.data_sums.extend_from_slice(&checksum(&self.block));
        let room = self.room();
        self.block.resize(self.block.len() + room, 0);
        let at = self.blocks - self.layout.members(self.layout.group_of(self.blocks)).start;
        self.group
            .feed(usize::try_from(at).expect("a group has at most 64 blocks"), &self.block);
        self.block.clear();
        self.blocks += 1;
        if self.blocks.is_multiple_of(self.layout.data().into()) {
            self.end_group()?;
        }
        Ok(())
    }

    fn end_group(&mut self) -> io::Result<()> {
        for row in self.group.parity() {
            self.parity_sums.extend_from_slice(&checksum(row));
            self.out.write_all(row)?;
        }
        self.group.clear();
        Ok(())
    }

    /// Ends the parity once the whole blob was written; gives the file back.
    pub fn finish(mut self) -> io::Result<W> {
        if !self.block.is_empty() {
            self.end_block()?;
        }
        if !self.blocks.is_multiple_of(self.layout.data().into()) {
            self.end_group()?;
        }
        if self.blocks != self.layout.blocks() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let table = [self.data_sums, self.parity_sums].concat();
        let directory = Directory::make(self.layout, self.blob_sha256, table);
        let head = directory.head().to_bytes();
        self.out.write_all(directory.table())?;
        self.out.write_all(&head)?;
        self.out.seek(SeekFrom::Start(0))?;
        self.out.write_all(&head)?;
        self.out.write_all(directory.table())?;
        self.out.flush()?;
        Ok(self.out)
    }
}

impl<W: Write + Seek> Write for ParityWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.blocks == self.layout.blocks() && !bytes.is_empty() {
            // More than the blob has.
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let len = bytes.len().min(self.room());
        self.block.extend_from_slice(&bytes[..len]);
        if self.room() == 0 {
            self.end_block()?;
        }
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl<W> std::fmt::Debug for ParityWriter<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ParityWriter({:?})", self.layout)
    }
}

/// Reads a parity file to its end: every byte of it is as it was written, and belongs to the blob `blob_sha256`.
///
/// Gives its layout and its SHA-256. Memory: one block and the checksums.
pub fn whole(file: &mut dyn Read, blob_sha256: &Digest) -> io::Result<Result<(Layout, Digest), ParityError>> {
    let mut hasher = Hasher::new();
    let mut next = |len: u64| -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
        let got = fill(file, &mut bytes)?;
        bytes.truncate(got);
        hasher.update(&bytes);
        Ok(bytes)
    };
    let head = match Head::parse(&next(HEAD as u64)?) {
        Ok(head) if head.blob_sha256 == *blob_sha256 => head,
        Ok(_) => return Ok(Err(ParityError::Other)),
        Err(e) => return Ok(Err(e)),
    };
    let layout = head.layout;
    let directory = match Directory::new(head, next(layout.table_len())?) {
        Ok(directory) => directory,
        Err(e) => return Ok(Err(e)),
    };
    for n in 0..layout.parity_blocks() {
        if !directory.is_parity(n, &next(layout.block())?) {
            return Ok(Err(ParityError::Damaged("parity")));
        }
    }
    let second = [next(layout.table_len())?, next(HEAD as u64)?];
    if second[0] != directory.table() || second[1] != head.to_bytes() {
        return Ok(Err(ParityError::Damaged("second directory")));
    }
    let rest = next(1)?.len() as u64;
    if rest != 0 {
        let expected = layout.file_len();
        let got = expected + rest;
        return Ok(Err(ParityError::Length { got, expected }));
    }
    Ok(Ok((layout, hasher.finish())))
}
