//! A subscription ends: the others are told if a member left.

use dashmap::mapref::entry::Entry;

use crate::hub::{Client, Notice};
use crate::protocol::{ChannelName, server_message};

use super::Worker;

impl Worker {
    /// Ends a connection's subscription; tells the others if a member left.
    pub fn leave(&self, client: &Client, channel: &ChannelName) {
        let app = client.app();
        let _step = app.begin_step();
        if let Some(channels) = self.channels.borrow_mut().of_mut(app.index()) {
            channels.remove(channel, client.socket_id());
        }
        let Entry::Occupied(mut entry) = app.channels.entry(channel.clone()) else { return };
        let version = self.hub.next_version();
        let Some(left) = entry.get_mut().leave(self.index, client.socket_id(), version) else { return };
        if let Some(announcement) = &left.announcement {
            let user_id = &announcement.member.user_id;
            let frame = server_message::member_removed(channel, user_id);
            self.post_announcement(app, channel, entry.get(), announcement, frame);
            if announcement.user_changed {
                self.hub.announce(app, &Notice::MemberRemoved(channel, user_id, version));
            }
        }
        let user_id = left.announcement.as_ref().map(|announcement| &*announcement.member.user_id);
        let socket_id = client.socket_id();
        self.hub.announce(app, &Notice::Unsubscribed { channel, socket_id, user_id });
        self.counts.changed(&self.hub, app, channel, entry.get_mut());
        if left.vacated {
            self.hub.announce(app, &Notice::ChannelVacated(channel, version));
            if entry.get().is_forgettable() {
                entry.remove();
            }
        }
    }
}
