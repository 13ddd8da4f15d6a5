//! A worker's own subscribers of each channel: dense lists, so that a broadcast is a walk.

use std::collections::HashMap;
use std::rc::Rc;

use indexmap::IndexMap;

use crate::protocol::{ChannelName, SocketId};

use super::app_index::AppIndex;
use super::client::Client;

/// The local subscribers of all apps, by their places. Places are made when somebody first subscribes.
#[derive(Default)]
pub(super) struct LocalApps {
    apps: Vec<Option<(AppIndex, LocalChannels)>>,
}

impl LocalApps {
    /// How many subscriptions there are.
    pub(super) fn subscriptions(&self) -> usize {
        let channels = self.apps.iter().flatten().flat_map(|(_, app)| app.channels.values());
        channels.map(IndexMap::len).sum()
    }

    /// The channels of an app that has had a subscriber here.
    pub(super) fn of(&self, app: AppIndex) -> Option<&LocalChannels> {
        let (owner, channels) = self.apps.get(app.place())?.as_ref()?;
        (*owner == app).then_some(channels)
    }

    /// The same, to be changed.
    pub(super) fn of_mut(&mut self, app: AppIndex) -> Option<&mut LocalChannels> {
        let (owner, channels) = self.apps.get_mut(app.place())?.as_mut()?;
        (*owner == app).then_some(channels)
    }

    /// The channels of an app. Where another app had the place, that one is gone: each of its subscribers would have
    /// kept it.
    pub(super) fn of_or_new(&mut self, app: AppIndex) -> &mut LocalChannels {
        if self.apps.len() <= app.place() {
            self.apps.resize_with(app.place() + 1, || None);
        }
        let place = &mut self.apps[app.place()];
        if place.as_ref().is_some_and(|(owner, _)| *owner != app) {
            *place = None;
        }
        &mut place.get_or_insert_with(|| (app, LocalChannels::default())).1
    }
}

/// The local subscribers of all channels of one app.
#[derive(Default)]
pub(super) struct LocalChannels {
    channels: HashMap<ChannelName, IndexMap<SocketId, Subscriber>>,
}

/// One local subscription.
pub(super) struct Subscriber {
    pub(super) client: Rc<Client>,
    /// The version of the channel that the subscriber joined: it has the roster and the remembered event of that
    /// version, and is told of later ones.
    pub(super) since: u64,
}

impl LocalChannels {
    /// Adds a subscription.
    pub(super) fn insert(&mut self, channel: &ChannelName, client: Rc<Client>, since: u64) {
        let socket_id = client.socket_id();
        let subscriber = Subscriber { client, since };
        match self.channels.get_mut(channel) {
            Some(subscribers) => subscribers.insert(socket_id, subscriber),
            None => {
                let subscribers = self.channels.entry(channel.clone()).or_default();
                subscribers.insert(socket_id, subscriber)
            }
        };
    }

    /// Removes a subscription, and gives memory back that the channel will not need again soon.
    pub(super) fn remove(&mut self, channel: &ChannelName, socket: SocketId) {
        let Some(subscribers) = self.channels.get_mut(channel) else { return };
        subscribers.swap_remove(&socket);
        if subscribers.is_empty() {
            self.channels.remove(channel);
        } else if subscribers.capacity() > 64 && subscribers.len() * 4 < subscribers.capacity() {
            subscribers.shrink_to(subscribers.len() * 2);
        }
    }

    /// The local subscribers of a channel.
    pub(super) fn subscribers(&self, channel: &ChannelName) -> impl Iterator<Item = &Subscriber> {
        self.channels.get(channel).into_iter().flat_map(IndexMap::values)
    }
}
