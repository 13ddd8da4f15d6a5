//! A worker's half of the hub: the connections that one thread accepted, and everything done to them.
//!
//! Nothing here is shared between threads or locked. At the end of each turn of the thread, the worker writes what
//! has been queued: each connection once, however many frames are ready.

mod admit;
mod commands;
mod deliver;
mod dirty;
mod end;
mod gap;
mod inject;
mod join;
mod leave;
mod pings;
mod run;
mod send;
mod sign_in;
mod survey;
mod tell_all;
mod tick;
mod wait;
mod waiting;
mod watch;

pub(crate) use admit::Admission;

use std::cell::{Cell, RefCell, RefMut};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};
use std::vec;

use crate::channel::WorkerIndex;
use crate::protocol::SocketId;

use super::allowance::{Allowance, Queued, Turn};
use super::client::{Client, Transport};
use super::counters::WorkerCounters;
use super::counts::PendingCounts;
use super::fanout::LocalApps;
use super::leaving::Queue;
use super::rounds::Rounds;
use super::totals::Totals;
use super::wheel::Wheel;
use super::{AppIndex, Hub, ShutdownGuard};

use dirty::Dirty;
use pings::Pings;
use survey::Surveys;
use waiting::WaitingJoins;

/// Subscribers that are given something per turn. A broadcast to more of them on one worker takes several, and never
/// the publisher's own.
pub(super) const HEARERS_PER_TURN: usize = 1024;

/// Bytes that one read may bring. One buffer serves all connections of a worker.
const SCRATCH_BYTES: usize = 64 * 1024;

thread_local! {
    static CURRENT: RefCell<Option<Rc<Worker>>> = const { RefCell::new(None) };
}

/// The connections of one worker thread.
pub struct Worker {
    index: WorkerIndex,
    hub: Arc<Hub>,
    clients: RefCell<HashMap<ClientKey, Rc<Client>>>,
    channels: RefCell<LocalApps>,
    dirty: Dirty,
    wheel: RefCell<Wheel<ClientKey>>,
    counts: PendingCounts,
    scratch: RefCell<Box<[u8]>>,
    /// Who waits until no mailbox is congested.
    waiting: RefCell<Vec<Waker>>,
    waker: RefCell<Option<Waker>>,
    turning: Cell<bool>,
    allowance: Rc<Allowance>,
    leaving: Queue,
    rounds: Rounds<ClientKey>,
    /// Connections that are yet to be ended, where not all are to be at once.
    draining: RefCell<Option<vec::IntoIter<ClientKey>>>,
    /// What remembered and kept events have expired is looked at, in several turns.
    expiring: Cell<bool>,
    /// What is over at the next turn.
    ending: RefCell<Vec<ShutdownGuard>>,
    surveys: RefCell<Surveys>,
    /// Joins that the engine has not confirmed, where there are other nodes.
    waiting_joins: WaitingJoins,
    pings: Pings,
    counters: Arc<WorkerCounters>,
}

/// The app, and the name within it.
type ClientKey = (AppIndex, SocketId);

impl Worker {
    /// The half that belongs to the calling thread; starts it at the first call. `None` if more threads call than
    /// the hub was made for. Must be called within the thread's runtime.
    pub fn of_this_thread(hub: &Arc<Hub>) -> Option<Rc<Worker>> {
        CURRENT.with_borrow_mut(|current| match current {
            Some(worker) => Some(Rc::clone(worker)),
            None => {
                let (index, reader) = hub.mailboxes.take_reader()?;
                hub.counters.is_worker(index);
                let worker = Rc::new(Worker::new(index, Arc::clone(hub)));
                actix_web::rt::spawn(Rc::clone(&worker).run(reader));
                actix_web::rt::spawn(Rc::clone(&worker.allowance).renew());
                *current = Some(Rc::clone(&worker));
                Some(worker)
            }
        })
    }

    fn new(index: WorkerIndex, hub: Arc<Hub>) -> Self {
        let connection = hub.connection_config();
        let shortest = connection.ping_after.min(connection.pong_timeout);
        let resolution = (shortest / 8).clamp(Duration::from_millis(5), Duration::from_secs(1));
        Worker {
            index,
            clients: RefCell::default(),
            channels: RefCell::default(),
            dirty: Dirty::default(),
            wheel: RefCell::new(Wheel::new(resolution, Instant::now())),
            counts: PendingCounts::new(resolution),
            scratch: RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice()),
            waiting: RefCell::default(),
            waker: RefCell::default(),
            turning: Cell::new(false),
            leaving: Queue::default(),
            rounds: Rounds::default(),
            draining: RefCell::default(),
            expiring: Cell::new(false),
            allowance: Allowance::new(),
            ending: RefCell::default(),
            surveys: RefCell::default(),
            waiting_joins: WaitingJoins::default(),
            pings: Pings::new(Instant::now()),
            counters: Arc::clone(&hub.counters.workers()[usize::from(index)]),
            hub,
        }
    }

    /// The worker of the calling thread, if it is one of this hub's.
    pub(super) fn current(hub: &Hub) -> Option<Rc<Worker>> {
        CURRENT.with_borrow(|current| current.clone().filter(|worker| std::ptr::eq(&*worker.hub, hub)))
    }

    /// Its number among the hub's workers.
    pub(crate) fn index(&self) -> WorkerIndex {
        self.index
    }

    /// What all workers share.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// A turn for a connection's task, which is being polled. If there is none for it now, it is woken when there is.
    pub fn turn_of(&self, queued: &mut Queued, context: &Context<'_>) -> Option<Turn<'_>> {
        self.allowance.take(queued, context)
    }

    /// A turn that nobody has to queue for: that in which a connection begins, or one of a backend's.
    pub fn next_turn(&self) -> Turn<'_> {
        self.allowance.turn()
    }

    /// The buffer for one read. It is empty again as soon as the reader has looked through it.
    pub fn scratch(&self) -> RefMut<'_, Box<[u8]>> {
        self.scratch.borrow_mut()
    }

    /// Times at which it will look after something.
    fn timers(&self) -> usize {
        self.wheel.borrow().len() + self.counts.len()
    }

    fn totals(&self) -> Totals {
        Totals {
            clients: self.clients.borrow().len(),
            local_subscriptions: self.channels.borrow().subscriptions(),
            timers: self.timers(),
            waiting_joins: self.waiting_joins.len(),
            ..Totals::default()
        }
    }
}

fn key<T: Transport + ?Sized>(client: &Client<T>) -> ClientKey {
    (client.app().index(), client.socket_id())
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("index", &self.index).finish_non_exhaustive()
    }
}
