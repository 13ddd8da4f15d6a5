//! Backends and rules: what they hear, and that each acts once.

use heliostat_protocol_tests::nodes::NODE_APPS;
use heliostat_protocol_tests::{Engine, Pipe, Setup, Socket, unique};
use serde_json::{Value, json};

use crate::{eventually, on_shared_nodes, settle};

fn backend(target: &heliostat_protocol_tests::Target, subscription: &Value) -> Pipe {
    let mut pipe = Pipe::connect_as(target, Some("1.0"));
    pipe.request("subscribe", subscription);
    pipe
}

/// A backend hears the clients of all nodes, each event once; and clients of all nodes may say events of any name while it
/// listens.
///
/// Proves: N13.
#[test]
fn a_backend_hears_the_clients_of_all_nodes() {
    on_shared_nodes(|trio| {
        let channel = unique("stream-");
        let filter = json!({ "events": ["socket_message"], "channels": [channel] });
        let mut pipe = backend(&trio.nodes[0].target, &filter);
        let mut sockets: Vec<Socket> = trio.nodes.iter().map(|node| node.target.connect()).collect();
        for socket in &mut sockets {
            socket.subscribe(&channel);
            // That a backend listens is known to every node within a moment; until then the name is refused.
            let frame = json!({ "event": "frame", "channel": channel, "data": { "probe": true } });
            eventually("the node knows of the backend", || {
                socket.send(&frame);
                socket.drain().iter().all(|message| message.event != "pusher:error").then_some(())
            });
        }
        for n in 0..30 {
            sockets[n % 3].trigger(&channel, "frame", &json!({ "n": n }));
        }
        let mut heard: Vec<Vec<u64>> = vec![Vec::new(); 3];
        while heard.iter().map(Vec::len).sum::<usize>() < 30 {
            let told = pipe.expect_on(&channel, "socket_message");
            if let Some(n) = told["data"]["n"].as_u64() {
                assert_eq!(told["socket_id"], json!(sockets[n as usize % 3].id));
                heard[n as usize % 3].push(n);
            }
        }
        for (sender, heard) in heard.iter().enumerate() {
            assert_eq!(*heard, (0..30).filter(|n| n % 3 == sender as u64).collect::<Vec<_>>());
        }
        pipe.assert_silence();
    });
}

/// A group of backends on several nodes shares the work: each event goes to one of them.
///
/// Proves: N13.
#[test]
fn a_group_shares_the_work_across_nodes() {
    on_shared_nodes(|trio| {
        let channel = unique("work-");
        let group = unique("workers-");
        let share =
            json!({ "events": ["socket_message"], "channels": [channel], "group": { "name": group } });
        let mut workers: Vec<Pipe> = trio.nodes.iter().map(|node| backend(&node.target, &share)).collect();
        let everything = json!({ "events": ["socket_message"], "channels": [channel] });
        let mut all = backend(&trio.nodes[0].target, &everything);
        let mut senders: Vec<Socket> = (0..30).map(|n| trio.nodes[n % 3].target.connect()).collect();
        for sender in &mut senders {
            sender.subscribe(&channel);
            eventually("the node knows of the backends", || {
                sender.send(&json!({ "event": "probe", "channel": channel, "data": 0 }));
                let _ = sender.drain();
                all.drain_told().iter().any(|told| told["socket_id"] == json!(sender.id)).then_some(())
            });
        }
        for sender in &mut senders {
            sender.send(&json!({ "event": "work", "channel": channel, "data": 1 }));
        }
        for _ in 0..senders.len() {
            while all.expect("socket_message")["event"] != json!("work") {}
        }
        let mut by: std::collections::BTreeMap<String, usize> = std::collections::BTreeMap::new();
        eventually("all work is given out", || {
            for worker in &mut workers {
                for told in worker.drain_told() {
                    if told["event"] == json!("work") {
                        *by.entry(told["socket_id"].as_str().unwrap().to_owned()).or_default() += 1;
                    }
                }
            }
            (by.len() == senders.len()).then_some(())
        });
        assert!(by.values().all(|times| *times == 1), "each once: {by:?}");
    });
}

/// A backend hears of the connections of all nodes, of each in order: that it opens, subscribes, leaves and closes.
///
/// Proves: N13.
#[test]
fn a_backend_hears_of_the_connections_of_all_nodes() {
    on_shared_nodes(|trio| {
        let channel = unique("room-");
        let events = ["socket_message", "socket_existence", "subscription"];
        let mut pipe = backend(&trio.nodes[0].target, &json!({ "events": events, "channels": [channel] }));
        for node in &trio.nodes {
            let mut probe = node.target.connect();
            probe.subscribe(&channel);
            eventually("the node knows of the backend", || {
                probe.send(&json!({ "event": "probe", "channel": channel, "data": 0 }));
                probe.drain().iter().all(|message| message.event != "pusher:error").then_some(())
            });
            let mut socket = node.target.connect();
            socket.subscribe(&channel);
            socket.send(&json!({ "event": "pusher:unsubscribe", "data": { "channel": channel } }));
            let id = json!(socket.id);
            socket.close();
            let mut told = Vec::new();
            while told.last().is_none_or(|event| event != "socket_closed") {
                let message = pipe.next_told();
                if message.data["socket_id"] == id {
                    told.push(message.event);
                }
            }
            assert_eq!(told, ["socket_opened", "subscribed", "unsubscribed", "socket_closed"]);
        }
    });
}

/// What a backend sends to a channel through its node reaches everybody, once.
///
/// Proves: N1, N13.
#[test]
fn what_a_backend_sends_reaches_all_nodes() {
    on_shared_nodes(|trio| {
        let channel = unique("room-");
        let mut sockets: Vec<Socket> = trio.nodes.iter().map(|node| node.target.connect()).collect();
        for socket in &mut sockets {
            socket.subscribe(&channel);
        }
        let mut pipe = Pipe::connect_as(&trio.nodes[1].target, Some("1.0"));
        for n in 0..20 {
            let event = json!({ "channel": channel, "event": "number", "data": n });
            pipe.request("send_to_channel", &event);
        }
        for heard in settle(&trio.nodes, &channel, &mut sockets) {
            assert_eq!(crate::numbers(&heard), (0..20).collect::<Vec<_>>());
        }
    });
}

/// A rule acts once, on the node that accepted the event, and what comes of it reaches every node.
///
/// Proves: N13.
#[test]
fn a_rule_acts_once() {
    let rule = "[[apps.pipe]]\nfrom = \"stream-*\"\nevent = \"frame\"\nto = \"mirror-*\"\n\
                source = [\"client\", \"http\"]\n\n[[apps]]\nid = \"1007\"";
    let apps = NODE_APPS.replacen("\n[[apps]]\nid = \"1007\"", rule, 1);
    let engine = Engine::standalone();
    let nodes: [_; 3] = Setup::on(&engine).apps(&apps).start();
    let room = unique("");
    let (stream, mirror) = (format!("stream-{room}"), format!("mirror-{room}"));
    let mut mirrors: Vec<Socket> = nodes.iter().map(|node| node.target.connect()).collect();
    let mut streams: Vec<Socket> = nodes.iter().map(|node| node.target.connect()).collect();
    for socket in &mut mirrors {
        socket.subscribe(&mirror);
    }
    for socket in &mut streams {
        socket.subscribe(&stream);
    }
    for n in 0..15 {
        streams[n % 3].trigger(&stream, "frame", &json!({ "n": n }));
        nodes[n % 3].target.publish(&stream, "frame", &json!({ "n": n + 100 }).to_string());
    }
    for socket in &mut streams {
        let _ = socket.drain();
    }
    for heard in settle(&nodes, &mirror, &mut mirrors) {
        let mut numbers: Vec<u64> =
            heard.iter().map(|message| message.decoded()["n"].as_u64().unwrap()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..15).chain(100..115).collect::<Vec<_>>());
    }
}
