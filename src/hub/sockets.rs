//! Which connections there are, by app; the only place where they are counted.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::channel::WorkerIndex;
use crate::protocol::SocketId;

/// The connections of every app. Touched when one opens or ends, never by a delivery.
#[derive(Debug)]
pub struct Sockets {
    by_app: Mutex<Vec<HashMap<SocketId, WorkerIndex>>>,
    node_limit: usize,
}

/// A connection may not be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAdmitted {
    /// The app has all the connections it may have. Close code 4004.
    AppFull,
    /// The node has. Close code 4100.
    NodeFull,
}

impl Sockets {
    /// None yet, for `apps` apps. `node_limit` bounds them all together; 0 lifts the limit.
    #[must_use]
    pub fn new(apps: usize, node_limit: usize) -> Self {
        Sockets { by_app: Mutex::new(vec![HashMap::new(); apps]), node_limit }
    }

    /// Admits a connection of an app under a new id, drawn by `draw` until it is unused.
    ///
    /// # Errors
    /// If the app (`app_limit`, 0 for none) or the node is full.
    pub fn admit(
        &self,
        app: usize,
        app_limit: usize,
        worker: WorkerIndex,
        mut draw: impl FnMut() -> SocketId,
    ) -> Result<SocketId, NotAdmitted> {
        let mut by_app = self.lock();
        if app_limit > 0 && by_app[app].len() >= app_limit {
            return Err(NotAdmitted::AppFull);
        }
        if self.node_limit > 0 && by_app.iter().map(HashMap::len).sum::<usize>() >= self.node_limit {
            return Err(NotAdmitted::NodeFull);
        }
        loop {
            let id = draw();
            if let std::collections::hash_map::Entry::Vacant(vacant) = by_app[app].entry(id) {
                vacant.insert(worker);
                return Ok(id);
            }
        }
    }

    /// Forgets a connection.
    pub fn remove(&self, app: usize, socket: SocketId) {
        self.lock()[app].remove(&socket);
    }

    /// The worker that owns a connection.
    #[must_use]
    pub fn worker_of(&self, app: usize, socket: SocketId) -> Option<WorkerIndex> {
        self.lock()[app].get(&socket).copied()
    }

    /// How many connections there are, of all apps.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().iter().map(HashMap::len).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// No code panics while it holds the lock, and every state of the map is a valid one.
    fn lock(&self) -> MutexGuard<'_, Vec<HashMap<SocketId, WorkerIndex>>> {
        self.by_app.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_limits_hold_and_a_place_that_is_given_back_can_be_taken() {
        let sockets = Sockets::new(2, 3);
        let mut n = 0;
        let mut draw = || {
            n += 1;
            SocketId::new(n, 1)
        };
        let first = sockets.admit(0, 2, 0, &mut draw).unwrap();
        sockets.admit(0, 2, 1, &mut draw).unwrap();
        assert_eq!(sockets.admit(0, 2, 0, &mut draw), Err(NotAdmitted::AppFull));
        sockets.admit(1, 0, 0, &mut draw).unwrap();
        assert_eq!(sockets.admit(1, 0, 0, &mut draw), Err(NotAdmitted::NodeFull));
        assert_eq!(sockets.worker_of(0, first), Some(0));
        sockets.remove(0, first);
        sockets.remove(0, first);
        assert_eq!((sockets.len(), sockets.worker_of(0, first)), (2, None));
        assert!(sockets.admit(0, 2, 0, &mut draw).is_ok());
    }

    #[test]
    fn an_id_in_use_is_drawn_again() {
        let sockets = Sockets::new(1, 0);
        let mut draws = [7, 7, 7, 8].into_iter().map(|n| SocketId::new(n, 1));
        let mut draw = || draws.next().unwrap();
        assert_eq!(sockets.admit(0, 0, 0, &mut draw), Ok(SocketId::new(7, 1)));
        assert_eq!(sockets.admit(0, 0, 0, &mut draw), Ok(SocketId::new(8, 1)));
    }
}
