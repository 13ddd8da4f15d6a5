//! What an event may hold, and what a broken or oversize one is told.

use heliostat_protocol_tests::{Shared, Target, unique};
use serde_json::json;

use super::{DATA_BYTES, expect_frame, subscriber};

/// An event without data, or without a channel, says what is missing.
///
/// Proves: 186, 192.
#[test]
fn what_is_missing_is_named() {
    let target = Target::main();
    let missing = |what: &str| format!("Missing required parameter: {what}");
    target.events(&json!({ "name": "greet", "channel": "room" })).assert_error(400, &missing("data"));
    target.events(&json!({ "name": "greet", "data": "x" })).assert_error(400, &missing("channel"));
    let nowhere = json!({ "name": "greet", "channels": [], "data": "x" });
    let _ = target.events(&nowhere).error(400);
    let nameless = json!({ "channel": "room", "data": "x" });
    target.events(&nameless).assert_error(400, "Expected name parameter to be a string");
    target.events(&json!({})).assert_error(400, "Expected name parameter to be a string");
    let call = target.call("POST", "/events").query("channel", "room").query("data", "x");
    call.send().assert_error(400, "Expected name parameter to be a string");
    target.call("POST", "/events").send().assert_error(400, "Expected name parameter to be a string");
}

/// A name that is no string is as good as none.
///
/// Proves: 186.
#[test]
fn a_name_must_be_a_string() {
    let target = Target::main();
    for name in [json!(null), json!(1), json!(true), json!(["greet"]), json!({ "name": "greet" })] {
        let body = json!({ "name": name, "channel": "room", "data": "x" });
        target.events(&body).assert_error(400, "Expected name parameter to be a string");
    }
}

/// Names that begin with `pusher`, however they go on, belong to the protocol.
///
/// Proves: 187.
#[test]
fn names_of_the_protocol_are_reserved() {
    let target = Target::main();
    let (mut socket, channel) = subscriber(&target);
    let reserved = "The 'pusher' namespace is reserved for internal usage";
    for name in ["pusher:x", "pusher_internal:x", "pusher-note", "pusher", "pushers"] {
        let body = json!({ "name": name, "channel": channel, "data": "" });
        target.events(&body).assert_error(400, reserved);
    }
    for name in ["Pusher:x", "a-pusher", "client-greet", " pusher:x"] {
        target.publish(&channel, name, "");
        expect_frame(&mut socket, &channel, name, "");
    }
}

/// A name has 1 to 200 characters, of any kind.
///
/// Proves: 188.
#[test]
fn a_name_has_up_to_200_characters() {
    let target = Target::main();
    let (mut socket, channel) = subscriber(&target);
    for name in [
        "e".repeat(200),
        "é".repeat(200),
        "🎥".repeat(200),
        r"App\Events\OrderShipped".to_owned(),
        "with spaces, slashes / and \"quotes\"".to_owned(),
        "\n\t\u{0}".to_owned(),
        "漢字".to_owned(),
    ] {
        target.publish(&channel, &name, "");
        expect_frame(&mut socket, &channel, &name, "");
    }
    for name in ["e".repeat(201), "é".repeat(201), String::new()] {
        let body = json!({ "name": name, "channel": channel, "data": "" });
        let _ = target.events(&body).error(400);
    }
    target.assert_nothing_published(&mut socket, &channel);
}

/// A hundred channels may share one event, a hundred and one may not.
///
/// Proves: 181.
#[test]
fn an_event_has_up_to_100_channels() {
    let target = Target::main();
    let mut socket = target.connect();
    let stem = unique("room-");
    let mut channels: Vec<String> = (0..100).map(|number| format!("{stem}-{number}")).collect();
    socket.subscribe(&channels[99]);
    let body = |channels: &[String]| json!({ "name": "greet", "channels": channels, "data": "hi" });
    target.events(&body(&channels)).assert_empty_object();
    expect_frame(&mut socket, &channels[99], "greet", "hi");
    channels.insert(0, format!("{stem}-100"));
    let _ = target.events(&body(&channels)).error(400);
    target.assert_nothing_published(&mut socket, &channels[100]);
}

/// A socket id is two runs of digits and a dot.
///
/// Proves: 184.
#[test]
fn a_malformed_socket_id_is_refused() {
    let target = Target::main();
    let (mut socket, channel) = subscriber(&target);
    let ids = ["1234", "1.", ".1", ".", "", "a.b", "1.2.3", "1.2\n", " 1.2", "1,2", "-1.2", "1.2e3", "١.٢"];
    for id in ids {
        let body = json!({ "name": "greet", "channel": channel, "data": "hi", "socket_id": id });
        target.events(&body).assert_error_beginning(400, "Invalid socket id");
    }
    for id in [json!(1.2), json!(["1.2"]), json!({ "id": "1.2" }), json!(true)] {
        let body = json!({ "name": "greet", "channel": channel, "data": "hi", "socket_id": id });
        let _ = target.events(&body).error(400);
    }
    let call = target.call("POST", "/events").query("name", "greet").query("data", "x");
    call.query("channel", &channel)
        .query("socket_id", "12")
        .send()
        .assert_error_beginning(400, "Invalid socket id");
    target.assert_nothing_published(&mut socket, &channel);
}

/// The limit on data is in bytes, whatever characters they make and however the JSON escaped them.
///
/// Proves: 185.
#[test]
fn data_has_up_to_10240_bytes() {
    let target = Target::main();
    let (mut socket, channel) = subscriber(&target);
    let post = |data: &str| {
        let body = format!(r#"{{"name":"greet","channel":"{channel}","data":"{data}"}}"#);
        target.post_bytes("/events", body).send()
    };
    // The JSON in the body, and how often it is repeated: within the limit, and one over it.
    for (escape, character) in [
        ("x", "x"),
        ("é", "é"),
        (r"\u00e9", "é"),
        (r#"\""#, "\""),
        (r"\\", "\\"),
        (r"\n", "\n"),
        ("🎥", "🎥"),
        (r"\ud83c\udfa5", "🎥"),
    ] {
        let fits = DATA_BYTES / character.len();
        post(&escape.repeat(fits)).assert_empty_object();
        expect_frame(&mut socket, &channel, "greet", &character.repeat(fits));
        let refusal = post(&escape.repeat(fits + 1));
        let text = "The data content of this event exceeds the allowed maximum (10240 bytes)";
        refusal.assert_error_beginning(413, text);
    }
    let object = json!({ "name": "greet", "channel": channel, "data": { "x": "x".repeat(DATA_BYTES) } });
    assert_eq!(target.events(&object).status, 413);
    target.assert_nothing_published(&mut socket, &channel);
}

/// Limits are the app's own.
///
/// Proves: 181, 185, 188, 60.
#[test]
fn an_app_may_have_other_limits() {
    let Some(target) = Target::shared(Shared::Small) else { return };
    let event =
        |name: &str, data: usize| json!({ "name": name, "channel": "room", "data": "x".repeat(data) });
    target.events(&event("greet", 100)).assert_empty_object();
    let text = "The data content of this event exceeds the allowed maximum (100 bytes)";
    target.events(&event("greet", 101)).assert_error_beginning(413, text);
    target.events(&event(&"n".repeat(20), 1)).assert_empty_object();
    let _ = target.events(&event(&"n".repeat(21), 1)).error(400);
    let listed = |channels: &[&str]| json!({ "name": "greet", "channels": channels, "data": "x" });
    target.events(&listed(&["a", "b", "c"])).assert_empty_object();
    let _ = target.events(&listed(&["a", "b", "c", "d"])).error(400);
    target.events(&listed(&[&"c".repeat(50)])).assert_empty_object();
    target.events(&listed(&[&"c".repeat(51)])).assert_error_beginning(400, "Invalid channel name");
}

/// One bad channel in the list, wherever it stands, and nothing is sent to any of them.
///
/// Proves: 189, 61, 62.
#[test]
fn one_invalid_channel_stops_the_whole_event() {
    let target = Target::main();
    let (mut socket, channel) = subscriber(&target);
    let bad = ["", " ", "a b", "a:b", "a/b", "#a", "a#b", "é", "a\n", "a\0", "a%20b", "*", "\""];
    for bad in bad {
        for channels in [json!([channel, bad]), json!([bad, channel])] {
            let body = json!({ "name": "greet", "channels": channels, "data": "hi" });
            let answer = target.events(&body);
            answer.assert_error_beginning(400, "Invalid channel name");
        }
        let body = json!({ "name": "greet", "channel": bad, "data": "hi" });
        let _ = target.events(&body).error(400);
    }
    for bad in [json!(null), json!(1), json!(true), json!(["room"]), json!({})] {
        let body = json!({ "name": "greet", "channels": [channel, bad], "data": "hi" });
        let _ = target.events(&body).error(400);
        let body = json!({ "name": "greet", "channel": bad, "data": "hi" });
        let _ = target.events(&body).error(400);
    }
    for bad in [json!(channel), json!({ "a": channel }), json!(1), json!(false)] {
        let body = json!({ "name": "greet", "channels": bad, "data": "hi" });
        let _ = target.events(&body).error(400);
    }
    target.assert_nothing_published(&mut socket, &channel);
}

/// A channel name has up to 164 characters of the documented alphabet, also here.
///
/// Proves: 59, 60.
#[test]
fn channel_names_over_http() {
    let target = Target::main();
    let mut socket = target.connect();
    let odd = unique("foo-bar_1234@=,.;");
    let long = format!("{}{}", unique(""), "x".repeat(164));
    for channel in [&odd, &long[..164]] {
        socket.subscribe(channel);
        target.publish(channel, "greet", "hi");
        expect_frame(&mut socket, channel, "greet", "hi");
    }
    for length in [165, 200, 201, 100_000] {
        let body = json!({ "name": "greet", "channel": "x".repeat(length), "data": "hi" });
        target.events(&body).assert_error_beginning(400, "Invalid channel name");
    }
}

/// A user's own channel is addressed by its reserved name, the only one with a `#`.
///
/// Proves: 61.
#[test]
fn a_users_channel_may_be_addressed() {
    let target = Target::main();
    for user in ["u1", "10", &"u".repeat(164)] {
        target.publish(&format!("#server-to-user-{user}"), "greet", "hi");
    }
    let too_long = format!("#server-to-user-{}", "u".repeat(165));
    let body = json!({ "name": "greet", "channel": too_long, "data": "hi" });
    target.events(&body).assert_error_beginning(400, "Invalid channel name");
}

/// Every error is one line of plain text, whatever its status.
///
/// Proves: 192.
#[test]
fn errors_are_plain_text() {
    let target = Target::main();
    let _ = target.events(&json!({})).error(400);
    let _ = target.get("/channels").without("auth_key").send().error(401);
    let _ = target.get("/nothing").send().error(404);
    let _ = target.get("/events").send().error(405);
    let large = json!({ "name": "greet", "channel": "room", "data": "x".repeat(DATA_BYTES + 1) });
    let _ = target.events(&large).error(413);
    let Some(disabled) = Target::shared(Shared::Disabled) else { return };
    let _ = disabled.get("/channels").send().error(403);
}
