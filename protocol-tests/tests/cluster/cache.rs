//! Cache channels: what any node accepted waits for those who come to any other.

use std::thread;

use heliostat_protocol_tests::{Message, Node, Socket, unique};
use serde_json::json;

use crate::{Trio, ask_for, numbers, on_shared_nodes, publish_number, settle, webhooks};

/// Subscribes, and answers the first message after the success.
#[track_caller]
fn first_after_success(node: &Node, channel: &str) -> Message {
    let mut socket = node.target.connect();
    ask_for(&mut socket, channel);
    socket.expect_on(channel, "pusher_internal:subscription_succeeded");
    socket.message()
}

/// Subscribes, and insists on this number as the last: what was remembered before it comes first where that is all that the
/// node has been told so far.
#[track_caller]
pub(crate) fn assert_waits(node: &Node, channel: &str, number: usize) {
    let mut socket = node.target.connect();
    ask_for(&mut socket, channel);
    socket.expect_on(channel, "pusher_internal:subscription_succeeded");
    let mut heard = Vec::new();
    while !heard.contains(&number) {
        let message = socket.message();
        let is_miss = message.event == "pusher:cache_miss" && number == 0 && heard.is_empty();
        assert!(is_miss || message.event == "number", "{}", message.whole);
        heard.extend(numbers(&[message]));
    }
    assert!(heard == [number] || heard == [number.wrapping_sub(1), number], "{heard:?} on {}", node.name);
}

/// The last event is given to whoever comes, on every node, whether it had subscribers or not.
///
/// Proves: N9.
#[test]
pub(crate) fn the_last_event_waits_on_every_node() {
    on_shared_nodes(|trio| {
        for kind in ["cache-", "private-cache-"] {
            let channel = unique(kind);
            assert_eq!(first_after_success(&trio.nodes[0], &channel).event, "pusher:cache_miss");
            for n in 0..6 {
                publish_number(&trio.nodes[n % 3], &channel, n);
                for node in &trio.nodes {
                    assert_waits(node, &channel, n);
                }
            }
            let told = trio.nodes[1].channel(&channel, "cache");
            assert_eq!(told["cache"]["data"], json!("5"), "{told}");
        }
    });
}

/// Who comes while events are published gets the remembered one and each later one, in order, none twice and none missing.
///
/// Proves: N9, N2.
#[test]
fn who_comes_in_the_middle_gets_each_event_once() {
    on_shared_nodes(|trio| {
        const EVENTS: usize = 150;
        let channel = unique("cache-room-");
        publish_number(&trio.nodes[0], &channel, 0);
        let mut joined: Vec<(Socket, Vec<Message>)> = Vec::new();
        thread::scope(|scope| {
            let publisher = scope.spawn(|| {
                for n in 1..EVENTS {
                    publish_number(&trio.nodes[0], &channel, n);
                }
            });
            let mut n = 0;
            while !publisher.is_finished() || n < 9 {
                let mut socket = trio.nodes[n % 3].target.connect();
                socket.subscribe(&channel);
                joined.push((socket, Vec::new()));
                n += 1;
            }
            publisher.join().expect("it publishes");
        });
        for (socket, heard) in &mut joined {
            heard.extend(settle(&trio.nodes, &channel, [&mut *socket]).remove(0));
            let heard_numbers = numbers(heard);
            let first = *heard_numbers.first().unwrap_or_else(|| panic!("nothing was remembered: {heard:?}"));
            assert_eq!(heard_numbers, (first..EVENTS).collect::<Vec<_>>(), "each once from the first on");
            assert!(heard.iter().all(|message| message.event != "pusher:cache_miss"), "{heard:?}");
        }
    });
}

/// Events of several nodes come in one order to everybody.
///
/// Proves: N9.
#[test]
fn remembered_events_of_several_nodes_have_one_order() {
    on_shared_nodes(|trio| {
        let channel = unique("cache-room-");
        let mut sockets: Vec<Socket> = trio.nodes.iter().map(|node| node.target.connect()).collect();
        for socket in &mut sockets {
            socket.subscribe(&channel);
            socket.expect_on(&channel, "pusher:cache_miss");
        }
        thread::scope(|scope| {
            for (n, node) in trio.nodes.iter().enumerate() {
                let channel = &channel;
                scope.spawn(move || (0..30).for_each(|i| publish_number(node, channel, n * 100 + i)));
            }
        });
        let heard: Vec<_> =
            settle(&trio.nodes, &channel, &mut sockets).iter().map(|all| numbers(all)).collect();
        assert_eq!(heard[0].len(), 90);
        assert_eq!(heard[0], heard[1]);
        assert_eq!(heard[0], heard[2]);
    });
}

/// That nothing is remembered is told to the backend once, however many nodes ask.
///
/// Proves: N9, N12.
#[test]
fn a_miss_is_told_once() {
    let sink = webhooks::sink();
    let trio = Trio::own(|setup| setup.apps(&webhooks::apps(&sink, 1.0)));
    let channel = unique("cache-room-");
    for n in 0..6 {
        assert_eq!(first_after_success(&trio.nodes[n % 3], &channel).event, "pusher:cache_miss");
    }
    let mut told = webhooks::Told::default();
    told.until(&sink, "channel_vacated", &channel);
    let misses = told.on(&channel).iter().filter(|name| *name == "cache_miss").count();
    assert_eq!(misses, 1, "{:?}", told.on(&channel));
}
