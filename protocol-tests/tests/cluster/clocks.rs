//! Nodes whose clocks are hours apart: nothing is ordered by them.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use heliostat_protocol_tests::{Engine, Node, Setup, Socket, unique};
use serde_json::{Value, json};

use crate::cache::assert_waits;
use crate::webhooks::{self, Told};
use crate::{ADDED, REMOVED, eventually_is, ids, numbers, sorted, users_told};

const HOUR: i64 = 3600;

/// What has a process see another time of day, as the dynamic loader takes it.
struct OtherClock(PathBuf);

impl OtherClock {
    fn build() -> OtherClock {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/clock.c");
        let library = std::env::temp_dir().join(unique("clock-")).with_extension("so");
        let built =
            Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).status();
        assert!(built.is_ok_and(|status| status.success()), "cc does not build {source}");
        OtherClock(library)
    }

    fn node(&self, setup: &Setup, name: &str, off: i64) -> Node {
        let setup = setup.clone().variable("LD_PRELOAD", &self.0.display().to_string());
        setup.variable("CLOCK_OFF", &off.to_string()).start_node(name)
    }
}

impl Drop for OtherClock {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn seconds() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().try_into().unwrap()
}

/// Publishes through a node whose clock is off by so much: with its own time, for it refuses others.
fn publish(node: &Node, off: i64, channel: &str, number: usize) {
    let body = json!({ "name": "number", "channel": channel, "data": number.to_string() });
    if off != 0 {
        let refused = node.target.events(&body);
        assert_eq!(refused.status, 401, "the clock of {} is right: {refused}", node.name);
    }
    let answer = node.target.post("/events", &body).timestamp(seconds(), off).send();
    answer.assert_empty_object();
}

fn users(node: &Node, off: i64, channel: &str) -> Vec<String> {
    let path = format!("/channels/{channel}/users");
    let answer = node.target.get(&path).timestamp(seconds(), off).send().json();
    let users = answer["users"].as_array().cloned().unwrap_or_default();
    sorted(users.iter().filter_map(|user| user["id"].as_str()))
}

/// One node's clock is an hour early and another's an hour late: events come everywhere once and in order, remembered ones
/// wait, rosters are one, a node that dies is missed, and webhooks tell each thing once.
///
/// Proves: N1, N5, N6, N9, N12, N17.
#[test]
fn clocks_that_are_hours_apart_order_nothing() {
    const OFF: [i64; 3] = [0, HOUR, -HOUR];
    let (engine, sink, clock) = (Engine::standalone(), webhooks::sink(), OtherClock::build());
    sink.forgive_clocks(Duration::from_secs(HOUR.unsigned_abs()));
    let setup = Setup::on(&engine).apps(&webhooks::apps(&sink, 1.0));
    let nodes: [Node; 3] = std::array::from_fn(|n| clock.node(&setup, &Setup::name(n), OFF[n]));
    let (hall, cache) = (unique("presence-room-"), unique("cache-room-"));
    let (mut sockets, mut told): (Vec<Socket>, _) = (Vec::new(), Told::default());
    for (n, node) in nodes.iter().enumerate() {
        let mut socket = node.target.connect();
        let roster = socket.subscribe_presence(&hall, &format!("u{n}"), &Value::Null);
        // Who was told of a success a moment ago is in the roster, or announced after it.
        let missing = n + 1 - ids(&roster).len();
        let _ = users_told(&mut socket, ADDED, missing);
        for other in &mut sockets {
            assert_eq!(users_told(other, ADDED, 1), [format!("u{n}")]);
        }
        sockets.push(socket);
        // Two who come first at the same moment may be told of by two nodes.
        told.until(&sink, "channel_occupied", &hall);
    }
    for n in 0..30 {
        publish(&nodes[n % 3], OFF[n % 3], &hall, n);
    }
    for socket in &mut sockets {
        let heard: Vec<_> = (0..30).map(|_| socket.expect_on(&hall, "number")).collect();
        assert_eq!(numbers(&heard), (0..30).collect::<Vec<_>>());
    }
    for n in 0..6 {
        publish(&nodes[n % 3], OFF[n % 3], &cache, n);
        assert_waits(&nodes[(n + 1) % 3], &cache, n);
    }
    nodes[1].broker().kill();
    for n in [0, 2] {
        assert_eq!(users_told(&mut sockets[n], REMOVED, 1), ["u1"]);
        eventually_is("who is left", sorted(["u0", "u2"]), || users(&nodes[n], OFF[n], &hall));
    }
    told.until(&sink, "member_removed u1", &hall);
    let wanted =
        ["channel_occupied", "member_added u0", "member_added u1", "member_added u2", "member_removed u1"];
    assert_eq!(sorted(told.on(&hall)), wanted);
}
