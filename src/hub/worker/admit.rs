//! A new connection: whether there is room for it, its name, and that it is known from then on.

use std::rc::Rc;
use std::time::Duration;

use crate::hub::sockets::{NotAdmitted, Quota};
use crate::hub::{AppState, Client, Notice, Transport};
use crate::protocol::SocketId;

use super::{Worker, key};

/// A place for a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// Its name.
    pub socket_id: SocketId,
    /// Where the app demands that connections authorize themselves: how long this one has for it.
    pub authorize_within: Option<Duration>,
}

impl Worker {
    /// Draws a socket id for a new connection of an app, if there is room for one. It must be followed by
    /// [`Worker::open`], or by [`Worker::disconnect`] of the same id. `authorized`: it has shown already what its app
    /// may demand of connections.
    ///
    /// # Errors
    /// If the app or the node is full.
    pub fn admit(&self, app: &AppState, authorized: bool) -> Result<Admission, NotAdmitted> {
        let settings = app.app();
        let waits = settings.authorized_connections && !authorized;
        let authorize_within = waits.then_some(settings.authorization_timeout);
        let room = app.connections_elsewhere.room_here(settings.limits.connections);
        let quota = if authorize_within.is_some() { Quota::Waiting } else { Quota::Counted { room } };
        Ok(Admission { socket_id: self.place(app, quota)?, authorize_within })
    }

    fn place(&self, app: &AppState, quota: Quota) -> Result<SocketId, NotAdmitted> {
        let mut random = rand::rng();
        let mut number = |largest: u32| rand::RngExt::random_range(&mut random, 1..=largest);
        let tag = self.hub.bus().map(|bus| bus.socket_tag());
        let draw = || match tag {
            None => SocketId::new(number(SocketId::MAX), number(SocketId::MAX)),
            Some(tag) => SocketId::tagged(tag, number(u16::MAX.into()) as u16, number(SocketId::MAX)),
        };
        let tell = |count| self.hub.tell_connections(app, count);
        self.hub.sockets.admit(app.index(), &app.counters.peak, quota, self.index, draw, tell)
    }

    /// A connection that had to authorize itself is about to: from now on it counts towards the app's quota. Returns
    /// whether it did not before.
    ///
    /// # Errors
    /// If the app is full.
    pub fn count<T: Transport + ?Sized>(&self, client: &Client<T>) -> Result<bool, NotAdmitted> {
        let app = client.app();
        let room = app.connections_elsewhere.room_here(app.app().limits.connections);
        let tell = |count| self.hub.tell_connections(app, count);
        self.hub.sockets.count(app.index(), room, client.socket_id(), tell)
    }

    /// Takes that back: the connection did not come to authorize itself.
    pub(super) fn uncount<T: Transport + ?Sized>(&self, client: &Client<T>) {
        let app = client.app();
        let tell = |count| self.hub.tell_connections(app, count);
        self.hub.sockets.uncount(app.index(), client.socket_id(), tell);
    }

    /// Makes a new connection known.
    pub fn open(&self, client: &Rc<Client>) {
        self.clients.borrow_mut().insert(key(client), Rc::clone(client));
        client.app().counters.opened();
        self.hub.announce(client.app(), &Notice::SocketOpened(client.socket_id()));
    }
}
