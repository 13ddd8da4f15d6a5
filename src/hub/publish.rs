//! The hub's entrance for events: whoever has accepted one hands it over here, and it goes to whomever it is for.
//!
//! An event for a channel is encoded once, as a whole frame, and handed to each worker that has subscribers.

use std::sync::Arc;
use std::time::Duration;

use tracing::{Level, enabled};

use crate::app::Delivery;
use crate::channel::{CachedEvent, ChannelVersion, EngineNumber, History, StreamNumber, WorkerIndex};
use crate::connection::is_still;
use crate::event::{AcceptedEvent, Destination};
use crate::protocol::{Broadcast, ChannelName, LatestKey, SocketId, server_message};

use super::app_state::HistoryTerms;
use super::film::Filmed;
use super::mailbox::WorkerCommand;
use super::worker::HEARERS_PER_TURN;
use super::{AppState, Bus, Carriage, Hub, Notice, Outgoing, Receipts, Timed, Worker, accepted};

/// How a cache channel remembers a message.
pub(super) struct Remembering {
    /// What the engine has numbered it, if it has.
    pub(super) number: Option<u64>,
    /// The engine was asked for it.
    pub(super) is_recalled: bool,
    /// This node's subscribers have been sent it: it is remembered, and that is all.
    pub(super) is_delivered: bool,
    pub(super) ttl: Duration,
}

/// What has become of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    /// It went to whomever it is for.
    Out,
    /// It is for one connection, and there is no such connection.
    ToNobody,
    /// It was not taken, and whoever sent it was told: nobody hears of it.
    Refused,
}

/// Whom a message is for on this node.
#[derive(Clone, Copy)]
pub(super) struct Way<'a> {
    pub(super) app: &'a AppState,
    pub(super) channel: &'a ChannelName,
    pub(super) except: Option<SocketId>,
    /// What the engine has numbered it among those of the channel's stream, where it comes from there.
    pub(super) numbered: Option<StreamNumber>,
}

impl Hub {
    /// Takes an event that was accepted to those whom it is for and then, unless its source says that nobody hears of it,
    /// to those who listen to the app. Returns `false` if it is for one connection, and there is no such connection.
    ///
    /// What one thread hands over for one channel or connection arrives in that order.
    pub fn accept(self: &Arc<Self>, app: &Arc<AppState>, event: &AcceptedEvent<'_>) -> bool {
        self.take(app, event, None)
    }

    /// The same for whoever answers only when the engine that carries the event to other nodes has taken it.
    pub(crate) fn accept_for_receipt(
        self: &Arc<Self>,
        app: &Arc<AppState>,
        event: &AcceptedEvent<'_>,
        receipts: &mut Receipts,
    ) -> bool {
        self.take(app, event, Some(receipts))
    }

    fn take(
        self: &Arc<Self>,
        app: &Arc<AppState>,
        event: &AcceptedEvent<'_>,
        receipts: Option<&mut Receipts>,
    ) -> bool {
        app.count(|cells| cells.events_of(&event.source), 1);
        if !event.source.is_announced() {
            let sent = self.send_event(app, event, receipts) != Sent::ToNobody;
            self.let_overhear(app, event);
            return sent;
        }
        let _step = app.begin_step();
        app.interceptor().accepted(event);
        let sent = self.send_event(app, event, receipts);
        if sent != Sent::Refused {
            self.announce(app, &Notice::Event(event));
        }
        sent != Sent::ToNobody
    }

    fn send_event(
        self: &Arc<Self>,
        app: &Arc<AppState>,
        event: &AcceptedEvent<'_>,
        receipts: Option<&mut Receipts>,
    ) -> Sent {
        if let (Some(binary), Destination::Subscribers { channel, except }) =
            (event.data.as_binary(), &event.to)
        {
            match self.film(app, channel, (event, binary), *except) {
                Filmed::Taken => return Sent::Out,
                Filmed::Refused => return Sent::Refused,
                Filmed::Ordinary(None) => {}
                Filmed::Ordinary(Some(bare)) => return self.send_event(app, &bare, receipts),
            }
        }
        if let Destination::Connection(socket) = event.to {
            let frame = || server_message::connection_event(&event.name, &event.data);
            let sent = self.send_to_socket(app, socket, frame)
                || self.bus().is_some_and(|bus| bus.carry_to_socket(app, socket, &frame()));
            if sent && enabled!(Level::DEBUG) {
                accepted::tell(app, event);
            }
            return if sent { Sent::Out } else { Sent::ToNobody };
        }
        if enabled!(Level::DEBUG) {
            accepted::tell(app, event);
        }
        if let Destination::Subscribers { channel, except } = &event.to {
            let encode = || self.encode(app, channel, event);
            let is_remembered = event.source.is_remembered() && channel.channel_type().is_cache();
            let ttl = is_remembered.then(|| app.app().cache_ttl);
            let way = Way { app, channel, except: *except, numbered: None };
            match self.bus() {
                None => self.broadcast_here(&way, ttl, encode),
                Some(bus) => self.broadcast_everywhere(&*bus, &way, ttl, &encode(), receipts),
            }
        }
        Sent::Out
    }

    /// Sends a message to the subscribers of a channel on all nodes; `ttl` is how long the channel remembers it, if it does. It
    /// is made also if there are none on this one.
    #[cold]
    fn broadcast_everywhere(
        &self,
        bus: &dyn Bus,
        way: &Way<'_>,
        ttl: Option<Duration>,
        message: &Broadcast,
        receipts: Option<&mut Receipts>,
    ) {
        let Way { app, channel, except, .. } = *way;
        let latest = message.latest().map(|key| &*key.event);
        let keeping = if app.keeps_history() { app.app().history(channel) } else { None };
        let outgoing = Outgoing { app, channel, message, latest, except, remembered_for: ttl, keeping };
        match bus.carry(&outgoing, receipts.map(Receipts::ask)) {
            Carriage::Returns => {}
            Carriage::Onward => self.broadcast_here(way, ttl, || message.clone()),
        }
    }

    /// Sends a message that was accepted here to the subscribers on this node. It is remembered or kept where the channel does
    /// so; else it is made only if there are subscribers.
    #[inline]
    fn broadcast_here(&self, way: &Way<'_>, ttl: Option<Duration>, message: impl FnOnce() -> Broadcast) {
        if let Some(ttl) = ttl {
            let remembering = Remembering { number: None, is_recalled: false, is_delivered: false, ttl };
            self.broadcast_and_remember(way, &message(), remembering);
        } else if let Some(terms) = way.app.history_terms(way.channel) {
            self.broadcast_and_keep(way, &message(), terms);
        } else {
            self.broadcast(way.app, way.channel, message, way.except);
        }
    }

    /// Sends a message to every subscriber of a channel on this node but for one connection; it is made only if there are subscribers.
    /// From a worker's thread its own are reached directly, and events of one publisher stay in order everywhere.
    pub(super) fn broadcast(
        &self,
        app: &AppState,
        channel: &ChannelName,
        message: impl FnOnce() -> Broadcast,
        except: Option<SocketId>,
    ) {
        let own = Worker::current(self);
        let mut direct = None;
        {
            // Posted under the entry, so that a command to a worker always follows its subscription.
            let Some(entry) = app.channels.get(channel) else { return };
            if entry.history().is_some() {
                // The settings had none for it a moment ago, or it is about to lose it: who has joined meanwhile may come back
                // for the event.
                drop(entry);
                let way = Way { app, channel, except, numbered: None };
                return self.broadcast_by_mailboxes(&way, &message());
            }
            let message = message();
            for (worker, hearers) in entry.subscribers().groups() {
                let is_own = own.as_ref().is_some_and(|own| own.index() == worker);
                if is_own && hearers <= HEARERS_PER_TURN && self.mailbox(worker).is_empty() {
                    direct = Some(message.clone());
                    continue;
                }
                self.post_broadcast(worker, app, channel, &message, except, None);
            }
        }
        if let (Some(worker), Some(message)) = (own, direct) {
            worker.deliver(app.index(), channel, &message, except);
        }
    }

    /// The same through the mailboxes alone, of whatever thread, and kept where the channel has a history.
    #[inline(never)]
    pub(super) fn broadcast_by_mailboxes(&self, way: &Way<'_>, message: &Broadcast) {
        let Way { app, channel, except, .. } = *way;
        if let Some(terms) = app.history_terms(channel) {
            return self.broadcast_and_keep(way, message, terms);
        }
        if let Some(entry) = app.channels.get(channel) {
            for worker in entry.subscribers().workers() {
                self.post_broadcast(worker, app, channel, message, except, None);
            }
        }
    }

    /// The same on a cache channel, which remembers the message. It gets a version, so that a subscriber that is given it
    /// as the remembered one does not hear it again. Nothing happens if the channel remembers one with its number or a
    /// larger one; nor, but for the number, if the engine was asked for it and the channel remembers just that. One that had to
    /// give way to others is remembered again, and that is all; so is one that the engine was asked for where the channel's
    /// events come from the engine's stream. From there each is sent and kept whose turn it is.
    pub(super) fn broadcast_and_remember(
        &self,
        way: &Way<'_>,
        message: &Broadcast,
        remembering: Remembering,
    ) {
        let Way { app, channel, except, numbered } = *way;
        let Remembering { number, is_recalled, is_delivered, ttl } = remembering;
        let frame = message.plain().clone();
        let settings = app.app();
        let bytes = frame.websocket().len();
        let expires = app.clock().now() + ttl;
        let (_, due) = app.clock().wait_until(expires, Timed::CacheExpiry);
        let terms = app.history_terms(channel);
        let is_of_stream = terms.is_some() && numbered.is_some();
        let comes_by_stream = terms.is_some() && is_recalled && self.engine_epoch().is_some();
        let forgotten = {
            let mut entry = app.channels.entry(channel.clone()).or_default();
            let gave_way = number.is_some_and(|number| entry.gave_way(number));
            let mut is_known = false;
            if let Some(number) = number.filter(|_| !gave_way) {
                is_known = entry.has_remembered(number, is_recalled);
                if is_known && !is_of_stream
                    || (is_recalled || is_delivered) && entry.renumber(&frame, number)
                {
                    return;
                }
            }
            let version = self.next_version();
            let number = number.map(EngineNumber::new);
            if !is_known {
                entry.remember(CachedEvent { frame, expires, version, number });
            }
            let is_sent = !is_delivered && !comes_by_stream && (is_of_stream || !gave_way);
            // What is recalled was published before: it is no event of a history that begins with it.
            let is_new = !is_recalled || entry.history().is_some() || !entry.subscribers().is_nobody_here();
            for worker in entry.subscribers().workers().filter(|_| is_sent) {
                self.post_broadcast(worker, app, channel, message, except, Some(version));
            }
            if let Some(terms) = terms.filter(|_| is_sent && is_new) {
                app.keep((channel, &mut entry), terms, message, except, (version, numbered));
            }
            // Under the entry: of two publishers the one that the channel remembers is the last one to be noted, too.
            let remember =
                || app.cache.lock().remember(channel, version, bytes, (expires, due), &settings.limits);
            (!is_known).then(remember)
        };
        forgotten.into_iter().for_each(|forgotten| app.make_room(forgotten));
        if terms.is_some() {
            self.keep_histories_within(app);
        }
    }

    /// The same on a channel that keeps its last events. The message gets a version, so that a subscriber that is sent it as
    /// one that it missed does not hear it again.
    pub(super) fn broadcast_and_keep(&self, way: &Way<'_>, message: &Broadcast, terms: HistoryTerms) {
        let Way { app, channel, except, numbered } = *way;
        let is_empty = {
            let mut entry = app.channels.entry(channel.clone()).or_default();
            let version = self.next_version();
            for worker in entry.subscribers().workers() {
                self.post_broadcast(worker, app, channel, message, except, Some(version));
            }
            app.keep((channel, &mut entry), terms, message, except, (version, numbered));
            entry.subscribers().is_nobody_here() && entry.history().is_none_or(History::is_empty)
        };
        if is_empty {
            app.channels.remove_if(channel, |_, entry| entry.is_forgettable());
            app.fold_vacant_channels();
        }
        self.keep_histories_within(app);
    }

    /// The message that subscribers of the channel are sent.
    fn encode(&self, app: &AppState, channel: &ChannelName, event: &AcceptedEvent<'_>) -> Broadcast {
        let message = Broadcast::new(event.frame_on(channel), self.connection.compression);
        match app.app().delivery(channel) {
            Delivery::Every => message,
            Delivery::Latest => {
                message.latest_only(LatestKey { channel: channel.clone(), event: event.name.as_ref().into() })
            }
            Delivery::Video => self.beside_tracks(message, channel, event),
        }
    }

    /// The message of an event that is of no track, on a video channel: of pictures slow subscribers need only the newest of
    /// each name, and stills are for those who take no tracks.
    #[cold]
    fn beside_tracks(
        &self,
        message: Broadcast,
        channel: &ChannelName,
        event: &AcceptedEvent<'_>,
    ) -> Broadcast {
        let picture = event.data.as_binary().filter(|binary| binary.media_type().starts_with("image/"));
        let Some(picture) = picture else { return message };
        let key = LatestKey { channel: channel.clone(), event: event.name.as_ref().into() };
        let message = message.latest_only(key);
        if is_still(picture) { message.for_stills() } else { message }
    }

    /// Has a worker deliver a message; `version` as in [`WorkerCommand::Broadcast`].
    pub(super) fn post_broadcast(
        &self,
        worker: WorkerIndex,
        app: &AppState,
        channel: &ChannelName,
        message: &Broadcast,
        except: Option<SocketId>,
        version: Option<ChannelVersion>,
    ) {
        let (app, channel, message) = (app.index(), channel.clone(), message.clone());
        self.mailbox(worker).post(WorkerCommand::Broadcast { app, channel, message, except, version });
    }
}
