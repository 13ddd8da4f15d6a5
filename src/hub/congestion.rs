//! Who is too slow: workers that are far behind with their mailboxes, and connections that were closed for it.

use std::sync::atomic::Ordering;

use crate::channel::WorkerIndex;

use super::Hub;
use super::mailbox::WorkerCommand;

impl Hub {
    /// Whether some worker is far behind, so that publishers should wait.
    pub fn is_congested(&self) -> bool {
        self.mailboxes.is_congested()
    }

    /// Wakes those who wait at the other workers, or on other threads: this one is no longer far behind.
    pub(super) fn tell_relieved(&self, worker: WorkerIndex) {
        self.relieved.notify_waiters();
        self.mailboxes.post_to_others(worker, || WorkerCommand::Relieved);
    }

    /// Counts one more connection that was closed because it read too slowly; returns how many there were since the
    /// start.
    pub fn count_slow_reader(&self) -> u64 {
        self.slow_readers.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Connections closed since the start because they read too slowly.
    pub fn slow_readers(&self) -> u64 {
        self.slow_readers.load(Ordering::Relaxed)
    }
}
