//! How many connections there is room for, and what becomes of a newcomer where there is none: one that is idle gives way to
//! it. Where none is, it is refused.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;
use tracing::warn;

use crate::net::idle::{IdleEntry, IdleList};

/// How often the log says at `warn` what strangers can bring about as often as they like.
const SECONDS_BETWEEN_WARNINGS: u64 = 60;

thread_local! {
    /// What the worker of this thread has of it.
    static CURRENT: RefCell<Option<Rc<WorkerRoom>>> = const { RefCell::new(None) };
}

/// The connections of a node, and how many there may be.
#[derive(Debug)]
pub struct Room {
    /// Connections that speak HTTP that there may be; 0 lifts it.
    most_http: usize,
    /// Connections of any kind that one worker may have; the HTTP server accepts no more.
    per_worker: usize,
    /// Connections of any kind that all may have.
    in_all: usize,
    open: AtomicUsize,
    http: AtomicUsize,
    workers: Mutex<Vec<Arc<Eviction>>>,
    told_of_open: Warned,
    told_of_http: Warned,
    told_of_tls: Warned,
}

/// How one worker has another end one of its idle connections.
#[derive(Debug)]
struct Eviction {
    /// How many the worker has.
    idle: Arc<AtomicUsize>,
    /// How many of them are to end.
    wanted: AtomicUsize,
    called: Notify,
}

/// What one worker has of the room.
#[derive(Debug)]
pub struct WorkerRoom {
    node: Arc<Room>,
    open: Cell<usize>,
    idle: IdleList,
    /// How others have it end one of those.
    eviction: Arc<Eviction>,
}

/// One connection, which counts until this is dropped.
#[derive(Debug)]
pub struct Counted(Rc<WorkerRoom>);

/// One connection that speaks HTTP, which counts as such until this is dropped.
#[derive(Debug)]
pub struct HttpCounted(Arc<Room>);

/// There is no room for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom;

impl Room {
    /// An empty one, for `most_http` connections that speak HTTP, where 0 stands for as many as there may be of any kind, of
    /// which each of the `workers` may have `per_worker`.
    #[must_use]
    pub fn new(most_http: usize, per_worker: usize, workers: usize) -> Self {
        Room {
            most_http,
            per_worker,
            in_all: per_worker.saturating_mul(workers),
            open: AtomicUsize::new(0),
            http: AtomicUsize::new(0),
            workers: Mutex::default(),
            told_of_open: Warned::default(),
            told_of_http: Warned::default(),
            told_of_tls: Warned::default(),
        }
    }

    /// The calling worker's part, which is made at the first call. Must run within the worker's runtime.
    #[must_use]
    pub fn of_this_thread(self: &Arc<Self>) -> Rc<WorkerRoom> {
        CURRENT.with_borrow_mut(|current| match current {
            Some(worker) if Arc::ptr_eq(&worker.node, self) => Rc::clone(worker),
            _ => {
                let idle = IdleList::default();
                let eviction =
                    Eviction { idle: idle.count(), wanted: AtomicUsize::new(0), called: Notify::new() };
                let eviction = Arc::new(eviction);
                self.workers.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&eviction));
                actix_web::rt::spawn(evict_for_others(idle.clone(), Arc::clone(&eviction)));
                let worker = WorkerRoom { node: Arc::clone(self), open: Cell::new(0), idle, eviction };
                let worker = Rc::new(worker);
                *current = Some(Rc::clone(&worker));
                worker
            }
        })
    }

    /// Whether it is time to say at `warn` again that somebody speaks TLS to a plain port.
    pub(super) fn warns_of_tls(&self) -> bool {
        self.told_of_tls.is_due()
    }
}

/// Ends idle connections of this worker for newcomers that others have.
async fn evict_for_others(idle: IdleList, eviction: Arc<Eviction>) {
    loop {
        eviction.called.notified().await;
        for _ in 0..eviction.wanted.swap(0, Ordering::Relaxed) {
            idle.evict_longest();
        }
    }
}

impl Eviction {
    /// How many are idle, less those that are to end.
    fn left(&self) -> usize {
        self.idle.load(Ordering::Relaxed).saturating_sub(self.wanted.load(Ordering::Relaxed))
    }
}

impl WorkerRoom {
    /// Counts a connection that was accepted, and makes room for it.
    pub(super) fn accept(self: &Rc<Self>) -> (Counted, Result<IdleEntry, NoRoom>) {
        self.open.set(self.open.get() + 1);
        let in_all = self.node.open.fetch_add(1, Ordering::Relaxed) + 1;
        let counted = Counted(Rc::clone(self));
        let Room { per_worker, in_all: most, .. } = *self.node;
        if self.open.get() <= per_worker - kept_free(per_worker) {
            return (counted, Ok(self.idle.enter()));
        }
        let evicted = self.idle.evict_longest();
        // A worker that has all that it may have is passed over. Only where none has room left, it has to end here.
        let is_full = !evicted && in_all > most - kept_free(most);
        let is_refused = is_full && !self.evict_where_most_are_idle();
        if (evicted || is_full) && self.node.told_of_open.is_due() {
            warn!(
                limit = most,
                "no room for more connections: {}",
                if is_refused { "all are busy" } else { "idle ones are ended" }
            );
        }
        let entry = if is_refused { Err(NoRoom) } else { Ok(self.idle.enter()) };
        (counted, entry)
    }

    /// Counts a connection that begins to speak HTTP, and makes room for it. It must not be idle itself.
    pub(super) fn begin_http(&self) -> Result<HttpCounted, NoRoom> {
        let counted = HttpCounted::of(&self.node);
        let most = self.node.most_http;
        if most == 0 || self.node.http.load(Ordering::Relaxed) <= most {
            return Ok(counted);
        }
        let made = self.evict_where_most_are_idle();
        if self.node.told_of_http.is_due() {
            warn!(
                limit = most,
                "more HTTP connections than server.max_http_connections: {}",
                if made { "idle ones are ended" } else { "all are busy" }
            );
        }
        made.then_some(counted).ok_or(NoRoom)
    }

    /// Has the worker with most idle connections end the one that has been idle longest. Returns whether there was one.
    fn evict_where_most_are_idle(&self) -> bool {
        let workers = self.node.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let most = workers.iter().max_by_key(|worker| worker.left());
        match most.filter(|worker| worker.left() > self.eviction.left()) {
            Some(other) => {
                other.wanted.fetch_add(1, Ordering::Relaxed);
                other.called.notify_one();
                true
            }
            None => self.idle.evict_longest(),
        }
    }
}

/// Of so many connections, how many places are for newcomers that others have to make room for.
fn kept_free(places: usize) -> usize {
    (places / 32).clamp(1, 64).min(places)
}

impl HttpCounted {
    /// One more of this room, whatever its bounds.
    pub(super) fn of(room: &Arc<Room>) -> Self {
        room.http.fetch_add(1, Ordering::Relaxed);
        HttpCounted(Arc::clone(room))
    }

    /// The room that it takes.
    pub(super) fn room(&self) -> &Room {
        &self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        self.0.node.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for HttpCounted {
    fn drop(&mut self) {
        self.0.http.fetch_sub(1, Ordering::Relaxed);
    }
}

/// When something was last said aloud, in seconds since 1970.
#[derive(Debug, Default)]
struct Warned(AtomicU64);

impl Warned {
    /// Whether it is time to say it again; if so, it counts as said.
    fn is_due(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let before = self.0.load(Ordering::Relaxed);
        now.saturating_sub(before) >= SECONDS_BETWEEN_WARNINGS
            && self.0.compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Connections of one worker, all of which are idle unless they are said not to be.
    struct Crowd(Rc<WorkerRoom>, Vec<(Counted, Result<IdleEntry, NoRoom>)>);

    impl Crowd {
        fn come(&mut self, connections: usize) {
            for _ in 0..connections {
                let (counted, entry) = self.0.accept();
                entry.iter().for_each(IdleEntry::keep_idle);
                self.1.push((counted, entry));
            }
        }

        fn set_busy(&self) {
            self.1.iter().flat_map(|(_, entry)| entry).for_each(IdleEntry::set_busy);
        }

        /// How many are there, evicted and refused.
        fn counts(&self) -> (usize, usize, usize) {
            let evicted = self.1.iter().filter(|(_, entry)| entry.as_ref().is_ok_and(IdleEntry::is_evicted));
            let refused = self.1.iter().filter(|(_, entry)| entry.is_err());
            (self.1.len(), evicted.count(), refused.count())
        }

        /// Those that were evicted or refused go.
        fn settle(&mut self) {
            self.1.retain(|(_, entry)| entry.as_ref().is_ok_and(|entry| !entry.is_evicted()));
        }
    }

    /// Runs this with the rooms of two workers, which share the thread.
    fn with_two_workers(most_http: usize, per_worker: usize, test: impl AsyncFnOnce(Crowd, Crowd)) {
        let node = Arc::new(Room::new(most_http, per_worker, 2));
        actix_web::rt::System::new().block_on(async {
            let crowds = [(); 2].map(|()| {
                CURRENT.take();
                Crowd(node.of_this_thread(), Vec::new())
            });
            let [one, other] = crowds;
            test(one, other).await;
        });
    }

    #[test]
    fn a_newcomer_has_the_room_of_whoever_is_idle() {
        with_two_workers(0, 64, async |mut crowd, _| {
            crowd.come(62);
            assert_eq!(crowd.counts(), (62, 0, 0), "two places are kept free");
            crowd.come(10);
            assert_eq!(crowd.counts(), (72, 10, 0));
            crowd.settle();
            assert_eq!(crowd.0.open.get(), 62);
        });
    }

    #[test]
    fn a_worker_whose_connections_are_all_busy_has_what_it_may_have() {
        with_two_workers(0, 64, async |mut crowd, mut other| {
            crowd.come(62);
            crowd.set_busy();
            crowd.come(1);
            crowd.set_busy();
            crowd.come(1);
            crowd.set_busy();
            assert_eq!(crowd.counts(), (64, 0, 0), "the other one has room: this one is passed over now");
            other.come(62);
            other.set_busy();
            assert_eq!(other.counts(), (62, 0, 0));
            other.come(1);
            assert_eq!(other.counts(), (63, 0, 1), "nobody is idle anywhere");
            other.settle();
            assert_eq!(other.0.node.open.load(Ordering::Relaxed), 126);
        });
    }

    #[test]
    fn where_nobody_is_idle_another_worker_ends_one() {
        with_two_workers(3, 64, async |mut crowd, mut other| {
            let mut http = Vec::new();
            crowd.come(3);
            http.extend((0..3).map(|_| crowd.0.begin_http().unwrap()));
            other.come(1);
            other.set_busy();
            http.push(other.0.begin_http().expect("one of the first worker's gives way"));
            while crowd.counts() != (3, 1, 0) {
                tokio::task::yield_now().await;
            }
            // One goes; the others are busy.
            crowd.settle();
            http.pop();
            crowd.set_busy();
            assert_eq!(other.0.begin_http().unwrap_err(), NoRoom);
            http.clear();
            assert!(other.0.begin_http().is_ok(), "places are given back");
        });
    }

    #[test]
    fn some_places_are_always_kept_free() {
        let kept: Vec<_> = [1, 2, 64, 1000, 1 << 20].map(kept_free).into();
        assert_eq!(kept, [1, 1, 2, 31, 64]);
    }
}
