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
    /// The fences that it has heard in the hall through every node, each with the number of moves that it had heard by then.
    pub(crate) fences: Vec<(usize, usize)>,
}

/// A subscription of a session.
#[derive(Debug)]
pub(crate) struct Stay {
    pub(crate) room: String,
    pub(crate) joined: Instant,
    pub(crate) heard: Vec<Event>,
}

/// Who publishes fences.
pub(crate) const FENCE: usize = usize::MAX;

/// An event as it was published: by whom, its number among those of the publisher in the room, through which node. A fence is
/// published through every node, to the hall and all rooms.
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

/// A while in which nothing was done to anybody.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Calm {
    pub(crate) from: Instant,
    pub(crate) to: Instant,
    /// The engine was slower than nodes wait for their own events: these may have been delivered out of their order.
    pub(crate) was_late: bool,
    /// This machine did not let programs run all the while: a node may have been away.
    pub(crate) stood_still: bool,
}

/// What a session was told of a user in the hall.
#[derive(Debug)]
pub(crate) struct Move {
    pub(crate) at: Instant,
    pub(crate) user: String,
    pub(crate) came: bool,
}

/// A publish that was answered.
#[derive(Clone, Debug)]
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
    /// This machine did not let programs run all the while: any node may have been taken for dead.
    pub(crate) stood_still: bool,
    pub(crate) began: Instant,
    pub(crate) healed: Instant,
}

impl Trouble {
    /// Whether the others may have taken this node for dead.
    pub(crate) fn may_silence(&self, node: usize) -> bool {
        self.stood_still || self.node == Some(node)
    }
}
