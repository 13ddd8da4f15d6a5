//! Who is too slow: workers that are far behind with their mailboxes, and connections that were closed for it.

use std::sync::atomic::Ordering;

use crate::channel::WorkerIndex;

use super::Hub;
use super::mailbox::{Letter, Mailbox};

impl Hub {
    /// Whether some worker is far behind, so that publishers should wait.
    #[must_use]
    pub fn is_congested(&self) -> bool {
        self.mailboxes.iter().any(Mailbox::is_congested)
    }

    /// Wakes those who wait at the other workers: this one is no longer far behind.
    pub(super) fn tell_relieved(&self, worker: WorkerIndex) {
        let others = self.mailboxes.iter().enumerate().filter(|(index, _)| *index != usize::from(worker));
        others.for_each(|(_, mailbox)| mailbox.post(Letter::Relieved));
    }

    /// Counts one more connection that was closed because it read too slowly; returns how many there were since the
    /// start.
    pub fn count_slow_reader(&self) -> u64 {
        self.slow_readers.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Connections closed since the start because they read too slowly.
    #[must_use]
    pub fn slow_readers(&self) -> u64 {
        self.slow_readers.load(Ordering::Relaxed)
    }
}
