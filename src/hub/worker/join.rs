//! A connection subscribes to a channel: it is put on the worker's list, and told what there is.

use std::rc::Rc;

use crate::connection::{Join, NotJoined};
use crate::hub::Client;
use crate::hub::settle::Welcome;
use crate::protocol::server_message;

use super::Worker;

impl Worker {
    /// Subscribes a connection and tells it so; tells the others of a new member. `None` if that must wait: the connection's
    /// driver is woken then, and finds the answer by [`Worker::take_answers`].
    ///
    /// # Errors
    /// If the app has no room for it, or the channel refuses. Nothing has changed then.
    pub fn join(self: &Rc<Self>, client: &Rc<Client>, join: &Join) -> Option<Result<(), NotJoined>> {
        if let Some(bus) = self.hub.bus()
            && self.claim(&bus, client, join)
        {
            return None;
        }
        Some(self.settle(client, join))
    }

    /// Does so now. Where the channel's events were claimed for it, and it is refused, they are released.
    pub(super) fn settle(&self, client: &Rc<Client>, join: &Join) -> Result<(), NotJoined> {
        let result = self.begin(client, join);
        if result.is_err()
            && let Some(bus) = self.hub.bus()
        {
            bus.release(client.app(), &join.channel);
        }
        result
    }

    fn begin(&self, client: &Rc<Client>, join: &Join) -> Result<(), NotJoined> {
        let Join { channel, member, authorizes, .. } = join;
        let app = client.app();
        let _step = app.begin_step();
        let counted = *authorizes && self.count(client).map_err(|_| NotJoined::AppFull)?;
        let by_user = client.version().presence_by_user();
        let settled = self.subscription(client, channel).begin(member.as_ref(), by_user);
        let Welcome { version, roster, remembered } = settled.map_err(|refused| {
            if counted {
                self.uncount(client);
            }
            NotJoined::Refused(refused)
        })?;
        self.channels.borrow_mut().of_or_new(app.index(), app.cells_of(self.index)).insert(
            channel,
            Rc::clone(client),
            version,
        );
        if roster.is_some() || client.version().confirms_every_subscription() {
            self.send(client, server_message::subscription_succeeded(channel, roster.as_deref()));
        }
        if let Some(remembered) = remembered {
            self.send(client, remembered);
        }
        Ok(())
    }
}
