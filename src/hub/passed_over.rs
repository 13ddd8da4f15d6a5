//! Counting the events of latest-only channels that slow subscribers were not sent.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many there were in one app.
#[derive(Debug, Default)]
pub(super) struct PassedOver {
    total: AtomicU64,
    told: AtomicU64,
}

impl PassedOver {
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
        let passed_over = PassedOver::default();
        passed_over.add(3);
        passed_over.add(0);
        assert_eq!((passed_over.untold(), passed_over.untold()), (3, 0));
        passed_over.add(2);
        assert_eq!((passed_over.untold(), passed_over.total()), (2, 5));
    }
}
