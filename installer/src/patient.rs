//! Owns [`Patient`]: a source that may hang. A wait that gives nothing is told of, and Ctrl-C ends it.
//!
//! Each source has one thread of its own, which does one thing after the other: a stick is not faster in two places at once. Who waits
//! for it looks at the clock and at Ctrl-C. A thread whose read never returns is left behind with its file and its buffer;
//! it touches nothing else.
//!
//! Memory: [`PIECE`] per open file, and a thread's stack.
//!
//! *Limitations*: a read that the system itself cannot interrupt (a driver that waits for its hardware) goes on in the kernel: the
//! command has ended and said so, but its process may be there until the driver gives up. A medium that gives a little every few
//! seconds is slow, which the progress shows, and not silent.

use std::{
    fmt, fs,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use kojibox_packs::source::{self, BlobSource, ReadSeekSend, Section, SourceError};

/// Bytes that are asked for at once: so few that even a slow medium gives them in time.
const PIECE: usize = 256 << 10;
/// How often who waits looks up.
const BEAT: Duration = Duration::from_millis(50);
/// Silence after which it is told; and then after twice as long, each time.
const SILENCE: Duration = Duration::from_secs(10);

/// Looks on while a medium is read.
pub(crate) struct Watch {
    cancel: Arc<AtomicBool>,
    tell: Box<dyn Fn(&str) + Send + Sync>,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

/// Ctrl-C was pressed while a medium did not answer.
#[derive(Debug, thiserror::Error)]
#[error("cancelled while the medium did not answer")]
pub(crate) struct Unanswered;

impl Unanswered {
    /// True if that is why `error` came about.
    pub(crate) fn is_cause_of(error: &(dyn std::error::Error + 'static)) -> bool {
        let mut next = Some(error);
        while let Some(error) = next {
            let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            if let Some(inner) = inner
                && inner.is::<Self>()
            {
                return true;
            }
            next = error.source();
        }
        false
    }
}

impl Watch {
    /// Waits end when `cancel` is set; `tell` tells a person what is waited for.
    pub(crate) fn new(cancel: Arc<AtomicBool>, tell: impl Fn(&str) + Send + Sync + 'static) -> Self {
        let tell = Box::new(tell);
        Self { cancel, tell }
    }

    fn wait<T>(&self, answers: &Receiver<T>) -> io::Result<T> {
        let (begun, mut limit) = (Instant::now(), SILENCE);
        loop {
            match answers.recv_timeout(BEAT) {
                Ok(answer) => return Ok(answer),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(io::Error::other("the thread that read has ended")),
            }
            if self.cancel.load(Ordering::Relaxed) {
                return Err(io::Error::other(Unanswered));
            }
            let silent = begun.elapsed();
            if silent >= limit {
                (self.tell)(&format!("the medium has not answered for {} s", silent.as_secs()));
                limit *= 2;
            }
        }
    }
}

/// Something that a thread is to do.
type Work = Box<dyn FnOnce() + Send>;

/// The one thread of a source.
#[derive(Clone)]
struct Worker {
    work: Sender<Work>,
    watch: Arc<Watch>,
}

impl Worker {
    fn new(watch: &Arc<Watch>) -> io::Result<Self> {
        let (work, todo) = channel::<Work>();
        let watch = Arc::clone(watch);
        let thread = thread::Builder::new().name("medium".to_owned());
        thread.spawn(move || todo.into_iter().for_each(|work| work()))?;
        Ok(Self { work, watch })
    }

    /// Has `work` done and waits for it. Fails if Ctrl-C was pressed meanwhile; what `work` holds is then left behind.
    fn call<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        let (answer, answers) = channel();
        // Whoever does not listen any more was cancelled.
        let work = Box::new(move || drop(answer.send(work())));
        let gone = |_| io::Error::other("the thread that read has ended");
        self.work.send(work).map_err(gone)?;
        self.watch.wait(&answers)
    }
}

/// A source under [`Watch`].
pub(crate) struct Patient {
    inner: Arc<dyn BlobSource>,
    worker: Worker,
}

impl Patient {
    /// Opens what lies at `path`, and tells its place as the system spells it.
    pub(crate) fn open(path: &Path, watch: &Arc<Watch>) -> Result<(PathBuf, Self), SourceError> {
        let failed = |source| SourceError::Io {
            path: path.to_owned(),
            source,
        };
        let worker = Worker::new(watch).map_err(failed)?;
        let asked = path.to_owned();
        let look = move || {
            let opened = source::open(&asked);
            opened.map(|source| (fs::canonicalize(&asked).unwrap_or(asked), source))
        };
        let (place, inner) = worker.call(look).map_err(failed)??;
        Ok((place, Self { inner, worker }))
    }

    fn call<T: Send + 'static>(
        &self,
        path: impl FnOnce() -> PathBuf,
        work: impl FnOnce(&dyn BlobSource) -> Result<T, SourceError> + Send + 'static,
    ) -> Result<T, SourceError> {
        let inner = Arc::clone(&self.inner);
        match self.worker.call(move || work(&*inner)) {
            Ok(answer) => answer,
            Err(source) => Err(SourceError::Io { path: path(), source }),
        }
    }
}

impl BlobSource for Patient {
    fn open(&self, section: &Section, name: &str) -> Result<Option<Box<dyn ReadSeekSend>>, SourceError> {
        let (place, file) = (section.clone(), name.to_owned());
        let path = || self.inner.locate(section, name);
        let opened = self.call(path, move |inner| inner.open(&place, &file))?;
        Ok(opened.map(|file| -> Box<dyn ReadSeekSend> {
            Box::new(Waiting {
                worker: self.worker.clone(),
                file: Some(file),
                buffer: Vec::new(),
            })
        }))
    }

    fn list(&self, section: &Section) -> Result<Vec<String>, SourceError> {
        let place = section.clone();
        self.call(|| self.inner.locate(section, ""), move |inner| inner.list(&place))
    }

    fn publishers(&self) -> Result<Vec<String>, SourceError> {
        self.call(|| PathBuf::from(self.inner.describe()), |inner| inner.publishers())
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn locate(&self, section: &Section, name: &str) -> PathBuf {
        self.inner.locate(section, name)
    }
}

/// A file that is read by the thread of its source. After a wait that was cancelled it gives errors only.
struct Waiting {
    worker: Worker,
    /// Not here while the thread has it.
    file: Option<Box<dyn ReadSeekSend>>,
    buffer: Vec<u8>,
}

impl Waiting {
    fn file(&mut self) -> io::Result<Box<dyn ReadSeekSend>> {
        self.file.take().ok_or_else(|| io::Error::other(Unanswered))
    }
}

impl Read for Waiting {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut file = self.file()?;
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(out.len().min(PIECE), 0);
        let reading = move || {
            let got = file.read(&mut buffer);
            (file, buffer, got)
        };
        let (file, buffer, got) = self.worker.call(reading)?;
        self.file = Some(file);
        if let Ok(got) = got {
            out[..got].copy_from_slice(&buffer[..got]);
        }
        self.buffer = buffer;
        got
    }
}

impl Seek for Waiting {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let mut file = self.file()?;
        let (file, at) = self.worker.call(move || {
            let at = file.seek(to);
            (file, at)
        })?;
        self.file = Some(file);
        at
    }
}

#[cfg(test)]
mod tests {
    use std::{
        error::Error as _,
        io,
        path::PathBuf,
        sync::{
            Arc, Mutex,
            atomic::{AtomicBool, Ordering},
            mpsc::{Receiver, Sender, channel},
        },
        thread,
        time::{Duration, Instant},
    };

    use kojibox_packs::source::SourceError;

    use super::{Unanswered, Watch, Worker};

    /// Work that ends when the other end is dropped or sends.
    fn hanging() -> (Sender<()>, Receiver<()>) {
        channel()
    }

    #[test]
    fn a_wait_ends_with_ctrl_c_and_leaves_the_work_behind() {
        let cancel = Arc::new(AtomicBool::new(false));
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&told);
        let watch = Watch::new(Arc::clone(&cancel), move |text| {
            heard.lock().unwrap().push(text.to_owned());
        });
        let worker = Worker::new(&Arc::new(watch)).unwrap();
        assert_eq!(worker.call(|| 7).unwrap(), 7);
        let (release, held) = hanging();
        let begun = Instant::now();
        let presses = thread::spawn(move || {
            thread::sleep(Duration::from_millis(200));
            cancel.store(true, Ordering::Relaxed);
        });
        let error = worker.call(move || held.recv()).unwrap_err();
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "it does not wait for the work"
        );
        let path = PathBuf::from("blob");
        let error = SourceError::Io { path, source: error };
        assert!(error.source().is_some() && Unanswered::is_cause_of(&error));
        assert!(!Unanswered::is_cause_of(&io::Error::other("else")));
        assert!(told.lock().unwrap().is_empty(), "ten seconds have not gone by");
        presses.join().unwrap();
        drop(release);
    }
}
