//! A connection whose client has given itself a name: what it is sent of channels with a history, what it says to have
//! received, and how that is found again by the client's next connection.
//!
//! Also one that cannot be found again is told of each such channel that it may have missed something: its name is none that
//! is kept, several clients come with it, or there is no room.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::debug;

use crate::channel::{ChannelVersion, HistoryPosition, NodeId, Wanted};
use crate::protocol::{ChannelName, CloseCode, SocketId};
use crate::recovery::{
    Arrived, ClientNameTable, CursorBytes, Echoes, GivenName, NameBounds, NameCounts, NameHold, NameKey,
    NoteNumber, Payload, ReceivedPlace, ReceivedUpTo, RecoveryConfig, TakenName, Track,
};

use super::handed_names::HandedNames;
use super::note_counts::{NoteCounts, NoteFigures};
use super::recent_recoveries::NamedAs;
use super::{AddressGroup, AppIndex, AppState, Hub, NameWord};

/// Names that are forgotten per turn because their time is over.
const NAMES_PER_TURN: usize = 256;

/// The share of all cursors' bytes that those of one client address may take: `cursor_bytes` is divided by it. So whoever has a
/// thousand names and gives each a thousand channels leaves room for everybody else.
const SHARE_OF_ADDRESS: usize = 16;

/// How far ahead a connection is looked at: a little less than the wheel of those looks reaches.
const FARTHEST_LOOK: Duration = Duration::from_secs(2);

/// How lately a client must have been heard to be there, where it does not say that it has heard its end: a response that waits
/// for it may be one of a line that has died without a word.
const LATELY: Duration = Duration::from_secs(5);

/// What a connection is told whose name another one has taken over.
const TAKEN_OVER: &str = "Taken over: another connection came with the name of this one";

/// The names of a node's clients.
#[derive(Debug)]
pub(super) struct ClientNames {
    pub(super) table: Mutex<ClientNameTable<AppIndex, AddressGroup, SocketId>>,
    cursors: Arc<CursorBytes>,
    /// What other nodes were told of them.
    pub(super) notes: NoteCounts,
    /// Those that the process before has left.
    pub(super) handed: HandedNames,
    /// Pings behind events, since the start.
    pings: AtomicU64,
}

/// How many names there are, and what has become of others; what is kept for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NameFigures {
    pub(crate) names: NameCounts,
    pub(crate) cursors: usize,
    pub(crate) cursor_bytes: usize,
    pub(crate) pings: u64,
    pub(crate) notes: NoteFigures,
}

/// What a client calls itself, and where it comes from.
#[derive(Clone, Debug)]
pub(crate) struct NamedCaller {
    /// The key of the app that it came with.
    pub(crate) key: Arc<str>,
    pub(crate) name: GivenName,
    pub(crate) address: Option<AddressGroup>,
}

/// What is known of a connection whose client has a name.
#[derive(Debug)]
pub(crate) struct NamedClient {
    /// Until it takes its name.
    pub(super) caller: RefCell<Option<NamedCaller>>,
    /// Ends when it is known here what other nodes know of its name, once that was asked.
    pub(super) asked: RefCell<Option<watch::Receiver<()>>>,
    /// What that is, until it takes its name.
    pub(super) came: RefCell<Option<TakenName>>,
    /// Its connection has ended.
    pub(super) is_over: Cell<bool>,
    /// None if the name is not kept, before it is taken, and from the connection's end on.
    hold: RefCell<Option<NameHold<AppIndex>>>,
    /// Whom it is signed in as.
    user: RefCell<Option<Arc<str>>>,
    /// From its end on: the name, if another connection had it by then.
    taken_over: RefCell<Option<TakenOver>>,
    echoes: RefCell<Echoes>,
    /// When the worker looks next whether a ping is to be sent, if it does.
    awaited: Cell<Option<Instant>>,
    /// When something came from its client last.
    heard: Cell<Option<Instant>>,
}

/// A name that another connection has taken over: of this node, or of another one.
#[derive(Clone, Debug)]
pub(super) enum TakenOver {
    Here(Arc<NameKey<AppIndex>>),
    Elsewhere { number: NoteNumber, node: NodeId },
}

impl NamedClient {
    /// A connection that has come, and has not subscribed to anything yet. It may be pinged that often.
    pub(super) fn new(caller: NamedCaller, pace: Option<Duration>) -> Self {
        NamedClient {
            caller: RefCell::new(Some(caller)),
            asked: RefCell::default(),
            came: RefCell::default(),
            is_over: Cell::new(false),
            hold: RefCell::default(),
            user: RefCell::default(),
            taken_over: RefCell::default(),
            echoes: RefCell::new(Echoes::new(pace)),
            awaited: Cell::new(None),
            heard: Cell::new(None),
        }
    }

    /// Something came from the client, whatever it was.
    pub(crate) fn heard(&self, now: Instant) {
        self.heard.set(Some(now));
        let received = self.echoes.borrow_mut().taken_as_received(now);
        self.received(received);
    }

    /// Whether something came from the client a moment ago, so that it is there most likely.
    pub(crate) fn was_heard_lately(&self, now: Instant) -> bool {
        self.heard.get().is_some_and(|heard| now.saturating_duration_since(heard) <= LATELY)
    }

    /// What its client wants of a channel that it subscribes to, as that member. With its first subscription to a channel that
    /// keeps something, a connection takes its name: clients try several ways at once, and the connections that they give up
    /// subscribe to nothing.
    #[cold]
    pub(super) fn wanted(
        &self,
        hub: &Hub,
        (app, socket_id): (&AppState, SocketId),
        channel: &ChannelName,
        member: Option<&str>,
    ) -> Wanted {
        if app.app().history(channel).is_some()
            && let Some(caller) = self.caller.take()
        {
            let hold = hub.take_name(app, socket_id, caller, self.came.take());
            *self.hold.borrow_mut() = hold;
            if let (Some(hold), Some(user)) = (&*self.hold.borrow(), &*self.user.borrow()) {
                hub.names.table.lock().signed_in(hold, user);
            }
        }
        let hold = self.hold.borrow();
        let Some(NameHold { cursors, number, .. }) = &*hold else { return Wanted::Unknown };
        let cursors = cursors.lock();
        match cursors.wanted_by(*number, channel, member, app.clock().now()) {
            Some(received) => {
                let position = match received {
                    ReceivedPlace::Here(version) => {
                        HistoryPosition { epoch: hub.history_epoch(), number: version.number() }
                    }
                    ReceivedPlace::Elsewhere(place) => place,
                };
                Wanted::Since { position, own: cursors.sockets() }
            }
            None => Wanted::Unknown,
        }
    }

    /// What its client is called.
    #[cold]
    pub(super) fn named_as(&self) -> NamedAs {
        match &*self.hold.borrow() {
            None => NamedAs::NotKept,
            Some(NameHold { key, cursors, .. }) if cursors.lock().sockets().len() > 1 => {
                NamedAs::Returning(key.name.clone())
            }
            Some(NameHold { key, .. }) => NamedAs::New(key.name.clone()),
        }
    }

    /// It has subscribed to a channel with a history, and is sent all that it wanted, or told that it is not. Returns what
    /// follows the channel's events on their way, if the client can be found again.
    pub(super) fn joined(
        &self,
        hub: &Hub,
        channel: &ChannelName,
        member: Option<&Arc<str>>,
        (version, is_complete): (ChannelVersion, bool),
    ) -> Option<Rc<Track>> {
        let hold = self.hold.borrow();
        let NameHold { key, cursors, number } = hold.as_ref()?;
        let (joined, of_address) = {
            let mut cursors = cursors.lock();
            (cursors.joined(*number, channel, member, is_complete)?, cursors.bytes_of_address())
        };
        if !hub.make_room_for_cursors(key, of_address) {
            cursors.lock().unsubscribed(*number, channel);
            return None;
        }
        Some(Rc::new(Track::new(channel.clone(), joined, version)))
    }

    /// It is sent something of a channel, if it has to be. Returns whether the worker has to look after it in this turn.
    pub(super) fn follow(
        &self,
        track: &Rc<Track>,
        version: ChannelVersion,
        is_sent: bool,
        now: impl FnOnce() -> Instant,
    ) -> bool {
        let mut echoes = self.echoes.borrow_mut();
        if !is_sent {
            echoes.passed(track, version);
            return false;
        }
        if !echoes.sent(track, version) {
            return false;
        }
        let now = now();
        let (next, awaited) = (echoes.next_look(now), self.awaited.get());
        let is_sooner = next.is_some_and(|next| awaited.is_none_or(|awaited| next < awaited));
        if is_sooner {
            self.awaited.set(Some(now));
        }
        is_sooner
    }

    /// The worker looks after it. `has_left`: all that it was sent has left this node. Returns the ping that it is to be
    /// sent, and when to look again. Nothing, if the worker was to look earlier and has, or will later.
    pub(super) fn look(&self, now: Instant, has_left: bool) -> (Option<Payload>, Option<Instant>) {
        if self.awaited.get().is_none_or(|awaited| awaited > now) {
            return (None, None);
        }
        let mut echoes = self.echoes.borrow_mut();
        let ping = echoes.look(now, has_left);
        // What is due later comes out of the worker's wheel too early, and would not be put in again.
        let again = echoes.next_look(now).map(|again| again.min(now + FARTHEST_LOOK));
        self.awaited.set(again);
        (ping, again)
    }

    /// A pong came, with this in it.
    pub(crate) fn echoed(&self, payload: &[u8]) {
        let received = self.echoes.borrow_mut().echoed(payload);
        self.received(received);
    }

    fn received(&self, received: ReceivedUpTo) {
        if received.is_empty() {
            return;
        }
        if let Some(NameHold { cursors, .. }) = &*self.hold.borrow() {
            let mut cursors = cursors.lock();
            for (track, version) in received {
                cursors.received(&track.channel, track.joined, version);
            }
        }
    }

    /// Its client has unsubscribed from a channel.
    pub(super) fn unsubscribed(&self, channel: &ChannelName) {
        if let Some(NameHold { cursors, number, .. }) = &*self.hold.borrow() {
            cursors.lock().unsubscribed(*number, channel);
        }
    }
}

impl ClientNames {
    /// None yet, within the bounds of this configuration.
    pub(super) fn new(config: &RecoveryConfig) -> Self {
        let table = ClientNameTable::new(bounds(config));
        let cursors = Arc::clone(table.cursor_bytes());
        let notes = NoteCounts::new(table.changed_notes());
        let handed = HandedNames::default();
        ClientNames { table: Mutex::new(table), cursors, notes, handed, pings: AtomicU64::new(0) }
    }

    /// From now on the bounds are these.
    pub(super) fn set_bounds(&self, config: &RecoveryConfig) {
        self.table.lock().set_bounds(bounds(config));
    }

    /// A ping was sent behind events.
    pub(super) fn count_ping(&self) {
        self.pings.fetch_add(1, Ordering::Relaxed);
    }

    /// A user of an app was terminated: those who were signed in as that user find nothing when they come back.
    pub(super) fn terminated(&self, app: &AppState, user: &str) {
        self.table.lock().terminated(&app.index(), &user.into(), Instant::now());
        self.handed.terminated(app.index(), user);
    }

    /// Forgets those that were left for too long, as far as one turn allows. Returns whether that was all.
    pub(super) fn expire(&self) -> bool {
        let now = Instant::now();
        self.handed.expire(now);
        self.table.lock().expire(now, NAMES_PER_TURN)
    }
}

impl Hub {
    /// A connection takes its name, over from another one if one has it: that one ends. `came`: what has become of the name among
    /// the other nodes.
    pub(super) fn take_name(
        &self,
        app: &AppState,
        socket_id: SocketId,
        caller: NamedCaller,
        came: Option<TakenName>,
    ) -> Option<NameHold<AppIndex>> {
        let NamedCaller { key, name, address } = caller;
        let GivenName::Fit(name) = name else { return None };
        let is_noted = self.bus().is_some_and(|bus| bus.keeps_names());
        let who = (socket_id, socket_id);
        let Arrived { hold, taken_from } = if is_noted {
            self.arrive_noted(app, NameKey { app: app.index(), key, name }, who, (address, came))
        } else {
            self.arrive_alone(app, NameKey { app: app.index(), key, name }, who, address, came)
        };
        if let Some(socket) = taken_from {
            self.end_namesake(app, socket, socket_id);
        }
        if let Err(reason) = &hold {
            debug!(app = app.id(), %socket_id, ?reason, "served without recovery");
        }
        hold.ok()
    }

    /// Ends the connection that had the name.
    fn end_namesake(&self, app: &AppState, socket: SocketId, taken_by: SocketId) {
        debug!(app = app.id(), socket_id = %socket, %taken_by, "its name was taken over");
        self.end_taken_over(app, socket);
    }

    /// Ends a connection whose name another one has.
    pub(super) fn end_taken_over(&self, app: &AppState, socket: SocketId) {
        self.close_socket_with(app, socket, CloseCode::OverCapacity.into(), TAKEN_OVER.into());
    }

    /// A connection that has a name ends.
    pub(super) fn leave_name(&self, app: &AppState, named: &NamedClient, socket: SocketId) {
        named.is_over.set(true);
        if let (Some(caller), Some(came)) = (named.caller.take(), named.came.take()) {
            self.keep_name_for_return(app, socket, caller, came);
        }
        if let Some(hold) = named.hold.take()
            && let Some(taken_over) = self.leave_held(app, &hold)
        {
            named.taken_over.replace(Some(taken_over));
        }
    }

    /// A connection ends that holds a name. Returns who has it by now, if that is another one.
    pub(super) fn leave_held(&self, app: &AppState, hold: &NameHold<AppIndex>) -> Option<TakenOver> {
        let is_taken = self.names.table.lock().leave(hold, (Instant::now(), app.clock().now()));
        self.tell_names_at_once();
        is_taken.then(|| {
            let elsewhere = hold.cursors.lock().is_at_node();
            elsewhere.map_or_else(
                || TakenOver::Here(Arc::clone(&hold.key)),
                |(number, node)| TakenOver::Elsewhere { number, node },
            )
        })
    }

    /// The peer has heard that its name was taken over: it was there.
    pub(crate) fn takeover_heard(&self, named: &NamedClient) {
        match named.taken_over.take() {
            Some(TakenOver::Here(key)) => {
                self.names.table.lock().was_there(&key, Instant::now());
                self.tell_names_at_once();
            }
            Some(TakenOver::Elsewhere { number, node }) => {
                if let Some(bus) = self.bus() {
                    bus.tell_of_name(number, node, NameWord::WasThere);
                }
            }
            None => {}
        }
    }

    /// The client of a connection that has a name is signed in.
    #[cold]
    pub(super) fn signed_in_with_name(&self, named: &NamedClient, user: &Arc<str>) {
        named.user.replace(Some(Arc::clone(user)));
        if let Some(hold) = &*named.hold.borrow() {
            self.names.table.lock().signed_in(hold, user);
        }
    }

    /// A cursor of a name was made, and those of its address take so many bytes. Returns whether there is room for it.
    fn make_room_for_cursors(&self, key: &NameKey<AppIndex>, of_address: usize) -> bool {
        let NameBounds { cursor_bytes, cursor_bytes_per_address, .. } = bounds(self.recovery());
        let is_within = self.names.cursors.bytes() <= cursor_bytes && of_address <= cursor_bytes_per_address;
        is_within || self.names.table.lock().make_room(key)
    }

    /// What there is of names.
    pub(crate) fn name_figures(&self) -> NameFigures {
        let ClientNames { table, cursors, pings, notes, handed } = &self.names;
        let (mut names, pings) = (table.lock().counts(), pings.load(Ordering::Relaxed));
        names.left += handed.len();
        let (cursors, cursor_bytes, notes) = (cursors.cursors(), cursors.bytes(), notes.figures());
        NameFigures { names, cursors, cursor_bytes, pings, notes }
    }
}

/// The bounds that a configuration has for names.
fn bounds(config: &RecoveryConfig) -> NameBounds {
    NameBounds {
        retention: config.retention,
        names: config.max_names,
        per_address: config.max_names_per_address,
        cursor_bytes: config.cursor_bytes,
        cursor_bytes_per_address: config.cursor_bytes / SHARE_OF_ADDRESS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::wheel::Wheel;
    use crate::recovery::{Cursors, PACE};

    /// A client that reads nothing for longer than the worker's wheel reaches goes on to be asked what it has received.
    #[test]
    fn a_stall_does_not_end_the_pings() {
        let start = Instant::now();
        let (name, _) = GivenName::take_off("/r/0123456789abcdefghijkl/app/k");
        let named = NamedClient::new(NamedCaller { key: "k".into(), name, address: None }, Some(PACE));
        let mut cursors = Cursors::new(Duration::from_secs(300), &Arc::default());
        let holder = cursors.taken_by(SocketId::new(1, 1), start);
        let channel = ChannelName::parse("c", 164).unwrap();
        let joined = cursors.joined(holder, &channel, None, false).unwrap();
        let track = Rc::new(Track::new(channel, joined, ChannelVersion::new(1)));
        let resolution = Duration::from_millis(10);
        let mut wheel = Wheel::new(resolution, start);
        let (mut unanswered, mut pings_after) = (Vec::new(), 0);
        // An event each 50 ms for 40 s; from the second to the twentieth second nothing is answered.
        for tick in 1..4000_u64 {
            let now = start + resolution * u32::try_from(tick).unwrap();
            let mut looks = 0;
            wheel.turn(now, |()| looks += 1);
            if tick % 5 == 0 {
                looks += usize::from(named.follow(&track, ChannelVersion::new(tick + 1), true, || now));
            }
            for _ in 0..looks {
                let (ping, again) = named.look(now, true);
                if let Some(ping) = ping {
                    unanswered.push(ping);
                    pings_after += usize::from(tick > 2100);
                }
                if let Some(again) = again {
                    wheel.insert(again, ());
                }
            }
            if !(200..2000).contains(&tick) {
                unanswered.drain(..).for_each(|ping| named.echoed(ping.bytes()));
            }
        }
        assert!(pings_after > 100, "{pings_after}");
    }
}
