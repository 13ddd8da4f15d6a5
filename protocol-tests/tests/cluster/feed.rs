//! The console's live feed over several nodes: who watches at one node is told what happens on all, and nothing of it crosses while
//! nobody watches.

use std::process::{Command, Stdio};

use heliostat_protocol_tests::broker::binary;
use heliostat_protocol_tests::track::BinaryMessage;
use heliostat_protocol_tests::wire::Wire;
use heliostat_protocol_tests::{Engine, Node, Setup, Socket, unique};
use serde_json::{Value, json};

use crate::{eventually, eventually_is, on_shared_nodes};

/// The token of the nodes' admin listeners.
const TOKEN: &str = "a-token-of-the-nodes";

/// Somebody who watches at a node.
pub(crate) struct FeedAt(Wire);

impl FeedAt {
    /// Comes to a node, and wants this.
    pub(crate) fn come(node: &Node, mut filter: Value) -> FeedAt {
        let credentials = format!("Authorization: Bearer {TOKEN}");
        let mut feed = FeedAt(Wire::upgrade(&node.admin, "/console/live", &[&credentials]));
        let hello = feed.message();
        assert_eq!(hello["node_name"], node.name, "{hello}");
        filter["type"] = "filter".into();
        feed.0.send_text(&filter.to_string());
        feed
    }

    fn message(&mut self) -> Value {
        loop {
            let text = self.0.raw_text();
            // A ping has none.
            if !text.is_empty() {
                return serde_json::from_str(&text).expect("JSON");
            }
        }
    }

    /// Waits until so many other nodes pass on what it wants.
    pub(crate) fn await_nodes(&mut self, nodes: usize) {
        loop {
            let message = self.message();
            if message["type"] == "nodes" && message["passing"].as_array().unwrap().len() == nodes {
                assert_eq!(message["silent"], json!([]), "{message}");
                return;
            }
        }
    }

    /// Waits until so many other nodes are silent, and answers why.
    pub(crate) fn await_silent(&mut self, nodes: usize) -> Vec<String> {
        loop {
            let message = self.message();
            let silent = message["silent"].as_array().cloned().unwrap_or_default();
            if message["type"] == "nodes" && silent.len() == nodes {
                assert_eq!(message["passing"], json!([]), "{message}");
                return silent.iter().map(|node| node["why"].as_str().unwrap().to_owned()).collect();
            }
        }
    }

    /// The next entry of this kind.
    fn entry(&mut self, kind: &str) -> Value {
        loop {
            let batch = self.message();
            let entries = batch["entries"].as_array().cloned().unwrap_or_default();
            if let Some(entry) = entries.into_iter().find(|entry| entry["kind"] == kind) {
                return entry;
            }
        }
    }
}

fn publish(node: &Node, channel: &str) {
    let answer =
        node.target.post("/events", &json!({ "name": "e", "channel": channel, "data": "<b>" })).send();
    assert_eq!(answer.status, 200, "{answer}");
}

/// Other nodes to which this one passes on what happens.
fn watching(node: &Node) -> f64 {
    node.metric("heliostat_console_watching_nodes", "")
}

/// Words of the feed that this node has said.
fn said(node: &Node) -> f64 {
    node.metric("heliostat_cluster_messages_total", "direction=\"out\",kind=\"feed\"")
}

/// An event that another node has accepted, with its receivers on all nodes, and a refusal at another one, with its cause, are told
/// where somebody watches, each with its node; and on the terminal. When nobody watches any more, the others have nothing to say.
///
/// Proves: console.
#[test]
fn what_happens_on_all_nodes_is_told_at_one() {
    on_shared_nodes(|trio| {
        let [a, b, _] = &trio.nodes;
        let channel = unique("private-room-");
        let mut members: Vec<Socket> = [a, b, b].into_iter().map(|node| node.target.connect()).collect();
        members.iter_mut().for_each(|socket| socket.subscribe_private(&channel));
        for node in [a, b] {
            eventually_is("it knows of all three", json!(3), || {
                let path = format!("/console/api/apps/1001/channels/{channel}");
                node.api("GET", &path, &Value::Null).json()["subscriptions"].clone()
            });
        }
        let mut feed = FeedAt::come(a, json!({ "channel": channel }));
        feed.await_nodes(2);
        assert_eq!((watching(b), watching(a)), (1.0, 0.0));

        publish(b, &channel);
        let event = feed.entry("events");
        assert_eq!(
            [&event["node_name"], &event["receivers"], &event["receivers_elsewhere"], &event["data"]["text"]],
            [&json!(b.name), &json!(3), &json!(1), &json!("<b>")],
            "{event}"
        );
        let stale = members[1].auth(&channel, None);
        let mut refused = b.target.connect();
        let ask = json!({ "channel": channel, "auth": stale });
        refused.send(&json!({ "event": "pusher:subscribe", "data": ask }));
        let refusal = feed.entry("refusals");
        assert_eq!(
            [&refusal["node_name"], &refusal["socket_id"]],
            [&json!(b.name), &json!(refused.id)],
            "{refusal}"
        );
        assert!(refusal["cause"]["sentence"].as_str().is_some_and(|why| !why.is_empty()), "{refusal}");
        publish(a, &channel);
        let event = feed.entry("events");
        assert_eq!(
            [&event["node_name"], &event["receivers_elsewhere"]],
            [&json!(a.name), &json!(2)],
            "{event}"
        );

        drop(feed);
        eventually_is("nobody is told any more", 0.0, || watching(b));
        let before = said(b);
        assert!(before > 0.0);
        publish(b, &channel);
        // What would be passed on of it is said ten times in a second, and a heartbeat once.
        let beats = || b.metric("heliostat_cluster_messages_total", "direction=\"out\",kind=\"heartbeat\"");
        let until = beats() + 1.0;
        eventually("a second passes at b", || (beats() >= until).then_some(()));
        assert_eq!((said(b), watching(b)), (before, 0.0), "an event that nobody wants to be told of");
        let admin = format!("http://127.0.0.1:{}", a.admin.port);
        let mut tail = Command::new(binary())
            .args(["tail", "--admin", &admin, "--token", TOKEN, "--app", "1001", "--kind", "events"])
            .args(["--node", &b.name, "--channel", &channel, "--lines", "1"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        eventually("the command has seen an event", || {
            // Of this node nothing is wanted.
            [a, b].into_iter().for_each(|node| publish(node, &channel));
            tail.try_wait().unwrap()
        });
        let told = String::from_utf8(tail.wait_with_output().unwrap().stdout).unwrap();
        let expected = format!(
            "  event         {}  1001  {channel}  e  received by 3 (1 on other nodes)  <b>\n",
            b.name
        );
        assert!(told.ends_with(&expected) && told.lines().count() == 1, "{told}");
    });
}

/// The content of a binary message that came to another node is fetched at the node at which somebody watches, whole and served as
/// nothing that a browser would run. When nobody watches any more, it is kept nowhere.
///
/// Proves: console.
#[test]
fn a_picture_that_came_to_another_node_can_be_fetched() {
    let engine = Engine::standalone();
    let [a, b]: [Node; 2] = Setup::on(&engine).start();
    let kept = |node: &Node| node.metric("heliostat_console_feed_bytes", "");
    let mut feed = FeedAt::come(&a, json!({ "kinds": ["events"] }));
    feed.await_nodes(1);
    let mut sender = b.target.connect_as("protocol=7&client=js&version=8.4.0&flash=false&binary=1");
    sender.subscribe_private("private-room");
    // It is more than one answer between nodes may have.
    let content: Vec<u8> = (0..700_000_u32).map(|at| (at % 251) as u8).collect();
    let mut paths = Vec::new();
    for (media_type, served) in [("image/png", "image/png"), ("text/html", "application/octet-stream")] {
        BinaryMessage::new("private-room", "client-e", media_type, &json!({}), content.clone())
            .send(&mut sender);
        let event = feed.entry("events");
        let path = event["data"]["payload"].as_str().unwrap_or_else(|| panic!("no payload: {event}"));
        assert_eq!(path.split('/').nth(4), event["node"].as_str(), "it is named by its node");
        for node in [&a, &b] {
            let answer = node.api("GET", path, &Value::Null);
            assert_eq!((answer.status, answer.body == content), (200, true), "{}", node.name);
            assert_eq!(answer.header("content-type"), Some(served));
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
            let policy = answer.header("content-security-policy").unwrap();
            assert!(policy.contains("default-src 'none'") && policy.contains("sandbox"), "{policy}");
        }
        paths.push(path.to_owned());
    }
    let node = paths[0].split('/').nth(4).unwrap();
    for nothing in [
        format!("/console/live/payloads/{node}/99"),
        format!("/console/live/payloads/{node}/x"),
        format!("/console/live/payloads/{}/1", "0".repeat(32)),
    ] {
        assert_eq!(a.api("GET", &nothing, &Value::Null).status, 404, "{nothing}");
    }
    drop(feed);
    eventually_is("nothing is kept", [0.0, 0.0], || [&a, &b].map(kept));
    assert_eq!(a.api("GET", &paths[1], &Value::Null).status, 404);
    drop(sender);
}
