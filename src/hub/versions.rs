//! The numbers of this node's changes, and what tells them from those of every other node.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::channel::{ChannelVersion, NodeId};

/// Numbers the changes of channels, across all channels and their reincarnations.
pub(super) struct Versions {
    last: AtomicU64,
    node: NodeId,
}

impl Versions {
    /// Begins from nothing, as a node that has never been before.
    pub(super) fn new() -> Self {
        Versions { last: AtomicU64::new(0), node: NodeId::new(rand::random()) }
    }

    /// A number larger than all before.
    pub(super) fn next(&self) -> ChannelVersion {
        ChannelVersion::new(self.last.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// The last number that was given.
    pub(super) fn last(&self) -> ChannelVersion {
        ChannelVersion::new(self.last.load(Ordering::Relaxed))
    }

    /// What tells this node, since its start, from every other node and from what it was before.
    pub(super) fn node(&self) -> NodeId {
        self.node
    }
}
