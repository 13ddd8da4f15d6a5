//! A worker's own subscribers of each channel: dense lists, so that a broadcast is a walk.
//!
//! A long walk is done in steps, between which subscribers come and go. The list says how far it is: who is on the list
//! when it begins and stays on it is met once, and who comes later is not met.

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use indexmap::IndexMap;
use indexmap::map::{Slice, Values};

use crate::protocol::{ChannelName, SocketId, SocketIdHash};

use super::app_index::AppIndex;
use super::client::Client;
use super::counters::AppCells;
use crate::channel::ChannelVersion;
use crate::recovery::Track;

/// The local subscribers of all apps, by their places. Places are made when somebody first subscribes.
#[derive(Default)]
pub(super) struct LocalApps {
    apps: Vec<Option<(AppIndex, LocalChannels)>>,
}

impl LocalApps {
    /// How many subscriptions there are.
    pub(super) fn subscriptions(&self) -> usize {
        let channels = self.apps.iter().flatten().flat_map(|(_, app)| app.channels.values());
        channels.map(|channel| channel.subscribers.len()).sum()
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
    pub(super) fn of_or_new(&mut self, app: AppIndex, cells: &Arc<AppCells>) -> &mut LocalChannels {
        if self.apps.len() <= app.place() {
            self.apps.resize_with(app.place() + 1, || None);
        }
        let place = &mut self.apps[app.place()];
        if place.as_ref().is_some_and(|(owner, _)| *owner != app) {
            *place = None;
        }
        &mut place.get_or_insert_with(|| (app, LocalChannels::new(cells))).1
    }
}

/// The local subscribers of all channels of one app.
pub(super) struct LocalChannels {
    channels: HashMap<ChannelName, LocalChannel>,
    /// What this worker counts in the app.
    cells: Arc<AppCells>,
}

/// The local subscribers of one channel.
#[derive(Default)]
struct LocalChannel {
    subscribers: IndexMap<SocketId, Subscriber, SocketIdHash>,
    /// Of the walk that is under way, those who have not been met.
    unmet: Range<u32>,
    /// Subscribers that have a track.
    followed: u32,
}

/// One local subscription.
pub(super) struct Subscriber {
    pub(super) client: Rc<Client>,
    /// The version of the channel that the subscriber joined: it has the roster and the remembered event of that
    /// version, and is told of later ones.
    pub(super) since: ChannelVersion,
    /// What follows the channel's events on their way, where they are kept and the client can be found again.
    pub(super) track: Option<Rc<Track>>,
}

impl LocalChannels {
    /// None yet, of an app in which this worker counts with these cells.
    fn new(cells: &Arc<AppCells>) -> Self {
        LocalChannels { channels: HashMap::new(), cells: Arc::clone(cells) }
    }

    /// Counts messages that subscribers were sent.
    pub(super) fn count_sent(&self, messages: u64) {
        self.cells.messages_sent.add(messages);
    }

    /// Adds a subscription.
    pub(super) fn insert(
        &mut self,
        channel: &ChannelName,
        client: Rc<Client>,
        (since, track): (ChannelVersion, Option<Rc<Track>>),
    ) {
        let socket_id = client.socket_id();
        let followed = u32::from(track.is_some());
        let subscriber = Subscriber { client, since, track };
        let local = match self.channels.get_mut(channel) {
            Some(local) => local,
            None => self.channels.entry(channel.clone()).or_default(),
        };
        local.followed += followed;
        local.subscribers.insert(socket_id, subscriber);
    }

    /// Whether some subscriber of the channel has a track.
    pub(super) fn is_followed(&self, channel: &ChannelName) -> bool {
        self.channels.get(channel).is_some_and(|local| local.followed > 0)
    }

    /// Removes a subscription, and gives memory back that the channel will not need again soon.
    pub(super) fn remove(&mut self, channel: &ChannelName, socket: SocketId) {
        let Some(local) = self.channels.get_mut(channel) else { return };
        local.remove(socket);
        let subscribers = &mut local.subscribers;
        if subscribers.is_empty() {
            self.channels.remove(channel);
        } else if subscribers.capacity() > 64 && subscribers.len() * 4 < subscribers.capacity() {
            subscribers.shrink_to(subscribers.len() * 2);
        }
    }

    /// The local subscribers of a channel.
    pub(super) fn subscribers(&self, channel: &ChannelName) -> Option<Values<'_, SocketId, Subscriber>> {
        self.channels.get(channel).map(|local| local.subscribers.values())
    }

    /// Begins a walk through a channel's subscribers. One that was under way is given up.
    pub(super) fn begin_walk(&mut self, channel: &ChannelName) {
        if let Some(local) = self.channels.get_mut(channel) {
            local.unmet = 0..u32::try_from(local.subscribers.len()).unwrap_or(u32::MAX);
        }
    }

    /// The next of the walk, at most so many, and whether there are more. There is nobody if the walk is over, or if the
    /// list has been empty meanwhile.
    pub(super) fn step(
        &mut self,
        channel: &ChannelName,
        most: usize,
    ) -> (&Slice<SocketId, Subscriber>, bool) {
        let Some(local) = self.channels.get_mut(channel) else { return (Slice::new(), false) };
        let Range { start, end } = local.unmet;
        let until = end.min(start.saturating_add(u32::try_from(most).unwrap_or(u32::MAX)));
        local.unmet.start = until;
        let step = local.subscribers.get_range(start as usize..until as usize).unwrap_or(Slice::new());
        (step, until < end)
    }
}

impl LocalChannel {
    /// Removes a subscriber without disturbing the walk: the met stay in front of the unmet, and these in front of those
    /// who came later.
    fn remove(&mut self, socket: SocketId) {
        let Some(mut at) = self.subscribers.get_index_of(&socket) else { return };
        if !self.unmet.is_empty() {
            // The gap moves to the end of each part in turn.
            if at < self.unmet.start as usize {
                self.unmet.start -= 1;
                let last = self.unmet.start as usize;
                self.subscribers.swap_indices(at, last);
                at = last;
            }
            if at < self.unmet.end as usize {
                self.unmet.end -= 1;
                let last = self.unmet.end as usize;
                self.subscribers.swap_indices(at, last);
                at = last;
            }
        }
        let removed = self.subscribers.swap_remove_index(at);
        if let Some((_, Subscriber { track: Some(track), .. })) = removed {
            track.end();
            self.followed -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::app::App;
    use crate::hub::app_histories::AppHistories;
    use crate::hub::app_index::Places;
    use crate::hub::client::Written;
    use crate::hub::counters::{AppCounters, NodeCounters};
    use crate::hub::outbox::{Bounds, Outbox};
    use crate::hub::recent_publishes::PublishesOfApp;
    use crate::hub::{AppState, Transport};
    use crate::protocol::ProtocolVersion;

    struct Nowhere;

    impl Transport for Nowhere {
        fn write(&self, _: &mut Outbox, _: &mut std::task::Context<'_>) -> std::io::Result<Written> {
            Ok(Written::Everything)
        }
    }

    /// Steps of three through twelve subscribers; between them one leaves and another comes, three times.
    fn met(leave: [u32; 3]) -> Vec<u32> {
        let (place, counters) = (Arc::new(Places::default()).take(), AppCounters::new(NodeCounters::new(1)));
        let histories = AppHistories::new(Arc::default(), ChannelVersion::default(), false);
        let publishes = PublishesOfApp::new(Arc::default(), place.index());
        let app = Arc::new(App::new("1", "k", "s"));
        let app = Arc::new(AppState::new(place, app, counters, histories, publishes, None));
        let bounds = Bounds { bytes: 1, frames: 1 };
        let socket = |n| SocketId::new(n, 1);
        let channel = ChannelName::parse("c", 164).unwrap();
        let mut channels = LocalChannels::new(app.cells_of(0));
        let come = |channels: &mut LocalChannels, n| {
            let version = ProtocolVersion::NEWEST;
            let client = Client::new(Arc::clone(&app), socket(n), version, bounds, Nowhere);
            channels.insert(&channel, Rc::new(client), (ChannelVersion::default(), None));
        };
        (0..12).for_each(|n| come(&mut channels, n));
        channels.begin_walk(&channel);
        let mut met = Vec::new();
        let mut leave = leave.into_iter();
        loop {
            let (step, more) = channels.step(&channel, 3);
            let names = (0..40).map(|n| (socket(n), n)).collect::<HashMap<_, _>>();
            met.extend(step.keys().map(|id| names[id]));
            if !more {
                return met;
            }
            if let Some(n) = leave.next() {
                channels.remove(&channel, socket(n));
                come(&mut channels, 30 + n);
            }
        }
    }

    #[test]
    fn who_is_there_from_the_beginning_to_the_end_of_a_walk_is_met_once() {
        for a in 0..12 {
            for b in (0..12).filter(|b| *b != a) {
                for c in (0..12).filter(|c| *c != a && *c != b) {
                    let met = met([a, b, c]);
                    let once: BTreeSet<u32> = met.iter().copied().collect();
                    assert_eq!(met.len(), once.len(), "{a} {b} {c}: twice");
                    assert!(
                        (0..12).all(|n| once.contains(&n) || [a, b, c].contains(&n)),
                        "{a} {b} {c}: never"
                    );
                    assert!(once.iter().all(|n| *n < 12), "{a} {b} {c}: who came later");
                }
            }
        }
    }
}
