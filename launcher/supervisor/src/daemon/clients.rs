//! Owns the daemon's endpoint: one thread per asker, each line of the answer as it comes.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use super::{Input, Inputs, mailbox::mailbox};
use crate::{
    api::Request,
    place::Door,
    platform::{self, Stream},
    wire::{self, Lines, WireError},
};

/// Lets clients in at `door`, on a thread of its own.
pub(super) fn listen(door: Arc<Door>, inputs: Inputs, count: Arc<AtomicUsize>) -> io::Result<()> {
    let serve = move || {
        loop {
            let Ok(stream) = door.accept() else {
                // Out of descriptors, for example; it will pass.
                thread::sleep(Duration::from_millis(100));
                continue;
            };
            let (inputs, counted) = (inputs.clone(), Counted::new(&count));
            let work = move || {
                // Whoever goes away early needs no answer.
                drop(answer(stream, &inputs));
                drop(counted);
            };
            drop(thread::Builder::new().name("client".to_owned()).spawn(work));
        }
    };
    thread::Builder::new().name("clients".to_owned()).spawn(serve).map(drop)
}

/// One connection, counted as long as it is served.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn answer(mut stream: Stream, inputs: &Inputs) -> Result<(), WireError> {
    let Some(request) = Lines::new(platform::reader(&stream)?).next::<Request>()? else {
        return Ok(());
    };
    let (replies, lines) = mailbox();
    inputs.send(Input::Asked(request, replies));
    for reply in lines {
        wire::send(&mut stream, &reply)?;
    }
    Ok(())
}
