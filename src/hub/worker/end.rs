//! A connection has ended: now or in the next turns its subscriptions end, it is forgotten, and its socket is closed.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::channel::Fact;
use crate::connection::Cleanup;
use crate::hub::leaving::{ENDS_AT_ONCE, ENDS_PER_TURN};
use crate::hub::{Client, Notice, ShutdownGuard};

use super::{Worker, key};

/// The time for ends of connections in one turn: to forget a user with a long watchlist takes as long as ten others.
const TIME_OF_ENDS: Duration = Duration::from_millis(1);

impl Worker {
    /// Ends what a connection leaves behind and forgets it, now or, if that is much, in the next turns; shutdown then waits
    /// for `shutdown_guard`. Safe to call again.
    pub fn disconnect(&self, client: &Rc<Client>, cleanup: Cleanup, shutdown_guard: Option<&ShutdownGuard>) {
        client.stop_sending();
        match self.leaving.put(client, cleanup, shutdown_guard) {
            Ok(()) => self.wake(),
            Err(cleanup) => {
                cleanup.subscriptions.iter().for_each(|channel| self.leave(client, channel));
                self.forget(client, &cleanup);
            }
        }
    }

    /// Lets go of a connection whose task is over, and with it of its socket, now or in one of the next turns.
    pub fn let_go(&self, client: &Rc<Client>, shutdown_guard: &ShutdownGuard) {
        // What it leaves behind is still queued, and holds it until then.
        let is_held = self.clients.borrow().contains_key(&key(client));
        if !is_held && self.leaving.put_socket(client, shutdown_guard) {
            self.wake();
        }
    }

    /// Ends some of what is left of connections that have ended. Returns whether that was all.
    pub(super) fn see_off(&self) -> bool {
        self.leaving.renew(ENDS_PER_TURN);
        let began = Instant::now();
        while let Some(left) = self.leaving.step(|client, channel| self.leave(client, channel)) {
            if let Some(rest) = &left.rest {
                self.forget(&left.client, rest);
            }
            // With it goes the socket, if the connection's task is over.
            drop(left);
            if began.elapsed() >= TIME_OF_ENDS {
                break;
            }
        }
        self.leaving.renew(ENDS_AT_ONCE);
        self.leaving.is_empty()
    }

    /// There will be no more turns: whatever is left over is done now.
    pub(super) fn end(&self) {
        self.leaving.close();
        while !self.see_off() {}
    }

    /// A connection has no subscriptions any more: ends everything else of it.
    fn forget(&self, client: &Client, cleanup: &Cleanup) {
        if let Some(user_id) = &cleanup.user_id {
            let (app, address) = (client.app(), (self.index, client.socket_id()));
            app.users.remove(user_id, address, |watchers| {
                if let Some(watchers) = watchers {
                    self.hub.tell_offline(app, user_id, watchers);
                }
                if let Some(bus) = self.hub.bus() {
                    bus.tell(app, Fact::SignedOut { user_id: Arc::clone(user_id) });
                }
            });
        }
        self.waiting_joins.forget(key(client));
        let known = self.clients.borrow_mut().remove(&key(client)).is_some();
        let app = client.app();
        self.hub.sockets.remove(app.index(), client.socket_id(), |left| self.hub.tell_connections(app, left));
        if known {
            let (socket_id, user_id) = (client.socket_id(), cleanup.user_id.as_deref());
            let ending = &cleanup.ending;
            client.app().counters.ended(ending);
            self.hub.announce(client.app(), &Notice::SocketClosed { socket_id, user_id, ending });
        }
    }
}
