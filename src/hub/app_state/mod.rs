//! One app in the hub: its settings, its channels, and those who listen to it.

mod backends;
mod cache;
mod channels;
mod demand;
mod handed_histories;
mod history;
mod history_stream;
mod settings;
mod succession;

pub(super) use cache::payload_of;
pub(crate) use channels::ChannelSummary;
pub(crate) use handed_histories::Told;
pub(super) use history::HistoryTerms;
pub(crate) use succession::Tellable;

use std::fmt;
use std::num::NonZero;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use dashmap::DashMap;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::app::App;
use crate::channel::{Channel, ChannelVersion, WorkerIndex};
use crate::event::{AcceptedEvent, BackendCall};
use crate::protocol::ChannelName;

use super::app_histories::AppHistories;
use super::app_index::{AppIndex, AppPlace};
use super::app_video::AppVideo;
use super::backends_elsewhere::BackendsElsewhere;
use super::cache_index::CacheIndex;
use super::conflated::ConflatedEvents;
use super::connections_elsewhere::ConnectionsElsewhere;
use super::counters::{AppCells, AppCounters, AppCounts, Counter};
use super::interceptor::Interceptor;
use super::recent_publishes::PublishesOfApp;
use super::recent_recoveries::RecentRecoveries;
use super::recent_sockets::RecentSockets;
use super::shared_rate::{RateExceeded, SharedRate};
use super::users::Users;
use super::{Clock, ClockStep, Current, HeldRemoval, Hub, Notice, Refused};

use demand::{CurrentDemand, Demand};
use settings::Settings;
use succession::Succession;

/// As many shards at least has an app's map of channels. Whoever lists 500,000 channels holds the lock of each for about a
/// millisecond; and an app takes 4 KiB for them.
const LEAST_SHARDS: usize = 32;

/// One app and what lives under it.
///
/// Its settings and its listeners can be replaced at any time; everything else stays. Connections hold it, so an app
/// that has been removed is here until its last one is gone.
pub struct AppState {
    place: AppPlace,
    id: Arc<str>,
    succession: Arc<Succession>,
    settings: Settings,
    listeners: ArcSwap<Listeners>,
    /// What the listeners want at present.
    demand: Demand,
    pub(super) channels: DashMap<ChannelName, Channel>,
    /// Which of them remember an event.
    pub(super) cache: Mutex<CacheIndex>,
    /// Which of them keep their last events.
    pub(super) histories: AppHistories,
    /// Which of them have tracks.
    pub(super) video: AppVideo,
    pub(super) users: Users,
    pub(super) connections_elsewhere: ConnectionsElsewhere,
    pub(super) backends_elsewhere: BackendsElsewhere,
    pub(super) conflated: ConflatedEvents,
    pub(super) counters: AppCounters,
    clock: Clock,
    interceptor: Interceptor,
    /// What its backend publishes, and what it asks.
    backend_events: SharedRate,
    pub(super) publishes: PublishesOfApp,
    read_requests: SharedRate,
    recent_sockets: RecentSockets,
    /// Who came back last.
    recoveries: RecentRecoveries,
}

/// Those who listen to an app, in the order in which they are told.
pub(crate) type Listeners = Vec<Arc<dyn Listener>>;

/// Hears of what happens in one app.
///
/// A notice is given on the worker thread where it happened, or, if it happened on another node, on the thread that brings
/// what others say; in the order in which it happened on its channel here. Some
/// are given under the channel's lock. A listener must not block and must not call back into the hub on
/// any notice but [`Notice::Event`]; what takes time belongs in a bounded queue of its own.
pub trait Listener: Send + Sync {
    /// Whether it wants a client's event of this name on this channel (or on none). If some listener does, a client
    /// may send events that are neither the protocol's nor begin with `client-`.
    fn listens(&self, channel: Option<&str>, event: &str) -> bool;

    /// Whether such events are wanted at all, at present. If some listener wants them, clients may send messages as
    /// large as `limits.pipe_message_bytes`. Whoever changes its mind calls [`AppState::listening_changed`].
    fn listens_to_clients(&self) -> bool {
        false
    }

    /// Whether it leads an event to one of such channels.
    fn leads_to(&self, _: &AcceptedEvent<'_>, _is_such: &dyn Fn(&ChannelName) -> bool) -> bool {
        false
    }

    /// Whether what a client sends on this channel under this name may be led to that channel under that name.
    fn may_lead(&self, _from: (&ChannelName, &str), _to: (&ChannelName, &str)) -> bool {
        false
    }

    /// Whether it wants to hear nothing at all at present. If all listeners do, notices cost nothing.
    fn is_idle(&self) -> bool {
        false
    }

    /// Something happened.
    fn notice(&self, hub: &Arc<Hub>, app: &Arc<AppState>, notice: &Notice<'_>);

    /// Something happened on another node, which knows that backends which are connected to this one want to hear of it. Of
    /// those who share the work of a group, one is to hear it if the group is among these. Whoever acts on what happens
    /// has done so on that node.
    fn notice_elsewhere(&self, _: &AppState, _: &Notice<'_>, _groups: &[Arc<str>]) {}

    /// Whether it wants to be handed what backends ask for over the HTTP API, as a whole. It never changes its mind.
    fn hears_calls(&self) -> bool {
        false
    }

    /// A backend has asked for this, and it was done. It is told to those that hear calls, on the worker thread where it was
    /// done; and whether another server has relayed it, which is a reason not to hand it on.
    fn called(&self, _: &BackendCall<'_>, _is_relayed: bool) {}

    /// The node has become one of several: whoever tells other nodes what it wants to hear tells it now.
    fn bus_came(&self, _: &Hub, _: &AppState) {}

    /// The removals that it holds back for a while, for the case that they are taken back, when it has taken in all that it has
    /// heard until now; none if it holds nothing back.
    fn held_removals(&self) -> Option<oneshot::Receiver<Vec<HeldRemoval>>> {
        None
    }

    /// A process that this one succeeds has held this back, and leaves it to this one.
    fn take_held(&self, _: &AppState, _: &HeldRemoval) {}

    /// Something was refused. Few want to know.
    fn refused(&self, _: &Refused<'_>) {}

    /// An event that is not announced was accepted, and has been sent: one that a pipe sends. Whoever hears of it must not
    /// act on it.
    fn overheard(&self, _: &AppState, _: &AcceptedEvent<'_>) {}
}

impl AppState {
    /// An app that begins. `before` is one of the same id that has been removed, if anything is left of one.
    pub(super) fn new(
        place: AppPlace,
        app: Arc<App>,
        counters: AppCounters,
        histories: AppHistories,
        publishes: PublishesOfApp,
        before: Option<&AppState>,
    ) -> Self {
        let now = Instant::now();
        let index = place.index();
        let succession =
            before.map_or_else(|| Succession::of(index), |before| Arc::clone(before.succession()));
        if before.is_some() {
            succession.follow(index);
        }
        AppState {
            place,
            succession,
            id: app.id.as_str().into(),
            demand: Demand::new(&app.limits),
            settings: Settings::new(app),
            listeners: ArcSwap::default(),
            channels: DashMap::with_shard_amount(shards()),
            cache: Mutex::default(),
            histories,
            video: AppVideo::default(),
            users: Users::default(),
            connections_elsewhere: ConnectionsElsewhere::default(),
            backends_elsewhere: BackendsElsewhere::default(),
            conflated: ConflatedEvents::default(),
            counters,
            clock: Clock::default(),
            interceptor: Interceptor::default(),
            backend_events: SharedRate::new(now),
            publishes,
            read_requests: SharedRate::new(now),
            recent_sockets: RecentSockets::default(),
            recoveries: RecentRecoveries::default(),
        }
    }

    /// Who came back to its channels last.
    pub(crate) fn recoveries(&self) -> &RecentRecoveries {
        &self.recoveries
    }

    /// Replaces the settings. The id must be the same. `version` has just been drawn.
    pub(super) fn set_app(&self, app: Arc<App>, version: ChannelVersion) {
        let (before, after) = (self.app().share(), Arc::clone(&app));
        if before.carries_tracks() {
            self.video.note_that_there_could_be();
        }
        self.put_in_force(app, version);
        let differs = |rate: fn(&App) -> u32| rate(&before) != rate(&after);
        if differs(|app| app.limits.backend_events_per_second) {
            self.backend_events.restart();
        }
        if differs(|app| app.limits.read_requests_per_second) {
            self.read_requests.restart();
        }
        if before.channels != after.channels {
            self.history_changed();
        }
        self.listening_changed();
    }

    /// Replaces the settings, and that is all: what lives by them has not been looked at yet.
    fn put_in_force(&self, app: Arc<App>, version: ChannelVersion) {
        let (keeps_history, is_same) = (app.keeps_history(), self.app().channels == app.channels);
        if !is_same {
            // Before the settings: no history begins by these that does not know what was lost before it.
            self.raise_history_floor(version);
        }
        self.settings.replace(app);
        if !is_same {
            self.histories.want(keeps_history);
        }
    }

    /// Replaces those who listen.
    pub(super) fn set_listeners(&self, listeners: Listeners) {
        self.listeners.store(Arc::new(listeners));
        self.listening_changed();
    }

    /// Adds one who listens, behind those who do. Whoever replaces the listeners has to know of it.
    pub(crate) fn listen_also(&self, listener: &Arc<dyn Listener>) {
        self.listeners.rcu(|now| {
            let others = now.iter().filter(|known| !is_same(known, listener)).cloned();
            others.chain([Arc::clone(listener)]).collect::<Listeners>()
        });
        self.listening_changed();
    }

    /// Removes one who listens.
    pub(crate) fn listen_no_more(&self, listener: &Arc<dyn Listener>) {
        self.listeners
            .rcu(|now| now.iter().filter(|known| !is_same(known, listener)).cloned().collect::<Listeners>());
        self.listening_changed();
    }

    /// Whether one listens.
    pub(crate) fn is_heard_by(&self, listener: &Arc<dyn Listener>) -> bool {
        self.listeners().iter().any(|known| is_same(known, listener))
    }

    /// What tells it from every other app of this hub, also from one of the same id that it was removed for.
    pub(crate) fn index(&self) -> AppIndex {
        self.place.index()
    }

    /// The app's id, which never changes.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The same, for whoever keeps it.
    pub(crate) fn shared_id(&self) -> &Arc<str> {
        &self.id
    }

    /// The connections that came or went last.
    pub(crate) fn recent_sockets(&self) -> &RecentSockets {
        &self.recent_sockets
    }

    /// The app's settings as they are now.
    pub fn app(&self) -> Current<App> {
        self.settings.now()
    }

    /// The number of the change that made the app's settings what they are. Whoever asks for it before the settings sees
    /// by it later whether there are others.
    pub fn generation(&self) -> u32 {
        self.settings.generation()
    }

    /// The time as connections of this app see it; a test may set it.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// What faults are injected by, if they are.
    pub fn interceptor(&self) -> &Interceptor {
        &self.interceptor
    }

    /// Something begins whose parts must see the same time; it lasts as long as what is returned.
    pub(super) fn begin_step(&self) -> Option<ClockStep> {
        self.interceptor.begin_step(&self.clock)
    }

    /// Whether some listener wants a client's event of this name on this channel, or a backend on another node.
    pub fn is_listened_to(&self, channel: Option<&str>, event: &str) -> bool {
        self.has_listeners()
            && (self.listeners().iter().any(|listener| listener.listens(channel, event))
                || self.backends_elsewhere.listens(channel, event))
    }

    /// Whether an event is a message of a track: on a video channel, or where some listener leads it to one.
    pub(crate) fn is_filmed(&self, event: &AcceptedEvent<'_>) -> bool {
        event.is_of_track() && self.leads_to_tracks(event)
    }

    /// Whether some of its channels carry tracks, or have done so since the broker started, here or on another node.
    pub(super) fn is_for_films(&self) -> bool {
        self.app().carries_tracks() || self.video.could_be_any()
    }

    #[cold]
    fn leads_to_tracks(&self, event: &AcceptedEvent<'_>) -> bool {
        let app = self.app();
        let is_video = |channel: &ChannelName| app.video(channel).is_some();
        app.carries_tracks()
            && (event.channel().is_some_and(is_video)
                || self.listeners().iter().any(|listener| listener.leads_to(event, &is_video)))
    }

    /// Whether some listener may lead what a client sends on this channel under this name to that channel under that name.
    pub(super) fn may_lead(&self, from: (&ChannelName, &str), to: (&ChannelName, &str)) -> bool {
        self.listeners().iter().any(|listener| listener.may_lead(from, to))
    }

    /// Bytes that one message of a client may have, as of now.
    pub fn message_bytes(&self) -> usize {
        self.demand.message_bytes()
    }

    /// Some listener wants more, or less, than before, or a backend on another node.
    pub fn listening_changed(&self) {
        let wanted = || {
            let listeners = self.listeners();
            CurrentDemand {
                anything: self.backends_elsewhere.is_any()
                    || listeners.iter().any(|listener| !listener.is_idle()),
                clients: self.backends_elsewhere.wants_messages()
                    || listeners.iter().any(|listener| listener.listens_to_clients()),
                calls: listeners.iter().any(|listener| listener.hears_calls()),
            }
        };
        self.demand.look(wanted, |clients_heard| self.app().limits.inbound_message_bytes(clients_heard));
    }

    /// Whether anybody listens at present.
    pub(crate) fn has_listeners(&self) -> bool {
        self.demand.is_any()
    }

    /// Whether anybody wants to be handed what backends ask for.
    pub fn hears_calls(&self) -> bool {
        self.demand.is_of_calls()
    }

    /// Hands what a backend has asked for to those who want it, and tells them whether another server has relayed it.
    pub fn hand_on(&self, call: &BackendCall<'_>, is_relayed: bool) {
        self.listeners().iter().for_each(|listener| listener.called(call, is_relayed));
    }

    /// Those who listen, if any of them does at present.
    pub(super) fn awake_listeners(&self) -> Option<Current<Listeners>> {
        self.has_listeners().then(|| self.listeners())
    }

    pub(super) fn listeners(&self) -> Current<Listeners> {
        Current::of(&self.listeners)
    }

    /// Its backend is about to publish so many events, each counted for each of its channels.
    ///
    /// # Errors
    /// If that is more than its limit allows now, or ever. None counts then.
    pub(crate) fn admit_backend_events(&self, count: usize, per_second: u32) -> Result<(), RateExceeded> {
        // Where there is no limit, nobody looks at a clock.
        if per_second == 0 { Ok(()) } else { self.backend_events.take(count, per_second, self.clock.now()) }
    }

    /// Its backend asks for the state of channels.
    ///
    /// # Errors
    /// If that is more than its limit allows now. It does not count then.
    pub(crate) fn admit_read_request(&self, per_second: u32) -> Result<(), RateExceeded> {
        if per_second == 0 { Ok(()) } else { self.read_requests.take(1, per_second, self.clock.now()) }
    }

    /// Events of latest-only channels since the start that slow subscribers were not sent, because newer ones came
    /// before they could take them.
    pub fn conflated(&self) -> u64 {
        self.conflated.total()
    }

    /// What has happened in it since the start.
    pub(crate) fn counts(&self) -> AppCounts {
        self.counters.read(self.conflated())
    }

    /// Counts so many more of something, on whatever thread that is.
    pub(crate) fn count(&self, counter: impl FnOnce(&AppCells) -> &Counter, more: u64) {
        self.counters.add(counter, more);
    }

    /// What a worker counts in it. Only that worker may.
    pub(crate) fn cells_of(&self, worker: WorkerIndex) -> &Arc<AppCells> {
        self.counters.of_worker(worker)
    }
}

impl Drop for AppState {
    fn drop(&mut self) {
        self.counters.depart(&self.id, self.conflated());
    }
}

/// Whether both are one listener.
fn is_same(one: &Arc<dyn Listener>, other: &Arc<dyn Listener>) -> bool {
    std::ptr::addr_eq(Arc::as_ptr(one), Arc::as_ptr(other))
}

/// The parts of an app's channels, each behind a lock of its own.
fn shards() -> usize {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    (4 * threads).next_power_of_two().max(LEAST_SHARDS)
}

impl fmt::Debug for AppState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppState").field("id", &self.id).finish_non_exhaustive()
    }
}
