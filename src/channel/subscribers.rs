//! Who is subscribed to a channel, and on which worker each of them lives.

use crate::protocol::{SocketId, SocketIdMap, SocketIdSet};

use super::presence::MemberConnection;

/// The number of a worker thread, from 0.
pub(crate) type WorkerIndex = u16;

/// The subscribed connections, grouped by the worker that owns them. Each is kept once, and all counts are read off the
/// groups.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subscribers {
    groups: Vec<Group>,
}

/// Those of one worker, of which there is at least one.
#[derive(Clone, Debug)]
struct Group {
    worker: WorkerIndex,
    /// Those that joined without a member: all on channels without presence, HTTP streams on the others.
    plain: SocketIdSet,
    /// Those of members, each with its place in the roster.
    members: SocketIdMap<MemberConnection>,
}

/// A subscription that was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Removed {
    Plain,
    Member(MemberConnection),
}

impl Subscribers {
    /// Adds a connection without a member; `false` if it was there.
    pub(super) fn insert(&mut self, worker: WorkerIndex, socket: SocketId) -> bool {
        let group = self.group_or_new(worker);
        !group.members.contains_key(&socket) && group.plain.insert(socket)
    }

    /// Adds a connection of a member, which must not be there.
    pub(super) fn insert_member(
        &mut self,
        worker: WorkerIndex,
        socket: SocketId,
        connection: MemberConnection,
    ) {
        self.group_or_new(worker).members.insert(socket, connection);
    }

    /// Removes a connection; `None` if it was not there.
    pub(super) fn remove(&mut self, worker: WorkerIndex, socket: SocketId) -> Option<Removed> {
        let at = self.groups.iter().position(|group| group.worker == worker)?;
        let group = &mut self.groups[at];
        let removed = match group.members.remove(&socket) {
            Some(connection) => Removed::Member(connection),
            None => group.plain.take(&socket).map(|_| Removed::Plain)?,
        };
        if group.len() == 0 {
            self.groups.swap_remove(at);
        }
        Some(removed)
    }

    /// Whether this connection of this worker is subscribed.
    pub(super) fn contains_on(&self, worker: WorkerIndex, socket: SocketId) -> bool {
        self.groups.iter().any(|group| group.worker == worker && group.contains(socket))
    }

    /// The workers that own at least one of them: where an event must go.
    pub(crate) fn workers(&self) -> impl Iterator<Item = WorkerIndex> {
        self.groups.iter().map(|group| group.worker)
    }

    /// Whether this connection is subscribed.
    pub(crate) fn contains(&self, socket: SocketId) -> bool {
        self.groups.iter().any(|group| group.contains(socket))
    }

    /// Those workers, each with how many of them it owns.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (WorkerIndex, usize)> {
        self.groups.iter().map(|group| (group.worker, group.len()))
    }

    /// How many connections are subscribed.
    pub(crate) fn count(&self) -> usize {
        self.groups.iter().map(Group::len).sum()
    }

    /// How many of them are without a member.
    pub(crate) fn plain_count(&self) -> usize {
        self.groups.iter().map(|group| group.plain.len()).sum()
    }

    /// How many of them are of members.
    pub(crate) fn member_connections(&self) -> usize {
        self.groups.iter().map(|group| group.members.len()).sum()
    }

    /// Those without a member, and those of members with their places in the roster.
    pub(super) fn all(&self) -> impl Iterator<Item = (SocketId, Option<MemberConnection>)> {
        self.groups.iter().flat_map(|group| {
            let plain = group.plain.iter().map(|socket| (*socket, None));
            plain.chain(group.members.iter().map(|(socket, place)| (*socket, Some(*place))))
        })
    }

    /// The places of those of members in the roster.
    pub(super) fn members(&self) -> impl Iterator<Item = MemberConnection> {
        self.groups.iter().flat_map(|group| group.members.values().copied())
    }

    /// Whether no connection of this node is subscribed.
    pub(crate) fn is_nobody_here(&self) -> bool {
        self.groups.is_empty()
    }

    fn group_or_new(&mut self, worker: WorkerIndex) -> &mut Group {
        let known = self.groups.iter().position(|group| group.worker == worker);
        let at = known.unwrap_or_else(|| {
            if self.groups.capacity() == 0 {
                // Most channels have few subscribers, on one worker.
                self.groups.reserve_exact(1);
            }
            self.groups.push(Group {
                worker,
                plain: SocketIdSet::default(),
                members: SocketIdMap::default(),
            });
            self.groups.len() - 1
        });
        &mut self.groups[at]
    }
}

impl Group {
    fn len(&self) -> usize {
        self.plain.len() + self.members.len()
    }

    fn contains(&self, socket: SocketId) -> bool {
        self.plain.contains(&socket) || self.members.contains_key(&socket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::{ChannelVersion, Member, Presence};

    fn socket(n: u32) -> SocketId {
        SocketId::new(n, 1)
    }

    #[test]
    fn workers_are_listed_while_they_own_a_subscriber() {
        let mut subscribers = Subscribers::default();
        assert!(subscribers.insert(0, socket(1)));
        assert!(!subscribers.insert(0, socket(1)), "a second time changes nothing");
        assert!(subscribers.insert(1, socket(2)));
        assert_eq!((subscribers.count(), subscribers.workers().collect::<Vec<_>>()), (2, vec![0, 1]));
        assert_eq!(subscribers.remove(1, socket(1)), None, "it lives elsewhere");
        assert_eq!(subscribers.remove(0, socket(1)), Some(Removed::Plain));
        assert_eq!(subscribers.workers().collect::<Vec<_>>(), [1]);
        assert_eq!(subscribers.remove(1, socket(2)), Some(Removed::Plain));
        assert!(subscribers.is_nobody_here());
    }

    #[test]
    fn members_and_others_are_subscribers_alike() {
        let mut subscribers = Subscribers::default();
        let ann = Member { user_id: "ann".into(), user_info: None };
        let (connection, _) = Presence::default().join(&ann, 1, ChannelVersion::new(1)).unwrap();
        subscribers.insert_member(0, socket(1), connection);
        assert!(!subscribers.insert(0, socket(1)), "it is there as a member");
        assert!(subscribers.insert(0, socket(2)));
        assert!(subscribers.contains(socket(1)) && subscribers.contains_on(0, socket(2)));
        assert!(!subscribers.contains_on(1, socket(1)));
        assert_eq!((subscribers.plain_count(), subscribers.member_connections()), (1, 1));
        assert_eq!(subscribers.count(), 2);
        assert_eq!(subscribers.groups().collect::<Vec<_>>(), [(0, 2)]);
        assert_eq!(subscribers.remove(0, socket(1)), Some(Removed::Member(connection)));
        assert_eq!((subscribers.count(), subscribers.member_connections()), (1, 0));
    }
}
