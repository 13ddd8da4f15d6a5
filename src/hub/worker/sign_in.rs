//! A connection signs in as a user: who watches the user hears it, and the connection hears of those whom it watches.

use std::rc::Rc;
use std::sync::Arc;

use indexmap::set::Slice;

use crate::hub::users::Address;
use crate::hub::{Client, Notice};
use crate::protocol::{Frame, server_message};

use super::Worker;

impl Worker {
    /// Makes known that a connection is signed in as the user, and confirms it; tells it how the users of its
    /// watchlist are, and those who watch the user that it has come online.
    pub fn sign_in(&self, client: &Rc<Client>, user_id: &Arc<str>, watchlist: &[Arc<str>], answer: Frame) {
        let (app, address) = (client.app(), (self.index, client.socket_id()));
        let came = || server_message::watchlist_events(std::slice::from_ref(user_id), &[]);
        let tell = |watchers: &Slice<Address>| self.hub.post_to_sockets(app, watchers, came);
        let watched = app.users.sign_in(user_id, address, watchlist, tell);
        self.hub.announce(app, &Notice::SignedIn { socket_id: client.socket_id(), user_id });
        self.send(client, answer);
        if !watchlist.is_empty() {
            self.send(client, server_message::watchlist_events(&watched.online, &watched.offline));
        }
    }
}
