//! Owns [`Patient`]: a source that may hang. A wait that gives nothing is told of, and Ctrl-C ends it.
//!
//! Each open file has a thread of its own, which reads only what it is asked for and answers; who waits looks at the clock and at
//! Ctrl-C. A thread whose read never returns is left behind with its file and its buffer; it touches nothing else.
//!
//! Memory: [`PIECE`] per open file, and a thread's stack.
//!
//! *Limitations*: a read that the system itself cannot interrupt (a driver that waits for its hardware) goes on in the kernel: the
//! command has ended and said so, but its process may be there until the driver gives up. The list of what a read gave in time
//! is not kept: a medium that gives a little every few seconds is slow, and not told of.

use std::{
    fmt,
    io::{self, Read, Seek, SeekFrom},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use kojibox_packs::source::{BlobSource, ReadSeekSend, Section, SourceError};

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
            if inner.is_some_and(|inner| inner.is::<Self>()) {
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

    /// Does `work` on a thread of its own and waits for it; its first error is that Ctrl-C was pressed.
    pub(crate) fn call<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        let (answer, answers) = channel();
        // Whoever does not listen any more was cancelled.
        spawn(move || drop(answer.send(work())))?;
        self.wait(&answers)
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

fn spawn(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name("medium".to_owned()).spawn(work).map(drop)
}

/// A source under [`Watch`].
pub(crate) struct Patient {
    inner: Arc<dyn BlobSource>,
    watch: Arc<Watch>,
}

impl Patient {
    pub(crate) fn new(inner: Arc<dyn BlobSource>, watch: Arc<Watch>) -> Self {
        Self { inner, watch }
    }

    fn call<T: Send + 'static>(
        &self,
        path: impl FnOnce() -> PathBuf,
        work: impl FnOnce(&dyn BlobSource) -> Result<T, SourceError> + Send + 'static,
    ) -> Result<T, SourceError> {
        let inner = Arc::clone(&self.inner);
        match self.watch.call(move || work(&*inner)) {
            Ok(answer) => answer,
            Err(source) => Err(SourceError::Io { path: path(), source }),
        }
    }
}

impl BlobSource for Patient {
    fn open(&self, section: &Section, name: &str) -> Result<Option<Box<dyn ReadSeekSend>>, SourceError> {
        let path = || self.inner.locate(section, name);
        let failed = |source| SourceError::Io { path: path(), source };
        let (asked, questions) = channel();
        let (answer, answers) = channel();
        let (inner, place, file) = (Arc::clone(&self.inner), section.clone(), name.to_owned());
        spawn(move || serve(inner.open(&place, &file), &questions, &answer)).map_err(failed)?;
        match self.watch.wait(&answers).map_err(failed)? {
            Answer::Open(Ok(true)) => Ok(Some(Box::new(Waiting {
                watch: Arc::clone(&self.watch),
                asked,
                answers,
                buffer: Vec::new(),
            }))),
            Answer::Open(Ok(false)) => Ok(None),
            Answer::Open(Err(error)) => Err(error),
            Answer::Read(..) | Answer::Seek(_) => Err(failed(mistaken())),
        }
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

/// What the thread of a file is asked.
enum Question {
    /// Fill this, as far as one read does.
    Read(Vec<u8>),
    Seek(SeekFrom),
}

/// What it answers.
enum Answer {
    /// At first, unasked: whether there is such a file.
    Open(Result<bool, SourceError>),
    Read(Vec<u8>, io::Result<usize>),
    Seek(io::Result<u64>),
}

/// Does what is asked until nobody asks any more. Whoever does not listen any more was cancelled.
fn serve(
    opened: Result<Option<Box<dyn ReadSeekSend>>, SourceError>,
    questions: &Receiver<Question>,
    answer: &Sender<Answer>,
) {
    let mut file = match opened {
        Ok(Some(file)) => file,
        other => return drop(answer.send(Answer::Open(other.map(|_| false)))),
    };
    let mut heard = answer.send(Answer::Open(Ok(true)));
    while let (Ok(()), Ok(question)) = (heard, questions.recv()) {
        heard = answer.send(match question {
            Question::Read(mut buffer) => {
                let got = file.read(&mut buffer);
                Answer::Read(buffer, got)
            }
            Question::Seek(to) => Answer::Seek(file.seek(to)),
        });
    }
}

/// An answer to another question, which no thread gives.
fn mistaken() -> io::Error {
    io::Error::other("the thread that reads gave another answer")
}

/// A file whose thread is waited for. After a wait that was cancelled it gives errors only.
struct Waiting {
    watch: Arc<Watch>,
    asked: Sender<Question>,
    answers: Receiver<Answer>,
    buffer: Vec<u8>,
}

impl Waiting {
    fn ask(&self, question: Question) -> io::Result<Answer> {
        let gone = |_| io::Error::other("the thread that read has ended");
        self.asked.send(question).map_err(gone)?;
        self.watch.wait(&self.answers)
    }
}

impl Read for Waiting {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(out.len().min(PIECE), 0);
        let Answer::Read(buffer, got) = self.ask(Question::Read(buffer))? else {
            return Err(mistaken());
        };
        let got = got?;
        out[..got].copy_from_slice(&buffer[..got]);
        self.buffer = buffer;
        Ok(got)
    }
}

impl Seek for Waiting {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self.ask(Question::Seek(to))? {
            Answer::Seek(at) => at,
            Answer::Open(_) | Answer::Read(..) => Err(mistaken()),
        }
    }
}
