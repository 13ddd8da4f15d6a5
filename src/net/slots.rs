//! Bounds the connections of a node and of each worker. Where there is no slot for a new one, one that is idle is ended
//! for it; where none is idle, the new one is refused.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tracing::warn;

use crate::connection::RateLimit;
use crate::hub::Counter;
use crate::net::idle::{IdleEntry, IdleList};

/// How often the log may warn of what strangers can bring about as often as they like.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

thread_local! {
    /// The slots of the worker of this thread.
    static CURRENT: RefCell<Option<Rc<WorkerSlots>>> = const { RefCell::new(None) };
}

/// The slots for the connections of a node.
#[derive(Debug)]
pub(crate) struct ConnectionSlots {
    /// Connections that speak HTTP that there may be; 0 lifts it.
    most_http: usize,
    /// Connections of any kind that one worker may have; the HTTP server accepts no more.
    per_worker: usize,
    /// Connections of any kind that all may have.
    in_all: usize,
    open: AtomicUsize,
    http: AtomicUsize,
    workers: Mutex<Vec<Arc<EvictionRequests>>>,
    /// The handshakes that each worker has under way.
    handshakes: Mutex<Vec<Arc<AtomicUsize>>>,
    /// Handshakes of clients that have said something, and who waits until there are none.
    begun_handshakes: AtomicUsize,
    handshakes_done: Notify,
    /// The broker ends: nobody gives way to anybody any more.
    ending: AtomicBool,
    pub(super) counters: ConnectionCounters,
    open_warning: Mutex<RateLimit>,
    http_warning: Mutex<RateLimit>,
    mismatch_warning: Mutex<RateLimit>,
    proxy_warning: Mutex<RateLimit>,
}

/// The requests of other workers that a worker end idle connections.
#[derive(Debug)]
struct EvictionRequests {
    /// How many the worker has.
    idle: Arc<AtomicUsize>,
    /// How many of them are to end.
    requested: AtomicUsize,
    notify: Notify,
}

/// What has happened to connections of any kind before they were anything else. Counted once in the life of each.
#[derive(Debug, Default)]
pub(crate) struct ConnectionCounters {
    /// Accepted.
    pub(crate) accepted: Counter,
    /// Ended because there was no slot for them.
    pub(crate) refused: Counter,
    /// Ended for newcomers, because they were idle.
    pub(crate) evicted: Counter,
    /// Ended because the peer has taken too long, or has asked nothing for too long.
    pub(crate) timed_out: Counter,
    /// Ended because no header of the PROXY protocol came where one is due, or none that counts.
    pub(crate) headers_refused: Counter,
    /// TLS handshakes that were completed, and that were not.
    pub(crate) handshakes_completed: Counter,
    pub(crate) handshakes_failed: Counter,
}

/// The connections that there are at one moment, and how many there may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlotFigures {
    /// Of any kind.
    pub(crate) open: usize,
    pub(crate) most_open: usize,
    /// Those that speak HTTP; 0 stands for no bound of their own.
    pub(crate) http: usize,
    pub(crate) most_http: usize,
    /// Those that are idle.
    pub(crate) idle: usize,
    /// TLS handshakes that are under way, less those that something has come of just now.
    pub(crate) handshakes: usize,
}

/// The slots of one worker.
#[derive(Debug)]
pub(crate) struct WorkerSlots {
    node: Arc<ConnectionSlots>,
    open: Cell<usize>,
    idle: IdleList,
    /// How others have it end one of those.
    eviction_requests: Arc<EvictionRequests>,
}

/// The slot of one connection, which is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct ConnectionSlot(Rc<WorkerSlots>);

/// The slot of one connection that speaks HTTP, which is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct HttpSlot(Arc<ConnectionSlots>);

/// A handshake of a client that has said something.
#[derive(Debug)]
pub(super) struct HandshakeUnderWay<'s>(&'s ConnectionSlots);

/// There is no slot for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoSlot;

impl ConnectionSlots {
    /// An empty one, for `most_http` connections that speak HTTP, where 0 stands for as many as there may be of any
    /// kind, of which each of the `workers` may have `per_worker`.
    pub(crate) fn new(most_http: usize, per_worker: usize, workers: usize) -> Self {
        let warning = RateLimit::new(1, WARNING_INTERVAL);
        ConnectionSlots {
            most_http,
            per_worker,
            in_all: per_worker.saturating_mul(workers),
            open: AtomicUsize::new(0),
            http: AtomicUsize::new(0),
            workers: Mutex::default(),
            handshakes: Mutex::default(),
            begun_handshakes: AtomicUsize::new(0),
            handshakes_done: Notify::new(),
            ending: AtomicBool::new(false),
            counters: ConnectionCounters::default(),
            open_warning: Mutex::new(warning),
            http_warning: Mutex::new(warning),
            mismatch_warning: Mutex::new(warning),
            proxy_warning: Mutex::new(warning),
        }
    }

    /// The calling worker's part, which is made at the first call. Must run within the worker's runtime.
    pub(crate) fn of_this_thread(self: &Arc<Self>) -> Rc<WorkerSlots> {
        CURRENT.with_borrow_mut(|current| match current {
            Some(worker) if Arc::ptr_eq(&worker.node, self) => Rc::clone(worker),
            _ => {
                let idle = IdleList::default();
                let eviction_requests = EvictionRequests {
                    idle: idle.count(),
                    requested: AtomicUsize::new(0),
                    notify: Notify::new(),
                };
                let eviction_requests = Arc::new(eviction_requests);
                self.workers.lock().push(Arc::clone(&eviction_requests));
                actix_web::rt::spawn(evict_for_others(
                    Arc::clone(self),
                    idle.clone(),
                    Arc::clone(&eviction_requests),
                ));
                let worker =
                    WorkerSlots { node: Arc::clone(self), open: Cell::new(0), idle, eviction_requests };
                let worker = Rc::new(worker);
                *current = Some(Rc::clone(&worker));
                worker
            }
        })
    }

    /// How many connections of any kind all workers may have, where the next one would be refused. Of those that there are,
    /// `asking` are of whoever asks, and do not count.
    pub(crate) fn full(&self, asking: usize) -> Option<usize> {
        let others = self.open.load(Ordering::Relaxed).saturating_sub(asking);
        let is_full = others >= self.in_all - reserved_slots(self.in_all) && !self.has_evictable();
        is_full.then_some(self.in_all)
    }

    /// How many connections that speak HTTP there may be, where the next one would be refused. Again without those of whoever
    /// asks.
    pub(crate) fn full_of_http(&self, asking: usize) -> Option<usize> {
        let others = self.http.load(Ordering::Relaxed).saturating_sub(asking);
        let is_full = self.most_http > 0 && others >= self.most_http && !self.has_evictable();
        is_full.then_some(self.most_http)
    }

    /// Whether there are fewer connections than there may be.
    pub(crate) fn has_room(&self) -> bool {
        self.open.load(Ordering::Relaxed) < self.in_all
    }

    /// Whether some connection is idle and would give way to a newcomer.
    fn has_evictable(&self) -> bool {
        self.workers.lock().iter().any(|worker| worker.evictable() > 0)
    }

    /// Whether it is time to warn again of connections that begin with what is not expected.
    pub(super) fn may_warn_of_mismatch(&self) -> bool {
        self.mismatch_warning.lock().admit(Instant::now())
    }

    /// Whether it is time to warn again of proxies that do not begin as they should.
    pub(super) fn may_warn_of_proxies(&self) -> bool {
        self.proxy_warning.lock().admit(Instant::now())
    }

    /// The handshakes of a worker, for whoever asks how many there are.
    pub(super) fn watch_handshakes(&self, under_way: Arc<AtomicUsize>) {
        self.handshakes.lock().push(under_way);
    }

    /// A client has begun its handshake, until this is dropped.
    pub(super) fn begin_handshake(&self) -> HandshakeUnderWay<'_> {
        self.begun_handshakes.fetch_add(1, Ordering::Relaxed);
        HandshakeUnderWay(self)
    }

    /// Waits until no client is in the midst of a handshake. Those that have said nothing do not count.
    pub(crate) async fn handshakes_done(&self) {
        // It hears of what comes after this line, also while it is not polled.
        let done = self.handshakes_done.notified();
        if self.begun_handshakes.load(Ordering::Relaxed) > 0 {
            done.await;
        }
    }

    /// What there is now.
    pub(crate) fn figures(&self) -> SlotFigures {
        let sum = |counts: &mut dyn Iterator<Item = usize>| counts.sum();
        SlotFigures {
            open: self.open.load(Ordering::Relaxed),
            most_open: self.in_all,
            http: self.http.load(Ordering::Relaxed),
            most_http: self.most_http,
            idle: sum(&mut self.workers.lock().iter().map(|worker| worker.idle.load(Ordering::Relaxed))),
            handshakes: sum(&mut self
                .handshakes
                .lock()
                .iter()
                .map(|of_worker| of_worker.load(Ordering::Relaxed))),
        }
    }

    /// What has happened.
    pub(crate) fn counters(&self) -> &ConnectionCounters {
        &self.counters
    }
}

impl ConnectionSlots {
    /// Ends all connections that are idle at present, because the broker ends. Returns how many there were.
    pub(crate) fn evict_all_idle(&self) -> usize {
        self.ending.store(true, Ordering::Relaxed);
        let workers = self.workers.lock();
        let evicted = workers.iter().map(|worker| {
            let count = worker.evictable();
            worker.requested.fetch_add(count, Ordering::Relaxed);
            worker.notify.notify_one();
            count
        });
        evicted.sum()
    }
}

/// Ends idle connections of this worker for newcomers that others have.
async fn evict_for_others(
    node: Arc<ConnectionSlots>,
    idle: IdleList,
    eviction_requests: Arc<EvictionRequests>,
) {
    loop {
        eviction_requests.notify.notified().await;
        for _ in 0..eviction_requests.requested.swap(0, Ordering::Relaxed) {
            let evicted = idle.evict_longest() && !node.ending.load(Ordering::Relaxed);
            node.counters.evicted.add_from_anywhere(u64::from(evicted));
        }
    }
}

impl EvictionRequests {
    /// How many are idle, less those that are to end.
    fn evictable(&self) -> usize {
        self.idle.load(Ordering::Relaxed).saturating_sub(self.requested.load(Ordering::Relaxed))
    }
}

impl WorkerSlots {
    /// Those of which it has a part.
    pub(super) fn node(&self) -> &ConnectionSlots {
        &self.node
    }

    /// Counts a connection that was accepted, and makes room for it.
    pub(crate) fn accept(self: &Rc<Self>) -> (ConnectionSlot, Result<IdleEntry, NoSlot>) {
        self.open.set(self.open.get() + 1);
        self.node.counters.accepted.add_from_anywhere(1);
        let in_all = self.node.open.fetch_add(1, Ordering::Relaxed) + 1;
        let slot = ConnectionSlot(Rc::clone(self));
        let ConnectionSlots { per_worker, in_all: most, .. } = *self.node;
        if self.open.get() <= per_worker - reserved_slots(per_worker) {
            return (slot, Ok(self.idle.enter()));
        }
        let evicted = self.evict_longest();
        // A worker that has all that it may have is passed over. Only where none has room left, it has to end here.
        let is_full = !evicted && in_all > most - reserved_slots(most);
        let is_refused = is_full && !self.evict_where_most_are_idle();
        if (evicted || is_full) && self.node.open_warning.lock().admit(Instant::now()) {
            warn!(
                limit = most,
                "no room for more connections: {}",
                if is_refused { "all are busy" } else { "idle ones are ended" }
            );
        }
        let entry = if is_refused { Err(NoSlot) } else { Ok(self.idle.enter()) };
        (slot, entry)
    }

    /// Counts a connection that begins to speak HTTP, and makes room for it. It must not be idle itself.
    pub(super) fn begin_http(&self) -> Result<HttpSlot, NoSlot> {
        let slot = HttpSlot::of(&self.node);
        let most = self.node.most_http;
        if most == 0 || self.node.http.load(Ordering::Relaxed) <= most {
            return Ok(slot);
        }
        let made = self.evict_where_most_are_idle();
        if self.node.http_warning.lock().admit(Instant::now()) {
            warn!(
                limit = most,
                "more HTTP connections than server.max_http_connections: {}",
                if made { "idle ones are ended" } else { "all are busy" }
            );
        }
        made.then_some(slot).ok_or(NoSlot)
    }

    /// Has the worker with most idle connections end the one that has been idle longest. Returns whether there was one.
    fn evict_where_most_are_idle(&self) -> bool {
        let workers = self.node.workers.lock();
        let most = workers.iter().max_by_key(|worker| worker.evictable());
        match most.filter(|worker| worker.evictable() > self.eviction_requests.evictable()) {
            Some(other) => {
                other.requested.fetch_add(1, Ordering::Relaxed);
                other.notify.notify_one();
                true
            }
            None => self.evict_longest(),
        }
    }

    fn evict_longest(&self) -> bool {
        let evicted = self.idle.evict_longest();
        self.node.counters.evicted.add_from_anywhere(u64::from(evicted));
        evicted
    }
}

/// Of so many connections, how many places are for newcomers that others have to make room for.
fn reserved_slots(places: usize) -> usize {
    (places / 32).clamp(1, 64).min(places)
}

impl HttpSlot {
    /// One more of these, whatever their bounds.
    pub(super) fn of(slots: &Arc<ConnectionSlots>) -> Self {
        slots.http.fetch_add(1, Ordering::Relaxed);
        HttpSlot(Arc::clone(slots))
    }

    /// Those of which it is one.
    pub(super) fn slots(&self) -> &ConnectionSlots {
        &self.0
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        self.0.node.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for HandshakeUnderWay<'_> {
    fn drop(&mut self) {
        if self.0.begun_handshakes.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.handshakes_done.notify_waiters();
        }
    }
}

impl Drop for HttpSlot {
    fn drop(&mut self) {
        self.0.http.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
