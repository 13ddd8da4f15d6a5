//! Which connections there are, by app; the only place where they are counted.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::channel::WorkerIndex;
use crate::protocol::SocketId;

use super::AppIndex;

/// The connections of every app that has one. Touched when one opens or ends, never by a delivery.
#[derive(Debug)]
pub struct Sockets {
    by_app: Mutex<ByApp>,
    node_limit: usize,
}

type ByApp = HashMap<AppIndex, HashMap<SocketId, WorkerIndex>>;

/// A connection may not be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAdmitted {
    /// The app has all the connections it may have. Close code 4004.
    AppFull,
    /// The node has. Close code 4100.
    NodeFull,
}

impl Sockets {
    /// None yet. `node_limit` bounds all apps together; 0 lifts the limit.
    #[must_use]
    pub fn new(node_limit: usize) -> Self {
        Sockets { by_app: Mutex::default(), node_limit }
    }

    /// Admits a connection of an app under a new id, drawn by `draw` until it is unused.
    ///
    /// # Errors
    /// If the app (`app_limit`, 0 for none) or the node is full.
    pub fn admit(
        &self,
        app: AppIndex,
        app_limit: usize,
        worker: WorkerIndex,
        mut draw: impl FnMut() -> SocketId,
    ) -> Result<SocketId, NotAdmitted> {
        let mut by_app = self.lock();
        if app_limit > 0 && by_app.get(&app).map_or(0, HashMap::len) >= app_limit {
            return Err(NotAdmitted::AppFull);
        }
        if self.node_limit > 0 && by_app.values().map(HashMap::len).sum::<usize>() >= self.node_limit {
            return Err(NotAdmitted::NodeFull);
        }
        let sockets = by_app.entry(app).or_default();
        loop {
            let id = draw();
            if let Entry::Vacant(vacant) = sockets.entry(id) {
                vacant.insert(worker);
                return Ok(id);
            }
        }
    }

    /// Forgets a connection.
    pub fn remove(&self, app: AppIndex, socket: SocketId) {
        let mut by_app = self.lock();
        let Some(sockets) = by_app.get_mut(&app) else { return };
        sockets.remove(&socket);
        if sockets.is_empty() {
            by_app.remove(&app);
        }
    }

    /// The worker that owns a connection.
    #[must_use]
    pub fn worker_of(&self, app: AppIndex, socket: SocketId) -> Option<WorkerIndex> {
        self.lock().get(&app)?.get(&socket).copied()
    }

    /// How many connections there are, of all apps.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().values().map(HashMap::len).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// No code panics while it holds the lock, and every state of the map is a valid one.
    fn lock(&self) -> MutexGuard<'_, ByApp> {
        self.by_app.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::hub::app_index::Places;

    fn two_apps() -> (AppIndex, AppIndex) {
        let places = Arc::new(Places::default());
        let (first, second) = (places.take(), places.take());
        (first.index(), second.index())
    }

    #[test]
    fn both_limits_hold_and_a_place_that_is_given_back_can_be_taken() {
        let (sockets, (app, other)) = (Sockets::new(3), two_apps());
        let mut n = 0;
        let mut draw = || {
            n += 1;
            SocketId::new(n, 1)
        };
        let first = sockets.admit(app, 2, 0, &mut draw).unwrap();
        sockets.admit(app, 2, 1, &mut draw).unwrap();
        assert_eq!(sockets.admit(app, 2, 0, &mut draw), Err(NotAdmitted::AppFull));
        sockets.admit(other, 0, 0, &mut draw).unwrap();
        assert_eq!(sockets.admit(other, 0, 0, &mut draw), Err(NotAdmitted::NodeFull));
        assert_eq!(sockets.worker_of(app, first), Some(0));
        sockets.remove(app, first);
        sockets.remove(app, first);
        assert_eq!((sockets.len(), sockets.worker_of(app, first)), (2, None));
        assert!(sockets.admit(app, 2, 0, &mut draw).is_ok());
    }

    #[test]
    fn an_id_in_use_is_drawn_again() {
        let (sockets, (app, _)) = (Sockets::new(0), two_apps());
        let mut draws = [7, 7, 7, 8].into_iter().map(|n| SocketId::new(n, 1));
        let mut draw = || draws.next().unwrap();
        assert_eq!(sockets.admit(app, 0, 0, &mut draw), Ok(SocketId::new(7, 1)));
        assert_eq!(sockets.admit(app, 0, 0, &mut draw), Ok(SocketId::new(8, 1)));
    }
}
