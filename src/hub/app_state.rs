//! One app and what lives under it: its channels, and what they remember.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use crate::app::App;
use crate::channel::Channel;
use crate::protocol::{ChannelName, ChannelType, json};

use super::Listener;
use super::cache_index::{CacheIndex, Forgotten};
use super::users::Users;

/// One app and what lives under it.
pub struct AppState {
    pub(super) index: usize,
    pub(super) app: Arc<App>,
    pub(super) channels: DashMap<ChannelName, Channel>,
    /// Which of them remember an event.
    pub(super) cache: Mutex<CacheIndex>,
    pub(super) users: Users,
    pub(super) listeners: Vec<Arc<dyn Listener>>,
}

/// The state of one channel, as the HTTP API tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelSummary {
    /// The channel.
    pub name: ChannelName,
    /// Subscribed connections.
    pub subscription_count: usize,
    /// Distinct members; 0 on channels without presence.
    pub user_count: usize,
}

impl AppState {
    pub(super) fn new(index: usize, app: Arc<App>, listeners: Vec<Arc<dyn Listener>>) -> Self {
        let (channels, cache, users) = (DashMap::new(), Mutex::default(), Users::default());
        AppState { index, app, channels, cache, users, listeners }
    }

    /// The app itself.
    #[must_use]
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Whether some listener wants a client's event of this name on this channel.
    #[must_use]
    pub fn is_listened_to(&self, channel: Option<&str>, event: &str) -> bool {
        self.listeners.iter().any(|listener| listener.listens(channel, event))
    }

    /// Whether anybody listens to the app at all.
    #[must_use]
    pub fn has_listeners(&self) -> bool {
        !self.listeners.is_empty()
    }

    /// The occupied channels whose names begin with `prefix`, in no particular order.
    #[must_use]
    pub fn channels(&self, prefix: &str) -> Vec<ChannelSummary> {
        let listed = self.channels.iter().filter(|entry| {
            let name = entry.key();
            name.as_str().starts_with(prefix) && name.channel_type() != ChannelType::ServerToUser
        });
        listed.filter_map(|entry| summary(entry.key(), entry.value())).collect()
    }

    /// The state of a channel; `None` if nobody is subscribed.
    #[must_use]
    pub fn channel(&self, name: &ChannelName) -> Option<ChannelSummary> {
        self.channels.get(name).and_then(|entry| summary(entry.key(), entry.value()))
    }

    /// The payload that a cache channel remembers, and for how much longer.
    #[must_use]
    pub fn cached(&self, name: &ChannelName) -> Option<(String, Duration)> {
        let now = Instant::now();
        let entry = self.channels.get(name)?;
        let cached = entry.recall(now)?;
        let [data] = json::members(std::str::from_utf8(cached.frame.json()).ok()?, ["data"]).ok()?;
        Some((json::as_string(data?)?.into_owned(), cached.expires - now))
    }

    /// Forgets remembered events, and the channels that nothing is left of.
    pub(super) fn forget(&self, forgotten: Vec<Forgotten>) {
        for (channel, version) in forgotten {
            if let Entry::Occupied(mut entry) = self.channels.entry(channel) {
                entry.get_mut().forget(version);
                if entry.get().is_idle() {
                    entry.remove();
                }
            }
        }
    }

    /// The distinct members of a presence channel, in the order in which they came.
    #[must_use]
    pub fn user_ids(&self, name: &ChannelName) -> Vec<String> {
        let entry = self.channels.get(name);
        let presence = entry.as_ref().and_then(|entry| entry.presence());
        presence.map(|p| p.user_ids().map(str::to_owned).collect()).unwrap_or_default()
    }
}

/// The state of a channel that somebody is subscribed to.
fn summary(name: &ChannelName, channel: &Channel) -> Option<ChannelSummary> {
    let user_count = channel.presence().map_or(0, |p| p.user_count());
    let subscription_count = channel.subscribers().len();
    (subscription_count > 0).then(|| ChannelSummary { name: name.clone(), subscription_count, user_count })
}

impl fmt::Debug for AppState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppState").field("id", &self.app.id).finish_non_exhaustive()
    }
}
