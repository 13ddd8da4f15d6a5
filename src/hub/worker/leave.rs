//! A subscription ends: it is taken off the worker's list, and the others are told if a member left.

use crate::hub::Client;
use crate::hub::settle::SubscriptionChange;
use crate::protocol::ChannelName;

use super::Worker;

impl Worker {
    /// Ends a connection's subscription, or cancels its join that waits; tells the others if a member left.
    pub fn leave(&self, client: &Client, channel: &ChannelName) {
        if let Some(named) = client.named() {
            named.unsubscribed(channel);
        }
        client.leave_tracks(channel);
        let app = client.app();
        let bus = self.hub.bus();
        if bus.as_ref().is_some_and(|bus| self.cancel_join(bus, client, channel)) {
            return;
        }
        let _step = app.begin_step();
        if let Some(channels) = self.channels.borrow_mut().of_mut(app.index()) {
            channels.remove(channel, client.socket_id());
        }
        if self.subscription(client, channel).end()
            && let Some(bus) = bus
        {
            bus.release(app, channel);
        }
    }

    /// A connection's subscription to a channel, to be begun or ended.
    pub(super) fn subscription<'a>(
        &'a self,
        client: &'a Client,
        channel: &'a ChannelName,
    ) -> SubscriptionChange<'a> {
        SubscriptionChange {
            hub: &self.hub,
            counts: &self.counts,
            app: client.app(),
            channel,
            address: (self.index, client.socket_id()),
        }
    }
}
