//! Owns unpacking: tar (gzip, zstd, xz or plain), zip and Debian packages into a [`Tree`].
//!
//! Nothing is written under a name of the archive; every path is checked before it counts; members that are neither file,
//! folder nor link are refused; sizes and counts are bounded; everything streams.

mod deb;
mod tar;
mod zip;

use std::{
    fs::File,
    io::{self, Read, Seek as _},
    path::Path,
};

use super::{
    error::SourceError,
    tree::{Content, MAX_ENTRIES, Node, Spool, Taken, Tree},
};

use crate::interrupt::Stoppable;

pub(crate) use deb::control;

/// Largest window of a zstd stream, as a power of two.
const ZSTD_WINDOW: u32 = 27;

/// Memory that an xz stream may ask for, in KiB.
const XZ_MEMORY: u32 = 256 << 10;

/// What a file is, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Tar,
    Zip,
    Deb,
    Plain,
}

/// An archive on its way into a tree.
pub(crate) struct Unpacker<'a> {
    /// How the archive is called in messages.
    pub(crate) name: &'a str,
    pub(crate) spool: Spool,
    pub(crate) tree: Tree,
    /// Members whose names no pack can hold are passed over.
    pub(crate) lenient: bool,
}

/// Unpacks `file`, called `name`, into a tree whose bytes lie in `scratch`. A plain file becomes one entry called `name`.
pub(crate) fn unpack(file: &mut File, name: &str, scratch: &Path) -> Result<Tree, SourceError> {
    unpack_as(file, name, scratch, false)
}

/// Unpacks one of the packages of a whole system, of which little is kept: members whose names no pack can hold (such as
/// units of systemd with a backslash) are passed over.
pub(crate) fn unpack_leniently(file: &mut File, name: &str, scratch: &Path) -> Result<Tree, SourceError> {
    unpack_as(file, name, scratch, true)
}

fn unpack_as(file: &mut File, name: &str, scratch: &Path, lenient: bool) -> Result<Tree, SourceError> {
    let broken = |e: io::Error| archive_error(name, e);
    let kind = kind_of(file).map_err(broken)?;
    let mut unpacker = Unpacker {
        name,
        spool: Spool::new(scratch)?,
        tree: Tree::default(),
        lenient,
    };
    match kind {
        Kind::Tar => {
            let mut stream = Stoppable(decoder(file).map_err(broken)?);
            tar::unpack(&mut stream, &mut unpacker)?;
        }
        Kind::Zip => zip::unpack(file, &mut unpacker)?,
        Kind::Deb => deb::unpack(file, &mut unpacker)?,
        Kind::Plain => unpacker.file(name, false, &mut &mut *file)?,
    }
    unpacker.spool.finish()?;
    Ok(unpacker.tree)
}

/// Takes `file` as it is, as one entry called `name`.
pub(crate) fn keep(file: &mut File, name: &str, scratch: &Path) -> Result<Tree, SourceError> {
    let mut unpacker = Unpacker {
        name,
        spool: Spool::new(scratch)?,
        tree: Tree::default(),
        lenient: false,
    };
    unpacker.file(name, false, file)?;
    unpacker.spool.finish()?;
    Ok(unpacker.tree)
}

/// The door of the fuzz target: unpacks `file` and returns the paths of the tree.
#[cfg(fuzzing)]
pub fn fuzzed(file: &mut File, scratch: &Path) -> Result<Vec<String>, SourceError> {
    let tree = unpack(file, "fuzzed", scratch)?;
    Ok(tree.iter().map(|(path, _)| path.clone()).collect())
}

/// What `file` is; it stands at its start afterwards.
fn kind_of(file: &mut File) -> io::Result<Kind> {
    let head = head_of(&mut *file, 512)?;
    file.rewind()?;
    if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
        return Ok(Kind::Zip);
    }
    if head.starts_with(b"!<arch>\ndebian-binary") {
        return Ok(Kind::Deb);
    }
    // A compressed file that holds no tar is kept as it is; so is one that cannot be decoded, unless it is called a tar.
    let inner = decoder(&mut *file).and_then(|d| head_of(d, 512)).unwrap_or_default();
    file.rewind()?;
    Ok(if inner.get(257..262) == Some(b"ustar") {
        Kind::Tar
    } else {
        Kind::Plain
    })
}

fn head_of(reader: impl Read, n: u64) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    reader.take(n).read_to_end(&mut head)?;
    Ok(head)
}

/// Decodes gzip, zstd or xz by its first bytes; anything else passes.
fn decoder<'r>(mut reader: impl Read + 'r) -> io::Result<Box<dyn Read + 'r>> {
    let mut head = [0; 6];
    let mut have = 0;
    while have < head.len() {
        match reader.read(&mut head[have..])? {
            0 => break,
            n => have += n,
        }
    }
    let head = head[..have].to_vec();
    let whole = io::BufReader::with_capacity(1 << 17, io::Cursor::new(head.clone()).chain(reader));
    Ok(if head.starts_with(&[0x1f, 0x8b]) {
        Box::new(flate2::bufread::MultiGzDecoder::new(whole))
    } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        let mut decoder = zstd::stream::read::Decoder::with_buffer(whole)?;
        decoder.window_log_max(ZSTD_WINDOW)?;
        Box::new(decoder)
    } else if head.starts_with(b"\xfd7zXZ\0") {
        Box::new(lzma_rust2::XzReader::new_mem_limit(whole, true, XZ_MEMORY))
    } else {
        Box::new(whole)
    })
}

pub(crate) fn archive_error(name: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> SourceError {
    SourceError::Archive {
        archive: name.to_owned(),
        source: error.into(),
    }
}

impl Unpacker<'_> {
    pub(crate) fn refuse(&self, member: &str, reason: impl Into<String>) -> SourceError {
        SourceError::Member {
            archive: self.name.to_owned(),
            member: member.chars().take(300).collect(),
            reason: reason.into(),
        }
    }

    /// The path of a member as trees have it. None: the top itself.
    pub(crate) fn path(&self, raw: &[u8]) -> Result<Option<String>, SourceError> {
        let Ok(text) = std::str::from_utf8(raw) else {
            return Err(self.refuse(&String::from_utf8_lossy(raw), "its name is not UTF-8"));
        };
        if self.lenient && text.contains(['\\', '\0']) {
            return Ok(None);
        }
        if text.starts_with('/') || text.contains('\\') || text.contains('\0') || text.get(1..2) == Some(":") {
            return Err(self.refuse(text, "its name is not a relative path with `/`"));
        }
        let mut segments = Vec::new();
        for segment in text.split('/') {
            match segment {
                "" | "." => {}
                ".." => return Err(self.refuse(text, "its name leads out of the archive")),
                segment => segments.push(segment),
            }
        }
        Ok((!segments.is_empty()).then(|| segments.join("/")))
    }

    fn room(&self, path: &str) -> Result<(), SourceError> {
        if self.tree.len() >= MAX_ENTRIES {
            return Err(self.refuse(path, format!("more than {MAX_ENTRIES} members")));
        }
        Ok(())
    }

    pub(crate) fn dir(&mut self, path: String) -> Result<(), SourceError> {
        self.room(&path)?;
        self.tree.put(path, Node::Dir);
        Ok(())
    }

    pub(crate) fn link(&mut self, path: String, target: &[u8]) -> Result<(), SourceError> {
        self.room(&path)?;
        let Ok(target) = std::str::from_utf8(target) else {
            return Err(self.refuse(&path, "the target of the link is not UTF-8"));
        };
        // Whether it stays inside is decided after the steps, when it is known what is kept.
        self.tree.put(
            path,
            Node::Link {
                target: target.to_owned(),
            },
        );
        Ok(())
    }

    pub(crate) fn file(&mut self, path: &str, exec: bool, bytes: &mut dyn Read) -> Result<(), SourceError> {
        self.room(path)?;
        let content = match self.spool.take(bytes, u64::MAX) {
            Ok(content) => content,
            Err(Taken::Here(e)) => return Err(e),
            Err(Taken::TooMuch) => return Err(self.refuse(path, "the archive unpacks to more than 64 GiB")),
            Err(Taken::Reader(e)) => return Err(archive_error(self.name, e)),
        };
        self.tree.put(path.to_owned(), Node::File { exec, content });
        Ok(())
    }

    /// A second name of a file that came before.
    pub(crate) fn same(&mut self, path: String, first: &str) -> Result<(), SourceError> {
        self.room(&path)?;
        match self.tree.get(first) {
            Some(Node::File { exec, content }) => {
                let node = Node::File {
                    exec: *exec,
                    content: Content::clone(content),
                };
                self.tree.put(path, node);
                Ok(())
            }
            _ => Err(self.refuse(
                &path,
                format!("it is a hard link to `{first}`, which is no file before it"),
            )),
        }
    }
}
