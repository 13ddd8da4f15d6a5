//! Events: everybody on every node, once, in each sender's order.

use heliostat_protocol_tests::{Node, Socket, unique};
use serde_json::json;

use crate::{assert_quiet, eventually, numbers, on_shared_nodes, publish_number, settle};

/// Events that any node accepts over HTTP reach every subscriber on every node, once, each backend's in their order.
///
/// Proves: N1.
#[test]
pub(crate) fn every_subscriber_on_every_node_gets_every_event_once() {
    on_shared_nodes(|trio| {
        let channel = unique("room-");
        let mut sockets: Vec<Socket> =
            trio.nodes.iter().flat_map(|node| [node.target.connect(), node.target.connect()]).collect();
        for socket in &mut sockets {
            socket.subscribe(&channel);
        }
        for n in 0..60 {
            publish_number(&trio.nodes[n % 3], &channel, n);
        }
        for heard in settle(&trio.nodes, &channel, &mut sockets) {
            let numbers = numbers(&heard);
            assert_eq!(numbers.len(), 60, "{numbers:?}");
            for node in 0..3 {
                let own: Vec<usize> = numbers.iter().copied().filter(|n| n % 3 == node).collect();
                assert_eq!(
                    own,
                    (0..60).filter(|n| n % 3 == node).collect::<Vec<_>>(),
                    "in the sender's order"
                );
            }
        }
    });
}

/// A backend that waits for each answer, and sends the next event through another node, is heard in its order, unless the engine
/// was slower than nodes wait for their own events, as it may be on a machine that does other things besides.
///
/// Proves: N1.
#[test]
fn a_backend_that_waits_is_heard_in_order_through_whatever_nodes() {
    on_shared_nodes(|trio| {
        let late = || {
            let late = |node: &Node| node.metric("heliostat_cluster_lost_total", "reason=\"return_late\"");
            trio.nodes.iter().map(late).sum::<f64>()
        };
        eventually("the engine is fast enough", || {
            let channel = unique("room-");
            let mut sockets: Vec<Socket> = trio.nodes.iter().map(|node| node.target.connect()).collect();
            for socket in &mut sockets {
                socket.subscribe(&channel);
            }
            let before = late();
            for n in 0..150 {
                publish_number(&trio.nodes[n % 3], &channel, n);
            }
            let all = settle(&trio.nodes, &channel, &mut sockets);
            let heard: Vec<Vec<usize>> = all.iter().map(|heard| numbers(heard)).collect();
            if late() > before {
                let sorted =
                    heard.into_iter().map(|numbers| crate::sorted(numbers.iter().map(usize::to_string)));
                let wanted = crate::sorted((0..150).map(|n| n.to_string()));
                sorted.for_each(|numbers| assert_eq!(numbers, wanted, "in whatever order"));
                return None;
            }
            heard.iter().for_each(|numbers| assert_eq!(*numbers, (0..150).collect::<Vec<_>>()));
            Some(())
        });
    });
}

/// Events of clients reach the members on other nodes, once and in order; the sender hears nothing of them.
///
/// Proves: N1.
#[test]
pub(crate) fn client_events_cross_in_order() {
    on_shared_nodes(|trio| {
        let channel = unique("private-room-");
        let mut sockets: Vec<Socket> = trio.nodes.iter().map(|node| node.target.connect()).collect();
        for socket in &mut sockets {
            socket.subscribe_private(&channel);
        }
        for n in 0..200 {
            sockets[n % 2].trigger(&channel, "client-number", &json!(n));
        }
        let data = |n: usize| json!(n.to_string());
        // What was said on a connection is accepted once a later ping is answered.
        let mut heard: Vec<Vec<_>> = sockets.iter_mut().map(Socket::drain).collect();
        for (before, after) in heard.iter_mut().zip(settle(&trio.nodes, &channel, &mut sockets)) {
            before.extend(after);
        }
        for (reader, heard) in heard.iter().enumerate() {
            for sender in 0..2 {
                let from: Vec<_> = heard
                    .iter()
                    .filter(|message| message.event == "client-number")
                    .map(|message| message.data.clone())
                    .filter(|data| data.as_str().unwrap().parse::<usize>().unwrap() % 2 == sender)
                    .collect();
                let wanted: Vec<_> =
                    (0..200).filter(|n| n % 2 == sender && sender != reader).map(data).collect();
                assert_eq!(from, wanted, "from {sender} to {reader}");
            }
        }
    });
}

/// A publisher excludes a connection of another node, and nobody else.
///
/// Proves: N1.
#[test]
pub(crate) fn the_sender_is_excluded_on_whatever_node_it_is() {
    on_shared_nodes(|trio| {
        let channel = unique("room-");
        let mut sockets: Vec<Socket> = trio.nodes.iter().map(|node| node.target.connect()).collect();
        for socket in &mut sockets {
            socket.subscribe(&channel);
        }
        for (n, node) in trio.nodes.iter().enumerate() {
            for (excluded, socket) in sockets.iter().enumerate() {
                let body = json!({
                    "name": "number", "channel": channel, "data": (n * 3 + excluded).to_string(),
                    "socket_id": socket.id,
                });
                node.target.events(&body).assert_empty_object();
            }
        }
        for (me, heard) in settle(&trio.nodes, &channel, &mut sockets).iter().enumerate() {
            let mut numbers = numbers(heard);
            numbers.sort_unstable();
            assert_eq!(numbers, (0..9).filter(|n| n % 3 != me).collect::<Vec<_>>());
        }
    });
}

/// An event on several channels, and a batch, cross as well.
///
/// Proves: N1.
#[test]
fn several_channels_and_batches_cross() {
    on_shared_nodes(|trio| {
        let channels: Vec<String> = (0..3).map(|n| unique(&format!("room{n}-"))).collect();
        let mut socket = trio.nodes[1].target.connect();
        for channel in &channels {
            socket.subscribe(channel);
        }
        let body = json!({ "name": "all", "channels": channels, "data": "x" });
        trio.nodes[0].target.events(&body).assert_empty_object();
        let mut told: Vec<_> = channels.iter().map(|_| socket.expect("all").channel.unwrap()).collect();
        told.sort_unstable();
        assert_eq!(told, channels);
        let items: Vec<_> = channels
            .iter()
            .map(|channel| json!({ "name": "one", "channel": channel, "data": "x" }))
            .collect();
        trio.nodes[2].target.batch_events(&items).assert_empty_object();
        let mut told: Vec<_> = channels.iter().map(|_| socket.expect("one").channel.unwrap()).collect();
        told.sort_unstable();
        assert_eq!(told, channels);
        assert_quiet(&trio.nodes, &channels[0], [&mut socket]);
    });
}

/// The frame that a subscriber of another node gets is the one that a subscriber of the accepting node gets, byte for
/// byte, however odd its payload is.
///
/// Proves: N4.
#[test]
fn frames_are_the_same_bytes_everywhere() {
    on_shared_nodes(|trio| {
        let channel = unique("room-");
        let mut sockets: Vec<Socket> = trio.nodes.iter().map(|node| node.target.connect()).collect();
        for socket in &mut sockets {
            socket.subscribe(&channel);
        }
        for data in ["", "{}", "é\u{0}\"\\/\u{1f4f7}", r#"{"a":1.50,"a":[ 1,2 ]}"#, &"x".repeat(9000)] {
            trio.nodes[0].target.publish(&channel, "odd \"name\"", data);
            let texts: Vec<String> = sockets.iter_mut().map(|socket| socket.raw_text()).collect();
            assert_eq!(texts[0], texts[1]);
            assert_eq!(texts[0], texts[2]);
            let frame: serde_json::Value = serde_json::from_str(&texts[0]).unwrap();
            assert_eq!(frame["data"], json!(data));
        }
    });
}

/// On a presence channel an event of a member never precedes the announcement of that member, on whatever node.
///
/// Proves: N1, N5.
#[test]
fn no_event_of_a_member_precedes_its_announcement() {
    on_shared_nodes(|trio| {
        for round in 0..20 {
            let channel = unique("presence-room-");
            let mut watcher = crate::member(&trio.nodes[round % 3], &channel, "watcher");
            let mut socket = trio.nodes[(round + 1) % 3].target.connect();
            let data = json!({ "user_id": "ann" }).to_string();
            let auth = socket.auth(&channel, Some(&data));
            let join = json!({ "event": "pusher:subscribe",
            "data": { "channel": channel, "auth": auth, "channel_data": data } });
            let event = json!({ "event": "client-hello", "channel": channel, "data": "x" });
            socket.send_together([join.to_string().as_str(), event.to_string().as_str()]);
            socket.expect_on(&channel, "pusher_internal:subscription_succeeded");
            watcher.expect_on(&channel, crate::ADDED);
            let said = watcher.expect_on(&channel, "client-hello");
            assert_eq!(said.whole["user_id"], json!("ann"));
        }
    });
}
