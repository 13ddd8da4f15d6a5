//! One viewer: what it wants, and how far it has read.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::filter::FeedFilter;
use super::pace::KindPace;
use super::{Feed, FeedEntry, FeedKind, ViewerPlace};

/// Entries of a kind that one viewer is told of in a second. Of those beyond it their number is told.
pub(crate) const VIEWER_ENTRIES_PER_SECOND: u32 = 500;

/// Bytes of entries that all other nodes together pass on to one in a second.
const PASSED_BYTES_PER_SECOND: u32 = 1024 * 1024;

/// What one node passes on of it at least, of however many: entries of a kind, and bytes.
const LEAST_PASSED: FeedShare = FeedShare { entries: 20, bytes: 32 * 1024 };

/// Bytes of entries that a viewer is told of at once, and one entry.
const BATCH_BYTES: usize = 256 * 1024;

/// Entries that are taken out of the ring at once, while nobody can add one; what is behind them is looked at the next time.
/// More than are made between two batches: all kinds together, 16 000 in a second.
const ENTRIES_AT_ONCE: usize = 4096;

/// How much a viewer is told of in a second. Of what is beyond it its number is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FeedShare {
    /// Entries of a kind.
    entries: u32,
    /// Bytes of entries, and one entry.
    bytes: u32,
}

impl FeedShare {
    /// What one who watches here is told of.
    const OF_VIEWER: FeedShare = FeedShare { entries: VIEWER_ENTRIES_PER_SECOND, bytes: u32::MAX };

    /// What each of so many nodes passes on to one.
    pub(super) fn of_nodes(nodes: usize) -> Self {
        let nodes = u32::try_from(nodes.max(1)).unwrap_or(u32::MAX);
        FeedShare {
            entries: (VIEWER_ENTRIES_PER_SECOND / nodes).max(LEAST_PASSED.entries),
            bytes: (PASSED_BYTES_PER_SECOND / nodes).max(LEAST_PASSED.bytes),
        }
    }
}

/// One viewer, here or on another node. When it is dropped, it watches no more.
#[derive(Debug)]
pub(crate) struct FeedViewer {
    feed: Arc<Feed>,
    place: Arc<ViewerPlace>,
    /// The last entry that it has looked at.
    seen: u64,
    share: FeedShare,
    paces: [KindPace; FeedKind::ALL.len()],
    bytes: KindPace,
    /// What had been left out of each kind, for it and for all, when it was last told.
    told: [u64; FeedKind::ALL.len()],
    /// What had been lost of other nodes by then.
    told_lost: u64,
}

/// What a viewer is told at once.
#[derive(Debug, Default)]
pub(crate) struct FeedBatch {
    pub(crate) entries: Vec<Arc<FeedEntry>>,
    /// What the viewer wants and is not told of, by kind: there was too much in a second.
    pub(crate) left_out: BTreeMap<&'static str, u64>,
    /// Entries that were gone before the viewer could be told of them.
    pub(crate) missed: u64,
    /// Those of them that were lost on the way from other nodes. For all others the viewer was too slow.
    pub(crate) lost: u64,
}

impl FeedBatch {
    /// Whether there is nothing to tell.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.left_out.is_empty() && self.missed == 0
    }
}

impl FeedViewer {
    pub(super) fn new(feed: Arc<Feed>, place: Arc<ViewerPlace>) -> Self {
        let (seen, told_lost) = (feed.last(), feed.elsewhere.missed());
        let mut viewer = FeedViewer {
            feed,
            place,
            seen,
            share: FeedShare::OF_VIEWER,
            paces: Default::default(),
            bytes: KindPace::default(),
            told: [0; FeedKind::ALL.len()],
            told_lost,
        };
        viewer.told = viewer.left_out();
        viewer
    }

    /// From now on it is told of what passes this filter. Returns the number of the last entry that it is not told of.
    pub(crate) fn set_filter(&mut self, filter: FeedFilter) -> u64 {
        self.change_filters(vec![filter]);
        self.seen = self.feed.last();
        (self.told, self.told_lost) = (self.left_out(), self.feed.elsewhere.missed());
        self.seen
    }

    /// From now on it is told of what passes one of these filters. What had happened by then and is not told yet has to pass
    /// them, too.
    pub(super) fn change_filters(&mut self, filters: Vec<FeedFilter>) {
        self.place.filters.store(Arc::new(filters));
        self.feed.recount(&self.place);
    }

    /// It is told of so much from now on.
    pub(super) fn set_share(&mut self, share: FeedShare) {
        self.share = share;
    }

    /// What has come since it was last asked; as much of it as is told at once.
    pub(crate) fn next(&mut self) -> FeedBatch {
        let filters = self.place.filters.load_full();
        if filters.is_empty() {
            return FeedBatch::default();
        }
        let second = self.feed.second();
        let excerpt = self.feed.after(self.seen, ENTRIES_AT_ONCE);
        let mut batch = FeedBatch { missed: excerpt.missed, ..FeedBatch::default() };
        let mut bytes = 0;
        for entry in excerpt.entries {
            if bytes > BATCH_BYTES {
                break;
            }
            self.seen = entry.seq;
            let is_wanted = self.is_for(&entry) && filters.iter().any(|filter| filter.wants_entry(&entry));
            if is_wanted && self.takes(second, &entry) {
                bytes += entry.json().len();
                batch.entries.push(entry);
            }
        }
        let left_out = self.left_out();
        let wanted = filters.iter().fold(0, |bits, filter| bits | filter.kinds());
        for (kind, (now, told)) in FeedKind::ALL.into_iter().zip(left_out.into_iter().zip(self.told)) {
            if now > told && wanted & kind.bit() != 0 {
                batch.left_out.insert(kind.name(), now - told);
            }
        }
        self.told = left_out;
        if !self.place.is_elsewhere {
            let lost = self.feed.elsewhere.missed();
            batch.lost = lost.saturating_sub(self.told_lost);
            batch.missed = batch.missed.saturating_add(batch.lost);
            self.told_lost = lost;
        }
        batch
    }

    /// Whether it may be told of it: each node passes on what has happened on it, and nothing else.
    fn is_for(&self, entry: &FeedEntry) -> bool {
        !(self.place.is_elsewhere && entry.is_from_elsewhere)
    }

    /// Whether there is room for it in this second. If not, it is counted.
    fn takes(&self, second: u64, entry: &FeedEntry) -> bool {
        let (pace, FeedShare { entries, bytes }) = (&self.paces[entry.kind as usize], self.share);
        if !pace.takes(second, entries) {
            return false;
        }
        if bytes == u32::MAX {
            return true;
        }
        let has_room = self.bytes.has_room(second, bytes) && entry.can_be_passed();
        if has_room {
            self.bytes.take(u32::try_from(entry.json().len()).unwrap_or(u32::MAX));
        } else {
            pace.leave_out();
        }
        has_room
    }

    /// What has been left out of each kind, for it and for all.
    fn left_out(&self) -> [u64; FeedKind::ALL.len()] {
        FeedKind::ALL.map(|kind| {
            let here = self.paces[kind as usize].left_out() + self.feed.left_out_of(kind);
            if self.place.is_elsewhere {
                here
            } else {
                here.saturating_add(self.feed.elsewhere.left_out(kind))
            }
        })
    }
}

impl Drop for FeedViewer {
    fn drop(&mut self) {
        self.feed.leave(&self.place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_share_what_a_viewer_is_told_of() {
        let share = |nodes| {
            let FeedShare { entries, bytes } = FeedShare::of_nodes(nodes);
            (entries, bytes / 1024)
        };
        assert_eq!(
            [0, 1, 2, 10, 255].map(share),
            [(500, 1024), (500, 1024), (250, 512), (50, 102), (20, 32)]
        );
    }
}
