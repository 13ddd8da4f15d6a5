//! The broker stops: nothing new is begun, every connection is closed, and what is under way is waited for.

use std::convert::Infallible;

use tokio::sync::mpsc;

use super::mailbox::Letter;
use super::{Farewell, Hub, lock};

/// Held by a connection or request while it lives: shutdown waits for it.
#[derive(Clone, Debug)]
pub struct AtWork {
    _sender: mpsc::Sender<Infallible>,
}

impl Hub {
    /// Says that something begins that shutdown should wait for; `None` if shutdown has begun.
    #[must_use]
    pub fn begin_work(&self) -> Option<AtWork> {
        lock(&self.at_work).clone().map(|_sender| AtWork { _sender })
    }

    /// Begins to stop: from now on nothing new is begun and nothing published for anybody who is told that it was.
    pub fn stop_work(&self, farewell: Farewell) {
        let _ = self.farewell.set(farewell);
        drop(lock(&self.at_work).take());
    }

    /// What clients are told, once the broker has begun to stop. Whoever publishes and says so must ask on the same
    /// worker's turn in which it publishes.
    #[must_use]
    pub fn farewell(&self) -> Option<Farewell> {
        self.farewell.get().copied()
    }

    /// Ends every connection politely, after what was published before [`Hub::stop_work`], and waits until all are gone
    /// and all requests answered. `between` is called when nothing more is published and nobody has been closed.
    pub async fn drain(&self, between: impl FnOnce()) {
        self.turn_of_every_worker().await;
        between();
        let farewell = self.farewell().unwrap_or(Farewell::Soon);
        self.mailboxes.iter().for_each(|mailbox| mailbox.post(Letter::Drain { farewell }));
        let all_done = lock(&self.all_done).take();
        if let Some(mut all_done) = all_done {
            // Nothing is ever sent; it ends when nobody is left who could.
            all_done.recv().await;
        }
    }

    /// Waits until every worker has ended the turn that it is in, and read the letters that were posted before.
    async fn turn_of_every_worker(&self) {
        let (reply, mut replies) = mpsc::channel(1);
        for mailbox in self.started() {
            mailbox.post(Letter::Turn { _reply: reply.clone() });
        }
        drop(reply);
        // Nothing is ever sent; it ends when the last letter has been read.
        replies.recv().await;
    }
}
