//! Histories that follow a stream, step by step, and over random steps beside a model that forgets nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::channel::history::{HistoryStart, PageTerms};
use crate::channel::{HistoryPosition, Replay, ReplayTerms, Wanted};
use crate::protocol::json::Data;
use crate::protocol::{ChannelName, SocketId, server_message};

/// The node's run, and the engine.
const RUN: u64 = 7;
const ENGINE: u64 = 8;

const BOUNDS: HistoryBounds = HistoryBounds { events: 1000, bytes: 1 << 20, time: Duration::from_secs(300) };

fn frame(id: u64) -> Frame {
    let channel = ChannelName::parse("c", 164).unwrap();
    server_message::channel_event("e", &Data::of_text(&format!("{id:06}")), &channel, None)
}

fn version(number: u64) -> ChannelVersion {
    ChannelVersion::new(number)
}

fn numbered(number: u64) -> StreamNumber {
    StreamNumber { epoch: ENGINE, number }
}

/// So many get no number.
fn lost_numbers(count: usize) -> LostNumbers {
    LostNumbers { count, ..LostNumbers::default() }
}

/// An event that is called by its version.
fn event(id: u64, at: Instant) -> KeptEvent {
    KeptEvent { version: version(id), number: None, at, time_ms: 0, frame: frame(id), except: None }
}

fn terms(until: u64, now: Instant) -> ReplayTerms {
    ReplayTerms {
        epoch: RUN,
        engine: Some(ENGINE),
        version: version(until),
        socket: SocketId::new(1, 1),
        now,
        room: usize::MAX,
    }
}

fn since(epoch: u64, number: u64) -> Wanted {
    Wanted::Since { position: HistoryPosition { epoch, number }, own: Vec::new() }
}

fn id_of(frame: &Frame) -> u64 {
    let text = std::str::from_utf8(frame.json()).unwrap();
    text.split("\"data\":\"").nth(1).unwrap()[..6].parse().unwrap()
}

fn ids(replay: &Replay) -> Vec<u64> {
    replay.events.iter().map(|event| id_of(&event.frame)).collect()
}

/// 2 is number 100; 3 was delivered while the engine was away; 4 and 5 are 101 and 102; then 3 has become 103.
fn of_two_orders(start: Instant) -> History {
    let mut history = History::beginning(LostEvent { version: version(1), at: start });
    history.push_numbered(event(2, start), numbered(100), &BOUNDS);
    history.push(event(3, start), &BOUNDS);
    history.push_numbered(event(4, start), numbered(101), &BOUNDS);
    history.push_numbered(event(5, start), numbered(102), &BOUNDS);
    assert!(history.number(&frame(3), numbered(103)));
    history
}

#[test]
fn a_place_of_the_engine_is_as_good_as_one_of_the_node() {
    let start = Instant::now();
    let mut history = History::beginning(LostEvent { version: version(1), at: start });
    history.reach(numbered(90));
    for (id, number) in [(2, 100), (3, 110), (4, 120)] {
        history.push_numbered(event(id, start), numbered(number), &BOUNDS);
    }
    let sent = |history: &History, wanted: &Wanted| {
        let replay = history.replay(wanted, &terms(9, start)).unwrap();
        (replay.complete, ids(&replay))
    };
    for (number, expected) in [(90, &[2, 3, 4][..]), (99, &[2, 3, 4]), (100, &[3, 4]), (120, &[]), (500, &[])]
    {
        assert_eq!(sent(&history, &since(ENGINE, number)), (true, expected.to_vec()), "{number}");
    }
    assert_eq!(sent(&history, &since(ENGINE, 89)), (false, vec![]), "something may have been before");
    assert_eq!(sent(&history, &since(ENGINE + 1, 110)), (false, vec![]), "another engine");
    assert_eq!(sent(&history, &since(RUN, 2)), (true, vec![3, 4]));
    history.make_room(1, None, LossReason::App);
    assert_eq!(sent(&history, &since(ENGINE, 99)), (false, vec![]));
    assert_eq!(sent(&history, &since(ENGINE, 100)), (true, vec![3, 4]));
    assert_eq!((history.reached(ENGINE), history.reached(ENGINE + 1)), (Some(120), None));
    let dropped = history.break_off(LostEvent { version: version(8), at: start });
    assert_eq!(dropped.events[LossReason::Gap as usize], 2);
    assert_eq!((history.reached(ENGINE), history.number_of(version(8))), (None, None));
    for wanted in [since(ENGINE, 120), since(RUN, 7)] {
        assert_eq!(sent(&history, &wanted), (false, vec![]), "{wanted:?}");
    }
    history.push_numbered(event(10, start), numbered(200), &BOUNDS);
    let replay = |wanted| history.replay(&wanted, &terms(11, start)).unwrap();
    assert!(!replay(since(ENGINE, 120)).complete, "nobody knows what was between");
    assert_eq!(ids(&replay(since(ENGINE, 199))), [10]);
    assert_eq!(ids(&replay(since(RUN, 8))), [10]);
}

#[test]
fn what_the_engine_had_later_stands_behind_in_its_order_and_not_in_that_of_the_node() {
    let start = Instant::now();
    let history = of_two_orders(start);
    let sent = |wanted: &Wanted| ids(&history.replay(wanted, &terms(9, start)).unwrap());
    assert_eq!(sent(&since(RUN, 1)), [2, 3, 4, 5], "as they were delivered");
    assert_eq!(sent(&since(RUN, 3)), [4, 5]);
    assert_eq!(sent(&since(ENGINE, 99)), [2, 4, 5, 3]);
    assert_eq!(sent(&since(ENGINE, 101)), [5, 3]);
    let number = |of| history.number_of(version(of)).map(|(of_engine, is_all)| (of_engine.number, is_all));
    assert_eq!(number(3), Some((100, false)), "who has 3 lacks 4, which is before it");
    assert_eq!((number(4), number(5)), (Some((101, false)), Some((103, true))));
    assert_eq!(number(0), None, "that is lost");
    // Who breaks off in the middle of a replay goes on behind the last place.
    for wanted in [since(RUN, 1), since(ENGINE, 99)] {
        let replay = history.replay(&wanted, &terms(9, start)).unwrap();
        for cut in 0..replay.events.len() {
            let HistoryPosition { epoch, number } = replay.events[cut].place;
            let mut has: BTreeSet<u64> = ids(&replay)[..=cut].iter().copied().collect();
            has.extend(sent(&since(epoch, number)));
            assert_eq!(has, BTreeSet::from([2, 3, 4, 5]), "{wanted:?} {cut}");
        }
    }
}

#[test]
fn pages_are_in_the_order_of_the_engine_and_each_goes_on_behind_the_one_before() {
    let start = Instant::now();
    let mut history = of_two_orders(start);
    history.push(event(6, start), &BOUNDS);
    let terms = PageTerms {
        epoch: RUN,
        engine: Some(ENGINE),
        newest: version(6),
        start: version(1),
        now: start + Duration::from_secs(1),
        time: Duration::from_secs(300),
        most: (2, usize::MAX),
    };
    let (mut start_at, mut read) = (HistoryStart::Oldest, Vec::new());
    loop {
        let page = history.page(start_at, &terms);
        read.extend(page.events.iter().map(|(_, event)| id_of(&event.frame)));
        assert_eq!(page.complete, start_at != HistoryStart::Oldest, "what was before the first is not known");
        let Some((place, _)) = page.events.last().filter(|_| page.has_more) else { break };
        start_at = HistoryStart::Behind(*place);
    }
    assert_eq!(read, [2, 4, 5, 3, 6], "what has no number is behind all");
    let later = PageTerms { now: start + Duration::from_secs(300), ..terms };
    assert!(history.page(HistoryStart::Oldest, &later).complete, "it would be too old to be kept");
}

#[test]
fn the_smallest_number_is_one_too() {
    let start = Instant::now();
    let mut history = History::beginning(LostEvent { version: version(1), at: start });
    history.push(event(2, start), &BOUNDS);
    history.push_numbered(event(3, start), numbered(0), &BOUNDS);
    assert_eq!(ids(&history.replay(&since(RUN, 1), &terms(9, start)).unwrap()), [2, 3]);
}

#[test]
fn the_same_event_twice_gets_each_number_once() {
    let start = Instant::now();
    let mut history = History::beginning(LostEvent { version: version(1), at: start });
    for id in [2, 3] {
        history.push(KeptEvent { frame: frame(9), ..event(id, start) }, &BOUNDS);
    }
    assert!(history.number(&frame(9), numbered(100)) && history.number(&frame(9), numbered(101)));
    assert!(!history.number(&frame(9), numbered(102)) && !history.number(&frame(8), numbered(102)));
    assert_eq!(history.reached(ENGINE), Some(101));
    assert_eq!(history.number_of(version(2)).unwrap().0.number, 100);
}

#[test]
fn an_event_that_had_to_go_before_it_had_a_number_is_missed_until_it_has() {
    let start = Instant::now();
    let mut history = History::beginning(LostEvent { version: version(1), at: start });
    history.push_numbered(event(2, start), numbered(100), &BOUNDS);
    history.push(event(3, start), &BOUNDS);
    history.push_numbered(event(4, start), numbered(101), &BOUNDS);
    let complete = |history: &History, number| {
        history.replay(&since(ENGINE, number), &terms(9, start)).unwrap().complete
    };
    history.make_room(2 * event(1, start).bytes(), None, LossReason::App);
    assert!(!complete(&history, 101) && !complete(&history, 500), "it may be behind any of these");
    assert!(history.replay(&since(RUN, 3), &terms(9, start)).unwrap().complete);
    assert!(history.number(&frame(3), numbered(103)), "it has been delivered");
    assert!(!complete(&history, 102) && complete(&history, 103));
    assert!(!history.number(&frame(3), numbered(104)), "there was no other one");
}

#[test]
fn an_event_without_a_number_is_missed_until_it_has_one_behind_a_gap_too() {
    let start = Instant::now();
    let lost = |of| LostEvent { version: version(of), at: start };
    let of_two = || {
        let mut history = History::beginning(lost(1));
        history.push_numbered(event(2, start), numbered(100), &BOUNDS);
        history.push(event(3, start), &BOUNDS);
        history.push(event(4, start), &BOUNDS);
        history.break_off(lost(5));
        history
    };
    let complete = |history: &History, number| {
        history.replay(&since(ENGINE, number), &terms(9, start)).unwrap().complete
    };
    let mut history = of_two();
    assert!(history.number(&frame(3), numbered(200)), "it has been delivered");
    assert_eq!(history.reached(ENGINE), Some(200));
    assert!(!complete(&history, 200), "the other one may be behind it");
    assert!(history.number(&frame(4), numbered(201)));
    assert!(!complete(&history, 200) && complete(&history, 201));
    assert!(!history.number(&frame(4), numbered(202)), "there was no other one");
    // When they are too old, the engine is not given them any more, which its stream says.
    let mut history = of_two();
    history.push_numbered(event(6, start + Duration::from_secs(1)), numbered(200), &BOUNDS);
    for seconds in [0, 1, 2] {
        history.keep_within(&BOUNDS, start + BOUNDS.time + Duration::from_secs(seconds));
        assert!(!complete(&history, 200) && !complete(&history, 300), "whoever has any number lacks them");
    }
    history.lose_unnumbered(numbered(210), lost_numbers(2), |_| false);
    assert!(!complete(&history, 209) && complete(&history, 210));
}

#[test]
fn of_events_too_old_to_get_a_number_everybody_elsewhere_lacks_each() {
    let start = Instant::now();
    let later = |more: u64| start + BOUNDS.time + Duration::from_secs(more);
    let mut history = History::beginning(LostEvent { version: version(1), at: start });
    history.push_numbered(event(2, start), numbered(100), &BOUNDS);
    for (id, at) in [(3, start), (4, later(1)), (5, later(2)), (6, later(3))] {
        history.push(event(id, at), &BOUNDS);
    }
    let complete = |history: &History, number| {
        history.replay(&since(ENGINE, number), &terms(9, later(3))).unwrap().complete
    };
    assert!(!complete(&history, 100) && !complete(&history, 500), "one of them is gone");
    // Of words that were said before it was too old it is not known whether they mean that one.
    let unknown = LostNumbers { may_be_more: true, ..LostNumbers::default() };
    history.lose_unnumbered(numbered(600), unknown, |_| false);
    assert!(!complete(&history, 600));
    let settled = LostNumbers { settled_until: Some(start), ..LostNumbers::default() };
    history.lose_unnumbered(numbered(700), settled, |_| false);
    assert!(!complete(&history, 699) && complete(&history, 700));
}

#[test]
fn what_is_lost_and_was_never_here_is_missing_before_the_word_that_says_so() {
    let start = Instant::now();
    for lost in [lost_numbers(1), LostNumbers { may_be_more: true, ..LostNumbers::default() }] {
        let mut history = History::beginning(LostEvent { version: version(1), at: start });
        history.push_numbered(event(2, start), numbered(100), &BOUNDS);
        history.lose_unnumbered(numbered(110), lost, |_| false);
        let complete = |number| history.replay(&since(ENGINE, number), &terms(9, start)).unwrap().complete;
        assert!(!complete(109) && complete(110));
    }
}

#[test]
fn events_that_get_no_number_stand_before_the_word_that_says_so() {
    let start = Instant::now();
    let of_three = || {
        let mut history = History::beginning(LostEvent { version: version(1), at: start });
        history.push_numbered(event(2, start), numbered(100), &BOUNDS);
        for id in [3, 4, 5] {
            history.push(event(id, start), &BOUNDS);
        }
        history.push_numbered(event(6, start), numbered(110), &BOUNDS);
        history
    };
    let sent = |history: &History, number| {
        let replay = history.replay(&since(ENGINE, number), &terms(9, start)).unwrap();
        (replay.complete, ids(&replay))
    };
    let mut history = of_three();
    assert_eq!(sent(&history, 110), (true, vec![3, 4, 5]));
    history.lose_unnumbered(numbered(120), lost_numbers(2), |lost| [3, 4].contains(&id_of(lost)));
    assert_eq!(sent(&history, 110), (true, vec![3, 4, 5]));
    assert_eq!(sent(&history, 118), (true, vec![4, 5]));
    assert_eq!(sent(&history, 120), (true, vec![5]), "that one will have a number");
    assert_eq!(history.reached(ENGINE), Some(120));
    // They have had to go.
    let mut history = of_three();
    history.make_room(3 * event(1, start).bytes(), None, LossReason::App);
    assert_eq!(sent(&history, 300), (false, vec![]));
    history.lose_unnumbered(numbered(120), lost_numbers(2), |lost| [3, 4].contains(&id_of(lost)));
    assert_eq!((sent(&history, 119), sent(&history, 120)), ((false, vec![]), (true, vec![5])));
    // There are not numbers for all.
    let mut history = of_three();
    history.lose_unnumbered(numbered(112), lost_numbers(3), |_| true);
    assert_eq!((sent(&history, 110), sent(&history, 112)), ((true, vec![5, 3, 4]), (true, vec![3, 4])));
    // Nothing is known of the stream.
    let mut history = of_three();
    history.break_off(LostEvent { version: version(7), at: start });
    history.lose_unnumbered(numbered(120), lost_numbers(3), |_| true);
    assert_eq!((sent(&history, 119), sent(&history, 120)), ((false, vec![]), (true, vec![])));
}

#[derive(Clone, Debug)]
enum StreamStep {
    /// An event of another node, which comes at once.
    Hear,
    /// One that does not come, nor those behind it until the next one is heard.
    Miss,
    /// One of this node, while the engine is away.
    SayAlone,
    /// The engine takes the first of those.
    HandIn,
    /// Instead, it is told that so many of them are lost.
    Lose(usize),
    MakeRoom(usize),
    /// All that is kept becomes too old, and what the engine has not taken is not given to it any more.
    Wait,
    /// Somebody comes who has everything of the stream up to so far behind its end.
    Ask(u64),
    /// Somebody leaves who has everything up to so many versions ago.
    Export(u64),
}

fn stream_steps() -> impl Strategy<Value = Vec<StreamStep>> {
    let step = prop_oneof![
        6 => Just(StreamStep::Hear),
        1 => Just(StreamStep::Miss),
        3 => Just(StreamStep::SayAlone),
        4 => Just(StreamStep::HandIn),
        1 => (1..4usize).prop_map(StreamStep::Lose),
        1 => (1..4usize).prop_map(StreamStep::MakeRoom),
        1 => Just(StreamStep::Wait),
        5 => (0..12u64).prop_map(StreamStep::Ask),
        5 => (0..8u64).prop_map(StreamStep::Export),
    ];
    proptest::collection::vec(step, 1..80)
}

/// A history, the stream that it follows, and everything that was ever delivered here.
struct FollowedStream {
    now: Instant,
    history: History,
    last_version: u64,
    /// Numbers and the events that they are of.
    stream: BTreeMap<u64, u64>,
    missed_something: bool,
    /// Events without a number, the first one first.
    alone: VecDeque<u64>,
    /// Those that were too old for one before.
    old: Vec<u64>,
    /// Versions and the events that were delivered with them.
    delivered: BTreeMap<u64, u64>,
}

impl FollowedStream {
    fn new() -> Self {
        let start = Instant::now();
        let mut history = History::beginning(LostEvent { version: version(1), at: start });
        history.reach(numbered(10));
        FollowedStream {
            now: start,
            history,
            last_version: 1,
            stream: BTreeMap::new(),
            missed_something: false,
            alone: VecDeque::new(),
            old: Vec::new(),
            delivered: BTreeMap::new(),
        }
    }

    fn append(&mut self, id: u64) -> u64 {
        let number = self.stream.last_key_value().map_or(10, |(last, _)| *last) + 10;
        self.stream.insert(number, id);
        number
    }

    fn deliver(&mut self, id: u64, number: Option<u64>) {
        self.last_version += 1;
        let kept = KeptEvent { frame: frame(id), ..event(self.last_version, self.now) };
        self.delivered.insert(self.last_version, id);
        match number {
            Some(number) => self.history.push_numbered(kept, numbered(number), &BOUNDS),
            None => self.history.push(kept, &BOUNDS),
        };
    }

    /// The next event of the stream comes here.
    fn hear(&mut self, id: u64, number: u64) {
        self.break_off_if_missed();
        self.deliver(id, Some(number));
    }

    fn break_off_if_missed(&mut self) {
        if std::mem::take(&mut self.missed_something) {
            self.last_version += 1;
            self.history.break_off(LostEvent { version: version(self.last_version), at: self.now });
        }
    }

    /// The engine is told that so many of those that have no number are lost, and all that are too old for one.
    fn lose(&mut self, count: usize) {
        let old = std::mem::take(&mut self.old);
        let count = count.min(self.alone.len());
        let lost: BTreeSet<u64> = old.into_iter().chain(self.alone.drain(..count)).collect();
        if lost.is_empty() {
            return;
        }
        self.break_off_if_missed();
        let last = self.stream.last_key_value().map_or(10, |(last, _)| *last);
        let marker = last + 10 + lost.len() as u64;
        self.stream.extend((marker - lost.len() as u64..).zip(lost.iter().copied()));
        // Of those that are here it is known which ones they are.
        let is_here = |event: &KeptEvent| event.number.is_none() && lost.contains(&id_of(&event.frame));
        let is_known = self.history.events.iter().any(is_here);
        let settled_until = self.now.checked_sub(BOUNDS.time);
        let count = if is_known { lost.len() } else { 0 };
        let numbers = LostNumbers { count, may_be_more: !is_known, settled_until };
        self.history.lose_unnumbered(numbered(marker), numbers, |frame| lost.contains(&id_of(frame)));
        if !is_known {
            // Then that is known of the last word of several.
            let numbers = LostNumbers { count: lost.len(), ..numbers };
            self.history.lose_unnumbered(numbered(marker), numbers, |_| false);
        }
    }

    fn happen(&mut self, step: &StreamStep, id: u64) {
        match *step {
            StreamStep::Hear => {
                let number = self.append(id);
                self.hear(id, number);
            }
            StreamStep::Miss => {
                self.append(id);
                self.missed_something = true;
            }
            StreamStep::SayAlone => {
                self.alone.push_back(id);
                self.deliver(id, None);
            }
            StreamStep::HandIn => {
                if !self.old.is_empty() {
                    return self.lose(0);
                }
                let Some(id) = self.alone.pop_front() else { return };
                let number = self.append(id);
                self.break_off_if_missed();
                assert!(self.history.number(&frame(id), numbered(number)), "it was delivered");
            }
            StreamStep::Lose(count) => self.lose(count),
            StreamStep::Wait => {
                self.now += BOUNDS.time + Duration::from_secs(1);
                self.old.extend(self.alone.drain(..));
                self.history.keep_within(&BOUNDS, self.now);
            }
            StreamStep::MakeRoom(events) => {
                let bytes = events * event(1, self.now).bytes();
                self.history.make_room(bytes, None, LossReason::App);
            }
            StreamStep::Ask(back) => self.ask(back),
            StreamStep::Export(back) => self.export(back),
        }
    }

    /// What somebody is sent who is told that nothing is missing is what has come, and is behind its place. What has not come
    /// is delivered later.
    fn ask(&mut self, back: u64) {
        let end = self.stream.last_key_value().map_or(10, |(last, _)| *last);
        let behind = end.saturating_sub(10 * back).max(1);
        self.last_version += 1;
        let terms = terms(self.last_version, self.now);
        let replay = self.history.replay(&since(ENGINE, behind), &terms).unwrap();
        self.translate(behind, &terms, &replay);
        if !replay.complete {
            assert!(replay.events.is_empty());
            return;
        }
        let reached = self.history.reached(ENGINE).unwrap();
        let come = self.stream.range(behind + 1..).filter(|(number, _)| **number <= reached);
        let mut expected: Vec<u64> = come.map(|(_, id)| *id).collect();
        let got = ids(&replay);
        // Whoever comes from elsewhere has none of these.
        expected.extend(self.old.iter().chain(&self.alone));
        assert_eq!(got, expected, "behind {behind}, reached {reached}");
    }

    /// A version that stands for a place of the stream is as good as that: nobody is told more by it, and nothing is passed over.
    fn translate(&self, number: u64, terms: &ReplayTerms, replay: &Replay) {
        let version = self.history.version_of(HistoryPosition { epoch: ENGINE, number });
        assert_eq!(version.is_some(), replay.complete, "behind {number}");
        let Some(version) = version else { return };
        let translated = self.history.replay(&since(RUN, version.number()), terms).unwrap();
        assert!(translated.complete);
        let got: BTreeSet<u64> = ids(&translated).into_iter().collect();
        assert!(ids(replay).iter().all(|id| got.contains(id)), "behind {number}, as {version:?}");
        if self.history.stream.is_some_and(|stream| !stream.is_mixed) {
            assert_eq!(got.len(), replay.events.len(), "nothing comes twice");
        }
    }

    /// Whoever has everything that was delivered up to a version has everything up to the number that it is put into.
    fn export(&mut self, back: u64) {
        let until = self.last_version.saturating_sub(back);
        let Some((StreamNumber { number, .. }, _)) = self.history.number_of(version(until)) else { return };
        let lost = self.history.lost().version.number();
        let has: BTreeSet<u64> = self.delivered.range(..=until).map(|(_, id)| *id).collect();
        let before = self.delivered.range(..=lost).map(|(_, id)| *id).collect::<BTreeSet<_>>();
        for (of_event, id) in self.stream.range(..=number) {
            let was_lost = self.history.stream.is_some_and(|stream| *of_event <= stream.floor);
            assert!(
                has.contains(id) || before.contains(id) || was_lost,
                "{of_event} is not there at {number}"
            );
        }
    }
}

proptest! {
    #[test]
    fn places_of_the_engine_and_what_is_told_are_never_in_contradiction(steps in stream_steps()) {
        let mut world = FollowedStream::new();
        for (id, step) in (1..).zip(&steps) {
            world.happen(step, id);
        }
    }
}
