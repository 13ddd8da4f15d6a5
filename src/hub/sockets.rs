//! Which connections there are, by app; the only place where they are counted.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::channel::WorkerIndex;
use crate::protocol::SocketId;

use super::AppIndex;
use super::counters::PeakCount;

/// The connections of every app that has one. Touched when one opens or ends, never by a delivery.
#[derive(Debug)]
pub struct SocketTable {
    by_app: Mutex<ByApp>,
    node_limit: usize,
}

type ByApp = HashMap<AppIndex, Connections>;

/// The connections of one app, each with the worker that owns it.
#[derive(Debug, Default)]
struct Connections {
    counted: HashMap<SocketId, WorkerIndex>,
    /// Those that have not authorized themselves where the app demands it. They do not count towards its quota.
    waiting: HashMap<SocketId, WorkerIndex>,
}

impl Connections {
    fn len(&self) -> usize {
        self.counted.len() + self.waiting.len()
    }

    fn worker_of(&self, socket: SocketId) -> Option<WorkerIndex> {
        self.counted.get(&socket).or_else(|| self.waiting.get(&socket)).copied()
    }

    fn is_full(&self, room: Option<usize>) -> bool {
        room.is_some_and(|room| self.counted.len() >= room)
    }
}

/// Whether a connection counts towards the quota of its app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quota {
    /// If there is room: for so many that count; none for any number.
    Counted { room: Option<usize> },
    /// Not before it has authorized itself. Towards the node's capacity it counts nevertheless.
    Waiting,
}

/// A connection may not be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAdmitted {
    /// The app has all the connections it may have. Close code 4004.
    AppFull,
    /// The node has. Close code 4100.
    NodeFull,
}

impl SocketTable {
    /// None yet. `node_limit` bounds all apps together; 0 lifts the limit.
    pub fn new(node_limit: usize) -> Self {
        SocketTable { by_app: Mutex::default(), node_limit }
    }

    /// Admits a connection of an app under a new id, drawn by `draw` until it is unused. `peak` is told how many there are,
    /// and `tell`, under the table's lock, how many count towards the app's quota, if this one does.
    ///
    /// # Errors
    /// If the app or the node is full.
    pub(super) fn admit(
        &self,
        app: AppIndex,
        peak: &PeakCount,
        quota: Quota,
        worker: WorkerIndex,
        mut draw: impl FnMut() -> SocketId,
        tell: impl FnOnce(usize),
    ) -> Result<SocketId, NotAdmitted> {
        let mut by_app = self.by_app.lock();
        if let Quota::Counted { room } = quota {
            let is_full = |sockets: &Connections| sockets.is_full(room);
            // Other nodes may have taken all the room.
            if by_app.get(&app).map_or(room == Some(0), is_full) {
                return Err(NotAdmitted::AppFull);
            }
        }
        if self.node_limit > 0 && by_app.values().map(Connections::len).sum::<usize>() >= self.node_limit {
            return Err(NotAdmitted::NodeFull);
        }
        let sockets = by_app.entry(app).or_default();
        loop {
            let id = draw();
            if sockets.worker_of(id).is_none() {
                match quota {
                    Quota::Counted { .. } => {
                        sockets.counted.insert(id, worker);
                        tell(sockets.counted.len());
                    }
                    Quota::Waiting => {
                        sockets.waiting.insert(id, worker);
                    }
                }
                peak.reached(sockets.len());
                return Ok(id);
            }
        }
    }

    /// From now on a connection that waited counts towards the quota of its app. Returns whether it waited: one that counts
    /// already stays so. `room` is as of [`Quota::Counted`], `tell` as of [`SocketTable::admit`].
    ///
    /// # Errors
    /// If the app is full.
    pub(super) fn count(
        &self,
        app: AppIndex,
        room: Option<usize>,
        socket: SocketId,
        tell: impl FnOnce(usize),
    ) -> Result<bool, NotAdmitted> {
        let mut by_app = self.by_app.lock();
        let Some(sockets) = by_app.get_mut(&app) else { return Ok(false) };
        if !sockets.waiting.contains_key(&socket) {
            return Ok(false);
        }
        if sockets.is_full(room) {
            return Err(NotAdmitted::AppFull);
        }
        sockets.counted.extend(sockets.waiting.remove_entry(&socket));
        tell(sockets.counted.len());
        Ok(true)
    }

    /// Takes that back: what was to authorize the connection did not happen.
    pub(super) fn uncount(&self, app: AppIndex, socket: SocketId, tell: impl FnOnce(usize)) {
        if let Some(sockets) = self.by_app.lock().get_mut(&app) {
            sockets.waiting.extend(sockets.counted.remove_entry(&socket));
            tell(sockets.counted.len());
        }
    }

    /// Tells how many connections count towards the quota of an app, under the table's lock.
    pub(super) fn tell_counted(&self, app: AppIndex, tell: impl FnOnce(usize)) {
        let by_app = self.by_app.lock();
        tell(by_app.get(&app).map_or(0, |sockets| sockets.counted.len()));
    }

    /// Forgets a connection. `tell` is as of [`SocketTable::admit`].
    pub(super) fn remove(&self, app: AppIndex, socket: SocketId, tell: impl FnOnce(usize)) {
        let mut by_app = self.by_app.lock();
        let Some(sockets) = by_app.get_mut(&app) else { return };
        if sockets.counted.remove(&socket).is_some() {
            tell(sockets.counted.len());
        }
        sockets.waiting.remove(&socket);
        if sockets.len() == 0 {
            by_app.remove(&app);
        }
    }

    /// The worker that owns a connection.
    pub fn worker_of(&self, app: AppIndex, socket: SocketId) -> Option<WorkerIndex> {
        self.by_app.lock().get(&app)?.worker_of(socket)
    }

    /// How many there may be, of all apps; 0 stands for no bound.
    pub fn limit(&self) -> usize {
        self.node_limit
    }

    /// Tells of every connection of an app, under the table's lock.
    pub(super) fn visit(&self, app: AppIndex, tell: impl FnMut(SocketId)) {
        let by_app = self.by_app.lock();
        let Some(sockets) = by_app.get(&app) else { return };
        sockets.counted.keys().chain(sockets.waiting.keys()).copied().for_each(tell);
    }

    /// How many connections an app has.
    pub fn count_of(&self, app: AppIndex) -> usize {
        self.by_app.lock().get(&app).map_or(0, Connections::len)
    }

    /// How many connections an app has had at once since this was last asked.
    pub(super) fn take_peak(&self, app: AppIndex, peak: &PeakCount) -> usize {
        let by_app = self.by_app.lock();
        peak.take(by_app.get(&app).map_or(0, Connections::len))
    }

    /// The bound of all apps together, if it is reached.
    pub fn full(&self) -> Option<usize> {
        (self.node_limit > 0 && self.len() >= self.node_limit).then_some(self.node_limit)
    }

    /// How many connections there are, of all apps.
    pub fn len(&self) -> usize {
        self.by_app.lock().values().map(Connections::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::hub::app_index::Places;

    /// Nobody is told how many count.
    fn nobody(_: usize) {}

    fn two_apps() -> (AppIndex, AppIndex) {
        let places = Arc::new(Places::default());
        let (first, second) = (places.take(), places.take());
        (first.index(), second.index())
    }

    #[test]
    fn both_limits_hold_and_a_place_that_is_given_back_can_be_taken() {
        let (sockets, peak, (app, other)) = (SocketTable::new(3), PeakCount::default(), two_apps());
        let mut n = 0;
        let mut draw = || {
            n += 1;
            SocketId::new(n, 1)
        };
        let first =
            sockets.admit(app, &peak, Quota::Counted { room: Some(2) }, 0, &mut draw, nobody).unwrap();
        sockets.admit(app, &peak, Quota::Counted { room: Some(2) }, 1, &mut draw, nobody).unwrap();
        assert_eq!(
            sockets.admit(app, &peak, Quota::Counted { room: Some(2) }, 0, &mut draw, nobody),
            Err(NotAdmitted::AppFull)
        );
        sockets.admit(other, &peak, Quota::Counted { room: None }, 0, &mut draw, nobody).unwrap();
        assert_eq!(
            sockets.admit(other, &peak, Quota::Counted { room: None }, 0, &mut draw, nobody),
            Err(NotAdmitted::NodeFull)
        );
        assert_eq!(sockets.full(), Some(3));
        assert_eq!(sockets.worker_of(app, first), Some(0));
        sockets.remove(app, first, nobody);
        sockets.remove(app, first, nobody);
        assert_eq!((sockets.len(), sockets.worker_of(app, first), sockets.full()), (2, None, None));
        assert!(sockets.admit(app, &peak, Quota::Counted { room: Some(2) }, 0, &mut draw, nobody).is_ok());
    }

    #[test]
    fn who_waits_counts_for_the_node_and_not_for_the_app() {
        let (sockets, peak, (app, _)) = (SocketTable::new(3), PeakCount::default(), two_apps());
        let mut n = 0;
        let mut draw = || {
            n += 1;
            SocketId::new(n, 1)
        };
        let first = sockets.admit(app, &peak, Quota::Waiting, 0, &mut draw, nobody).unwrap();
        let second = sockets.admit(app, &peak, Quota::Waiting, 0, &mut draw, nobody).unwrap();
        assert_eq!(sockets.count(app, Some(1), first, nobody), Ok(true));
        assert_eq!(sockets.count(app, Some(1), first, nobody), Ok(false), "once is enough");
        assert_eq!(sockets.count(app, Some(1), second, nobody), Err(NotAdmitted::AppFull));
        assert_eq!(
            sockets.admit(app, &peak, Quota::Counted { room: Some(1) }, 0, &mut draw, nobody),
            Err(NotAdmitted::AppFull)
        );
        sockets.admit(app, &peak, Quota::Waiting, 0, &mut draw, nobody).unwrap();
        assert_eq!(
            sockets.admit(app, &peak, Quota::Waiting, 0, &mut draw, nobody),
            Err(NotAdmitted::NodeFull)
        );
        sockets.uncount(app, first, nobody);
        assert_eq!(sockets.count(app, Some(1), second, nobody), Ok(true));
        sockets.remove(app, second, nobody);
        assert_eq!(sockets.count(app, Some(1), first, nobody), Ok(true));
        assert_eq!(sockets.count(app, Some(1), second, nobody), Ok(false), "who is gone takes no place");
        assert_eq!((sockets.len(), sockets.worker_of(app, second)), (2, None));
    }

    #[test]
    fn an_id_in_use_is_drawn_again() {
        let (sockets, peak, (app, _)) = (SocketTable::new(0), PeakCount::default(), two_apps());
        let mut draws = [7, 7, 7, 8].into_iter().map(|n| SocketId::new(n, 1));
        let mut draw = || draws.next().unwrap();
        assert_eq!(
            sockets.admit(app, &peak, Quota::Counted { room: None }, 0, &mut draw, nobody),
            Ok(SocketId::new(7, 1))
        );
        assert_eq!(
            sockets.admit(app, &peak, Quota::Counted { room: None }, 0, &mut draw, nobody),
            Ok(SocketId::new(8, 1))
        );
    }

    #[test]
    fn the_peak_is_the_most_at_once_and_begins_with_those_that_are_open() {
        let (sockets, peak, (app, _)) = (SocketTable::new(0), PeakCount::default(), two_apps());
        let mut n = 0;
        let mut draw = || {
            n += 1;
            SocketId::new(n, 1)
        };
        let mut open: Vec<_> = (0..5)
            .map(|_| sockets.admit(app, &peak, Quota::Counted { room: None }, 0, &mut draw, nobody).unwrap())
            .collect();
        open.drain(1..).for_each(|id| sockets.remove(app, id, nobody));
        open.push(sockets.admit(app, &peak, Quota::Waiting, 0, &mut draw, nobody).unwrap());
        assert_eq!(sockets.take_peak(app, &peak), 5, "however short it was");
        assert_eq!(sockets.take_peak(app, &peak), 2);
        open.drain(..).for_each(|id| sockets.remove(app, id, nobody));
        assert_eq!(sockets.take_peak(app, &peak), 2);
        assert_eq!(sockets.take_peak(app, &peak), 0);
    }

    #[test]
    fn what_counts_is_told_and_other_nodes_may_have_taken_all_the_room() {
        let (sockets, peak, (app, _)) = (SocketTable::new(0), PeakCount::default(), two_apps());
        let told = std::cell::RefCell::new(Vec::new());
        let tell = |count| told.borrow_mut().push(count);
        let mut n = 0;
        let mut draw = || {
            n += 1;
            SocketId::new(n, 1)
        };
        let full = sockets.admit(app, &peak, Quota::Counted { room: Some(0) }, 0, &mut draw, tell);
        assert_eq!(full, Err(NotAdmitted::AppFull), "though there is none here");
        let waiting = sockets.admit(app, &peak, Quota::Waiting, 0, &mut draw, tell).unwrap();
        assert_eq!(sockets.count(app, Some(0), waiting, tell), Err(NotAdmitted::AppFull));
        let counted =
            sockets.admit(app, &peak, Quota::Counted { room: Some(1) }, 0, &mut draw, tell).unwrap();
        sockets.count(app, Some(2), waiting, tell).unwrap();
        sockets.uncount(app, waiting, tell);
        sockets.remove(app, counted, tell);
        sockets.remove(app, waiting, tell);
        sockets.tell_counted(app, tell);
        assert_eq!(told.into_inner(), [1, 2, 1, 0, 0]);
    }
}
