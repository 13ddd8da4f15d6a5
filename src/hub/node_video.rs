//! What the video channels of all apps of a node hold together, and what has become of their messages.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::video::{FrameFates, TrackRoom, VideoConfig};

use super::app_video::{AppVideo, VideoCounts};

/// Tracks of all apps.
const MOST_TRACKS: usize = 16 * 1024;

/// What all apps' video channels count with.
#[derive(Debug)]
pub(crate) struct NodeVideo {
    most_bytes: AtomicUsize,
    counts: VideoCounts,
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
            counts: VideoCounts::default(),
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

    /// What an app may hold beyond what it does: as much as it leaves free with that. So each has its share, however many there
    /// are: one alone half of all, two a third each.
    pub(super) fn room(&self, app: &AppVideo) -> TrackRoom {
        let most_bytes = self.most_bytes.load(Ordering::Relaxed);
        let left = |most: usize, all: &AtomicUsize, own: &AtomicUsize| {
            let free = most.saturating_sub(all.load(Ordering::Relaxed));
            free.saturating_sub(own.load(Ordering::Relaxed)) / 2
        };
        TrackRoom {
            bytes: left(most_bytes, &self.counts.bytes, &app.counts.bytes),
            has_track: left(MOST_TRACKS, &self.counts.tracks, &app.counts.tracks) > 0,
        }
    }

    /// A channel of an app has had so many tracks, of so many bytes, and has so many now.
    pub(super) fn changed(&self, app: &AppVideo, before: (usize, usize), after: (usize, usize)) {
        self.counts.changed(before, after);
        app.counts.changed(before, after);
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
        self.counts.bytes.load(Ordering::Relaxed)
    }

    /// Tracks that somebody holds.
    pub(crate) fn tracks(&self) -> usize {
        self.counts.tracks.load(Ordering::Relaxed)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_app_has_its_share_however_much_others_hold() {
        let node = NodeVideo::default();
        node.set_bounds(&VideoConfig { cache_bytes: 90_000 });
        let (one, other) = (AppVideo::default(), AppVideo::default());
        let fill = |app: &AppVideo| {
            let (mut tracks, mut bytes) = (0, 0);
            loop {
                let room = node.room(app);
                let more = (usize::from(room.has_track), room.bytes.min(100));
                node.changed(app, (0, 0), more);
                (tracks, bytes) = (tracks + more.0, bytes + more.1);
                if more == (0, 0) {
                    return (tracks, bytes);
                }
            }
        };
        assert_eq!(fill(&one), (8_192, 45_000), "half of all");
        assert_eq!(fill(&other), (4_096, 22_500), "half of what is left");
        // What the first one gives back it does not get again: a third is for each, and one is left free.
        node.changed(&one, (8_192, 45_000), (0, 0));
        node.changed(&other, (0, 0), (1_365, 7_500));
        assert_eq!(fill(&one), (5_461, 30_000));
        assert_eq!((node.tracks(), node.bytes()), (10_922, 60_000));
    }
}
