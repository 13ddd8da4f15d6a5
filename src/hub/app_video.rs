//! Which of an app's channels have tracks, so that somebody looks after them.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::protocol::ChannelName;

/// The channels of an app that have tracks. Its lock is taken under a channel's entry, never the other way round.
#[derive(Debug, Default)]
pub(super) struct AppVideo {
    channels: Mutex<HashSet<ChannelName>>,
    /// There may be some.
    is_any: AtomicBool,
    /// There could be some by earlier settings, or by those of another node: publishers may say what proves that they are those of a
    /// track.
    could_be_any: AtomicBool,
    /// The app was removed: there will be no further ones.
    has_ended: AtomicBool,
    /// What they count with.
    pub(super) counts: VideoCounts,
}

/// Tracks, and the bytes that they count as.
#[derive(Debug, Default)]
pub(super) struct VideoCounts {
    pub(super) tracks: AtomicUsize,
    pub(super) bytes: AtomicUsize,
}

impl VideoCounts {
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
}

impl AppVideo {
    /// A channel has a track. `false` if there are to be none any more.
    pub(super) fn put(&self, channel: &ChannelName) -> bool {
        let mut channels = self.channels.lock();
        let may_be = !self.has_ended.load(Ordering::Relaxed);
        if may_be && !channels.contains(channel) {
            channels.insert(channel.clone());
            self.is_any.store(true, Ordering::Relaxed);
        }
        may_be
    }

    /// A channel has no track any more.
    pub(super) fn remove(&self, channel: &ChannelName) {
        let mut channels = self.channels.lock();
        channels.remove(channel);
        self.is_any.store(!channels.is_empty(), Ordering::Relaxed);
    }

    /// There could be some by the settings that there are, which change, or by those of another node.
    pub(super) fn note_that_there_could_be(&self) {
        self.could_be_any.store(true, Ordering::Relaxed);
    }

    /// Whether there could be some by earlier settings, or by those of another node.
    pub(super) fn could_be_any(&self) -> bool {
        self.could_be_any.load(Ordering::Relaxed)
    }

    /// The channels that have tracks.
    pub(super) fn channels(&self) -> Vec<ChannelName> {
        if self.is_any.load(Ordering::Relaxed) {
            self.channels.lock().iter().cloned().collect()
        } else {
            Vec::new()
        }
    }

    /// There are to be none any more.
    pub(super) fn end(&self) {
        let _channels = self.channels.lock();
        self.has_ended.store(true, Ordering::Relaxed);
    }
}
