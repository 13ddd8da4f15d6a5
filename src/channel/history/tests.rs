//! Histories step by step, and over random steps beside a model that forgets nothing.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::reading::MOST_REPLAYED;
use super::*;
use crate::channel::{HistoryPosition, Replay, ReplayTerms, ReplayedEvent, Wanted};
use crate::protocol::json::Data;
use crate::protocol::{ChannelName, Rewind, server_message};

const EPOCH: u64 = 7;

fn frame(number: u64) -> Frame {
    let channel = ChannelName::parse("c", 164).unwrap();
    server_message::channel_event("e", &Data::of_text(&format!("{number:06}")), &channel, None)
}

/// What an event counts as.
fn event_bytes() -> usize {
    frame(0).websocket().len() + HistoryBounds::EVENT_BYTES
}

fn version(number: u64) -> ChannelVersion {
    ChannelVersion::new(number)
}

fn socket(n: u32) -> SocketId {
    SocketId::new(n, 1)
}

fn beginning(start: Instant) -> History {
    History::beginning(LostEvent { version: version(1), at: start })
}

fn event(number: u64, at: Instant, except: Option<SocketId>) -> KeptEvent {
    KeptEvent { version: version(number), number: None, at, time_ms: 0, frame: frame(number), except }
}

fn since(number: u64) -> Wanted {
    Wanted::Since { position: HistoryPosition { epoch: EPOCH, number }, own: Vec::new() }
}

fn terms(number: u64, now: Instant) -> ReplayTerms {
    ReplayTerms {
        epoch: EPOCH,
        engine: None,
        version: version(number),
        socket: socket(99),
        now,
        room: usize::MAX,
    }
}

fn numbers(replay: &Replay) -> Vec<u64> {
    let number = |event: &ReplayedEvent| {
        let text = std::str::from_utf8(event.frame.json()).unwrap();
        let digits = text.split("\"data\":\"").nth(1).unwrap();
        digits[..6].parse().unwrap()
    };
    replay.events.iter().map(number).collect()
}

/// A history of the events 10, 20, 30, 40 of four seconds.
fn of_four(start: Instant) -> History {
    let mut history = beginning(start);
    for n in 1..=4 {
        let at = start + Duration::from_secs(n);
        assert_eq!(history.push(event(10 * n, at, None), &HistoryBounds::default()), Dropped::default());
    }
    history
}

#[test]
fn who_comes_back_is_sent_what_came_behind_its_place() {
    let start = Instant::now();
    let history = of_four(start);
    let sent = |wanted: &Wanted| {
        let replay = history.replay(wanted, &terms(41, start)).unwrap();
        (replay.complete, numbers(&replay))
    };
    for (number, expected) in
        [(1, &[10, 20, 30, 40][..]), (9, &[10, 20, 30, 40]), (10, &[20, 30, 40]), (39, &[40]), (40, &[])]
    {
        assert_eq!(sent(&since(number)), (true, expected.to_vec()), "{number}");
    }
    let incomplete = (false, Vec::new());
    assert_eq!(sent(&since(0)), incomplete, "before the history began");
    assert_eq!(sent(&since(41)), incomplete, "nobody has been given that place yet");
    assert_eq!(sent(&Wanted::Unknown), incomplete);
    let of_another_run =
        Wanted::Since { position: HistoryPosition { epoch: 8, number: 40 }, own: Vec::new() };
    assert_eq!(sent(&of_another_run), incomplete);
    assert_eq!(history.replay(&Wanted::Nothing, &terms(41, start)), None);
}

#[test]
fn what_a_client_was_excluded_from_is_left_out() {
    let start = Instant::now();
    let mut history = beginning(start);
    for (number, except) in [(2, None), (3, Some(1)), (4, Some(2)), (5, Some(3)), (6, Some(99))] {
        history.push(event(number, start, except.map(socket)), &HistoryBounds::default());
    }
    let own = vec![socket(1), socket(3)];
    let wanted = Wanted::Since { position: HistoryPosition { epoch: EPOCH, number: 1 }, own };
    assert_eq!(numbers(&history.replay(&wanted, &terms(7, start)).unwrap()), [2, 4]);
    assert_eq!(
        numbers(&history.replay(&Wanted::Last(Rewind::Events(9)), &terms(7, start)).unwrap()),
        [2, 3, 4, 5],
        "the connection that asks is its own"
    );
}

#[test]
fn the_last_events_are_sent_as_far_as_they_are_there() {
    let start = Instant::now();
    let mut history = of_four(start);
    let at = |seconds| start + Duration::from_secs(seconds);
    let sent = |history: &History, wanted: Wanted| {
        let replay = history.replay(&wanted, &terms(41, at(5))).unwrap();
        (replay.complete, numbers(&replay))
    };
    assert_eq!(sent(&history, Wanted::Last(Rewind::Events(2))), (true, vec![30, 40]));
    assert_eq!(sent(&history, Wanted::Last(Rewind::Events(0))), (true, vec![]));
    assert_eq!(sent(&history, Wanted::Last(Rewind::Events(5))), (false, vec![10, 20, 30, 40]));
    assert_eq!(sent(&history, Wanted::Last(Rewind::Seconds(2))), (true, vec![30, 40]));
    assert_eq!(sent(&history, Wanted::Last(Rewind::Seconds(4))), (true, vec![10, 20, 30, 40]));
    assert_eq!(
        sent(&history, Wanted::Last(Rewind::Seconds(5))),
        (false, vec![10, 20, 30, 40]),
        "it may have begun too late"
    );
    let or_last = |missed: Wanted| missed.or_last(Some(Rewind::Events(2)));
    assert_eq!(sent(&history, or_last(since(10))), (true, vec![20, 30, 40]), "what was missed is known");
    assert_eq!(sent(&history, or_last(since(0))), (false, vec![30, 40]), "there was more, and it is lost");
    assert_eq!(sent(&history, or_last(Wanted::Unknown)), (false, vec![30, 40]), "there may have been more");
    assert_eq!(sent(&history, or_last(Wanted::Nothing)), (true, vec![30, 40]));
    history.keep_within(&HistoryBounds { events: 2, ..HistoryBounds::default() }, at(5));
    assert_eq!(sent(&history, Wanted::Last(Rewind::Seconds(2))), (true, vec![30, 40]));
    assert_eq!(sent(&history, Wanted::Last(Rewind::Seconds(3))), (false, vec![30, 40]));
}

#[test]
fn more_than_may_be_sent_at_once_is_not_sent_at_all() {
    let start = Instant::now();
    let history = of_four(start);
    let bytes = frame(0).websocket().len();
    let sent = |room| history.replay(&since(10), &ReplayTerms { room, ..terms(41, start) }).unwrap();
    assert_eq!(numbers(&sent(3 * bytes)), [20, 30, 40]);
    assert_eq!(sent(3 * bytes - 1), Replay { is_too_large: true, ..Replay::default() });
}

#[test]
fn so_many_events_are_sent_at_once_and_no_more() {
    let start = Instant::now();
    let mut history = beginning(start);
    let bounds = HistoryBounds { events: usize::MAX, bytes: usize::MAX, ..HistoryBounds::default() };
    let last = MOST_REPLAYED as u64 + 2;
    (2..=last).for_each(|number| {
        history.push(event(number, start, None), &bounds);
    });
    let sent = |number| history.replay(&since(number), &terms(last + 1, start)).unwrap();
    assert_eq!(sent(2).events.len(), MOST_REPLAYED);
    assert_eq!(sent(1), Replay { is_too_large: true, ..Replay::default() });
}

#[test]
fn each_bound_drops_the_oldest_and_says_which_one_it_was() {
    let start = Instant::now();
    let later = start + Duration::from_secs(5);
    let bounds = HistoryBounds::default();
    let cases = [
        (HistoryBounds { events: 3, ..bounds }, LossReason::Events, 1),
        (HistoryBounds { bytes: 2 * event_bytes(), ..bounds }, LossReason::Bytes, 2),
        (HistoryBounds { time: Duration::from_secs(2), ..bounds }, LossReason::Seconds, 3),
        (HistoryBounds { events: 0, ..bounds }, LossReason::Events, 4),
    ];
    for (bounds, reason, lost) in cases {
        let mut history = of_four(start);
        let dropped = history.keep_within(&bounds, later);
        assert_eq!((dropped.events[reason as usize], dropped.count()), (lost, lost), "{reason:?}");
        assert_eq!(dropped.bytes, lost * event_bytes());
        assert_eq!(history.bytes(), (4 - lost) * event_bytes());
        assert_eq!(history.lost().version, version(10 * lost as u64));
        let replay = |number| history.replay(&since(number), &terms(41, later)).unwrap().complete;
        assert!(replay(10 * lost as u64) && !replay(10 * lost as u64 - 1), "{reason:?}");
    }
    let mut history = of_four(start);
    let one = history.make_room(1, None, LossReason::App);
    assert_eq!((one.count(), history.len()), (1, 3), "whole events go");
    let before = history.make_room(usize::MAX, Some(version(40)), LossReason::Node);
    assert_eq!((before.count(), history.len()), (2, 1), "up to those that are newer than others'");
    assert_eq!(history.make_room(0, Some(version(1)), LossReason::Node).count(), 1, "one at least");
    assert_eq!(history.clear(LossReason::SwitchedOff), Dropped::default());
    assert_eq!(history.lost().version, version(40));
}

#[test]
fn a_page_begins_behind_a_place() {
    let start_of = Instant::now();
    let mut history = of_four(start_of);
    let read = |history: &History, start, most| {
        let now = start_of + Duration::from_secs(5);
        let page = history.page(
            start,
            &PageTerms {
                epoch: EPOCH,
                engine: None,
                newest: version(40),
                start: version(1),
                now,
                time: Duration::from_secs(9),
                most,
            },
        );
        let numbers: Vec<u64> = page
            .events
            .iter()
            .map(|(place, event)| {
                assert_eq!(*place, HistoryPosition { epoch: EPOCH, number: event.version.number() });
                place.number
            })
            .collect();
        (numbers, page.complete, page.has_more)
    };
    let page = |history: &History, number, most, bytes| {
        read(history, HistoryStart::Behind(HistoryPosition { epoch: EPOCH, number }), (most, bytes))
    };
    assert_eq!(page(&history, 1, 2, usize::MAX), (vec![10, 20], true, true));
    assert_eq!(page(&history, 20, 2, usize::MAX), (vec![30, 40], true, false));
    assert_eq!(page(&history, 40, 2, usize::MAX), (vec![], true, false));
    assert_eq!(page(&history, 1, 9, 2 * event_bytes()), (vec![10, 20], true, true));
    assert_eq!(page(&history, 1, 9, 1), (vec![10], true, true), "one at least");
    assert_eq!(page(&history, 41, 2, usize::MAX), (vec![10, 20], false, true), "it has not been given");
    assert_eq!(read(&history, HistoryStart::Oldest, (9, usize::MAX)), (vec![10, 20, 30, 40], true, false));
    let tail = |rewind, most| read(&history, HistoryStart::Last(rewind), (most, usize::MAX));
    assert_eq!(tail(Rewind::Events(3), 2), (vec![20, 30], true, true), "the oldest of them first");
    assert_eq!(tail(Rewind::Events(5), 9), (vec![10, 20, 30, 40], false, false));
    assert_eq!(tail(Rewind::Seconds(2), 9), (vec![30, 40], true, false));
    let newest = |history: &History, before: Option<u64>, most| {
        let before = before.map(|number| HistoryPosition { epoch: EPOCH, number });
        read(history, HistoryStart::Newest { before }, most)
    };
    assert_eq!(newest(&history, None, (3, usize::MAX)), (vec![20, 30, 40], true, true), "the newest of them");
    assert_eq!(newest(&history, Some(20), (3, usize::MAX)), (vec![10], true, false));
    assert_eq!(newest(&history, Some(40), (9, 2 * event_bytes())), (vec![20, 30], true, true));
    assert_eq!(newest(&history, Some(10), (9, 1)), (vec![], true, false));
    assert_eq!(newest(&history, Some(15), (9, 1)), (vec![], false, false), "there is no such event");
    assert_eq!(
        history.held(),
        HeldHistory { events: 4, bytes: 4 * event_bytes(), oldest_ms: Some(0), newest_ms: Some(0) }
    );
    history.make_room(1, None, LossReason::App);
    assert_eq!(newest(&history, Some(10), (9, 1)), (vec![], false, false), "it has gone, and all before it");
    assert_eq!(read(&history, HistoryStart::Oldest, (9, usize::MAX)), (vec![20, 30, 40], false, false));
    assert_eq!(page(&history, 1, 9, usize::MAX), (vec![20, 30, 40], false, false));
    assert_eq!(page(&history, 10, 9, usize::MAX), (vec![20, 30, 40], true, false));
}

#[test]
fn a_channel_is_forgettable_when_whoever_was_there_has_been_away_for_long() {
    let start = Instant::now();
    let retention = Duration::from_secs(300);
    let mut history = of_four(start);
    assert_eq!(history.forgettable_at(retention), None);
    history.vacant_since = Some(start);
    assert_eq!(history.forgettable_at(retention), None, "there are events");
    history.clear(LossReason::Seconds);
    assert_eq!(history.forgettable_at(retention), Some(start + retention));
}

#[derive(Clone, Debug)]
enum Step {
    Publish { except: Option<u32> },
    Wait { ms: u64 },
    MakeRoom { events: usize },
    Ask { behind: u64, own: Vec<u32> },
    Bound { events: usize, bytes: usize, ms: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => proptest::option::of(0..3u32).prop_map(|except| Step::Publish { except }),
        2 => (0..700u64).prop_map(|ms| Step::Wait { ms }),
        1 => (0..4usize).prop_map(|events| Step::MakeRoom { events }),
        4 => (0..60u64, proptest::collection::vec(0..3u32, 0..3)).prop_map(|(behind, own)| Step::Ask { behind, own }),
        1 => (0..12usize, 0..12usize, 1..3000u64).prop_map(|(events, bytes, ms)| Step::Bound { events, bytes, ms }),
    ];
    proptest::collection::vec(step, 1..80)
}

proptest! {
    /// Whoever is told that nothing is missing has been sent everything that was published behind its place, and whoever is
    /// told otherwise nothing. And it is told otherwise only if something was dropped.
    #[test]
    fn what_is_sent_and_what_is_told_are_never_in_contradiction(steps in steps()) {
        let start = Instant::now();
        let mut now = start;
        let mut bounds = HistoryBounds { events: 10, bytes: 8 * event_bytes(), time: Duration::from_secs(2) };
        let mut history = beginning(start);
        let mut last = 1;
        // Everything that was ever published, by its number.
        let mut published = BTreeMap::new();
        for step in steps {
            match step {
                Step::Publish { except } => {
                    last += 1;
                    published.insert(last, except);
                    history.push(event(last, now, except.map(socket)), &bounds);
                }
                Step::Wait { ms } => now += Duration::from_millis(ms),
                Step::MakeRoom { events } => {
                    history.make_room(events * event_bytes(), None, LossReason::App);
                }
                Step::Bound { events, bytes, ms } => {
                    bounds = HistoryBounds {
                        events,
                        bytes: bytes * event_bytes(),
                        time: Duration::from_millis(ms),
                    };
                }
                Step::Ask { behind, own } => {
                    last += 1;
                    history.keep_within(&bounds, now);
                    let wanted = Wanted::Since {
                        position: HistoryPosition { epoch: EPOCH, number: behind },
                        own: own.iter().copied().map(socket).collect(),
                    };
                    let replay = history.replay(&wanted, &terms(last, now)).unwrap();
                    let missed: Vec<u64> = published
                        .iter()
                        .filter(|(number, except)| **number > behind && except.is_none_or(|e| !own.contains(&e)))
                        .map(|(number, _)| *number)
                        .collect();
                    if replay.complete {
                        prop_assert_eq!(numbers(&replay), missed);
                    } else {
                        prop_assert!(replay.events.is_empty());
                        let is_lost = published.range(behind + 1..).any(|(n, _)| version(*n) <= history.lost().version);
                        prop_assert!(is_lost || behind < 1 || behind >= last, "nothing is lost behind {}", behind);
                    }
                }
            }
            prop_assert!(history.bytes() == history.len() * event_bytes());
        }
        history.keep_within(&bounds, now);
        prop_assert!(history.len() <= bounds.events && history.bytes() <= bounds.bytes);
    }
}
