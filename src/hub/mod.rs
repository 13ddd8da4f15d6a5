//! The hub: it carries events from whoever publishes them to whoever is subscribed.
//!
//! [`Hub`] is what all workers share: the apps, their channels, and the workers' mailboxes. Each worker thread has
//! its own half, a [`Worker`], with the connections it accepted. A channel's entry says which workers have
//! subscribers of it; a delivery touches the entry once per broadcast and then only what belongs to the worker.
//!
//! The hub knows neither sockets nor HTTP, and announces what happens to [`Listener`]s that it does not know.

mod accepted;
mod allowance;
mod app_index;
mod app_state;
mod apps;
mod cache_index;
mod client;
mod clock;
mod counts;
mod current;
mod due;
mod fanout;
mod farewell;
mod leaving;
mod mailbox;
mod meddler;
mod notice;
mod outbox;
mod passed_over;
mod rounds;
mod sockets;
mod totals;
mod turn;
mod users;
mod wheel;
mod worker;

pub use allowance::{Queued, Turn};
pub use app_index::AppIndex;
pub use app_state::{AppState, ChannelSummary};
pub use apps::Apps;
pub use client::{Client, Signals, Transport, Written};
pub use clock::Clock;
pub use current::Current;
pub use due::{Agenda, Busy, Due, Timed};
pub use farewell::Farewell;
pub use mailbox::CONGESTED_BYTES;
pub use meddler::{Answer, Instead, Meddler};
pub use notice::{Bystander, Heard, Listener, Listeners, Notice, Refused, Source, Version};
pub use outbox::{Bounds, Outbox, Overflow};
pub use sockets::{NotAdmitted, Quota, Sockets};
pub use totals::Totals;
pub use turn::come_again;
pub use wheel::Wheel;
pub use worker::{Admission, Worker};

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use indexmap::set::Slice;
use tokio::sync::mpsc;
use tracing::{Level, enabled, info};

use crate::app::{App, AppRegistry, Delivery, DuplicateApp};
use crate::channel::{CachedEvent, WorkerIndex};
use crate::connection::ConnectionConfig;
use crate::protocol::json::Data;
use crate::protocol::{Broadcast, ChannelName, CloseCode, Frame, LatestKey, SocketId, server_message};

use app_index::Places;
use mailbox::{Letter, Mailbox, MailboxReader, mailbox};
use users::Address;

/// What all workers of a node share.
pub struct Hub {
    apps: ArcSwap<Apps>,
    places: Arc<Places>,
    /// Apps that were removed, of which something may be left. Held while the apps are changed: one change at a time.
    removed: Mutex<Vec<Weak<AppState>>>,
    sockets: Sockets,
    connection: Arc<ConnectionConfig>,
    mailboxes: Vec<Mailbox>,
    /// The mailboxes' other ends, until the workers start and take them.
    readers: Mutex<Vec<Option<MailboxReader>>>,
    slow_readers: AtomicU64,
    /// Numbers the changes of rosters, across all channels and their reincarnations.
    versions: AtomicU64,
    incarnation: u128,
    bystander: OnceLock<Arc<dyn Bystander>>,
    /// Set when the broker begins to stop.
    farewell: OnceLock<Farewell>,
    /// Cloned by everything that shutdown waits for; gone once shutdown has begun.
    at_work: Mutex<Option<mpsc::Sender<Infallible>>>,
    /// Ends when the last clone is dropped.
    all_done: Mutex<Option<mpsc::Receiver<Infallible>>>,
}

/// Held by a connection or request while it lives: shutdown waits for it.
#[derive(Clone, Debug)]
pub struct AtWork {
    _sender: mpsc::Sender<Infallible>,
}

/// An event to be published on one channel.
#[derive(Clone, Debug)]
pub struct Publication<'a> {
    /// Where to.
    pub channel: &'a ChannelName,
    /// Its name.
    pub event: &'a str,
    /// Its payload.
    pub data: &'a Data<'a>,
    /// On presence channels, the member that sent it.
    pub user_id: Option<&'a str>,
    /// The connection that does not get it.
    pub except: Option<SocketId>,
    /// A cache channel remembers it. What clients send is not remembered.
    pub remember: bool,
}

impl Hub {
    /// A hub for these apps, each with those who listen to it, served by `workers` worker threads.
    /// `max_connections` bounds the connections of all apps together; 0 lifts the limit.
    ///
    /// # Errors
    /// If two apps share an id or a key.
    pub fn new(
        apps: Vec<(App, Listeners)>,
        connection: ConnectionConfig,
        workers: usize,
        max_connections: usize,
    ) -> Result<Arc<Self>, DuplicateApp> {
        let (mailboxes, readers) = (0..workers.max(1)).map(|_| mailbox()).unzip();
        let readers: Vec<MailboxReader> = readers;
        let (at_work, all_done) = mpsc::channel(1);
        let hub = Arc::new(Hub {
            apps: ArcSwap::default(),
            places: Arc::default(),
            removed: Mutex::default(),
            sockets: Sockets::new(max_connections),
            connection: Arc::new(connection),
            mailboxes,
            readers: Mutex::new(readers.into_iter().map(Some).collect()),
            slow_readers: AtomicU64::new(0),
            versions: AtomicU64::new(0),
            incarnation: rand::random(),
            bystander: OnceLock::new(),
            farewell: OnceLock::new(),
            at_work: Mutex::new(Some(at_work)),
            all_done: Mutex::new(Some(all_done)),
        });
        hub.set_apps(apps.into_iter().map(|(app, listeners)| (app, Some(listeners))).collect())?;
        Ok(hub)
    }

    /// The apps as they are now, to be found by id or key.
    #[must_use]
    pub fn apps(&self) -> Current<Apps> {
        Current::of(&self.apps)
    }

    /// The state of the app with this key.
    #[must_use]
    pub fn state_by_key(&self, key: &str) -> Option<Arc<AppState>> {
        self.apps().by_key(key).cloned()
    }

    /// From now on there are these apps and no others, each with those who listen to it; `None` leaves the listeners
    /// of an app as they are. An app is the same as before if its id is.
    ///
    /// Connections of an app that stays go on, and see its new settings from their next message on. If it has been
    /// switched off, they are closed with 4003. Those of an app that is not among these are closed with 4001, and what
    /// is left of it goes with the last of them.
    ///
    /// # Errors
    /// If two apps share an id or a key. Nothing has changed then.
    pub fn set_apps(&self, apps: Vec<(App, Option<Listeners>)>) -> Result<(), DuplicateApp> {
        let mut removed = lock(&self.removed);
        removed.retain(|app| app.strong_count() > 0);
        let registry = AppRegistry::new(apps.iter().map(|(app, _)| app.clone()))?;
        let before = self.apps().share();
        let mut states = Vec::with_capacity(apps.len());
        let mut ended_streams: Vec<Arc<AppState>> = Vec::new();
        for (app, listeners) in apps {
            let Some(settings) = registry.by_id(&app.id) else { continue };
            let state = match before.by_id(&app.id) {
                Some(state) => Arc::clone(state),
                None => Arc::new(AppState::new(self.places.take(), Arc::clone(settings))),
            };
            if let Some(listeners) = listeners {
                state.set_listeners(listeners);
            }
            if state.app().http_streams && !settings.http_streams {
                ended_streams.push(Arc::clone(&state));
            }
            state.set_app(Arc::clone(settings));
            states.push(state);
        }
        self.apps.store(Arc::new(Apps::new(registry, states)));
        // After the change: whoever was admitted before is closed by these letters, and nobody is admitted any more.
        let (code, reason) = (CloseCode::Unauthorized, "HTTP streams were switched off");
        for app in ended_streams.iter().map(|state| state.index()) {
            self.mailboxes
                .iter()
                .for_each(|mailbox| mailbox.post(Letter::CloseStreams { app, code, reason }));
        }
        let now = self.apps();
        for state in before.iter() {
            match now.by_id(state.id()) {
                None => {
                    removed.push(Arc::downgrade(state));
                    self.close_app(state, CloseCode::UnknownApp, "The app was removed");
                }
                Some(state) if !state.app().enabled => {
                    self.close_app(state, CloseCode::AppDisabled, CloseCode::AppDisabled.sentence());
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Ends every connection of an app.
    fn close_app(&self, app: &AppState, code: CloseCode, reason: &'static str) {
        let app = app.index();
        self.mailboxes.iter().for_each(|mailbox| mailbox.post(Letter::CloseApp { app, code, reason }));
    }

    /// How connections are treated.
    #[must_use]
    pub fn connection_config(&self) -> &Arc<ConnectionConfig> {
        &self.connection
    }

    /// How the connections of an app are treated: as the node's are, but for what a test has said of the app.
    #[must_use]
    pub fn connection_config_of<'a>(&'a self, app: &'a AppState) -> &'a Arc<ConnectionConfig> {
        app.connection_config().unwrap_or(&self.connection)
    }

    /// The connections of all apps.
    #[must_use]
    pub fn sockets(&self) -> &Sockets {
        &self.sockets
    }

    /// Worker threads to run.
    #[must_use]
    pub fn worker_count(&self) -> usize {
        self.mailboxes.len()
    }

    /// Sends an event to every subscriber of a channel. From a worker's thread its own subscribers are reached
    /// directly, and events of one publisher stay in order everywhere.
    pub fn publish(&self, app: &AppState, publication: &Publication<'_>) {
        if publication.remember && publication.channel.channel_type().is_cache() {
            return self.publish_and_remember(app, publication);
        }
        let Publication { channel, except, .. } = *publication;
        let own = Worker::current(self);
        let mut direct = None;
        {
            // Posted under the entry, so that a letter to a worker always follows its subscription.
            let Some(entry) = app.channels.get(channel) else { return };
            let message = self.encode(app, publication);
            for (worker, hearers) in entry.subscribers().groups() {
                let is_own = own.as_ref().is_some_and(|own| own.index() == worker);
                if is_own && hearers <= worker::HEARERS_PER_TURN && self.mailbox(worker).is_empty() {
                    direct = Some(message.clone());
                    continue;
                }
                self.post_broadcast(worker, app, channel, &message, except, 0);
            }
        }
        if let (Some(worker), Some(message)) = (own, direct) {
            worker.deliver(app.index(), channel, &message, except, 0);
        }
    }

    /// As [`Hub::publish`], on a cache channel. The event gets a version, so that a subscriber that is given it as
    /// the remembered one does not hear it again.
    fn publish_and_remember(&self, app: &AppState, publication: &Publication<'_>) {
        let Publication { channel, except, .. } = *publication;
        let message = self.encode(app, publication);
        let frame = message.plain().clone();
        let settings = app.app();
        let (bytes, expires) = (frame.websocket().len(), app.clock().now() + settings.cache_ttl);
        let (_, due) = app.clock().wait_until(expires, Timed::CacheExpiry);
        let forgotten = {
            let mut entry = app.channels.entry(channel.clone()).or_default();
            let version = self.next_version();
            entry.remember(CachedEvent { frame, expires, version });
            for worker in entry.subscribers().workers() {
                self.post_broadcast(worker, app, channel, &message, except, version);
            }
            // Under the entry: of two publishers the one that the channel remembers is the last one to be noted, too.
            lock(&app.cache).remember(channel, version, bytes, (expires, due), &settings.limits)
        };
        app.forget(forgotten);
    }

    fn encode(&self, app: &AppState, publication: &Publication<'_>) -> Broadcast {
        let Publication { channel, event, data, user_id, .. } = *publication;
        let frame = match data.as_binary() {
            None => server_message::channel_event(event, data, channel, user_id),
            Some(payload) => server_message::binary_event(event, payload, channel, user_id),
        };
        let message = Broadcast::new(frame, self.connection.compression);
        match app.app().delivery(channel) {
            Delivery::Every => message,
            Delivery::Latest => {
                message.latest_only(LatestKey { channel: channel.clone(), event: event.into() })
            }
        }
    }

    /// Sends one frame to several connections, wherever they live. It is made only if there are any.
    fn post_to_sockets(&self, app: &AppState, addresses: &Slice<Address>, frame: impl FnOnce() -> Frame) {
        if addresses.is_empty() {
            return;
        }
        let frame = frame();
        let mut by_worker = vec![Vec::new(); self.mailboxes.len()];
        addresses.iter().for_each(|&(worker, socket)| by_worker[usize::from(worker)].push(socket));
        for (mailbox, sockets) in self.mailboxes.iter().zip(by_worker).filter(|(_, s)| !s.is_empty()) {
            let (sockets, frame) = (sockets.into_boxed_slice(), frame.clone());
            mailbox.post(Letter::ToSockets { app: app.index(), sockets, next: 0, frame });
        }
    }

    fn post_broadcast(
        &self,
        worker: WorkerIndex,
        app: &AppState,
        channel: &ChannelName,
        message: &Broadcast,
        except: Option<SocketId>,
        version: u64,
    ) {
        let (app, channel, message) = (app.index(), channel.clone(), message.clone());
        self.mailbox(worker).post(Letter::Broadcast { app, channel, message, except, version });
    }

    /// Forgets what has expired, as far as one turn allows. Returns whether that was all.
    fn expire_caches(&self) -> bool {
        let mut room = worker::EXPIRED_PER_TURN;
        self.apps().iter().for_each(|app| room -= app.expire_cache(room));
        room > 0
    }

    /// Logs how many events slow subscribers were not sent of late. Called at each tick of one worker, which is once a
    /// second unless pings are more frequent than every eight.
    fn tell_passed_over(&self) {
        for app in self.apps().iter() {
            let events = app.passed_over.untold();
            if events > 0 {
                info!(
                    app = app.id(),
                    events, "newer events of latest-only channels replaced older ones for slow readers"
                );
            }
        }
    }

    /// Carries an event that was accepted: to the subscribers, if they are to hear it, and then to those who listen to the
    /// app.
    pub fn carry(
        self: &Arc<Self>,
        app: &Arc<AppState>,
        publication: Option<&Publication<'_>>,
        heard: Heard<'_>,
    ) {
        let _held = app.hold_clock();
        if let Some(meddler) = app.meddler() {
            meddler.accepted(&heard);
        }
        if enabled!(Level::DEBUG) {
            accepted::tell(app, publication, &heard);
        }
        if let Some(publication) = publication {
            self.publish(app, publication);
        }
        self.announce(app, &Notice::Event(heard));
    }

    /// Publishes an event that nobody who listens to the app hears. `source` is what the log says of where it came from.
    pub fn publish_unannounced(&self, app: &AppState, publication: &Publication<'_>, source: &'static str) {
        if enabled!(Level::DEBUG) {
            accepted::tell_unannounced(app, publication, source);
        }
        self.publish(app, publication);
    }

    /// Advances an app's clock, maybe by nothing, and looks at everything again that waits for it.
    pub fn advance_clock(&self, app: &AppState, by: Duration) {
        app.clock().advance(by);
        app.expire_whole_cache();
        self.mailboxes.iter().for_each(|mailbox| mailbox.post(Letter::ClockAdvanced { app: app.index() }));
    }

    /// Queues a frame for one connection that was held back from it; nobody is asked again.
    pub fn release(&self, app: &AppState, socket: SocketId, frame: Frame) {
        self.post_to_socket(app, socket, |app| Letter::Release { app, socket, frame });
    }

    /// Ends one connection with this code and reason. `false` if there is no such connection.
    pub fn close_socket_with(
        &self,
        app: &AppState,
        socket: SocketId,
        code: CloseCode,
        reason: Cow<'static, str>,
    ) -> bool {
        self.post_to_socket(app, socket, |app| Letter::Close { app, socket, code, reason })
    }

    /// Ends one connection without a close frame, as a cut line would.
    pub fn cut_socket(&self, app: &AppState, socket: SocketId) {
        self.post_to_socket(app, socket, |app| Letter::Cut { app, socket });
    }

    /// Ends every connection that is signed in as the user. They may come back.
    pub fn terminate_user(&self, app: &AppState, user_id: &str) {
        for (_, socket) in app.users.connections(user_id) {
            self.close_socket(app, socket);
        }
    }

    /// Sends an event to one connection, on no channel. `false` if there is no such connection. `source` is what the log
    /// says of where it came from.
    pub fn send_to_socket(
        &self,
        app: &AppState,
        socket: SocketId,
        event: &str,
        data: &Data<'_>,
        source: &'static str,
    ) -> bool {
        let frame = || server_message::connection_event(event, data);
        let sent = self.post_to_socket(app, socket, |app| Letter::ToSocket { app, socket, frame: frame() });
        if sent && enabled!(Level::DEBUG) {
            accepted::tell_of_one(app, socket, (event, data), source);
        }
        sent
    }

    /// Whether there is such a connection.
    #[must_use]
    pub fn is_connected(&self, app: &AppState, socket: SocketId) -> bool {
        self.sockets.worker_of(app.index(), socket).is_some()
    }

    /// Ends one connection. It may come back. `false` if there is no such connection.
    pub fn close_socket(&self, app: &AppState, socket: SocketId) -> bool {
        self.close_socket_with(
            app,
            socket,
            CloseCode::Unauthorized,
            "You got disconnected by the app.".into(),
        )
    }

    /// Posts a letter, made only if it has where to go, to the worker that has the connection; `false` if none has.
    fn post_to_socket(
        &self,
        app: &AppState,
        socket: SocketId,
        letter: impl FnOnce(AppIndex) -> Letter,
    ) -> bool {
        let worker = self.sockets.worker_of(app.index(), socket);
        if let Some(worker) = worker {
            self.mailbox(worker).post(letter(app.index()));
        }
        worker.is_some()
    }

    /// Says that something begins that shutdown should wait for; `None` if shutdown has begun.
    #[must_use]
    pub fn begin_work(&self) -> Option<AtWork> {
        lock(&self.at_work).clone().map(|_sender| AtWork { _sender })
    }

    /// Begins to stop: from now on nothing new is begun and nothing published for anybody who is told that it was.
    pub fn stop_work(&self, farewell: Farewell) {
        let _ = self.farewell.set(farewell);
        drop(lock(&self.at_work).take());
    }

    /// What clients are told, once the broker has begun to stop. Whoever publishes and says so must ask on the same
    /// worker's turn in which it publishes.
    #[must_use]
    pub fn farewell(&self) -> Option<Farewell> {
        self.farewell.get().copied()
    }

    /// Ends every connection politely, after what was published before [`Hub::stop_work`], and waits until all are gone
    /// and all requests answered. `between` is called when nothing more is published and nobody has been closed.
    pub async fn drain(&self, between: impl FnOnce()) {
        self.turn_of_every_worker().await;
        between();
        let farewell = self.farewell().unwrap_or(Farewell::Soon);
        self.mailboxes.iter().for_each(|mailbox| mailbox.post(Letter::Drain { farewell }));
        let all_done = lock(&self.all_done).take();
        if let Some(mut all_done) = all_done {
            // Nothing is ever sent; it ends when nobody is left who could.
            all_done.recv().await;
        }
    }

    /// Waits until every worker has ended the turn that it is in, and read the letters that were posted before.
    async fn turn_of_every_worker(&self) {
        let (reply, mut replies) = mpsc::channel(1);
        for mailbox in self.started() {
            mailbox.post(Letter::Turn { _reply: reply.clone() });
        }
        drop(reply);
        // Nothing is ever sent; it ends when the last letter has been read.
        replies.recv().await;
    }

    /// The mailboxes that somebody reads.
    fn started(&self) -> Vec<&Mailbox> {
        let readers = lock(&self.readers);
        let started = self.mailboxes.iter().zip(readers.iter()).filter(|(_, reader)| reader.is_none());
        started.map(|(mailbox, _)| mailbox).collect()
    }

    /// What it holds now. The workers are asked, so it takes a turn of each.
    #[expect(clippy::disallowed_methods, reason = "each worker answers once")]
    pub async fn totals(&self) -> Totals {
        let (reply, mut replies) = mpsc::unbounded_channel();
        for mailbox in self.started() {
            mailbox.post(Letter::Totals { reply: reply.clone() });
        }
        drop(reply);
        let mut totals = Totals::default();
        while let Some(worker) = replies.recv().await {
            totals.add_worker(worker);
        }
        totals.connections = self.sockets.len();
        totals.letter_bytes = self.mailboxes.iter().map(Mailbox::unread_bytes).sum();
        self.apps().iter().for_each(|app| totals.add_app(app));
        for app in lock(&self.removed).iter().filter_map(Weak::upgrade) {
            totals.removed_apps += 1;
            totals.add_app(&app);
        }
        totals
    }

    /// Counts one more connection that was closed because it read too slowly; returns how many there were since the
    /// start.
    pub fn count_slow_reader(&self) -> u64 {
        self.slow_readers.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Connections closed since the start because they read too slowly.
    #[must_use]
    pub fn slow_readers(&self) -> u64 {
        self.slow_readers.load(Ordering::Relaxed)
    }

    /// Whether some worker is far behind, so that publishers should wait.
    #[must_use]
    pub fn is_congested(&self) -> bool {
        self.mailboxes.iter().any(Mailbox::is_congested)
    }

    /// Wakes those who wait at the other workers: this one is no longer far behind.
    fn tell_relieved(&self, worker: WorkerIndex) {
        let others = self.mailboxes.iter().enumerate().filter(|(index, _)| *index != usize::from(worker));
        others.for_each(|(_, mailbox)| mailbox.post(Letter::Relieved));
    }

    /// Has one hear of what concerns no app. It keeps the first that it is given.
    pub fn set_bystander(&self, bystander: Arc<dyn Bystander>) {
        let _ = self.bystander.set(bystander);
    }

    /// Announces a refusal, to those who listen to the app if it is known.
    pub fn announce_refusal(&self, app: Option<&Arc<AppState>>, refused: &Refused<'_>) {
        match (app, self.bystander.get()) {
            (Some(app), _) => {
                if let Some(listeners) = app.awake_listeners() {
                    listeners.iter().for_each(|listener| listener.refused(refused));
                }
            }
            (None, Some(bystander)) => bystander.refused(refused),
            (None, None) => {}
        }
    }

    fn announce(self: &Arc<Self>, app: &Arc<AppState>, notice: &Notice<'_>) {
        if let Some(listeners) = app.awake_listeners() {
            let _held = app.hold_clock();
            listeners.iter().for_each(|listener| listener.notice(self, app, notice));
        }
    }

    fn mailbox(&self, worker: WorkerIndex) -> &Mailbox {
        &self.mailboxes[usize::from(worker)]
    }

    /// What tells this node, since its start, from every other node and from what it was before. With the number of a
    /// change, it names the change.
    #[must_use]
    pub fn incarnation(&self) -> u128 {
        self.incarnation
    }

    /// A number larger than all before. Drawn under a channel's entry, it orders the channel's changes.
    pub(crate) fn next_version(&self) -> Version {
        self.versions.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The reading end of a mailbox nobody has taken yet.
    fn take_reader(&self) -> Option<(WorkerIndex, MailboxReader)> {
        let mut readers = lock(&self.readers);
        let found = readers.iter_mut().enumerate().find_map(|(index, reader)| Some((index, reader.take()?)));
        found.and_then(|(index, reader)| Some((WorkerIndex::try_from(index).ok()?, reader)))
    }
}

/// No code panics while it holds one of the hub's locks, and what they guard is valid at all times.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("apps", &self.apps().iter().count()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
