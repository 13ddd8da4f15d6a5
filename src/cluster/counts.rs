//! Counts what a node says and hears, and what is lost.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::hub::Counter;

use super::chain::HoleReason;
use super::status::{ClusterFigures, Loss, Traffic, WordKind};

/// Characters of a reason that the engine gives.
const MOST_OF_REASON: usize = 200;

/// What one node has counted since its start. Every thread may count.
#[derive(Debug, Default)]
pub(crate) struct ClusterCounts {
    said: [TrafficCounter; WordKind::COUNT],
    heard: [TrafficCounter; WordKind::COUNT],
    lost: [Counter; Loss::COUNT],
    pub(super) missed_events: Counter,
    pub(super) repeated_events: Counter,
    pub(super) snapshots_asked: Counter,
    pub(super) snapshots_given: Counter,
    pub(super) peers_died: Counter,
    pub(super) peers_left: Counter,
    pub(super) joins_waited: Counter,
    pub(super) joins_timed_out: Counter,
    pub(super) joins_unconfirmed: Counter,
    pub(super) documents_refused: Counter,
    pub(super) unreadable_apps: AtomicUsize,
    /// Pages of streams that were asked for.
    pub(super) pages_fetched: Counter,
    holes: [Counter; HoleReason::COUNT],
    /// Why the engine has refused something, until it is told.
    refusal: Mutex<Option<String>>,
}

#[derive(Debug, Default)]
struct TrafficCounter {
    messages: Counter,
    bytes: Counter,
}

impl TrafficCounter {
    fn add(&self, bytes: usize) {
        self.messages.add_from_anywhere(1);
        self.bytes.add_from_anywhere(bytes as u64);
    }

    fn get(&self) -> Traffic {
        Traffic { messages: self.messages.get(), bytes: self.bytes.get() }
    }
}

impl ClusterCounts {
    /// This node has said so many bytes.
    pub(crate) fn said(&self, kind: WordKind, bytes: usize) {
        self.said[kind as usize].add(bytes);
    }

    /// Another node's word of so many bytes has come.
    pub(crate) fn heard(&self, kind: WordKind, bytes: usize) {
        self.heard[kind as usize].add(bytes);
    }

    /// Something was lost.
    pub(crate) fn lost(&self, loss: Loss, more: u64) {
        self.lost[loss as usize].add_from_anywhere(more);
    }

    /// Events of a history may be missing.
    pub(super) fn hole(&self, reason: HoleReason) {
        self.holes[reason as usize].add_from_anywhere(1);
    }

    /// The engine has refused something, which its adapter counts.
    pub(crate) fn refused(&self, reason: &str) {
        self.refusal.lock().get_or_insert_with(|| reason.chars().take(MOST_OF_REASON).collect());
    }

    /// Why it has refused something since this was last asked.
    pub(crate) fn take_refusal(&self) -> Option<String> {
        self.refusal.lock().take()
    }

    /// All that is counted here. What waits is not among them, and what happened to replicas.
    pub(crate) fn read(&self) -> ClusterFigures {
        ClusterFigures {
            said: std::array::from_fn(|kind| self.said[kind].get()),
            heard: std::array::from_fn(|kind| self.heard[kind].get()),
            lost: std::array::from_fn(|loss| self.lost[loss].get()),
            missed_events: self.missed_events.get(),
            repeated_events: self.repeated_events.get(),
            snapshots_asked: self.snapshots_asked.get(),
            snapshots_given: self.snapshots_given.get(),
            peers_died: self.peers_died.get(),
            peers_left: self.peers_left.get(),
            joins_waited: self.joins_waited.get(),
            joins_timed_out: self.joins_timed_out.get(),
            joins_unconfirmed: self.joins_unconfirmed.get(),
            documents_refused: self.documents_refused.get(),
            pages_fetched: self.pages_fetched.get(),
            holes: std::array::from_fn(|reason| self.holes[reason].get()),
            unreadable_apps: self.unreadable_apps.load(Ordering::Relaxed),
            ..ClusterFigures::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_and_each_loss_has_a_place_of_its_own() {
        let counts = ClusterCounts::default();
        for (n, kind) in WordKind::ALL.into_iter().enumerate() {
            counts.said(kind, n + 1);
            counts.heard(kind, 10 * (n + 1));
        }
        for (n, loss) in Loss::ALL.into_iter().enumerate() {
            counts.lost(loss, n as u64 + 1);
        }
        let figures = counts.read();
        let said = figures.said.map(|traffic| traffic.bytes);
        let heard = figures.heard.map(|traffic| (traffic.messages, traffic.bytes));
        assert_eq!(said, std::array::from_fn(|n| n as u64 + 1));
        assert_eq!(heard, std::array::from_fn(|n| (1, 10 * (n as u64 + 1))));
        assert_eq!(figures.lost, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    }
}
