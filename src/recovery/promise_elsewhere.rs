//! The promise, over random lives of a client that goes from node to node: nodes die, write what they know late or not at all, do
//! not hear that the client has gone, and the engine forgets. Whenever the client is told that it has missed nothing, that is
//! true; and it is never sent what it was excluded from.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::Config;

use super::names::{ClientNameTable, NameBounds, NameHold, NameKey};
use super::{
    ArrivingNote, ClientName, JoinedAs, NameNote, NameTimes, NoteFate, NoteNumber, NoteUrgency,
    ReceivedPlace, TakenName, TakenNote,
};
use crate::channel::{ChannelVersion, HistoryPosition, NodeId};
use crate::protocol::{ChannelName, SocketId};

const NODES: usize = 3;

/// Connections of a client that are remembered, as docs/recovery.md has it.
const MOST_SOCKETS: usize = 16;

/// What one node's versions are larger by than the engine's numbers, times the number of the node.
const APART: u64 = 1_000_000_000;

const RETENTION: Duration = Duration::from_secs(300);

/// What may happen next.
#[derive(Clone, Copy, Debug)]
enum RoamingStep {
    Publish,
    /// The client does.
    Say,
    /// So many of the messages on the line arrive at the client.
    Arrive(usize),
    /// So many of its acknowledgements arrive.
    Answer(usize),
    Cut,
    /// The node notices that the line is cut.
    Notice,
    /// The client comes to a node; whether the one that had it is told so.
    Return(usize, bool),
    /// The same while this node does not reach the engine.
    ReturnAlone(usize),
    Unsubscribe,
    /// A node writes what it has to tell.
    Write(usize),
    /// A node dies, and another one takes its place.
    Kill(usize),
    /// The engine forgets all events but so many.
    Trim(usize),
    /// It forgets everything, notes too, or keeps these.
    Forget(bool),
    Pass(u64),
}

/// What is on its way to the client.
#[derive(Clone, Copy, Debug)]
enum RoamingMessage {
    Event(u64),
    Resumed(u64, bool),
    /// A ping, behind everything up to this number.
    Ping(u64),
}

struct RoamingNode {
    id: NodeId,
    names: ClientNameTable<u8, u8, u32>,
}

/// The connection that the client has, or had last.
struct RoamingLine {
    node: usize,
    hold: Option<NameHold<u8>>,
    joined: Option<JoinedAs>,
    socket: SocketId,
    is_subscribed: bool,
    is_cut: bool,
}

struct RoamingWorld {
    nodes: Vec<RoamingNode>,
    made: u128,
    note: Option<(Bytes, Instant)>,
    epoch: u64,
    last: u64,
    /// Events up to this number are forgotten.
    floor: u64,
    /// All events, each with the connection that was excluded.
    events: BTreeMap<u64, Option<SocketId>>,
    now: Instant,
    start: Instant,
    line: Option<RoamingLine>,
    /// Connections that have ended for the client, and whose nodes do not know it yet.
    dead: Vec<RoamingLine>,
    connections: u32,
    there: VecDeque<RoamingMessage>,
    back: VecDeque<u64>,
    since: Option<u64>,
    is_told: bool,
    has: BTreeSet<u64>,
    own: BTreeSet<SocketId>,
    last_own: VecDeque<SocketId>,
    /// It has come to a node that could not know of its connections elsewhere, and may be sent what these said.
    is_patient: bool,
    told_complete: usize,
    told_complete_elsewhere: usize,
}

fn channel() -> ChannelName {
    ChannelName::parse("c", 164).unwrap()
}

fn key() -> NameKey<u8> {
    let name = ClientName::parse("a-name-of-22-letters-001").unwrap();
    NameKey { app: 1, key: "k".into(), name }
}

fn number() -> NoteNumber {
    NoteNumber::of_name("1", "k", &key().name)
}

impl RoamingNode {
    fn new(bits: u128) -> Self {
        let bounds = NameBounds {
            retention: RETENTION,
            names: 10,
            per_address: 10,
            cursor_bytes: 1 << 20,
            cursor_bytes_per_address: 1 << 20,
        };
        RoamingNode { id: NodeId::new(bits), names: ClientNameTable::new(bounds) }
    }

    fn apart(&self) -> u64 {
        self.id.bits() as u64 * APART
    }
}

impl RoamingWorld {
    fn new() -> Self {
        let now = Instant::now();
        RoamingWorld {
            nodes: (1..=NODES as u128).map(RoamingNode::new).collect(),
            made: NODES as u128,
            note: None,
            epoch: 1,
            last: 1,
            floor: 0,
            events: BTreeMap::new(),
            now,
            start: now,
            line: None,
            dead: Vec::new(),
            connections: 0,
            there: VecDeque::new(),
            back: VecDeque::new(),
            since: None,
            is_told: false,
            has: BTreeSet::new(),
            own: BTreeSet::new(),
            last_own: VecDeque::new(),
            is_patient: false,
            told_complete: 0,
            told_complete_elsewhere: 0,
        }
    }

    fn times(&self) -> NameTimes {
        let ms = 1_700_000_000_000 + (self.now - self.start).as_millis() as u64;
        NameTimes { node: self.now, app: self.now, ms }
    }

    fn step(&mut self, step: RoamingStep) {
        match step {
            RoamingStep::Publish => self.publish(None),
            RoamingStep::Say => {
                let socket = self.line.as_ref().filter(|line| !line.is_cut).map(|line| line.socket);
                self.publish(socket);
            }
            RoamingStep::Arrive(count) => (0..count.min(self.there.len())).for_each(|_| self.arrive()),
            RoamingStep::Answer(count) => (0..count.min(self.back.len())).for_each(|_| self.answer()),
            RoamingStep::Cut => self.cut(),
            RoamingStep::Notice => self.notice(),
            RoamingStep::Return(node, is_told) => self.come(node, true, is_told),
            RoamingStep::ReturnAlone(node) => self.come(node, false, false),
            RoamingStep::Unsubscribe => self.unsubscribe(),
            RoamingStep::Write(node) => self.write(node),
            RoamingStep::Kill(node) => self.kill(node),
            RoamingStep::Trim(count) => self.floor = self.floor.max(self.last.saturating_sub(count as u64)),
            RoamingStep::Forget(keeps_notes) => {
                (self.epoch, self.floor) = (self.epoch + 1, self.last);
                self.last += 1;
                if !keeps_notes {
                    self.note = None;
                    // No node can know of all connections that the client had on others.
                    self.last_own.clear();
                }
            }
            RoamingStep::Pass(seconds) => {
                self.now += Duration::from_secs(seconds);
                self.note.take_if(|(_, ends)| *ends <= self.now);
                for node in &mut self.nodes {
                    node.names.expire(self.now, 100);
                }
            }
        }
    }

    fn publish(&mut self, except: Option<SocketId>) {
        self.last += 1;
        self.events.insert(self.last, except);
        if let Some(line) = self.line.as_ref().filter(|line| !line.is_cut && line.is_subscribed) {
            if Some(line.socket) != except {
                self.there.push_back(RoamingMessage::Event(self.last));
            }
            self.there.push_back(RoamingMessage::Ping(self.last));
        }
    }

    fn arrive(&mut self) {
        match self.there.pop_front() {
            None => {}
            Some(RoamingMessage::Ping(number)) => self.back.push_back(number),
            Some(RoamingMessage::Event(number)) => {
                let except = self.events[&number];
                let is_own = except.is_some_and(|except| self.last_own.contains(&except));
                assert!(!is_own || self.is_patient, "{number} is its own");
                if self.is_told {
                    self.has_everything_before(number);
                }
                self.has.insert(number);
            }
            Some(RoamingMessage::Resumed(number, true)) => {
                assert!(self.since.is_some(), "told that it has missed nothing when it was never here");
                self.told_complete += 1;
                self.is_told = true;
                self.has_everything_before(number + 1);
            }
            Some(RoamingMessage::Resumed(number, false)) => {
                (self.is_told, self.since) = (true, Some(number));
            }
        }
    }

    fn has_everything_before(&self, end: u64) {
        let since = self.since.unwrap();
        if since < end {
            for (event, except) in self.events.range(since + 1..end) {
                let is_own = except.is_some_and(|except| self.own.contains(&except));
                assert!(is_own || self.has.contains(event), "{event} is missing before {end}");
            }
        }
    }

    fn answer(&mut self) {
        let Some(number) = self.back.pop_front() else { return };
        if let Some(line) = self.line.as_ref().filter(|line| !line.is_cut)
            && let (Some(hold), Some(joined)) = (&line.hold, line.joined)
        {
            let version = ChannelVersion::new(number + self.nodes[line.node].apart());
            hold.cursors.lock().received(&channel(), joined, version);
        }
    }

    fn cut(&mut self) {
        if let Some(line) = &mut self.line {
            line.is_cut = true;
        }
        self.there.clear();
        self.back.clear();
        self.is_told = false;
    }

    fn notice(&mut self) {
        let line = self.line.take_if(|line| line.is_cut);
        for line in self.dead.drain(..).chain(line).collect::<Vec<_>>() {
            if let Some(hold) = line.hold {
                self.nodes[line.node].names.leave(&hold, (self.now, self.now));
            }
        }
    }

    /// What has become of the name at the engine.
    fn take(&mut self, (node, socket): (usize, SocketId), is_told: bool) -> TakenName {
        let (me, times) = (self.nodes[node].id, self.times());
        let before = self.note.as_ref().map(|(bytes, _)| NameNote::decode(bytes).unwrap());
        let note = NameNote::taken_by((me, socket), before.as_ref(), times.ms);
        let bytes = note.encode();
        self.note = Some((bytes.clone(), self.now + RETENTION));
        if let Some(before) = before.as_ref().filter(|_| is_told)
            && let Some(old) = self.nodes.iter_mut().find(|old| old.id == before.node && old.id != me)
        {
            let _ = old.names.taken_elsewhere(number(), (me, note.turn));
        }
        let note = TakenNote { node: me, turn: note.turn, taken_ms: note.taken_ms, bytes };
        TakenName::Taken { note, before: before.map(Box::new) }
    }

    fn come(&mut self, node: usize, reaches_engine: bool, is_told: bool) {
        self.cut();
        self.dead.extend(self.line.take());
        self.connections += 1;
        let socket = SocketId::new(self.connections, 1);
        self.own.insert(socket);
        self.last_own.push_back(socket);
        if self.last_own.len() > MOST_SOCKETS {
            self.last_own.pop_front();
        }
        self.is_patient |= !reaches_engine;
        let taken = reaches_engine.then(|| self.take((node, socket), is_told));
        let came = ArrivingNote { app: "1".into(), number: number(), taken };
        let times = self.times();
        let apart = self.nodes[node].apart();
        let names = &mut self.nodes[node].names;
        let arrived = names.arrive_noted(key(), (self.connections, socket), Some(1), came, &times);
        let hold = arrived.hold.ok();
        let mut from = None;
        let mut own = Vec::new();
        if let Some(hold) = &hold {
            let cursors = hold.cursors.lock();
            own = cursors.sockets();
            from = match cursors.wanted_by(hold.number, &channel(), None, self.now) {
                Some(ReceivedPlace::Here(version)) => Some(version.number() - apart),
                Some(ReceivedPlace::Elsewhere(place)) if place.epoch == self.epoch => {
                    self.told_complete_elsewhere += usize::from(place.number >= self.floor);
                    Some(place.number)
                }
                Some(ReceivedPlace::Elsewhere(_)) | None => None,
            };
        }
        let from = from.filter(|from| *from >= self.floor);
        let joined = hold
            .as_ref()
            .and_then(|hold| hold.cursors.lock().joined(hold.number, &channel(), None, from.is_some()));
        if let Some(from) = from {
            let is_for = |except: &Option<SocketId>| except.is_none_or(|except| !own.contains(&except));
            let missed = self.events.range(from + 1..).filter(|(_, except)| is_for(except));
            self.there.extend(missed.map(|(number, _)| RoamingMessage::Event(*number)));
        }
        self.there.push_back(RoamingMessage::Resumed(self.last, from.is_some()));
        self.there.push_back(RoamingMessage::Ping(self.last));
        self.line = Some(RoamingLine { node, hold, joined, socket, is_subscribed: true, is_cut: false });
    }

    fn unsubscribe(&mut self) {
        if let Some(line) = self.line.as_mut().filter(|line| !line.is_cut) {
            if let Some(hold) = &line.hold {
                hold.cursors.lock().unsubscribed(hold.number, &channel());
            }
            (line.is_subscribed, line.joined) = (false, None);
            self.is_told = false;
            self.there.clear();
        }
    }

    fn write(&mut self, node: usize) {
        let times = self.times();
        let (epoch, floor) = (self.epoch, self.floor);
        let RoamingNode { id, names } = &mut self.nodes[node];
        let apart = id.bits() as u64 * APART;
        names.list_old_notes(self.now, 10);
        let list = names.changed_notes().clone();
        while let Some(old) = list.next_removal() {
            self.note.take_if(|(bytes, _)| *bytes == old.bytes);
        }
        for urgency in [NoteUrgency::Now, NoteUrgency::Soon] {
            // Another one may be due because of it.
            for _ in 0..3 {
                let Some(number) = list.next(urgency) else { break };
                let Some(mut due) = names.due_note(number, urgency, *id, &times) else { continue };
                let place_of = |_: &ChannelName, version: ChannelVersion| {
                    let number = version.number() - apart;
                    (number >= floor).then_some(HistoryPosition { epoch, number })
                };
                let bytes = due.write(place_of, &times);
                if self.note.as_ref().map(|(bytes, _)| bytes) == due.expected.as_ref() {
                    self.note = Some((bytes.clone(), self.now + due.kept_for));
                    names.note_written(number, bytes, self.now);
                    continue;
                }
                let found = self.note.as_ref().map(|(bytes, _)| bytes.clone());
                if let NoteFate::Lost(Some(connection)) = names.note_refused(number, found, *id) {
                    let is_it = |line: &mut RoamingLine| line.socket == SocketId::new(connection, 1);
                    if self.line.take_if(is_it).is_some() {
                        self.there.clear();
                        self.back.clear();
                        self.is_told = false;
                    }
                }
            }
        }
    }

    fn kill(&mut self, node: usize) {
        if self.line.as_ref().is_some_and(|line| line.node == node) {
            self.cut();
            self.line = None;
        }
        self.dead.retain(|line| line.node != node);
        self.made += 1;
        self.nodes[node] = RoamingNode::new(self.made);
    }
}

fn steps() -> impl Strategy<Value = Vec<RoamingStep>> {
    let step = prop_oneof![
        6 => Just(RoamingStep::Publish),
        2 => Just(RoamingStep::Say),
        6 => (1..6_usize).prop_map(RoamingStep::Arrive),
        4 => (1..4_usize).prop_map(RoamingStep::Answer),
        1 => Just(RoamingStep::Cut),
        2 => Just(RoamingStep::Notice),
        4 => (0..NODES, any::<bool>()).prop_map(|(node, is_told)| RoamingStep::Return(node, is_told)),
        1 => (0..NODES).prop_map(RoamingStep::ReturnAlone),
        1 => Just(RoamingStep::Unsubscribe),
        6 => (0..NODES).prop_map(RoamingStep::Write),
        1 => (0..NODES).prop_map(RoamingStep::Kill),
        1 => (0..20_usize).prop_map(RoamingStep::Trim),
        1 => any::<bool>().prop_map(RoamingStep::Forget),
        2 => (1..90_u64).prop_map(RoamingStep::Pass),
    ];
    proptest::collection::vec(step, 1..150)
}

proptest! {
    #![proptest_config(Config { cases: 1500, failure_persistence: None, ..Config::default() })]

    #[test]
    fn who_goes_from_node_to_node_and_is_told_that_it_missed_nothing_has_missed_nothing(steps in steps()) {
        let mut world = RoamingWorld::new();
        steps.into_iter().for_each(|step| world.step(step));
    }
}

/// The property above says nothing unless clients are told so, also by nodes that they were not at.
#[test]
fn who_goes_from_node_to_node_is_told_that_it_missed_nothing() {
    let mut world = RoamingWorld::new();
    for round in 0..30 {
        world.step(RoamingStep::Return(round % NODES, round % 2 == 0));
        for _ in 0..3 {
            world.step(RoamingStep::Publish);
            world.step(RoamingStep::Arrive(9));
            world.step(RoamingStep::Answer(9));
        }
        world.step(RoamingStep::Write(round % NODES));
        world.step(RoamingStep::Publish);
        if round % 5 == 4 {
            world.step(RoamingStep::Kill(round % NODES));
        }
    }
    assert_eq!((world.told_complete, world.told_complete_elsewhere), (29, 29));
    assert_eq!(world.has.len(), 30 * 3 + 29);
}

/// What the node before had not written yet is sent twice, and no more.
#[test]
fn what_a_dead_node_has_not_told_is_sent_again() {
    let mut world = RoamingWorld::new();
    world.step(RoamingStep::Return(0, true));
    for _ in 0..3 {
        world.step(RoamingStep::Publish);
        world.step(RoamingStep::Arrive(9));
        world.step(RoamingStep::Answer(9));
        world.step(RoamingStep::Write(0));
    }
    world.step(RoamingStep::Publish);
    world.step(RoamingStep::Arrive(9));
    world.step(RoamingStep::Answer(9));
    world.step(RoamingStep::Kill(0));
    world.step(RoamingStep::Return(1, true));
    let is_event = |message: &&RoamingMessage| matches!(message, RoamingMessage::Event(_));
    assert_eq!(world.there.iter().filter(is_event).count(), 1);
    world.step(RoamingStep::Arrive(9));
    assert_eq!(world.told_complete, 1);
}
