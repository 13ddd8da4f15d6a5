//! What a call on a channel altered.

use super::{ChannelVersion, Member};

/// What the begin of a subscription changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Joined {
    /// Nobody was subscribed before: the channel is occupied by it.
    pub occupied: bool,
    /// Where members are announced: the version of the roster with this connection in it.
    pub announcement: Option<Announcement>,
}

/// What the end of a subscription changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    /// Nobody is subscribed any more: the channel is vacated by it.
    pub vacated: bool,
    /// On presence channels: what to tell the others.
    pub announcement: Option<Announcement>,
}

/// A change of a roster, to be announced to the subscribers whose own rosters do not hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Announcement {
    /// Who came or left.
    pub member: Member,
    /// The user's first connection came or its last one left; otherwise only subscribers that count
    /// connections (protocols 1 and 2) are told.
    pub user_changed: bool,
    /// The version of the roster that holds this change. A subscriber that joined at this version or a later
    /// one knows it already.
    pub version: ChannelVersion,
    /// The version of the change by which the connection joined, on its node.
    pub joined: ChannelVersion,
}

/// What a change of another node's subscribers changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChangedElsewhere {
    /// Nobody was subscribed before, on any node.
    pub occupied: bool,
    /// Nobody is subscribed any more, on any node.
    pub vacated: bool,
    /// There are more subscribers, or fewer.
    pub count_changed: bool,
    /// What to tell the subscribers of this node.
    pub announcement: Option<Announcement>,
}

/// Why a subscription did not take effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinRefused {
    /// The presence channel has all the members it may have.
    OverCapacity,
    /// The connection is subscribed.
    AlreadyJoined,
}
