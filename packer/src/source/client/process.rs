//! Owns one run of a client: what it says is collected, and at Ctrl-C it ends with everything that it started.

use std::{
    io::{self, Read},
    process::{Command, Output, Stdio},
    sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::{Duration, Instant},
};

use crate::{interrupt, source::platform::Group};

/// Most bytes that a client may say on one stream.
const MAX_SAID: u64 = 64 << 20;

/// How long a client may take to end by itself once it was asked to.
const GRACE: Duration = Duration::from_millis(500);

/// Runs `command` without input to its end. After Ctrl-C the error does not matter: the caller asks [`interrupt`].
pub(super) fn output(command: &mut Command) -> io::Result<Output> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut group = Group::start(command)?;
    let output = collect(&mut group);
    if output.is_err() {
        stop(&mut group)?;
    }
    output
}

/// Waits for everything it says, and for its end.
fn collect(group: &mut Group) -> io::Result<Output> {
    let (say, said) = sync_channel(2);
    let (stdout, stderr) = (group.child().stdout.take(), group.child().stderr.take());
    read(stdout, say.clone(), Said::Stdout)?;
    read(stderr, say, Said::Stderr)?;
    let (mut stdout, mut stderr) = (None, None);
    while stdout.is_none() || stderr.is_none() {
        interrupt::check().map_err(io::Error::other)?;
        match said.recv_timeout(interrupt::LOOK) {
            Ok(Said::Stdout(bytes)) => stdout = Some(bytes?),
            Ok(Said::Stderr(bytes)) => stderr = Some(bytes?),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(io::Error::other("its words could not be read")),
        }
    }
    while !group.has_ended() {
        interrupt::sleep(Duration::from_millis(5)).map_err(io::Error::other)?;
    }
    Ok(Output {
        status: group.child().wait()?,
        stdout: stdout.unwrap_or_default(),
        stderr: stderr.unwrap_or_default(),
    })
}

/// What came over one stream until its end.
enum Said {
    Stdout(io::Result<Vec<u8>>),
    Stderr(io::Result<Vec<u8>>),
}

/// Reads a stream on a thread of its own, which ends when nobody holds the other side any more.
fn read(
    stream: Option<impl Read + Send + 'static>,
    say: SyncSender<Said>,
    said: fn(io::Result<Vec<u8>>) -> Said,
) -> io::Result<()> {
    let all = move || {
        let mut bytes = Vec::new();
        if let Some(stream) = stream {
            stream.take(MAX_SAID + 1).read_to_end(&mut bytes)?;
        }
        if bytes.len() as u64 > MAX_SAID {
            return Err(io::Error::other(format!("it said more than {MAX_SAID} bytes")));
        }
        Ok(bytes)
    };
    // Room for both: whoever stopped listening keeps no thread waiting.
    let thread = thread::Builder::new().spawn(move || drop(say.send(said(all()))))?;
    drop(thread);
    Ok(())
}

/// Asks it to end, and ends what is left of it after a moment.
fn stop(group: &mut Group) -> io::Result<()> {
    let asked = Instant::now();
    if group.ask() {
        while !group.has_ended() && asked.elapsed() < GRACE {
            thread::sleep(Duration::from_millis(5));
        }
    }
    group.end().map(drop)
}
