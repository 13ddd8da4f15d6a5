//! What a node says by itself: that it is there, each second; what has become true; and, to those who ask, all of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use crate::channel::NodeId;
use crate::hub::Bus;

use super::adapter::{Adapter, EngineId, Link, Subject};
use super::envelope::{Content, NodeHeartbeat};
use super::loss_log::LossLog;
use super::node::ClusterNode;
use super::peer_log::log_changes;
use super::peers::BEAT_EVERY;
use super::replica::NodeSnapshot;
use super::standing::Standing;
use super::status::{Loss, WordKind};

/// How often large counts are told.
const COUNTS_EVERY: Duration = Duration::from_millis(500);

/// Requests for snapshots that wait. Further ones are asked again by whoever needs them.
pub(super) const MOST_REQUESTS: usize = 256;

/// Nodes that are given the parts of a snapshot side by side.
const GIVEN_AT_ONCE: usize = 16;

/// How long the engine may take for one part of a snapshot before the rest is given up.
const PART_WITHIN: Duration = Duration::from_secs(5);

impl<A: Adapter> ClusterNode<A> {
    /// Speaks until it is dropped.
    pub(super) async fn speak(self: Arc<Self>) {
        let mut link = self.adapter.link();
        let mut beats = interval(BEAT_EVERY);
        let mut counts = interval(COUNTS_EVERY);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        counts.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut engine, mut losses) = (None, LossLog::default());
        let mut gives_up = None;
        let now = link.borrow_and_update().clone();
        self.look_at(&now, &mut engine);
        loop {
            tokio::select! {
                changed = link.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    // Nobody who tells of it is held up meanwhile.
                    let now = link.borrow_and_update().clone();
                    self.look_at(&now, &mut engine);
                }
                _ = beats.tick() => {
                    self.beat();
                    self.tell_of_losses(&mut losses);
                    gives_up = Some(Instant::now());
                }
                () = until(gives_up.map(Instant::into_std)) => {
                    let (now, soon) = (Instant::now(), Instant::now() + BEAT_EVERY);
                    // What is due later, the next beat has looked at.
                    // What is awaited comes by the subscription.
                    let is_awaited = |subject: &Subject| self.awaited.has(subject);
                    let again = self.claims.give_up(&*self.adapter, now, is_awaited);
                    gives_up = again.filter(|then| *then < soon);
                }
                () = self.beat_now.notified() => self.beat(),
                _ = counts.tick() => self.telling.tell_counts(),
                () = self.telling.wait() => self.flush(),
            }
        }
    }

    fn look_at(self: &Arc<Self>, link: &Link, last: &mut Option<EngineId>) {
        let was_away = self.is_away();
        if let Link::Up { engine, .. } = link {
            let is_another = last.as_ref().is_some_and(|last| last != engine);
            let is_first = last.replace(engine.clone()).is_none();
            // Two processes have no streams.
            if (is_first || is_another) && !self.standing.is_of_two() {
                self.chains.change_engine(epoch_of(engine));
            }
            if !is_first && (is_another || was_away) {
                self.link_returned(is_another);
            }
        }
        let before = self.peers.lock().bus_trouble();
        self.set_link(link, Instant::now().into_std());
        match link {
            // Of two, it is told that the other one has gone.
            Link::Away { reason, .. } if !was_away && !self.standing.is_of_two() => {
                tracing::warn!(%reason, "the bus is away: this node serves its own clients alone");
            }
            Link::Away { reason, .. } if before.is_some_and(|before| before.reason != *reason) => {
                tracing::warn!(%reason, "the bus is still away");
            }
            Link::Up { engine, .. } if was_away && !self.standing.is_of_two() => {
                tracing::info!(engine = &*engine.0, "the bus is there")
            }
            Link::Away { .. } | Link::Up { .. } => {}
        }
    }

    /// Says that this node is there.
    fn beat(&self) {
        self.flush();
        let now = Instant::now().into_std();
        self.engine_time.lock().beat(!self.is_away(), now);
        if !self.is_away() {
            let engine = match &*self.adapter.link().borrow() {
                Link::Up { engine, .. } => Some(engine.clone()),
                Link::Away { .. } => None,
            };
            let beat = self.peers.lock().beat(now);
            // Facts of larger numbers may be said by now: a smaller one harms nobody.
            let heartbeat = self.heartbeat(beat, self.telling.said_number(), engine);
            self.say(&Subject::State, WordKind::Heartbeat, Content::Heartbeat(heartbeat), None);
        }
        self.pass();
    }

    fn tell_of_losses(&self, log: &mut LossLog) {
        let ignored = self.peers.lock().ignored();
        let figures = self.figures(ignored, &self.views.lock());
        for (loss, count) in log.look(&figures.lost, Instant::now().into_std()) {
            let engine = (loss == Loss::Refused).then(|| self.counts.take_refusal()).flatten();
            let reason = loss.name();
            tracing::warn!(reason, count, engine, "messages between nodes were lost, or came in vain");
        }
    }

    fn heartbeat(&self, beat: u64, facts: u64, engine: Option<EngineId>) -> NodeHeartbeat {
        NodeHeartbeat {
            beat,
            facts,
            settled: self.says_it_decides(),
            name: Arc::clone(&self.config.node_name),
            socket_tag: self.socket_tag(),
            release: env!("CARGO_PKG_VERSION").into(),
            engine,
            started_ms: self.started_ms,
            settings: self.settings.digests(),
            address: self.config.address.clone(),
        }
    }

    /// Some time has passed, or something has come into step.
    pub(super) fn pass(&self) {
        let now = Instant::now().into_std();
        let changes = self.change_peers(|peers, each| peers.pass(now, each));
        log_changes(self, &changes);
    }

    /// Waits until the engine has confirmed that what the others say comes, and says so.
    pub(super) async fn listen(self: Arc<Self>) {
        let tickets = [Subject::State, Subject::Node(self.me)].map(|subject| {
            let (ticket, answer) = oneshot::channel();
            self.adapter.subscribe(&subject, Some(ticket.into()));
            answer
        });
        for answer in tickets {
            if !matches!(answer.await, Ok(Ok(()))) {
                // It will have been confirmed before the link is up.
                let mut link = self.adapter.link();
                if link.wait_for(|link| matches!(link, Link::Up { .. })).await.is_err() {
                    return;
                }
            }
        }
        self.peers.lock().listens(Instant::now().into_std());
        std::future::pending().await
    }

    /// Gives snapshots to those who ask, the same one to all who have asked by the time that it is made.
    pub(super) async fn give_snapshots(self: Arc<Self>, mut requests: mpsc::Receiver<(NodeId, u64)>) {
        while let Some(first) = requests.recv().await {
            let node = Arc::clone(&self);
            // There may be a million members.
            let made = tokio::task::spawn_blocking(move || node.telling.snapshot()).await;
            // Nothing is said while it is made, so whoever asks meanwhile has all that follows it. Of each node only the last
            // request counts.
            let mut askers = BTreeMap::from([first]);
            while let Ok((asker, request)) = requests.try_recv() {
                askers.insert(asker, request);
            }
            let Ok(snapshot) = made else { continue };
            let askers: Vec<(NodeId, u64)> = askers.into_iter().collect();
            for some in askers.chunks(GIVEN_AT_ONCE) {
                self.counts.snapshots_given.add_from_anywhere(some.len() as u64);
                self.give_snapshot(&snapshot, some).await;
            }
        }
    }

    /// Gives a snapshot to all of these, part by part.
    async fn give_snapshot(&self, snapshot: &NodeSnapshot, askers: &[(NodeId, u64)]) {
        if self.standing == Standing::Before {
            for (asker, _) in askers {
                self.hand_over(*asker).await;
            }
        }
        for part in 0..snapshot.parts() {
            if timeout(PART_WITHIN, self.adapter.room()).await.is_err() {
                return;
            }
            let said = askers.iter().map(|(asker, request)| {
                let (ticket, answer) = oneshot::channel();
                let content = Content::SnapshotPart(snapshot.part(part, *request));
                self.say(&Subject::Node(*asker), WordKind::Snapshot, content, Some(ticket.into()));
                answer
            });
            for answer in said.collect::<Vec<_>>() {
                // It goes as fast as the engine takes it. Whoever misses a part asks again.
                if !matches!(timeout(PART_WITHIN, answer).await, Ok(Ok(Ok(())))) {
                    return;
                }
            }
        }
    }

    /// Says goodbye, and waits until the engine has taken it, for so long at most.
    pub(super) async fn leave(&self, within: Duration) {
        if self.standing.is_of_two() && self.is_away() {
            // The other one has gone.
            return;
        }
        self.leave_names().await;
        self.telling.tell_counts();
        self.telling.flush_last(|batch| self.say_facts(batch));
        self.peers.lock().leave();
        let (ticket, answer) = oneshot::channel();
        self.say(&Subject::State, WordKind::Heartbeat, Content::Goodbye, Some(ticket.into()));
        if !matches!(timeout(within, answer).await, Ok(Ok(Ok(())))) {
            tracing::warn!("this node could not say goodbye: the others will take it for dead");
        }
    }
}

/// A number that stands for an engine, and is not 0.
fn epoch_of(engine: &EngineId) -> u64 {
    let digest = Sha256::digest(engine.0.as_bytes());
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte)).max(1)
}

/// Waits until then; forever, if there is no such time.
pub(super) async fn until(then: Option<std::time::Instant>) {
    match then {
        Some(then) => sleep_until(then.into()).await,
        None => std::future::pending().await,
    }
}
