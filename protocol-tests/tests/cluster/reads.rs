//! The HTTP API: every node answers for all of them.

use heliostat_protocol_tests::{Node, Socket, unique};
use serde_json::{Value, json};

use crate::{eventually, eventually_is, member, on_shared_nodes};

/// All nodes answer the same to every question about channels, within a moment of the last change.
///
/// Proves: N10.
#[test]
fn all_nodes_answer_the_same() {
    on_shared_nodes(|trio| {
        let tag = unique("");
        let mut sockets: Vec<Socket> = Vec::new();
        for n in 0..12 {
            let mut socket = trio.nodes[n % 3].target.connect();
            socket.subscribe(&format!("room{tag}-{}", n / 2));
            socket.subscribe_presence(
                &format!("presence-{tag}-{}", n % 4),
                &format!("u{}", n % 5),
                &Value::Null,
            );
            sockets.push(socket);
        }
        let ask = |node: &Node| {
            let query = |prefix: &str, info: &str| {
                let call = node.target.get("/channels").query("filter_by_prefix", prefix);
                let call = if info.is_empty() { call } else { call.query("info", info) };
                call.send().json()
            };
            json!([
                query(&format!("room{tag}-"), ""),
                query(&format!("presence-{tag}-"), "user_count"),
                node.channel(&format!("room{tag}-0"), ""),
                node.channel(&format!("presence-{tag}-1"), "user_count"),
                node.users(&format!("presence-{tag}-1")),
            ])
        };
        let rooms: Vec<String> = (0..6).map(|n| format!("room{tag}-{n}")).collect();
        let agreed = eventually("all answer the same", || {
            let all: Vec<Value> = trio.nodes.iter().map(ask).collect();
            (all[0] == all[1] && all[1] == all[2] && all[0][0]["channels"].as_object()?.len() == 6)
                .then(|| all[0].clone())
        });
        for room in &rooms {
            assert!(agreed[0]["channels"].get(room).is_some(), "{agreed}");
        }
        for n in 0..4 {
            let users: std::collections::BTreeSet<_> =
                (0..12).filter(|i| i % 4 == n).map(|i| i % 5).collect();
            assert_eq!(
                agreed[1]["channels"][format!("presence-{tag}-{n}")]["user_count"],
                json!(users.len())
            );
        }
        drop(sockets);
        for node in &trio.nodes {
            eventually_is("what is left", json!({}), || {
                let call = node.target.get("/channels").query("filter_by_prefix", &format!("room{tag}-"));
                call.send().json()["channels"].clone()
            });
        }
    });
}

/// The answer to a publish counts the subscribers and members of all nodes.
///
/// Proves: N5, N10.
#[test]
fn the_answer_to_a_publish_counts_all_nodes() {
    on_shared_nodes(|trio| {
        let channel = unique("presence-room-");
        let _members = [
            member(&trio.nodes[0], &channel, "ann"),
            member(&trio.nodes[1], &channel, "ann"),
            member(&trio.nodes[2], &channel, "bob"),
        ];
        let body = json!({ "name": "n", "channel": channel, "data": "x", "info": "user_count" });
        for node in &trio.nodes {
            eventually_is("the count in the answer", json!(2), || {
                node.target.events(&body).json()["channels"][&channel]["user_count"].clone()
            });
        }
    });
}
