//! What an app holds, in numbers, for the metrics: read off its structures by whoever asks, on his own thread.

use crate::protocol::ChannelType;

/// What one app holds at one moment, or several together.
#[derive(Clone, Debug, Default)]
pub(crate) struct AppFigures {
    /// Connections that have a place.
    pub(crate) connections: usize,
    /// Subscriptions of this node's connections to all channels.
    pub(crate) subscriptions: usize,
    /// Distinct members of presence channels on all nodes, channel by channel.
    pub(crate) members: usize,
    /// Channels that somebody is subscribed to, on any node, in the order of [`ChannelType::ALL`].
    pub(in crate::hub) channels: [usize; ChannelType::ALL.len()],
    /// Events that cache channels remember.
    pub(crate) cached_events: usize,
    /// Bytes of these.
    pub(crate) cached_bytes: usize,
    /// Events that channels keep, and the bytes that these and the channels without subscribers count as.
    pub(crate) history_events: usize,
    pub(crate) history_bytes: usize,
    /// Channels that keep some, or that are known for the sake of their histories.
    pub(crate) history_channels: usize,
    /// Cache channels that somebody was told he has missed the event of.
    pub(crate) missed_channels: usize,
    /// Users who are signed in on this node.
    pub(crate) users: usize,
    /// Users whom somebody watches.
    pub(crate) watched_users: usize,
}

impl AppFigures {
    /// How many channels of each type somebody is subscribed to.
    pub(crate) fn channels(&self) -> impl Iterator<Item = (ChannelType, usize)> {
        ChannelType::ALL.into_iter().zip(self.channels)
    }

    /// Adds those of another app.
    pub(crate) fn add(&mut self, other: &AppFigures) {
        self.connections += other.connections;
        self.subscriptions += other.subscriptions;
        self.members += other.members;
        self.channels.iter_mut().zip(other.channels).for_each(|(sum, count)| *sum += count);
        self.cached_events += other.cached_events;
        self.cached_bytes += other.cached_bytes;
        self.history_events += other.history_events;
        self.history_bytes += other.history_bytes;
        self.history_channels += other.history_channels;
        self.missed_channels += other.missed_channels;
        self.users += other.users;
        self.watched_users += other.watched_users;
    }
}
