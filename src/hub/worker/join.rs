//! A connection subscribes to a channel: it is put on the worker's list, and told what there is.

use std::rc::Rc;

use crate::channel::Member;
use crate::connection::NotJoined;
use crate::hub::Client;
use crate::hub::settle::Welcome;
use crate::protocol::{ChannelName, server_message};

use super::Worker;

impl Worker {
    /// Subscribes a connection and tells it so; tells the others of a new member. `authorizes`: the connection must be
    /// counted towards its app's quota first.
    ///
    /// # Errors
    /// If the app has no room for it, or the channel refuses. Nothing has changed then.
    pub fn join(
        &self,
        client: &Rc<Client>,
        channel: &ChannelName,
        member: Option<&Member>,
        authorizes: bool,
    ) -> Result<(), NotJoined> {
        let app = client.app();
        let _step = app.begin_step();
        let counted = authorizes && self.count(client).map_err(|_| NotJoined::AppFull)?;
        let by_user = client.version().presence_by_user();
        let settled = self.subscription(client, channel).begin(member, by_user);
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
