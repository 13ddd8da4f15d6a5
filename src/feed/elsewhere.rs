//! What was lost of what other nodes have passed on.

use std::sync::atomic::{AtomicU64, Ordering};

use super::FeedKind;
use super::pace::KindPace;

/// The largest number that a word of another node adds: whatever it says, nothing runs over.
const MOST_AT_ONCE: u64 = u32::MAX as u64;

/// Counts what other nodes have left out, what was lost on the way, and what comes of them.
#[derive(Debug, Default)]
pub(super) struct LossesElsewhere {
    left_out: [AtomicU64; FeedKind::ALL.len()],
    missed: AtomicU64,
    paces: [KindPace; FeedKind::ALL.len()],
}

impl LossesElsewhere {
    /// Whether one more entry of this kind is taken in this second, of so many.
    pub(super) fn takes(&self, kind: FeedKind, second: u64, most: u32) -> bool {
        self.paces[kind as usize].takes(second, most)
    }

    /// So many of this kind were left out.
    pub(super) fn leave_out(&self, kind: FeedKind, more: u64) {
        self.left_out[kind as usize].fetch_add(more.min(MOST_AT_ONCE), Ordering::Relaxed);
    }

    /// So many were lost on the way.
    pub(super) fn miss(&self, more: u64) {
        self.missed.fetch_add(more.min(MOST_AT_ONCE), Ordering::Relaxed);
    }

    /// How many of this kind have been left out.
    pub(super) fn left_out(&self, kind: FeedKind) -> u64 {
        let at = kind as usize;
        self.left_out[at].load(Ordering::Relaxed).saturating_add(self.paces[at].left_out())
    }

    /// How many have been lost on the way.
    pub(super) fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }
}
