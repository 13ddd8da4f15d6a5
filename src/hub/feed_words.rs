//! What nodes say to each other of what happens, for those who watch: the hub hands it on, and does not know what it says.

use std::sync::Arc;

use bytes::Bytes;

use super::Hub;
use crate::channel::NodeId;

/// A word of one node to others of the live feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FeedWord {
    /// To all: what is wanted of them.
    Wanted(Bytes),
    /// To one of those that want something: what has happened.
    Passed(Bytes),
}

impl FeedWord {
    /// What is said.
    pub(crate) fn bytes(&self) -> &Bytes {
        match self {
            FeedWord::Wanted(bytes) | FeedWord::Passed(bytes) => bytes,
        }
    }
}

/// Is told what other nodes say of the live feed.
pub(crate) trait FeedHearer: Send + Sync {
    /// A node has said something. It never waits: what does not fit is gone.
    fn hear(&self, from: NodeId, word: FeedWord);
}

impl Hub {
    /// Has one hear what other nodes say of the live feed. The first one stays.
    pub(crate) fn hear_feed_words(&self, hearer: Arc<dyn FeedHearer>) {
        let _ = self.feed_hearer.set(hearer);
    }

    /// Another node has said something of the live feed. Where there is no console, nobody hears it.
    pub(crate) fn feed_word_from_elsewhere(&self, from: NodeId, word: FeedWord) {
        if let Some(hearer) = self.feed_hearer.get() {
            hearer.hear(from, word);
        }
    }
}
