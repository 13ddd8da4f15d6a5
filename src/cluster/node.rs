//! One node of a cluster: what the hub asks of it, and what its tasks share.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::runtime;
use tokio::sync::{Notify, oneshot, watch};

use crate::channel::{Fact, NodeId};
use crate::event::BackendDemand;
use crate::hub::{
    AppState, Bus, BusAway, Carriage, Claim, ClaimedBefore, FeedWord, Hub, IdDigest, NameWord, Outgoing,
    OutgoingNotice, Recalled, StreamPart, Taken, unix_ms,
};
use crate::protocol::{ChannelName, Form, Frame, SocketId, SocketTag};
use crate::recovery::{ClientName, NoteNumber, TakenName};
use crate::video::{FilmingClaim, KeyframesWanted};

use super::adapter::{Adapter, EngineTicket, Link, Subject};
use super::asked_names::AskedNames;
use super::awaited::{AwaitedEvents, WayHere};
use super::chains::Chains;
use super::claims::{Claims, KnownFirst, Recalling};
use super::config::ClusterConfig;
use super::counts::ClusterCounts;
use super::engine_time::EngineTime;
use super::envelope::{Content, Envelope, EventMessage, FactBatch};
use super::event_numbers::{EventNumber, EventNumbers};
use super::failure::NodeFailure;
use super::kept_before::KeptBefore;
use super::listening::OwnDemands;
use super::owed::OwedEvents;
use super::peers::{Deciders, PeerChange, Peers};
use super::questions::Questions;
use super::shared_settings::SharedSettings;
use super::standing::{Standing, TheOther};
use super::status::{Loss, WordKind};
use super::taken::taken_of;
use super::telling::Telling;
use super::turns::Turns;
use super::views::Views;

/// Within this time one of two processes has told what there is to tell.
const TOLD_WITHIN: Duration = Duration::from_secs(2);

/// One node, as its tasks and the hub's threads share it.
pub(crate) struct ClusterNode<A> {
    pub(super) me: NodeId,
    pub(super) config: ClusterConfig,
    /// What it is among the others.
    pub(super) standing: Standing,
    /// Its settings that all nodes should have alike.
    pub(super) settings: SharedSettings,
    pub(super) adapter: Arc<A>,
    pub(super) hub: Weak<Hub>,
    pub(super) claims: Arc<Claims>,
    pub(super) telling: Telling,
    pub(super) counts: Arc<ClusterCounts>,
    /// The locks of these two are taken in this order, and for moments.
    pub(super) peers: Mutex<Peers>,
    pub(super) views: Mutex<Views>,
    pub(super) inbox: Arc<super::inbox::InboxCounts>,
    pub(super) settled: watch::Sender<bool>,
    pub(super) awaited: AwaitedEvents,
    /// Of the channels with a history.
    pub(super) chains: Arc<Chains>,
    /// What the engine could not take of these.
    pub(super) owed: OwedEvents,
    pub(super) engine_time: Mutex<EngineTime>,
    /// What this node's backends want to hear.
    pub(super) listening: OwnDemands,
    /// What it asks other nodes, and who answers them.
    pub(super) questions: Questions,
    pub(super) numbers: EventNumbers,
    /// The process that it has handed its histories over to, where it is succeeded by one.
    pub(super) succeeded_by: OnceLock<NodeId>,
    /// What that process was asked of names.
    pub(super) asked_names: AskedNames,
    /// What the process before keeps, where this one succeeds it.
    pub(super) kept_before: KeptBefore,
    deciders: ArcSwap<Deciders>,
    /// By this machine's clock, in milliseconds since 1970.
    pub(super) started_ms: u64,
    tag: SocketTag,
    is_away: AtomicBool,
    pub(super) recalls: Turns,
    /// Has it beat at once.
    pub(super) beat_now: Arc<Notify>,
    /// The bus counts as away: also while the engine is another one and not all others have been heard there.
    is_in_trouble: AtomicBool,
    has_peers: AtomicBool,
    /// A part of it has ended.
    pub(super) failure: NodeFailure,
    /// Another node has said that it decides.
    is_decided_elsewhere: AtomicBool,
    /// It was one of two, and the other one has gone; the hub has been told.
    pub(super) is_alone: watch::Sender<bool>,
    pub(super) runtime: runtime::Handle,
    /// Itself, for its tasks.
    pub(super) this: Weak<Self>,
}

impl<A: Adapter> ClusterNode<A> {
    /// A node that has joined an engine and has said nothing yet. Within the runtime in which its tasks will be.
    pub(super) fn new(
        hub: &Arc<Hub>,
        config: ClusterConfig,
        settings: SharedSettings,
        standing: Standing,
        adapter: A,
        inbox: Arc<super::inbox::InboxCounts>,
    ) -> Arc<Self> {
        let (runtime, me) = (runtime::Handle::current(), hub.node_id());
        let counts = Arc::<ClusterCounts>::default();
        let chains = Arc::new(Chains::new(config.waiting_events, config.waiting_bytes));
        let (join_wait, linger) = (config.join_wait, config.linger);
        let claims =
            Claims::new(runtime.clone(), join_wait, linger, Arc::clone(&chains), Arc::clone(&counts));
        let now = tokio::time::Instant::now().into_std();
        let peers = Peers::new(me, Arc::clone(&config.node_name), now)
            .settling(config.settle_listen, config.settle_most)
            .of_standing(standing);
        Arc::new_cyclic(|this| ClusterNode {
            this: this.clone(),
            me,
            standing,
            settings,
            adapter: Arc::new(adapter),
            hub: Arc::downgrade(hub),
            claims,
            telling: Telling::new(),
            counts,
            deciders: ArcSwap::new(Arc::clone(peers.deciders())),
            peers: Mutex::new(peers),
            views: Mutex::new(Views::default()),
            inbox,
            // Whoever is succeeded has served for long.
            settled: watch::Sender::new(standing == Standing::Before),
            awaited: AwaitedEvents::new(config.inbox_words, config.inbox_bytes, config.numbered_channels),
            chains,
            owed: OwedEvents::new(config.outgoing_bytes, config.numbered_channels),
            engine_time: Mutex::new(EngineTime::new(now)),
            listening: OwnDemands::default(),
            questions: Questions::default(),
            numbers: EventNumbers::new(config.numbered_channels),
            succeeded_by: OnceLock::new(),
            asked_names: AskedNames::default(),
            kept_before: KeptBefore::default(),
            started_ms: unix_ms(),
            tag: SocketTag::of_random(rand::random()),
            is_away: AtomicBool::new(true),
            recalls: Turns::default(),
            beat_now: Arc::default(),
            is_in_trouble: AtomicBool::new(true),
            has_peers: AtomicBool::new(false),
            failure: NodeFailure::default(),
            is_decided_elsewhere: AtomicBool::new(false),
            is_alone: watch::Sender::new(false),
            runtime,
            config,
        })
    }

    /// The link is up or away from now on.
    pub(super) fn set_link(&self, link: &Link, now: Instant) {
        let is_away = matches!(link, Link::Away { .. });
        self.is_away.store(is_away, Ordering::Relaxed);
        {
            let mut peers = self.peers.lock();
            peers.link(link, now);
            self.judge(&peers);
        }
        if is_away {
            self.asked_names.end();
            self.deliver_all_awaited();
        }
    }

    /// Whether the bus counts as away. Whoever has changed the peers has it looked at.
    fn judge(&self, peers: &Peers) {
        let is_in_trouble = peers.bus_trouble().is_some();
        self.is_in_trouble.store(is_in_trouble, Ordering::Relaxed);
        self.claims.set_away(is_in_trouble);
    }

    /// Whether what is said now may be heard by nobody.
    pub(super) fn is_in_trouble(&self) -> bool {
        self.is_in_trouble.load(Ordering::Relaxed)
    }

    /// Whether the engine cannot be reached.
    pub(super) fn is_away(&self) -> bool {
        self.is_away.load(Ordering::Relaxed)
    }

    /// Changes what is known of the peers, and returns what has changed by it.
    pub(super) fn change_peers(
        &self,
        change: impl FnOnce(&mut Peers, &mut dyn FnMut(PeerChange)),
    ) -> Vec<PeerChange> {
        let mut changes = Vec::new();
        let mut peers = self.peers.lock();
        change(&mut peers, &mut |change| changes.push(change));
        self.judge(&peers);
        if !Arc::ptr_eq(peers.deciders(), &self.deciders.load()) {
            self.deciders.store(Arc::clone(peers.deciders()));
        }
        self.has_peers.store(peers.iter().next().is_some(), Ordering::Relaxed);
        let is_decided = peers.iter().any(|(_, peer)| peer.heartbeat.settled);
        let was_decided = self.is_decided_elsewhere.swap(is_decided, Ordering::Relaxed);
        if self.standing.is_of_two() && was_decided != is_decided {
            // The other one waits to hear who tells from now on.
            self.beat_now.notify_one();
        }
        changes
    }

    /// The other one, where this is one of two.
    fn the_other(&self) -> TheOther {
        if self.has_peers_now() {
            TheOther::IsThere { tells: self.is_decided_elsewhere.load(Ordering::Relaxed) }
        } else {
            TheOther::IsAbsent
        }
    }

    /// Who decides for a channel, as far as this node knows.
    pub(super) fn decider_of(&self, app_id: &str, channel: &ChannelName) -> Option<NodeId> {
        self.deciders.load().of(app_id, channel.as_str())
    }

    /// Whether it is about to stop.
    fn is_leaving(&self) -> bool {
        self.hub.upgrade().is_none_or(|hub| hub.is_leaving())
    }

    /// Whether it says that it decides. Those who are about to stop leave to the others what there is to decide.
    pub(super) fn says_it_decides(&self) -> bool {
        let is_its_turn = !self.standing.is_of_two() || self.standing.tells(true, self.the_other(), false);
        is_its_turn && *self.settled.borrow() && !self.is_leaving()
    }

    /// The subscription by which events of a subject come, if it is wanted. Of two, all come to each.
    pub(super) fn subscription(&self, subject: &Subject) -> Option<u64> {
        if self.standing.is_of_two() { Some(1) } else { self.claims.subscription(subject) }
    }

    /// Whether the engine has confirmed that the events of a subject come.
    pub(super) fn is_subscribed(&self, subject: &Subject) -> bool {
        self.standing.is_of_two() || self.claims.is_confirmed(subject)
    }

    /// Has the events of a subject come, if they do not.
    pub(super) fn claim_subject(&self, subject: Subject, first: KnownFirst) -> Claim {
        if self.standing.is_of_two() {
            return Claim::Settled;
        }
        self.claims.claim(&self.adapter, subject, first)
    }

    /// Takes back one claim.
    pub(super) fn release_subject(&self, subject: &Subject) {
        if !self.standing.is_of_two() {
            self.claims.release(&*self.adapter, subject);
        }
    }

    /// Whether there are other nodes, as far as this one knows.
    pub(super) fn has_peers_now(&self) -> bool {
        self.has_peers.load(Ordering::Relaxed)
    }

    /// Says something. What there is no room for, and what is said while the bus is away, is counted and gone.
    pub(super) fn say(
        &self,
        subject: &Subject,
        kind: WordKind,
        content: Content,
        ticket: Option<EngineTicket>,
    ) {
        if self.is_away() {
            return self.lose_one();
        }
        let bytes = Envelope { from: self.me, content }.encode();
        self.said(kind, bytes.len(), self.adapter.publish(subject, bytes, ticket).is_ok());
    }

    /// The bus is away, and something would have been said. Of two, the other one is not there, not yet or no more, and misses
    /// nothing.
    pub(super) fn lose_one(&self) {
        if !self.standing.is_of_two() {
            self.counts.lost(Loss::Away, 1);
        }
    }

    fn said(&self, kind: WordKind, bytes: usize, is_taken: bool) {
        if is_taken {
            self.counts.said(kind, bytes);
        } else {
            self.counts.lost(Loss::OutgoingFull, 1);
        }
    }

    /// Says all that has become true and was not said.
    pub(super) fn flush(&self) {
        self.telling.flush(|batch| self.say_facts(batch));
    }

    pub(super) fn say_facts(&self, batch: FactBatch) {
        self.say(&Subject::State, WordKind::Facts, Content::Facts(batch), None);
    }

    /// What is answered when the engine has answered. Where it answers nothing, it is dropped: the bus is away.
    fn ticket(&self, taken: Taken) -> EngineTicket {
        let counts = Arc::clone(&self.counts);
        EngineTicket::doing(move |answer| {
            // Whoever asked may have gone.
            let _ = taken.send(taken_of(answer, &counts));
        })
    }

    /// Hands the hub what the engine remembers of a channel, when it is awaited.
    fn recall_later(&self, subject: &Subject) -> Recalling {
        let (this, subject) = (self.this.clone(), subject.clone());
        Box::pin(async move {
            if let Some(this) = this.upgrade() {
                this.recall_here(&subject).await;
            }
        })
    }

    /// The same for a connection that subscribes, and waits for it.
    fn claim_recalled(&self, subject: &Subject) -> Claim {
        let (told, recalled) = oneshot::channel();
        let recalling = self.recall_later(subject);
        self.counts.joins_waited.add_from_anywhere(1);
        self.runtime.spawn(async move {
            recalling.await;
            // Whoever waited for it may have gone.
            let _ = told.send(());
        });
        Claim::Waiting(recalled)
    }

    /// Says something to the nodes that a connection may be on. Whether there is one.
    fn say_of_socket(&self, socket: SocketId, content: impl Fn() -> Content) -> bool {
        let tag = socket.tag();
        // Who was alone has given ids without its tag.
        let is_any = self.standing == Standing::After;
        let tagged = |peers: &Peers| -> Vec<NodeId> {
            let tagged = peers.iter().filter(|(_, peer)| is_any || peer.heartbeat.socket_tag == tag);
            tagged.map(|(node, _)| node).collect()
        };
        let nodes = if self.is_in_trouble() { Vec::new() } else { tagged(&self.peers.lock()) };
        for node in &nodes {
            self.say(&Subject::Node(*node), WordKind::Direct, content(), None);
        }
        !nodes.is_empty()
    }

    pub(super) fn encode_event(&self, event: &Outgoing<'_>, number: EventNumber, state: u64) -> Bytes {
        let content = Content::Event(EventMessage {
            epoch: number.epoch,
            number: number.number,
            state,
            except: event.except,
            latest: event.latest.map(Box::from),
            // The form in which it was made, whichever that is.
            frame: event.message.for_client(Form::Binary),
            restored: None,
            is_remembered: event.keeping.is_some() && event.remembered_for.is_some(),
            is_of_track: event.message.is_of_track(),
        });
        Envelope { from: self.me, content }.encode()
    }
}

/// The subject of a channel's events.
pub(super) fn subject_of(app: &AppState, channel: &ChannelName) -> Subject {
    Subject::Channel { app: Arc::clone(app.shared_id()), channel: channel.clone() }
}

impl<A: Adapter> Bus for ClusterNode<A> {
    fn carry(&self, event: &Outgoing<'_>, taken: Option<Taken>) -> Carriage {
        if let Some(bounds) = event.keeping.as_ref().filter(|_| !self.standing.is_of_two()) {
            return self.carry_kept(event, bounds, taken);
        }
        if self.is_away() {
            self.lose_one();
            // Whoever asked may have gone.
            let _ = taken.map(|taken| taken.send(Err(BusAway)));
            return self.carriage_alone(&subject_of(event.app, event.channel), event);
        }
        let mut taken = taken;
        if self.is_in_trouble() {
            // It is said all the same, and nobody is promised that it crosses.
            self.counts.lost(Loss::Away, 1);
            let _ = taken.take().map(|taken| taken.send(Err(BusAway)));
        }
        let subject = subject_of(event.app, event.channel);
        let state = self.telling.last();
        self.numbers.say(&subject, |number| {
            let bytes = self.encode_event(event, number, state);
            let length = bytes.len();
            let way = self.way_here(&subject, event, number, taken.is_some());
            let ticket = if way == WayHere::Awaited {
                Some(self.ticket_of_awaited(subject.clone(), number, taken))
            } else {
                taken.map(|taken| self.ticket(taken))
            };
            // If there is no room, the ticket is dropped: that delivers what would be awaited.
            let said = match event.remembered_for {
                None => self.adapter.publish(&subject, bytes, ticket),
                Some(expiry) => self.adapter.publish_and_remember(&subject, bytes, expiry, ticket),
            };
            self.said(WordKind::Event, length, said.is_ok());
            if way == WayHere::AtOnce { Carriage::Onward } else { Carriage::Returns }
        })
    }

    fn tell(&self, app: &AppState, fact: Fact) {
        if self.telling.tell_of(app, fact) {
            self.flush();
        }
    }

    fn claim(&self, app: &Arc<AppState>, channel: &ChannelName) -> Claim {
        let subject = subject_of(app, channel);
        if self.standing.is_of_two() {
            return Claim::Settled;
        }
        let is_chained = app.app().history(channel).is_some();
        if !channel.channel_type().is_cache() {
            return self.claims.claim(&self.adapter, subject, KnownFirst { recall: None, is_chained });
        }
        let first = KnownFirst { recall: Some(self.recall_later(&subject)), is_chained };
        let claim = self.claims.claim(&self.adapter, subject.clone(), first);
        let is_there =
            matches!(claim, Claim::Settled) && !self.is_away() && self.claims.is_confirmed(&subject);
        if is_there && app.may_have_forgotten(channel) {
            return self.claim_recalled(&subject);
        }
        claim
    }

    fn release(&self, app: &Arc<AppState>, channel: &ChannelName) {
        self.release_subject(&subject_of(app, channel));
    }

    fn socket_tag(&self) -> SocketTag {
        self.tag
    }

    fn recall(&self, app: &Arc<AppState>, channel: &ChannelName) -> oneshot::Receiver<Recalled> {
        let (tell, recalled) = oneshot::channel();
        // Each of two remembers by itself what there is to remember.
        if let Some(this) = self.this.upgrade().filter(|_| !self.standing.is_of_two()) {
            let subject = subject_of(app, channel);
            self.runtime.spawn(async move {
                // Whoever asked may have gone.
                let _ = tell.send(this.recall_frame(&subject).await);
            });
        }
        recalled
    }

    fn follows(&self, app: &AppState, channel: &ChannelName) -> bool {
        // What one of two has is all there is.
        self.standing.is_of_two() || !self.is_away() && self.chains.is_known(&subject_of(app, channel))
    }

    fn read_history(
        &self,
        app: &Arc<AppState>,
        channel: &ChannelName,
        behind: u64,
        most: (usize, usize),
    ) -> oneshot::Receiver<Result<(StreamPart, bool), BusAway>> {
        let (tell, read) = oneshot::channel();
        if let Some(this) = self.this.upgrade().filter(|_| !self.standing.is_of_two()) {
            let (app, channel) = (Arc::clone(app), channel.clone());
            self.runtime.spawn(async move {
                // Whoever asked may have gone.
                let _ = tell.send(this.read_stream(&app, &channel, behind, most).await);
            });
        }
        read
    }

    fn miss(&self, app: &Arc<AppState>, channel: &ChannelName) -> Result<(), BusAway> {
        if self.standing.is_of_two() {
            // The other one is told when it is announced.
            return Err(BusAway);
        }
        let this = self.this.upgrade().filter(|_| !self.is_in_trouble()).ok_or(BusAway)?;
        self.runtime.spawn(this.tell_miss(subject_of(app, channel), app.app().cache_ttl));
        Ok(())
    }

    fn claim_publish(&self, app: &AppState, id: IdDigest, claim: Bytes) -> oneshot::Receiver<ClaimedBefore> {
        let (tell, claimed) = oneshot::channel();
        // Each of two knows its own.
        let is_asked = !self.standing.is_of_two() && !self.is_away();
        if let Some(this) = self.this.upgrade().filter(|_| is_asked) {
            let name = Self::note_of(app, id);
            self.runtime.spawn(async move {
                // Whoever asked may have gone.
                let _ = tell.send(this.claim_note(&name, claim).await);
            });
        }
        claimed
    }

    fn settle_publish(&self, app: &AppState, id: IdDigest, claim: Bytes, published: Option<Bytes>) {
        if self.standing.is_of_two() {
            // Whoever asks again asks the one that succeeds.
            published.filter(|_| self.standing == Standing::Before).iter().for_each(|published| {
                self.tell_published(app, id, published);
            });
        } else if let Some(this) = self.this.upgrade() {
            let name = Self::note_of(app, id);
            self.runtime.spawn(async move { this.settle_note(&name, claim, published).await });
        }
    }

    fn keeps_names(&self) -> bool {
        self.has_notes()
    }

    fn take_name(
        &self,
        app: &AppState,
        number: NoteNumber,
        socket: SocketId,
    ) -> oneshot::Receiver<TakenName> {
        self.take_name_later(app, number, socket)
    }

    fn ask_before(
        &self,
        app: &AppState,
        key: &str,
        name: Option<&ClientName>,
    ) -> Option<oneshot::Receiver<TakenName>> {
        self.ask_for_name(app, key, name)
    }

    fn tell_of_name(&self, number: NoteNumber, node: NodeId, word: NameWord) {
        self.say_of_name(number, node, word);
    }

    fn want_key_frames(&self, app: &AppState, of: Option<NodeId>, wanted: &KeyframesWanted) {
        let subject = of.map_or(Subject::State, Subject::Node);
        let content =
            Content::KeyframesWanted { app: Arc::clone(app.shared_id()), wanted: Box::new(wanted.clone()) };
        self.say(&subject, WordKind::Direct, content, None);
    }

    fn claim_filming(&self, app: &AppState, to: Option<NodeId>, claim: &FilmingClaim) {
        let subject = to.map_or(Subject::State, Subject::Node);
        let content =
            Content::FilmingClaimed { app: Arc::clone(app.shared_id()), claim: Box::new(claim.clone()) };
        self.say(&subject, WordKind::Direct, content, None);
    }

    fn listen(&self, app: &AppState, demand: BackendDemand) {
        self.set_demand(app, demand);
    }

    fn carry_notice(&self, notice: &OutgoingNotice<'_>) {
        self.say_notice(notice);
    }

    fn say_of_feed(&self, to: Option<NodeId>, word: FeedWord) -> bool {
        self.say_if_idle(&to.map_or(Subject::State, Subject::Node), word)
    }

    fn is_away(&self) -> bool {
        self.is_in_trouble()
    }

    fn deliver_awaited(&self) {
        self.deliver_all_awaited();
    }

    fn decides(&self, app_id: &str, channel: &ChannelName, by: NodeId, ago: Duration) -> bool {
        let is_unheard = by == self.me && self.is_in_trouble();
        if self.standing.is_of_two() {
            return is_unheard || self.standing.tells(by == self.me, self.the_other(), self.is_leaving());
        }
        is_unheard || self.deciders.load().decides(app_id, channel.as_str(), ago, Instant::now())
    }

    fn departures(&self) -> u64 {
        if self.standing.is_of_two() {
            return u64::from(self.peers.lock().lost().is_some());
        }
        self.deciders.load().departures()
    }

    fn inherits(&self, app_id: &str, channel: &ChannelName, ago: Duration, then: Instant) -> bool {
        if self.standing.is_of_two() {
            // The other one has told what there was to tell until then, but for the last.
            let is_last = |lost: Instant| then <= lost && lost < then + TOLD_WITHIN;
            return self.peers.lock().lost().is_some_and(is_last);
        }
        self.deciders.load().inherits(app_id, channel.as_str(), ago, then)
    }

    fn has_peers(&self, ago: Duration) -> bool {
        if self.standing.is_of_two() {
            return self.standing.is_survived(self.the_other());
        }
        self.deciders.load().has_others(ago, Instant::now())
    }

    fn has_handed_over(&self) -> bool {
        self.standing == Standing::Before && self.the_other() == TheOther::IsThere { tells: true }
    }

    fn carry_to_socket(&self, app: &AppState, socket: SocketId, frame: &Frame) -> bool {
        let app = app.shared_id();
        self.say_of_socket(socket, || Content::ToSocket {
            app: Arc::clone(app),
            socket,
            frame: frame.clone(),
        })
    }

    fn carry_close(&self, app: &AppState, socket: SocketId) -> bool {
        let app = app.shared_id();
        self.say_of_socket(socket, || Content::CloseSocket { app: Arc::clone(app), socket })
    }

    fn carry_termination(&self, app: &AppState, user_id: &str, taken: Taken) -> Result<(), BusAway> {
        if self.is_away() {
            return Err(BusAway);
        }
        self.note_termination(app, user_id);
        let content = Content::Terminate { app: Arc::clone(app.shared_id()), user_id: user_id.into() };
        if self.is_in_trouble() {
            // It is said all the same.
            self.say(&Subject::State, WordKind::Direct, content, None);
            return Err(BusAway);
        }
        let ticket = self.ticket(taken);
        self.say(&Subject::State, WordKind::Direct, content, Some(ticket));
        Ok(())
    }
}

impl<A> fmt::Debug for ClusterNode<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterNode").field("me", &self.me).finish_non_exhaustive()
    }
}
