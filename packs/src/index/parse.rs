//! Owns the reading of an index: every line in one form, every number in its place.

use std::io::{self, BufRead};

use kojibox_signing::Digest;

use super::{
    Entry, Facts, Frame, Index, IndexError, LineError, entry,
    fields::{Fields, follows, range},
};
use crate::{frame, header, limits, path::Tree};

pub(super) fn parse(text: impl BufRead) -> Result<Index, IndexError> {
    let mut lines = Lines {
        text,
        buffer: Vec::new(),
        number: 0,
        bytes: 0,
    };
    let mut parser = Parser::default();
    loop {
        let done = {
            let Some(line) = lines.next()? else {
                return Err(lines.fail(LineError::Expected("a line `end`")));
            };
            parser.line(line).map_err(|e| e.at(lines.number))?
        };
        if let Some(stated) = done {
            if lines.next()?.is_some() {
                return Err(lines.fail(LineError::Expected("nothing after the line `end`")));
            }
            return parser.finish(stated, lines.bytes).map_err(|e| lines.fail(e));
        }
    }
}

struct Lines<R> {
    text: R,
    buffer: Vec<u8>,
    number: u64,
    bytes: u64,
}

impl<R: BufRead> Lines<R> {
    /// The next line without its break, `None` at the end.
    fn next(&mut self) -> Result<Option<&str>, IndexError> {
        self.buffer.clear();
        self.number += 1;
        let most = limits::INDEX_LINE as u64 + 1;
        let got = io::Read::take(&mut self.text, most)
            .read_until(b'\n', &mut self.buffer)
            .map_err(IndexError::Decode)?;
        if got == 0 {
            return Ok(None);
        }
        self.bytes += got as u64;
        if self.bytes > limits::INDEX_RAW {
            return Err(IndexError::Long(self.bytes));
        }
        let line = self.buffer.strip_suffix(b"\n");
        match line.and_then(|line| std::str::from_utf8(line).ok()) {
            Some(line) => Ok(Some(line)),
            None => Err(IndexError::Line {
                line: self.number,
                source: LineError::Text,
            }),
        }
    }

    fn fail(&self, source: LineError) -> IndexError {
        IndexError::Line {
            line: self.number,
            source,
        }
    }
}

enum Fail {
    Line(LineError),
    TooNew(u64),
}

impl<E: Into<LineError>> From<E> for Fail {
    fn from(error: E) -> Self {
        Self::Line(error.into())
    }
}

impl Fail {
    fn at(self, line: u64) -> IndexError {
        match self {
            Self::Line(source) => IndexError::Line { line, source },
            Self::TooNew(version) => IndexError::TooNew(version),
        }
    }
}

#[derive(Default)]
struct Parser {
    mtime: Option<u64>,
    frames: Vec<Frame>,
    entries: Vec<Entry>,
    tree: Tree,
    /// End of the blob and of the raw stream, as the frames say.
    comp_end: u64,
    raw_end: u64,
    /// Where the next header starts, as the entries say.
    next_header: u64,
}

impl Parser {
    /// Takes one line; the digest of the line `end` when it was that.
    fn line(&mut self, line: &str) -> Result<Option<Digest>, Fail> {
        let mut fields = Fields::of(line);
        let kind = fields.text()?;
        if self.mtime.is_none() {
            self.mtime = Some(first(kind, &mut fields)?);
        } else {
            match kind {
                "frame" => self.frame(&mut fields)?,
                "dir" | "file" | "same" | "link" => self.entry(kind, &mut fields)?,
                "end" => return self.end(&mut fields).map(Some),
                _ => return Err(LineError::Expected("`frame`, `dir`, `file`, `same`, `link` or `end`").into()),
            }
        }
        fields.end()?;
        Ok(None)
    }

    fn frame(&mut self, fields: &mut Fields<'_>) -> Result<(), Fail> {
        if !self.entries.is_empty() {
            return Err(LineError::Expected("no `frame` after an entry").into());
        }
        let count = self.frames.len() as u64;
        range("the number of frames", count + 1, 1, limits::FRAMES)?;
        follows("the number of the frame", fields.number()?, count)?;
        let comp_off = follows("the offset in the blob", fields.number()?, self.comp_end)?;
        let comp_len = fields.number()?;
        let raw_off = follows("the offset in the raw stream", fields.number()?, self.raw_end)?;
        let raw_len = range("the raw length", fields.number()?, 1, limits::FRAME_MAX_HIGH)?;
        range("the compressed length", comp_len, 1, frame::bound(raw_len))?;
        self.comp_end += comp_len;
        self.raw_end += raw_len;
        self.frames.push(Frame {
            comp_off,
            comp_len,
            raw_off,
            raw_len,
            comp_sha256: fields.digest()?,
            raw_sha256: fields.digest()?,
        });
        Ok(())
    }

    fn entry(&mut self, kind: &str, fields: &mut Fields<'_>) -> Result<(), Fail> {
        range(
            "the number of entries",
            self.entries.len() as u64 + 1,
            1,
            limits::ENTRIES,
        )?;
        let entry = match kind {
            "dir" => Entry::Dir {
                mode: fields.mode(&[0o755])?,
                path: fields.path()?,
            },
            "file" => Entry::File {
                mode: fields.mode(&[0o644, 0o755])?,
                size: range("the size", fields.number()?, 0, limits::BLOB)?,
                raw_off: fields.number()?,
                sha256: fields.digest()?,
                path: fields.path()?,
            },
            "same" => Entry::Same {
                mode: fields.mode(&[0o644, 0o755])?,
                path: fields.path()?,
                first: fields.path()?,
            },
            _ => Entry::Link {
                path: fields.path()?,
                target: fields.text()?.to_owned(),
            },
        };
        self.tree.add(entry.path(), matches!(entry, Entry::Dir { .. }))?;
        self.place(&entry)?;
        self.entries.push(entry);
        Ok(())
    }

    /// Checks what `entry` says about others and about its place in the raw stream.
    fn place(&mut self, entry: &Entry) -> Result<(), Fail> {
        let data = self.next_header + header::header_len(entry);
        match entry {
            Entry::File { size, raw_off, .. } => {
                let expected = if *size == 0 { 0 } else { data };
                follows("the offset of the data", *raw_off, expected)?;
            }
            Entry::Same { mode, first, .. } => match entry::find(&self.entries, first) {
                Some(Entry::File { mode: m, size, .. }) if m == mode && *size > 0 => {}
                _ => return Err(LineError::First(first.to_string()).into()),
            },
            Entry::Link { path, target } => path.check_link(target)?,
            Entry::Dir { .. } => {}
        }
        let len = entry.data_len();
        self.next_header = data + len + header::padding(len);
        range("the end of the raw stream", self.next_header, 0, limits::BLOB)?;
        Ok(())
    }

    fn end(&mut self, fields: &mut Fields<'_>) -> Result<Digest, Fail> {
        follows("the number of frames", fields.number()?, self.frames.len() as u64)?;
        follows("the number of entries", fields.number()?, self.entries.len() as u64)?;
        let total = follows("the raw total", fields.number()?, self.raw_end)?;
        follows("the end of the frames", total, self.next_header + header::TRAILER)?;
        let stated = fields.digest()?;
        fields.end()?;
        Ok(stated)
    }

    fn finish(self, stated: Digest, raw_size: u64) -> Result<Index, LineError> {
        let facts = Facts::of(&self.entries);
        if facts.tree_sha256 != stated {
            let got = facts.tree_sha256;
            return Err(LineError::TreeDigest { got, stated });
        }
        Ok(Index {
            mtime: self.mtime.unwrap_or(limits::MTIME_DEFAULT),
            frames: self.frames,
            entries: self.entries,
            raw_size,
            facts,
        })
    }
}

/// `kbx-idx 1 <mtime>`.
fn first(kind: &str, fields: &mut Fields<'_>) -> Result<u64, Fail> {
    if kind != "kbx-idx" {
        return Err(LineError::Expected("`kbx-idx`").into());
    }
    match fields.number()? {
        1 => Ok(range("the modification time", fields.number()?, 1, limits::MTIME_MAX)?),
        newer @ 2.. => Err(Fail::TooNew(newer)),
        _ => Err(LineError::Expected("version 1").into()),
    }
}
