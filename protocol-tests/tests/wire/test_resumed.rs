//! A program that is cut off and comes back, in test mode: whether it was sent what it missed can be waited for.

use heliostat_protocol_tests::{Incoming, Socket, TestApp, TestMode};
use serde_json::{Value, json};

use crate::subscribe::subscribe;

/// An app whose channels keep three events.
fn keeping(mode: &TestMode) -> TestApp<'_> {
    let channels = json!([{ "pattern": "*", "history": { "events": 3 } }]);
    mode.app(&json!({ "channels": channels }))
}

/// Asks for the last events, and returns what was sent of these.
#[track_caller]
fn rewound(socket: &mut Socket, events: u32) -> Vec<Value> {
    subscribe(socket, json!({ "channel": "room", "rewind": { "events": events } }));
    socket.expect_on("room", "pusher_internal:subscription_succeeded");
    let mut data = Vec::new();
    loop {
        let message = socket.message();
        match message.event.as_str() {
            "pusher:resumed" => return data,
            _ => data.push(message.data),
        }
    }
}

/// A connection is cut without a word, events come, and it is in the log that who came then was sent them, and that this was
/// all; or that it was not.
///
/// Proves: test mode, recovery.
#[test]
fn that_nothing_was_missed_can_be_waited_for() {
    let Some(mode) = TestMode::start(&[]) else { return };
    let app = keeping(&mode);
    let mut socket = app.target.connect();
    assert!(rewound(&mut socket, 1).is_empty());
    let incomplete = |count| {
        let data = json!([{ "path": "complete", "equals": false }]);
        json!({ "type": "resumed", "channel": "room", "data": data, "count": count })
    };
    app.wait(&incomplete(1));
    let id = socket.id.clone();
    app.ask("POST", "/close", &json!({ "socket_id": id, "abrupt": true }));
    assert_eq!(socket.receive(), Incoming::End);
    app.wait(&json!({ "type": "subscribers", "channel": "room", "count": 0 }));
    for text in ["1", "2"] {
        app.target.publish("room", "message", text);
    }
    let mut socket = app.target.connect();
    assert_eq!(rewound(&mut socket, 2), ["1", "2"]);
    let data = json!([{ "path": "complete", "equals": true }, { "path": "events", "equals": 2 }]);
    let id = socket.id.clone();
    app.wait(&json!({ "type": "resumed", "channel": "room", "socket_id": id, "data": data, "count": 1 }));
    app.wait(&json!({ "type": "delivered", "socket_id": id, "name": "message", "count": 2 }));
    assert!(app.call("GET", "/timeline", &Value::Null).1.to_string().contains("resumed room"));
    app.wait(&incomplete(1));
}

/// A reset forgets what channels keep, and says so to whoever asks; what comes next is kept.
///
/// Proves: test mode, recovery.
#[test]
fn a_reset_forgets_what_channels_keep() {
    let Some(mode) = TestMode::start(&[]) else { return };
    let app = keeping(&mode);
    let mut stays = app.target.connect();
    stays.subscribe("room");
    app.target.publish("room", "message", "1");
    stays.expect("message");
    let app_id = app.id();
    mode.ask("POST", "/test/reset", &json!({ "app_id": app_id }));
    assert!(rewound(&mut app.target.connect(), 1).is_empty());
    app.target.publish("room", "message", "2");
    assert_eq!(rewound(&mut app.target.connect(), 1), ["2"]);
    assert_eq!(stays.expect("message").data, json!("2"));
}
