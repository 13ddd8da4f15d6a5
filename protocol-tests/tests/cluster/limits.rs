//! Limits that span nodes.

use heliostat_protocol_tests::{Engine, Incoming, Setup, unique};
use serde_json::json;

use crate::{eventually, member};

const APPS: &str = r#"
[[apps]]
id = "1001"
key = "app-key"
secret = "app-secret"
limits = { connections = 6, presence_members_per_channel = 2 }
"#;

/// An app has so many connections in the cluster, and a presence channel so many members; when one has gone, another finds
/// room, on whatever node.
///
/// Proves: N11.
#[test]
fn connections_and_members_are_counted_across_nodes() {
    let engine = Engine::standalone();
    let nodes: [_; 3] = Setup::on(&engine).apps(APPS).start();
    let channel = unique("presence-room-");
    let _one = member(&nodes[0], &channel, "ann");
    let two = member(&nodes[1], &channel, "bob");
    let mut third = nodes[2].target.connect();
    eventually("the third knows the two", || (nodes[2].users(&channel).len() == 2).then_some(()));
    third.join(&channel, &json!({ "user_id": "cy" }).to_string());
    let refused = third.message();
    assert!(refused.event.ends_with("error"), "{}", refused.whole);
    let _ = third.drain();
    let _more = [nodes[0].target.connect(), nodes[1].target.connect()];
    let mut last = Vec::new();
    for node in &nodes {
        // The overshoot is what is under way: the count is known within a second.
        eventually("the app is full", || {
            let mut socket = node.target.upgrade("protocol=7");
            loop {
                match socket.receive() {
                    Incoming::Close(closed) => return (closed.code == 4004).then_some(()),
                    Incoming::Message(message) if message.event == "pusher:connection_established" => {
                        last.push(socket);
                        return None;
                    }
                    Incoming::Message(_) | Incoming::Ping(_) | Incoming::Pong(_) => {}
                    Incoming::End => panic!("ended without a reason"),
                }
            }
        });
    }
    assert!(last.len() <= 2, "an overshoot of {} where one after the other came", last.len() - 1);
    third.assert_silence();
    two.close();
    eventually("there is room for a member", || {
        third.join(&channel, &json!({ "user_id": "cy" }).to_string());
        let answers = third.drain();
        answers.iter().any(|answer| answer.event.ends_with("subscription_succeeded")).then_some(())
    });
    eventually("there is room for a connection", || {
        let mut socket = nodes[0].target.upgrade("protocol=7");
        matches!(socket.receive(), Incoming::Message(message) if message.event.ends_with("established"))
            .then_some(())
    });
}
