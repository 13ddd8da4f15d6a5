//! The hub: it carries events from whoever publishes them to whoever is subscribed.
//!
//! [`Hub`] is what all workers share: the apps, their channels, and the workers' mailboxes. Each worker thread has
//! its own half, a [`Worker`], with the connections it accepted. A channel's entry says which workers have
//! subscribers of it; a delivery touches the entry once per broadcast and then only what belongs to the worker.
//!
//! The hub knows neither sockets nor HTTP, and announces what happens to [`Listener`]s that it does not know.

mod accepted;
mod addresses;
mod allowance;
mod announce;
mod app_histories;
mod app_index;
mod app_state;
mod app_video;
mod apps;
mod arrived;
mod ask;
mod backends_elsewhere;
mod bus;
#[cfg(test)]
mod bus_world;
mod cache_index;
mod cached_elsewhere;
mod change_apps;
mod change_elsewhere;
mod claim_publish;
mod client;
mod clock;
mod conflated;
mod congestion;
mod connections_elsewhere;
mod counters;
mod counts;
mod current;
mod details;
mod due;
mod examination;
#[cfg(test)]
mod fake_bus;
mod fanout;
mod feed_words;
mod film;
mod film_figures;
mod handed_names;
mod handed_over;
mod histories_elsewhere;
mod history_follower;
mod history_index;
mod history_room;
mod inject;
mod interceptor;
mod leaving;
mod lists;
mod mailbox;
mod mailboxes;
mod named;
mod named_notes;
mod node_histories;
mod node_video;
mod note_counts;
mod note_recovery;
mod notice;
mod outbox;
mod publish;
mod reach;
mod read_history;
mod receipts;
mod recent_leaves;
mod recent_publishes;
mod recent_recoveries;
mod recent_sockets;
mod refused_addresses;
mod retell;
mod rewind_allowance;
mod rounds;
mod settle;
mod shared_rate;
mod shutdown;
mod sockets;
mod survey;
mod take_over;
mod told_elsewhere;
mod totals;
mod turn;
mod upgrade_counts;
mod upkeep;
mod users;
mod versions;
mod viewers_question;
mod watchlist;
mod wheel;
mod worker;

pub(crate) use accepted::EventReach;
pub(crate) use addresses::{AddressFull, AddressGroup, AddressPlace, AddressTable};
pub(crate) use allowance::{Queued, Turn};
pub(crate) use app_index::AppIndex;
pub use app_state::AppState;
pub(crate) use app_state::{ChannelSummary, Listener, Listeners, Tellable, Told};
pub(crate) use apps::Apps;
pub(crate) use arrived::{ArrivedEvent, RememberedAs};
pub(crate) use backends_elsewhere::DemandsElsewhere;
pub(crate) use bus::{
    Bus, BusAway, Carriage, Carried, Claim, ClaimedBefore, NameWord, Outgoing, OutgoingNotice, Recalled,
    Taken,
};
pub(crate) use cached_elsewhere::LackedEvent;
pub(crate) use claim_publish::PublishClaim;
pub use client::{Client, Transport, Written};
pub(crate) use clock::{Clock, ClockStep, unix_ms};
pub(crate) use counters::{AppCells, AppCounts, AppFigures, AppUsage, Counter, DurationCounter, Durations};
pub(crate) use current::Current;
pub(crate) use details::{ConnectionDetails, DriverRequest};
pub use due::Timed;
pub(crate) use due::{Agenda, Busy, Due};
#[cfg(test)]
pub(crate) use fake_bus::FakeBus;
pub(crate) use feed_words::{FeedHearer, FeedWord};
pub(crate) use handed_over::{
    HandedEvents, HandedFloor, HandedHistoryEvent, HandedOver, HeldRemoval, KeptChannels, LiveEvent,
};
pub(crate) use histories_elsewhere::{KeptAs, StreamEvent, StreamPart};
pub(crate) use history_follower::HistoryFollower;
pub(crate) use interceptor::{FaultInjector, InjectedAnswer, Replacement};
pub(crate) use lists::{ListPage, ListedChannel};
pub(crate) use named::{NameFigures, NamedCaller, NamedClient};
pub(crate) use named_notes::{NoteAnswer, NoteChange};
pub(crate) use node_histories::NodeHistories;
pub(crate) use node_video::NodeVideo;
pub(crate) use note_counts::NoteFigures;
pub(crate) use notice::{Notice, Refused, UnknownAppListener};
pub use outbox::{Bounds, Outbox};
pub(crate) use receipts::Receipts;
pub(crate) use recent_publishes::{EarlierPublish, IdDigest, PublishAnswer, REMEMBERED_FOR, RecentPublishes};
pub(crate) use recent_recoveries::Recovery;
pub(crate) use refused_addresses::{RefusedAddresses, RefusedTooOften};
pub(crate) use shared_rate::RateExceeded;
pub(crate) use shutdown::{Shutdown, ShutdownGuard};
pub(crate) use sockets::{NotAdmitted, SocketTable};
pub use totals::Totals;
pub(crate) use turn::come_again;
pub(crate) use upgrade_counts::{HandedKind, HandedLoss, UpgradeCounts};
pub(crate) use worker::Admission;
pub use worker::Worker;

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use parking_lot::RwLock;
use tokio::sync::Notify;

use crate::app::{App, DuplicateApp};
use crate::channel::{ChangeOrigin, ChannelVersion, NodeId, WorkerIndex};
use crate::connection::ConnectionConfig;
use crate::protocol::ChannelName;
use crate::recovery::RecoveryConfig;
use crate::video::VideoConfig;

use bus::CurrentBus;
use change_apps::AppTable;
use counters::{NodeCounters, RefusalCounts};
use histories_elsewhere::EngineNumbers;
use mailbox::Mailbox;
use mailboxes::Mailboxes;
use named::ClientNames;
use recent_leaves::RecentLeaves;
use shared_rate::SharedRate;
use shutdown::Work;
use versions::Versions;

/// What all workers of a node share.
pub struct Hub {
    apps: AppTable,
    histories: Arc<NodeHistories>,
    engine_numbers: EngineNumbers,
    recovery: OnceLock<RecoveryConfig>,
    video: NodeVideo,
    /// What clients call themselves that come back.
    names: ClientNames,
    /// What has come of upgrades.
    upgrades: UpgradeCounts,
    sockets: SocketTable,
    addresses: Arc<AddressTable>,
    refused_addresses: RefusedAddresses,
    connection: Arc<ConnectionConfig>,
    mailboxes: Mailboxes,
    versions: Versions,
    work: Work,
    slow_readers: AtomicU64,
    counters: NodeCounters,
    refusals: RefusalCounts,
    /// Refusals of signatures whose cause was looked for.
    examinations: SharedRate,
    unknown_app_listeners: RwLock<Vec<Arc<dyn UnknownAppListener>>>,
    /// Hears what other nodes say of the live feed.
    feed_hearer: OnceLock<Arc<dyn FeedHearer>>,
    /// What carries to the other nodes, where there are some.
    bus: CurrentBus,
    /// What ended on nodes of late, where there are several.
    recent_leaves: RecentLeaves,
    recent_publishes: Arc<RecentPublishes>,
    /// Told when a worker is no longer far behind.
    relieved: Notify,
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
        let counters = NodeCounters::new(workers.max(1));
        let histories = Arc::<NodeHistories>::default();
        let recent_publishes = Arc::<RecentPublishes>::default();
        let hub = Arc::new(Hub {
            apps: AppTable::new(counters.clone(), Arc::clone(&histories), Arc::clone(&recent_publishes)),
            histories,
            engine_numbers: EngineNumbers::default(),
            recovery: OnceLock::new(),
            video: NodeVideo::default(),
            names: ClientNames::new(&RecoveryConfig::default()),
            upgrades: UpgradeCounts::default(),
            sockets: SocketTable::new(max_connections),
            addresses: Arc::default(),
            refused_addresses: RefusedAddresses::default(),
            connection: Arc::new(connection),
            mailboxes: Mailboxes::new(workers.max(1)),
            versions: Versions::new(),
            work: Work::new(),
            slow_readers: AtomicU64::new(0),
            counters,
            refusals: RefusalCounts::default(),
            examinations: SharedRate::new(Instant::now()),
            unknown_app_listeners: RwLock::default(),
            feed_hearer: OnceLock::new(),
            bus: CurrentBus::default(),
            recent_leaves: RecentLeaves::default(),
            recent_publishes,
            relieved: Notify::new(),
        });
        hub.set_apps(apps.into_iter().map(|(app, listeners)| (app, Some(listeners))).collect())?;
        Ok(hub)
    }

    /// What is kept for those who come back. What was said first stays; without a word it is the default.
    pub fn set_recovery(&self, recovery: RecoveryConfig) {
        // Before anybody is served.
        let _ = self.recovery.set(recovery);
        self.names.set_bounds(self.recovery());
    }

    /// What is kept for those who come back.
    pub(crate) fn recovery(&self) -> &RecoveryConfig {
        self.recovery.get_or_init(RecoveryConfig::default)
    }

    /// What is kept of video channels.
    pub fn set_video(&self, config: &VideoConfig) {
        self.video.set_bounds(config);
    }

    /// What the histories of all apps hold, and what has become of them.
    pub(crate) fn histories(&self) -> &NodeHistories {
        &self.histories
    }

    /// What has come of the upgrades of this process.
    pub(crate) fn upgrades(&self) -> &UpgradeCounts {
        &self.upgrades
    }

    /// What tells the positions of this node's histories from those of its other runs.
    pub(crate) fn history_epoch(&self) -> u64 {
        self.node_id().bits() as u64
    }

    /// How connections are treated.
    pub fn connection_config(&self) -> &Arc<ConnectionConfig> {
        &self.connection
    }

    /// How the connections of an app are treated: as the node's are, but for what a test has said of the app.
    pub fn connection_config_of<'a>(&'a self, app: &'a AppState) -> &'a Arc<ConnectionConfig> {
        app.interceptor().connection_config().unwrap_or(&self.connection)
    }

    /// The connections of all apps.
    pub fn sockets(&self) -> &SocketTable {
        &self.sockets
    }

    /// The connections of each client address.
    pub fn addresses(&self) -> &Arc<AddressTable> {
        &self.addresses
    }

    /// How often each address was refused of late.
    pub fn refused_addresses(&self) -> &RefusedAddresses {
        &self.refused_addresses
    }

    /// What backends have published of late under ids.
    pub(crate) fn recent_publishes(&self) -> &RecentPublishes {
        &self.recent_publishes
    }

    /// How many connections an app has.
    pub fn connections_of(&self, app: &AppState) -> usize {
        self.sockets.count_of(app.index())
    }

    /// Worker threads to run.
    pub fn worker_count(&self) -> usize {
        self.mailboxes.len()
    }

    /// Whether all of them run.
    pub fn has_started(&self) -> bool {
        self.mailboxes.all_started()
    }

    /// Waits until all of them run.
    pub(crate) async fn until_started(&self) {
        self.mailboxes.until_all_started().await;
    }

    /// Whether one of them is no more, by a fault of the program: its connections have ended with it.
    pub(crate) fn has_lost_a_worker(&self) -> bool {
        self.mailboxes.is_one_abandoned()
    }

    fn mailbox(&self, worker: WorkerIndex) -> &Mailbox {
        self.mailboxes.of(worker)
    }

    /// The worker that does for a channel what any could do and one should.
    fn worker_for(&self, channel: &ChannelName) -> WorkerIndex {
        let mut hasher = DefaultHasher::new();
        channel.hash(&mut hasher);
        let workers = self.mailboxes.len() as u64;
        WorkerIndex::try_from(hasher.finish() % workers).unwrap_or_default()
    }

    /// What tells this node, since its start, from every other node and from what it was before. With the number of a
    /// change, it names the change.
    pub(crate) fn node_id(&self) -> NodeId {
        self.versions.node()
    }

    /// The name of a change that was made here.
    pub(crate) fn own_change(&self, version: ChannelVersion) -> ChangeOrigin {
        ChangeOrigin { node: self.node_id(), version }
    }

    /// A number larger than all before. Drawn under a channel's entry, it orders the channel's changes.
    pub(crate) fn next_version(&self) -> ChannelVersion {
        self.versions.next()
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("apps", &self.apps().iter().count()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
