//! Owns the shim's endpoint: who asks is told, who watches is told of every change, who orders is obeyed.

use std::{
    io,
    path::Path,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{Shared, pump::STACK};
use crate::{
    instance::{Instance, Memo, Phase},
    place::{self, Door, Place},
    platform::Stream,
    wire::{self, Lines},
};

/// What may be asked of a shim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cmd", rename_all = "lowercase")]
pub(crate) enum Request {
    /// Tell the state once.
    Hello,
    /// Tell the state now and after every change, until nothing is left.
    Watch,
    /// Run the stop recipe.
    Stop,
    /// Kill the group.
    Kill,
    /// Keep this for the next daemon.
    Remember {
        /// What to keep.
        memo: Memo,
    },
}

/// How urgently the service has to end; orders only grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Order {
    None,
    Stop,
    Kill,
}

/// The endpoint and everyone at it.
pub(super) struct Control {
    pub(super) door: Door,
    order: AtomicU8,
    /// The newest state and its number.
    newest: Mutex<(u64, Option<Instance>)>,
    changed: Condvar,
    connections: AtomicUsize,
}

impl Control {
    pub(super) fn bind(endpoint: &Path) -> io::Result<Self> {
        Ok(Self {
            door: Door::open(endpoint)?,
            order: AtomicU8::new(Order::None as u8),
            newest: Mutex::default(),
            changed: Condvar::new(),
            connections: AtomicUsize::new(0),
        })
    }

    pub(super) fn ordered(&self) -> Order {
        match self.order.load(Ordering::SeqCst) {
            0 => Order::None,
            1 => Order::Stop,
            _ => Order::Kill,
        }
    }

    pub(super) fn publish(&self, state: &Instance) {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        *newest = (newest.0 + 1, Some(state.clone()));
        self.changed.notify_all();
    }

    /// Waits for a state newer than number `seen`.
    fn newer_than(&self, seen: u64) -> (u64, Option<Instance>) {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_while(newest, |n| n.0 <= seen);
        waited.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes the endpoint away.
    pub(super) fn close(&self) {
        self.door.remove();
    }

    /// Lets everyone who watches hear the end.
    pub(super) fn finish(&self, patience: Duration) {
        let end = Instant::now() + patience;
        while self.connections.load(Ordering::SeqCst) > 0 && Instant::now() < end {
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Shared {
    /// Listens where the daemon looks, should its endpoint be gone.
    pub(super) fn keep_reachable(&self) {
        // Held until the end: a shim that is about to go has taken its endpoint away for good.
        let state = self.lock();
        if state.phase == Phase::Gone {
            return;
        }
        let (root, service) = (self.spec.traces.root(), self.spec.service.as_str());
        let endpoint = match Place::read(&root) {
            Some(place) => place::shim_endpoint(&place.dir(&root), service),
            None => self.spec.endpoint.clone(),
        };
        // Who cannot listen is woken again by the next who asks.
        drop(self.control.door.keep_at(&endpoint));
        drop(state);
    }

    /// Takes an order and wakes who has to follow it.
    pub(super) fn order(&self, order: Order) {
        self.control.order.fetch_max(order as u8, Ordering::SeqCst);
        self.keeper.poke();
    }
}

/// Answers connections as long as the shim lives.
pub(super) fn serve(shared: &Arc<Shared>) {
    loop {
        let Ok(stream) = shared.control.door.accept() else {
            // Out of descriptors, for example; it will pass.
            thread::sleep(Duration::from_millis(100));
            continue;
        };
        let shared = Arc::clone(shared);
        shared.control.connections.fetch_add(1, Ordering::SeqCst);
        let counted = Arc::clone(&shared);
        let work = move || {
            // Who goes away in the middle needs no answer.
            drop(answer(&shared, stream));
            shared.control.connections.fetch_sub(1, Ordering::SeqCst);
        };
        if thread::Builder::new()
            .name("client".to_owned())
            .stack_size(STACK)
            .spawn(work)
            .is_err()
        {
            counted.control.connections.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

fn answer(shared: &Shared, mut stream: Stream) -> Result<(), wire::WireError> {
    let request = Lines::new(crate::platform::reader(&stream)?).next::<Request>()?;
    match request {
        None => return Ok(()),
        Some(Request::Watch) => return watch(shared, &mut stream),
        Some(Request::Hello) => {}
        Some(Request::Stop) => shared.order(Order::Stop),
        Some(Request::Kill) => shared.order(Order::Kill),
        Some(Request::Remember { memo }) => shared.change(|s| s.memo = memo),
    }
    let state = shared.lock().clone();
    wire::send(&mut stream, &state)
}

fn watch(shared: &Shared, stream: &mut Stream) -> Result<(), wire::WireError> {
    let mut seen = 0;
    let mut state = shared.lock().clone();
    loop {
        wire::send(stream, &state)?;
        if state.phase == Phase::Gone {
            return Ok(());
        }
        let (number, newer) = shared.control.newer_than(seen);
        seen = number;
        state = newer.unwrap_or(state);
    }
}
