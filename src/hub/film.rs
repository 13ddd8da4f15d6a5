//! Messages of tracks, on video channels: they are taken from who holds the track, kept for those who join, and carried to the
//! viewers, who are sent what they can decode.

use std::borrow::Cow;
use std::sync::{Arc, Weak};
use std::time::Instant;

use dashmap::mapref::entry::Entry;
use tracing::{debug, trace};

use crate::app::App;
use crate::channel::{Channel, ChannelVersion, NodeId};
use crate::connection::Refusal;
use crate::event::{AcceptedEvent, ForwardedFrom, Source};
use crate::protocol::json::Data;
use crate::protocol::{
    BinaryMessage, BinaryPayload, Broadcast, ChannelName, Frame, SocketId, TrackKind, TrackMessage,
    TrackName, server_message, without_publisher,
};
use crate::video::{
    Beginning, ChannelTracks, Filmer, FilmingClaim, KeyframeWish, KeyframesWanted, NotTaken, OtherNode,
    TakenMessage, TakingTerms, ToFilmer, TrackRequest,
};

use super::mailbox::WorkerCommand;
use super::{AppState, Apps, Bus, Hub, NodeVideo, Outgoing, Refused, Worker};

/// What has become of an event that came as a binary message.
pub(super) enum Filmed<'e> {
    /// It was a message of a track, and was taken.
    Taken,
    /// It was one, and was not taken. Whoever sent it was told.
    Refused,
    /// It is an ordinary event; this is what of it is to be sent, where that is not all.
    Ordinary(Option<AcceptedEvent<'e>>),
}

/// A message of a track on its way in.
struct FilmedMessage<'a> {
    channel: &'a ChannelName,
    /// The name of its event.
    event: &'a str,
    filmer: Filmer<'a>,
    about: &'a TrackMessage,
    /// What viewers are sent of it.
    shown: Frame,
    /// As it came, where other nodes are to hear it: they are sent it so.
    carried: Option<Frame>,
    /// The connection that is not sent it.
    except: Option<SocketId>,
}

impl Hub {
    /// What the video channels of all apps hold, and what has become of their messages.
    pub(crate) fn video(&self) -> &NodeVideo {
        &self.video
    }

    /// Takes an event that came as a binary message, if it is one of a track on a video channel.
    #[cold]
    pub(super) fn film<'e>(
        self: &Arc<Self>,
        app: &Arc<AppState>,
        channel: &ChannelName,
        (event, binary): (&'e AcceptedEvent<'_>, &'e BinaryPayload<'_>),
        except: Option<SocketId>,
    ) -> Filmed<'e> {
        if !event.is_of_track() || !app.is_for_films() {
            return Filmed::Ordinary(None);
        }
        if app.app().video(channel).is_none() {
            // A rule may lead it to one, where its publisher is known by what nobody else is told.
            let bare = without_publisher(binary).map(|bare| AcceptedEvent {
                data: Data::of_binary(bare),
                name: Cow::Borrowed(&*event.name),
                source: event.source.clone(),
                to: event.to.clone(),
                raw: None,
            });
            return Filmed::Ordinary(bare);
        }
        let filmer = match &event.source {
            Source::Client { socket_id, user_id } => {
                Filmer::Client { socket: *socket_id, user_id: user_id.as_ref(), channel, event: &event.name }
            }
            Source::Forwarded(from) => {
                let ForwardedFrom { socket_id, user_id, channel, event } = &**from;
                Filmer::Client { socket: *socket_id, user_id: user_id.as_ref(), channel, event }
            }
            Source::Http | Source::Pipe => Filmer::Backend,
        };
        let about = match TrackMessage::read(binary) {
            Ok(Some(about)) => about,
            Ok(None) => return Filmed::Ordinary(None),
            Err(fault) => {
                self.refuse_message(app, channel, &filmer, &fault);
                return Filmed::Refused;
            }
        };
        let user_id = event.source.user_id().map(|user_id| &**user_id);
        let is_carried = self.bus().is_some();
        let (shown, carried) = match bare_frame((&event.name, user_id), binary, &about, channel) {
            Some(bare) => (bare, is_carried.then(|| event.frame_on(channel))),
            None => {
                let frame = event.frame_on(channel);
                (frame.clone(), is_carried.then_some(frame))
            }
        };
        let message =
            FilmedMessage { channel, event: &event.name, filmer, about: &about, shown, carried, except };
        trace!(app = app.id(), %channel, sequence = about.sequence, key = about.is_key, "frame accepted");
        let TakenMessage { told, receipt_at, .. } = match self.take_message(app, &message) {
            Ok(taken) => taken,
            Err(fault) => {
                self.refuse_message(app, channel, &message.filmer, &fault);
                return Filmed::Refused;
            }
        };
        told.iter().for_each(|told| self.tell_filmer(app, told));
        if let Some((at, of)) = receipt_at {
            self.come_to_tell(app, channel, at, of);
        }
        Filmed::Taken
    }

    /// The same of a binary message that another node has accepted, and whether it was one of a track there; that node has told its
    /// publisher what there was to be told. Returns what of it is to be sent, if it is an ordinary event.
    #[cold]
    pub(crate) fn film_from_elsewhere(
        &self,
        app_id: &str,
        channel: &ChannelName,
        (frame, is_of_track): (&Frame, bool),
        except: Option<SocketId>,
        from: NodeId,
    ) -> Option<Frame> {
        let ordinary = || Some(frame.clone());
        let apps = self.apps();
        let app = if is_of_track { films_elsewhere(&apps, app_id) } else { apps.by_id(app_id) };
        let Some(app) = app.filter(|app| app.is_for_films()) else { return ordinary() };
        let Ok(BinaryMessage { event, user_id, payload, .. }) = BinaryMessage::parse(frame.payload()) else {
            return ordinary();
        };
        let about = app.app().video(channel).and_then(|_| TrackMessage::read(&payload).ok().flatten());
        let Some(about) = about else {
            // There it may be one, as the channel may carry tracks there, and then what comes is whole.
            let bare = TrackKind::of(payload.media_type()).and_then(|_| without_publisher(&payload));
            let shown = bare.map(|bare| server_message::binary_event(event, &bare, channel, user_id));
            return shown.or_else(ordinary);
        };
        let filmer = Filmer::Elsewhere { node: OtherNode(from.bits()), user_id };
        let bare = bare_frame((event, user_id), &payload, &about, channel);
        let shown = bare.unwrap_or_else(|| frame.clone());
        let message = FilmedMessage { channel, event, filmer, about: &about, shown, carried: None, except };
        match self.take_message(app, &message) {
            Ok(taken) => taken.told.iter().for_each(|told| self.tell_filmer(app, told)),
            Err(reason) => {
                self.video.count_refused();
                debug!(app = app.id(), %channel, node = %from, %reason, "a message of another node was refused");
                let of = TrackRequest { event: event.into(), track: about.track };
                self.tell_of_own_film(app, channel, (about.kind, &of), from);
            }
        }
        None
    }

    /// What comes from another node was refused: it may not know who films here.
    fn tell_of_own_film(
        &self,
        app: &AppState,
        channel: &ChannelName,
        of: (TrackKind, &TrackRequest),
        to: NodeId,
    ) {
        let (now, own) = (app.clock().now(), OtherNode(self.node_id().bits()));
        let told = app.channels.get_mut(channel).and_then(|mut entry| {
            entry.tracks_mut()?.refused_elsewhere((OtherNode(to.bits()), own), of, now)
        });
        told.iter().for_each(|told| self.tell_filmer(app, told));
    }

    /// Takes a message to the channel's viewers, and other nodes if they are to hear it, if its publisher holds the track.
    fn take_message(&self, app: &AppState, message: &FilmedMessage<'_>) -> Result<TakenMessage, NotTaken> {
        let FilmedMessage { channel, event, ref filmer, about, ref shown, ref carried, except } = *message;
        let cache_bytes = app.app().video(channel).map_or(0, |settings| settings.cache_bytes);
        let is_connected = |socket| self.sockets.worker_of(app.index(), socket).is_some();
        let (now, room) = (app.clock().now(), self.video.room(&app.video));
        let taken = {
            let mut entry = app.channels.entry(channel.clone()).or_default();
            // Drawn under the entry: who joins later is handed the frame by its channel.
            let version = self.next_version();
            let terms = TakingTerms {
                version: version.number(),
                now,
                cache_bytes,
                room,
                is_connected: &is_connected,
            };
            if !app.video.put(channel) {
                return Ok(TakenMessage::default());
            }
            let taken = self.change_tracks(app, &mut entry, |tracks| {
                tracks.take((channel, event), filmer, about, shown, &terms)
            });
            if let Ok(TakenMessage { frame: Some(about), .. }) = &taken {
                let broadcast =
                    |frame: &Frame| Broadcast::new(frame.clone(), false).of_track(Arc::clone(about));
                if let (Some(bus), Some(carried)) = (self.bus(), carried) {
                    let (latest, remembered_for, keeping) = (None, None, None);
                    let message = &broadcast(carried);
                    bus.carry(
                        &Outgoing { app, channel, message, latest, except, remembered_for, keeping },
                        None,
                    );
                }
                let broadcast = broadcast(shown);
                for worker in entry.subscribers().workers() {
                    self.post_broadcast(worker, app, channel, &broadcast, except, Some(version));
                }
            }
            taken
        };
        if taken.is_err() {
            // It may have made the channel, which has no tracks then.
            self.look_after_tracks(app, channel.clone(), now);
        }
        taken
    }

    /// Changes the tracks of a channel, under its entry.
    fn change_tracks<R>(
        &self,
        app: &AppState,
        entry: &mut Channel,
        change: impl FnOnce(&mut ChannelTracks) -> R,
    ) -> R {
        let tracks = entry.tracks_or_new();
        let before = (tracks.len(), tracks.bytes());
        let outcome = change(tracks);
        let after = (tracks.len(), tracks.bytes());
        self.video.changed(&app.video, before, after);
        outcome
    }

    /// A message of a track is not taken: tells the client that sent it, and the log.
    fn refuse_message(
        &self,
        app: &Arc<AppState>,
        channel: &ChannelName,
        filmer: &Filmer<'_>,
        fault: &dyn std::fmt::Display,
    ) {
        self.video.count_refused();
        let refusal = Refusal::track(fault);
        let reason = &refusal.message;
        match *filmer {
            Filmer::Backend | Filmer::Elsewhere { .. } => {
                debug!(app = app.id(), %channel, reason, "a pipe's message was refused");
            }
            Filmer::Client { socket, .. } => {
                debug!(app = app.id(), %channel, socket_id = %socket, reason, "refused");
                self.announce_refusal(
                    Some(app),
                    &Refused::ClientMessage { socket_id: socket, refusal: &refusal, diagnosis: None },
                );
                self.answer_filmer(app, socket, server_message::error(refusal.code, reason));
            }
        }
    }

    fn tell_filmer(&self, app: &AppState, told: &ToFilmer) {
        match told {
            ToFilmer::Client(told) => {
                if told.is_request() {
                    self.video.count_request();
                }
                self.answer_filmer(app, told.socket, told.frame());
            }
            ToFilmer::Node(node, wanted) => {
                if let Some(bus) = self.bus() {
                    bus.want_key_frames(app, Some(NodeId::new(node.0)), wanted);
                }
            }
            ToFilmer::Claim(node, claim) => {
                if let Some(bus) = self.bus() {
                    bus.claim_filming(app, node.map(|node| NodeId::new(node.0)), claim);
                }
            }
        }
    }

    /// Sends a client that films a frame: before anything that it is sent later, if it is one of this worker's.
    fn answer_filmer(&self, app: &AppState, socket: SocketId, frame: Frame) {
        let is_sent = Worker::current(self).is_some_and(|worker| worker.send_to(app.index(), socket, &frame));
        if !is_sent {
            self.send_to_socket(app, socket, || frame);
        }
    }

    /// A publisher is told what has come, although nothing comes any more.
    fn come_to_tell(
        self: &Arc<Self>,
        app: &Arc<AppState>,
        channel: &ChannelName,
        at: Instant,
        of: KeyframeWish,
    ) {
        // Clients are heard within a runtime.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let wait = at.saturating_duration_since(app.clock().now());
        let (hub, app, channel) = (Arc::downgrade(self), Arc::downgrade(app), channel.clone());
        runtime.spawn(async move {
            tokio::time::sleep(wait).await;
            if let (Some(hub), Some(app)) = (hub.upgrade(), Weak::upgrade(&app)) {
                let now = app.clock().now();
                let told = app
                    .channels
                    .get_mut(&channel)
                    .and_then(|mut entry| entry.tracks_mut().and_then(|tracks| tracks.receipt(of, now)));
                if let Some(told) = told {
                    hub.tell_filmer(&app, &told);
                }
            }
        });
    }

    /// Viewers want key frames of the tracks of a channel.
    pub(super) fn want_key_frames(&self, app: &AppState, channel: &ChannelName, wishes: &[KeyframeWish]) {
        if wishes.is_empty() {
            return;
        }
        let now = app.clock().now();
        let told: Vec<ToFilmer> = {
            let Some(mut entry) = app.channels.get_mut(channel) else { return };
            let Some(tracks) = entry.tracks_mut() else { return };
            wishes.iter().filter_map(|wish| tracks.want_key_frame(*wish, now)).collect()
        };
        told.iter().for_each(|told| self.tell_filmer(app, told));
    }

    /// Viewers on another node want key frames of what clients of this one film.
    pub(crate) fn key_frames_wanted_elsewhere(&self, app_id: &str, wanted: &KeyframesWanted) {
        let apps = self.apps();
        let Some(app) = films_elsewhere(&apps, app_id) else { return };
        let now = app.clock().now();
        let told = {
            let Some(mut entry) = app.channels.get_mut(&wanted.channel) else { return };
            entry.tracks_mut().map(|tracks| tracks.wanted_elsewhere(wanted.of.as_ref(), now))
        };
        told.iter().flatten().for_each(|told| self.tell_filmer(app, told));
    }

    /// A client of another node films a track: one of this node that does as well goes on, or is refused from now on.
    pub(crate) fn filming_claimed_elsewhere(&self, app_id: &str, claim: &FilmingClaim, from: NodeId) {
        let apps = self.apps();
        let Some(app) = films_elsewhere(&apps, app_id) else { return };
        let is_connected = |socket| self.sockets.worker_of(app.index(), socket).is_some();
        let (now, own) = (app.clock().now(), OtherNode(self.node_id().bits()));
        let told = {
            let Some(mut entry) = app.channels.get_mut(&claim.channel) else { return };
            if entry.tracks().is_none() {
                return;
            }
            let node = OtherNode(from.bits());
            self.change_tracks(app, &mut entry, |tracks| {
                tracks.claimed_elsewhere((node, own), claim, now, &is_connected)
            })
        };
        told.iter().for_each(|told| self.tell_filmer(app, told));
    }

    /// A connection has joined a channel. Where that is a video channel and no track of it is known here, all nodes are asked for
    /// key frames: until now their frames did not come. It is called under the channel's entry, on a node of several.
    #[cold]
    pub(super) fn look_for_tracks(
        &self,
        app: &AppState,
        bus: &dyn Bus,
        channel: &ChannelName,
        entry: &mut Channel,
    ) {
        let is_due = entry.tracks_or_new().look_elsewhere(app.clock().now());
        if is_due && app.video.put(channel) {
            bus.want_key_frames(app, None, &KeyframesWanted { channel: channel.clone(), of: None });
        }
    }

    /// The tracks of a channel that there are.
    pub(crate) fn track_names(
        &self,
        app: &AppState,
        channel: &ChannelName,
    ) -> Vec<(TrackKind, Arc<TrackName>)> {
        let names = |entry: &Channel| entry.tracks().map(|tracks| tracks.names().collect());
        app.channels.get(channel).and_then(|entry| names(&entry)).unwrap_or_default()
    }

    /// What a viewer of a channel can begin with now.
    pub(super) fn beginnings(&self, app: &AppState, channel: &ChannelName) -> Vec<Beginning> {
        match app.channels.get(channel) {
            // Drawn under the entry, as when somebody joins.
            Some(entry) => beginnings_of(&entry, self.next_version(), app),
            None => Vec::new(),
        }
    }

    /// Forgets the tracks whose holders have gone, and those of channels that carry none any more.
    pub(super) fn sweep_tracks(&self) {
        for app in self.apps().iter() {
            let now = app.clock().now();
            for channel in app.video.channels() {
                self.look_after_tracks(app, channel, now);
            }
        }
    }

    fn look_after_tracks(&self, app: &AppState, channel: ChannelName, now: Instant) {
        if app.app().video(&channel).is_none() {
            return self.keep_tracks(app, channel, |tracks| *tracks = ChannelTracks::default());
        }
        let is_connected = |socket| self.sockets.worker_of(app.index(), socket).is_some();
        self.keep_tracks(app, channel, |tracks| tracks.sweep(now, &is_connected));
    }

    /// The settings of an app have changed, or its listeners. What is kept of channels that carry no tracks any more goes, streams of
    /// them end, and who may film no longer has to show within some seconds that it does.
    pub(super) fn tracks_changed(&self, app: &AppState, before: &App) {
        if !before.carries_tracks() {
            return;
        }
        let (after, now) = (app.app(), app.clock().now());
        for channel in app.video.channels() {
            let may_be_refused = |(source, event): (&ChannelName, &str), track: &TrackName| {
                // A rule may lead from one video channel to another, and its publishers film there.
                let [earlier, later] =
                    [before, &*after].map(|app| app.video(source).map(|settings| &settings.publishers));
                let is_led = || *source == channel || app.may_lead((source, event), (&channel, &track.event));
                earlier != later || !after.client_events || !is_led()
            };
            if let Some(mut entry) = app.channels.get_mut(&channel)
                && let Some(tracks) = entry.tracks_mut()
            {
                tracks.doubt(&may_be_refused, now);
            }
            self.look_after_tracks(app, channel.clone(), now);
        }
        if before.channels != after.channels {
            self.mailboxes.post_to_all(|| WorkerCommand::LookAtStreams { app: app.index() });
        }
    }

    /// Forgets all tracks of an app that was removed.
    pub(super) fn forget_tracks(&self, app: &AppState) {
        app.video.end();
        for channel in app.video.channels() {
            self.keep_tracks(app, channel, |tracks| *tracks = ChannelTracks::default());
        }
    }

    fn keep_tracks(&self, app: &AppState, channel: ChannelName, change: impl FnOnce(&mut ChannelTracks)) {
        let Entry::Occupied(mut entry) = app.channels.entry(channel.clone()) else {
            return app.video.remove(&channel);
        };
        self.change_tracks(app, entry.get_mut(), change);
        if entry.get().tracks().is_some_and(ChannelTracks::is_empty) {
            entry.get_mut().drop_empty_tracks();
            app.video.remove(&channel);
            if entry.get().is_forgettable() {
                entry.remove();
            }
        }
    }
}

/// What viewers are sent of a message of this event and user that proves who films: all but that. None if it proves nothing.
fn bare_frame(
    (event, user_id): (&str, Option<&str>),
    payload: &BinaryPayload<'_>,
    about: &TrackMessage,
    channel: &ChannelName,
) -> Option<Frame> {
    let bare = about.publisher.as_ref().and_then(|_| without_publisher(payload))?;
    Some(server_message::binary_event(event, &bare, channel, user_id))
}

/// An app of which another node has said what is said of tracks alone: there it has video channels, also where this node is yet to
/// be told so.
fn films_elsewhere<'a>(apps: &'a Apps, app_id: &str) -> Option<&'a Arc<AppState>> {
    let app = apps.by_id(app_id)?;
    app.video.note_that_there_could_be();
    Some(app)
}

/// What a viewer can begin with that joins with this version. It is called under the channel's entry.
pub(super) fn beginnings_of(entry: &Channel, version: ChannelVersion, app: &AppState) -> Vec<Beginning> {
    let beginnings = |tracks: &ChannelTracks| tracks.beginnings(version.number(), app.clock().now());
    entry.tracks().map_or_else(Vec::new, beginnings)
}
