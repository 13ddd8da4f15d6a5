//! How much the channels of an app keep of their last events, all together.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use crate::channel::{ChannelVersion, Dropped, LostEvent};

use super::history_follower::CurrentFollower;
use super::history_index::HistoryIndex;
use super::node_histories::NodeHistories;

/// The histories of an app's channels. Its lock is taken under a channel's entry, never the other way round.
#[derive(Debug)]
pub(super) struct AppHistories {
    /// Whether the app wants any of its channels to keep events. It is asked for each event.
    wanted: AtomicBool,
    pub(super) index: Mutex<HistoryIndex>,
    events: AtomicUsize,
    bytes: AtomicUsize,
    pub(super) node: Arc<NodeHistories>,
    /// Events before this one are those of another run, or of an app that was removed.
    pub(super) start: ChannelVersion,
    /// Who is told what is kept, while this process is succeeded.
    pub(super) follower: CurrentFollower,
}

impl AppHistories {
    /// None yet, of an app that begins with this version.
    pub(super) fn new(node: Arc<NodeHistories>, start: ChannelVersion, wanted: bool) -> Self {
        AppHistories {
            wanted: AtomicBool::new(wanted),
            index: Mutex::new(HistoryIndex::new(LostEvent { version: start, at: Instant::now() })),
            events: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            node,
            start,
            follower: CurrentFollower::default(),
        }
    }

    /// Whether some of the app's channels are to keep events.
    #[inline]
    pub(super) fn are_wanted(&self) -> bool {
        self.wanted.load(Ordering::Acquire)
    }

    pub(super) fn want(&self, wanted: bool) {
        self.wanted.store(wanted, Ordering::Release);
    }

    /// An event is kept, and others are dropped for it.
    pub(super) fn count_kept(&self, bytes: usize, dropped: &Dropped) {
        self.events.fetch_add(1, Ordering::Relaxed);
        self.charge(bytes);
        self.count_dropped(dropped);
    }

    /// Events were dropped.
    pub(super) fn count_dropped(&self, dropped: &Dropped) {
        let count = dropped.count();
        if count > 0 {
            self.events.fetch_sub(count, Ordering::Relaxed);
            self.discharge(dropped.bytes);
            self.node.count_lost(dropped);
        }
    }

    /// So many bytes more are held.
    pub(super) fn charge(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.node.add_bytes(bytes);
    }

    /// So many bytes less are held.
    pub(super) fn discharge(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.node.take_bytes(bytes);
    }

    /// Bytes that are held.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Events, bytes, and channels that keep some or may be asked for what they have lost.
    pub(super) fn sizes(&self) -> (usize, usize, usize) {
        (self.events.load(Ordering::Relaxed), self.bytes(), self.index.lock().len())
    }
}

impl Drop for AppHistories {
    fn drop(&mut self) {
        self.node.take_bytes(self.bytes());
    }
}
