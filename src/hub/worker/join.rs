//! A connection subscribes to a channel: it is told what there is, and the others of a new member.

use std::rc::Rc;

use crate::channel::{Announcement, Channel, JoinRefused, Member};
use crate::hub::mailbox::Letter;
use crate::hub::{AppState, Client, Notice, lock};
use crate::protocol::{ChannelName, Frame, server_message};

use super::Worker;

impl Worker {
    /// Subscribes a connection and tells it so; tells the others of a new member.
    ///
    /// # Errors
    /// If the channel refuses. Nothing has changed then.
    pub fn join(
        &self,
        client: &Rc<Client>,
        channel: &ChannelName,
        member: Option<&Member>,
    ) -> Result<(), JoinRefused> {
        let app = client.app();
        let limit = app.app().limits.presence_members_per_channel;
        let is_cache = channel.channel_type().is_cache();
        let _step = app.begin_step();
        let (roster, remembered, version) = {
            let mut entry = app.channels.entry(channel.clone()).or_default();
            let version = self.hub.next_version();
            let joined = match entry.join(self.index, client.socket_id(), member, limit, version) {
                Ok(joined) => joined,
                Err(refused) => {
                    let idle = entry.is_forgettable();
                    drop(entry);
                    if idle {
                        app.channels.remove_if(channel, |_, channel| channel.is_forgettable());
                    }
                    return Err(refused);
                }
            };
            if joined.occupied {
                self.hub.announce(app, &Notice::ChannelOccupied(channel, version));
            }
            if let Some(announcement) = &joined.announcement {
                let member = &announcement.member;
                let frame =
                    server_message::member_added(channel, &member.user_id, member.user_info.as_deref());
                self.post_announcement(app, channel, &entry, announcement, frame);
                if announcement.user_changed {
                    self.hub.announce(app, &Notice::MemberAdded(channel, &member.user_id, version));
                }
            }
            let (socket_id, user_id) = (client.socket_id(), member.map(|member| &*member.user_id));
            self.hub.announce(app, &Notice::Subscribed { channel, socket_id, user_id });
            self.counts.changed(&self.hub, app, channel, &mut entry);
            let by_user = client.version().presence_by_user();
            let roster = member.and_then(|_| entry.presence()).map(|presence| presence.roster(by_user));
            let remembered =
                is_cache.then(|| entry.recall(app.clock().now()).map(|event| event.frame.clone()));
            if remembered == Some(None) && app.has_listeners() && lock(&app.cache).miss(channel, version) {
                self.hub.announce(app, &Notice::CacheMiss(channel, version));
            }
            (roster, remembered, version)
        };
        self.channels.borrow_mut().of_or_new(app.index()).insert(channel, Rc::clone(client), version);
        if roster.is_some() || client.version().confirms_every_subscription() {
            self.send(client, server_message::subscription_succeeded(channel, roster.as_deref()));
        }
        if let Some(remembered) = remembered {
            self.send(client, remembered.unwrap_or_else(|| server_message::cache_miss(channel)));
        }
        Ok(())
    }

    /// Member events go through every mailbox, this worker's too, and are posted under the channel's entry: so
    /// each subscriber hears them in the order of the roster's versions.
    pub(super) fn post_announcement(
        &self,
        app: &AppState,
        channel: &ChannelName,
        entry: &Channel,
        announcement: &Announcement,
        frame: Frame,
    ) {
        for worker in entry.subscribers().workers() {
            self.hub.mailbox(worker).post(Letter::Member {
                app: app.index(),
                channel: channel.clone(),
                frame: frame.clone(),
                version: announcement.version,
                user_changed: announcement.user_changed,
            });
        }
    }
}
