//! Who waits for a worker: for a time to come, until no worker is far behind, or for the end of its turn.

use std::future::poll_fn;
use std::task::{Poll, Waker};
use std::time::Instant;

use crate::hub::{Client, ShutdownGuard};

use super::{Worker, key};

impl Worker {
    /// Asks for the connection's driver to be told when `time` has come (or somewhat before, if it is far off).
    pub fn remind(&self, client: &Client, time: Instant) {
        self.wheel.borrow_mut().insert(time, key(client));
    }

    /// Whether some worker is far behind; if so, `waker` is woken when it no longer is.
    pub fn is_congested(&self, waker: &Waker) -> bool {
        let congested = self.hub.is_congested();
        if congested {
            self.waiting.borrow_mut().push(waker.clone());
        }
        congested
    }

    /// Waits until no worker is far behind.
    pub async fn uncongested(&self) {
        poll_fn(|context| if self.is_congested(context.waker()) { Poll::Pending } else { Poll::Ready(()) })
            .await;
    }

    /// Lets something count as work until this thread's next turn: an answer is written after whoever made it is done,
    /// and a broker that shuts down must not end in between.
    pub fn end_work(&self, shutdown_guard: ShutdownGuard) {
        self.ending.borrow_mut().push(shutdown_guard);
        self.wake();
    }
}
