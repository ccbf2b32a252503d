//! Owns [`fill`]: reading in whole pieces, as large as the caller has room for.

use std::io::{self, ErrorKind, Read};

/// Reads until `buf` is full or the end is reached; gives the number of bytes read.
///
/// `Read::read_to_end` would do the same in pieces of a few KiB, which a stick answers slowly.
pub(crate) fn fill(file: &mut dyn Read, buf: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < buf.len() {
        match file.read(&mut buf[len..]) {
            Ok(0) => break,
            Ok(got) => len += got,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(len)
}
