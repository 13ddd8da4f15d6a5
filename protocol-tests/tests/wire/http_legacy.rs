//! The HTTP API: the deprecated endpoints that old libraries still call.

use heliostat_protocol_tests::http::{Call, Response};
use heliostat_protocol_tests::{Shared, Target, unique};
use serde_json::{Value, json};

use crate::http_events::subscriber;

/// Posts `body` as the data of an event, in the old way.
fn post<'t>(target: &'t Target, channel: &str, body: impl Into<Vec<u8>>) -> Call<'t> {
    target.post_bytes(&format!("/channels/{channel}/events"), body).query("name", "greet")
}

/// Asserts the old success: accepted, and not a byte of body.
#[track_caller]
fn assert_accepted(answer: &Response) {
    assert_eq!(answer.status, 202, "the answer was {answer}");
    assert!(answer.body.is_empty(), "the answer was {answer}");
}

/// The body itself is the data, and the answer is an empty 202.
///
/// Proves: 206.
#[test]
fn the_body_is_the_data() {
    let target = Target::main();
    let (mut socket, channel) = subscriber(&target);
    for data in ["{\"hi\":1}", "{ \"odd\" :\n[ \"\\u00e9\" ] }", "\"a string\"", "17"] {
        assert_accepted(&post(&target, &channel, data).send());
        let frame = socket.message().whole;
        assert_eq!(frame, json!({ "event": "greet", "data": data, "channel": channel }));
    }
}

/// The data need not be JSON, but it must be text.
///
/// Proves: 207.
#[test]
fn the_body_is_any_text() {
    let target = Target::main();
    let (mut socket, channel) = subscriber(&target);
    for data in ["plain", "{\"broken\": ", "é 🎥 \u{0}\u{1}", "name=x&data=y", "\u{feff}bom"] {
        assert_accepted(&post(&target, &channel, data).send());
        assert_eq!(socket.expect_on(&channel, "greet").data, json!(data));
    }
    for bytes in [&b"\xff"[..], b"caf\xe9", b"\xed\xa0\x80", b"cut \xf0\x9f\x8e", b"\xc0\x80"] {
        let _ = post(&target, &channel, bytes).send().error(400);
    }
    target.assert_nothing_published(&mut socket, &channel);
}

/// The limit on data is that of other events.
///
/// Proves: 206, 185.
#[test]
fn the_body_has_up_to_10240_bytes() {
    let target = Target::main();
    let (mut socket, channel) = subscriber(&target);
    let largest = "é".repeat(5120);
    assert_accepted(&post(&target, &channel, largest.as_str()).send());
    assert_eq!(socket.expect_on(&channel, "greet").data, json!(largest));
    let refusal = post(&target, &channel, largest + "x").send();
    refusal.assert_error_beginning(
        413,
        "The data content of this event exceeds the allowed maximum (10240 bytes)",
    );
    target.assert_nothing_published(&mut socket, &channel);
}

/// The connection that the query names is left out.
///
/// Proves: 206, 183.
#[test]
fn one_connection_can_be_left_out() {
    let target = Target::main();
    let (mut left_out, channel) = subscriber(&target);
    let mut other = target.connect();
    other.subscribe(&channel);
    assert_accepted(&post(&target, &channel, "hi").query("socket_id", &left_out.id).send());
    let _ = other.expect_on(&channel, "greet");
    target.assert_nothing_published(&mut left_out, &channel);
    post(&target, &channel, "hi")
        .query("socket_id", "12")
        .send()
        .assert_error_beginning(400, "Invalid socket id");
}

/// Names are held to the rules of other events.
///
/// Proves: 186, 187, 188, 189, 206.
#[test]
fn the_rules_of_events_hold() {
    let target = Target::main();
    let (mut socket, channel) = subscriber(&target);
    let named = |name: &str| {
        target.post_bytes(&format!("/channels/{channel}/events"), "hi").query("name", name).send()
    };
    let nameless = target.post_bytes(&format!("/channels/{channel}/events"), "hi").send();
    nameless.assert_error(400, "Expected name parameter to be a string");
    named("pusher:x").assert_error(400, "The 'pusher' namespace is reserved for internal usage");
    let _ = named(&"e".repeat(201)).error(400);
    for bad in ["a%20b", "a%3Ab", "%C3%A9", &"x".repeat(165)] {
        post(&target, bad, "hi").send().assert_error_beginning(400, "Invalid channel name");
    }
    target.assert_nothing_published(&mut socket, &channel);
    assert_accepted(&named(r"App\Events\OrderShipped é"));
    let _ = socket.expect_on(&channel, r"App\Events\OrderShipped é");
}

/// Whether a channel is occupied could once be asked in another place.
///
/// Proves: 208.
#[test]
fn statistics_tell_whether_a_channel_is_occupied() {
    let target = Target::main();
    let (_socket, channel) = subscriber(&target);
    let ask = |channel: &str| target.get(&format!("/channels/{channel}/stats")).send().json();
    assert_eq!(ask(&channel)["occupied"], json!(true));
    assert_eq!(ask(&unique("room-"))["occupied"], json!(false));
    let presence = unique("presence-room-");
    let mut members = [target.connect(), target.connect()];
    for member in &mut members {
        let _ = member.subscribe_presence(&presence, "u1", &Value::Null);
    }
    let answer = ask(&presence);
    assert_eq!(answer["occupied"], json!(true));
    let users = answer.get("user_count");
    assert!(users.is_none_or(|count| *count == json!(1)), "one user in {answer}");
    let connections = answer.get("connection_count");
    assert!(connections.is_none_or(|count| *count == json!(2)), "two connections in {answer}");
    let _ = target.get("/channels/a%20b/stats").send().error(400);
}

/// The old endpoints are signed like the others.
///
/// Proves: 171, 172, 206.
#[test]
fn old_endpoints_are_signed_too() {
    let target = Target::main();
    let (mut socket, channel) = subscriber(&target);
    let call = post(&target, &channel, "hi");
    call.clone().auth("auth_signature", "0").send().assert_error_beginning(401, "Invalid signature");
    call.sent_body("ho").send().assert_error_beginning(401, "Invalid body_md5");
    let stats = target.get(&format!("/channels/{channel}/stats")).auth("auth_signature", "0");
    stats.send().assert_error_beginning(401, "Invalid signature");
    target.assert_nothing_published(&mut socket, &channel);
    let Some(plain) = Target::shared(Shared::Plain) else { return };
    assert_accepted(&post(&plain, &channel, "hi").send());
    target.assert_nothing_published(&mut socket, &channel);
}
