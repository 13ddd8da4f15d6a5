//! Where the frames of latest-only channels are in a queue, so that nobody searches it for them.
//!
//! A queue has one from the first time that a frame of its is given up until it is empty; most never have one.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use crate::protocol::LatestKey;

/// The places of such frames, numbered on from the first place that the queue had when this was made.
#[derive(Debug, Default)]
pub(super) struct LatestIndex {
    /// The number of the queue's first place.
    first: u64,
    /// All of them.
    places: BTreeSet<u64>,
    /// Those of each kind, the oldest first.
    kinds: HashMap<Arc<LatestKey>, VecDeque<u64>>,
    /// Places of the queue whose frame was given up.
    pub(super) empty: usize,
}

impl LatestIndex {
    /// The index of a queue none of whose places is empty, by the kinds of its frames.
    pub(super) fn of<'a>(queue: impl Iterator<Item = Option<&'a Arc<LatestKey>>>) -> Self {
        let mut index = LatestIndex::default();
        for (place, kind) in queue.enumerate() {
            if let Some(kind) = kind {
                index.pushed(place, kind);
            }
        }
        index
    }

    /// A frame of this kind was put into this place.
    pub(super) fn pushed(&mut self, place: usize, kind: &Arc<LatestKey>) {
        let number = self.first + place as u64;
        self.places.insert(number);
        self.kinds.entry(Arc::clone(kind)).or_default().push_back(number);
    }

    /// The queue's first place is gone, with a frame of this kind in it.
    pub(super) fn popped(&mut self, kind: Option<&Arc<LatestKey>>) {
        if let Some(kind) = kind {
            self.forget_oldest(kind);
        }
        self.first += 1;
    }

    /// The place of the oldest frame.
    pub(super) fn oldest(&self) -> Option<usize> {
        self.places.first().map(|number| self.place(*number))
    }

    /// Forgets the oldest frame of a kind.
    pub(super) fn forget_oldest(&mut self, kind: &Arc<LatestKey>) {
        let Some(of_kind) = self.kinds.get_mut(kind) else { return };
        if let Some(number) = of_kind.pop_front() {
            self.places.remove(&number);
        }
        if of_kind.is_empty() {
            self.kinds.remove(kind);
        }
    }

    /// Forgets the frames of a kind; returns where they are.
    pub(super) fn forget_kind(&mut self, kind: &Arc<LatestKey>) -> Vec<usize> {
        let numbers = self.kinds.remove(kind).unwrap_or_default();
        for number in &numbers {
            self.places.remove(number);
        }
        numbers.into_iter().map(|number| self.place(number)).collect()
    }

    fn place(&self, number: u64) -> usize {
        (number - self.first) as usize
    }
}
