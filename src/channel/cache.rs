//! What a cache channel remembers: its last published event, for a while.

use std::time::Instant;

use crate::protocol::Frame;

use super::ChannelVersion;

/// What a channel has of its last event.
#[derive(Clone, Debug)]
pub(super) enum LastEvent {
    Remembered(CachedEvent),
    /// It gave way to those of other channels. The engine may have it, by this number.
    GaveWay(EngineNumber),
}

impl LastEvent {
    pub(super) fn number(&self) -> Option<EngineNumber> {
        match self {
            LastEvent::Remembered(event) => event.number,
            LastEvent::GaveWay(number) => Some(*number),
        }
    }

    pub(super) fn number_mut(&mut self) -> Option<&mut EngineNumber> {
        match self {
            LastEvent::Remembered(event) => event.number.as_mut(),
            LastEvent::GaveWay(number) => Some(number),
        }
    }

    /// The event, if it is remembered.
    pub(super) fn event(&self) -> Option<&CachedEvent> {
        match self {
            LastEvent::Remembered(event) => Some(event),
            LastEvent::GaveWay(_) => None,
        }
    }
}

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
    pub number: Option<EngineNumber>,
}

/// The number that an engine has given to an event, or to one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EngineNumber {
    pub number: u64,
    /// The engine has become another one since. That may have the same events, or some of them, or may number from 1.
    pub is_former: bool,
}

impl EngineNumber {
    /// Of the engine as it is.
    pub(crate) fn new(number: u64) -> Self {
        EngineNumber { number, is_former: false }
    }

    /// Whether an event of this number is this one, or one before it. What the engine remembers may be older than what was
    /// heard of the engine before; what it says live is not.
    pub(crate) fn covers(self, number: u64, is_recalled: bool) -> bool {
        let EngineNumber { number: last, is_former } = self;
        if is_former && !is_recalled { number == last } else { number <= last }
    }
}

impl CachedEvent {
    /// Whether it is still to be remembered.
    pub(crate) fn is_alive(&self, now: Instant) -> bool {
        now < self.expires
    }
}
