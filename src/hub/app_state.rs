//! One app and what lives under it: its channels, and what they remember.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use crate::app::App;
use crate::channel::Channel;
use crate::connection::ConnectionConfig;
use crate::protocol::{ChannelName, ChannelType, json};

use super::app_index::{AppIndex, Place};
use super::cache_index::{CacheIndex, Forgotten};
use super::clock::HeldClock;
use super::passed_over::PassedOver;
use super::users::Users;
use super::{Clock, Current, Listeners, Meddler, lock};

/// As many shards at least has an app's map of channels. Whoever lists 500,000 channels holds the lock of each for about a
/// millisecond; and an app takes 4 KiB for them.
const LEAST_SHARDS: usize = 32;

/// One app and what lives under it.
///
/// Its settings and its listeners can be replaced at any time; everything else stays. Connections hold it, so an app
/// that has been removed is here until its last one is gone.
pub struct AppState {
    place: Place,
    id: String,
    app: ArcSwap<App>,
    /// Where the app's settings are, so that a connection can see cheaply whether it has them.
    address: AtomicPtr<App>,
    listeners: ArcSwap<Listeners>,
    /// Whether any listener wants to hear anything at present.
    listened_to: AtomicBool,
    pub(super) channels: DashMap<ChannelName, Channel>,
    /// Which of them remember an event.
    pub(super) cache: Mutex<CacheIndex>,
    pub(super) users: Users,
    /// Bytes that one message of a client may have; see [`AppState::message_bytes`].
    message_bytes: AtomicUsize,
    /// Whether anybody has listened to clients yet.
    clients_heard: AtomicBool,
    /// Held while what the listeners want is looked at: the last look counts.
    looking: Mutex<()>,
    pub(super) passed_over: PassedOver,
    clock: Clock,
    /// In test mode.
    meddler: OnceLock<Arc<dyn Meddler>>,
    /// How its connections are treated, where that is not as the node's are: in test mode.
    connection: OnceLock<Arc<ConnectionConfig>>,
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
    pub(super) fn new(place: Place, app: Arc<App>) -> Self {
        AppState {
            place,
            id: app.id.clone(),
            address: AtomicPtr::new(Arc::as_ptr(&app).cast_mut()),
            message_bytes: AtomicUsize::new(app.limits.inbound_message_bytes(false)),
            clients_heard: AtomicBool::new(false),
            looking: Mutex::default(),
            app: ArcSwap::new(app),
            listeners: ArcSwap::default(),
            listened_to: AtomicBool::new(false),
            channels: DashMap::with_shard_amount(shards()),
            cache: Mutex::default(),
            users: Users::default(),
            passed_over: PassedOver::default(),
            clock: Clock::default(),
            meddler: OnceLock::new(),
            connection: OnceLock::new(),
        }
    }

    /// Replaces the settings. The id must be the same.
    pub(super) fn set_app(&self, app: Arc<App>) {
        let address = Arc::as_ptr(&app).cast_mut();
        self.app.store(app);
        // After the settings: who sees the new address finds the new settings.
        self.address.store(address, Ordering::Release);
        self.listening_changed();
    }

    /// Replaces those who listen.
    pub(super) fn set_listeners(&self, listeners: Listeners) {
        self.listeners.store(Arc::new(listeners));
        self.listening_changed();
    }

    pub(super) fn index(&self) -> AppIndex {
        self.place.index()
    }

    /// The app's id, which never changes.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The app's settings as they are now.
    #[must_use]
    pub fn app(&self) -> Current<App> {
        Current::of(&self.app)
    }

    /// Whether these are the app's settings as they are now. They must have been taken from here: then no others can
    /// be at the same address.
    #[must_use]
    pub fn is_current(&self, app: &Arc<App>) -> bool {
        std::ptr::eq(self.address.load(Ordering::Acquire), Arc::as_ptr(app))
    }

    /// Its clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Has this thread see no advance of the clock until what it does is done, where a test could advance it.
    pub(super) fn hold_clock(&self) -> Option<HeldClock> {
        self.meddler.get().map(|_| self.clock.hold())
    }

    /// Gives the app one who meddles, for the connections that come from now on. It keeps the first that it is given.
    pub fn set_meddler(&self, meddler: Arc<dyn Meddler>) {
        let _ = self.meddler.set(meddler);
    }

    /// Has connections that come from now on treated in another way than the node's. The first that is given stays.
    pub fn set_connection_config(&self, connection: ConnectionConfig) {
        let _ = self.connection.set(Arc::new(connection));
    }

    /// How its connections are treated, if in a way of their own.
    pub(super) fn connection_config(&self) -> Option<&Arc<ConnectionConfig>> {
        self.connection.get()
    }

    /// The one who meddles, if there is one.
    #[must_use]
    pub fn meddler(&self) -> Option<&Arc<dyn Meddler>> {
        self.meddler.get()
    }

    /// Whether some listener wants a client's event of this name on this channel.
    #[must_use]
    pub fn is_listened_to(&self, channel: Option<&str>, event: &str) -> bool {
        self.has_listeners() && self.listeners().iter().any(|listener| listener.listens(channel, event))
    }

    /// Bytes that one message of a client may have, as of now.
    #[must_use]
    pub fn message_bytes(&self) -> usize {
        self.message_bytes.load(Ordering::Relaxed)
    }

    /// Some listener wants more, or less, than before. Once somebody has listened to clients, their messages may be large
    /// for good: one may be half read when nobody listens any more.
    pub fn listening_changed(&self) {
        let _last_look_counts = lock(&self.looking);
        let listeners = self.listeners();
        let any = listeners.iter().any(|listener| !listener.is_idle());
        self.listened_to.store(any, Ordering::Release);
        if listeners.iter().any(|listener| listener.listens_to_clients()) {
            self.clients_heard.store(true, Ordering::Relaxed);
        }
        let bytes = self.app().limits.inbound_message_bytes(self.clients_heard.load(Ordering::Relaxed));
        self.message_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Whether anybody listens at present.
    pub(super) fn has_listeners(&self) -> bool {
        self.listened_to.load(Ordering::Acquire)
    }

    /// Those who listen, if any of them does at present.
    pub(super) fn awake_listeners(&self) -> Option<Current<Listeners>> {
        self.has_listeners().then(|| self.listeners())
    }

    fn listeners(&self) -> Current<Listeners> {
        Current::of(&self.listeners)
    }

    /// Events of latest-only channels since the start that slow subscribers were not sent, because newer ones came
    /// before they could take them.
    #[must_use]
    pub fn passed_over(&self) -> u64 {
        self.passed_over.total()
    }

    /// How many channels there are, at most; those count that end at this moment, and those that are never listed.
    #[must_use]
    pub fn channel_count(&self) -> usize {
        self.channels.len()
    }

    /// The occupied channels whose names begin with `prefix`, in no particular order.
    #[must_use]
    pub fn channels(&self, prefix: &str) -> Vec<ChannelSummary> {
        let listed = self.channels.iter().filter(|entry| is_listed(entry.key(), prefix));
        listed.filter_map(|entry| summary(entry.key(), entry.value())).collect()
    }

    /// The names of the occupied channels that begin with `prefix`, in no particular order. Who subscribes or leaves
    /// meanwhile waits for a part of them at most, which takes about a millisecond.
    #[must_use]
    pub fn channel_names(&self, prefix: &str) -> Vec<ChannelName> {
        let mut names = Vec::new();
        if prefix.is_empty() {
            names.reserve_exact(self.channels.len());
        }
        names.extend(self.channels.iter().filter(|entry| is_listed(entry.key(), prefix)).filter_map(
            |entry| {
                let occupied = !entry.value().subscribers().is_empty();
                occupied.then(|| entry.key().clone())
            },
        ));
        names
    }

    /// The first `most` by name of the occupied channels whose names begin with `prefix` and come behind `after`.
    #[must_use]
    pub fn channels_behind(&self, after: &str, prefix: &str, most: usize) -> Vec<ChannelSummary> {
        let mut first = BTreeMap::new();
        for entry in self.channels.iter().filter(|entry| is_listed(entry.key(), prefix)) {
            let name = entry.key();
            let is_among = first.len() < most || first.last_key_value().is_some_and(|(last, _)| name < last);
            if name.as_str() > after
                && is_among
                && let Some(summary) = summary(name, entry.value())
            {
                first.insert(name.clone(), summary);
                if first.len() > most {
                    first.pop_last();
                }
            }
        }
        first.into_values().collect()
    }

    /// The state of a channel; `None` if nobody is subscribed.
    #[must_use]
    pub fn channel(&self, name: &ChannelName) -> Option<ChannelSummary> {
        self.channels.get(name).and_then(|entry| summary(entry.key(), entry.value()))
    }

    /// The connections that are subscribed to a channel, of any type.
    #[must_use]
    pub fn subscription_count(&self, name: &ChannelName) -> usize {
        self.channels.get(name).map_or(0, |entry| entry.subscribers().len())
    }

    /// The payload that a cache channel remembers, and for how much longer.
    #[must_use]
    pub fn cached(&self, name: &ChannelName) -> Option<(String, Duration)> {
        let now = self.clock.now();
        let entry = self.channels.get(name)?;
        let cached = entry.recall(now)?;
        let [data] = json::members(std::str::from_utf8(cached.frame.json()).ok()?, ["data"]).ok()?;
        Some((json::as_string(data?)?.into_owned(), cached.expires - now))
    }

    /// Forgets what has expired, at most so many events. Returns how many there were.
    pub(super) fn expire_cache(&self, most: usize) -> usize {
        let forgotten = lock(&self.cache).expire(self.clock.now(), most);
        let count = forgotten.len();
        self.forget(forgotten);
        count
    }

    /// Forgets what has expired, wherever it is. The clock has been advanced.
    pub(super) fn expire_whole_cache(&self) {
        let forgotten = lock(&self.cache).expire_everywhere(self.clock.now());
        self.forget(forgotten);
    }

    /// Forgets every remembered event.
    pub fn forget_cache(&self) {
        let forgotten = lock(&self.cache).clear();
        self.forget(forgotten);
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

/// The parts of an app's channels, each behind a lock of its own.
fn shards() -> usize {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    (4 * threads).next_power_of_two().max(LEAST_SHARDS)
}

/// Whether a channel is one of those that are listed, with such a name.
fn is_listed(name: &ChannelName, prefix: &str) -> bool {
    name.as_str().starts_with(prefix) && name.channel_type() != ChannelType::ServerToUser
}

/// The state of a channel that somebody is subscribed to.
fn summary(name: &ChannelName, channel: &Channel) -> Option<ChannelSummary> {
    let user_count = channel.presence().map_or(0, |p| p.user_count());
    let subscription_count = channel.subscribers().len();
    (subscription_count > 0).then(|| ChannelSummary { name: name.clone(), subscription_count, user_count })
}

impl fmt::Debug for AppState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppState").field("id", &self.id).finish_non_exhaustive()
    }
}
