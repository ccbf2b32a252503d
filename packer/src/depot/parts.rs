//! Owns reading a blob as one stream, whatever parts it lies in.

use std::{
    io::{self, Read},
    path::PathBuf,
};

use kojibox_packs::{
    index::Index,
    names,
    source::{BlobSource, ReadSeekSend, Section, SourceError},
    write::{PartCutter, PartError},
};

/// A blob's parts, as they lie in a source.
pub(crate) struct Parts {
    /// File names with their sizes, in order.
    pub(crate) files: Vec<(String, u64)>,
}

/// Why the parts of a blob were not found.
pub(crate) enum PartsError {
    /// This one is not there.
    Missing(PathBuf),
    /// This one could not be read.
    Source(PathBuf, SourceError),
}

impl Parts {
    /// Finds the parts of `blob`, whose size is known: the plain file, or numbered ones until the size is reached.
    pub(crate) fn find(source: &dyn BlobSource, blob: &str, size: u64) -> Result<Self, PartsError> {
        let size_of = |name: &str| size_of(source, name);
        if let Some(size) = size_of(blob)? {
            return Ok(Self {
                files: vec![(blob.to_owned(), size)],
            });
        }
        let mut files = Vec::new();
        let mut total = 0;
        for number in 1..=names::MAX_PARTS {
            let name = names::part(blob, number);
            match size_of(&name)? {
                Some(part) => {
                    total += part;
                    files.push((name, part));
                }
                // Before the first one, nothing says that the blob is split.
                None if files.is_empty() => return Err(PartsError::Missing(source.locate(&Section::Blobs, blob))),
                None if total < size => return Err(PartsError::Missing(source.locate(&Section::Blobs, &name))),
                None => break,
            }
        }
        Ok(Self { files })
    }

    /// Reads all parts, one after the other.
    pub(crate) fn open<'a>(&'a self, source: &'a dyn BlobSource) -> PartsReader<'a> {
        PartsReader {
            source,
            names: self.files.iter(),
            current: None,
        }
    }
}

/// Size of a file below `blobs/`; `None` if there is none.
fn size_of(source: &dyn BlobSource, name: &str) -> Result<Option<u64>, PartsError> {
    let path = source.locate(&Section::Blobs, name);
    match source.open(&Section::Blobs, name) {
        Ok(Some(mut file)) => match file.seek(io::SeekFrom::End(0)) {
            Ok(size) => Ok(Some(size)),
            Err(e) => Err(PartsError::Source(path.clone(), SourceError::Io { path, source: e })),
        },
        Ok(None) => Ok(None),
        Err(e) => Err(PartsError::Source(path, e)),
    }
}

/// Names and sizes of the parts of a blob, none larger than `limit`, cut at frame borders.
pub(crate) fn cut(blob: &str, index: &Index, limit: u64) -> Result<Vec<(String, u64)>, PartError> {
    let mut cutter = PartCutter::new(limit);
    let seek_table = index.blob_size() - index.frames_size();
    let mut sizes: Vec<u64> = Vec::new();
    for len in index.frames().iter().map(|f| f.comp_len).chain([seek_table]) {
        match (cutter.place(len)?, sizes.last_mut()) {
            (None, Some(last)) => *last += len,
            _ => sizes.push(len),
        }
    }
    let single = sizes.len() == 1;
    let name = |number| {
        if single {
            blob.to_owned()
        } else {
            names::part(blob, number)
        }
    };
    Ok((1..).map(name).zip(sizes).collect())
}

/// All parts of a blob as one stream.
pub(crate) struct PartsReader<'a> {
    source: &'a dyn BlobSource,
    names: std::slice::Iter<'a, (String, u64)>,
    current: Option<Box<dyn ReadSeekSend>>,
}

impl Read for PartsReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(file) = &mut self.current {
                match file.read(buf) {
                    Ok(0) if !buf.is_empty() => self.current = None,
                    result => return result,
                }
            }
            let Some((name, _)) = self.names.next() else {
                return Ok(0);
            };
            let file = self.source.open(&Section::Blobs, name).map_err(io::Error::other)?;
            self.current = Some(file.ok_or(io::ErrorKind::NotFound)?);
        }
    }
}
