//! What channels keep passes from one process to the one that succeeds it.

use std::os::unix::net::UnixStream as StdStream;

use super::two::{end, part, succeed};
use super::*;
use crate::app::{ChannelSettings, HistoryBounds};
use crate::channel::{HistoryPosition, HistoryStart, KeptEvent};
use crate::cluster::{after, before};
use crate::protocol::pattern::Pattern;

/// One that is the whole broker, and keeps the last events of some channels.
fn keeping() -> TestNode {
    let settings = |pattern: &str, history| ChannelSettings {
        pattern: Pattern::parse(pattern).unwrap(),
        delivery: Default::default(),
        history,
        video: None,
    };
    let bounds = HistoryBounds { events: 10_000, ..HistoryBounds::default() };
    let channels =
        ["kept-*", "cache-kept-*", "presence-kept-*"].map(|pattern| settings(pattern, Some(bounds)));
    TestNode::with_app(App { channels: channels.into(), ..app() }, Vec::new())
}

type Placed = (HistoryPosition, KeptEvent);

/// What a channel keeps behind a place, and whether that is all.
fn kept(node: &TestNode, name: &str, start: HistoryStart) -> (Vec<Placed>, bool) {
    let page =
        block_on(node.hub.read_history(&node.app, &channel(name), start, (100_000, usize::MAX))).unwrap();
    assert!(!page.has_more);
    (page.events, page.complete)
}

fn text(event: &KeptEvent) -> String {
    let frame: serde_json::Value = serde_json::from_slice(event.frame.json()).unwrap();
    frame["data"].as_str().unwrap().to_owned()
}

fn texts(node: &TestNode, name: &str, start: HistoryStart) -> (Vec<String>, bool) {
    let (events, complete) = kept(node, name, start);
    (events.iter().map(|(_, event)| text(event)).collect(), complete)
}

fn all(node: &TestNode, name: &str) -> Vec<String> {
    texts(node, name, HistoryStart::Oldest).0
}

fn numbers(range: std::ops::RangeInclusive<usize>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

#[test]
fn both_keep_the_same_in_one_order_and_places_of_the_first_are_good_at_the_second() {
    let (mut first, mut second) = (keeping(), keeping());
    (1..=3).for_each(|n| first.publish("kept-a", &n.to_string(), None));
    let reader = first.joined("kept-a", None);
    let (before, _) = kept(&first, "kept-a", HistoryStart::Oldest);
    succeed(&mut first, &mut second);
    assert_eq!(all(&second, "kept-a"), numbers(1..=3));
    let late = second.joined("kept-a", None);
    for n in 4..=60 {
        let node = if n % 3 == 0 { &second } else { &first };
        match n % 2 {
            0 => node.publish("kept-a", &n.to_string(), None),
            _ => node.publish_and_wait("kept-a", &n.to_string()),
        }
    }
    until("all have come", || [&first, &second].iter().all(|node| all(node, "kept-a").len() == 60));
    assert_eq!(all(&first, "kept-a"), all(&second, "kept-a"));
    until("all are sent", || reader.events().len() == 57 && late.events().len() == 57);
    assert_eq!(reader.events(), late.events(), "in one order");

    let (there, is_all) = kept(&first, "kept-a", HistoryStart::Oldest);
    assert!(is_all);
    end(first, &mut second);
    second.publish("kept-a", "61", None);
    let here = all(&second, "kept-a");
    for (n, (place, event)) in there.iter().enumerate() {
        let behind = texts(&second, "kept-a", HistoryStart::Behind(*place));
        assert_eq!(behind, (here[n + 1..].to_vec(), true), "behind {}", text(event));
    }
    let (now, _) = kept(&second, "kept-a", HistoryStart::Oldest);
    for ((_, before), (_, now)) in before.iter().zip(&now) {
        assert_eq!(before.time_ms, now.time_ms);
        let apart = before.at.max(now.at) - before.at.min(now.at);
        assert!(apart < Duration::from_secs(1), "{apart:?}");
    }
    // Those that the second gives go on, too.
    let (place, _) = now.last().unwrap();
    second.publish("kept-a", "62", None);
    assert_eq!(texts(&second, "kept-a", HistoryStart::Behind(*place)), (vec!["62".into()], true));
}

#[test]
fn places_that_the_second_gives_while_the_first_is_there_are_good_at_a_third() {
    let (mut first, mut second, mut third) = (keeping(), keeping(), keeping());
    (1..=3).for_each(|n| first.publish("kept-a", &n.to_string(), None));
    succeed(&mut first, &mut second);
    for n in 4..=9 {
        let node = if n % 2 == 0 { &first } else { &second };
        node.publish_and_wait("kept-a", &n.to_string());
    }
    until("all have come", || all(&second, "kept-a").len() == 9);
    let mut places = kept(&second, "kept-a", HistoryStart::Oldest).0;
    end(first, &mut second);
    places.extend(kept(&second, "kept-a", HistoryStart::Oldest).0);
    succeed(&mut second, &mut third);
    places.extend(kept(&second, "kept-a", HistoryStart::Oldest).0);
    second.publish_and_wait("kept-a", "10");
    until("it has come", || all(&third, "kept-a").len() == 10);
    end(second, &mut third);
    for (place, event) in places {
        let n: usize = text(&event).parse().unwrap();
        let behind = texts(&third, "kept-a", HistoryStart::Behind(place));
        assert_eq!(behind, (numbers(n + 1..=10), true), "behind {n}, {place}");
    }
}

#[test]
fn what_is_lost_is_lost_at_the_second_too() {
    let mut second = keeping();
    let mut app = App { ..keeping().app.app().share().as_ref().clone() };
    app.channels[0].history = Some(HistoryBounds { events: 2, ..HistoryBounds::default() });
    let mut first = TestNode::with_app(app, Vec::new());
    let places: Vec<_> = (1..=5)
        .map(|n| {
            first.publish("kept-a", &n.to_string(), None);
            kept(&first, "kept-a", HistoryStart::Oldest).0.last().unwrap().0
        })
        .collect();
    // Nothing is left of this one, and somebody was here.
    let quiet = first.joined("kept-b", None);
    succeed(&mut first, &mut second);
    for (n, place) in places.iter().enumerate() {
        let (behind, is_all) = texts(&second, "kept-a", HistoryStart::Behind(*place));
        let expected = texts(&first, "kept-a", HistoryStart::Behind(*place));
        assert_eq!((&behind, is_all), (&expected.0, expected.1), "behind {}", n + 1);
        assert_eq!(is_all, n + 1 >= 3);
    }
    let place =
        HistoryPosition { epoch: first.hub.history_epoch(), number: first.hub.next_version().number() };
    assert_eq!(texts(&second, "kept-b", HistoryStart::Behind(place)), (Vec::new(), true));
    drop(quiet);
}

#[test]
fn channels_that_begin_meanwhile_pass_and_cache_channels_remember_what_they_keep() {
    let (mut first, mut second) = (keeping(), keeping());
    first.publish("cache-kept-a", "1", None);
    succeed(&mut first, &mut second);
    let cached = |node: &TestNode| node.app.cached(&channel("cache-kept-a")).map(|(payload, _)| payload);
    assert_eq!((cached(&second), all(&second, "cache-kept-a")), (Some("1".into()), numbers(1..=1)));
    for n in 2..=20 {
        let node = if n % 2 == 0 { &second } else { &first };
        node.publish("cache-kept-a", &n.to_string(), None);
        node.publish("kept-new", &n.to_string(), None);
        node.publish("presence-kept-a", &n.to_string(), None);
    }
    let names = ["cache-kept-a", "kept-new", "presence-kept-a"];
    until("all have come", || {
        [&first, &second].iter().all(|node| names.iter().all(|name| all(node, name).len() >= 19))
    });
    names.iter().for_each(|name| assert_eq!(all(&first, name), all(&second, name), "{name}"));
    assert_eq!(cached(&second), all(&second, "cache-kept-a").last().cloned());
    assert_eq!(cached(&first), cached(&second));
    end(first, &mut second);
    assert_eq!(all(&second, "kept-new").len(), 19);
}

#[test]
fn no_event_of_a_member_of_the_first_precedes_it_at_the_second_and_both_keep_one_order() {
    const ROUNDS: usize = 100;
    let (mut first, mut second) = (keeping(), keeping());
    let patient = || ClusterConfig { state_wait: PATIENCE, ..ClusterConfig::default() };
    let (one, other) = StdStream::pair().unwrap();
    first.running = Some(block_on(before(&first.hub, patient(), one)).unwrap());
    second.running = Some(block_on(after(&second.hub, patient(), other)).unwrap());
    until("it knows what the other has", || second.knows(1));
    let witness = second.joined("presence-kept-a", Some("witness"));
    for n in 0..ROUNDS {
        let user = format!("user-{n}");
        let client = first.joined("presence-kept-a", Some(&user));
        first.publish("presence-kept-a", &user, Some(client.socket));
        second.publish("presence-kept-a", &format!("own {n}"), None);
    }
    until("all events", || witness.events().len() == 2 * ROUNDS);
    let frames = witness.sent.0.lock().clone();
    for n in 0..ROUNDS {
        let place = |what: &str| frames.iter().position(|frame| frame.contains(what)).unwrap();
        let (added, event) = (format!("{{\\\"user_id\\\":\\\"user-{n}\\\"}}"), format!("\"user-{n}\""));
        assert!(place(&added) < place(&event), "{n}: {frames:?}");
    }
    assert_eq!(all(&first, "presence-kept-a"), all(&second, "presence-kept-a"));
    assert_eq!(witness.events(), all(&second, "presence-kept-a"));
    assert_eq!(second.status().figures.lost, [0; super::super::status::Loss::COUNT]);
}

#[test]
fn histories_larger_than_an_inbox_come_whole_while_events_do() {
    const CHANNELS: usize = 30;
    const EVENTS: usize = 100;
    let (mut first, mut second) = (keeping(), keeping());
    let name = |n: usize| format!("kept-{n}");
    for n in 0..CHANNELS * EVENTS {
        first.publish(&name(n % CHANNELS), &format!("{n} {}", "x".repeat(1000)), None);
    }
    let small = || ClusterConfig { inbox_words: 512, inbox_bytes: 1 << 20, ..ClusterConfig::default() };
    let (one, other) = StdStream::pair().unwrap();
    first.running = Some(block_on(before(&first.hub, small(), one)).unwrap());
    let (hub, app) = (Arc::clone(&first.hub), Arc::clone(&first.app));
    let publishing = thread::spawn(move || {
        for n in 0..300 {
            let to = Destination::Subscribers {
                channel: channel(&format!("kept-{}", n % CHANNELS)),
                except: None,
            };
            let (name, data) = ("e".into(), Data::of_text(&format!("meanwhile {n}")));
            let event = AcceptedEvent { source: Source::Http, to, name, data, raw: None };
            let mut receipts = Receipts::default();
            hub.accept_for_receipt(&app, &event, &mut receipts);
            block_on(receipts.all());
        }
    });
    second.running = Some(block_on(after(&second.hub, small(), other)).unwrap());
    until("it knows what the other has", || second.knows(1));
    publishing.join().unwrap();
    for n in 0..CHANNELS {
        until("all have come", || all(&second, &name(n)).len() == all(&first, &name(n)).len());
        assert_eq!(all(&second, &name(n)), all(&first, &name(n)));
        assert_eq!(all(&second, &name(n)).len(), EVENTS + 10);
    }
}

#[test]
fn one_whose_successor_fails_keeps_its_own_and_hands_it_over_to_the_next_one() {
    let mut first = keeping();
    first.publish("kept-a", "1", None);
    for round in 0..2 {
        let mut second = keeping();
        succeed(&mut first, &mut second);
        second.publish_and_wait("kept-a", "x");
        until("both keep it", || {
            [&first, &second].iter().all(|node| all(node, "kept-a").len() == 2 + 2 * round)
        });
        let parted = part(&mut first);
        second.running = None;
        parted.join().unwrap();
        first.publish("kept-a", "alone", None);
        assert_eq!(all(&first, "kept-a").len(), 3 + 2 * round);
    }
    let mut third = keeping();
    succeed(&mut first, &mut third);
    assert_eq!(all(&third, "kept-a"), all(&first, "kept-a"));
}

#[test]
fn one_that_is_killed_leaves_what_it_has_told_and_nothing_waits_for_it() {
    let (mut first, mut second) = (keeping(), keeping());
    first.publish("kept-a", "1", None);
    succeed(&mut first, &mut second);
    let reader = second.joined("kept-a", None);
    second.publish_and_wait("kept-a", "2");
    until("it is sent", || reader.events() == ["2"]);
    let parted = part(&mut second);
    first.running = None;
    second.publish("kept-a", "3", None);
    parted.join().unwrap();
    second.publish("kept-a", "4", None);
    until("it goes on", || reader.events() == ["2", "3", "4"]);
    assert_eq!(all(&second, "kept-a"), numbers(1..=4));
}
