//! Owns the tar headers of a blob: a pure function of an index entry, never parsed back into meaning.
//!
//! The writer emits these bytes; the reader makes them again from the signed index and compares. So `tar` and Kojibox
//! always see the same tree, and no tar header ever decides where a byte goes.
//!
//! Source: packs/FORMAT.md, "Headers"; POSIX.1-2017 `pax`, "ustar Interchange Format" and "pax Extended Header".

use crate::{index::Entry, limits::OCTAL_11};

/// Bytes of a tar block.
pub const BLOCK: u64 = 512;
/// Zero bytes that end the raw stream.
pub const TRAILER: u64 = 2 * BLOCK;
/// One block.
pub(crate) type Block = [u8; 512];

/// `len` zero bytes, at most [`TRAILER`].
pub(crate) fn zeros(len: u64) -> &'static [u8] {
    const ZEROS: [u8; 1024] = [0; 1024];
    &ZEROS[..usize::try_from(len).expect("at most two blocks")]
}

/// Name of every extended header.
const PAX_NAME: &[u8] = b"@PaxHeader";
/// Bytes of the fields `name` and `linkname`.
const NAME_LEN: usize = 100;

/// Zero bytes between `size` bytes of data and the next header.
pub const fn padding(size: u64) -> u64 {
    (BLOCK - size % BLOCK) % BLOCK
}

/// The header blocks of `entry`; 512 bytes, or more where a field is over its limit.
pub fn header(entry: &Entry, mtime: u64) -> Vec<u8> {
    let fields = match entry {
        Entry::Dir { mode, path } => Fields::new(b'5', *mode, &format!("{path}/"), "", 0),
        Entry::File { mode, size, path, .. } => Fields::new(b'0', *mode, path, "", *size),
        Entry::Same { mode, path, first } => Fields::new(b'1', *mode, path, first, 0),
        Entry::Link { path, target } => Fields::new(b'2', 0o777, path, target, 0),
    };
    fields.blocks(mtime)
}

/// Length of [`header`] without making it.
pub fn header_len(entry: &Entry) -> u64 {
    let (path, link, size) = match entry {
        Entry::Dir { path, .. } => (path.len() + 1, 0, 0),
        Entry::File { path, size, .. } => (path.len(), 0, *size),
        Entry::Same { path, first, .. } => (path.len(), first.len(), 0),
        Entry::Link { path, target } => (path.len(), target.len(), 0),
    };
    let mut pax = 0;
    for (key, len) in [("path", path), ("linkpath", link)] {
        if len > NAME_LEN {
            pax += record_len(key.len(), len);
        }
    }
    if size > OCTAL_11 {
        pax += record_len("size".len(), size.to_string().len());
    }
    if pax == 0 {
        return BLOCK;
    }
    let pax = pax as u64;
    2 * BLOCK + pax + padding(pax)
}

/// The header of a member of a single-file pack.
pub(crate) fn member(name: &str, size: u64, mtime: u64) -> Vec<u8> {
    Fields::new(b'0', 0o644, name, "", size).blocks(mtime)
}

struct Fields {
    kind: u8,
    mode: u32,
    name: Vec<u8>,
    link: Vec<u8>,
    size: u64,
    pax: Vec<u8>,
}

impl Fields {
    fn new(kind: u8, mode: u32, path: &str, link: &str, size: u64) -> Self {
        let mut pax = Vec::new();
        if path.len() > NAME_LEN {
            record(&mut pax, "path", path);
        }
        if link.len() > NAME_LEN {
            record(&mut pax, "linkpath", link);
        }
        if size > OCTAL_11 {
            record(&mut pax, "size", &size.to_string());
        }
        Self {
            kind,
            mode,
            name: cut(path),
            link: cut(link),
            size: if size > OCTAL_11 { 0 } else { size },
            pax,
        }
    }

    fn blocks(&self, mtime: u64) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.pax.is_empty() {
            let size = self.pax.len() as u64;
            out.extend_from_slice(&block(b'x', 0o644, PAX_NAME, b"", size, mtime));
            out.extend_from_slice(&self.pax);
            out.resize(
                out.len() + usize::try_from(padding(size)).expect("less than a block"),
                0,
            );
        }
        out.extend_from_slice(&block(self.kind, self.mode, &self.name, &self.link, self.size, mtime));
        out
    }
}

/// The longest prefix of whole characters that fits the field.
fn cut(text: &str) -> Vec<u8> {
    let end = (0..=text.len().min(NAME_LEN))
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0);
    text.as_bytes()[..end].to_vec()
}

/// `<length> <key>=<value>\n`, where the length counts its own digits.
fn record(out: &mut Vec<u8>, key: &str, value: &str) {
    let len = record_len(key.len(), value.len());
    out.extend_from_slice(format!("{len} {key}={value}\n").as_bytes());
}

fn record_len(key: usize, value: usize) -> usize {
    let rest = key + value + 3;
    let mut len = rest + 1;
    while rest + len.to_string().len() != len {
        len += 1;
    }
    len
}

fn block(kind: u8, mode: u32, name: &[u8], link: &[u8], size: u64, mtime: u64) -> Block {
    let mut out = [0; 512];
    let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name);
    put(100, format!("{mode:07o}").as_bytes());
    put(108, b"0000000");
    put(116, b"0000000");
    put(124, format!("{size:011o}").as_bytes());
    put(136, format!("{mtime:011o}").as_bytes());
    put(148, b"        ");
    put(156, &[kind]);
    put(157, link);
    put(257, b"ustar\x0000");
    put(329, b"0000000");
    put(337, b"0000000");
    let sum: u32 = out.iter().map(|b| u32::from(*b)).sum();
    out[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    out
}

#[cfg(test)]
mod tests {
    use kojibox_signing::Digest;

    use super::{TRAILER, header, header_len};
    use crate::{index::Entry, path::PackPath};

    fn path(text: &str) -> PackPath {
        PackPath::new(text).unwrap()
    }

    fn samples() -> Vec<Entry> {
        let long = format!("{}/{}", "d".repeat(200), "é".repeat(100));
        let mut out = vec![
            Entry::Dir {
                mode: 0o755,
                path: path("bin"),
            },
            Entry::Link {
                path: path("bin/l"),
                target: "../x".into(),
            },
            Entry::Link {
                path: path("l"),
                target: "t/".repeat(60) + "t",
            },
            Entry::Dir {
                mode: 0o755,
                path: path(&long),
            },
            Entry::Same {
                mode: 0o755,
                path: path(&long),
                first: path(&format!("{long}x")),
            },
        ];
        for len in [1, 98, 99, 100, 101, 102, 255] {
            out.push(Entry::Dir {
                mode: 0o755,
                path: path(&"p".repeat(len)),
            });
            for size in [0, 1, 0o777_7777_7777, 0o777_7777_7777 + 1, 1 << 40] {
                let sha256 = Digest::of(b"");
                out.push(Entry::File {
                    mode: 0o644,
                    size,
                    raw_off: 0,
                    sha256,
                    path: path(&"f".repeat(len)),
                });
            }
        }
        out
    }

    #[test]
    fn stock_tar_reader_sees_exactly_the_entry() {
        for entry in samples() {
            let mut bytes = header(&entry, 315_532_800);
            assert_eq!(bytes.len() as u64, header_len(&entry), "{entry:?}");
            bytes.resize(bytes.len() + usize::try_from(TRAILER).unwrap(), 0);
            let mut archive = tar::Archive::new(&bytes[..]);
            let seen = archive.entries().unwrap().next().unwrap().unwrap();
            let (kind, link) = match &entry {
                Entry::Dir { .. } => (tar::EntryType::Directory, None),
                Entry::File { .. } => (tar::EntryType::Regular, None),
                Entry::Same { first, .. } => (tar::EntryType::Link, Some(first.to_string())),
                Entry::Link { target, .. } => (tar::EntryType::Symlink, Some(target.clone())),
            };
            assert_eq!(seen.header().entry_type(), kind);
            assert_eq!(
                seen.path().unwrap().to_str().unwrap().trim_end_matches('/'),
                entry.path().as_str()
            );
            assert_eq!(seen.link_name().unwrap().map(|l| l.to_str().unwrap().to_owned()), link);
            assert_eq!(seen.header().mtime().unwrap(), 315_532_800);
            if let Entry::File { size, .. } = entry {
                assert_eq!(seen.size(), size);
            }
        }
    }

    #[test]
    fn a_plain_header_has_these_bytes() {
        let sha256 = Digest::of(b"");
        let entry = Entry::File {
            mode: 0o755,
            size: 10,
            raw_off: 512,
            sha256,
            path: path("bin/x"),
        };
        let mut expected = vec![0; 512];
        expected[..5].copy_from_slice(b"bin/x");
        expected[100..148].copy_from_slice(b"0000755\x000000000\x000000000\x0000000000012\x0002263523000\x00");
        expected[148..156].fill(b' ');
        expected[156] = b'0';
        expected[257..265].copy_from_slice(b"ustar\x0000");
        expected[329..345].copy_from_slice(b"0000000\x000000000\x00");
        let sum: u32 = expected.iter().map(|b: &u8| u32::from(*b)).sum();
        expected[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        assert_eq!(header(&entry, 315_532_800), expected);
    }
}
