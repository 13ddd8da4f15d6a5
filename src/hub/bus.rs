//! The seam to other nodes: what the hub hands to whoever carries it there. The hub does not know who that is, and where
//! it has none, it is the whole broker.
//!
//! What others have accepted comes in by the hub's entrances for it: `arrived.rs`; what is true of them, by `elsewhere.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use tokio::sync::oneshot;

use crate::app::HistoryBounds;
use crate::channel::{Fact, NodeId};
use crate::event::BackendDemand;
use crate::protocol::{Broadcast, ChannelName, Frame, SocketId, SocketTag};
use crate::recovery::{ClientName, NoteNumber, TakenName};
use crate::video::{FilmingClaim, KeyframesWanted};

use super::feed_words::FeedWord;
use super::recent_publishes::IdDigest;
use super::{AppState, Hub, Notice, StreamPart};

/// Carries what is accepted on this node to the other nodes of the cluster. Nothing here ever waits; what does not fit
/// into its bounds is dropped and counted there.
pub(crate) trait Bus: Send + Sync {
    /// An event for the subscribers of a channel was accepted here. Called on the thread that accepted it, in the order in
    /// which it was accepted. `taken` is asked for by whoever answers only when the engine has the event; it is told at
    /// once if the bus is known to be away.
    fn carry(&self, event: &Outgoing<'_>, taken: Option<Taken>) -> Carriage;

    /// Something has become true on this node. It is told under the lock of what has changed, so in its order: of a channel
    /// under the channel's entry. Whoever is told must not call back into the hub.
    fn tell(&self, app: &AppState, fact: Fact);

    /// A connection wants to subscribe: the channel's events are wanted on this node until [`Bus::release`] has been called
    /// as often as this.
    fn claim(&self, app: &Arc<AppState>, channel: &ChannelName) -> Claim;

    /// A subscription has ended, or a join that was claimed for has not become one.
    fn release(&self, app: &Arc<AppState>, channel: &ChannelName);

    /// A number that the socket ids of this node have in common, and those of few other nodes.
    fn socket_tag(&self) -> SocketTag;

    /// What the engine remembers of a cache channel. Whoever waits for it bounds the wait.
    fn recall(&self, app: &Arc<AppState>, channel: &ChannelName) -> oneshot::Receiver<Recalled>;

    /// Whether everything that nodes publish on a channel comes here, and nothing is missing of it until now.
    fn follows(&self, app: &AppState, channel: &ChannelName) -> bool;

    /// What the engine's stream of a channel has behind a number: so many events at most, and so many bytes of them, and whether
    /// there is more. Whoever waits for it bounds the wait.
    fn read_history(
        &self,
        app: &Arc<AppState>,
        channel: &ChannelName,
        behind: u64,
        most: (usize, usize),
    ) -> oneshot::Receiver<Result<(StreamPart, bool), BusAway>>;

    /// Somebody on this node has found that a cache channel remembers nothing, the first one here since it did, as far as
    /// this node knows. If it is the first one of the cluster, or that cannot be known, [`Hub::announce_cache_miss`] is
    /// called, later and on another thread.
    ///
    /// # Errors
    /// If the bus is known to be away: it is to be announced at once, whoever else announces it.
    fn miss(&self, app: &Arc<AppState>, channel: &ChannelName) -> Result<(), BusAway>;

    /// Something is about to be published under an id: the engine keeps this claim for it, for some seconds, if it has nothing
    /// of the id. Resolves to what it has. Whoever waits for it bounds the wait.
    fn claim_publish(&self, app: &AppState, id: IdDigest, claim: Bytes) -> oneshot::Receiver<ClaimedBefore>;

    /// What was claimed has been published, and the engine keeps this for ten minutes in place of the claim; or it was not, and
    /// the claim is forgotten.
    fn settle_publish(&self, app: &AppState, id: IdDigest, claim: Bytes, published: Option<Bytes>);

    /// Whether what is known of clients' names is known to all nodes.
    fn keeps_names(&self) -> bool;

    /// A client comes by this connection with a name that has this note: it is this node's from now on. Resolves to what other nodes have told of it.
    /// It is dropped if the engine does not answer. Whoever waits for it bounds the wait.
    fn take_name(&self, app: &AppState, number: NoteNumber, socket: SocketId)
    -> oneshot::Receiver<TakenName>;

    /// A client comes with a name that is known to this process alone and to the one before, if there is one that hands over what
    /// it knows. Resolves to that, when all that the one before had told of channels by then has come. Of no name, there is no more to
    /// it than this.
    fn ask_before(
        &self,
        _: &AppState,
        _key: &str,
        _: Option<&ClientName>,
    ) -> Option<oneshot::Receiver<TakenName>> {
        None
    }

    /// Tells another node of a name that it had, or has.
    fn tell_of_name(&self, number: NoteNumber, node: NodeId, word: NameWord);

    /// Viewers on this node want key frames: of a track that this node films, or of whatever any node does.
    fn want_key_frames(&self, app: &AppState, of: Option<NodeId>, wanted: &KeyframesWanted);

    /// A client of this node films a track: to be known by a node where somebody else does, or by all.
    fn claim_filming(&self, app: &AppState, to: Option<NodeId>, claim: &FilmingClaim);

    /// The backends on the pipe that are connected to this node want to hear this of an app; or nothing any more. Called for
    /// each app by one at a time.
    fn listen(&self, app: &AppState, demand: BackendDemand);

    /// Something happened here that backends want to hear of which are connected to other nodes.
    fn carry_notice(&self, notice: &OutgoingNotice<'_>);

    /// Says something of the live feed to one node, or to all. Whether there was room for it: everything else goes before it.
    fn say_of_feed(&self, _to: Option<NodeId>, _word: FeedWord) -> bool {
        false
    }

    /// Whether it is known to be away.
    fn is_away(&self) -> bool;

    /// Delivers what was accepted here and is awaited from the engine: when it comes back, nobody is here any more.
    fn deliver_awaited(&self);

    /// Whether this node is (one of) those that tell the backend of a change of the channel that was made on node `by`. Whether
    /// there is something to tell, those know that decided so `ago`: one of them does, if one is left. While the bus is away
    /// nobody else hears of this node's own.
    fn decides(&self, app_id: &str, channel: &ChannelName, by: NodeId, ago: Duration) -> bool;

    /// How many nodes have died or stopped deciding, as far as this one knows. It has grown before anything is decided
    /// otherwise because of it.
    fn departures(&self) -> u64;

    /// Whether this node decides now for a change of the channel that was another's to tell `then`, which has gone since and may
    /// not have told it. Those who decided so long `ago`, before then, know whether there is something to tell.
    fn inherits(&self, app_id: &str, channel: &ChannelName, ago: Duration, then: Instant) -> bool;

    /// Whether there are other nodes that decided so long `ago`, and go on doing so. What this one leaves untold when it stops,
    /// one of them tells.
    fn has_peers(&self, ago: Duration) -> bool;

    /// Whether another node tells from now on what this one has held back until now, although it was this one's to tell.
    fn has_handed_over(&self) -> bool;

    /// Has the node that the connection is on send it a frame. Whether there is a node that it may be on.
    fn carry_to_socket(&self, app: &AppState, socket: SocketId, frame: &Frame) -> bool;

    /// Has the node that the connection is on end it. Whether there is a node that it may be on.
    fn carry_close(&self, app: &AppState, socket: SocketId) -> bool;

    /// Has all other nodes end the connections of a user.
    ///
    /// # Errors
    /// If the bus is known to be away.
    fn carry_termination(&self, app: &AppState, user_id: &str, taken: Taken) -> Result<(), BusAway>;
}

/// What becomes of an event on the node that accepted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carriage {
    /// The subscribers of this node are sent it at once.
    Onward,
    /// They are sent it when it comes in by [`Hub::deliver_from_elsewhere`]: where the engine has put it between those of other
    /// nodes, with the number that the engine has given it if the channel remembers it; or later, if the engine has not taken
    /// it after all, or has not given it back. If no subscriber is here, it need not.
    Returns,
}

/// An event on its way to other nodes.
pub(crate) struct Outgoing<'a> {
    pub(crate) app: &'a AppState,
    /// Whose subscribers are sent it.
    pub(crate) channel: &'a ChannelName,
    /// What they are sent.
    pub(crate) message: &'a Broadcast,
    /// The name of the event, where a slow subscriber needs only the newest of each name.
    pub(crate) latest: Option<&'a str>,
    /// The connection that is not sent it.
    pub(crate) except: Option<SocketId>,
    /// How long the channel remembers it, if it does.
    pub(crate) remembered_for: Option<Duration>,
    /// How much the channel keeps of its last events, if it does.
    pub(crate) keeping: Option<HistoryBounds>,
}

/// Something that happened here, on its way to backends that are connected to other nodes.
pub(crate) struct OutgoingNotice<'a> {
    pub(crate) app: &'a AppState,
    pub(crate) notice: &'a Notice<'a>,
    /// The groups of backends of which one is to hear it there, each with the node that this one is connected to.
    pub(crate) groups: &'a [(NodeId, Arc<str>)],
}

/// What one node tells another of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameWord {
    /// The one that says it has taken it, as the one that did so as often as this.
    Taken { turn: u64 },
    /// The connection that it was taken from was there.
    WasThere,
}

/// What is told when the engine has taken something, or will not.
pub(crate) type Taken = oneshot::Sender<Result<(), BusAway>>;

/// Resolves when the engine has taken something. Whoever waits for it bounds the wait.
pub(crate) type Carried = oneshot::Receiver<Result<(), BusAway>>;

/// What the engine remembers: an event's frame, and for how much longer; or nothing.
pub(crate) type Recalled = Result<Option<(Frame, Duration)>, BusAway>;

/// What the engine has of an id already; or nothing.
pub(crate) type ClaimedBefore = Result<Option<Bytes>, BusAway>;

/// The other nodes cannot be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("The other nodes of the cluster cannot be reached")]
pub(crate) struct BusAway;

/// What a connection that subscribes is told of the channel's events.
pub(crate) enum Claim {
    /// They come already, or the bus is away: it may join now.
    Settled,
    /// The engine has not confirmed yet that they will come, or has not told yet what a cache channel remembers: that is
    /// handed to [`Hub::deliver_from_elsewhere`] or [`Hub::recalled_nothing`] first. It may join when this resolves, however
    /// it does, and after a second it joins anyway.
    Waiting(oneshot::Receiver<()>),
}

/// The bus of a hub, which may come and go while the hub is used. Where there is none, that costs one look.
#[derive(Default)]
pub(super) struct CurrentBus {
    is_there: AtomicBool,
    bus: ArcSwapOption<Arc<dyn Bus>>,
}

impl CurrentBus {
    fn set(&self, bus: Option<Arc<dyn Bus>>) {
        let is_there = bus.is_some();
        self.bus.store(bus.map(Arc::new));
        self.is_there.store(is_there, Ordering::Release);
    }

    fn get(&self) -> Option<Arc<dyn Bus>> {
        if self.is_there.load(Ordering::Acquire) { self.load() } else { None }
    }

    #[cold]
    fn load(&self) -> Option<Arc<dyn Bus>> {
        self.bus.load().as_deref().cloned()
    }
}

impl Hub {
    /// Makes this node one of several. What is true on it already, the bus is told by [`Hub::tell_what_is_true`].
    pub(crate) fn set_bus(&self, bus: Arc<dyn Bus>) {
        self.bus.set(Some(bus));
    }

    /// Makes this node the whole broker again. Nothing that was true of other nodes may be left. Who has asked for the bus before
    /// may use it still, so it is known to be away by then.
    pub(crate) fn take_bus_away(&self) {
        self.bus.set(None);
        self.forget_engine();
        // What comes from now on has no number of another process, and no other one keeps it.
        self.set_history_epoch(0);
        self.apps().iter().for_each(|app| _ = app.follow_histories(None));
    }

    /// What carries to the other nodes, where there are some.
    pub(crate) fn bus(&self) -> Option<Arc<dyn Bus>> {
        self.bus.get()
    }
}
