//! The events of one channel on their way to one client that has a name.

use std::cell::Cell;

use crate::channel::ChannelVersion;
use crate::protocol::ChannelName;

use super::JoinedAs;

/// One subscription of a client that has a name, to a channel that has a history: up to where it was sent the events.
#[derive(Debug)]
pub(crate) struct Track {
    pub(crate) channel: ChannelName,
    pub(crate) joined: JoinedAs,
    /// The newest event that it was sent, or did not have to be; or its own beginning.
    newest: Cell<ChannelVersion>,
    /// There is something newer than the last ping.
    is_open: Cell<bool>,
    /// The subscription is over: nobody asks any more up to where it was sent the events.
    has_ended: Cell<bool>,
}

impl Track {
    /// One that begins with this version of the channel.
    pub(crate) fn new(channel: ChannelName, joined: JoinedAs, version: ChannelVersion) -> Self {
        Track {
            channel,
            joined,
            newest: Cell::new(version),
            is_open: Cell::new(false),
            has_ended: Cell::new(false),
        }
    }

    /// The newest that was sent.
    pub(super) fn newest(&self) -> ChannelVersion {
        self.newest.get()
    }

    /// It was sent, or did not have to be, what the channel has at this version. Returns whether that is the first such
    /// since the last ping.
    pub(super) fn open(&self, version: ChannelVersion) -> bool {
        self.newest.set(self.newest.get().max(version));
        !self.is_open.replace(true)
    }

    /// A ping goes behind all that was sent.
    pub(super) fn close(&self) {
        self.is_open.set(false);
    }

    /// The subscription is over.
    pub(crate) fn end(&self) {
        self.has_ended.set(true);
    }

    /// Whether it is.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended.get()
    }
}
