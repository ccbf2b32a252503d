//! Owns the content-addressed download cache: bytes named by their SHA-256, checked on every use, written atomically.
//!
//! Shape: `<dir>/sha256/<2 hex>/<64 hex>`, `<dir>/partial/` for downloads that may be resumed, `<dir>/temp/` for what is
//! being written and goes with whoever writes it, `<dir>/clients/<name>/` for the caches of package clients. Everything may
//! be deleted while nobody uses it.
//!
//! *Limitations*: the folder belongs to one user; it guards against damage, not against its owner.

mod place;
mod scratch;

use std::{
    fs::{self, File},
    io::{self, Read, Seek as _, Write},
    path::{Path, PathBuf},
};

use kojibox_signing::{Digest, Hasher};

use crate::interrupt::Stoppable;

pub use place::default_dir;
pub use scratch::Scratch;

/// Bytes by their SHA-256.
#[derive(Clone, Debug)]
pub struct Cache {
    dir: PathBuf,
}

/// Why the cache could not be used.
#[derive(Debug, thiserror::Error)]
#[error("could not {verb} `{}` in the download cache", path.display())]
pub struct CacheError {
    verb: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// An entry whose bytes were just checked; the file stands at its start.
#[derive(Debug)]
pub struct Cached {
    /// Open for reading.
    pub file: File,
    /// Where it lies.
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
}

/// An entry that is being written; nobody sees it before [`Incoming::finish`].
#[derive(Debug)]
#[must_use = "an entry that is not finished is dropped"]
pub struct Incoming {
    cache: Cache,
    temp: tempfile::NamedTempFile,
    hasher: Hasher,
    size: u64,
}

impl Cache {
    /// Uses the cache in `dir`, which is made when something is written.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// The folder of the cache.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the bytes of `digest` lie, or would.
    pub fn path_of(&self, digest: &Digest) -> PathBuf {
        let hex = digest.to_string();
        self.dir.join("sha256").join(&hex[..2]).join(hex)
    }

    /// The bytes of `digest`, checked now. A damaged entry is dropped and counts as absent.
    pub fn get(&self, digest: &Digest) -> Result<Option<Cached>, CacheError> {
        let path = self.path_of(digest);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(failed("open", &path)(e)),
        };
        let mut hasher = Hasher::new();
        let size = io::copy(&mut Stoppable(&mut file), &mut hasher).map_err(failed("read", &path))?;
        if hasher.finish() != *digest {
            drop(file);
            fs::remove_file(&path).map_err(failed("drop the damaged entry", &path))?;
            return Ok(None);
        }
        file.rewind().map_err(failed("read", &path))?;
        Ok(Some(Cached { file, path, size }))
    }

    /// True if an entry with this name exists; its bytes are not looked at.
    pub fn has(&self, digest: &Digest) -> bool {
        self.path_of(digest).is_file()
    }

    /// Starts a new entry.
    pub fn incoming(&self) -> Result<Incoming, CacheError> {
        let dir = self.sub("temp")?;
        let temp = scratch::file(&dir).map_err(failed("write in", &dir))?;
        Ok(Incoming {
            cache: self.clone(),
            temp,
            hasher: Hasher::new(),
            size: 0,
        })
    }

    /// Stores what `reader` gives; says its digest and size.
    pub fn insert(&self, reader: &mut dyn Read) -> Result<(Digest, u64), CacheError> {
        let mut incoming = self.incoming()?;
        let path = incoming.temp.path().to_owned();
        io::copy(&mut Stoppable(reader), &mut incoming).map_err(failed("write", &path))?;
        incoming.finish()
    }

    /// Stores `bytes`. Besides downloads, the cache keeps small texts that are named by their digest, such as the listing
    /// behind a `tree_sha256`, so that a later build can say which file differs.
    pub fn insert_bytes(&self, bytes: &[u8]) -> Result<Digest, CacheError> {
        self.insert(&mut &*bytes).map(|(digest, _)| digest)
    }

    /// A private folder on the volume of the cache, removed when dropped: for what is unpacked on the way into a pack. What
    /// killed programs left of such folders is removed first.
    pub fn scratch(&self) -> Result<Scratch, CacheError> {
        let dir = self.sub("temp")?;
        scratch::folder(&dir).map_err(failed("write in", &dir))
    }

    /// A folder of the cache that a package client or a resumed download uses, made if absent.
    pub(crate) fn sub(&self, name: &str) -> Result<PathBuf, CacheError> {
        let dir = self.dir.join(name);
        fs::create_dir_all(&dir).map_err(failed("make", &dir))?;
        Ok(dir)
    }
}

impl Write for Incoming {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.temp.write(buf)?;
        self.hasher.update(&buf[..n]);
        self.size += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.temp.flush()
    }
}

impl Incoming {
    /// Publishes the entry under its digest; an entry that is there already stays.
    pub fn finish(self) -> Result<(Digest, u64), CacheError> {
        let digest = self.hasher.finish();
        let path = self.cache.path_of(&digest);
        let dir = path.parent().expect("an entry lies in a folder");
        fs::create_dir_all(dir).map_err(failed("make", dir))?;
        self.temp.as_file().sync_all().map_err(failed("write", &path))?;
        self.temp
            .persist(&path)
            .map_err(|e| failed("publish", &path)(e.error))?;
        Ok((digest, self.size))
    }
}

fn failed(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CacheError {
    let path = path.to_owned();
    move |source| CacheError { verb, path, source }
}
