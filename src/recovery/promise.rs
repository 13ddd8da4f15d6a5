//! The promise, over random lives: a client publishes, reads, loses its line and comes back, while its channel forgets what
//! it has no room for. Whenever the client is told that it has missed nothing, that is true; it is never sent what it was
//! excluded from; and each event follows all before it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::Config;

use super::{CursorBytes, Cursors, Echoes, PACE, ReceivedPlace, Track};
use crate::app::HistoryBounds;
use crate::channel::{
    ChannelVersion, History, HistoryPosition, KeptEvent, LostEvent, Replay, ReplayTerms, Wanted,
};
use crate::protocol::json::Data;
use crate::protocol::{ChannelName, SocketId, server_message};

const EPOCH: u64 = 7;

/// Connections of a client that are remembered, as docs/recovery.md has it.
const MOST_SOCKETS: usize = 16;

const RETENTION: Duration = Duration::from_secs(300);

/// What may happen next.
#[derive(Clone, Copy, Debug)]
enum PromiseStep {
    /// Somebody publishes.
    Publish,
    /// The client does: it is not sent that itself.
    Say,
    /// So many frames arrive at the client.
    Arrive(usize),
    /// So many of its pongs arrive here.
    Answer(usize),
    /// The line is lost, with what is on it; nobody here knows it yet.
    Cut,
    /// It is known here.
    Notice,
    /// The client comes back, whether that is known or not.
    Return,
    /// It unsubscribes, and knows that it has missed what comes.
    Unsubscribe,
    /// Time passes, in milliseconds.
    Pass(u64),
}

/// What is on its way to the client.
#[derive(Clone, Debug)]
enum OnTheWay {
    Event(u64),
    /// Of a join at that version.
    Resumed(u64, bool),
    Ping(Vec<u8>),
}

/// The broker's half of a connection.
struct BrokerHalf {
    holder: u64,
    socket: SocketId,
    echoes: Echoes,
    /// The version that it joined, and what follows the events, if the client can be found again.
    joined: Option<(u64, Option<Rc<Track>>)>,
    is_cut: bool,
}

struct ClientLife {
    now: Instant,
    version: u64,
    channel: ChannelName,
    bounds: HistoryBounds,
    history: History,
    cursors: Cursors,
    line: Option<BrokerHalf>,
    sockets: u32,
    /// When something came from the client on the line. While something is on its way to it for a minute, it is not heard.
    heard: Instant,
    there: VecDeque<OnTheWay>,
    back: VecDeque<Vec<u8>>,
    can_echo: bool,
    /// An echo has come on this line.
    has_echoed: bool,
    /// All events, each with the connection that was excluded.
    events: BTreeMap<u64, Option<SocketId>>,
    client: PromisedClient,
    told_complete: usize,
}

/// What the client knows.
#[derive(Debug, Default)]
struct PromisedClient {
    /// Since when it has been told everything, as it believes. None before its first subscription.
    since: Option<u64>,
    has: BTreeSet<u64>,
    own: BTreeSet<SocketId>,
    /// Those of them that the broker knows of: so many at least. Of one before them it may be sent what that said.
    last_own: VecDeque<SocketId>,
    /// It has been told of the subscription that it has.
    is_told: bool,
}

impl ClientLife {
    fn new(events: usize, seconds: u64, can_echo: bool) -> Self {
        let now = Instant::now();
        ClientLife {
            now,
            version: 1,
            channel: ChannelName::parse("c", 164).unwrap(),
            bounds: HistoryBounds { events, time: Duration::from_secs(seconds), ..HistoryBounds::default() },
            history: History::beginning(LostEvent { version: ChannelVersion::new(1), at: now }),
            cursors: Cursors::new(RETENTION, &Arc::new(CursorBytes::default())),
            line: None,
            sockets: 0,
            heard: now,
            there: VecDeque::new(),
            back: VecDeque::new(),
            can_echo,
            has_echoed: false,
            events: BTreeMap::new(),
            client: PromisedClient::default(),
            told_complete: 0,
        }
    }

    fn step(&mut self, step: PromiseStep) {
        match step {
            PromiseStep::Publish => self.publish(None),
            PromiseStep::Say => {
                let socket = self.line.as_ref().filter(|line| !line.is_cut).map(|line| line.socket);
                if socket.is_some() && self.there.is_empty() {
                    self.heard = self.now;
                }
                self.publish(socket);
            }
            PromiseStep::Arrive(count) => (0..count.min(self.there.len())).for_each(|_| self.arrive()),
            PromiseStep::Answer(count) => (0..count.min(self.back.len())).for_each(|_| self.answer()),
            PromiseStep::Cut => self.cut(),
            PromiseStep::Notice => self.notice(),
            PromiseStep::Return => self.come_back(),
            PromiseStep::Unsubscribe => self.unsubscribe(),
            PromiseStep::Pass(milliseconds) => {
                if !self.has_echoed && milliseconds >= 1000 {
                    // What is promised to those who have not echoed is so where nothing is on its way for a minute.
                    self.step(PromiseStep::Arrive(usize::MAX));
                    self.step(PromiseStep::Answer(usize::MAX));
                }
                self.now += Duration::from_millis(milliseconds);
                self.history.keep_within(&self.bounds, self.now);
            }
        }
        self.ping();
    }

    fn publish(&mut self, except: Option<SocketId>) {
        self.version += 1;
        let version = ChannelVersion::new(self.version);
        let data = format!("{:09}", self.version);
        let frame = server_message::channel_event("e", &Data::of_text(&data), &self.channel, None);
        self.events.insert(self.version, except);
        let event = KeptEvent { version, number: None, at: self.now, time_ms: 0, frame, except };
        self.history.push(event, &self.bounds);
        let Some(line) = &mut self.line else { return };
        let Some((_, track)) = &line.joined else { return };
        let is_sent = Some(line.socket) != except;
        if is_sent && !line.is_cut {
            self.there.push_back(OnTheWay::Event(self.version));
        }
        match track {
            Some(track) if track.goes_on(version) => {}
            Some(track) if is_sent => {
                line.echoes.sent(track, version);
            }
            Some(track) => line.echoes.passed(track, version),
            None => {}
        }
    }

    fn ping(&mut self) {
        let Some(line) = &mut self.line else { return };
        // What a cut line does not carry stays here, or is on its way for all that is known.
        let has_left = !line.is_cut;
        if let Some(payload) = line.echoes.look(self.now, has_left)
            && !line.is_cut
        {
            self.there.push_back(OnTheWay::Ping(payload.bytes().to_vec()));
        }
    }

    fn arrive(&mut self) {
        let Some(message) = self.there.pop_front() else { return };
        match message {
            OnTheWay::Ping(payload) if self.can_echo => self.back.push_back(payload),
            OnTheWay::Ping(_) => self.back.push_back(Vec::new()),
            OnTheWay::Event(version) => {
                let except = self.events[&version];
                let is_own = except.is_some_and(|except| self.client.last_own.contains(&except));
                assert!(!is_own, "{version} is its own");
                if self.client.is_told {
                    self.has_everything_before(version);
                }
                self.client.has.insert(version);
            }
            OnTheWay::Resumed(version, true) => {
                self.told_complete += 1;
                assert!(
                    self.client.since.is_some(),
                    "told that it has missed nothing when it was never here"
                );
                self.client.is_told = true;
                self.has_everything_before(version + 1);
            }
            OnTheWay::Resumed(version, false) => {
                self.client.is_told = true;
                self.client.since = Some(version);
            }
        }
    }

    fn has_everything_before(&self, version: u64) {
        let since = self.client.since.unwrap();
        if since < version {
            for (event, except) in self.events.range(since + 1..version) {
                let is_own = except.is_some_and(|except| self.client.own.contains(&except));
                assert!(is_own || self.client.has.contains(event), "{event} is missing before {version}");
            }
        }
    }

    fn answer(&mut self) {
        if let (Some(payload), Some(line)) = (self.back.pop_front(), &mut self.line)
            && !line.is_cut
        {
            self.heard = self.now;
            self.has_echoed |= !payload.is_empty();
            let by_time = line.echoes.taken_as_received(self.now);
            for (track, version) in by_time.into_iter().chain(line.echoes.echoed(&payload)) {
                self.cursors.received(&track.channel, track.joined, version);
            }
        }
    }

    fn cut(&mut self) {
        if let Some(line) = &mut self.line {
            line.is_cut = true;
        }
        self.there.clear();
        self.back.clear();
        self.client.is_told = false;
    }

    fn notice(&mut self) {
        if let Some(mut line) = self.line.take_if(|line| line.is_cut) {
            for (track, version) in line.echoes.taken_as_received(self.heard) {
                self.cursors.received(&track.channel, track.joined, version);
            }
            self.cursors.left_by(line.holder, self.now);
        }
    }

    fn come_back(&mut self) {
        // Whatever the line before has, it is not read any more.
        self.cut();
        self.has_echoed = false;
        self.sockets += 1;
        let socket = SocketId::new(self.sockets, 1);
        self.client.own.insert(socket);
        self.client.last_own.push_back(socket);
        if self.client.last_own.len() > MOST_SOCKETS {
            self.client.last_own.pop_front();
        }
        let holder = self.cursors.taken_by(socket, self.now);
        let wanted = match self.cursors.wanted_by(holder, &self.channel, None, self.now) {
            None => Wanted::Unknown,
            Some(ReceivedPlace::Here(received)) => Wanted::Since {
                position: HistoryPosition { epoch: EPOCH, number: received.number() },
                own: self.cursors.sockets(),
            },
            Some(ReceivedPlace::Elsewhere(position)) => {
                Wanted::Since { position, own: self.cursors.sockets() }
            }
        };
        self.version += 1;
        let version = ChannelVersion::new(self.version);
        let terms =
            ReplayTerms { epoch: EPOCH, engine: None, version, socket, now: self.now, room: usize::MAX };
        let replay = self.history.replay(&wanted, &terms).unwrap();
        let Replay { complete, events, .. } = replay;
        let joined = self.cursors.joined(holder, &self.channel, None, complete);
        let track = joined.map(|joined| Rc::new(Track::new(self.channel.clone(), joined, version)));
        assert!(complete || events.is_empty(), "a part");
        self.there.extend(events.iter().map(|event| OnTheWay::Event(event.version.number())));
        self.there.push_back(OnTheWay::Resumed(self.version, complete));
        let mut echoes = Echoes::new(Some(PACE));
        if let Some(track) = &track {
            echoes.sent(track, version);
        }
        self.heard = self.now;
        self.line =
            Some(BrokerHalf { holder, socket, echoes, joined: Some((self.version, track)), is_cut: false });
    }

    fn unsubscribe(&mut self) {
        if let Some(line) = self.line.as_mut().filter(|line| !line.is_cut) {
            line.joined = None;
            self.cursors.unsubscribed(line.holder, &self.channel);
            self.client.is_told = false;
            self.there.retain(|message| matches!(message, OnTheWay::Ping(_)));
            self.client.since = None;
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<PromiseStep>> {
    let step = prop_oneof![
        6 => Just(PromiseStep::Publish),
        2 => Just(PromiseStep::Say),
        6 => (1..6_usize).prop_map(PromiseStep::Arrive),
        4 => (1..3_usize).prop_map(PromiseStep::Answer),
        2 => Just(PromiseStep::Cut),
        2 => Just(PromiseStep::Notice),
        3 => Just(PromiseStep::Return),
        1 => Just(PromiseStep::Unsubscribe),
        3 => (1..300_u64).prop_map(PromiseStep::Pass),
        1 => (1000..200_000_u64).prop_map(PromiseStep::Pass),
    ];
    proptest::collection::vec(step, 1..120)
}

proptest! {
    #![proptest_config(Config { cases: 1000, failure_persistence: None, ..Config::default() })]

    #[test]
    fn who_is_told_that_it_missed_nothing_has_missed_nothing(
        steps in steps(),
        events in 1..30_usize,
        seconds in 1..600_u64,
        can_echo: bool,
    ) {
        let mut world = ClientLife::new(events, seconds, can_echo);
        steps.into_iter().for_each(|step| world.step(step));
    }
}

/// A client that does not echo, on a line that loses nothing of what was sent a minute before its end.
#[test]
fn who_never_echoes_is_sent_again_what_a_minute_ago_was_sent() {
    let mut world = ClientLife::new(100, 600, false);
    world.step(PromiseStep::Return);
    for _ in 0..100 {
        world.step(PromiseStep::Publish);
        world.step(PromiseStep::Arrive(9));
        world.step(PromiseStep::Answer(9));
        world.step(PromiseStep::Pass(2_500));
    }
    world.step(PromiseStep::Cut);
    world.step(PromiseStep::Notice);
    world.step(PromiseStep::Publish);
    world.step(PromiseStep::Return);
    assert!(world.there.len() < 40 && world.there.len() > 20, "{}", world.there.len());
    world.step(PromiseStep::Arrive(99));
    assert_eq!(world.told_complete, 1);
    assert_eq!(world.client.has.len(), 101);
}

/// The properties above say nothing unless clients are told so.
#[test]
fn who_echoes_and_comes_back_in_time_is_told_that_it_missed_nothing() {
    let mut world = ClientLife::new(100, 600, true);
    for _ in 0..50 {
        world.step(PromiseStep::Return);
        for _ in 0..3 {
            world.step(PromiseStep::Publish);
            world.step(PromiseStep::Pass(150));
            world.step(PromiseStep::Arrive(9));
            world.step(PromiseStep::Answer(9));
        }
        world.step(PromiseStep::Cut);
        world.step(PromiseStep::Publish);
        world.step(PromiseStep::Say);
    }
    assert_eq!(world.told_complete, 49);
}
