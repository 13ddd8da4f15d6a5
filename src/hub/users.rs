//! Who is signed in, and by which connections.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::channel::WorkerIndex;
use crate::protocol::SocketId;

/// The connections of each user.
type Connections = HashMap<Arc<str>, Vec<(WorkerIndex, SocketId)>>;

/// The signed-in users of one app. Touched when one signs in or leaves, never by a delivery.
#[derive(Debug, Default)]
pub(super) struct Users {
    by_id: Mutex<Connections>,
}

impl Users {
    /// A connection is signed in as the user; to say so again changes nothing.
    pub(super) fn add(&self, user_id: &Arc<str>, worker: WorkerIndex, socket: SocketId) {
        let mut by_id = self.lock();
        let connections = by_id.entry(Arc::clone(user_id)).or_default();
        if !connections.contains(&(worker, socket)) {
            connections.push((worker, socket));
        }
    }

    /// A connection of the user is gone.
    pub(super) fn remove(&self, user_id: &str, worker: WorkerIndex, socket: SocketId) {
        let mut by_id = self.lock();
        if let Some(connections) = by_id.get_mut(user_id) {
            connections.retain(|connection| *connection != (worker, socket));
            if connections.is_empty() {
                by_id.remove(user_id);
            }
        }
    }

    /// The connections that are signed in as the user.
    pub(super) fn connections(&self, user_id: &str) -> Vec<(WorkerIndex, SocketId)> {
        self.lock().get(user_id).cloned().unwrap_or_default()
    }

    /// No code panics while it holds the lock, and every state of the map is a valid one.
    fn lock(&self) -> MutexGuard<'_, Connections> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_there_from_the_first_connection_to_the_last() {
        let users = Users::default();
        let ann: Arc<str> = Arc::from("ann");
        let socket = |n| SocketId::new(n, 1);
        users.add(&ann, 0, socket(1));
        users.add(&ann, 0, socket(1));
        users.add(&ann, 1, socket(2));
        assert_eq!(users.connections("ann"), [(0, socket(1)), (1, socket(2))]);
        users.remove("ann", 0, socket(1));
        users.remove("bob", 0, socket(1));
        assert_eq!(users.connections("ann"), [(1, socket(2))]);
        users.remove("ann", 1, socket(2));
        assert!(users.connections("ann").is_empty() && users.lock().is_empty());
    }
}
