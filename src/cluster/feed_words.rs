//! What is said of the live feed: it goes behind everything else.

use crate::hub::FeedWord;

use super::adapter::{Adapter, Subject};
use super::envelope::{Content, Envelope};
use super::node::ClusterNode;
use super::status::WordKind;

/// Of what may wait for the engine, and of what may have come and not be taken, this part may be there before nothing is said of the
/// feed, and nothing asked for.
const IDLE_SHARE: usize = 8;

impl<A: Adapter> ClusterNode<A> {
    /// Says it if little waits, here and at the inbox; whether it was said. Two processes of one node have one listener, and
    /// its viewers are told by the one that has it.
    pub(super) fn say_if_idle(&self, subject: &Subject, word: FeedWord) -> bool {
        if self.standing.is_of_two() || self.is_in_trouble() || !self.is_idle() {
            return false;
        }
        let bytes = Envelope { from: self.me, content: Content::OfFeed(word) }.encode();
        let length = bytes.len();
        let is_said = self.adapter.publish(subject, bytes, None).is_ok();
        if is_said {
            self.counts.said(WordKind::Feed, length);
        }
        is_said
    }

    fn is_idle(&self) -> bool {
        let (_, waiting) = self.adapter.outbox().waiting;
        let heard = self.inbox.waiting_bytes();
        waiting < self.config.outgoing_bytes / IDLE_SHARE && heard < self.config.inbox_bytes / IDLE_SHARE
    }
}
