//! Counting the events that were conflated: those of latest-only channels that slow subscribers were not sent.

use std::sync::atomic::{AtomicU64, Ordering};

/// The events of one app that were conflated.
#[derive(Debug, Default)]
pub(super) struct ConflatedEvents {
    total: AtomicU64,
    told: AtomicU64,
}

impl ConflatedEvents {
    /// Counts some more.
    pub(super) fn add(&self, events: usize) {
        if events > 0 {
            self.total.fetch_add(events as u64, Ordering::Relaxed);
        }
    }

    /// All since the start.
    pub(super) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Those since this was last asked. One thread asks.
    pub(super) fn untold(&self) -> u64 {
        let total = self.total();
        total - self.told.swap(total, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_told_once() {
        let conflated = ConflatedEvents::default();
        conflated.add(3);
        conflated.add(0);
        assert_eq!((conflated.untold(), conflated.untold()), (3, 0));
        conflated.add(2);
        assert_eq!((conflated.untold(), conflated.total()), (2, 5));
    }
}
