//! Owns the way of the program file through the pipeline of `self_update`: source → select → fetch → verify → place.
//!
//! What is fetched comes out of the pack's blob: each frame is hashed against the signed index before it is decoded. The
//! crate's own checks are not relied on: both of its hooks compare the file with the signed digest. Nothing opens a
//! socket, because the only transport it is given reads the blob.

use std::{
    io::{self, Read},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::AtomicBool,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use kojibox_packs::{
    Target, Unwatched,
    index::{Entry, Index},
    manifest::Component,
    path::PackPath,
    read::{ExtractOptions, ReadError, SinkResult, TreeSink, extract},
    source::BlobSource,
};
use kojibox_signing::{Digest, Hasher, Verified};
use self_update::{
    Release, ReleaseAsset, ReleaseSource,
    backends::custom::Update,
    http_client::{HeaderMap, HttpClient, HttpResponse},
};

use super::UpdateError;

/// Name of the one asset; not that of the program, and without a suffix that would make it an archive.
const ASSET: &str = "launcher";

/// What is fetched, from where, and what it must be.
pub(super) struct Fetch {
    pub(super) source: Arc<dyn BlobSource>,
    pub(super) component: Component,
    pub(super) index: Arc<Verified<Index>>,
    /// Name of the program in the tree.
    pub(super) program: &'static str,
    pub(super) sha256: Digest,
}

/// Why the blob could not be read; the pipeline knows only errors of streams.
type Failure = Arc<Mutex<Option<ReadError>>>;

/// Brings the program to `into`, whose directory exists.
pub(super) fn place(fetch: Fetch, from: &str, into: &Path) -> Result<(), UpdateError> {
    let version = fetch.component.version.clone();
    let target = Target::host().to_string();
    let (before, after) = (fetch.sha256, fetch.sha256);
    let program = fetch.program;
    let failure = Failure::default();
    let update = Update::configure()
        .source(One {
            version: version.clone(),
            target: target.clone(),
        })
        .http_client(Arc::new(FromBlob(Arc::new(fetch), Arc::clone(&failure))))
        .target(&target)
        .bin_name(program)
        .current_version(from)
        .release_tag(&version)
        .bin_install_path(into)
        .verify_archive(move |file| is_signed(file, &before))
        .verify_binary(move |file| is_signed(file, &after))
        .show_output(false)
        .show_download_progress(false)
        .no_confirm(true)
        .build();
    let Err(error) = update.and_then(|u| u.update()) else {
        return Ok(());
    };
    let unread = failure.lock().unwrap_or_else(PoisonError::into_inner).take();
    Err(match unread {
        Some(source) => UpdateError::Read {
            version,
            source: Box::new(source),
        },
        None => UpdateError::Pipeline(Box::new(error)),
    })
}

/// The verdict of both hooks: exactly the signed bytes.
fn is_signed(file: &Path, expected: &Digest) -> self_update::Result<()> {
    let mut hasher = Hasher::new();
    io::copy(&mut std::fs::File::open(file)?, &mut hasher)?;
    let got = hasher.finish();
    if got == *expected {
        return Ok(());
    }
    let text = format!("sha256 is `{got}`, signed is `{expected}`");
    Err(self_update::Error::verification_rejected(text))
}

/// The one release there is: what was chosen by our own verdict.
struct One {
    version: String,
    target: String,
}

impl ReleaseSource for One {
    fn get_releases(&self) -> self_update::Result<Vec<Release>> {
        let name = format!("{ASSET}-{}", self.target);
        let asset = ReleaseAsset::new(name, format!("pack:///{ASSET}"));
        Ok(vec![Release::builder().version(&self.version).asset(asset).build()?])
    }
}

/// The only transport: the program out of the verified blob.
struct FromBlob(Arc<Fetch>, Failure);

impl HttpClient for FromBlob {
    fn get(
        &self,
        _url: &str,
        _headers: &HeaderMap,
        _timeout: Option<Duration>,
    ) -> self_update::Result<Box<dyn HttpResponse>> {
        Ok(Box::new(Body {
            fetch: Arc::clone(&self.0),
            failure: Arc::clone(&self.1),
            headers: HeaderMap::new(),
        }))
    }
}

struct Body {
    fetch: Arc<Fetch>,
    failure: Failure,
    headers: HeaderMap,
}

impl HttpResponse for Body {
    fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    fn body(self: Box<Self>) -> Box<dyn Read> {
        let (to_reader, chunks) = sync_channel(4);
        let (fetch, failure) = (self.fetch, self.failure);
        let work = move || {
            let mut sink = Program {
                name: fetch.program,
                to_reader: to_reader.clone(),
            };
            let stop = AtomicBool::new(false);
            let options = ExtractOptions::default();
            let source = fetch.source.as_ref();
            let done = extract(
                source,
                &fetch.component,
                &fetch.index,
                &options,
                &mut sink,
                &Unwatched,
                &stop,
            );
            if let Err(error) = done {
                // The one who reads learns that it is not whole.
                let text = error.to_string();
                failure.lock().unwrap_or_else(PoisonError::into_inner).replace(error);
                drop(to_reader.send(Err(io::Error::other(text))));
            }
        };
        drop(thread::spawn(work));
        Box::new(Chunks {
            arriving: chunks,
            rest: Vec::new(),
            at: 0,
        })
    }
}

/// Takes the program out of the tree, and nothing else.
struct Program {
    name: &'static str,
    to_reader: SyncSender<io::Result<Vec<u8>>>,
}

impl TreeSink for Program {
    fn skip(&self, entry: &Entry) -> bool {
        entry.path().as_str() != self.name
    }

    fn dir(&mut self, _: &PackPath, _: u32) -> SinkResult {
        Ok(())
    }

    fn begin_file(&mut self, _: &PackPath, _: u32, _: u64, _: &Digest) -> SinkResult {
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> SinkResult {
        Ok(self.to_reader.send(Ok(bytes.to_vec()))?)
    }

    fn end_file(&mut self) -> SinkResult {
        Ok(())
    }

    fn same(&mut self, _: &PackPath, _: u32, _: &PackPath, _: &Digest, _: u64) -> SinkResult {
        Ok(())
    }

    fn link(&mut self, _: &PackPath, _: &str) -> SinkResult {
        Ok(())
    }
}

/// Reads what arrives; an error that arrives is one that is read.
struct Chunks {
    arriving: Receiver<io::Result<Vec<u8>>>,
    rest: Vec<u8>,
    at: usize,
}

impl Read for Chunks {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.at == self.rest.len() {
            match self.arriving.recv() {
                Ok(next) => (self.rest, self.at) = (next?, 0),
                Err(_) => return Ok(0),
            }
        }
        let n = into.len().min(self.rest.len() - self.at);
        into[..n].copy_from_slice(&self.rest[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}
