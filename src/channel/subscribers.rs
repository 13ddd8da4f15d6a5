//! Who is subscribed to a channel, and on which worker each of them lives.

use std::collections::HashSet;

use crate::protocol::SocketId;

/// The number of a worker thread, from 0.
pub type WorkerIndex = u16;

/// The subscribed connections, grouped by the worker that owns them. All counts are read off the groups.
#[derive(Clone, Debug, Default)]
pub struct Subscribers {
    groups: Vec<Group>,
}

#[derive(Clone, Debug)]
struct Group {
    worker: WorkerIndex,
    sockets: HashSet<SocketId>,
}

impl Subscribers {
    /// Adds a connection; `false` if it was there.
    pub fn insert(&mut self, worker: WorkerIndex, socket: SocketId) -> bool {
        match self.groups.iter_mut().find(|g| g.worker == worker) {
            Some(group) => group.sockets.insert(socket),
            None => {
                self.groups.push(Group { worker, sockets: HashSet::from([socket]) });
                true
            }
        }
    }

    /// Removes a connection; `false` if it was not there.
    pub fn remove(&mut self, worker: WorkerIndex, socket: SocketId) -> bool {
        let Some(at) = self.groups.iter().position(|g| g.worker == worker) else { return false };
        let removed = self.groups[at].sockets.remove(&socket);
        if self.groups[at].sockets.is_empty() {
            self.groups.swap_remove(at);
        }
        removed
    }

    /// The workers that own at least one of them: where an event must go.
    pub fn workers(&self) -> impl Iterator<Item = WorkerIndex> {
        self.groups.iter().map(|g| g.worker)
    }

    /// Whether this connection is subscribed.
    #[must_use]
    pub fn contains(&self, socket: SocketId) -> bool {
        self.groups.iter().any(|g| g.sockets.contains(&socket))
    }

    /// Those workers, each with how many of them it owns.
    pub fn groups(&self) -> impl Iterator<Item = (WorkerIndex, usize)> {
        self.groups.iter().map(|g| (g.worker, g.sockets.len()))
    }

    /// How many connections are subscribed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.groups.iter().map(|g| g.sockets.len()).sum()
    }

    /// Whether nobody is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_listed_while_they_own_a_subscriber() {
        let mut subscribers = Subscribers::default();
        let socket = |n| SocketId::new(n, 1);
        assert!(subscribers.insert(0, socket(1)));
        assert!(!subscribers.insert(0, socket(1)), "a second time changes nothing");
        assert!(subscribers.insert(1, socket(2)));
        assert_eq!((subscribers.len(), subscribers.workers().collect::<Vec<_>>()), (2, vec![0, 1]));
        assert!(!subscribers.remove(1, socket(1)), "it lives elsewhere");
        assert!(subscribers.remove(0, socket(1)));
        assert_eq!(subscribers.workers().collect::<Vec<_>>(), [1]);
        assert!(subscribers.remove(1, socket(2)));
        assert!(subscribers.is_empty());
    }
}
