//! What connections are sent of channels with a history is followed by pings, where their clients have names: the echoes
//! tell what has arrived.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Context;
use std::time::{Duration, Instant};

use indexmap::map::Values;
use tokio::time::Sleep;

use crate::channel::ChannelVersion;
use crate::hub::fanout::Subscriber;
use crate::hub::wheel::Wheel;
use crate::hub::{Client, NamedCaller, NamedClient};
use crate::protocol::{Frame, SocketId};
use crate::recovery::{GivenName, Track};

use super::Worker;

/// How exactly a ping keeps its time.
const RESOLUTION: Duration = Duration::from_millis(10);

/// Connections that are looked after in one turn: each may be sent a ping.
const LOOKS_PER_TURN: usize = 256;

/// The connections of one worker that are to be looked after.
pub(super) struct Pings {
    /// In this turn.
    due: RefCell<Vec<Rc<Client>>>,
    /// Later.
    later: RefCell<Wheel<Rc<Client>>>,
    /// The next time at which one of these may be due.
    sleep: RefCell<Option<Pin<Box<Sleep>>>>,
}

impl Pings {
    pub(super) fn new(now: Instant) -> Self {
        Pings {
            due: RefCell::default(),
            later: RefCell::new(Wheel::new(RESOLUTION, now)),
            sleep: RefCell::default(),
        }
    }

    /// Whether nobody waits.
    fn is_empty(&self) -> bool {
        self.due.borrow().is_empty() && self.later.borrow().len() == 0
    }

    /// Takes out those whose time has come.
    fn take_due(&self) -> Vec<Rc<Client>> {
        let mut due = self.due.take();
        self.later.borrow_mut().turn(Instant::now(), |client| due.push(client));
        due
    }

    /// Sees to it that the task is woken while there is somebody later.
    fn arm(&self, context: &mut Context<'_>) {
        let mut sleep = self.sleep.borrow_mut();
        if self.later.borrow().len() == 0 {
            *sleep = None;
            return;
        }
        let next = || Box::pin(tokio::time::sleep(RESOLUTION));
        // Polled until it waits, so that its end wakes the task.
        while sleep.get_or_insert_with(next).as_mut().poll(context).is_ready() {
            *sleep = None;
        }
    }
}

impl Worker {
    /// The client of a connection has named itself.
    pub(crate) fn name(&self, client: &Client, caller: NamedCaller) {
        client.set_named(NamedClient::new(caller, client.ping_pace()));
    }

    /// The same, for whoever counts what it costs: this text is the name, to a connection with this key.
    pub fn name_as(&self, client: &Client, key: &str, name: &str) {
        let (name, _) = GivenName::take_off(&format!("/r/{name}"));
        self.name(client, NamedCaller { key: key.into(), name, address: None });
    }

    /// A connection ends: what its client has received is kept under its name.
    pub(crate) fn leave_name(&self, client: &Client) {
        if let Some(named) = client.named() {
            self.hub.leave_name(client.app(), named, client.socket_id());
        }
    }

    /// The local subscribers of a channel with a history were sent an event of it, `except` one.
    #[cold]
    pub(super) fn follow(
        &self,
        subscribers: Values<'_, SocketId, Subscriber>,
        except: Option<SocketId>,
        version: ChannelVersion,
    ) {
        for Subscriber { client, since, track } in subscribers {
            // Who has joined with a later version has a track that is further already.
            if let Some(track) = track
                && !track.goes_on(version)
                && *since < version
            {
                self.follow_one(client, track, version, Some(client.socket_id()) != except);
            }
        }
    }

    /// A connection was sent, or did not have to be sent, what its channel has at this version.
    pub(super) fn follow_one(
        &self,
        client: &Rc<Client>,
        track: &Rc<Track>,
        version: ChannelVersion,
        is_sent: bool,
    ) {
        if let Some(named) = client.named()
            && named.follow(track, version, is_sent, || client.app().clock().now())
        {
            self.pings.due.borrow_mut().push(Rc::clone(client));
            self.wake();
        }
    }

    /// Sends the pings that are due, as far as one turn allows. Returns whether that was all.
    pub(super) fn send_pings(&self, context: &mut Context<'_>) -> bool {
        if self.pings.is_empty() {
            return true;
        }
        self.send_due_pings(context)
    }

    #[cold]
    fn send_due_pings(&self, context: &mut Context<'_>) -> bool {
        let mut due = self.pings.take_due();
        let rest = due.split_off(due.len().min(LOOKS_PER_TURN));
        for client in due {
            if let Some(named) = client.named() {
                self.look_after(&client, named);
            }
        }
        let is_all = rest.is_empty();
        self.pings.due.borrow_mut().extend(rest);
        self.pings.arm(context);
        is_all
    }

    fn look_after(&self, client: &Rc<Client>, named: &NamedClient) {
        if client.is_stopped() {
            return;
        }
        let now = client.app().clock().now();
        let (ping, again) = named.look(now, !client.has_pending());
        if let Some(ping) = ping {
            self.hub.names.count_ping();
            self.queue(client, Frame::ping_with(ping.bytes()), &self.dirty.prompt);
        }
        if let Some(again) = again {
            let again = Instant::now() + again.saturating_duration_since(now);
            self.pings.later.borrow_mut().insert(again, Rc::clone(client));
        }
    }
}
