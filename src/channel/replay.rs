//! What a subscriber wants of a channel's history, and what it is sent of it.

use std::time::Instant;

use crate::protocol::{Frame, Rewind, SocketId};

use super::{ChannelVersion, HistoryPosition};

/// What a subscriber wants of the channel's history when it joins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Nothing: it is not told that there is one.
    #[default]
    Nothing,
    /// What it has missed, but nobody knows since when.
    Unknown,
    /// What came behind a place up to which its client has received everything.
    Since {
        position: HistoryPosition,
        /// The client's connections: what one of them was excluded from is left out.
        own: Vec<SocketId>,
    },
    /// The last events.
    Last(Rewind),
    /// What it has missed; if some of that is lost, or nobody knows what it is, the last events instead, which are then not
    /// taken for all.
    OrLast { missed: Box<Wanted>, rewind: Rewind },
}

impl Wanted {
    /// The place that its client has received everything up to, if it is known.
    pub(crate) fn since(&self) -> Option<HistoryPosition> {
        match self {
            Wanted::Since { position, .. } => Some(*position),
            Wanted::OrLast { missed, .. } => missed.since(),
            Wanted::Nothing | Wanted::Unknown | Wanted::Last(_) => None,
        }
    }

    /// The same, or the last events where what was missed cannot be sent.
    pub(crate) fn or_last(self, rewind: Option<Rewind>) -> Wanted {
        match (self, rewind) {
            (wanted, None) => wanted,
            (Wanted::Nothing, Some(rewind)) => Wanted::Last(rewind),
            (missed, Some(rewind)) => Wanted::OrLast { missed: Box::new(missed), rewind },
        }
    }
}

/// What a subscriber is sent of the history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Replay {
    /// Whether that is all it wanted. If it is not, there is nothing of what a client has missed; and of the last events
    /// those that are left.
    pub complete: bool,
    /// In the order in which they were published.
    pub events: Vec<ReplayedEvent>,
    /// There is more than may be sent at once, and nothing is.
    pub is_too_large: bool,
}

/// One of these events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReplayedEvent {
    pub version: ChannelVersion,
    /// Who has received everything until then, and this, has received everything up to here.
    pub place: HistoryPosition,
    /// As it was made.
    pub frame: Frame,
}

/// What the joiner is, and the time at which it joins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReplayTerms {
    /// The node's run.
    pub epoch: u64,
    /// The engine between several nodes, if there is one: its numbers are places that any of them knows.
    pub engine: Option<u64>,
    /// The version of the channel that it joined.
    pub version: ChannelVersion,
    /// Its connection.
    pub socket: SocketId,
    pub now: Instant,
    /// Bytes that it may be sent at once.
    pub room: usize,
}
