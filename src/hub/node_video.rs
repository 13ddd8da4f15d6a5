//! What the video channels of all apps of a node hold together, and what has become of their messages.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::video::{FrameFates, VideoConfig};

/// What all apps' video channels count with.
#[derive(Debug)]
pub(crate) struct NodeVideo {
    most_bytes: AtomicUsize,
    bytes: AtomicUsize,
    tracks: AtomicUsize,
    queued: AtomicU64,
    cut: AtomicU64,
    left_out: AtomicU64,
    moved_down: AtomicU64,
    moved_up: AtomicU64,
    requests: AtomicU64,
    refused: AtomicU64,
}

impl Default for NodeVideo {
    fn default() -> Self {
        NodeVideo {
            most_bytes: AtomicUsize::new(VideoConfig::default().cache_bytes),
            bytes: AtomicUsize::default(),
            tracks: AtomicUsize::default(),
            queued: AtomicU64::default(),
            cut: AtomicU64::default(),
            left_out: AtomicU64::default(),
            moved_down: AtomicU64::default(),
            moved_up: AtomicU64::default(),
            requests: AtomicU64::default(),
            refused: AtomicU64::default(),
        }
    }
}

impl NodeVideo {
    /// From now on it may hold this much.
    pub(super) fn set_bounds(&self, config: &VideoConfig) {
        self.most_bytes.store(config.cache_bytes, Ordering::Relaxed);
    }

    /// Bytes that it may hold beyond what it does.
    pub(super) fn room(&self) -> usize {
        self.most_bytes.load(Ordering::Relaxed).saturating_sub(self.bytes())
    }

    /// A channel has had so many tracks, of so many bytes, and has so many now.
    pub(super) fn changed(&self, before: (usize, usize), after: (usize, usize)) {
        let change = |cell: &AtomicUsize, before: usize, after: usize| {
            if after >= before {
                cell.fetch_add(after - before, Ordering::Relaxed);
            } else {
                cell.fetch_sub(before - after, Ordering::Relaxed);
            }
        };
        change(&self.tracks, before.0, after.0);
        change(&self.bytes, before.1, after.1);
    }

    /// Viewers of one worker were offered a message.
    pub(super) fn count(&self, fates: &FrameFates) {
        let add = |cell: &AtomicU64, more: u64| {
            if more > 0 {
                cell.fetch_add(more, Ordering::Relaxed);
            }
        };
        add(&self.queued, fates.queued);
        add(&self.cut, fates.cut);
        add(&self.left_out, fates.left_out);
        add(&self.moved_down, fates.moved_down);
        add(&self.moved_up, fates.moved_up);
    }

    /// A publisher is asked for a key frame.
    pub(super) fn count_request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// A message was refused.
    pub(super) fn count_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Bytes that the caches hold, and the tracks as such.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Tracks that somebody holds.
    pub(crate) fn tracks(&self) -> usize {
        self.tracks.load(Ordering::Relaxed)
    }

    /// What has become of messages for viewers, by what that is called.
    pub(crate) fn frames(&self) -> [(&'static str, u64); 3] {
        [("queued", &self.queued), ("cut", &self.cut), ("left_out", &self.left_out)]
            .map(|(name, cell)| (name, cell.load(Ordering::Relaxed)))
    }

    /// How often viewers were moved to another rendition, by which way.
    pub(crate) fn moves(&self) -> [(&'static str, u64); 2] {
        [("down", &self.moved_down), ("up", &self.moved_up)]
            .map(|(name, cell)| (name, cell.load(Ordering::Relaxed)))
    }

    /// How often publishers were asked for key frames.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Messages that were refused, those of clients that may not film apart.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}
