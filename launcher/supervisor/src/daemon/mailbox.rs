//! Owns what waits for one asker: bounded, whatever that does. A watcher that is suspended misses what lies between, never the
//! newest state.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use crate::api::Reply;

/// So many replies may wait; then the newest takes the place of the one before it.
const MOST: usize = 64;

#[derive(Debug, Default)]
struct Shared {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: VecDeque<Reply>,
    /// One of the two sides is gone.
    closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }
}

/// Where replies are put.
#[derive(Debug)]
pub(super) struct Outbox(Arc<Shared>);

/// Where they are taken from.
#[derive(Debug)]
pub(super) struct Inbox(Arc<Shared>);

/// Makes both sides.
pub(super) fn mailbox() -> (Outbox, Inbox) {
    let shared = Arc::<Shared>::default();
    (Outbox(Arc::clone(&shared)), Inbox(shared))
}

impl Outbox {
    /// Puts a reply; false if nobody takes any more. Never waits.
    pub(super) fn put(&self, reply: Reply) -> bool {
        let mut inner = self.0.lock();
        if inner.closed {
            return false;
        }
        if inner.waiting.len() >= MOST {
            inner.waiting.pop_back();
        }
        inner.waiting.push_back(reply);
        self.0.changed.notify_all();
        true
    }
}

impl Iterator for Inbox {
    type Item = Reply;

    /// Waits for the next reply; none once the other side is gone and everything was taken.
    fn next(&mut self) -> Option<Reply> {
        let idle = |inner: &mut Inner| inner.waiting.is_empty() && !inner.closed;
        let waited = self.0.changed.wait_while(self.0.lock(), idle);
        waited.unwrap_or_else(PoisonError::into_inner).waiting.pop_front()
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST, mailbox};
    use crate::api::Reply;

    fn reply(n: usize) -> Reply {
        let (why, hint) = (n.to_string(), String::new());
        Reply::Refused { why, hint }
    }

    #[test]
    fn one_who_does_not_read_costs_a_bounded_amount_and_hears_the_newest() {
        let (out, inbox) = mailbox();
        assert!((0..10_000).all(|n| out.put(reply(n))));
        drop(out);
        let heard: Vec<Reply> = inbox.collect();
        assert_eq!(heard.len(), MOST);
        assert_eq!((&heard[0], heard.last()), (&reply(0), Some(&reply(9_999))));
    }

    #[test]
    fn nothing_is_put_for_one_who_went_away() {
        let (out, inbox) = mailbox();
        drop(inbox);
        assert!(!out.put(reply(1)));
    }
}
