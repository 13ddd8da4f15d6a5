//! What a cache channel remembers: its last published event, for a while.

use std::time::Instant;

use crate::protocol::Frame;

use super::ChannelVersion;

/// The last event of a cache channel.
#[derive(Clone, Debug)]
pub(crate) struct CachedEvent {
    /// The event as its subscribers were sent it.
    pub frame: Frame,
    /// When it is forgotten. Reading it changes nothing about that.
    pub expires: Instant,
    /// Its place in the channel's history: a subscriber that joined later is given it, and must not hear it twice.
    pub version: ChannelVersion,
    /// What the engine that remembers it for all nodes has numbered it, where there is one.
    pub number: Option<u64>,
}

impl CachedEvent {
    /// Whether it is still to be remembered.
    pub(crate) fn is_alive(&self, now: Instant) -> bool {
        now < self.expires
    }
}
