//! The settings of a node of a cluster: its name, its time-outs and its bounds. Which engine it joins is set beside them.

use std::sync::Arc;
use std::time::Duration;

/// The settings of a node of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterConfig {
    /// What the log, the metrics and `heliostat nodes` call this node. No two nodes should have one name.
    pub node_name: Arc<str>,
    /// Where this node is reached by those who run the broker, told to the other nodes.
    pub address: Option<Arc<str>>,
    /// What the subjects of this cluster begin with at the engine. Clusters of different prefixes never hear each other.
    pub prefix: Arc<str>,
    /// What a node does whose bus is away.
    pub bus_lost: BusLost,
    /// How long a subscription at the engine is kept after the last connection has left the channel.
    pub linger: Duration,
    /// How long a join waits for the engine to confirm that the channel's events come.
    pub join_wait: Duration,
    /// How long an event on a presence channel waits for the changes of members that precede it.
    pub state_wait: Duration,
    /// How long a starting node listens before it takes joins.
    pub settle_listen: Duration,
    /// How long it waits at most for the snapshots of those that it has heard.
    pub settle_most: Duration,
    /// What others have said and this node has not yet taken. Further words are dropped.
    pub inbox_words: usize,
    /// The bytes of these words, likewise.
    pub inbox_bytes: usize,
    /// How long a message between nodes may be, and what the engine keeps for them. Longer ones are not said, and not read.
    pub message_bytes: usize,
    /// What this node has said and the engine has not yet taken, in bytes. Further events are dropped.
    pub outgoing_bytes: usize,
    /// Channels whose events are numbered, and channels of which it is known which events have been heard.
    pub numbered_channels: usize,
    /// Events that wait for changes of members.
    pub waiting_events: usize,
    /// Bytes that they hold.
    pub waiting_bytes: usize,
}

/// What a node does whose bus is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BusLost {
    /// It serves its own clients, and says on the main listener that it is degraded.
    #[default]
    Degrade,
    /// It says on every listener that it should be sent no new clients.
    Drain,
}

impl BusLost {
    /// What the configuration calls it.
    pub const fn name(self) -> &'static str {
        match self {
            BusLost::Degrade => "degrade",
            BusLost::Drain => "drain",
        }
    }
}

impl Default for ClusterConfig {
    fn default() -> Self {
        ClusterConfig {
            node_name: "heliostat".into(),
            address: None,
            prefix: "heliostat".into(),
            bus_lost: BusLost::default(),
            linger: Duration::from_secs(5),
            join_wait: Duration::from_secs(1),
            state_wait: Duration::from_secs(1),
            settle_listen: Duration::from_secs(2),
            settle_most: Duration::from_secs(10),
            inbox_words: 65_536,
            inbox_bytes: 64 * 1024 * 1024,
            message_bytes: 32 * 1024 * 1024,
            outgoing_bytes: 64 * 1024 * 1024,
            numbered_channels: 100_000,
            waiting_events: 10_000,
            waiting_bytes: 16 * 1024 * 1024,
        }
    }
}
