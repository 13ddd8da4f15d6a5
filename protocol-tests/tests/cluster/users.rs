//! Signed-in users across nodes: their events, their ends, and who watches whom.

use heliostat_protocol_tests::signature::user_auth;
use heliostat_protocol_tests::{Node, Pipe, Socket, unique};
use serde_json::{Value, json};

use crate::{eventually, on_shared_nodes};

const WATCHED: &str = "pusher_internal:watchlist_events";

/// A connection that is signed in as this user, with this watchlist.
#[track_caller]
pub(crate) fn signed_in(node: &Node, id: &str, watchlist: &Value) -> Socket {
    let mut socket = node.target.connect();
    let user_data = json!({ "id": id, "watchlist": watchlist }).to_string();
    let auth = user_auth(&node.target.credentials, &socket.id, &user_data);
    socket.send(&json!({ "event": "pusher:signin", "data": { "auth": auth, "user_data": user_data } }));
    socket.expect("pusher:signin_success");
    socket
}

/// What is sent to a user through any node reaches the user's connections on every node, once, and nobody else.
///
/// Proves: N8.
#[test]
pub(crate) fn a_users_events_reach_the_user_on_every_node() {
    on_shared_nodes(|trio| {
        let (ann, bob) = (unique("ann-"), unique("bob-"));
        let channel = format!("#server-to-user-{ann}");
        let mut devices: Vec<Socket> =
            trio.nodes.iter().map(|node| signed_in(node, &ann, &Value::Null)).collect();
        let mut stranger = signed_in(&trio.nodes[0], &bob, &Value::Null);
        for socket in &mut devices {
            socket.send(&json!({ "event": "pusher:subscribe", "data": { "channel": channel, "auth": "" } }));
            socket.expect_on(&channel, "pusher_internal:subscription_succeeded");
        }
        for (n, node) in trio.nodes.iter().enumerate() {
            node.target.publish(&channel, "note", &n.to_string());
            for socket in &mut devices {
                assert_eq!(socket.expect_on(&channel, "note").data, json!(n.to_string()));
            }
        }
        for socket in devices.iter_mut().chain([&mut stranger]) {
            socket.assert_silence();
        }
    });
}

/// Ending a user's connections through one node ends them on all, and nobody else's.
///
/// Proves: N8.
#[test]
pub(crate) fn a_users_connections_end_on_every_node() {
    on_shared_nodes(|trio| {
        let ann = unique("ann-");
        for through in &trio.nodes {
            let mut ended: Vec<Socket> =
                trio.nodes.iter().map(|node| signed_in(node, &ann, &Value::Null)).collect();
            let mut other = signed_in(&trio.nodes[1], &unique("bob-"), &Value::Null);
            let path = format!("/users/{ann}/terminate_connections");
            through.target.post(&path, &json!({})).send().assert_empty_object();
            for socket in &mut ended {
                assert_eq!(socket.expect_close_with(4009), "You got disconnected by the app.");
            }
            other.assert_silence();
        }
    });
}

/// Who watches users hears of the first connection of each and of the last, wherever these are.
///
/// Proves: N8.
#[test]
fn watchers_hear_of_users_on_other_nodes() {
    on_shared_nodes(|trio| {
        let (bob, cy) = (unique("bob-"), unique("cy-"));
        let early = signed_in(&trio.nodes[0], &bob, &Value::Null);
        let told = |socket: &mut Socket| {
            let decoded = socket.expect(WATCHED).decoded();
            let events = decoded["events"].as_array().expect("an array of events").clone();
            let of = |name: &str| {
                let found = events.iter().find(|event| event["name"] == json!(name));
                found.map_or(Value::Null, |event| event["user_ids"].clone())
            };
            (of("online"), of("offline"))
        };
        // A sign-in is known elsewhere within a second: then the first list is right, else it is corrected.
        let mut watcher = signed_in(&trio.nodes[1], &unique("ann-"), &json!([bob, cy]));
        if told(&mut watcher) != (json!([bob]), json!([cy])) {
            assert_eq!(told(&mut watcher), (json!([bob]), Value::Null));
        }
        let first = signed_in(&trio.nodes[2], &cy, &Value::Null);
        assert_eq!(told(&mut watcher), (json!([cy]), Value::Null));
        let second = signed_in(&trio.nodes[1], &cy, &Value::Null);
        first.close();
        watcher.assert_silence();
        second.vanish();
        assert_eq!(told(&mut watcher), (Value::Null, json!([cy])));
        early.vanish();
        assert_eq!(told(&mut watcher), (Value::Null, json!([bob])));
        watcher.assert_silence();
    });
}

/// A backend that is connected to one node reaches a socket and a user of another; for a socket that no node knows, it is
/// told so.
///
/// Proves: N8.
#[test]
fn a_backend_reaches_sockets_and_users_of_other_nodes() {
    on_shared_nodes(|trio| {
        let ann = unique("ann-");
        let mut pipe = Pipe::connect_as(&trio.nodes[0].target, Some("1.0"));
        let mut socket = signed_in(&trio.nodes[1], &ann, &Value::Null);
        let channel = format!("#server-to-user-{ann}");
        socket.send(&json!({ "event": "pusher:subscribe", "data": { "channel": channel, "auth": "" } }));
        socket.expect_on(&channel, "pusher_internal:subscription_succeeded");
        let direct = json!({ "socket_id": socket.id, "event": "direct", "data": { "n": 1 } });
        assert_eq!(pipe.request("send_to_socket", &direct), json!({}));
        assert_eq!(socket.expect("direct").decoded(), json!({ "n": 1 }));
        pipe.request("send_to_user", &json!({ "user_id": ann, "event": "hello", "data": { "n": 2 } }));
        assert_eq!(socket.expect_on(&channel, "hello").decoded(), json!({ "n": 2 }));
        for nobody in ["1.1", "0.0", "999999999999.1"] {
            let params = json!({ "socket_id": nobody, "event": "e", "data": {} });
            assert_eq!(pipe.refused("send_to_socket", &params).0, 4211);
        }
        socket.assert_silence();
        for nobody in ["1.1", "0.0", "999999999999.1"] {
            assert_eq!(pipe.refused("close_socket", &json!({ "socket_id": nobody })).0, 4211);
        }
        assert_eq!(pipe.request("close_socket", &json!({ "socket_id": socket.id })), json!({}));
        assert_eq!(socket.expect_close_with(4009), "You got disconnected by the app.");
    });
}

/// Ending somebody's connections while they come and go on all nodes leaves nothing behind.
///
/// Proves: N8, N5.
#[test]
fn ending_users_who_come_and_go_leaves_nothing_behind() {
    on_shared_nodes(|trio| {
        let (ann, channel) = (unique("ann-"), unique("presence-"));
        let path = format!("/users/{ann}/terminate_connections");
        for round in 0..15 {
            let mut socket = trio.nodes[round % 3].target.connect();
            let user_data = json!({ "id": ann }).to_string();
            let auth = user_auth(&socket.app, &socket.id, &user_data);
            socket
                .send(&json!({ "event": "pusher:signin", "data": { "auth": auth, "user_data": user_data } }));
            let auth = socket.auth(&channel, None);
            socket
                .send(&json!({ "event": "pusher:subscribe", "data": { "channel": channel, "auth": auth } }));
            trio.nodes[(round + 1) % 3].target.post(&path, &json!({})).send().assert_empty_object();
            drop(socket);
        }
        for node in &trio.nodes {
            eventually("nobody is left", || node.users(&channel).is_empty().then_some(()));
        }
    });
}
