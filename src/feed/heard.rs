//! What other nodes pass on to this one, while somebody watches here: from whom it comes, and what of it was lost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::passing::HOLDS_FOR;
use super::words::{FeedWanted, PassedBatch, PassedSoFar};
use super::{Feed, FeedKind, FeedPlace};
use crate::channel::NodeId;

/// What comes of other nodes, as far as it is counted.
#[derive(Debug, Default)]
pub(crate) struct FeedSources {
    nodes: BTreeMap<NodeId, FeedSource>,
}

/// What one of them has said last.
#[derive(Debug)]
struct FeedSource {
    so_far: PassedSoFar,
    at: Instant,
}

/// What is heard of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NodeHearing {
    /// It passes on what viewers want now.
    Passes,
    /// It does, or did a moment ago, but has not said that it has heard what they want now.
    Late,
    /// Nothing came for some seconds, or ever.
    Silent,
}

impl Feed {
    /// What the viewers here want of other nodes, to be said to all of them; none if that is nothing.
    pub(crate) fn wanted_elsewhere(&self) -> Option<Bytes> {
        let filters = self.filters_for_others();
        (!filters.is_empty()).then(|| self.wanted_word(filters))
    }

    /// That they want nothing any more.
    pub(crate) fn nothing_wanted(&self) -> Bytes {
        self.wanted_word(Vec::new())
    }

    fn wanted_word(&self, filters: Vec<super::WrittenFilter>) -> Bytes {
        FeedWanted { version: self.version(), filters }.encode()
    }
}

impl FeedSources {
    /// A node has passed something on: its entries are told here, and what was lost is counted. Whether it was what a node would say.
    pub(crate) fn hear(
        &mut self,
        feed: &Feed,
        from: (NodeId, &Arc<FeedPlace>),
        word: &[u8],
        now: Instant,
    ) -> bool {
        let Some(PassedBatch { so_far, entries }) = PassedBatch::decode(word) else { return false };
        let (node, place) = from;
        // Each time that a node begins to pass something on, it counts anew.
        let nothing = PassedSoFar::default();
        let last = self.nodes.get(&node).map(|last| &last.so_far);
        let last = last.filter(|last| last.passing == so_far.passing).unwrap_or(&nothing);
        feed.elsewhere.miss(so_far.told.saturating_sub(last.told));
        feed.elsewhere.miss(so_far.missed.saturating_sub(last.missed));
        for kind in FeedKind::ALL {
            let count = |of: &PassedSoFar| of.left_out.get(kind.name()).copied().unwrap_or_default();
            feed.elsewhere.leave_out(kind, count(&so_far).saturating_sub(count(last)));
        }
        let told = so_far.told.saturating_add(entries.len() as u64);
        entries.into_iter().filter_map(|entry| entry.told_at(place)).for_each(|told| feed.take_passed(told));
        // Of kinds that this release does not know nothing is kept.
        let mut so_far = PassedSoFar { told, ..so_far };
        so_far.left_out.retain(|kind, _| FeedKind::parse(kind).is_some());
        self.nodes.insert(node, FeedSource { so_far, at: now });
        true
    }

    /// What is heard of a node.
    pub(crate) fn of(&self, feed: &Feed, node: NodeId, now: Instant) -> NodeHearing {
        match self.nodes.get(&node) {
            Some(heard) if now < heard.at + HOLDS_FOR => {
                if heard.so_far.version == feed.version() {
                    NodeHearing::Passes
                } else {
                    NodeHearing::Late
                }
            }
            _ => NodeHearing::Silent,
        }
    }

    /// Only these nodes are there.
    pub(crate) fn keep(&mut self, is_there: impl Fn(NodeId) -> bool) {
        self.nodes.retain(|node, _| is_there(*node));
    }
}
