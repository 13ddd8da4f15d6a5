//! Subscriptions that end before they have begun, and other ways to leave something behind.

use std::thread;

use heliostat_protocol_tests::signature::user_auth;
use heliostat_protocol_tests::{Incoming, Socket, Target, frame, unique};
use serde_json::{Value, json};

use crate::eventually;

/// The members that the HTTP API tells.
fn users(target: &Target, channel: &str) -> Value {
    target.get(&format!("/channels/{channel}/users")).send().json()["users"].clone()
}

/// Subscribing and leaving in one packet, with a close frame, with a fault or with the mere end of the connection: the
/// others hear of each as often as they hear it leave, and nobody is left.
///
/// Proves: bad input.
#[test]
fn who_leaves_with_the_same_packet_leaves_nothing() {
    const ROUNDS: usize = 30;
    let target = Target::main();
    let channel = unique("presence-brief-");
    let mut witness = target.connect();
    witness.subscribe_presence(&channel, "witness", &json!(null));
    for round in 0..ROUNDS {
        let mut socket = target.connect();
        let member = json!({ "user_id": format!("brief-{round}") }).to_string();
        let auth = socket.auth(&channel, Some(&member));
        let data = json!({ "channel": channel, "auth": auth, "channel_data": member });
        let subscribe = json!({ "event": "pusher:subscribe", "data": data }).to_string();
        let unsubscribe =
            json!({ "event": "pusher:unsubscribe", "data": { "channel": channel } }).to_string();
        let text = frame::FIN | frame::TEXT;
        let mut packet = frame::masked(text, subscribe.as_bytes());
        match round % 4 {
            0 => packet.extend(frame::masked(frame::FIN | frame::CLOSE, &frame::close_payload(1000, ""))),
            1 => packet.extend(frame::unmasked(text, b"unmasked")),
            2 => packet.extend(frame::masked(text, unsubscribe.as_bytes())),
            _ => {}
        }
        socket.send_bytes(&packet);
        if round % 4 == 3 {
            socket.stop_talking();
        }
        drop(socket);
    }
    eventually("only the witness is left", || {
        (users(&target, &channel) == json!([{ "id": "witness" }])).then_some(())
    });
    target.publish(&channel, "end", "");
    let mut present = Vec::new();
    let mut came = 0;
    loop {
        let message = witness.message();
        let user = || message.decoded()["user_id"].as_str().unwrap().to_owned();
        match message.event.as_str() {
            "pusher_internal:member_added" => {
                came += 1;
                present.push(user());
            }
            "pusher_internal:member_removed" => {
                let at = present.iter().position(|present| *present == user());
                present.remove(at.expect("removed without having been there"));
            }
            "end" => break,
            other => panic!("{other}"),
        }
    }
    assert!(present.is_empty(), "never removed: {present:?}");
    assert_eq!(came, ROUNDS, "a packet that arrives whole is heard to its end");
}

/// A user whose connections are ended while they are subscribing leaves no member behind.
///
/// Proves: bad input.
#[test]
fn terminating_in_the_middle_of_subscribing_leaves_nothing() {
    const ROUNDS: usize = 12;
    const CHANNELS: usize = 40;
    let target = Target::main();
    let user = unique("user-");
    let prefix = unique("presence-terminated-");
    for _ in 0..ROUNDS {
        let mut socket = target.connect();
        let user_data = json!({ "id": user }).to_string();
        let auth = user_auth(&socket.app, &socket.id, &user_data);
        socket.send(&json!({ "event": "pusher:signin", "data": { "auth": auth, "user_data": user_data } }));
        socket.expect("pusher:signin_success");
        let terminator = {
            let (target, user) = (target.clone(), user.clone());
            thread::spawn(move || {
                target
                    .post(&format!("/users/{user}/terminate_connections"), &json!({}))
                    .send()
                    .assert_empty_object();
            })
        };
        let subscriptions: Vec<String> =
            (0..CHANNELS).map(|n| subscribe(&socket, &format!("{prefix}-{n}"))).collect();
        socket.send_together(subscriptions.iter().map(String::as_str));
        terminator.join().expect("the request is answered");
        let closed = loop {
            match socket.receive() {
                Incoming::Close(closed) => break closed,
                Incoming::End => socket.fail("it ended without a close frame"),
                _ => {}
            }
        };
        assert_eq!((closed.code, closed.reason.as_str()), (4009, "You got disconnected by the app."));
    }
    eventually("no channel is left", || {
        let channels = target.get("/channels").query("filter_by_prefix", &prefix).send().json();
        (channels["channels"] == json!({})).then_some(())
    });
}

fn subscribe(socket: &Socket, channel: &str) -> String {
    let auth = socket.auth(channel, None);
    json!({ "event": "pusher:subscribe", "data": { "channel": channel, "auth": auth } }).to_string()
}
