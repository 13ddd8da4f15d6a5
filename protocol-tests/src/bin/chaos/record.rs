//! What happened, as those who took part saw it.

use std::collections::BTreeSet;
use std::time::Instant;

/// One connection of a client, from its first frame to its end.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) user: String,
    /// The number of its node.
    pub(crate) node: usize,
    /// When it was told that it had joined the hall, and from when on it may be gone.
    pub(crate) joined: Option<Instant>,
    pub(crate) ended: Instant,
    pub(crate) rooms: Vec<Stay>,
    pub(crate) roster: BTreeSet<String>,
    pub(crate) moves: Vec<Move>,
}

/// A subscription of a session.
#[derive(Debug)]
pub(crate) struct Stay {
    pub(crate) room: String,
    pub(crate) joined: Instant,
    /// When it asked to leave, if it did.
    pub(crate) left: Option<Instant>,
    pub(crate) heard: Vec<Event>,
}

/// An event as it was published: by whom, its number among those of the publisher in the room, through which node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Event {
    pub(crate) publisher: usize,
    pub(crate) number: usize,
    pub(crate) node: usize,
}

impl Event {
    pub(crate) fn text(self) -> String {
        format!("{}:{}:{}", self.publisher, self.number, self.node)
    }

    pub(crate) fn parse(text: &str) -> Option<Event> {
        let mut parts = text.split(':').map(str::parse);
        let mut next = || parts.next()?.ok();
        Some(Event { publisher: next()?, number: next()?, node: next()? })
    }
}

/// What a session was told of a user in the hall.
#[derive(Debug)]
pub(crate) struct Move {
    pub(crate) at: Instant,
    pub(crate) user: String,
    pub(crate) came: bool,
}

/// A publish that was answered.
#[derive(Debug)]
pub(crate) struct Publication {
    pub(crate) room: String,
    pub(crate) event: Event,
    pub(crate) sent: Instant,
    pub(crate) answered: Instant,
    pub(crate) status: u16,
}

/// What trouble was made, from its beginning until all was found to be well.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    pub(crate) name: String,
    /// The node that it was made for; none if it is the bus of all.
    pub(crate) node: Option<usize>,
    pub(crate) began: Instant,
    pub(crate) healed: Instant,
}
