//! One channel as a value: its subscribers, its members, and what each call changes.
//!
//! A channel knows no lock, no socket and no clock; the hub keeps it in a map and carries out what it reports.

mod arrivals;
mod cache;
mod change;
mod count;
mod presence;
mod subscribers;

pub use cache::CachedEvent;
pub use change::{Announcement, JoinRefused, Joined, Left};
pub use count::{CountChange, TOLD_AT_ONCE, WINDOW};
pub(crate) use presence::user_info_text;
pub use presence::{BadMember, Member, Presence};
pub use subscribers::{Subscribers, WorkerIndex};

use std::time::Instant;

use crate::protocol::SocketId;
use count::CountWindow;

/// The state of one channel across all workers of this node.
#[derive(Clone, Debug, Default)]
pub struct Channel {
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
    pub fn join(
        &mut self,
        worker: WorkerIndex,
        socket: SocketId,
        member: Option<&Member>,
        members_limit: usize,
        version: u64,
    ) -> Result<Joined, JoinRefused> {
        let occupied = self.subscribers.is_empty();
        if !self.subscribers.insert(worker, socket) {
            return Err(JoinRefused::AlreadyJoined);
        }
        let Some(member) = member else { return Ok(Joined { occupied, announcement: None }) };
        let presence = self.presence.get_or_insert_default();
        let Ok(user_changed) = presence.join(socket, member, members_limit) else {
            self.subscribers.remove(worker, socket);
            return Err(JoinRefused::OverCapacity);
        };
        let announcement = Announcement { member: member.clone(), user_changed, version };
        Ok(Joined { occupied, announcement: Some(announcement) })
    }

    /// Ends a connection's subscription; `None` if it had none. `version` as in [`Channel::join`].
    pub fn leave(&mut self, worker: WorkerIndex, socket: SocketId, version: u64) -> Option<Left> {
        if !self.subscribers.remove(worker, socket) {
            return None;
        }
        let left = self.presence.as_mut().and_then(|presence| presence.leave(socket));
        let announcement = left.map(|(member, user_changed)| Announcement { member, user_changed, version });
        Some(Left { vacated: self.subscribers.is_empty(), announcement })
    }

    /// The subscribed connections.
    #[must_use]
    pub fn subscribers(&self) -> &Subscribers {
        &self.subscribers
    }

    /// The number of subscribers has changed, on a channel whose subscribers are told it: when to tell them.
    pub fn count_changed(&mut self, now: Instant) -> CountChange {
        self.count_window.changed(self.subscribers.len(), now)
    }

    /// Whether a window in which the count changed has ended now, so that the count is to be told. Otherwise, when to
    /// look again, if a window is open.
    pub fn take_count_window(&mut self, now: Instant) -> Result<(), Option<Instant>> {
        match self.count_window.take_end(now) {
            true => Ok(()),
            false => Err(self.count_window.ends()),
        }
    }

    /// Remembers an event in place of the last one.
    pub fn remember(&mut self, event: CachedEvent) {
        self.cached = Some(Box::new(event));
    }

    /// The event that is remembered, if any is.
    #[must_use]
    pub fn recall(&self, now: Instant) -> Option<&CachedEvent> {
        self.cached.as_deref().filter(|cached| cached.is_alive(now))
    }

    /// Forgets the event of this version, if it is still the one that is remembered.
    pub fn forget(&mut self, version: u64) {
        self.cached.take_if(|cached| cached.version == version);
    }

    /// Whether nothing would be lost if the channel were forgotten: nobody is subscribed, nothing is remembered.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.subscribers.is_empty() && self.cached.is_none()
    }

    /// The members, on presence channels that have had one.
    #[must_use]
    pub fn presence(&self) -> Option<&Presence> {
        self.presence.as_deref()
    }
}

#[cfg(test)]
mod histories;
#[cfg(test)]
mod tests;
