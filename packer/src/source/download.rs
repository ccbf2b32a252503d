//! Owns downloads by address: `http:`, `https:` and `file:`, with mirrors, resume, bounded retries and a checksum.
//!
//! What came stays in the cache under `partial/` until it is whole, so a later call goes on where this one stopped.

mod http;
mod local;
mod wire;

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use kojibox_signing::Digest;

use super::{
    Job,
    error::{SourceError, failed},
};
use crate::{
    definition::Signature,
    interrupt::{self, Stoppable},
    lock::{LockedInput, LockedSignature},
    upstream::{MAX_SIGNATURE, SignedBy, UpstreamError},
};

/// Largest download in bytes.
const MAX_BYTES: u64 = 64 << 30;

/// How one try ended without the whole file.
enum Failure {
    /// This address will not have it: not worth another try.
    Gone(Box<dyn std::error::Error + Send + Sync>),
    /// Another try may help.
    Again(Box<dyn std::error::Error + Send + Sync>),
    /// The answer took longer than one answer may, but bytes came: go on at once.
    Slow,
    /// Nothing an address can help with.
    Here(SourceError),
}

/// What a download must be.
#[derive(Clone, Copy, Default)]
struct Demand<'d> {
    sha256: Option<&'d Digest>,
    /// Who must have signed, and the signature.
    signed: Option<(&'d SignedBy, &'d str)>,
}

impl Demand<'_> {
    /// Decides whether the upstream signed the whole `file`, which is at its start afterwards.
    fn check_signature(&self, what: &str, file: &mut File) -> Result<(), SourceError> {
        let Some((by, signature)) = self.signed else {
            return Ok(());
        };
        by.verify(signature, file).map_err(unsigned(what))?;
        file.rewind().map_err(failed("read", Path::new(what)))
    }
}

fn unsigned(what: &str) -> impl FnOnce(UpstreamError) -> SourceError {
    let what = what.to_owned();
    move |source| SourceError::Signature {
        what,
        source: Box::new(source),
    }
}

/// Fetches the first time and pins.
pub(super) fn lock(
    job: &Job<'_>,
    urls: &[String],
    sha256: Option<Digest>,
    signature: Option<&Signature>,
) -> Result<Vec<LockedInput>, SourceError> {
    let url = urls.first().map(String::as_str).unwrap_or_default();
    let locked = signature.map(|s| detached(job, url, s)).transpose()?;
    let demand = Demand {
        sha256: sha256.as_ref(),
        signed: signature.map(|s| &s.by).zip(locked.as_ref().map(|l| &*l.text)),
    };
    let cached = match sha256 {
        Some(digest) => job.cache.get(&digest)?.map(|c| (digest, c)),
        None => None,
    };
    let (sha256, size) = match cached {
        Some((digest, mut cached)) => {
            demand.check_signature(url, &mut cached.file)?;
            (digest, cached.size)
        }
        None => download(job, urls, demand, None)?,
    };
    Ok(vec![LockedInput {
        name: file_name(url),
        locator: url.to_owned(),
        version: String::new(),
        sha256,
        size,
        integrity: None,
        signature: locked,
        built_by: None,
    }])
}

/// Fetches what is pinned.
pub(super) fn fetch(
    job: &Job<'_>,
    urls: &[String],
    signature: Option<&Signature>,
    input: &LockedInput,
) -> Result<(), SourceError> {
    let demand = Demand {
        sha256: Some(&input.sha256),
        signed: signed(signature.map(|s| &s.by), input)?,
    };
    download(job, urls, demand, Some(input.size)).map(drop)
}

/// Checks the upstream's signature over an input that is there already.
pub(super) fn check(by: Option<&SignedBy>, input: &LockedInput, file: &mut File) -> Result<(), SourceError> {
    let demand = Demand {
        sha256: None,
        signed: signed(by, input)?,
    };
    demand.check_signature(&input.locator, file)
}

/// What the lock has of the signature that the definition asks for.
fn signed<'d>(
    by: Option<&'d SignedBy>,
    input: &'d LockedInput,
) -> Result<Option<(&'d SignedBy, &'d str)>, SourceError> {
    let Some(by) = by else { return Ok(None) };
    match &input.signature {
        Some(locked) => Ok(Some((by, &locked.text))),
        None => Err(unsigned(&input.locator)(UpstreamError::Missing)),
    }
}

/// Fetches a detached signature for the download `what`.
fn detached(job: &Job<'_>, what: &str, signature: &Signature) -> Result<LockedSignature, SourceError> {
    let got = download(job, std::slice::from_ref(&signature.url), Demand::default(), None);
    let (sha256, _) = got.map_err(|e| match e {
        SourceError::Unreachable { gone: true, .. } => unsigned(what)(UpstreamError::Missing),
        e => e,
    })?;
    let mut bytes = Vec::new();
    if let Some(cached) = job.cache.get(&sha256)? {
        let read = cached.file.take(MAX_SIGNATURE + 1).read_to_end(&mut bytes);
        read.map_err(failed("read", Path::new(&signature.url)))?;
    }
    Ok(LockedSignature {
        by: signature.by.to_string(),
        text: signature.by.take(bytes).map_err(unsigned(what))?,
    })
}

/// The last name in the path of an address.
fn file_name(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let path = path.split_once("://").map_or(path, |(_, rest)| rest);
    let name = path.rsplit('/').find(|s| !s.is_empty()).filter(|_| path.contains('/'));
    local::decode(name.unwrap_or("download"))
}

/// A file that is being fetched, open and locked.
struct Partial {
    file: File,
    path: PathBuf,
    len: u64,
    /// What a server must still say for the first bytes to be used; None: nothing is known of them.
    tag: Option<String>,
    /// A checksum is known, so bytes of another day may be used.
    pinned: bool,
    /// Nobody else writes it, so it stays for the next call.
    kept: bool,
}

impl Partial {
    /// Opens what an earlier call left for these bytes.
    fn open(job: &Job<'_>, url: &str, expected: Option<&Digest>) -> Result<Self, SourceError> {
        let folder = job.cache.sub("partial")?;
        let key = expected.map_or_else(|| Digest::of(url.as_bytes()), |d| *d);
        let path = folder.join(key.to_string());
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(&path).map_err(failed("write", &path))?;
        let mut partial = match file.try_lock() {
            Ok(()) => Self {
                file,
                path,
                len: 0,
                tag: None,
                pinned: expected.is_some(),
                kept: true,
            },
            // Another process fetches the same: one of the two copies will do.
            Err(_) => Self {
                file: tempfile::tempfile_in(job.scratch).map_err(failed("write in", job.scratch))?,
                path: job.scratch.join("download"),
                len: 0,
                tag: None,
                pinned: expected.is_some(),
                kept: false,
            },
        };
        match expected {
            Some(_) => {
                let end = partial.file.seek(SeekFrom::End(0));
                partial.len = end.map_err(failed("read", &partial.path))?;
            }
            None => partial.clear()?,
        }
        Ok(partial)
    }

    /// Forgets what came.
    fn clear(&mut self) -> Result<(), SourceError> {
        self.len = 0;
        self.tag = None;
        let cleared = self.file.set_len(0).and_then(|()| self.file.rewind());
        cleared.map_err(failed("write", &self.path))
    }

    /// The first bytes may be used if the server still has the same file.
    fn can_resume(&self) -> bool {
        self.len > 0 && (self.pinned || self.tag.is_some())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), SourceError> {
        self.file.write_all(bytes).map_err(failed("write", &self.path))?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Moves the whole file into the cache; anything but what is demanded is dropped.
    fn finish(&mut self, job: &Job<'_>, what: &str, demand: Demand<'_>) -> Result<(Digest, u64), SourceError> {
        let rewind = |file: &mut File, path: &Path| file.rewind().map_err(failed("read", path));
        rewind(&mut self.file, &self.path)?;
        if let Some(expected) = demand.sha256 {
            let mut hasher = kojibox_signing::Hasher::new();
            let size = io::copy(&mut Stoppable(&mut self.file), &mut hasher).map_err(failed("read", &self.path))?;
            let got = hasher.finish();
            if got != *expected {
                self.clear()?;
                return Err(SourceError::Checksum {
                    what: what.to_owned(),
                    expected: *expected,
                    got,
                    size,
                });
            }
            rewind(&mut self.file, &self.path)?;
        }
        if let Err(e) = demand.check_signature(what, &mut self.file) {
            // Whoever stopped the check has not said that the bytes are wrong.
            interrupt::check()?;
            self.clear()?;
            return Err(e);
        }
        let (got, size) = job.cache.insert(&mut self.file)?;
        self.drop_file()?;
        Ok((got, size))
    }

    /// Ends the file's days: it is in the cache.
    fn drop_file(&mut self) -> Result<(), SourceError> {
        if !std::mem::take(&mut self.kept) {
            return Ok(());
        }
        remove_if_there(&self.path)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // Bytes without a checksum are of no use to the next call. It finds the file itself should this fail.
        if self.kept && !self.pinned {
            drop(fs::remove_file(&self.path));
        }
    }
}

fn remove_if_there(path: &Path) -> Result<(), SourceError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(e)),
        _ => Ok(()),
    }
}

/// Fetches one file from the first address that has it.
fn download(
    job: &Job<'_>,
    urls: &[String],
    demand: Demand<'_>,
    size: Option<u64>,
) -> Result<(Digest, u64), SourceError> {
    let first = urls.first().map(String::as_str).unwrap_or_default();
    job.progress.begin(&file_name(first), size);
    let mut partial = Partial::open(job, first, demand.sha256)?;
    if partial.len > 0 && Some(partial.len) == size {
        // Whole already, or damaged: then it starts over.
        if let Ok(done) = partial.finish(job, first, demand) {
            job.progress.add(done.1);
            return Ok(done);
        }
    }
    job.progress.add(partial.len);
    let mut left: Vec<&String> = urls.iter().collect();
    let mut tries = 0;
    let mut last: Option<(String, Box<dyn std::error::Error + Send + Sync>)> = None;
    let mut wrong = None;
    for round in 0..job.env.retry.rounds.max(1) {
        for url in left.clone() {
            interrupt::check()?;
            tries += 1;
            match from_one(job, url, &mut partial) {
                Ok(()) => match partial.finish(job, url, demand) {
                    Err(e @ (SourceError::Checksum { .. } | SourceError::Signature { .. })) => {
                        left.retain(|u| *u != url);
                        wrong.get_or_insert(e);
                    }
                    other => return other,
                },
                Err(Failure::Here(e)) => return Err(e),
                Err(Failure::Gone(e)) => {
                    left.retain(|u| *u != url);
                    last = Some((url.clone(), e));
                }
                Err(Failure::Again(e)) => last = Some((url.clone(), e)),
                Err(Failure::Slow) => {}
            }
        }
        if left.is_empty() {
            break;
        }
        if round + 1 < job.env.retry.rounds {
            let wait = job.env.retry.wait.saturating_mul(1 << round.min(16));
            interrupt::sleep(wait.min(std::time::Duration::from_secs(30)))?;
        }
    }
    if let Some(wrong) = wrong {
        return Err(wrong);
    }
    let (url, source) = last.unwrap_or_else(|| (first.to_owned(), "no answer in time".into()));
    let gone = left.is_empty();
    Err(SourceError::Unreachable {
        url,
        tries,
        gone,
        source,
    })
}

/// Fetches from one address until the file is whole; slow answers go on where they stopped, as long as bytes come.
fn from_one(job: &Job<'_>, url: &str, partial: &mut Partial) -> Result<(), Failure> {
    if let Some(path) = local::path_of(url) {
        return local::copy(job, &path, partial);
    }
    loop {
        let before = partial.len;
        match http::get(job, url, partial) {
            Err(Failure::Slow) if partial.len > before && partial.can_resume() => {}
            Err(Failure::Slow) => return Err(Failure::Again("no whole answer in time".into())),
            other => return other,
        }
    }
}
