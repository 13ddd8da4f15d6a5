//! Apps: what is changed through one node is changed on all.

use std::thread;

use heliostat_protocol_tests::{Credentials, Incoming, Node, Target};
use serde_json::{Value, json};

use crate::{Trio, eventually};

/// The node as clients of this app see it.
fn of(node: &Node, id: &str, key: &str, secret: &str) -> Target {
    node.target.with_credentials(Credentials::new(id, key, secret))
}

/// Whether a client of the app is taken.
fn is_taken(target: &Target) -> bool {
    matches!(target.upgrade("protocol=7").receive(), Incoming::Message(message) if message.event.ends_with("established"))
}

/// An app is created, given another key, switched off and deleted, through one node each: every node follows, and a node
/// that is started afterwards knows it as well.
///
/// Proves: N19.
#[test]
fn an_app_that_is_changed_through_one_node_is_changed_on_all() {
    let mut trio = Trio::own(|setup| setup);
    let created = trio.nodes[0].api("POST", "/api/apps", &json!({ "id": "7", "key": "k7", "secret": "s7" }));
    assert_eq!(created.status, 201, "{created}");
    for node in &trio.nodes {
        eventually("the app is there", || is_taken(&of(node, "7", "k7", "s7")).then_some(()));
    }
    let (a, c) = (of(&trio.nodes[0], "7", "k7", "s7"), of(&trio.nodes[2], "7", "k7", "s7"));
    let mut socket = c.connect();
    socket.subscribe("room");
    a.publish("room", "hello", "x");
    socket.expect_on("room", "hello");

    let rotated = trio.nodes[1].api("POST", "/api/apps/7/keys", &json!({ "key": "new", "secret": "s" }));
    assert_eq!(rotated.status, 201, "{rotated}");
    for node in &trio.nodes {
        eventually("the key is there", || is_taken(&of(node, "7", "new", "s")).then_some(()));
    }
    trio.nodes[0].broker().kill();
    trio.nodes[0] = trio.setup.start_node("a");
    eventually("a new node knows the app", || is_taken(&of(&trio.nodes[0], "7", "new", "s")).then_some(()));

    let disabled = trio.nodes[2].api("PATCH", "/api/apps/7", &json!({ "enabled": false }));
    assert_eq!(disabled.status, 200, "{disabled}");
    for node in &trio.nodes {
        eventually("the app is off", || (!is_taken(&of(node, "7", "new", "s"))).then_some(()));
    }
    let deleted = trio.nodes[0].api("DELETE", "/api/apps/7", &Value::Null);
    assert_eq!(deleted.status, 204, "{deleted}");
    for node in &trio.nodes {
        eventually("the app is gone", || {
            (node.api("GET", "/api/apps/7", &Value::Null).status == 404).then_some(())
        });
    }
}

/// Changes that are made through several nodes at once are all made, or refused with 409: none is lost.
///
/// Proves: N19.
#[test]
fn no_change_is_lost_among_others() {
    let trio = Trio::own(|setup| setup);
    let mut made: Vec<String> = Vec::new();
    thread::scope(|scope| {
        let workers: Vec<_> = trio
            .nodes
            .iter()
            .map(|node| {
                scope.spawn(move || {
                    let mut made = Vec::new();
                    for n in 0..10 {
                        let id = format!("{}{n}", node.name);
                        let answer =
                            node.api("POST", "/api/apps", &json!({ "id": id, "key": id, "secret": id }));
                        match answer.status {
                            201 => made.push(id),
                            409 => {}
                            _ => panic!("{answer}"),
                        }
                    }
                    made
                })
            })
            .collect();
        made.extend(workers.into_iter().flat_map(|worker| worker.join().expect("it makes apps")));
    });
    assert!(made.len() >= 3, "{made:?}");
    for node in &trio.nodes {
        for id in &made {
            eventually("the app is there", || is_taken(&of(node, id, id, id)).then_some(()));
        }
    }
}
