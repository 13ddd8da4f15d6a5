use std::collections::HashMap;

use proptest::prelude::*;
use proptest::test_runner::Config;

use super::*;
use crate::protocol::ChannelName;
use crate::protocol::SocketId;
use crate::recovery::{CursorBytes, Cursors};

/// A subscription to a channel of this name.
fn track(name: &str) -> Rc<Track> {
    let mut cursors = Cursors::new(MARGIN, &std::sync::Arc::new(CursorBytes::default()));
    let holder = cursors.taken_by(SocketId::new(1, 1), Instant::now());
    let channel = ChannelName::parse(name, 164).unwrap();
    let joined = cursors.joined(holder, &channel, None, false).unwrap();
    Rc::new(Track::new(channel, joined, ChannelVersion::default()))
}

fn version(number: u64) -> ChannelVersion {
    ChannelVersion::new(number)
}

fn named(received: &ReceivedUpTo) -> Vec<(&str, u64)> {
    received.iter().map(|(track, version)| (track.channel.as_str(), version.number())).collect()
}

struct Times(Instant);

impl Times {
    fn at(&self, milliseconds: u64) -> Instant {
        self.0 + Duration::from_millis(milliseconds)
    }
}

#[test]
fn an_echo_says_that_everything_before_its_ping_has_arrived() {
    let (mut echoes, times) = (Echoes::new(Some(PACE)), Times(Instant::now()));
    let (a, b) = (track("a"), track("b"));
    assert_eq!(echoes.next_look(times.at(0)), None, "nothing was sent");
    assert_eq!(echoes.look(times.at(0), true), None);
    echoes.sent(&a, version(1));
    echoes.sent(&a, version(2));
    assert_eq!(echoes.next_look(times.at(0)), Some(times.at(0)), "the first ping goes at once");
    let first = echoes.look(times.at(0), false).unwrap();
    assert_eq!(first.bytes(), b"r1");
    echoes.sent(&b, version(3));
    assert_eq!(echoes.next_look(times.at(0)), Some(times.at(100)));
    assert_eq!(echoes.look(times.at(99), false), None);
    let second = echoes.look(times.at(100), false).unwrap();
    echoes.sent(&a, version(4));
    let third = echoes.look(times.at(200), false).unwrap();
    assert_eq!(named(&echoes.echoed(second.bytes())), [("a", 2), ("b", 3)], "and the first");
    assert!(echoes.echoed(second.bytes()).is_empty() && echoes.echoed(first.bytes()).is_empty(), "old");
    assert_eq!(named(&echoes.echoed(third.bytes())), [("a", 4)]);
    assert_eq!(echoes.next_look(times.at(900)), None);
}

#[test]
fn what_was_not_sent_by_us_says_nothing() {
    let (mut echoes, times) = (Echoes::new(Some(PACE)), Times(Instant::now()));
    let a = track("a");
    echoes.sent(&a, version(1));
    echoes.look(times.at(0), false).unwrap();
    for forged in [
        &b""[..],
        b"r",
        b"1",
        b"R1",
        b"r01",
        b"r+1",
        b"r2",
        b"r1 ",
        b"rzzzzzzzzzzzzzz",
        b"r\xff",
        b"\0r1",
        b"r-1",
    ] {
        assert!(echoes.echoed(forged).is_empty(), "{forged:?}");
    }
    assert_eq!(named(&echoes.echoed(b"r1")), [("a", 1)]);
}

#[test]
fn a_payload_is_short_ascii_and_read_as_it_is_written() {
    for number in [0, 1, 35, 36, 1295, 1296, u64::MAX] {
        let payload = Payload::of(number);
        assert!(payload.bytes().len() <= 16 && payload.bytes().is_ascii());
        assert_eq!(Payload::read(payload.bytes()), Some(number));
    }
    assert_eq!(Payload::of(u64::MAX).bytes().len(), PAYLOAD_BYTES);
}

#[test]
fn its_own_events_make_no_ping_and_are_counted_with_the_next() {
    let (mut echoes, times) = (Echoes::new(Some(PACE)), Times(Instant::now()));
    let a = track("a");
    echoes.passed(&a, version(1));
    assert_eq!((echoes.next_look(times.at(0)), echoes.look(times.at(0), true)), (None, None));
    echoes.sent(&a, version(2));
    echoes.passed(&a, version(3));
    let ping = echoes.look(times.at(0), false).unwrap();
    assert_eq!(named(&echoes.echoed(ping.bytes())), [("a", 3)]);
}

#[test]
fn who_is_slow_to_echo_is_sent_few_pings_and_none_of_them_is_forgotten() {
    let (mut echoes, times) = (Echoes::new(Some(PACE)), Times(Instant::now()));
    let a = track("a");
    let mut now = 0;
    let mut step = |echoes: &mut Echoes, n| {
        echoes.sent(&a, version(n));
        let due = echoes.next_look(times.at(now)).unwrap();
        let waited = due.saturating_duration_since(times.at(now));
        now += waited.as_millis() as u64;
        (waited, echoes.look(due, false).unwrap())
    };
    let (_, first) = step(&mut echoes, 1);
    echoes.echoed(first.bytes());
    let mut pings = Vec::new();
    for n in 2..=MOST_PINGS as u64 + 1 {
        let (waited, ping) = step(&mut echoes, n);
        assert_eq!(waited, PACE);
        pings.push(ping);
    }
    for n in 100..110 {
        let (waited, ping) = step(&mut echoes, n);
        assert_eq!(waited, PACE_UNANSWERED);
        pings.push(ping);
        assert_eq!(echoes.pinged.len(), MOST_PINGS);
    }
    assert_eq!(named(&echoes.echoed(pings[0].bytes())), [("a", 2)]);
    assert_eq!(named(&echoes.echoed(pings[62].bytes())).last(), Some(&("a", 64)));
    assert!(echoes.echoed(pings[70].bytes()).is_empty(), "that one gave way to those behind it");
    assert_eq!(named(&echoes.echoed(pings.last().unwrap().bytes())), [("a", 109)]);
    assert_eq!((echoes.noted, echoes.pinged.len()), (0, 0));
}

/// Nobody counts the subscriptions that a client begins and ends, so what is noted of those must not grow with them.
#[test]
fn who_subscribes_and_leaves_over_and_over_again_leaves_nothing_behind() {
    for echoes_once in [true, false] {
        let (mut echoes, times) = (Echoes::new(Some(PACE)), Times(Instant::now()));
        let mut kept = track("kept");
        for n in 1..=50_000 {
            let brief = track("brief");
            echoes.sent(&brief, version(n));
            echoes.sent(&kept, version(n));
            brief.end();
            if n % 2500 == 0 {
                kept.end();
                kept = track("kept");
            }
            if n % 500 == 0
                && let Some(ping) = echoes.look(times.at(n * 10), true)
                && echoes_once
                && n == 500
            {
                echoes.echoed(ping.bytes());
            }
            let noted: usize = echoes.pinged.iter().map(|ping| ping.tracks.len()).sum();
            assert_eq!(noted, echoes.noted);
            assert!(
                echoes.open.len() <= MOST_OPEN + 1 && noted <= MOST_PINGS,
                "{} {noted}",
                echoes.open.len()
            );
        }
    }
}

#[test]
fn who_never_echoes_has_received_what_left_long_before_it_was_last_heard() {
    for can_ping in [true, false] {
        let (mut echoes, times) = (Echoes::new(can_ping.then_some(PACE)), Times(Instant::now()));
        let a = track("a");
        // An event each second for ten minutes; what is due is looked at.
        let mut look = None;
        for second in 0..600 {
            let now = times.at(second * 1000);
            echoes.sent(&a, version(second + 1));
            if look.is_none_or(|look| look <= now) {
                let ping = echoes.look(now, true);
                assert!(can_ping || ping.is_none());
                look = echoes.next_look(now);
            }
            assert!(echoes.pinged.len() <= MOST_PINGS);
        }
        let last_heard = times.at(590_000);
        let received = named(&echoes.taken_as_received(last_heard)).last().unwrap().1;
        assert!((525..=531).contains(&received), "{received}: up to a minute before, and not much less");
        let mut blocked = Echoes::new(can_ping.then_some(PACE));
        blocked.sent(&a, version(1));
        blocked.look(times.at(0), false);
        for second in [2, 4, 90] {
            let now = times.at(second * 1000);
            blocked.look(now, false);
            assert_eq!(
                blocked.next_look(now),
                Some(now + PACE_UNECHOED),
                "and is not looked at all the time"
            );
        }
        assert!(blocked.taken_as_received(times.at(100_000)).is_empty(), "it never left this node");
    }
}

#[test]
fn who_has_echoed_once_is_not_judged_by_the_time() {
    let (mut echoes, times) = (Echoes::new(Some(PACE)), Times(Instant::now()));
    let a = track("a");
    echoes.sent(&a, version(1));
    let ping = echoes.look(times.at(0), true).unwrap();
    echoes.echoed(ping.bytes());
    echoes.sent(&a, version(2));
    echoes.look(times.at(200), true).unwrap();
    assert_eq!(echoes.next_look(times.at(300)), None, "nobody needs to know when it has left");
    assert!(echoes.taken_as_received(times.at(900_000)).is_empty());
}

/// One thing that happens on a line that keeps its order and ends somewhere.
#[derive(Clone, Debug)]
enum Happening {
    Send(usize),
    Own(usize),
    /// So many milliseconds pass, and what is due is looked at.
    Wait(u64),
    /// The peer reads so many of the frames that were sent, and answers some of their pings.
    Read(usize, Vec<bool>),
    /// Of the answers under way, so many come.
    Answer(usize),
    /// A pong that nobody asked for.
    Forge(Vec<u8>),
    /// An answer that has come comes once more.
    Repeat(usize),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => (0..4_usize).prop_map(Happening::Send),
        1 => (0..4_usize).prop_map(Happening::Own),
        4 => (0..3000_u64).prop_map(Happening::Wait),
        3 => (0..40_usize, prop::collection::vec(any::<bool>(), 1..8))
            .prop_map(|(count, which)| Happening::Read(count, which)),
        3 => (0..10_usize).prop_map(Happening::Answer),
        1 => prop_oneof![
            prop::collection::vec(any::<u8>(), 0..20),
            (0..1000_u64).prop_map(|n| Payload::of(n + 1_000_000).bytes().to_vec()),
        ]
        .prop_map(Happening::Forge),
        1 => (0..10_usize).prop_map(Happening::Repeat),
    ]
}

/// What goes over the line.
#[derive(Clone, Debug)]
enum OnLine {
    Event(usize, u64),
    Ping(Vec<u8>),
}

proptest! {
    #![proptest_config(Config { cases: 500, ..Config::default() })]

    #[test]
    fn nothing_counts_as_received_that_the_peer_has_not_read(
        happenings in prop::collection::vec(happening(), 1..300)
    ) {
        let tracks: Vec<_> = (0..4).map(|n| track(&format!("c{n}"))).collect();
        let (mut echoes, times, mut now) = (Echoes::new(Some(PACE)), Times(Instant::now()), 0);
        let (mut line, mut read, mut answers, mut came) = (Vec::new(), 0, Vec::new(), Vec::new());
        let mut last = 0;
        // What the peer has read, what it did not need to, and what counts as received.
        let mut has: HashMap<usize, u64> = HashMap::new();
        let mut received: HashMap<String, u64> = HashMap::new();
        let mut own: Vec<(usize, u64)> = Vec::new();
        for happening in happenings {
            let mut echoed = Vec::new();
            match happening {
                Happening::Send(n) => {
                    last += 1;
                    echoes.sent(&tracks[n], version(last));
                    line.push(OnLine::Event(n, last));
                }
                Happening::Own(n) => {
                    last += 1;
                    echoes.passed(&tracks[n], version(last));
                    own.push((n, last));
                }
                Happening::Wait(milliseconds) => {
                    now += milliseconds;
                    if let Some(ping) = echoes.look(times.at(now), true) {
                        line.push(OnLine::Ping(ping.bytes().to_vec()));
                    }
                }
                Happening::Read(count, which) => {
                    let until = line.len().min(read + count);
                    for (frame, answers_it) in line[read..until].iter().zip(which.iter().cycle()) {
                        match frame {
                            OnLine::Event(n, version) => { has.insert(*n, *version); }
                            OnLine::Ping(payload) if *answers_it => answers.push(payload.clone()),
                            OnLine::Ping(_) => {}
                        }
                    }
                    read = until;
                }
                Happening::Answer(count) => {
                    let count = count.min(answers.len());
                    echoed.extend(answers.drain(..count));
                }
                Happening::Forge(payload) => {
                    // What happens to be a number that was sent is no forgery that anybody could tell.
                    let genuine = line.iter().any(|frame| matches!(frame, OnLine::Ping(p) if *p == payload));
                    if !genuine {
                        prop_assert!(echoes.echoed(&payload).is_empty());
                    }
                }
                Happening::Repeat(n) => echoed.extend(came.get(n).cloned()),
            }
            for payload in echoed {
                for (track, version) in echoes.echoed(&payload) {
                    let entry = received.entry(track.channel.as_str().to_owned()).or_default();
                    *entry = (*entry).max(version.number());
                }
                came.push(payload);
            }
            prop_assert!(echoes.pinged.len() <= MOST_PINGS && echoes.noted <= 4 * (MOST_PINGS + 1));
            for (n, track) in tracks.iter().enumerate() {
                let Some(received) = received.get(track.channel.as_str()) else { continue };
                let unread = line[read..].iter().find_map(|frame| match frame {
                    OnLine::Event(of, version) if *of == n => Some(*version),
                    _ => None,
                });
                prop_assert!(unread.is_none_or(|unread| unread > *received), "{received} was not read");
            }
        }
        // In the end everything can be read, and if it is answered, everything counts.
        for frame in &line[read..] {
            if let OnLine::Ping(payload) = frame { answers.push(payload.clone()); }
        }
        let mut rest = answers;
        now += 10_000;
        let more = echoes.look(times.at(now), true);
        rest.extend(more.map(|ping| ping.bytes().to_vec()));
        if let Some(payload) = rest.last() {
            echoes.echoed(payload);
        }
        if more.is_some() {
            prop_assert_eq!((echoes.pinged.len(), echoes.noted), (0, 0));
        }
    }
}

/// One thing that happens to a connection, wherever its line ends.
#[derive(Clone, Debug)]
enum EchoTurn {
    Send(usize),
    Own(usize),
    /// Another subscription takes the place of one.
    Leave(usize),
    /// So many milliseconds pass, and it is looked at; whether all has left.
    Look(u64, bool),
    /// The echo of a ping of late comes.
    Echo(u64),
    /// It is heard otherwise.
    Hear,
}

fn turn() -> impl Strategy<Value = EchoTurn> {
    prop_oneof![
        8 => (0..3_usize).prop_map(EchoTurn::Send),
        2 => (0..3_usize).prop_map(EchoTurn::Own),
        1 => (0..3_usize).prop_map(EchoTurn::Leave),
        4 => (0..3000_u64, any::<bool>()).prop_map(|(ms, left)| EchoTurn::Look(ms, left)),
        1 => (0..70_u64).prop_map(EchoTurn::Echo),
        1 => Just(EchoTurn::Hear),
    ]
}

/// What is known of a connection's subscriptions, and the shortcut that its worker takes, or does not.
struct FollowedConnection {
    echoes: Echoes,
    tracks: Vec<Rc<Track>>,
    is_short: bool,
}

impl FollowedConnection {
    fn new(is_short: bool) -> Self {
        let tracks = (0..3).map(|n| track(&format!("c{n}"))).collect();
        FollowedConnection { echoes: Echoes::new(Some(PACE)), tracks, is_short }
    }

    /// Returns what is seen of it from outside.
    fn turn(&mut self, turn: &EchoTurn, last: u64, now: Instant) -> String {
        let FollowedConnection { echoes, tracks, is_short } = self;
        let goes_on = |track: &Rc<Track>| *is_short && track.goes_on(version(last));
        let received = match turn {
            EchoTurn::Send(n) | EchoTurn::Own(n) if goes_on(&tracks[*n]) => Vec::new(),
            EchoTurn::Send(n) => {
                echoes.sent(&tracks[*n], version(last));
                Vec::new()
            }
            EchoTurn::Own(n) => {
                echoes.passed(&tracks[*n], version(last));
                Vec::new()
            }
            EchoTurn::Leave(n) => {
                tracks[*n].end();
                tracks[*n] = track(&format!("c{n}"));
                Vec::new()
            }
            EchoTurn::Look(_, has_left) => {
                let ping = echoes.look(now, *has_left);
                return format!("{ping:?} {:?}", echoes.next_look(now));
            }
            EchoTurn::Echo(ago) => echoes.echoed(Payload::of(echoes.last.saturating_sub(*ago)).bytes()),
            EchoTurn::Hear => echoes.taken_as_received(now),
        };
        format!("{:?} {:?}", named(&received), echoes.next_look(now))
    }
}

proptest! {
    #![proptest_config(Config { cases: 300, ..Config::default() })]

    /// The shortcut notes what is noted without it.
    #[test]
    fn a_track_that_goes_on_is_known_as_if_each_event_of_it_were_noted(
        turns in prop::collection::vec(turn(), 1..300)
    ) {
        let (mut short, mut long) = (FollowedConnection::new(true), FollowedConnection::new(false));
        let (times, mut now) = (Times(Instant::now()), 0);
        for (last, turn) in (1..).zip(&turns) {
            if let EchoTurn::Look(milliseconds, _) = turn {
                now += milliseconds;
            }
            let seen = short.turn(turn, last, times.at(now));
            prop_assert_eq!(seen, long.turn(turn, last, times.at(now)), "{:?}", turn);
        }
    }
}
