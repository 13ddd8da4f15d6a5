//! What a node knows of its cluster at one moment, for the metrics, `/ready` and `heliostat nodes`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::channel::NodeId;

use super::adapter::Link;
use super::chain::HoleReason;

/// What a node knows of its cluster at one moment. It is cheap to ask for.
#[derive(Clone, Debug)]
pub(crate) struct ClusterStatus {
    pub(crate) me: NodeId,
    pub(crate) name: Arc<str>,
    /// The node has listened for long enough, and has been told what the others have: it takes joins.
    pub(crate) is_settled: bool,
    /// What the engine's adapter says by its probes.
    pub(crate) link: Link,
    /// Since when the bus counts as away, and why: the link is, or the engine is another one and not everybody has been
    /// heard there.
    pub(crate) away: Option<BusTrouble>,
    /// Other nodes that count as alive, by name.
    pub(crate) peers: Vec<PeerStatus>,
    /// What this node says of its own connections.
    pub(crate) own: ReplicaSize,
    pub(crate) figures: ClusterFigures,
}

/// The bus counts as away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BusTrouble {
    pub(crate) since: Instant,
    pub(crate) reason: Arc<str>,
}

/// Another node, as this one knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PeerStatus {
    pub(crate) id: NodeId,
    pub(crate) name: Arc<str>,
    /// Where it says that those who run it reach it.
    pub(crate) address: Option<Arc<str>>,
    /// The release that it says it is.
    pub(crate) release: Arc<str>,
    /// How long ago it was heard.
    pub(crate) silent_for: Duration,
    /// What it has said of itself so far is known here without a gap.
    pub(crate) is_complete: bool,
    pub(crate) size: ReplicaSize,
    /// It has the name of this node, or of another peer.
    pub(crate) is_namesake: bool,
    /// The settings that it has otherwise than this node, of those that all should have alike.
    pub(crate) differing: Vec<&'static str>,
}

/// How much of a node's state there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReplicaSize {
    pub(crate) apps: usize,
    pub(crate) channels: usize,
    /// Connections of members.
    pub(crate) members: usize,
    /// Users who are signed in.
    pub(crate) users: usize,
    /// Apps of which its backends on the pipe want to hear something.
    pub(crate) demands: usize,
    /// Bytes that all of it occupies, roughly.
    pub(crate) bytes: usize,
}

/// What was counted since the start, and how much waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClusterFigures {
    /// Messages and bytes that this node has said and heard, of each [`WordKind`] in its order. Its own words that came back
    /// are not among those that were heard.
    pub(crate) said: [Traffic; WordKind::COUNT],
    pub(crate) heard: [Traffic; WordKind::COUNT],
    /// What was lost, of each [`Loss`] in its order.
    pub(crate) lost: [u64; Loss::COUNT],
    /// Numbers of state that were missing, each time that some were.
    pub(crate) state_gaps: u64,
    /// Events of other nodes that were missing by their numbers.
    pub(crate) missed_events: u64,
    pub(crate) repeated_events: u64,
    pub(crate) snapshots_asked: u64,
    pub(crate) snapshots_given: u64,
    pub(crate) snapshots_taken: u64,
    /// Nodes that were declared dead, and such that said goodbye.
    pub(crate) peers_died: u64,
    pub(crate) peers_left: u64,
    /// Joins that have waited for the engine; that waited for too long; that did not wait because the bus was away.
    pub(crate) joins_waited: u64,
    pub(crate) joins_timed_out: u64,
    pub(crate) joins_unconfirmed: u64,
    /// How often what the cluster has of its apps was not taken; and apps that this release cannot read.
    pub(crate) documents_refused: u64,
    pub(crate) unreadable_apps: usize,
    /// Pages of streams that were asked for; and how often events of a history may have been missing, of each [`HoleReason`] in
    /// its order.
    pub(crate) pages_fetched: u64,
    pub(crate) holes: [u64; HoleReason::COUNT],
    pub(crate) waiting_joins: usize,
    /// Channels that this node is subscribed to at the engine.
    pub(crate) claimed_channels: usize,
    /// Words that have come and are not yet taken.
    pub(crate) inbox_words: usize,
    pub(crate) inbox_bytes: usize,
    /// Words that the engine has not yet taken.
    pub(crate) outgoing_words: usize,
    pub(crate) outgoing_bytes: usize,
    /// Events that wait for changes of members.
    pub(crate) waiting_events: usize,
    /// Changes of other nodes that the hub has not been told of.
    pub(crate) untold_changes: usize,
    /// Changes of this node that are not yet said.
    pub(crate) unsaid_facts: usize,
    /// Channels whose streams are followed; events of them that wait for those before them.
    pub(crate) followed_channels: usize,
    pub(crate) chained_events: usize,
    /// Events that are owed to the engine, and their bytes.
    pub(crate) owed_events: usize,
    pub(crate) owed_bytes: usize,
}

impl ClusterFigures {
    /// Words between the two processes of an upgrade that were dropped for want of room, or that one of the two does not understand.
    pub(crate) fn dropped_words(&self) -> u64 {
        let dropped = [Loss::OutgoingFull, Loss::InboxFull, Loss::NoRoom, Loss::Unreadable, Loss::Unknown];
        dropped.iter().map(|loss| self.lost[*loss as usize]).sum()
    }
}

/// A number of messages, and of their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
}

/// What a word between nodes is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WordKind {
    Event,
    Facts,
    Heartbeat,
    /// A snapshot is asked for, or given.
    Snapshot,
    /// To the connections of one socket id, or of one user.
    Direct,
    /// For backends on the pipe.
    Notice,
    /// Something is asked for those who run the broker, or answered.
    Question,
    /// For viewers of the live feed.
    Feed,
}

impl WordKind {
    pub(crate) const COUNT: usize = 8;
    pub(crate) const ALL: [WordKind; Self::COUNT] = [
        WordKind::Event,
        WordKind::Facts,
        WordKind::Heartbeat,
        WordKind::Snapshot,
        WordKind::Direct,
        WordKind::Notice,
        WordKind::Question,
        WordKind::Feed,
    ];

    /// What the metrics call it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            WordKind::Event => "event",
            WordKind::Facts => "facts",
            WordKind::Heartbeat => "heartbeat",
            WordKind::Snapshot => "snapshot",
            WordKind::Direct => "direct",
            WordKind::Notice => "notice",
            WordKind::Question => "question",
            WordKind::Feed => "feed",
        }
    }
}

/// Why something did not cross, or was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Of this node, while the bus was away.
    Away,
    /// Of this node: what waited for the engine had reached its bound.
    OutgoingFull,
    /// The engine has refused it.
    Refused,
    /// Of others: the inbox was full.
    InboxFull,
    /// An event waited for changes of members that did not come in time, or too many waited. It was delivered.
    StateLate,
    /// An event of this node did not come back from the engine in time. It was delivered.
    ReturnLate,
    /// It could not be read.
    Unreadable,
    /// It is of a kind or a version that this release does not know.
    Unknown,
    /// It is of a node that is dead or has left, or is not known yet.
    Departed,
    /// A node says that it has more than a node may have, or more has come than can wait for its snapshot.
    NoRoom,
    /// Somebody else has said it in the name of this node.
    Forged,
}

impl Loss {
    pub(crate) const COUNT: usize = 11;
    pub(crate) const ALL: [Loss; Self::COUNT] = [
        Loss::Away,
        Loss::OutgoingFull,
        Loss::Refused,
        Loss::InboxFull,
        Loss::StateLate,
        Loss::ReturnLate,
        Loss::Unreadable,
        Loss::Unknown,
        Loss::Departed,
        Loss::NoRoom,
        Loss::Forged,
    ];

    /// What the metrics call it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Loss::Away => "away",
            Loss::OutgoingFull => "outgoing_full",
            Loss::Refused => "refused",
            Loss::InboxFull => "inbox_full",
            Loss::StateLate => "state_late",
            Loss::ReturnLate => "return_late",
            Loss::Unreadable => "unreadable",
            Loss::Unknown => "unknown",
            Loss::Departed => "departed",
            Loss::NoRoom => "no_room",
            Loss::Forged => "forged",
        }
    }
}
