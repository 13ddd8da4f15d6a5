//! The console's live feed over several nodes: who watches at one node is told what happens on all, and nothing of it crosses while
//! nobody watches.

use std::process::{Command, Stdio};

use heliostat_protocol_tests::broker::binary;
use heliostat_protocol_tests::wire::Wire;
use heliostat_protocol_tests::{Node, Socket, unique};
use serde_json::{Value, json};

use crate::{eventually, eventually_is, on_shared_nodes};

/// The token of the nodes' admin listeners.
const TOKEN: &str = "a-token-of-the-nodes";

/// Somebody who watches at a node.
struct FeedAt(Wire);

impl FeedAt {
    /// Comes to a node, and wants this.
    fn come(node: &Node, mut filter: Value) -> FeedAt {
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
    fn await_nodes(&mut self, nodes: usize) {
        loop {
            let message = self.message();
            if message["type"] == "nodes" && message["passing"].as_array().unwrap().len() == nodes {
                assert_eq!(message["silent"], json!([]), "{message}");
                return;
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
