//! What cache channels remember where several nodes are one broker: the engine remembers it for all of them, and numbers
//! it. A node that has been subscribed to a channel all the time remembers the same.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::channel::{ChannelVersion, EngineEvent, Fact};
use crate::protocol::{Broadcast, ChannelName, Frame};

use super::app_state::payload_of;
use super::arrived::RememberedAs;
use super::publish::{Remembering, Way};
use super::receipts::ENGINE_TIME;
use super::{AppState, Hub, Notice};

/// An event that a cache channel remembers on this node, and the engine should.
#[derive(Clone, Debug)]
pub(crate) struct LackedEvent {
    pub(crate) frame: Frame,
    pub(crate) expires_in: Duration,
    /// Of several nodes' events for one channel, that of the largest stays.
    pub(crate) rank: u64,
}

/// What the engine has forgotten because its time had come is remembered here for a moment longer.
const SOON_FORGOTTEN: Duration = Duration::from_secs(1);

impl Hub {
    /// The payload that a cache channel remembers, and for how much longer: one read of the engine, where there is one. If it
    /// does not answer in time, what this node remembers is told.
    pub(crate) async fn recall(
        &self,
        app: &Arc<AppState>,
        channel: &ChannelName,
    ) -> Option<(String, Duration)> {
        let Some(bus) = self.bus() else { return app.cached(channel) };
        match timeout(ENGINE_TIME, bus.recall(app, channel)).await {
            Ok(Ok(Ok(recalled))) => {
                let (frame, expires_in) = recalled?;
                Some((payload_of(Broadcast::new(frame, false).plain())?, expires_in))
            }
            _ => app.cached(channel),
        }
    }

    /// The engine remembers an event by this number that this node's subscribers have been sent before it was known. Unless
    /// `is_last`, they have been sent another one since, which is remembered instead of it if any is.
    pub(crate) fn remember_delivered(
        &self,
        app_id: &str,
        channel: &ChannelName,
        frame: Frame,
        RememberedAs { number, is_recalled, expires_in }: RememberedAs,
        is_last: bool,
    ) {
        if let Some(app) = self.apps().by_id(app_id)
            && (is_last || app.cached(channel).is_none())
        {
            let message = Broadcast::new(frame, false);
            let remembering = Remembering { number, is_recalled, is_delivered: true, ttl: expires_in };
            let way = Way { app, channel, except: None, numbered: None };
            self.broadcast_and_remember(&way, &message, remembering);
        }
    }

    /// What this node remembers of a cache channel, if the engine lacks it: that has this, or nothing.
    pub(crate) fn lacked_by_engine(
        &self,
        app_id: &str,
        channel: &ChannelName,
        engine: Option<EngineEvent>,
    ) -> Option<LackedEvent> {
        let apps = self.apps();
        let app = apps.by_id(app_id)?;
        let now = app.clock().now();
        let entry = app.channels.get(channel)?;
        let event = entry.recall(now + SOON_FORGOTTEN).filter(|event| event.is_lacked(engine))?;
        let expires_in = event.expires.saturating_duration_since(now);
        Some(LackedEvent { frame: event.frame.clone(), expires_in, rank: event.rank() })
    }

    /// The cache channels that this node remembers events of, each with its app.
    pub(crate) fn remembering(&self) -> Vec<(Arc<str>, ChannelName)> {
        let apps = self.apps();
        let of_app = |app: &Arc<AppState>| {
            let cache = app.cache.lock();
            cache.channels().map(|channel| (Arc::clone(app.shared_id()), channel.clone())).collect::<Vec<_>>()
        };
        apps.iter().flat_map(of_app).collect()
    }

    /// The engine remembers nothing of a cache channel, whose next miss on this node may be the first of the cluster.
    pub(crate) fn recalled_nothing(&self, app_id: &str, channel: &ChannelName) {
        if let Some(app) = self.apps().by_id(app_id) {
            app.cache.lock().forget_miss(channel);
        }
    }

    /// A cache channel was found here to remember nothing, for the first time in the cluster since it did, or it is not known
    /// whether it was the first time. Those who listen are told, and the other nodes.
    pub(crate) fn announce_cache_miss(self: &Arc<Self>, app_id: &str, channel: &ChannelName) {
        if let Some(app) = self.apps().by_id(app_id) {
            self.tell_cache_miss(app, channel, self.next_version());
        }
    }

    /// Tells it to those who listen, and to the other nodes, where there are some.
    pub(super) fn tell_cache_miss(
        self: &Arc<Self>,
        app: &Arc<AppState>,
        channel: &ChannelName,
        version: ChannelVersion,
    ) {
        self.announce(app, &Notice::CacheMiss(channel, self.own_change(version)));
        if let Some(bus) = self.bus() {
            bus.tell(app, Fact::CacheMissed { channel: channel.clone(), version });
        }
    }

    /// There is no engine any more: what it has numbered, has no number.
    pub(super) fn forget_engine(&self) {
        for app in self.apps().iter() {
            app.channels.iter_mut().for_each(|mut channel| channel.forget_engine());
        }
    }

    /// Another node has missed an event of a cache channel, and it is told: the next one who misses it here is not the first.
    pub(crate) fn missed_elsewhere(&self, app_id: &str, channel: &ChannelName) {
        if let Some(app) = self.apps().by_id(app_id) {
            app.cache.lock().miss(channel, self.next_version());
        }
    }

    /// The engine is another one, which may have what the former one had, or number anew.
    pub(crate) fn engine_changed(&self) {
        for app in self.apps().iter() {
            app.channels.iter_mut().for_each(|mut channel| channel.engine_changed());
        }
    }
}
