//! Channels with a history on several nodes: everybody's order is that of the engine's stream, what was lost on its way is fetched,
//! and what cannot be known is told.

use super::*;
use crate::channel::{HistoryPosition, HistoryStart};
use bytes::Bytes;

use crate::channel::NodeId;
use crate::cluster::adapter::{Adapter, Keeping};
use crate::cluster::chain::HoleReason;
use crate::cluster::envelope::{Content, Envelope};
use crate::cluster::local::Fate;

const NAME: &str = "kept-news";

/// Waits until each of these has been sent the same, so many events. Returns them.
fn same(clients: &[&TestClient], count: usize) -> Vec<String> {
    until("all are sent all", || clients.iter().all(|client| client.events().len() >= count));
    let events = clients[0].events();
    for client in clients {
        assert_eq!(client.events(), events);
    }
    assert_eq!(events.len(), count);
    events
}

/// How often a node has found that something may be missing.
fn holes(node: &TestNode) -> u64 {
    node.status().figures.holes.iter().sum()
}

/// How many events a node gives to whoever reads a channel's history, and whether these are all.
fn kept(node: &TestNode, name: &str) -> (usize, bool) {
    let name = channel(name);
    let reading = node.hub.read_history(&node.app, &name, HistoryStart::Oldest, (100, 1 << 20));
    let page = block_on(reading).unwrap();
    (page.events.len(), page.complete)
}

/// How many events somebody is sent by a node who has received everything of a channel by another one, and whether these are all.
fn behind_the_last_of(node: &TestNode, other: &TestNode, name: &str) -> (usize, bool) {
    let name = channel(name);
    let read = |node: &TestNode, start| {
        block_on(node.hub.read_history(&node.app, &name, start, (100, 1 << 20))).unwrap()
    };
    let all = read(node, HistoryStart::Oldest).events;
    let page = read(other, HistoryStart::Behind(all.last().unwrap().0));
    (page.events.len(), page.complete)
}

fn away(node: &TestNode) {
    until("it is known to be away", || node.status().away.is_some());
}

fn back(node: &TestNode) {
    until("it is there again", || node.status().away.is_none());
}

#[test]
fn all_nodes_have_one_order() {
    let engine = LocalEngine::new();
    let nodes: [TestNode; 3] = nodes(&engine);
    let clients = [0, 1, 2].map(|n: usize| nodes[n].joined(NAME, None));
    thread::scope(|scope| {
        for (n, node) in nodes.iter().enumerate() {
            scope.spawn(move || (0..50).for_each(|event| node.publish(NAME, &format!("{n}-{event}"), None)));
        }
    });
    let events = same(&[&clients[0], &clients[1], &clients[2]], 150);
    for n in 0..3 {
        let of_node: Vec<_> = events.iter().filter(|event| event.starts_with(&format!("{n}-"))).collect();
        assert_eq!(of_node.len(), 50);
        assert!((0..50).all(|event| *of_node[event] == format!("{n}-{event}")), "{of_node:?}");
    }
    assert!(nodes.iter().all(|node| holes(node) == 0));
}

#[test]
fn what_is_lost_on_its_way_is_fetched_and_comes_in_its_place() {
    let engine = LocalEngine::new();
    let [a, b]: [TestNode; 2] = nodes(&engine);
    let (here, there) = (a.joined(NAME, None), b.joined(NAME, None));
    let mut count = 0;
    // Each third word is lost, and each fifth comes twice.
    b.faults.fate(move |word| {
        count += u32::from(word.subject == subject(NAME));
        match (word.subject == subject(NAME), count) {
            (true, count) if count % 3 == 0 => Fate::IsLost,
            (true, count) if count % 5 == 0 => Fate::ArrivesTwice,
            _ => Fate::Arrives,
        }
    });
    for n in 0..40 {
        [&a, &b][n % 2].publish_and_wait(NAME, &n.to_string());
    }
    b.faults.fate(|_| Fate::Arrives);
    a.publish(NAME, "last", None);
    let events = same(&[&here, &there], 41);
    assert_eq!(events.last().unwrap(), "last");
    assert!(b.status().figures.pages_fetched > 1 && holes(&b) == 0);
}

#[test]
fn what_one_node_misses_while_it_is_cut_off_is_fetched_and_what_it_has_said_is_appended() {
    let engine = LocalEngine::new();
    let [a, b]: [TestNode; 2] = nodes(&engine);
    let (here, there) = (a.joined(NAME, None), b.joined(NAME, None));
    a.publish(NAME, "0", None);
    same(&[&here, &there], 1);
    b.faults.cut();
    away(&b);
    for n in 0..5 {
        a.publish(NAME, &format!("a{n}"), None);
        b.publish(NAME, &format!("b{n}"), None);
    }
    until("each has its own", || here.events().len() == 6 && there.events().len() == 6);
    assert_eq!(b.status().figures.owed_events, 5);
    b.faults.heal();
    until("each has all", || here.events().len() == 11 && there.events().len() == 11);
    until("nothing is owed", || b.status().figures.owed_events == 0);
    assert_eq!(here.events(), ["0", "a0", "a1", "a2", "a3", "a4", "b0", "b1", "b2", "b3", "b4"]);
    assert_eq!(there.events(), ["0", "b0", "b1", "b2", "b3", "b4", "a0", "a1", "a2", "a3", "a4"]);
    a.publish(NAME, "last", None);
    until("events cross", || [&here, &there].iter().all(|client| client.events().len() == 12));
    assert_eq!((holes(&a), holes(&b)), (0, 0));
}

#[test]
fn an_event_whose_answer_was_lost_is_in_the_stream_once() {
    let engine = LocalEngine::new();
    let [a, b]: [TestNode; 2] = nodes(&engine);
    let (here, there) = (a.joined(NAME, None), b.joined(NAME, None));
    a.publish(NAME, "0", None);
    same(&[&here, &there], 1);
    a.faults.lose_answer(subject(NAME));
    a.publish(NAME, "1", None);
    a.publish(NAME, "2", None);
    same(&[&here, &there], 3);
    until("nothing is owed", || a.status().figures.owed_events == 0);
    a.publish(NAME, "3", None);
    assert_eq!(same(&[&here, &there], 4), ["0", "1", "2", "3"]);
}

#[test]
fn what_there_is_no_room_for_stays_before_what_is_said_behind_it() {
    let engine = LocalEngine::new();
    let [a, b]: [TestNode; 2] = nodes(&engine);
    let there = b.joined(NAME, None);
    let here = a.joined(NAME, None);
    let mut expected = Vec::new();
    for n in 0..50 {
        a.faults.fill(1);
        for text in [format!("{n}a"), format!("{n}b")] {
            a.publish(NAME, &text, None);
            expected.push(text);
        }
        until("nothing is owed", || a.status().figures.owed_events == 0);
    }
    until("all have all", || [&here, &there].iter().all(|client| client.events().len() == 100));
    assert_eq!(there.events(), expected);
    assert_eq!(here.events(), expected);
    assert_eq!((holes(&a), holes(&b)), (0, 0));
}

#[test]
fn what_the_engine_does_not_want_to_keep_holds_up_nothing_and_is_told() {
    let engine = LocalEngine::new();
    let [a, b]: [TestNode; 2] = nodes(&engine);
    let (here, there) = (a.joined(NAME, None), b.joined(NAME, None));
    a.publish(NAME, "0", None);
    same(&[&here, &there], 1);
    a.faults.refuse_to_keep();
    a.publish(NAME, "1", None);
    until("all have it", || [&here, &there].iter().all(|client| client.events().len() == 2));
    until("it is told", || holes(&b) == 2 && a.status().figures.owed_events == 0);
    a.publish(NAME, "2", None);
    same(&[&here, &there], 3);
    assert_eq!(holes(&a), 0);
    until("it has its place where it is kept", || behind_the_last_of(&b, &a, NAME) == (0, true));
    assert_eq!(kept(&a, NAME).0, 3);
    until("and where it came without one", || behind_the_last_of(&a, &b, NAME) == (0, true));
}

#[test]
fn who_was_not_here_when_events_of_this_node_were_lost_is_told() {
    let engine = LocalEngine::new();
    let [a, b]: [TestNode; 2] = nodes(&engine);
    let here = a.joined("kept-few", None);
    b.faults.cut();
    away(&b);
    (0..10).for_each(|n| b.publish("kept-few", &n.to_string(), None));
    let there = b.joined("kept-few", None);
    b.faults.heal();
    until("the others have the rest, and are told", || here.events().len() == 5 && holes(&a) == 1);
    let lost = |node: &TestNode| node.status().figures.holes[HoleReason::Lost as usize];
    until("it is told of what is lost", || lost(&b) == 1);
    assert!(there.events().len() <= 5);
}

#[test]
fn who_comes_is_given_what_the_stream_has() {
    let engine = LocalEngine::new();
    let [a, b]: [TestNode; 2] = nodes(&engine);
    let here = a.joined(NAME, None);
    for n in 0..20 {
        a.publish_and_wait(NAME, &n.to_string());
    }
    until("it has all", || here.events().len() == 20);
    let there = b.joined(NAME, None);
    assert_eq!(there.events().len(), 0, "what was said before it came, nobody is sent");
    assert_eq!(kept(&b, NAME), (20, true));
    a.publish(NAME, "more", None);
    until("events cross", || there.events() == ["more"]);
    assert_eq!((holes(&a), holes(&b)), (0, 0));
}

#[test]
fn an_engine_that_has_forgotten_all_leaves_a_hole_and_goes_on() {
    let engine = LocalEngine::new();
    let [a, b]: [TestNode; 2] = nodes(&engine);
    let (here, there) = (a.joined(NAME, None), b.joined(NAME, None));
    a.publish(NAME, "0", None);
    same(&[&here, &there], 1);
    engine.wipe();
    until("it is told", || holes(&a) == 1 && holes(&b) == 1);
    back(&a);
    back(&b);
    a.publish(NAME, "1", None);
    b.publish(NAME, "2", None);
    same(&[&here, &there], 3);
    assert_eq!((holes(&a), holes(&b)), (1, 1));
}

#[test]
fn what_is_beyond_the_bounds_of_the_stream_is_told() {
    let engine = LocalEngine::new();
    let [a, b]: [TestNode; 2] = nodes(&engine);
    let (here, there) = (a.joined("kept-few", None), b.joined("kept-few", None));
    b.faults.cut();
    away(&b);
    for n in 0..10 {
        a.publish("kept-few", &n.to_string(), None);
    }
    until("it has all", || here.events().len() == 10);
    b.faults.heal();
    until("it is told", || holes(&b) == 1);
    until("it is sent the rest", || there.events().len() == 5);
    assert_eq!(there.events(), ["5", "6", "7", "8", "9"]);
    // And of those that were accepted while the engine was away, the others miss the first ones.
    b.faults.cut();
    away(&b);
    for n in 10..20 {
        b.publish("kept-few", &n.to_string(), None);
    }
    until("its own are sent all", || there.events().len() == 15);
    b.faults.heal();
    until("it is told", || holes(&a) == 1);
    until("they are sent the rest", || here.events().len() == 15);
    assert_eq!(here.events()[10..], ["15", "16", "17", "18", "19"]);
    assert_eq!(holes(&b), 1, "its own have been sent all of them");
    until("who comes from another node misses nothing", || {
        behind_the_last_of(&a, &b, "kept-few") == (0, true)
    });
}

#[test]
fn a_channel_that_is_given_a_history_while_it_has_subscribers_is_followed_from_then_on() {
    let engine = LocalEngine::new();
    let [a, b]: [TestNode; 2] = nodes(&engine);
    let there = b.joined("later", None);
    a.publish("later", "0", None);
    until("events cross", || there.events() == ["0"]);
    assert_eq!(b.status().figures.followed_channels, 0);
    for node in [&a, &b] {
        let mut app = app();
        let history = Some(HistoryBounds::default());
        let pattern = Pattern::parse("later").unwrap();
        app.channels.push(ChannelSettings { pattern, delivery: Delivery::Every, history, video: None });
        node.hub.set_apps(vec![(app, None)]).unwrap();
    }
    until("it is followed", || b.status().figures.followed_channels == 1);
    b.faults.cut();
    away(&b);
    a.publish_and_wait("later", "1");
    b.faults.heal();
    until("what is missing is told", || holes(&b) == 1);
    a.publish("later", "2", None);
    until("events cross", || there.events() == ["0", "2"]);
}

#[test]
fn what_a_node_says_that_has_no_history_of_a_channel_is_missing_in_that_of_the_others() {
    let engine = LocalEngine::new();
    let [a, b, c, reader]: [TestNode; 4] = nodes(&engine);
    let mut without = app();
    without.channels.clear();
    a.hub.set_apps(vec![(without, None)]).unwrap();
    let (here, there) = (b.joined(NAME, None), c.joined(NAME, None));
    b.publish(NAME, "0", None);
    same(&[&here, &there], 1);
    let first = block_on(b.hub.read_history(&b.app, &channel(NAME), HistoryStart::Oldest, (9, 999))).unwrap();
    let first = first.events[0].0;
    a.publish(NAME, "1", None);
    same(&[&here, &there], 2);
    until("it is told", || holes(&b) + holes(&c) >= 1);
    b.publish(NAME, "2", None);
    same(&[&here, &there], 3);
    until("nobody is sent it again", || behind_the_last_of(&b, &c, NAME) == (0, true));
    let read =
        |start| block_on(reader.hub.read_history(&reader.app, &channel(NAME), start, (9, 999))).unwrap();
    let page = read(HistoryStart::Behind(first));
    assert_eq!((page.events.len(), page.complete), (1, false), "whoever reads the stream is told, too");
}

#[test]
fn what_is_read_of_a_stream_begins_behind_what_is_lost() {
    let engine = LocalEngine::new();
    let [a, b]: [TestNode; 2] = nodes(&engine);
    let other = engine.join(inbox(1, 1).0);
    let say = |bytes: Bytes| {
        let time = Duration::from_secs(300);
        let keeping =
            Keeping { events: 1000, bytes: 1 << 20, time, last_known_for: time, remembered_for: None };
        other.publish_and_keep(&subject(NAME), bytes, &keeping, None).unwrap();
    };
    a.publish_and_wait(NAME, "0");
    let name = channel(NAME);
    let read = |start, most| {
        let page = block_on(b.hub.read_history(&b.app, &name, start, (most, 1 << 20))).unwrap();
        (page.events, page.complete, page.has_more)
    };
    let (events, ..) = read(HistoryStart::Oldest, 100);
    let behind_first = HistoryStart::Behind(events[0].0);
    for _ in 0..3 {
        a.publish_and_wait(NAME, "before");
        say(Envelope { from: NodeId::new(9), content: Content::EventsLost }.encode());
    }
    assert_eq!((read(behind_first, 100).0.len(), read(behind_first, 100).1), (0, false));
    a.publish_and_wait(NAME, "1");
    a.publish_and_wait(NAME, "2");
    let (events, complete, has_more) = read(behind_first, 100);
    assert_eq!((events.len(), complete, has_more), (2, false, false));
    let (events, complete, has_more) = read(behind_first, 2);
    assert_eq!((events.len(), complete, has_more), (2, false, false), "no page is empty while there is more");
    let (events, complete, has_more) = read(HistoryStart::Behind(events[0].0), 2);
    assert_eq!((events.len(), complete, has_more), (1, true, false));
    say(Bytes::from("something that nobody can read"));
    a.publish_and_wait(NAME, "3");
    let (events, complete, _) = read(behind_first, 100);
    assert_eq!((events.len(), complete), (1, false));
}

#[test]
fn what_the_engine_has_forgotten_is_not_concluded_from_the_settings_of_who_asks() {
    let engine = LocalEngine::new();
    let [a, b]: [TestNode; 2] = nodes(&engine);
    a.publish_and_wait(NAME, "0");
    let read =
        |name: &str, start| block_on(b.hub.read_history(&b.app, &channel(name), start, (9, 999))).unwrap();
    let HistoryPosition { epoch, number: now } = read(NAME, HistoryStart::Oldest).events[0].0;
    let is_known = |ago: u64| {
        let place = HistoryPosition { epoch, number: now - ago * 1_000_000 };
        read("kept-long", HistoryStart::Behind(place)).complete
    };
    assert!(is_known(3000));
    // Whoever has said something then may have had it be known for less than a day.
    assert!(!is_known(5000));
}
