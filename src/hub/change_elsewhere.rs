//! What other nodes have changes: the entrance for what they say of their connections, and for their end.

use std::sync::Arc;

use dashmap::mapref::entry::Entry;

use crate::channel::{Announcement, Change, ChangeOrigin, ChangedElsewhere, Channel, ChannelVersion, NodeId};
use crate::protocol::{ChannelName, server_message};

use super::counts;
use super::{AppState, Hub, Notice};

/// A change that does not concern this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unconcerned {
    /// There is no such app here. When it is added, what there is of it elsewhere has to be told again: see
    /// [`Hub::watch_apps`].
    #[error("there is no such app")]
    UnknownApp,
    /// A member of a channel that has none.
    #[error("the channel has no members")]
    NotAPresenceChannel,
}

impl Hub {
    /// Another node's connections have changed. Whoever is concerned here is told: subscribers, and those who listen.
    ///
    /// Any thread may call it, for each node one at a time, and it never waits. It takes some microseconds, more where there
    /// are thousands of connections to tell it to; whoever has many changes lets others in between.
    ///
    /// # Errors
    /// If it is a change of something that this node does not know. Nothing has changed then.
    pub(crate) fn change_elsewhere(
        self: &Arc<Self>,
        app_id: &str,
        node: NodeId,
        change: &Change,
    ) -> Result<(), Unconcerned> {
        let apps = self.apps();
        let app = apps.by_id(app_id).ok_or(Unconcerned::UnknownApp)?;
        match change {
            Change::Subscribers { channel, count, version } => {
                let origin = ChangeOrigin { node, version: *version };
                let channel = ChannelElsewhere { hub: self, app, channel, origin, came: *count > 0 };
                channel.change(|state, _| state.count_elsewhere(node, *count));
            }
            Change::Joined { channel, .. } | Change::Left { channel, .. }
                if !channel.channel_type().is_presence() =>
            {
                return Err(Unconcerned::NotAPresenceChannel);
            }
            Change::Joined { channel, version: joined, told, member } => {
                let origin = ChangeOrigin { node, version: *told };
                let channel = ChannelElsewhere { hub: self, app, channel, origin, came: true };
                channel.change(|state, version| {
                    state.join_elsewhere((node, *joined), member, version, self.node_id())
                });
            }
            Change::Left { channel, joined, user_id, version: left } => {
                let origin = ChangeOrigin { node, version: *left };
                let channel = ChannelElsewhere { hub: self, app, channel, origin, came: false };
                channel.change(|state, version| state.leave_elsewhere((node, *joined), user_id, version));
            }
            Change::SignedIn { user_id } => app.users.sign_in_elsewhere(user_id, node, |watchers| {
                self.tell_online(app, user_id, watchers);
            }),
            Change::SignedOut { user_id } => app.users.sign_out_elsewhere(user_id, node, |watchers| {
                self.tell_offline(app, user_id, watchers);
            }),
            Change::Connections { count } => app.connections_elsewhere.set(node, *count),
            Change::Backends { demand } => app.set_backends_elsewhere(node, demand),
            Change::CacheMissed { channel, version } => {
                let origin = ChangeOrigin { node, version: *version };
                self.announce(app, &Notice::CacheMiss(channel, origin));
            }
        }
        Ok(())
    }
}

/// What another node has of one channel changes.
struct ChannelElsewhere<'a> {
    hub: &'a Arc<Hub>,
    app: &'a Arc<AppState>,
    channel: &'a ChannelName,
    /// Where it was changed: those who listen are told so.
    origin: ChangeOrigin,
    /// Somebody comes, and does not leave.
    came: bool,
}

impl ChannelElsewhere<'_> {
    /// Changes it, and tells whoever is concerned.
    fn change(&self, change: impl FnOnce(&mut Channel, ChannelVersion) -> ChangedElsewhere) {
        let ChannelElsewhere { hub, app, channel, origin, came } = *self;
        let mut entry = match app.channels.entry(channel.clone()) {
            Entry::Occupied(entry) => entry,
            Entry::Vacant(entry) if came => entry.insert_entry(Channel::default()),
            Entry::Vacant(_) => return,
        };
        // Drawn under the entry: later changes of the channel have later versions.
        let version = hub.next_version();
        let changed = change(entry.get_mut(), version);
        if changed.occupied {
            hub.announce(app, &Notice::ChannelOccupied(channel, origin));
        }
        if let Some(announcement) = &changed.announcement {
            self.announce_member(entry.get(), announcement);
        }
        if changed.count_changed {
            counts::changed_elsewhere(hub, app, channel, entry.get_mut(), origin);
        }
        if changed.count_changed && !entry.get().is_on(origin.node) {
            let named = hub.name_end(app, channel, None, origin, changed.vacated);
            if changed.vacated {
                hub.announce(app, &Notice::ChannelVacated(channel, named));
            }
        }
        if entry.get().is_forgettable() {
            entry.remove();
        }
    }

    /// Tells of a member who came or left there.
    fn announce_member(&self, entry: &Channel, announcement: &Announcement) {
        let ChannelElsewhere { hub, app, channel, origin, came } = *self;
        let (user_id, user_info) = (&announcement.member.user_id, announcement.member.user_info.as_deref());
        if !entry.subscribers().is_nobody_here() {
            let frame = if came {
                server_message::member_added(channel, user_id, user_info)
            } else {
                server_message::member_removed(channel, user_id)
            };
            hub.post_member(app, channel, entry, announcement, &frame);
        }
        if came {
            if announcement.user_changed {
                hub.announce(app, &Notice::MemberAdded(channel, user_id, origin));
            }
            return;
        }
        let named = hub.name_end(app, channel, Some(user_id), origin, announcement.user_changed);
        if announcement.user_changed {
            hub.announce(app, &Notice::MemberRemoved(channel, user_id, named));
        }
    }
}

#[cfg(test)]
mod tests;
