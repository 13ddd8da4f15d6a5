//! One viewer: what it wants, and how far it has read.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::filter::FeedFilter;
use super::pace::KindPace;
use super::{Feed, FeedEntry, FeedKind, ViewerPlace};

/// Entries of a kind that one viewer is told of in a second. Of those beyond it their number is told.
pub(crate) const VIEWER_ENTRIES_PER_SECOND: u32 = 500;

/// Bytes of entries that a viewer is told of at once, and one entry.
const BATCH_BYTES: usize = 256 * 1024;

/// Entries that are taken out of the ring at once, while nobody can add one; what is behind them is looked at the next time.
/// More than are made between two batches: all kinds together, 16 000 in a second.
const ENTRIES_AT_ONCE: usize = 4096;

/// One viewer. When it is dropped, it watches no more.
#[derive(Debug)]
pub(crate) struct FeedViewer {
    feed: Arc<Feed>,
    place: Arc<ViewerPlace>,
    /// The last entry that it has looked at.
    seen: u64,
    paces: [KindPace; FeedKind::ALL.len()],
    /// What had been left out of each kind, for it and for all, when it was last told.
    told: [u64; FeedKind::ALL.len()],
}

/// What a viewer is told at once.
#[derive(Debug, Default)]
pub(crate) struct FeedBatch {
    pub(crate) entries: Vec<Arc<FeedEntry>>,
    /// What the viewer wants and is not told of, by kind: there was too much in a second.
    pub(crate) left_out: BTreeMap<&'static str, u64>,
    /// Entries that were gone before the viewer could be told of them.
    pub(crate) missed: u64,
}

impl FeedBatch {
    /// Whether there is nothing to tell.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.left_out.is_empty() && self.missed == 0
    }
}

impl FeedViewer {
    pub(super) fn new(feed: Arc<Feed>, place: Arc<ViewerPlace>) -> Self {
        let seen = feed.last();
        let mut viewer = FeedViewer { feed, place, seen, paces: Default::default(), told: [0; 8] };
        viewer.told = viewer.left_out();
        viewer
    }

    /// From now on it is told of what passes this filter. Returns the number of the last entry that it is not told of.
    pub(crate) fn set_filter(&mut self, filter: FeedFilter) -> u64 {
        self.place.filter.store(Some(Arc::new(filter)));
        self.feed.recount();
        self.seen = self.feed.last();
        self.told = self.left_out();
        self.seen
    }

    /// What has come since it was last asked; as much of it as is told at once.
    pub(crate) fn next(&mut self) -> FeedBatch {
        let Some(filter) = self.place.filter.load_full() else { return FeedBatch::default() };
        let second = self.feed.second();
        let excerpt = self.feed.after(self.seen, ENTRIES_AT_ONCE);
        let mut batch = FeedBatch { missed: excerpt.missed, ..FeedBatch::default() };
        let mut bytes = 0;
        for entry in excerpt.entries {
            if bytes > BATCH_BYTES {
                break;
            }
            self.seen = entry.seq;
            let pace = &self.paces[entry.kind as usize];
            if filter.wants_entry(&entry) && pace.takes(second, VIEWER_ENTRIES_PER_SECOND) {
                bytes += entry.json().len();
                batch.entries.push(entry);
            }
        }
        let left_out = self.left_out();
        for (kind, (now, told)) in FeedKind::ALL.into_iter().zip(left_out.into_iter().zip(self.told)) {
            if now > told && filter.kinds() & kind.bit() != 0 {
                batch.left_out.insert(kind.name(), now - told);
            }
        }
        self.told = left_out;
        batch
    }

    /// What has been left out of each kind, for it and for all.
    fn left_out(&self) -> [u64; FeedKind::ALL.len()] {
        FeedKind::ALL.map(|kind| {
            let at = kind as usize;
            self.paces[at].left_out() + self.feed.left_out_of(kind)
        })
    }
}

impl Drop for FeedViewer {
    fn drop(&mut self) {
        self.feed.leave(&self.place);
    }
}
