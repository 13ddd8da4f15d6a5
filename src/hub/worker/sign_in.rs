//! A connection signs in as a user: who watches the user hears it, and the connection hears of those whom it watches.

use std::rc::Rc;
use std::sync::Arc;

use indexmap::set::Slice;

use crate::channel::Fact;
use crate::hub::users::Address;
use crate::hub::{Client, NotAdmitted, Notice};
use crate::protocol::{Frame, server_message};

use super::Worker;

impl Worker {
    /// Makes known that a connection is signed in as the user, and confirms it by `answer`; tells it how the users of its
    /// watchlist are, and those who watch the user that the user is online. `authorizes`: the connection must be counted
    /// towards its app's quota first.
    ///
    /// # Errors
    /// If the app has no room for it. Nothing has changed then.
    pub fn sign_in(
        &self,
        client: &Rc<Client>,
        user_id: &Arc<str>,
        watchlist: &[Arc<str>],
        answer: Frame,
        authorizes: bool,
    ) -> Result<(), NotAdmitted> {
        if authorizes {
            self.count(client)?;
        }
        let (app, address) = (client.app(), (self.index, client.socket_id()));
        let tell = |watchers: Option<&Slice<Address>>| {
            if let Some(watchers) = watchers {
                self.hub.tell_online(app, user_id, watchers);
            }
            if let Some(bus) = self.hub.bus() {
                bus.tell(app, Fact::SignedIn { user_id: Arc::clone(user_id) });
            }
        };
        let watched = app.users.sign_in(user_id, address, watchlist, tell);
        if let Some(named) = client.named() {
            self.hub.signed_in_with_name(named, user_id);
        }
        self.hub.announce(app, &Notice::SignedIn { socket_id: client.socket_id(), user_id });
        self.send(client, answer);
        if !watchlist.is_empty() {
            self.send(client, server_message::watchlist_events(&watched.online, &watched.offline));
        }
        Ok(())
    }
}
