//! Takes what the other nodes say, in the order in which it comes, and hands it to the hub. Whatever it is: others may
//! write there, too.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::channel::{Change, NodeId};
use crate::hub::{FeedWord, HandedOver, Hub, NameWord, Notice};

use super::adapter::{Adapter, Link, Subject, Word};
use super::awaited::NumberedAs;
use super::carried;
use super::documents::DocumentBell;
use super::envelope::{Content, Envelope, NodeHeartbeat, NoticeMessage, SnapshotRequest, Unreadable};
use super::event_numbers::{EventNumber, HeardNumbers};
use super::fetches::StreamFetches;
use super::inbox::Words;
use super::node::ClusterNode;
use super::peer_log::log_changes;
use super::peers::PeerChange;
use super::plain_events::PlainEvents;
use super::speaking::until;
use super::standing::Standing;
use super::status::{Loss, WordKind};

/// Words that are taken before others have their turn.
const WORDS_PER_TURN: usize = 64;

/// Changes that the hub is told before others have their turn.
const STEPS_PER_TURN: usize = 256;

/// How often it is looked whether snapshots are wanted, and whether events of this node have not come back.
const LOOKS_EVERY: Duration = Duration::from_millis(100);

/// So long after a snapshot was asked for, or a part of it came, another one is asked for: where what came was of no use,
/// and where nothing more has come.
const ASKS_EVERY: Duration = Duration::from_secs(1);
const LOST_AFTER: Duration = Duration::from_secs(3);

/// How long those who tell webhooks have to take over what was left to a process that has died.
const IS_INHERITED_WITHIN: Duration = Duration::from_secs(3);

/// So long after the goodbye of the other of two, what was being said meanwhile is still heard.
const LAST_WORDS_COME_WITHIN: Duration = Duration::from_millis(100);

/// Takes what others say.
pub(super) struct WordReader<A> {
    pub(super) node: Arc<ClusterNode<A>>,
    pub(super) hub: Arc<Hub>,
    pub(super) words: Words,
    pub(super) heard: HeardNumbers,
    requests: mpsc::Sender<(NodeId, u64)>,
    /// Events that this node puts to the engine, because another one has put one there that is not the last.
    pub(super) restoring: JoinSet<()>,
    /// What is fetched of streams.
    pub(super) fetching: StreamFetches,
    /// What came without a place in them.
    pub(super) plain: PlainEvents,
    /// The number of the last snapshot that was asked for.
    request: u64,
    apps: watch::Receiver<u64>,
    /// Rung when a document has changed.
    documents: DocumentBell,
    /// Of two: the other one has said goodbye, then.
    left: Option<Instant>,
}

impl<A: Adapter> WordReader<A> {
    /// Takes what comes by `words`. Those who ask for snapshots are told to `requests`.
    pub(super) fn new(
        node: Arc<ClusterNode<A>>,
        hub: Arc<Hub>,
        words: Words,
        requests: mpsc::Sender<(NodeId, u64)>,
        documents: DocumentBell,
    ) -> Self {
        let heard = HeardNumbers::new(node.config.numbered_channels);
        let (apps, me) = (hub.watch_apps(), node.me);
        let intake = WordReader {
            node,
            hub,
            words,
            heard,
            requests,
            restoring: JoinSet::new(),
            fetching: StreamFetches::default(),
            plain: PlainEvents::new(me),
            request: 0,
            apps,
            documents,
            left: None,
        };
        intake.look_at_apps();
        intake
    }

    /// Takes what comes until the engine has gone.
    pub(super) async fn run(mut self) {
        let mut looks = interval(LOOKS_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let (deadline, has_steps, has_much) = {
                let views = self.node.views.lock();
                (views.parked.next_deadline(), views.has_steps(), views.has_much())
            };
            let words = &mut self.words;
            let next = async { if has_much { words.next_event().await } else { words.next().await } };
            tokio::select! {
                word = next => match word {
                    Some(word) => self.take(word).await,
                    None => return self.end().await,
                },
                _ = looks.tick() => {
                    self.ask_for_snapshots();
                    self.say_of_plain_events();
                    self.look_at_chains().await;
                }
                fetched = self.fetching.next() => self.take_fetched(fetched).await,
                () = self.node.chains.woken.notified() => {}
                Ok(()) = self.apps.changed() => self.look_at_apps(),
                () = until(deadline) => {}
                () = tokio::task::yield_now(), if has_steps => {}
            }
            self.turn().await;
            if self.has_heard_the_last() {
                return self.end().await;
            }
        }
    }

    /// Of two: whether the other one has said goodbye, and what this one has said before is back.
    fn has_heard_the_last(&self) -> bool {
        let has_gone = self.left.is_some_and(|left| left.elapsed() >= LAST_WORDS_COME_WITHIN);
        has_gone && self.node.adapter.outbox().waiting.0 == 0 && self.words.counts().waiting_words() == 0
    }

    /// Nothing more comes. Of two, the other one has gone, and nothing of it may be left here.
    async fn end(mut self) {
        if !self.node.standing.is_of_two() {
            return;
        }
        self.go_on_alone();
        let now = Instant::now().into_std();
        let changes = self.node.change_peers(|peers, each| peers.lose_all(now, each));
        self.follow(&changes);
        while self.node.views.lock().has_steps() {
            self.turn().await;
        }
        // What waits for what will not be said.
        self.turn().await;
        if self.node.standing == Standing::After && !changes.is_empty() {
            // What was left to it, and it has not told, is told here.
            tokio::time::sleep(IS_INHERITED_WITHIN).await;
        }
        self.node.is_alone.send_replace(true);
    }

    /// Of two: nothing more is said to the other one.
    fn go_on_alone(&self) {
        let now = Instant::now().into_std();
        self.node.set_link(&Link::Away { since: now, reason: "the other process has gone".into() }, now);
    }

    async fn turn(&mut self) {
        self.do_with_chains().await;
        let mut is_behind = true;
        for _ in 0..WORDS_PER_TURN {
            // What the workers have not yet delivered bounds what is read.
            self.hub.until_uncongested().await;
            // While much is not yet told to the hub, what nodes say of themselves waits in the inbox, which is bounded, and where
            // it is counted if it is lost. Events go past it.
            let has_much = self.node.views.lock().has_much();
            let word = if has_much { self.words.try_next_event() } else { self.words.try_next() };
            let Some(word) = word else {
                is_behind = false;
                break;
            };
            self.take(word).await;
        }
        self.node.give_up_awaited(is_behind);
        if self.step() {
            self.node.pass();
        }
        let now = Instant::now().into_std();
        let ready = self.node.views.lock().unpark(now);
        for (parked, is_true) in ready {
            self.deliver_parked(parked, is_true);
        }
    }

    /// Tells the hub some of what has changed elsewhere; whether some node is known and told by it that was not.
    fn step(&self) -> bool {
        let mut views = self.node.views.lock();
        if !views.has_steps() {
            return false;
        }
        views.step(STEPS_PER_TURN, |node, change| {
            // What the hub does not know an app of, it is told when it has the app.
            let _ = self.hub.change_elsewhere(&change.app, node, &change.change);
            if let Change::CacheMissed { channel, .. } = &change.change
                && self.node.standing.is_of_two()
            {
                self.hub.missed_elsewhere(&change.app, channel);
            }
        });
        drop(views);
        self.look_at_steps()
    }

    /// Says of each peer whether what it has is known here; whether all of them are.
    fn look_at_steps(&self) -> bool {
        let mut peers = self.node.peers.lock();
        let views = self.node.views.lock();
        let nodes: Vec<NodeId> = peers.iter().map(|(node, _)| node).collect();
        nodes.iter().fold(true, |all, node| {
            let is_told = views.is_told(*node);
            peers.set_in_step(*node, is_told);
            all && is_told
        })
    }

    async fn take(&mut self, word: Word) {
        if word.previous.is_some() && !self.node.standing.is_of_two() {
            return self.take_kept(word).await;
        }
        if word.subject == Subject::Documents {
            return self.documents.ring();
        }
        let bytes = word.bytes.len();
        let Envelope { from, content } = match Envelope::decode(&word.bytes) {
            Ok(envelope) => envelope,
            Err(reason) => return self.pass_over(&word, reason),
        };
        if from == self.node.me {
            return self.take_own(word, content);
        }
        self.node.counts.heard(kind_of(&content), bytes);
        match (word.subject, content) {
            (subject @ Subject::Channel { .. }, Content::Event(event)) if event.restored.is_some() => {
                self.take_restored(subject, event, word.number, from);
            }
            (subject @ Subject::Channel { .. }, Content::Event(event)) => {
                self.take_event(from, subject, event, remembered_as(word.number));
            }
            (subject @ Subject::Pipe { .. }, Content::Notice(message)) => {
                self.take_notice(from, &subject, &message);
            }
            (Subject::State, Content::Heartbeat(heartbeat)) => self.take_heartbeat(from, heartbeat),
            (Subject::State, Content::Facts(batch)) => {
                self.change_view(from, |replica, each| replica.apply(batch, each));
            }
            (Subject::State, Content::Goodbye) => {
                let now = Instant::now().into_std();
                let changes = self.node.change_peers(|peers, each| peers.goodbye(from, now, each));
                self.follow(&changes);
            }
            (Subject::State, Content::SnapshotRequest(SnapshotRequest { of, request })) => {
                if of == self.node.me {
                    // Where too many ask, some ask again.
                    let _ = self.requests.try_send((from, request));
                }
            }
            (Subject::Node(_), Content::SnapshotPart(part)) => {
                self.node.views.lock().hears_part(from, Instant::now().into_std());
                self.change_view(from, |replica, each| replica.part(&part, each));
            }
            (Subject::Node(_), Content::HandedOver { app, handed })
                if self.node.standing == Standing::After =>
            {
                self.take_handed(from, &app, handed);
            }
            (subject @ Subject::Channel { .. }, Content::EventsLost) => self.take_lost(&subject, from),
            (
                Subject::Node(_),
                Content::HandedOver { app, handed: HandedOver::NameAsked { asked, key, name } },
            ) if self.node.standing == Standing::Before => {
                let note = self.hub.give_name(&app, &key, &name);
                self.node.say_name(from, app, HandedOver::NameGiven { asked, note });
            }
            (subject, content) => self.take_direct(from, &subject, content),
        }
    }

    /// What is said to one node or to all, and is none of the above.
    fn take_direct(&self, from: NodeId, subject: &Subject, content: Content) {
        match (subject, content) {
            (Subject::State, Content::Terminate { app, user_id }) => {
                self.hub.terminate_from_elsewhere(&app, &user_id);
            }
            (Subject::Node(_), Content::ToSocket { app, socket, frame }) => {
                self.hub.send_to_socket_from_elsewhere(&app, socket, frame);
            }
            (Subject::Node(_), Content::CloseSocket { app, socket }) => {
                self.hub.close_socket_from_elsewhere(&app, socket);
            }
            (Subject::Node(_) | Subject::State, Content::KeyframesWanted { app, wanted }) => {
                self.hub.key_frames_wanted_elsewhere(&app, &wanted);
            }
            (Subject::Node(_) | Subject::State, Content::FilmingClaimed { app, claim }) => {
                self.hub.filming_claimed_elsewhere(&app, &claim, from);
            }
            (Subject::State, Content::OfFeed(word @ FeedWord::Wanted(_)))
            | (Subject::Node(_), Content::OfFeed(word @ FeedWord::Passed(_))) => {
                self.take_of_feed(from, word);
            }
            (Subject::Node(_), Content::ClientName { number, word }) => match word {
                NameWord::Taken { turn } => self.hub.name_taken_elsewhere(number, (from, turn)),
                NameWord::WasThere => self.hub.name_was_there_elsewhere(number),
            },
            (Subject::Node(_), Content::Question { number, word }) => {
                self.node.take_question_word(from, number, word);
            }
            // Not where it belongs.
            _ => self.node.counts.lost(Loss::Unreadable, 1),
        }
    }

    /// A node says what its viewers want to hear of, or what has happened. Nobody is told anything who is not known to be a node.
    fn take_of_feed(&self, from: NodeId, word: FeedWord) {
        if self.node.is_peer(from) {
            self.hub.feed_word_from_elsewhere(from, word);
        }
    }

    fn take_heartbeat(&mut self, from: NodeId, heartbeat: NodeHeartbeat) {
        let now = Instant::now().into_std();
        let (facts, mut is_new) = (heartbeat.facts, false);
        let changes = self.node.change_peers(|peers, each| is_new = peers.heard(from, heartbeat, now, each));
        self.follow(&changes);
        // Whoever succeeds another one asks for more than what is true of its connections.
        let has_more = facts == 0 && self.node.standing == Standing::After;
        if is_new && !has_more {
            self.change_view(from, |replica, _| replica.heard_of(facts));
        }
    }

    /// Bytes that say nothing to this release.
    pub(super) fn pass_over(&self, word: &Word, reason: Unreadable) {
        let loss = match reason {
            Unreadable::Version(_) | Unreadable::Kind(_) => Loss::Unknown,
            Unreadable::Malformed => Loss::Unreadable,
        };
        self.node.counts.lost(loss, 1);
        // How many there are, the log is told from time to time.
        tracing::debug!(subject = ?word.subject, bytes = word.bytes.len(), %reason, "a message on the bus is passed over");
    }

    /// What this node has said itself: its probes, and its events.
    fn take_own(&mut self, word: Word, content: Content) {
        match content {
            Content::Heartbeat(heartbeat) if word.subject == Subject::State => {
                let now = Instant::now().into_std();
                let me = self.node.me;
                let changes = self.node.change_peers(|peers, each| _ = peers.heard(me, heartbeat, now, each));
                self.follow(&changes);
            }
            Content::Event(event) if event.restored.is_some() => {
                self.take_restored(word.subject, event, word.number, self.node.me);
            }
            Content::Event(event) => self.take_own_event(word.subject, event, remembered_as(word.number)),
            Content::Goodbye => {
                let now = Instant::now().into_std();
                let _ = self.node.change_peers(|peers, each| peers.goodbye(self.node.me, now, each));
            }
            _ => {}
        }
    }

    fn change_view<R>(
        &self,
        from: NodeId,
        change: impl FnOnce(&mut super::replica::Replica, &mut dyn FnMut(super::replica::ReplicaChange)) -> R,
    ) {
        let mut views = self.node.views.lock();
        if views.change(from, change).is_none() {
            self.node.counts.lost(Loss::Departed, 1);
            return;
        }
        let is_told = views.is_told(from);
        drop(views);
        self.node.peers.lock().set_in_step(from, is_told);
        if is_told && !*self.node.settled.borrow() {
            self.node.pass();
        }
    }

    /// Nodes have come and gone.
    fn follow(&mut self, changes: &[PeerChange]) {
        log_changes(&self.node, changes);
        for change in changes {
            match change {
                PeerChange::Appeared { node, returned } => {
                    self.node.views.lock().appear(*node, *returned);
                    if self.node.standing.is_of_two() {
                        // It waits for what this one has.
                        self.node.beat_now.notify_one();
                    }
                }
                PeerChange::Died { node, .. } | PeerChange::Left { node, .. } => {
                    let counts = &self.node.counts;
                    match change {
                        PeerChange::Died { .. } => counts.peers_died.add_from_anywhere(1),
                        _ => counts.peers_left.add_from_anywhere(1),
                    }
                    // What waits for what it has not said is delivered by the end of this turn.
                    self.node.views.lock().depart(*node);
                    if self.node.standing.is_of_two() && self.left.is_none() {
                        self.left = Some(Instant::now());
                        self.go_on_alone();
                    }
                }
                PeerChange::Namesake { .. } | PeerChange::Settled { .. } => {}
            }
        }
        self.ask_for_snapshots();
    }

    fn ask_for_snapshots(&mut self) {
        if self.node.is_away() {
            return;
        }
        let now = Instant::now().into_std();
        let wanted = self.node.views.lock().wanted(now, ASKS_EVERY, LOST_AFTER);
        for of in wanted {
            self.request += 1;
            let request = self.request;
            self.node.views.lock().change(of, |replica, _| replica.ask(request));
            self.node.counts.snapshots_asked.add_from_anywhere(1);
            let content = Content::SnapshotRequest(SnapshotRequest { of, request });
            self.node.say(&Subject::State, WordKind::Snapshot, content, None);
        }
    }

    /// The hub has other apps: it is told what there is of them elsewhere.
    fn look_at_apps(&self) {
        let apps = self.hub.apps();
        let now = apps.iter().map(|app| (app.id().to_owned(), app.index())).collect();
        let mut views = self.node.views.lock();
        let before = std::mem::replace(&mut views.apps, now);
        let new: Vec<String> = views
            .apps
            .iter()
            .filter(|(id, index)| before.get(*id) != Some(index))
            .map(|(id, _)| id.clone())
            .collect();
        new.iter().for_each(|app| views.tell_again(app));
        drop(views);
        if !self.node.standing.is_of_two() {
            self.node.claims.follow(|subject| match subject {
                Subject::Channel { app, channel } => {
                    apps.by_id(app).is_some_and(|app| app.app().history(channel).is_some())
                }
                _ => false,
            });
        }
    }

    /// Something happened on another node that backends which are connected to this one want to hear of.
    fn take_notice(&mut self, from: NodeId, subject: &Subject, message: &NoticeMessage) {
        let Subject::Pipe { app } = subject else { return };
        // No backend is here for it any more.
        let Some(subscription) = self.node.subscription(subject) else { return };
        let number = EventNumber { epoch: message.epoch, number: message.number };
        if !self.is_new(from, subject, number, subscription) {
            return;
        }
        let groups: Vec<Arc<str>> = message.groups_of(self.node.me).collect();
        let hear = |notice: &Notice<'_>| self.hub.hear_from_elsewhere(app, notice, &groups);
        if carried::unpack(&message.notice, hear).is_none() {
            self.node.counts.lost(Loss::Unreadable, 1);
        }
    }
}

/// How the engine has numbered what a channel remembers.
fn remembered_as(number: Option<u64>) -> Option<NumberedAs> {
    number.map(|number| NumberedAs { number, is_kept: false, is_remembered: true })
}

pub(super) fn kind_of(content: &Content) -> WordKind {
    match content {
        Content::Notice(_) => WordKind::Notice,
        Content::Question { .. } => WordKind::Question,
        Content::OfFeed(_) => WordKind::Feed,
        Content::Event(_) | Content::EventsLost => WordKind::Event,
        Content::Heartbeat(_) | Content::Goodbye => WordKind::Heartbeat,
        Content::Facts(_) => WordKind::Facts,
        Content::SnapshotRequest(_) | Content::SnapshotPart(_) | Content::HandedOver { .. } => {
            WordKind::Snapshot
        }
        Content::Terminate { .. }
        | Content::ToSocket { .. }
        | Content::CloseSocket { .. }
        | Content::ClientName { .. }
        | Content::KeyframesWanted { .. }
        | Content::FilmingClaimed { .. } => WordKind::Direct,
    }
}
