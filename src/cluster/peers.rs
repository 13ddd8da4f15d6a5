//! Which other nodes there are: who is alive, whether the bus counts as away, and whether this node has settled.
//!
//! A node beats once a second, on a subject where it hears itself. Its own heartbeats that come back are its probes: a peer is
//! dead when five of them, sent a second apart after the peer was last heard, have come back and the peer has not been heard
//! between. So nobody dies because the bus is away, or because this node stood still. The time is an argument.

mod deciders;
mod departed;
mod link;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::channel::NodeId;

use super::adapter::Link;
use super::envelope::NodeHeartbeat;
use super::standing::Standing;
use super::status::BusTrouble;

use deciders::DeadNode;
pub(crate) use deciders::Deciders;
use departed::{Departed, Persistence};
use link::LinkHistory;

/// How often a node beats.
pub(crate) const BEAT_EVERY: Duration = Duration::from_secs(1);

/// So many probes come back without a peer being heard, then it is dead.
const PROBES_UNTIL_DEAD: u32 = 5;

/// Probes that were sent sooner after one another count as one. A second, less what timers may be early.
const PROBE_SPACING: Duration = Duration::from_millis(900);

/// So long a starting node listens at least until it is settled, and so long it takes at most, unless it is told otherwise.
const LISTENS_FOR: Duration = Duration::from_secs(2);
const SETTLES_WITHIN: Duration = Duration::from_secs(10);

/// A node that restarts under its name is heard beside its former self for no longer than this.
const NAMESAKE_AFTER: Duration = Duration::from_secs(10);

/// A peer that was heard within this time is beating.
const BEATS_WITHIN: Duration = Duration::from_secs(3);

/// Peers that are known at once, and departed ones that are remembered. Others are not looked at.
const MOST_PEERS: usize = 256;
const MOST_DEPARTED: usize = 1024;

/// The other nodes.
#[derive(Debug)]
pub(crate) struct Peers {
    me: NodeId,
    name: Arc<str>,
    started: Instant,
    listens_for: Duration,
    settles_within: Duration,
    /// Whoever succeeds another process waits for what that has.
    waits_for_one: bool,
    /// Whoever is silent dies; but of two processes on one machine, each sees the end of the other.
    dies_of_silence: bool,
    /// Of two processes: when the other one has gone without a word.
    lost: Option<Instant>,
    /// Since when the others can be heard.
    listening: Option<Instant>,
    is_settled: bool,
    /// It says goodbye, or has.
    is_leaving: bool,
    peers: BTreeMap<NodeId, LivePeer>,
    departed: Departed,
    probes: Probes,
    link: LinkHistory,
    deciders: Arc<Deciders>,
    ignored: IgnoredPeers,
}

/// Another node that counts as alive.
#[derive(Debug)]
pub(crate) struct LivePeer {
    /// What it said of itself last.
    pub(crate) heartbeat: NodeHeartbeat,
    /// When it was heard first and last.
    pub(crate) appeared: Instant,
    pub(crate) heard: Instant,
    /// It has the name of this node, or of another peer.
    pub(crate) is_namesake: bool,
    /// Its heartbeat before a leap of their numbers, until the next one confirms the leap. Others may have said the one that
    /// leapt: those that go on from here are its all the same.
    before_leap: Option<u64>,
    /// What it has is known here.
    is_in_step: bool,
    /// Probes that have come back since it was heard; the next one that counts was sent not before this.
    missed: u32,
    counts_from: Instant,
    /// Heartbeats that are not later than the last one.
    stale: Persistence,
}

/// Something about the other nodes has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PeerChange {
    /// One is heard that was not there. `returned` is 0, or the number of the heartbeat by which one came back that had
    /// been taken for dead, or was said to have left: see [`Replica::new`](super::replica::Replica::new).
    Appeared { node: NodeId, returned: u64 },
    /// It is dead.
    Died { node: NodeId, name: Arc<str> },
    /// It has said goodbye.
    Left { node: NodeId, name: Arc<str> },
    /// It has had the name of this node, or of another peer, for so long that it is no former self. This is told once.
    Namesake { node: NodeId, name: Arc<str> },
    /// This node has settled: it takes joins, and decides. Of so many it does not know what they have.
    Settled { unknown: usize },
}

/// Heartbeats that were not looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct IgnoredPeers {
    /// Of nodes that have left, or from before a death.
    pub(crate) departed: u64,
    /// Of nodes that would have been too many.
    pub(crate) too_many: u64,
    /// Of this node, and goodbyes of it, which it has not said.
    pub(crate) forged: u64,
}

/// This node's own heartbeats.
#[derive(Debug, Default)]
struct Probes {
    last: u64,
    /// Those that have not come back, and when they were sent.
    under_way: VecDeque<(u64, Instant)>,
}

impl Peers {
    /// Those of a node that has just started.
    pub(crate) fn new(me: NodeId, name: Arc<str>, now: Instant) -> Self {
        Peers {
            me,
            name,
            started: now,
            listens_for: LISTENS_FOR,
            settles_within: SETTLES_WITHIN,
            waits_for_one: false,
            dies_of_silence: true,
            lost: None,
            listening: None,
            is_settled: false,
            is_leaving: false,
            peers: BTreeMap::new(),
            departed: Departed::default(),
            probes: Probes::default(),
            link: LinkHistory::default(),
            deciders: Arc::new(Deciders::new(me)),
            ignored: IgnoredPeers::default(),
        }
    }

    /// The same of a node that listens for so long until it is settled, and takes so long at most.
    #[must_use]
    pub(crate) fn settling(self, listens_for: Duration, settles_within: Duration) -> Self {
        Peers { listens_for, settles_within, ..self }
    }

    /// The same of a node that is this among the others.
    #[must_use]
    pub(super) fn of_standing(self, standing: Standing) -> Self {
        Peers {
            waits_for_one: standing == Standing::After,
            dies_of_silence: !standing.is_of_two(),
            is_settled: standing == Standing::Before,
            ..self
        }
    }

    /// This node beats: the number of its heartbeat.
    pub(crate) fn beat(&mut self, now: Instant) -> u64 {
        self.probes.send(now)
    }

    /// A heartbeat was heard, of another node or of this one. `each` is told what changes by it. Whether it says how another
    /// node is now.
    pub(crate) fn heard(
        &mut self,
        from: NodeId,
        heartbeat: NodeHeartbeat,
        now: Instant,
        each: &mut dyn FnMut(PeerChange),
    ) -> bool {
        if from == self.me {
            if let Some(sent) = self.probes.came_back(heartbeat.beat) {
                self.probe(sent, now, each);
            }
            self.ignored.forged += u64::from(heartbeat.beat > self.probes.last);
            return false;
        }
        if let Some(peer) = self.peers.get_mut(&from) {
            // A late or repeated one is no sign of life. If they go on, the last one was not the peer's.
            if !peer.goes_on_by(heartbeat.beat) && !peer.stale.persists(heartbeat.beat, now) {
                return false;
            }
            let settles = heartbeat.settled != peer.heartbeat.settled;
            self.link.heard(from, heartbeat.engine.as_ref());
            let stale = Persistence::default();
            *peer = LivePeer { heartbeat, heard: now, missed: 0, counts_from: now, stale, ..*peer };
            if settles {
                self.decide_anew(now);
            }
            return true;
        }
        let (last, returned) = match self.departed.hear(from, heartbeat.beat, now) {
            Some(Some(last)) => (last, heartbeat.beat),
            Some(None) => {
                self.ignored.departed += 1;
                return false;
            }
            None => (0, 0),
        };
        if self.peers.len() >= MOST_PEERS {
            self.ignored.too_many += 1;
            return false;
        }
        self.departed.forget(from);
        self.link.heard(from, heartbeat.engine.as_ref());
        self.peers.insert(from, LivePeer::new(heartbeat, last, now));
        each(PeerChange::Appeared { node: from, returned });
        self.decide_anew(now);
        true
    }

    /// A node has said goodbye. It says nothing more, unless this was not said by it.
    pub(crate) fn goodbye(&mut self, from: NodeId, now: Instant, each: &mut dyn FnMut(PeerChange)) {
        if from == self.me {
            self.ignored.forged += u64::from(!self.is_leaving);
            return;
        }
        self.departed.remember(from, None);
        if let Some(peer) = self.peers.remove(&from) {
            self.link.departed(from);
            self.decide_anew(now);
            each(PeerChange::Left { node: from, name: peer.heartbeat.name });
        }
    }

    /// All others have gone, without a word.
    pub(super) fn lose_all(&mut self, now: Instant, each: &mut dyn FnMut(PeerChange)) {
        for (node, peer) in std::mem::take(&mut self.peers) {
            self.departed.remember(node, None);
            self.link.departed(node);
            self.lost = Some(now);
            each(PeerChange::Died { node, name: peer.heartbeat.name });
        }
        self.decide_anew(now);
    }

    /// Of two processes: when the other one has gone without a word, if it has.
    pub(super) fn lost(&self) -> Option<Instant> {
        self.lost
    }

    /// This node is about to say goodbye itself.
    pub(crate) fn leave(&mut self) {
        self.is_leaving = true;
    }

    /// The engine's adapter says whether the engine is there, and which one it is.
    pub(crate) fn link(&mut self, link: &Link, now: Instant) {
        if self.link.set(link, self.peers.keys().copied(), now) {
            self.peers.values_mut().for_each(|peer| peer.forgive(now));
        }
    }

    /// From now on the others can be heard: the engine has confirmed their subject.
    pub(crate) fn listens(&mut self, now: Instant) {
        self.listening.get_or_insert(now);
    }

    /// What a peer has is known here, or no longer.
    pub(crate) fn set_in_step(&mut self, node: NodeId, is_in_step: bool) {
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.is_in_step = is_in_step;
        }
    }

    /// Some time has passed. To be called about once a second, and when something has come into step.
    pub(crate) fn pass(&mut self, now: Instant, each: &mut dyn FnMut(PeerChange)) {
        let has_listened = self.listening.is_some_and(|since| now >= since + self.listens_for);
        let is_missing = self.waits_for_one && self.peers.is_empty();
        let is_complete = has_listened && !is_missing && self.peers.values().all(|peer| peer.is_in_step);
        // Whoever has heard nobody, because it could not, does not know that it is alone.
        let is_late = self.listening.is_some_and(|since| now >= since + self.settles_within);
        if !self.is_settled && (is_complete || is_late) {
            self.is_settled = true;
            self.decide_anew(now);
            let unknown = self.peers.values().filter(|peer| !peer.is_in_step).count();
            each(PeerChange::Settled { unknown });
        }
        self.find_namesakes(now, each);
    }

    /// Since when the bus counts as away, and why, if it does.
    pub(crate) fn bus_trouble(&self) -> Option<BusTrouble> {
        self.link.trouble()
    }

    /// Whether this node takes joins, and decides.
    #[cfg(test)]
    pub(crate) fn is_settled(&self) -> bool {
        self.is_settled
    }

    /// Who decides for which channel. It is another value when that changes.
    pub(crate) fn deciders(&self) -> &Arc<Deciders> {
        &self.deciders
    }

    /// The others that count as alive.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (NodeId, &LivePeer)> {
        self.peers.iter().map(|(node, peer)| (*node, peer))
    }

    /// Another one that counts as alive.
    pub(crate) fn peer(&self, node: NodeId) -> Option<&LivePeer> {
        self.peers.get(&node)
    }

    /// What was not looked at.
    pub(crate) fn ignored(&self) -> IgnoredPeers {
        self.ignored
    }

    /// A probe that was sent then has come back.
    fn probe(&mut self, sent: Instant, now: Instant, each: &mut dyn FnMut(PeerChange)) {
        if !self.dies_of_silence {
            return;
        }
        if self.link.is_lenient(now) {
            self.peers.values_mut().for_each(|peer| peer.forgive(now));
            return;
        }
        let mut dead = Vec::new();
        for (node, peer) in &mut self.peers {
            if sent >= peer.counts_from {
                peer.missed += 1;
                peer.counts_from = sent + PROBE_SPACING;
            }
            if peer.missed >= PROBES_UNTIL_DEAD {
                dead.push(*node);
            }
        }
        for node in dead {
            if let Some(peer) = self.peers.remove(&node) {
                self.departed.remember(node, Some(peer.last_sure()));
                self.link.departed(node);
                self.decide_without(Some(DeadNode { node, heard: peer.heard, died: now }), now);
                each(PeerChange::Died { node, name: peer.heartbeat.name });
            }
        }
    }

    /// Those decide who know what the others have.
    fn decide_anew(&mut self, now: Instant) {
        self.decide_without(None, now);
    }

    /// The same, where one has died.
    fn decide_without(&mut self, died: Option<DeadNode>, now: Instant) {
        let settled = self.peers.iter().filter(|(_, peer)| peer.heartbeat.settled).map(|(node, _)| *node);
        let nodes = settled.chain(self.is_settled.then_some(self.me)).collect();
        if let Some(deciders) = self.deciders.with(nodes, died, now) {
            self.deciders = Arc::new(deciders);
        }
    }

    fn find_namesakes(&mut self, now: Instant, each: &mut dyn FnMut(PeerChange)) {
        let beats =
            // One that leaves says that it has not settled, and may take its time beside the one that has its place.
            |peer: &LivePeer| peer.heartbeat.settled && now < peer.heard + BEATS_WITHIN && now >= peer.appeared + NAMESAKE_AFTER;
        let mut nodes_of: HashMap<&str, u32> = HashMap::new();
        if now >= self.started + NAMESAKE_AFTER {
            nodes_of.insert(&self.name, 1);
        }
        let names: Vec<Arc<str>> = self
            .peers
            .values()
            .filter(|peer| beats(peer))
            .map(|peer| Arc::clone(&peer.heartbeat.name))
            .collect();
        names.iter().for_each(|name| *nodes_of.entry(name).or_default() += 1);
        for (node, peer) in &mut self.peers {
            let is_namesake =
                beats(peer) && nodes_of.get(&*peer.heartbeat.name).is_some_and(|nodes| *nodes > 1);
            if is_namesake && !peer.is_namesake {
                each(PeerChange::Namesake { node: *node, name: Arc::clone(&peer.heartbeat.name) });
            }
            peer.is_namesake |= is_namesake;
        }
    }
}

impl LivePeer {
    /// One whose last heartbeat was of another life, or none.
    fn new(heartbeat: NodeHeartbeat, last: u64, now: Instant) -> Self {
        LivePeer {
            before_leap: (last.checked_add(1) != Some(heartbeat.beat)).then_some(last),
            heartbeat,
            appeared: now,
            heard: now,
            is_namesake: false,
            is_in_step: false,
            missed: 0,
            counts_from: now,
            stale: Persistence::default(),
        }
    }

    /// A heartbeat of this number has come; whether it tells how the node is now.
    fn goes_on_by(&mut self, beat: u64) -> bool {
        let last = self.heartbeat.beat;
        if beat > last {
            match last.checked_add(1) {
                Some(next) if next == beat => self.before_leap = None,
                _ => _ = self.before_leap.get_or_insert(last),
            }
            return true;
        }
        // Perhaps it was another one who leapt.
        beat < last && self.before_leap.take_if(|before| *before < beat).is_some()
    }

    /// The last heartbeat that was its own.
    fn last_sure(&self) -> u64 {
        self.before_leap.unwrap_or(self.heartbeat.beat)
    }

    /// Only probes that are sent from now on count.
    fn forgive(&mut self, now: Instant) {
        self.missed = 0;
        self.counts_from = now;
    }
}

impl Probes {
    /// Those that are remembered: more than come back after a second, and than are lost without the link being away.
    const MOST_UNDER_WAY: usize = 64;

    fn send(&mut self, now: Instant) -> u64 {
        self.last += 1;
        if self.under_way.len() >= Self::MOST_UNDER_WAY {
            self.under_way.pop_front();
        }
        self.under_way.push_back((self.last, now));
        self.last
    }

    /// When it was sent, if it was and has not come back before. Those before it are lost.
    fn came_back(&mut self, beat: u64) -> Option<Instant> {
        let place = self.under_way.iter().position(|(number, _)| *number == beat)?;
        self.under_way.drain(..=place).next_back().map(|(_, sent)| sent)
    }
}
