//! Random histories of several nodes on a bus that drops, repeats and delays: crashes, pauses, times without the bus, and
//! fail-overs that each node follows when it learns of them. In the end everybody knows the same, and what each was told on the
//! way fits together.

mod fail_overs;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use super::adapter::{EngineId, Link};
use super::envelope::{
    Content, Envelope, FactBatch, FactListBuilder, NodeHeartbeat, SnapshotPart, SnapshotRequest,
};
use super::peers::{PeerChange, Peers};
use super::replica::{Replica, ReplicaBounds, ReplicaChange};
use crate::channel::{Change, ChannelVersion, Fact, Member, NodeId};
use crate::protocol::{ChannelName, SocketTag};

const NODES: usize = 3;

/// What happens next.
#[derive(Clone, Debug)]
enum HistoryStep {
    /// On this node, a member joins one of the channels.
    Join(usize, u8, u8),
    /// One of its connections leaves.
    Leave(usize, usize),
    /// Its connections of a channel without members are so many now.
    Subscribers(usize, u32),
    /// So many of the words that wait for a node come.
    Deliver(usize, usize),
    /// The next word that waits for a node is lost, or comes twice.
    Lose(usize),
    Repeat(usize),
    /// A second passes, and all beat.
    Second,
    /// Another program starts in the node's place, without a word.
    Crash(usize),
    /// The same, with a goodbye.
    Restart(usize),
    /// It stands still, or goes on.
    Pause(usize),
    /// It cannot reach the engine, or can again.
    Cut(usize),
    /// The other server of the engine is the primary from now on.
    FailOver,
    /// The primary before has become its copy: what is said there is heard here, too.
    Copy,
    /// A node learns where the primary is, if it did not know. So many of the words that came last from the one before are lost.
    Follow(usize, usize),
}

fn steps() -> impl Strategy<Value = Vec<HistoryStep>> {
    let node = || 0..NODES;
    let step = prop_oneof![
        12 => (node(), 0_u8..2, 0_u8..3).prop_map(|(node, channel, user)| HistoryStep::Join(node, channel, user)),
        8 => (node(), any::<usize>()).prop_map(|(node, which)| HistoryStep::Leave(node, which)),
        4 => (node(), 0_u32..4).prop_map(|(node, count)| HistoryStep::Subscribers(node, count)),
        24 => (node(), 1_usize..12).prop_map(|(node, words)| HistoryStep::Deliver(node, words)),
        4 => node().prop_map(HistoryStep::Lose),
        4 => node().prop_map(HistoryStep::Repeat),
        12 => Just(HistoryStep::Second),
        1 => node().prop_map(HistoryStep::Crash),
        1 => node().prop_map(HistoryStep::Restart),
        2 => node().prop_map(HistoryStep::Pause),
        2 => node().prop_map(HistoryStep::Cut),
        1 => Just(HistoryStep::FailOver),
        1 => Just(HistoryStep::Copy),
        3 => (node(), 0_usize..6).prop_map(|(node, lost)| HistoryStep::Follow(node, lost)),
    ];
    vec(step, 0..120)
}

/// A node, and what it knows of the others.
struct SimulatedNode {
    id: NodeId,
    own: Replica,
    peers: Peers,
    replicas: BTreeMap<NodeId, Replica>,
    /// When a snapshot was asked for.
    asked: BTreeMap<NodeId, Instant>,
    requests: u64,
    versions: u64,
    /// The truth: connections of members, and of channels without.
    members: BTreeMap<(ChannelName, ChannelVersion), Arc<str>>,
    subscribers: u32,
    /// What a hub would keep of the others.
    union: Union,
    words: VecDeque<Bytes>,
    is_paused: bool,
    is_cut: bool,
    /// The server of the engine that it is at.
    server: usize,
    died: Vec<NodeId>,
}

/// What others have, put together of the changes alone.
#[derive(Debug, Default, PartialEq, Eq)]
struct Union {
    members: BTreeMap<(ChannelName, NodeId, ChannelVersion), Arc<str>>,
    subscribers: BTreeMap<NodeId, u32>,
    /// The numbers by which listeners are told that somebody joined: none comes twice.
    told: BTreeSet<(NodeId, ChannelVersion)>,
}

impl Union {
    /// Takes a change, which must be one.
    fn apply(&mut self, node: NodeId, change: Change) {
        match change {
            Change::Joined { channel, version, told, member } => {
                assert!(self.told.insert((node, told)), "{node} {told:?} is told twice");
                let known = self.members.insert((channel, node, version), member.user_id);
                assert_eq!(known, None, "{node} {version:?} joins twice");
            }
            Change::Left { channel, joined, user_id, .. } => {
                assert_eq!(self.members.remove(&(channel, node, joined)), Some(user_id));
            }
            Change::Subscribers { count: 0, .. } => {
                assert!(self.subscribers.remove(&node).is_some(), "{node} vacates what was vacant");
            }
            Change::Subscribers { count, .. } => {
                assert_ne!(self.subscribers.insert(node, count), Some(count), "no change");
            }
            other => panic!("nobody said {other:?}"),
        }
    }
}

/// The engine, as it is known at this one of its servers.
fn engine(server: usize) -> EngineId {
    EngineId(format!("server-{server}").into())
}

fn up(server: usize) -> Link {
    Link::Up { engine: engine(server), round_trip: Duration::ZERO }
}

struct Simulation {
    now: Instant,
    started: u128,
    /// Which of the servers is the primary, and whether the other one is its copy by now.
    primary: usize,
    is_copied: bool,
    nodes: Vec<SimulatedNode>,
}

impl Simulation {
    fn new() -> Self {
        let mut simulation =
            Simulation { now: Instant::now(), started: 0, primary: 0, is_copied: true, nodes: Vec::new() };
        for _ in 0..NODES {
            let node = simulation.start();
            simulation.nodes.push(node);
        }
        simulation
    }

    fn start(&mut self) -> SimulatedNode {
        self.started += 1;
        let id = NodeId::new(self.started);
        let mut peers = Peers::new(id, format!("node-{id}").into(), self.now);
        peers.listens(self.now);
        peers.link(&up(self.primary), self.now);
        SimulatedNode {
            id,
            own: Replica::of_this_node(),
            peers,
            replicas: BTreeMap::new(),
            asked: BTreeMap::new(),
            requests: 0,
            versions: 0,
            members: BTreeMap::new(),
            subscribers: 0,
            union: Union::default(),
            words: VecDeque::new(),
            is_paused: false,
            is_cut: false,
            server: self.primary,
            died: Vec::new(),
        }
    }

    fn step(&mut self, step: HistoryStep) {
        match step {
            HistoryStep::Join(node, channel, user) => {
                let of = &mut self.nodes[node];
                if of.is_paused {
                    return;
                }
                let channel = ChannelName::parse(&format!("presence-{channel}"), 164).unwrap();
                let version = of.next_version();
                let user_id: Arc<str> = format!("u{user}").into();
                of.members.insert((channel.clone(), version), user_id.clone());
                let member = Member { user_id, user_info: None };
                self.say(node, Fact::Joined { channel, version, member });
            }
            HistoryStep::Leave(node, which) => {
                let of = &mut self.nodes[node];
                if of.is_paused || of.members.is_empty() {
                    return;
                }
                let key = of.members.keys().nth(which % of.members.len()).unwrap().clone();
                of.members.remove(&key);
                let (channel, joined) = key;
                let version = of.next_version();
                self.say(node, Fact::Left { channel, joined, version });
            }
            HistoryStep::Subscribers(node, count) => {
                let of = &mut self.nodes[node];
                if of.is_paused || std::mem::replace(&mut of.subscribers, count) == count {
                    return;
                }
                let (channel, version) = (ChannelName::parse("news", 164).unwrap(), of.next_version());
                self.say(node, Fact::Subscribers { channel, count, version });
            }
            HistoryStep::Deliver(node, words) => self.deliver(node, words),
            HistoryStep::Lose(node) => drop(self.nodes[node].words.pop_front()),
            HistoryStep::Repeat(node) => {
                let words = &mut self.nodes[node].words;
                words.extend(words.front().cloned());
            }
            HistoryStep::Second => self.pass_a_second(),
            HistoryStep::Crash(node) => self.nodes[node] = self.start(),
            HistoryStep::Restart(node) => {
                self.carry(node, Content::Goodbye, None);
                self.nodes[node] = self.start();
            }
            HistoryStep::Pause(node) => self.nodes[node].is_paused ^= true,
            HistoryStep::Cut(node) => self.cut(node),
            HistoryStep::FailOver => (self.primary, self.is_copied) = (1 - self.primary, false),
            HistoryStep::Copy => self.is_copied = true,
            HistoryStep::Follow(node, lost) => {
                let of = &mut self.nodes[node];
                if !of.is_paused && !of.is_cut && of.server != self.primary {
                    of.words.truncate(of.words.len().saturating_sub(lost));
                    self.cut(node);
                    self.cut(node);
                }
            }
        }
    }

    /// A node loses the engine, or finds it where it is now.
    fn cut(&mut self, node: usize) {
        let of = &mut self.nodes[node];
        of.is_cut = !of.is_cut;
        if of.is_cut {
            of.peers.link(&Link::Away { since: self.now, reason: "cut".into() }, self.now);
        } else {
            of.server = self.primary;
            of.peers.link(&up(of.server), self.now);
        }
    }

    /// Carries a word to one node, or to all, the node itself too.
    fn carry(&mut self, from: usize, content: Content, to: Option<NodeId>) {
        let node = &self.nodes[from];
        if node.is_cut || node.is_paused {
            return;
        }
        let bytes = Envelope { from: node.id, content }.encode();
        let (at, is_everywhere) = (node.server, self.is_copied && node.server == self.primary);
        let hears = |node: &&mut SimulatedNode| {
            !node.is_cut && (node.server == at || is_everywhere) && to.is_none_or(|to| node.id == to)
        };
        self.nodes.iter_mut().filter(hears).for_each(|node| node.words.push_back(bytes.clone()));
    }

    fn say(&mut self, node: usize, fact: Fact) {
        let app = Arc::from("1");
        let first = self.nodes[node].own.say(&app, fact.clone());
        let mut builder = FactListBuilder::default();
        builder.push(&app, &fact);
        self.carry(node, Content::Facts(FactBatch { first, facts: builder.take() }), None);
    }

    fn pass_a_second(&mut self) {
        self.now += Duration::from_secs(1);
        for place in 0..NODES {
            let now = self.now;
            let node = &mut self.nodes[place];
            if node.is_paused {
                continue;
            }
            let heartbeat = node.heartbeat(now);
            let peers: Vec<NodeId> = node.replicas.keys().copied().collect();
            let mut asks = Vec::new();
            for of in peers {
                let is_late = node.asked.get(&of).is_some_and(|asked| *asked + Duration::from_secs(2) < now);
                let replica = node.replicas.get_mut(&of).unwrap();
                node.peers.set_in_step(of, replica.is_in_step());
                if replica.wants_snapshot() || !replica.is_in_step() && is_late {
                    node.requests += 1;
                    replica.ask(node.requests);
                    node.asked.insert(of, now);
                    asks.push(SnapshotRequest { of, request: node.requests });
                }
            }
            node.peers.pass(now, &mut |_| {});
            self.carry(place, Content::Heartbeat(heartbeat), None);
            asks.into_iter().for_each(|ask| self.carry(place, Content::SnapshotRequest(ask), None));
        }
    }

    fn deliver(&mut self, node: usize, words: usize) {
        for _ in 0..words {
            let to = &mut self.nodes[node];
            let Some(word) = to.words.pop_front_if(|_| !to.is_paused) else { return };
            let Envelope { from, content } = Envelope::decode(&word).unwrap();
            if let Content::SnapshotRequest(SnapshotRequest { of, request }) = content {
                if of == to.id && from != to.id {
                    let parts: Vec<SnapshotPart> = to.own.snapshot(30).answer(request).collect();
                    parts
                        .into_iter()
                        .for_each(|part| self.carry(node, Content::SnapshotPart(part), Some(from)));
                }
            } else {
                to.hear(from, content, self.now);
            }
        }
    }

    /// Everybody is there again, and all that is said comes, until all is calm.
    fn calm(&mut self) {
        for node in 0..NODES {
            self.nodes[node].is_paused = false;
            if self.nodes[node].is_cut {
                self.cut(node);
            }
            self.step(HistoryStep::Follow(node, 0));
        }
        for _ in 0..60 {
            self.pass_a_second();
            while self.nodes.iter().any(|node| !node.words.is_empty()) {
                (0..NODES).for_each(|node| self.deliver(node, usize::MAX));
            }
        }
    }

    fn check(&self) {
        let ids: Vec<NodeId> = self.nodes.iter().map(|node| node.id).collect();
        for node in &self.nodes {
            let mut expected = Union::default();
            for other in self.nodes.iter().filter(|other| other.id != node.id) {
                for ((channel, version), user_id) in &other.members {
                    let key = (channel.clone(), other.id, *version);
                    expected.members.insert(key, user_id.clone());
                }
                if other.subscribers > 0 {
                    expected.subscribers.insert(other.id, other.subscribers);
                }
            }
            assert_eq!(node.union.members, expected.members, "{} knows who is there", node.id);
            assert_eq!(node.union.subscribers, expected.subscribers, "{}", node.id);
            let known: BTreeSet<NodeId> = node.peers.iter().map(|(peer, _)| peer).chain([node.id]).collect();
            assert_eq!(known, ids.iter().copied().collect(), "{} knows who is alive", node.id);
            assert!(node.peers.is_settled() && node.peers.bus_trouble().is_none());
        }
        for room in 0..20 {
            let channel = format!("room-{room}");
            let decides = |node: &&SimulatedNode| {
                node.peers.deciders().decides("1", &channel, Duration::ZERO, self.now)
            };
            assert_eq!(self.nodes.iter().filter(decides).count(), 1, "one decides for {channel}");
        }
    }
}

impl SimulatedNode {
    fn next_version(&mut self) -> ChannelVersion {
        self.versions += 1;
        ChannelVersion::new(self.versions)
    }

    fn heartbeat(&mut self, now: Instant) -> NodeHeartbeat {
        NodeHeartbeat {
            beat: self.peers.beat(now),
            facts: self.own.number(),
            settled: self.peers.is_settled(),
            name: format!("node-{}", self.id).into(),
            address: None,
            socket_tag: SocketTag::of_random(0),
            release: "1".into(),
            engine: Some(engine(self.server)),
            started_ms: 0,
            settings: Default::default(),
        }
    }

    fn hear(&mut self, from: NodeId, content: Content, now: Instant) {
        let SimulatedNode { replicas, union, peers, died, .. } = self;
        let told = |node: NodeId| move |ReplicaChange { change, .. }: ReplicaChange| (node, change);
        let mut changes = Vec::new();
        match content {
            Content::Heartbeat(heartbeat) => {
                let facts = heartbeat.facts;
                let is_new = peers.heard(from, heartbeat, now, &mut |change| match change {
                    PeerChange::Appeared { node, returned } => {
                        assert!(
                            replicas.insert(node, Replica::new(ReplicaBounds::default(), returned)).is_none()
                        );
                    }
                    PeerChange::Died { node, .. } => {
                        died.push(node);
                        let of = told(node);
                        replicas.remove(&node).unwrap().remove(&mut |change| changes.push(of(change)));
                    }
                    other => panic!("{other:?}"),
                });
                if is_new && let Some(replica) = replicas.get_mut(&from) {
                    replica.heard_of(facts);
                }
            }
            Content::Goodbye => peers.goodbye(from, now, &mut |change| {
                assert!(matches!(change, PeerChange::Left { node, .. } if node == from));
                let of = told(from);
                replicas.remove(&from).unwrap().remove(&mut |change| changes.push(of(change)));
            }),
            content => {
                let Some(replica) = replicas.get_mut(&from) else { return };
                let of = told(from);
                let mut each = |change: ReplicaChange| changes.push(of(change));
                match content {
                    Content::Facts(batch) => replica.apply(batch, &mut each),
                    Content::SnapshotPart(part) => replica.part(&part, &mut each),
                    other => panic!("nobody says {other:?}"),
                }
            }
        }
        changes.into_iter().for_each(|(node, change)| union.apply(node, change));
    }
}

proptest! {
    /// Every change that a node is told of another is one, none is told twice, and in the end all know the same.
    #[test]
    fn in_the_end_all_know_the_same(steps in steps()) {
        let mut simulation = Simulation::new();
        steps.into_iter().for_each(|step| simulation.step(step));
        simulation.calm();
        simulation.check();
    }

    /// While the bus is away for all, and after it, also after another engine has taken its place, nobody dies, and of
    /// those who stay nobody is told anything.
    #[test]
    fn nobody_dies_because_the_bus_is_away(seconds in 1_usize..90, is_another in any::<bool>(), back in 0_usize..4) {
        let mut simulation = Simulation::new();
        (0..NODES).for_each(|node| simulation.step(HistoryStep::Join(node, 0, node as u8)));
        simulation.calm();
        let told: Vec<_> = simulation.nodes.iter().map(|node| node.union.told.clone()).collect();
        (0..NODES).for_each(|node| simulation.cut(node));
        (0..seconds).for_each(|_| simulation.pass_a_second());
        if is_another {
            simulation.step(HistoryStep::FailOver);
        }
        // They find it one after the other.
        for node in 0..NODES {
            simulation.cut(node);
            for _ in 0..back {
                simulation.pass_a_second();
                (0..NODES).for_each(|node| simulation.deliver(node, usize::MAX));
            }
        }
        simulation.calm();
        simulation.check();
        for (node, told) in simulation.nodes.iter().zip(told) {
            prop_assert_eq!((&node.union.told, node.died.len()), (&told, 0));
        }
    }
}

#[test]
fn one_that_is_killed_is_missed_within_seconds_and_one_that_stood_still_is_back_once() {
    let mut simulation = Simulation::new();
    (0..NODES).for_each(|node| simulation.step(HistoryStep::Join(node, 0, node as u8)));
    simulation.calm();
    simulation.step(HistoryStep::Pause(2));
    let mut seconds = 0;
    while simulation.nodes[0].union.members.len() == 2 {
        simulation.pass_a_second();
        (0..2).for_each(|node| simulation.deliver(node, usize::MAX));
        seconds += 1;
        assert!(seconds < 10);
    }
    assert!(seconds >= 5, "{seconds}");
    let stood_still = simulation.nodes[2].id;
    let told = simulation.nodes[0].union.told.len();
    simulation.calm();
    simulation.check();
    assert_eq!(simulation.nodes[0].died, [stood_still]);
    assert_eq!(simulation.nodes[0].union.told.len(), told + 1, "by a number of its own");
    assert_eq!(
        simulation.nodes[0].union.told,
        simulation.nodes[1]
            .union
            .told
            .iter()
            .copied()
            .map(|(node, version)| {
                // Each knows the other, and both give the return the same number.
                if node == simulation.nodes[0].id {
                    (simulation.nodes[1].id, version)
                } else {
                    (node, version)
                }
            })
            .collect()
    );
}
