//! The events of one channel on their way to one client that has a name.

use std::cell::Cell;

use crate::channel::ChannelVersion;
use crate::protocol::ChannelName;

use super::JoinedAs;

/// What there is of a channel's events that is newer than the last ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unpinged {
    /// Nothing.
    Nothing,
    /// What the client did not have to be sent: no ping is made for that.
    Passed,
    /// What it was sent: a ping is to follow.
    Sent,
}

/// One subscription of a client that has a name, to a channel that has a history: up to where it was sent the events.
#[derive(Debug)]
pub(crate) struct Track {
    pub(crate) channel: ChannelName,
    pub(crate) joined: JoinedAs,
    /// The newest event that it was sent, or did not have to be; or its own beginning.
    newest: Cell<ChannelVersion>,
    unpinged: Cell<Unpinged>,
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
            unpinged: Cell::new(Unpinged::Nothing),
            has_ended: Cell::new(false),
        }
    }

    /// The newest that was sent.
    pub(super) fn newest(&self) -> ChannelVersion {
        self.newest.get()
    }

    /// It is sent, or does not have to be, what the channel has at this version. Where a ping is to follow what it was sent
    /// before, there is nothing else to note, and most events come so; where that is not so, nothing is noted: `false`.
    #[inline]
    pub(crate) fn goes_on(&self, version: ChannelVersion) -> bool {
        let is_awaited = self.unpinged.get() == Unpinged::Sent;
        if is_awaited {
            self.reach(version);
        }
        is_awaited
    }

    /// It did not have to be sent what the channel has at this version. Returns whether that is the first since the last ping.
    pub(super) fn pass(&self, version: ChannelVersion) -> bool {
        self.reach(version);
        let is_first = self.unpinged.get() == Unpinged::Nothing;
        if is_first {
            self.unpinged.set(Unpinged::Passed);
        }
        is_first
    }

    /// A ping is to follow what it was sent.
    pub(super) fn await_ping(&self) {
        self.unpinged.set(Unpinged::Sent);
    }

    /// A ping goes behind all that was sent.
    pub(super) fn close(&self) {
        self.unpinged.set(Unpinged::Nothing);
    }

    fn reach(&self, version: ChannelVersion) {
        self.newest.set(self.newest.get().max(version));
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
