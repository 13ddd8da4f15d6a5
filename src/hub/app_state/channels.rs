//! What there is of an app's channels, for the HTTP API and whoever else lists them: on all nodes, as far as this one knows.

use crate::channel::Channel;
use crate::protocol::{ChannelName, ChannelType};

use super::AppState;

/// The state of one channel, as the HTTP API tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelSummary {
    pub name: ChannelName,
    /// Subscribed connections, on all nodes.
    pub subscription_count: usize,
    /// Distinct members, on all nodes; 0 on channels without presence.
    pub user_count: usize,
}

impl ChannelSummary {
    /// Of a channel, whether somebody is subscribed or not.
    pub(in crate::hub) fn of(name: &ChannelName, channel: &Channel) -> Self {
        let user_count = channel.presence().map_or(0, |p| p.user_count());
        ChannelSummary { name: name.clone(), subscription_count: channel.subscription_count(), user_count }
    }
}

impl AppState {
    /// How many channels there are, at most; those count that end at this moment, and those that are never listed.
    pub fn channel_count(&self) -> usize {
        self.channels.len()
    }

    /// The occupied channels whose names begin with `prefix`, in no particular order.
    pub fn channels(&self, prefix: &str) -> Vec<ChannelSummary> {
        let listed = self.channels.iter().filter(|entry| is_listed(entry.key(), prefix));
        listed.filter_map(|entry| summary(entry.key(), entry.value())).collect()
    }

    /// The names of the occupied channels that begin with `prefix`, in no particular order. Who subscribes or leaves
    /// meanwhile waits for a part of them at most, which takes about a millisecond.
    pub fn channel_names(&self, prefix: &str) -> Vec<ChannelName> {
        let mut names = Vec::new();
        if prefix.is_empty() {
            names.reserve_exact(self.channels.len());
        }
        names.extend(self.channels.iter().filter(|entry| is_listed(entry.key(), prefix)).filter_map(
            |entry| {
                let occupied = !entry.value().is_vacant();
                occupied.then(|| entry.key().clone())
            },
        ));
        names
    }

    /// The first `most` by name of the occupied channels whose names begin with `prefix` and come behind `after`.
    pub fn channels_behind(&self, after: &str, prefix: &str, most: usize) -> Vec<ChannelSummary> {
        let found = self.list_channels(Some(after), most, |name| is_listed(name, prefix));
        found.items.into_iter().map(|listed| listed.summary).collect()
    }

    /// The state of a channel; `None` if nobody is subscribed.
    pub fn channel(&self, name: &ChannelName) -> Option<ChannelSummary> {
        self.channels.get(name).and_then(|entry| summary(entry.key(), entry.value()))
    }

    /// The connections that are subscribed to a channel, of any type, on all nodes.
    pub fn subscription_count(&self, name: &ChannelName) -> usize {
        self.channels.get(name).map_or(0, |entry| entry.subscription_count())
    }

    /// The distinct members of a presence channel, in the order in which they came.
    pub fn user_ids(&self, name: &ChannelName) -> Vec<String> {
        let entry = self.channels.get(name);
        let presence = entry.as_ref().and_then(|entry| entry.presence());
        presence.map(|p| p.user_ids().map(str::to_owned).collect()).unwrap_or_default()
    }
}

/// Whether a channel is one of those that are listed, with such a name.
fn is_listed(name: &ChannelName, prefix: &str) -> bool {
    name.as_str().starts_with(prefix) && name.channel_type() != ChannelType::ServerToUser
}

/// The state of a channel that somebody is subscribed to.
fn summary(name: &ChannelName, channel: &Channel) -> Option<ChannelSummary> {
    (!channel.is_vacant()).then(|| ChannelSummary::of(name, channel))
}
