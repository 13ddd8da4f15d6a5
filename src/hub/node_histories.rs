//! What the histories of all apps of a node hold together, and what has become of them.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::channel::{Dropped, LossReason, Replay};

/// What all apps' histories count with.
#[derive(Debug, Default)]
pub(crate) struct NodeHistories {
    bytes: AtomicUsize,
    /// Events that were dropped, by the reason.
    lost: [AtomicU64; LossReason::ALL.len()],
    /// Subscribers who were told that they have missed nothing more, and that they may have.
    resumed: [AtomicU64; 2],
    /// Events that they were sent.
    replayed: AtomicU64,
    /// Those who would have been sent too much at once.
    too_large: AtomicU64,
    /// How often it was not known what came behind what a channel keeps.
    gaps: AtomicU64,
    /// Held by who drops events because there are too many on the node.
    pub(super) making_room: Mutex<()>,
}

impl NodeHistories {
    /// Bytes that all histories hold.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// How many events were dropped, by the reason.
    pub(crate) fn lost(&self) -> impl Iterator<Item = (LossReason, u64)> {
        LossReason::ALL.into_iter().zip(self.lost.iter().map(|lost| lost.load(Ordering::Relaxed)))
    }

    /// How many subscribers were told that they have missed nothing more, and how many that they may have.
    pub(crate) fn resumed(&self) -> [(bool, u64); 2] {
        [true, false].map(|complete| (complete, self.resumed[usize::from(complete)].load(Ordering::Relaxed)))
    }

    /// How many events they were sent.
    pub(crate) fn replayed(&self) -> u64 {
        self.replayed.load(Ordering::Relaxed)
    }

    /// How many of them would have been sent too much at once.
    pub(crate) fn too_large(&self) -> u64 {
        self.too_large.load(Ordering::Relaxed)
    }

    /// How often it was not known what came behind what a channel keeps.
    pub(crate) fn gaps(&self) -> u64 {
        self.gaps.load(Ordering::Relaxed)
    }

    pub(super) fn count_gap(&self) {
        self.gaps.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn add_bytes(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn take_bytes(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn count_lost(&self, dropped: &Dropped) {
        for (lost, events) in self.lost.iter().zip(dropped.events) {
            lost.fetch_add(events as u64, Ordering::Relaxed);
        }
    }

    /// A subscriber is told of its replay.
    pub(super) fn count_replay(&self, replay: &Replay) {
        self.resumed[usize::from(replay.complete)].fetch_add(1, Ordering::Relaxed);
        self.replayed.fetch_add(replay.events.len() as u64, Ordering::Relaxed);
        self.too_large.fetch_add(replay.is_too_large.into(), Ordering::Relaxed);
    }
}
