//! A subscription begins or ends: the one place where a channel changes by it and where that is told, whoever caused it.
//!
//! It knows a connection by its address alone. What the connection that joins must be told is handed back.

use std::sync::Arc;

use dashmap::mapref::entry::Entry;

use crate::channel::{Announcement, Channel, JoinRefused, Joined, Member};
use crate::protocol::{ChannelName, Frame, server_message};

use super::counts::Counts;
use super::mailbox::Letter;
use super::users::Address;
use super::{AppState, Hub, Notice};

/// The subscription of one connection to one channel.
pub(super) struct SubscriptionChange<'a> {
    pub(super) hub: &'a Arc<Hub>,
    /// Of the thread on which it begins or ends.
    pub(super) counts: &'a Counts,
    pub(super) app: &'a Arc<AppState>,
    pub(super) channel: &'a ChannelName,
    pub(super) address: Address,
}

/// What a connection must be told that has joined.
pub(super) struct Welcome {
    /// The version of the channel that the rest belongs to.
    pub(super) version: u64,
    /// The members, if it is one of them.
    pub(super) roster: Option<String>,
    /// On cache channels: the event that the channel remembers, or that it remembers none.
    pub(super) remembered: Option<Frame>,
}

impl SubscriptionChange<'_> {
    /// Begins it, with a member on presence channels. The roster is by user or by connection, as
    /// [`Presence::roster`](crate::channel::Presence::roster) has it.
    ///
    /// # Errors
    /// If the channel refuses. Nothing has changed then.
    pub(super) fn begin(
        &self,
        member: Option<&Member>,
        roster_by_user: bool,
    ) -> Result<Welcome, JoinRefused> {
        let SubscriptionChange { hub, app, channel, .. } = *self;
        let (worker, socket_id) = self.address;
        let limit = if member.is_some() { app.app().limits.presence_members_per_channel } else { 0 };
        let join = |state: &mut Channel| {
            // Drawn under the entry: later changes of the channel have later versions.
            let version = hub.next_version();
            state.join(worker, socket_id, member, limit, version).map(|joined| (joined, version))
        };
        let (mut entry, (Joined { occupied, announcement }, version)) =
            match app.channels.entry(channel.clone()) {
                Entry::Occupied(mut entry) => {
                    let joined = join(entry.get_mut())?;
                    (entry.into_ref(), joined)
                }
                Entry::Vacant(entry) => {
                    let mut state = Channel::default();
                    let joined = join(&mut state)?;
                    (entry.insert(state), joined)
                }
            };
        if occupied {
            hub.announce(app, &Notice::ChannelOccupied(channel, version));
        }
        if let Some(announcement) = &announcement {
            let Member { user_id, user_info } = &announcement.member;
            let frame = server_message::member_added(channel, user_id, user_info.as_deref());
            self.post(&entry, announcement, &frame);
            if announcement.user_changed {
                hub.announce(app, &Notice::MemberAdded(channel, user_id, version));
            }
        }
        let user_id = member.map(|member| &*member.user_id);
        hub.announce(app, &Notice::Subscribed { channel, socket_id, user_id });
        self.counts.changed(hub, app, channel, &mut entry);
        let presence = member.and_then(|_| entry.presence());
        let roster = presence.map(|presence| presence.roster(roster_by_user));
        let is_cache = channel.channel_type().is_cache();
        let remembered = is_cache.then(|| self.remembered(&entry, version));
        Ok(Welcome { version, roster, remembered })
    }

    /// Ends it. Nothing happens if there is none.
    pub(super) fn end(&self) {
        let SubscriptionChange { hub, app, channel, .. } = *self;
        let (worker, socket_id) = self.address;
        let Entry::Occupied(mut entry) = app.channels.entry(channel.clone()) else { return };
        let version = hub.next_version();
        let Some(left) = entry.get_mut().leave(worker, socket_id, version) else { return };
        if let Some(announcement) = &left.announcement {
            let user_id = &announcement.member.user_id;
            let frame = server_message::member_removed(channel, user_id);
            self.post(entry.get(), announcement, &frame);
            if announcement.user_changed {
                hub.announce(app, &Notice::MemberRemoved(channel, user_id, version));
            }
        }
        let user_id = left.announcement.as_ref().map(|announcement| &*announcement.member.user_id);
        hub.announce(app, &Notice::Unsubscribed { channel, socket_id, user_id });
        self.counts.changed(hub, app, channel, entry.get_mut());
        if left.vacated {
            hub.announce(app, &Notice::ChannelVacated(channel, version));
        }
        if entry.get().is_forgettable() {
            entry.remove();
        }
    }

    /// The event that a cache channel remembers, or that it remembers none.
    fn remembered(&self, entry: &Channel, version: u64) -> Frame {
        let SubscriptionChange { hub, app, channel, .. } = *self;
        if let Some(event) = entry.recall(app.clock().now()) {
            return event.frame.clone();
        }
        if app.has_listeners() && app.cache.lock().miss(channel, version) {
            hub.announce(app, &Notice::CacheMiss(channel, version));
        }
        server_message::cache_miss(channel)
    }

    /// Tells the subscribers of a member who came or left. That goes through every mailbox, also this worker's, and is
    /// posted under the channel's entry: so each subscriber hears of members in the order of the roster's versions.
    fn post(&self, entry: &Channel, announcement: &Announcement, frame: &Frame) {
        for worker in entry.subscribers().workers() {
            self.hub.mailbox(worker).post(Letter::Member {
                app: self.app.index(),
                channel: self.channel.clone(),
                frame: frame.clone(),
                version: announcement.version,
                user_changed: announcement.user_changed,
            });
        }
    }
}
