//! The HTTP API: `POST /events`, what it accepts, what arrives, and what it refuses.

mod info;
mod limits;

use heliostat_protocol_tests::http::Connection;
use heliostat_protocol_tests::{Message, Shared, Socket, Target, unique};
use serde_json::json;

/// The limit of one event's data, in bytes.
const DATA_BYTES: usize = 10_240;

/// A client of the target's app that is subscribed to a channel of its own.
pub(crate) fn subscriber(target: &Target) -> (Socket, String) {
    let channel = unique("room-");
    let mut socket = target.connect();
    socket.subscribe(&channel);
    (socket, channel)
}

/// Awaits an event and insists on the shape of its frame: event, data and channel, all strings, and no more.
#[track_caller]
fn expect_frame(socket: &mut Socket, channel: &str, event: &str, data: &str) {
    let Message { whole, .. } = socket.message();
    assert_eq!(whole, json!({ "event": event, "data": data, "channel": channel }));
}

/// A list of channels in the body: success is `{}` and nothing else, and each channel gets the event.
///
/// Proves: 178.
#[test]
pub(crate) fn an_event_for_several_channels_arrives_in_each() {
    let target = Target::main();
    let (mut one, first) = subscriber(&target);
    let second = unique("private-");
    one.subscribe_private(&second);
    let body = json!({ "name": "greet", "channels": [first, second], "data": "{\"hi\":1}" });
    target.events(&body).assert_empty_object();
    let mut arrived = [one.message().whole, one.message().whole];
    arrived.sort_by_key(|frame| frame["channel"] != json!(first));
    for (frame, channel) in arrived.iter().zip([&first, &second]) {
        assert_eq!(*frame, json!({ "event": "greet", "data": "{\"hi\":1}", "channel": channel }));
    }
}

/// One channel in the body, under the singular name.
///
/// Proves: 179.
#[test]
fn an_event_for_one_channel_arrives_there() {
    let target = Target::main();
    let (mut socket, channel) = subscriber(&target);
    let body = json!({ "name": "greet", "channel": channel, "data": "{\"hi\":1}" });
    target.events(&body).assert_empty_object();
    expect_frame(&mut socket, &channel, "greet", "{\"hi\":1}");
}

/// Everything can be said in the query instead, with an empty body.
///
/// Proves: 180.
#[test]
fn an_event_may_be_given_in_the_query() {
    let target = Target::main();
    let (mut socket, channel) = subscriber(&target);
    let data = "{\"text\": \"a+b & c=d, é 100%\"}";
    let call = target.call("POST", "/events").query("name", "greet all").query("data", data);
    call.clone().query("channel", &channel).send().assert_empty_object();
    expect_frame(&mut socket, &channel, "greet all", data);
    let other = unique("room-");
    let several = call.clone().query("channels[]", &channel).query("channels[]", &other);
    several.send().assert_empty_object();
    expect_frame(&mut socket, &channel, "greet all", data);
    let excluded = call.clone().query("channel", &channel).query("socket_id", &socket.id);
    excluded.send().assert_empty_object();
    target.assert_nothing_published(&mut socket, &channel);
    call.query("channel", "no such").send().assert_error_beginning(400, "Invalid channel name");
}

/// With `channel` and `channels` both given, the list counts.
///
/// Proves: 178, 179.
#[test]
fn channels_win_over_channel() {
    let target = Target::main();
    let (mut socket, listed) = subscriber(&target);
    let single = unique("room-");
    socket.subscribe(&single);
    let body = json!({ "name": "greet", "channel": single, "channels": [listed], "data": "" });
    target.events(&body).assert_empty_object();
    expect_frame(&mut socket, &listed, "greet", "");
    target.assert_nothing_published(&mut socket, &single);
}

/// The content type is not looked at, and members of the body that mean nothing are passed over.
///
/// Proves: 178.
#[test]
fn content_type_and_unknown_members_do_not_matter() {
    let target = Target::main();
    let (mut socket, channel) = subscriber(&target);
    let body = json!({
        "name": "greet", "channel": channel, "data": "hi",
        "time": 12, "options": { "deep": [1, { "er": null }] }, "": ""
    });
    for content_type in
        ["text/plain", "application/x-www-form-urlencoded", "", "nonsense", "application/json"]
    {
        target.post("/events", &body).header("Content-Type", content_type).send().assert_empty_object();
        expect_frame(&mut socket, &channel, "greet", "hi");
    }
}

/// The data arrives as it was given, to the last byte; the broker has no opinion on what is in it.
///
/// Proves: 178.
#[test]
pub(crate) fn data_arrives_untouched() {
    let target = Target::main();
    let (mut socket, channel) = subscriber(&target);
    for data in [
        "",
        " ",
        "plain text",
        "{ \"spaced\" :  [ 1.0 , 1e3 , \"\\u00e9\" ] }",
        "{\"broken\": ",
        "quotes \" backslash \\ slash / tab \t line \n return \r",
        "\u{0}\u{1}\u{1f}\u{7f}\u{2028}\u{2029}\u{feff}",
        "é ü 漢字 🎥 e\u{301}",
        "</script><!--",
        "null",
    ] {
        target.publish(&channel, "greet", data);
        expect_frame(&mut socket, &channel, "greet", data);
    }
    let escaped =
        format!(r#"{{"name":"gr\u0065et","channel":"{channel}","data":"\u0041\ud83c\udfa5\/\"\\"}}"#);
    target.post_bytes("/events", escaped).send().assert_empty_object();
    expect_frame(&mut socket, &channel, "greet", "A🎥/\"\\");
}

/// An encrypted channel is joined like a private one, with the same signature and the same empty success, and
/// what is published there, which the broker cannot read, arrives to the byte.
///
/// Proves: 130, 131, 133.
#[test]
fn ciphertext_arrives_untouched() {
    let target = Target::main();
    let channel = unique("private-encrypted-");
    let mut socket = target.connect();
    socket.send(&json!({ "event": "pusher:subscribe", "data": { "channel": channel, "auth": "" } }));
    let refused = socket.drain();
    let error = refused.iter().find(|message| message.event == "pusher:error").expect("an error");
    let message = format!("Auth info required to subscribe to {channel}");
    assert_eq!(error.data, json!({ "code": null, "message": message }));
    socket.subscribe_private(&channel);
    let data = r#"{ "nonce":"4sVYwy4j\/8dCcjyxtPCWyk19GaaViaW9", "ciphertext":"/GMESnFGlbNn01BuBjp31XYa3i9vZsGKR8fgR9EDhXKx3lzGiUD501A==" }"#;
    target.publish(&channel, "secret", data);
    expect_frame(&mut socket, &channel, "secret", data);
}

/// Data that is no string is taken for its JSON text.
///
/// Proves: 178.
#[test]
fn data_that_is_no_string_becomes_its_json() {
    let target = Target::main();
    let (mut socket, channel) = subscriber(&target);
    for data in [json!({ "hi": [1, "é", null], "ho": {} }), json!([]), json!(12.5), json!(true)] {
        let body = json!({ "name": "greet", "channel": channel, "data": data });
        target.events(&body).assert_empty_object();
        let message = socket.expect_on(&channel, "greet");
        assert_eq!(message.decoded(), data);
        let text = message.data.as_str().unwrap_or_default();
        assert!(!text.contains(' '), "the text is compact: {text}");
    }
    let spaced = format!(r#"{{"name":"greet","channel":"{channel}","data":{{ "a" : [ 1 , 2 ] }} }}"#);
    target.post_bytes("/events", spaced).send().assert_empty_object();
    expect_frame(&mut socket, &channel, "greet", r#"{"a":[1,2]}"#);
}

/// A channel that is listed twice gets the event once.
///
/// Proves: 182.
#[test]
fn a_channel_listed_twice_gets_the_event_once() {
    let target = Target::main();
    let (mut socket, channel) = subscriber(&target);
    let body = json!({ "name": "greet", "channels": [channel, "other", channel], "data": "hi" });
    target.events(&body).assert_empty_object();
    expect_frame(&mut socket, &channel, "greet", "hi");
    target.assert_nothing_published(&mut socket, &channel);
}

/// Exactly the connection that `socket_id` names is left out, in every channel of the event.
///
/// Proves: 183.
#[test]
pub(crate) fn one_connection_can_be_left_out() {
    let target = Target::main();
    let (mut left_out, first) = subscriber(&target);
    let second = unique("room-");
    left_out.subscribe(&second);
    let mut others = [target.connect(), target.connect()];
    for other in &mut others {
        other.subscribe(&first);
        other.subscribe(&second);
    }
    let mut body =
        json!({ "name": "greet", "channels": [first, second], "data": "hi", "socket_id": left_out.id });
    target.events(&body).assert_empty_object();
    for other in &mut others {
        let mut channels = [other.expect("greet").channel, other.expect("greet").channel];
        channels.sort_by_key(|channel| channel.as_deref() != Some(first.as_str()));
        assert_eq!(channels, [Some(first.clone()), Some(second.clone())]);
    }
    for channel in [&first, &second] {
        target.assert_nothing_published(&mut left_out, channel);
    }
    // An id that no connection has leaves nobody out.
    for stranger in ["1.1", "99999999999999999999999999.1"] {
        body["socket_id"] = json!(stranger);
        body["channels"] = json!([first]);
        target.events(&body).assert_empty_object();
        expect_frame(&mut left_out, &first, "greet", "hi");
    }
}

/// Publishing to nobody succeeds; publishing twice sends twice; and events arrive in the order of the answers.
///
/// Proves: 178, 179.
#[test]
fn events_are_neither_kept_nor_merged() {
    let target = Target::main();
    let (mut socket, channel) = subscriber(&target);
    target.publish(&unique("nobody-"), "greet", "hi");
    for _ in 0..2 {
        target.publish(&channel, "greet", "hi");
    }
    for number in 0..20 {
        target.publish(&channel, "count", &number.to_string());
    }
    for _ in 0..2 {
        expect_frame(&mut socket, &channel, "greet", "hi");
    }
    for number in 0..20 {
        expect_frame(&mut socket, &channel, "count", &number.to_string());
    }
}

/// An event reaches the app that it was published to, and no other that has a channel of that name.
///
/// Proves: 65.
#[test]
pub(crate) fn an_event_stays_in_its_app() {
    let Some(target) = Target::shared(Shared::Main) else { return };
    let Some(other) = Target::shared(Shared::Other) else { return };
    let (mut socket, channel) = subscriber(&target);
    let mut foreign = other.connect();
    foreign.subscribe(&channel);
    target.publish(&channel, "greet", "hi");
    expect_frame(&mut socket, &channel, "greet", "hi");
    other.assert_nothing_published(&mut foreign, &channel);
    target.assert_nothing_published(&mut socket, &channel);
}

/// One connection serves request after request, also after errors, and when they are sent without waiting.
///
/// Proves: 210.
#[test]
fn a_connection_serves_many_requests() {
    let target = Target::main();
    let (mut socket, channel) = subscriber(&target);
    let mut connection = Connection::open(&target);
    let event = |data: &str| json!({ "name": "greet", "channel": channel, "data": data });
    target.post("/events", &event("1")).send_on(&mut connection).assert_empty_object();
    let wrong = target.post("/events", &event("2")).auth("auth_signature", "0").send_on(&mut connection);
    wrong.assert_error_beginning(401, "Invalid signature");
    let unread = target.post("/events", &json!("no object")).send_on(&mut connection);
    let _ = unread.error(400);
    let listed = target.get("/channels").send_on(&mut connection).json();
    assert!(listed["channels"][&channel].is_object(), "{channel} is not in {listed}");
    let together: Vec<u8> =
        ["3", "4", "5"].iter().flat_map(|data| target.post("/events", &event(data)).bytes()).collect();
    connection.send(&together);
    for _ in 0..3 {
        connection.answer().assert_empty_object();
    }
    for data in ["1", "3", "4", "5"] {
        expect_frame(&mut socket, &channel, "greet", data);
    }
}

/// What `curl` and others do with larger bodies: the head first, and the body when the broker asks for it.
///
/// Proves: 178.
#[test]
fn a_body_may_wait_to_be_asked_for() {
    let target = Target::main();
    let (mut socket, channel) = subscriber(&target);
    let body = json!({ "name": "greet", "channel": channel, "data": "hi" });
    let call = target.post("/events", &body).header("Expect", "100-continue");
    let mut connection = Connection::open(&target);
    connection.send(&call.head());
    connection.expect_continue();
    connection.send(body.to_string().as_bytes());
    connection.answer().assert_empty_object();
    expect_frame(&mut socket, &channel, "greet", "hi");
}

/// Without a length the body comes in chunks, of whatever size.
///
/// Proves: 178.
#[test]
fn a_body_may_come_in_chunks() {
    let target = Target::main();
    let (mut socket, channel) = subscriber(&target);
    let body = json!({ "name": "greet", "channel": channel, "data": "x".repeat(DATA_BYTES) });
    for size in [1000, 7, 100_000] {
        target.post("/events", &body).chunked(size).send().assert_empty_object();
        expect_frame(&mut socket, &channel, "greet", &"x".repeat(DATA_BYTES));
    }
}
