//! Channels with a history on several nodes: who comes back to another node, or stays where the engine goes, has all or is told.

use std::thread;
use std::time::Duration;

use heliostat_protocol_tests::tab::{Resumed, Tab, complete, fresh_name, incomplete};
use heliostat_protocol_tests::{Message, Node, Setup, Socket, unique};
use serde_json::{Value, json};

use crate::{Trio, numbers, publish_number, throughout};

/// The usual app, whose channels keep their last events.
const KEEPING: &str = "\
[[apps]]
id = \"1001\"
key = \"app-key\"
secret = \"app-secret\"
client_events = true
limits = { client_events_per_second = 0 }

[[apps.channels]]
pattern = \"short-*\"
history = { events = 3 }

[[apps.channels]]
pattern = \"*\"
history = { events = 1000 }
";

/// A client's place is told to the other nodes about once a second.
const LONGER_THAN_PLACES_TAKE: Duration = Duration::from_secs(4);

fn keeping(setup: Setup) -> Setup {
    setup.apps(KEEPING)
}

fn publish(node: &Node, channel: &str, events: &[&str]) {
    events.iter().for_each(|event| node.target.publish(channel, "news", event));
}

/// A tab that has said that it has everything so far.
#[track_caller]
pub(crate) fn settled(node: &Node, name: &str, channel: &str) -> Tab {
    let (mut tab, resumed) = Tab::open(&node.target, name, channel);
    assert_eq!(resumed, incomplete(), "it was not here before");
    tab.echo_all(None);
    tab
}

/// Everything was sent again that was missed, in its order, and nothing but what was sent before precedes it.
#[track_caller]
fn assert_covers(resumed: &Resumed, before: &[&str], missed: &[&str]) {
    let told: Vec<&str> = resumed.events.iter().filter_map(Value::as_str).collect();
    let all = [before, missed].concat();
    assert!(
        resumed.complete && all.ends_with(&told) && told.len() >= missed.len(),
        "{resumed:?}: {missed:?}"
    );
}

/// The ids and the data of all that a channel keeps, as a node tells it.
fn page(node: &Node, channel: &str) -> (Vec<(Value, Value)>, bool) {
    let call = node.target.get(&format!("/channels/{channel}/history")).query("limit", "1000");
    let page = call.send().json();
    let events = page["events"].as_array().expect("a list of events");
    let of = |event: &Value| (event["id"].clone(), event["data"].clone());
    (events.iter().map(of).collect(), page["complete"] == true)
}

/// Reads so many numbers of a channel; anything else is a fault.
#[track_caller]
fn read_numbers(socket: &mut Socket, channel: &str, count: usize) -> Vec<usize> {
    let messages: Vec<Message> = (0..count).map(|_| socket.expect_on(channel, "number")).collect();
    numbers(&messages)
}

/// Wherever a client comes back to, it is sent what it missed, and then what is live.
///
/// Proves: recovery.
#[test]
fn a_client_comes_back_to_another_node_and_misses_nothing() {
    let trio = Trio::own(keeping);
    let channel = unique("news-");
    let name = fresh_name();
    let mut tab = settled(&trio.nodes[0], &name, &channel);
    let mut all = Vec::new();
    for round in 0..6 {
        let [live, first, second] = ["live", "first", "second"].map(|what| format!("{what} {round}"));
        publish(&trio.nodes[(round + 1) % 3], &channel, &[&live]);
        assert_eq!(tab.socket.expect_on(&channel, "news").data, json!(live));
        tab.echo_all(None);
        all.push(live);
        tab.cut();
        for (n, event) in [first, second].into_iter().enumerate() {
            publish(&trio.nodes[(round + n) % 3], &channel, &[&event]);
            all.push(event);
        }
        let (back, resumed) = Tab::open(&trio.nodes[(round + 1) % 3].target, &name, &channel);
        let (before, missed) = all.split_at(all.len() - 2);
        let texts = |of: &[String]| of.iter().map(|text| &*text.clone().leak()).collect::<Vec<&str>>();
        assert_covers(&resumed, &texts(before), &texts(missed));
        tab = back;
        tab.echo_all(None);
    }
}

/// What the node that was killed knew, the others know but for what it was just about to tell.
///
/// Proves: recovery.
#[test]
fn a_client_whose_node_was_killed_misses_nothing_at_another() {
    let trio = Trio::own(keeping);
    let (channel, name) = (unique("news-"), fresh_name());
    let mut tab = settled(&trio.nodes[0], &name, &channel);
    publish(&trio.nodes[1], &channel, &["1", "2"]);
    tab.echo_all(Some("2"));
    throughout(LONGER_THAN_PLACES_TAKE, || {});
    publish(&trio.nodes[0], &channel, &["3"]);
    tab.echo_all(Some("3"));
    trio.nodes[0].broker().kill();
    tab.socket.expect_end();
    publish(&trio.nodes[1], &channel, &["4", "5"]);
    let (mut tab, resumed) = Tab::open(&trio.nodes[2].target, &name, &channel);
    assert_covers(&resumed, &["1", "2", "3"], &["4", "5"]);
    publish(&trio.nodes[1], &channel, &["6"]);
    assert_eq!(tab.socket.expect_on(&channel, "news").data, json!("6"));
}

/// A history that does not reach back gives nothing at another node either.
///
/// Proves: recovery.
#[test]
fn who_missed_more_than_is_kept_is_told_so_by_every_node() {
    let trio = Trio::own(keeping);
    let (channel, name) = (unique("short-"), fresh_name());
    settled(&trio.nodes[0], &name, &channel).cut();
    publish(&trio.nodes[1], &channel, &["1", "2", "3", "4"]);
    let (mut tab, resumed) = Tab::open(&trio.nodes[2].target, &name, &channel);
    assert_eq!(resumed, incomplete());
    tab.echo_all(None);
    tab.cut();
    publish(&trio.nodes[0], &channel, &["5"]);
    let (_tab, resumed) = Tab::open(&trio.nodes[1].target, &name, &channel);
    assert_covers(&resumed, &["2", "3", "4"], &["5"]);
}

/// An engine that has forgotten everything: who comes back is told, and so is who stayed, once; from then on all is kept again.
///
/// Proves: recovery.
#[test]
fn when_the_engine_has_forgotten_all_those_who_stay_are_told_as_well() {
    let trio = Trio::own(keeping);
    let channel = unique("news-");
    let (stays, leaves) = (fresh_name(), fresh_name());
    let mut staying = settled(&trio.nodes[0], &stays, &channel);
    let mut nameless = trio.nodes[1].target.connect();
    nameless.subscribe(&channel);
    let leaving = settled(&trio.nodes[1], &leaves, &channel);
    publish(&trio.nodes[2], &channel, &["1"]);
    staying.echo_all(Some("1"));
    leaving.cut();
    let engine = trio.engine.server();
    engine.client().call(&["FLUSHALL"]);
    let told = staying.socket.expect_on(&channel, "pusher:resumed").decoded();
    assert_eq!(told, json!({ "complete": false, "events": 0 }));
    staying.echo_all(None);
    trio.nodes.iter().for_each(Node::await_ready);
    let (back, resumed) = Tab::open(&trio.nodes[2].target, &leaves, &channel);
    assert_eq!(resumed, incomplete());
    drop(back);
    publish(&trio.nodes[2], &channel, &["2"]);
    assert_eq!(staying.socket.expect_on(&channel, "news").data, json!("2"), "it is told once");
    staying.echo_all(None);
    staying.cut();
    publish(&trio.nodes[1], &channel, &["3"]);
    let (_tab, resumed) = Tab::open(&trio.nodes[1].target, &stays, &channel);
    assert_covers(&resumed, &["2"], &["3"]);
    for expected in ["1", "2", "3"] {
        assert_eq!(
            nameless.expect_on(&channel, "news").data,
            json!(expected),
            "who has no name is told nothing"
        );
    }
}

/// While the engine stands still each node serves its own clients; afterwards everybody has everything, once, and all nodes
/// keep it in one order.
///
/// Proves: recovery, N15.
#[test]
fn what_could_not_cross_while_the_engine_stood_still_is_there_afterwards() {
    let trio = Trio::own(keeping);
    let channel = unique("news-");
    let mut sockets: Vec<Socket> = trio.nodes.iter().map(|node| node.target.connect()).collect();
    sockets.iter_mut().for_each(|socket| socket.subscribe(&channel));
    let mut tab = settled(&trio.nodes[1], &fresh_name(), &channel);
    for (n, node) in trio.nodes.iter().enumerate() {
        publish_number(node, &channel, n);
    }
    let mut heard: Vec<Vec<usize>> =
        sockets.iter_mut().map(|socket| read_numbers(socket, &channel, 3)).collect();
    let _ = read_numbers(&mut tab.socket, &channel, 3);
    trio.engine.server().pause();
    for node in &trio.nodes {
        let _ = node.await_not_ready();
    }
    for (n, (node, socket)) in trio.nodes.iter().zip(&mut sockets).enumerate() {
        let own: Vec<usize> = (0..5).map(|event| 10 * (n + 1) + event).collect();
        own.iter().for_each(|number| publish_number(node, &channel, *number));
        assert_eq!(read_numbers(socket, &channel, 5), own, "at once");
        heard[n].extend(own);
    }
    trio.engine.server().resume();
    trio.nodes.iter().for_each(Node::await_ready);
    for (socket, heard) in sockets.iter_mut().zip(&mut heard) {
        heard.extend(read_numbers(socket, &channel, 10));
        let mut sorted = heard.clone();
        sorted.sort_unstable();
        let all: Vec<usize> = (0..3).chain((1..=3).flat_map(|n| 10 * n..10 * n + 5)).collect();
        assert_eq!(sorted, all, "each once");
        for n in 1..=3 {
            let of_node: Vec<usize> = heard.iter().copied().filter(|number| number / 10 == n).collect();
            assert!(of_node.is_sorted(), "{of_node:?}");
        }
    }
    let of_tab = read_numbers(&mut tab.socket, &channel, 15);
    assert_eq!(of_tab, heard[1][3..], "who has a name is told of no gap");
    let (kept, is_all) = page(&trio.nodes[0], &channel);
    assert!(kept.len() == 18 && is_all, "{kept:?}");
    for node in &trio.nodes[1..] {
        assert_eq!(page(node, &channel), (kept.clone(), true), "as {} keeps it", node.name);
    }
    publish_number(&trio.nodes[2], &channel, 99);
    for socket in sockets.iter_mut().chain([&mut tab.socket]) {
        assert_eq!(read_numbers(socket, &channel, 1), [99]);
    }
}

/// Whoever publishes where: the order of a channel is that of its stream, for everybody.
///
/// Proves: recovery.
#[test]
fn everybody_sees_the_events_of_several_nodes_in_one_order() {
    const EACH: usize = 150;
    let trio = Trio::own(keeping);
    let channel = unique("news-");
    let mut sockets: Vec<Socket> = trio.nodes.iter().map(|node| node.target.connect()).collect();
    sockets.iter_mut().for_each(|socket| socket.subscribe(&channel));
    thread::scope(|scope| {
        for (n, node) in trio.nodes[..2].iter().enumerate() {
            let channel = &channel;
            scope.spawn(move || (0..EACH).for_each(|event| publish_number(node, channel, EACH * n + event)));
        }
    });
    let mut orders = sockets.iter_mut().map(|socket| read_numbers(socket, &channel, 2 * EACH));
    let first = orders.next().unwrap();
    for order in orders {
        assert_eq!(order, first);
    }
    let (kept, is_all) = page(&trio.nodes[2], &channel);
    let kept: Vec<usize> = kept.iter().map(|(_, data)| data.as_str().unwrap().parse().unwrap()).collect();
    assert_eq!((kept, is_all), (first, true));
}

/// A node that hears nothing of a channel asks the engine what it keeps.
///
/// Proves: recovery.
#[test]
fn every_node_tells_the_history_of_a_channel_that_it_does_not_hear() {
    let trio = Trio::own(keeping);
    let channel = unique("news-");
    let mut socket = trio.nodes[0].target.connect();
    socket.subscribe(&channel);
    publish(&trio.nodes[1], &channel, &["1", "2", "3"]);
    for expected in ["1", "2", "3"] {
        assert_eq!(socket.expect_on(&channel, "news").data, json!(expected));
    }
    let told = page(&trio.nodes[0], &channel);
    assert_eq!(told.0.len(), 3);
    for node in &trio.nodes[1..] {
        assert_eq!(page(node, &channel), told, "as {} tells it", node.name);
    }
}

/// What a newer version has written into a stream is not read, and says so; what is live goes on.
///
/// Proves: recovery.
#[test]
fn a_stream_of_a_newer_version_is_a_gap_and_no_more() {
    let trio = Trio::own(keeping);
    let (channel, name) = (unique("news-"), fresh_name());
    let mut tab = settled(&trio.nodes[0], &name, &channel);
    publish(&trio.nodes[0], &channel, &["1"]);
    tab.echo_all(Some("1"));
    tab.cut();
    let mut client = trio.engine.server().client();
    let pattern = format!("{}:*{channel}:kept", trio.setup.prefix_text());
    let keys = client.call(&["KEYS", &pattern]).texts();
    assert_eq!(keys.len(), 1, "{keys:?}");
    client.call(&["XADD", &keys[0], "*", "2", "of a newer version"]);
    let (mut tab, resumed) = Tab::open(&trio.nodes[1].target, &name, &channel);
    assert_eq!(resumed, incomplete());
    publish(&trio.nodes[2], &channel, &["2"]);
    assert_eq!(tab.socket.expect_on(&channel, "news").data, json!("2"));
    tab.echo_all(None);
    assert!(trio.nodes.iter().all(|node| node.ready().status == 200));
}

/// Whoever comes with a name takes it over, wherever the connection is that had it.
///
/// Proves: recovery.
#[test]
fn a_name_is_taken_over_from_a_connection_of_another_node() {
    let trio = Trio::own(keeping);
    let (channel, name) = (unique("news-"), fresh_name());
    let mut old = settled(&trio.nodes[0], &name, &channel);
    // Before it is told, the other node knows of no place, and says so.
    throughout(LONGER_THAN_PLACES_TAKE, || {});
    publish(&trio.nodes[2], &channel, &["1"]);
    old.echo_all(Some("1"));
    let (mut new, resumed) = Tab::open(&trio.nodes[1].target, &name, &channel);
    assert_covers(&resumed, &["1"], &[]);
    old.socket.expect_close_with(4100);
    publish(&trio.nodes[0], &channel, &["2"]);
    assert_eq!(new.socket.expect_on(&channel, "news").data, json!("2"));
}

/// A channel on which nothing happens for longer than names' places are written is no gap.
///
/// Proves: recovery.
#[test]
fn on_a_channel_on_which_nothing_happens_nothing_is_missed() {
    let trio = Trio::own(keeping);
    let (channel, name) = (unique("news-"), fresh_name());
    let mut tab = settled(&trio.nodes[0], &name, &channel);
    throughout(LONGER_THAN_PLACES_TAKE, || {});
    for node in [&trio.nodes[1], &trio.nodes[2], &trio.nodes[0]] {
        tab.cut();
        let (back, resumed) = Tab::open(&node.target, &name, &channel);
        assert_eq!(resumed, complete(&[]), "at {}", node.name);
        tab = back;
        tab.echo_all(None);
    }
}
