//! The hub: it carries events from whoever publishes them to whoever is subscribed.
//!
//! [`Hub`] is what all workers share: the apps, their channels, and the workers' mailboxes. Each worker thread has
//! its own half, a [`Worker`], with the connections it accepted. A channel's entry says which workers have
//! subscribers of it; a delivery touches the entry once per broadcast and then only what belongs to the worker.
//!
//! The hub knows neither sockets nor HTTP, and announces what happens to [`Listener`]s that it does not know.

mod accepted;
mod allowance;
mod announce;
mod app_index;
mod app_state;
mod apps;
mod cache_index;
mod change_apps;
mod client;
mod clock;
mod congestion;
mod counts;
mod current;
mod due;
mod fanout;
mod leaving;
mod mailbox;
mod meddler;
mod notice;
mod outbox;
mod passed_over;
mod publish;
mod reach;
mod rounds;
mod shutdown;
mod sockets;
mod test_hooks;
mod totals;
mod turn;
mod upkeep;
mod users;
mod wheel;
mod worker;

pub use allowance::{Queued, Turn};
pub use app_index::AppIndex;
pub use app_state::{AppState, ChannelSummary};
pub use apps::Apps;
pub use client::{Client, Signals, Transport, Written};
pub use clock::Clock;
pub use current::Current;
pub use due::{Agenda, Busy, Due, Timed};
pub use mailbox::CONGESTED_BYTES;
pub use meddler::{Answer, Instead, Meddler};
pub use notice::{Bystander, Heard, Listener, Listeners, Notice, Refused, Source, Version};
pub use outbox::{Bounds, Outbox, Overflow};
pub use publish::Publication;
pub use shutdown::{AtWork, Shutdown};
pub use sockets::{NotAdmitted, Quota, Sockets};
pub use totals::Totals;
pub use turn::come_again;
pub use wheel::Wheel;
pub use worker::{Admission, Worker};

use std::convert::Infallible;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use arc_swap::ArcSwap;
use tokio::sync::mpsc;

use crate::app::{App, DuplicateApp};
use crate::channel::WorkerIndex;
use crate::connection::ConnectionConfig;

use app_index::Places;
use mailbox::{Mailbox, MailboxReader, mailbox};

/// What all workers of a node share.
pub struct Hub {
    apps: ArcSwap<Apps>,
    places: Arc<Places>,
    /// Apps that were removed, of which something may be left. Held while the apps are changed: one change at a time.
    removed: Mutex<Vec<Weak<AppState>>>,
    sockets: Sockets,
    connection: Arc<ConnectionConfig>,
    mailboxes: Vec<Mailbox>,
    /// The mailboxes' other ends, until the workers start and take them.
    readers: Mutex<Vec<Option<MailboxReader>>>,
    slow_readers: AtomicU64,
    /// Numbers the changes of rosters, across all channels and their reincarnations.
    versions: AtomicU64,
    incarnation: u128,
    bystander: OnceLock<Arc<dyn Bystander>>,
    /// Set when the broker begins to stop.
    shutdown: OnceLock<Shutdown>,
    /// Cloned by everything that shutdown waits for; gone once shutdown has begun.
    at_work: Mutex<Option<mpsc::Sender<Infallible>>>,
    /// Ends when the last clone is dropped.
    all_done: Mutex<Option<mpsc::Receiver<Infallible>>>,
}

impl Hub {
    /// A hub for these apps, each with those who listen to it, served by `workers` worker threads.
    /// `max_connections` bounds the connections of all apps together; 0 lifts the limit.
    ///
    /// # Errors
    /// If two apps share an id or a key.
    pub fn new(
        apps: Vec<(App, Listeners)>,
        connection: ConnectionConfig,
        workers: usize,
        max_connections: usize,
    ) -> Result<Arc<Self>, DuplicateApp> {
        let (mailboxes, readers) = (0..workers.max(1)).map(|_| mailbox()).unzip();
        let readers: Vec<MailboxReader> = readers;
        let (at_work, all_done) = mpsc::channel(1);
        let hub = Arc::new(Hub {
            apps: ArcSwap::default(),
            places: Arc::default(),
            removed: Mutex::default(),
            sockets: Sockets::new(max_connections),
            connection: Arc::new(connection),
            mailboxes,
            readers: Mutex::new(readers.into_iter().map(Some).collect()),
            slow_readers: AtomicU64::new(0),
            versions: AtomicU64::new(0),
            incarnation: rand::random(),
            bystander: OnceLock::new(),
            shutdown: OnceLock::new(),
            at_work: Mutex::new(Some(at_work)),
            all_done: Mutex::new(Some(all_done)),
        });
        hub.set_apps(apps.into_iter().map(|(app, listeners)| (app, Some(listeners))).collect())?;
        Ok(hub)
    }

    /// How connections are treated.
    #[must_use]
    pub fn connection_config(&self) -> &Arc<ConnectionConfig> {
        &self.connection
    }

    /// How the connections of an app are treated: as the node's are, but for what a test has said of the app.
    #[must_use]
    pub fn connection_config_of<'a>(&'a self, app: &'a AppState) -> &'a Arc<ConnectionConfig> {
        app.connection_config().unwrap_or(&self.connection)
    }

    /// The connections of all apps.
    #[must_use]
    pub fn sockets(&self) -> &Sockets {
        &self.sockets
    }

    /// Worker threads to run.
    #[must_use]
    pub fn worker_count(&self) -> usize {
        self.mailboxes.len()
    }

    fn mailbox(&self, worker: WorkerIndex) -> &Mailbox {
        &self.mailboxes[usize::from(worker)]
    }

    /// The mailboxes that somebody reads.
    fn started(&self) -> Vec<&Mailbox> {
        let readers = lock(&self.readers);
        let started = self.mailboxes.iter().zip(readers.iter()).filter(|(_, reader)| reader.is_none());
        started.map(|(mailbox, _)| mailbox).collect()
    }

    /// The reading end of a mailbox nobody has taken yet.
    fn take_reader(&self) -> Option<(WorkerIndex, MailboxReader)> {
        let mut readers = lock(&self.readers);
        let found = readers.iter_mut().enumerate().find_map(|(index, reader)| Some((index, reader.take()?)));
        found.and_then(|(index, reader)| Some((WorkerIndex::try_from(index).ok()?, reader)))
    }

    /// What tells this node, since its start, from every other node and from what it was before. With the number of a
    /// change, it names the change.
    #[must_use]
    pub fn incarnation(&self) -> u128 {
        self.incarnation
    }

    /// A number larger than all before. Drawn under a channel's entry, it orders the channel's changes.
    pub(crate) fn next_version(&self) -> Version {
        self.versions.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// No code panics while it holds one of the hub's locks, and what they guard is valid at all times.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("apps", &self.apps().iter().count()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
