//! What takes a worker more than one turn is done all the same, once and in order.

use std::time::{Duration, Instant};

use heliostat_protocol_tests::http::{Connection, Response};
use heliostat_protocol_tests::transport::{post, session_id};
use heliostat_protocol_tests::{Target, unique};
use serde_json::json;

/// More than what a worker does in one turn.
const MANY: usize = 700;

#[test]
fn nothing_is_left_of_a_connection_with_many_subscriptions() {
    let target = Target::main();
    let prefix = unique("many-");
    let mut socket = target.connect();
    (0..MANY).for_each(|n| socket.subscribe(&format!("{prefix}-{n}")));
    let occupied = || {
        let channels = target.get("/channels").query("filter_by_prefix", &prefix).send().json();
        channels["channels"].as_object().map_or(0, serde_json::Map::len)
    };
    assert_eq!(occupied(), MANY);
    drop(socket);
    let deadline = Instant::now() + Duration::from_secs(20);
    while occupied() > 0 {
        assert!(Instant::now() < deadline, "{} channels are still occupied", occupied());
    }
}

#[test]
fn every_message_of_a_large_request_is_heard_in_order() {
    let target = Target::main();
    let base = format!("{}/pusher/000/{}", target.path_prefix, session_id());
    let ask = |wish: &str, body: &str| -> Response {
        let mut connection = Connection::open(&target);
        connection.send(&post(&target, &format!("{base}/{wish}"), body, &[]));
        connection.answer()
    };
    assert_eq!(ask("xhr", "").text(), "o\n");
    let path = json!({ "path": target.socket_path("protocol=7&client=js&version=8.4.0") }).to_string();
    assert_eq!(ask("xhr_send", &json!([path]).to_string()).status, 204);
    let prefix = unique("many-");
    let wish = |n: usize| {
        json!({ "event": "pusher:subscribe", "data": { "channel": format!("{prefix}-{n}") } }).to_string()
    };
    let wishes: Vec<String> = (0..MANY).map(wish).collect();
    assert_eq!(ask("xhr_send", &json!(wishes).to_string()).status, 204);
    let mut granted = Vec::new();
    while granted.len() < MANY {
        let text = ask("xhr", "").text().to_owned();
        let messages: Vec<String> = serde_json::from_str(text.trim_start_matches('a')).expect("an array");
        for message in messages {
            let message: serde_json::Value = serde_json::from_str(&message).expect("JSON");
            if message["event"] == "pusher_internal:subscription_succeeded" {
                granted.push(message["channel"].as_str().expect("a channel").to_owned());
            }
        }
    }
    let expected: Vec<String> = (0..MANY).map(|n| format!("{prefix}-{n}")).collect();
    assert_eq!(granted, expected);
}
