//! What an app holds, in numbers, for the metrics: read off its structures by whoever asks, on his own thread.

use crate::protocol::ChannelType;

use super::{AppState, Hub};

/// What one app holds at one moment, or several together.
#[derive(Clone, Debug, Default)]
pub(crate) struct AppFigures {
    /// Connections that have a place.
    pub(crate) connections: usize,
    /// Subscriptions to all channels.
    pub(crate) subscriptions: usize,
    /// Distinct members of presence channels, channel by channel.
    pub(crate) members: usize,
    /// Channels that somebody is subscribed to, in the order of [`ChannelType::ALL`].
    channels: [usize; ChannelType::ALL.len()],
}

impl AppFigures {
    /// How many channels of each type somebody is subscribed to.
    pub(crate) fn channels(&self) -> impl Iterator<Item = (ChannelType, usize)> {
        ChannelType::ALL.into_iter().zip(self.channels)
    }

    /// Adds those of another app.
    pub(crate) fn add(&mut self, other: &AppFigures) {
        let AppFigures { connections, subscriptions, members, channels } = other;
        self.connections += connections;
        self.subscriptions += subscriptions;
        self.members += members;
        self.channels.iter_mut().zip(channels).for_each(|(sum, count)| *sum += count);
    }
}

impl Hub {
    /// What an app holds. Its map of channels is walked part by part, each under its own lock for reading, which takes as
    /// long as a list of channels does: not to be called on a worker's thread.
    pub(crate) fn figures_of(&self, app: &AppState) -> AppFigures {
        let mut figures =
            AppFigures { connections: self.sockets.count_of(app.index()), ..AppFigures::default() };
        for entry in app.channels.iter().filter(|entry| !entry.is_vacant()) {
            figures.subscriptions += entry.subscribers().count();
            figures.members += entry.presence().map_or(0, |presence| presence.user_count());
            figures.channels[entry.key().channel_type() as usize] += 1;
        }
        figures
    }
}
