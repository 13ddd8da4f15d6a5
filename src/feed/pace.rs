//! How many entries of a kind are taken in a second.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Counts what comes within a second, on whatever threads, and what was left out of it. Two threads that begin a second
/// together may take a few more.
#[derive(Debug, Default)]
pub(super) struct KindPace {
    second: AtomicU64,
    taken: AtomicU32,
    left_out: AtomicU64,
}

impl KindPace {
    /// Whether one more is taken in this second, of so many. One that is not is counted.
    pub(super) fn takes(&self, second: u64, most: u32) -> bool {
        let takes = self.has_room(second, most);
        if takes {
            self.take(1);
        } else {
            self.leave_out();
        }
        takes
    }

    /// Whether in this second less than so much has been taken.
    pub(super) fn has_room(&self, second: u64, most: u32) -> bool {
        if self.second.swap(second, Ordering::Relaxed) != second {
            self.taken.store(0, Ordering::Relaxed);
        }
        // It is looked at first, so that it never runs over.
        self.taken.load(Ordering::Relaxed) < most
    }

    /// So much is taken.
    pub(super) fn take(&self, much: u32) {
        self.taken.fetch_add(much, Ordering::Relaxed);
    }

    /// One was not taken.
    pub(super) fn leave_out(&self) {
        self.left_out.fetch_add(1, Ordering::Relaxed);
    }

    /// How many have been left out.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_are_taken_in_each_second() {
        let pace = KindPace::default();
        let taken = |second| (0..10).filter(|_| pace.takes(second, 4)).count();
        assert_eq!([taken(1), taken(1), taken(2)], [4, 0, 4]);
        assert_eq!(pace.left_out(), 6 + 10 + 6);
    }
}
