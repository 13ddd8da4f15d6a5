//! One channel as a value: its subscribers, its members, and what each call changes.
//!
//! A channel knows no lock, no socket and no clock; the hub keeps it in a map and carries out what it reports.

mod arrivals;
mod cache;
mod change;
mod count;
mod fact;
mod node_id;
mod presence;
mod subscribers;
mod version;

pub(crate) use cache::CachedEvent;
pub(crate) use change::{Announcement, JoinRefused, Joined, Left};
pub(crate) use count::CountChange;
pub(crate) use fact::{Change, Fact};
pub(crate) use node_id::NodeId;
pub(crate) use presence::user_info_text;
pub(crate) use presence::{BadMember, Member, Presence};
pub(crate) use subscribers::{Subscribers, WorkerIndex};
pub(crate) use version::{ChangeOrigin, ChannelVersion};

use std::time::Instant;

use crate::protocol::SocketId;
use count::CountWindow;
use presence::OverCapacity;
use subscribers::Removed;

/// The state of one channel across all workers of this node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Channel {
    subscribers: Subscribers,
    presence: Option<Box<Presence>>,
    cached: Option<Box<CachedEvent>>,
    count_window: CountWindow,
}

impl Channel {
    /// Subscribes a connection; with a member on presence channels. `version` is a number larger than any
    /// given to a channel of this name before: it outlives the channel, which is forgotten when it is empty.
    ///
    /// # Errors
    /// If it is subscribed, or the member would be one too many. Nothing has changed then.
    pub(crate) fn join(
        &mut self,
        worker: WorkerIndex,
        socket: SocketId,
        member: Option<&Member>,
        members_limit: usize,
        version: ChannelVersion,
    ) -> Result<Joined, JoinRefused> {
        let occupied = self.is_vacant();
        let Some(member) = member else {
            let added = self.subscribers.insert(worker, socket);
            return added
                .then_some(Joined { occupied, announcement: None })
                .ok_or(JoinRefused::AlreadyJoined);
        };
        if self.subscribers.contains_on(worker, socket) {
            return Err(JoinRefused::AlreadyJoined);
        }
        let presence = self.presence.get_or_insert_default();
        let joined = presence.join(member, members_limit).map_err(|OverCapacity| JoinRefused::OverCapacity);
        let (connection, user_changed) = joined?;
        self.subscribers.insert_member(worker, socket, connection);
        let announcement = Announcement { member: member.clone(), user_changed, version };
        Ok(Joined { occupied, announcement: Some(announcement) })
    }

    /// Ends a connection's subscription; `None` if it had none. `version` as in [`Channel::join`].
    pub(crate) fn leave(
        &mut self,
        worker: WorkerIndex,
        socket: SocketId,
        version: ChannelVersion,
    ) -> Option<Left> {
        let left = match self.subscribers.remove(worker, socket)? {
            Removed::Plain => None,
            Removed::Member(connection) => self.presence.as_mut().and_then(|p| p.leave(connection)),
        };
        let announcement = left.map(|(member, user_changed)| Announcement { member, user_changed, version });
        Some(Left { vacated: self.is_vacant(), announcement })
    }

    /// The subscribed connections.
    pub(crate) fn subscribers(&self) -> &Subscribers {
        &self.subscribers
    }

    /// The number of subscribers has changed, on a channel whose subscribers are told it: when to tell them.
    pub(crate) fn count_changed(&mut self, now: Instant) -> CountChange {
        self.count_window.changed(self.subscribers.count(), now)
    }

    /// Whether a window in which the count changed has ended now, so that the count is to be told. Otherwise, when to
    /// look again, if a window is open.
    pub(crate) fn take_count_window(&mut self, now: Instant) -> Result<(), Option<Instant>> {
        if self.count_window.take_end(now) { Ok(()) } else { Err(self.count_window.ends()) }
    }

    /// Remembers an event in place of the last one.
    pub(crate) fn remember(&mut self, event: CachedEvent) {
        self.cached = Some(Box::new(event));
    }

    /// The event that is remembered, if any is.
    pub(crate) fn recall(&self, now: Instant) -> Option<&CachedEvent> {
        self.cached.as_deref().filter(|cached| cached.is_alive(now))
    }

    /// Whether the event of this number has been remembered, or a later one.
    pub(crate) fn has_remembered(&self, number: u64) -> bool {
        self.cached.as_deref().and_then(|cached| cached.number).is_some_and(|last| last >= number)
    }

    /// Forgets what number the remembered event has: it is older than any that comes.
    pub(crate) fn forget_number(&mut self) {
        if let Some(cached) = self.cached.as_deref_mut() {
            cached.number = None;
        }
    }

    /// Forgets the event of this version, if it is still the one that is remembered.
    pub(crate) fn forget(&mut self, version: ChannelVersion) {
        self.cached.take_if(|cached| cached.version == version);
    }

    /// Whether nobody at all is subscribed, so that the next subscription occupies the channel and the end of the last
    /// one has vacated it.
    pub(crate) fn is_vacant(&self) -> bool {
        // All subscribers of a channel are connections of this node.
        self.subscribers.is_nobody_here()
    }

    /// Whether nothing would be lost if the channel were forgotten: no connection of this node is subscribed, nothing is
    /// remembered.
    pub(crate) fn is_forgettable(&self) -> bool {
        self.subscribers.is_nobody_here() && self.cached.is_none()
    }

    /// The members, on presence channels that have had one.
    pub(crate) fn presence(&self) -> Option<&Presence> {
        self.presence.as_deref()
    }
}

#[cfg(test)]
mod histories;
#[cfg(test)]
mod tests;
