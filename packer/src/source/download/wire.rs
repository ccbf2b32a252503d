//! Owns the waiting for a server: one thread asks and reads, so that whoever wants the bytes can also hear Ctrl-C.
//!
//! Looking up a name, connecting and reading cannot be stopped from outside, only run into their time limits. A thread whose
//! answer nobody wants any more ends with its next piece or its time limit; it holds a connection and nothing on disk.

use std::{
    io::Read as _,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread,
};

use ureq::{
    Body, RequestBuilder,
    http::{HeaderMap, Response, StatusCode},
    typestate::WithoutBody,
};

use super::{Failure, MAX_BYTES};
use crate::{interrupt, source::error::SourceError};

/// Bytes of one piece.
const PIECE: usize = 1 << 17;

/// Pieces that wait for the disk: with the one that is read and the one that is written, 768 KiB.
const WAITING: usize = 4;

/// What the thread says.
enum Said {
    Head(StatusCode, HeaderMap),
    Piece(Vec<u8>),
    End,
    /// There is no answer.
    Unanswered(ureq::Error),
    /// The answer broke off.
    Broken(std::io::Error),
}

/// An answer on its way.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    said: Receiver<Said>,
}

/// How the wait for the next piece ended.
pub(super) enum Broken {
    /// By Ctrl-C.
    Here(SourceError),
    /// The connection failed.
    Wire(std::io::Error),
}

/// Sends `request` and waits for the head of its answer.
pub(super) fn ask(request: RequestBuilder<WithoutBody>) -> Result<Answer, Failure> {
    let (say, said) = sync_channel(WAITING);
    let asking = thread::Builder::new().name("download".to_owned());
    asking
        .spawn(move || {
            let _ = answer(request, &say);
        })
        .map_err(|e| Failure::Again(Box::new(e)))?;
    match hear(&said) {
        Ok(Said::Head(status, headers)) => Ok(Answer { status, headers, said }),
        Ok(Said::Unanswered(e @ (ureq::Error::BadUri(_) | ureq::Error::TooManyRedirects))) => {
            Err(Failure::Gone(Box::new(e)))
        }
        Ok(Said::Unanswered(e)) => Err(Failure::Again(Box::new(e))),
        Ok(Said::Broken(e)) => Err(Failure::Again(Box::new(e))),
        Ok(Said::Piece(_) | Said::End) => Err(Failure::Again("the answer has no head".into())),
        Err(e) => Err(Failure::Here(e)),
    }
}

impl Answer {
    /// The next bytes; None: the answer is over.
    pub(super) fn next(&self) -> Result<Option<Vec<u8>>, Broken> {
        match hear(&self.said).map_err(Broken::Here)? {
            Said::Piece(bytes) => Ok(Some(bytes)),
            Said::Broken(e) => Err(Broken::Wire(e)),
            Said::Head(..) | Said::Unanswered(_) | Said::End => Ok(None),
        }
    }
}

/// Waits for the thread's next word, or for Ctrl-C.
fn hear(said: &Receiver<Said>) -> Result<Said, SourceError> {
    loop {
        interrupt::check()?;
        match said.recv_timeout(interrupt::LOOK) {
            Ok(said) => return Ok(said),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                let lost = std::io::Error::other("the thread that reads it has ended");
                return Ok(Said::Broken(lost));
            }
        }
    }
}

/// The thread: an error of `say` means that nobody listens any more.
fn answer(request: RequestBuilder<WithoutBody>, say: &SyncSender<Said>) -> Option<()> {
    match request.call() {
        Ok(response) => pass(response, say),
        Err(e) => say.send(Said::Unanswered(e)).ok(),
    }
}

fn pass(response: Response<Body>, say: &SyncSender<Said>) -> Option<()> {
    let (head, body) = response.into_parts();
    say.send(Said::Head(head.status, head.headers)).ok()?;
    let mut body = body.into_with_config().limit(MAX_BYTES).reader();
    loop {
        let mut piece = vec![0; PIECE];
        match body.read(&mut piece) {
            Ok(0) => return say.send(Said::End).ok(),
            Ok(n) => {
                piece.truncate(n);
                say.send(Said::Piece(piece)).ok()?;
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return say.send(Said::Broken(e)).ok(),
        }
    }
}
