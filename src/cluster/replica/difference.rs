//! What makes of one state of a node another, as changes.
//!
//! Of each channel those who join come first: a user who has another connection by then has not been away.

use std::sync::Arc;

use crate::channel::{Change, ChannelVersion, Member};
use crate::protocol::ChannelName;

use super::ReplicaChange;
use super::marks::Life;
use super::state::{AppPart, Members, Occupants, ReplicaState};

/// How changes are numbered that the node has not told.
#[derive(Clone, Copy)]
pub(super) struct Difference {
    pub(super) life: Life,
    /// What is new is what there was when this life began.
    pub(super) is_return: bool,
}

impl Difference {
    /// Tells what makes of the old state the new one.
    pub(super) fn tell(self, mut old: ReplicaState, new: &ReplicaState, each: &mut dyn FnMut(ReplicaChange)) {
        for (app, part) in &new.apps {
            let of_old = old.apps.remove(app).unwrap_or_default();
            self.of_app(of_old, part, &mut |change| each(ReplicaChange { app: Arc::clone(app), change }));
        }
        let nothing = AppPart::default();
        for (app, part) in old.apps {
            self.of_app(part, &nothing, &mut |change| each(ReplicaChange { app: Arc::clone(&app), change }));
        }
    }

    /// Tells that nothing is left of what there was of an app, but for what its state has now.
    pub(super) fn tell_ended(
        self,
        app: &Arc<str>,
        ended: AppPart,
        state: &ReplicaState,
        each: &mut dyn FnMut(ReplicaChange),
    ) {
        let nothing = AppPart::default();
        let left = state.apps.get(app).unwrap_or(&nothing);
        self.of_app(ended, left, &mut |change| each(ReplicaChange { app: Arc::clone(app), change }));
    }

    fn of_app(self, old: AppPart, new: &AppPart, each: &mut dyn FnMut(Change)) {
        let AppPart { mut channels, mut users, connections, backends } = old;
        for (channel, occupants) in &new.channels {
            self.of_channel(channel, channels.remove(channel), Some(occupants), each);
        }
        for (channel, occupants) in channels {
            self.of_channel(&channel, Some(occupants), None, each);
        }
        for user_id in new.users.iter().filter(|user_id| !users.remove(*user_id)) {
            each(Change::SignedIn { user_id: Arc::clone(user_id) });
        }
        users.into_iter().for_each(|user_id| each(Change::SignedOut { user_id }));
        if connections != new.connections {
            each(Change::Connections { count: new.connections });
        }
        if backends != new.backends {
            each(Change::Backends { demand: new.backends.clone().unwrap_or_default() });
        }
    }

    fn of_channel(
        self,
        channel: &ChannelName,
        old: Option<Occupants>,
        new: Option<&Occupants>,
        each: &mut dyn FnMut(Change),
    ) {
        let nobody = Occupants::default();
        let (old, new) = (old.unwrap_or_default(), new.unwrap_or(&nobody));
        let plain = |version| Change::Subscribers { channel: channel.clone(), count: new.plain, version };
        if new.plain > old.plain {
            each(plain(self.begun(new.version)));
        }
        let members = old.members.map(|members| *members).unwrap_or_default();
        self.of_members(channel, members, new.members.as_deref(), each);
        // Those who leave come last: the channel is not vacant in between.
        if new.plain == 0 && old.plain > 0 {
            each(plain(self.life.ended(old.version)));
        } else if new.plain < old.plain {
            each(plain(self.begun(new.version)));
        }
    }

    fn of_members(
        self,
        channel: &ChannelName,
        mut old: Members,
        new: Option<&Members>,
        each: &mut dyn FnMut(Change),
    ) {
        let new = new.into_iter().flatten();
        let mut joined: Vec<_> = new.filter(|(version, _)| old.remove(version).is_none()).collect();
        // All nodes find the same order, so that the same one is the user's last.
        joined.sort_unstable_by_key(|(version, _)| **version);
        for (version, member) in joined {
            each(Change::Joined {
                channel: channel.clone(),
                version: *version,
                told: self.begun(*version),
                member: member.clone(),
            });
        }
        let mut left: Vec<_> = old.into_iter().collect();
        left.sort_unstable_by_key(|(version, _)| *version);
        for (joined, Member { user_id, .. }) in left {
            let version = self.life.ended(joined);
            each(Change::Left { channel: channel.clone(), joined, user_id, version });
        }
    }

    fn begun(self, version: ChannelVersion) -> ChannelVersion {
        if self.is_return { self.life.begun(version) } else { version }
    }
}

impl ReplicaState {
    /// Tells all that is true of one app, as if nothing had been before.
    pub(super) fn tell(&self, app: &str, life: Life, each: &mut dyn FnMut(ReplicaChange)) {
        let Some((app, part)) = self.apps.get_key_value(app) else { return };
        Difference { life, is_return: false }.of_app(AppPart::default(), part, &mut |change| {
            each(ReplicaChange { app: Arc::clone(app), change });
        });
    }
}
