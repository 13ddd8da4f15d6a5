//! Messages that are no request the broker knows, and the forms in which it accepts those it knows.

use heliostat_protocol_tests::{Incoming, Target, unique};
use serde_json::json;

use crate::{fence, keys};

const INVALID: &str = "Received invalid JSON";

/// Text that is no JSON is answered, and the connection stays.
///
/// Proves: 31, 47.
#[test]
fn text_that_is_no_json_is_answered_by_an_error() {
    let mut socket = Target::main().connect();
    let texts = [
        "hello",
        "{",
        "",
        " ",
        "{\"event\":\"pusher:ping\"",
        "{'event':'pusher:ping'}",
        "{event:1}",
        "\u{FEFF}",
        "NaN",
    ];
    for text in texts {
        socket.send_text(text);
        socket.expect_error(None, INVALID);
        socket.assert_silence();
    }
}

/// JSON that is no object is no frame either.
///
/// Proves: 31, 48.
#[test]
fn json_that_is_no_object_is_answered_by_the_same_error() {
    let mut socket = Target::main().connect();
    for text in ["[]", "[{\"event\":\"pusher:ping\"}]", "1", "-0.5e3", "\"pusher:ping\"", "true", "null"] {
        socket.send_text(text);
        socket.expect_error(None, INVALID);
        socket.assert_silence();
    }
}

/// An object without a name, or whose name is no text.
///
/// Proves: bad input.
#[test]
fn a_frame_without_an_event_name_is_answered_by_an_error() {
    let mut socket = Target::main().connect();
    for text in ["{}", r#"{"event":null,"data":{}}"#, r#"{"data":{"event":"pusher:ping"},"channel":"x"}"#] {
        socket.send_text(text);
        socket.expect_error(None, "Missing parameter: event");
    }
    for event in [json!(1), json!(true), json!(["pusher:ping"]), json!({ "event": "pusher:ping" })] {
        socket.send(&json!({ "event": event, "data": {}, "channel": "x" }));
        let text = socket.expect_some_error(None);
        assert!(text.contains("parameter") && text.contains("event"), "{event}: {text:?}");
    }
    socket.assert_silence();
}

/// A name that nobody handles is named in the answer, the broker's own names included.
///
/// Proves: 31, 49.
#[test]
fn an_unknown_event_is_answered_by_its_name() {
    let mut socket = Target::main().connect();
    let long = "e".repeat(190);
    let names = [
        "frame",
        "pusher:subscribed",
        "pusher:Ping",
        "pusher:connection_established",
        "pusher:error",
        "pusher_internal:subscription_succeeded",
        "pusher_internal:member_added",
        "Client-x",
        "client_x",
        "client:x",
        "",
        " ",
        "\u{1F4F7} \"quoted\" \\ back \u{0} \n",
        long.as_str(),
    ];
    for name in names {
        socket.send(&json!({ "event": name, "data": {} }));
        socket.expect_error(None, &format!("Unsupported event received on socket: {name}"));
    }
    socket.assert_silence();
}

/// What old libraries send for `trigger` on a public channel has no meaning where no pipe listens.
///
/// Proves: 49, 50.
#[test]
fn an_unprefixed_event_without_a_pipe_reaches_nobody() {
    let target = Target::main();
    let channel = unique("stream-");
    let mut sender = target.connect_as("client=js&version=1.10.0-pre");
    let mut other = target.connect();
    sender.subscribe(&channel);
    other.subscribe(&channel);
    for name in ["frame", "greet"] {
        sender.trigger(&channel, name, &json!({ "dataUrl": "data:image/webp;base64,AAAA" }));
        sender.expect_error(None, &format!("Unsupported event received on socket: {name}"));
    }
    fence(&target, &channel, [&mut sender, &mut other]);
}

/// A message in several frames is one message, wherever it was cut and whatever control frames came between.
///
/// Proves: 51.
#[test]
fn fragments_are_one_message() {
    let mut socket = Target::main().connect();
    let channel = unique("private-f-");
    let auth = socket.auth(&channel, None);
    let text = json!({ "event": "pusher:subscribe", "data": { "channel": channel, "auth": auth }, "note": "\u{1F4F7}é" });
    let bytes = text.to_string().into_bytes();

    // Byte by byte, also through the middle of characters.
    for (n, byte) in bytes.iter().enumerate() {
        let opcode = if n == 0 { 0x1 } else { 0x0 };
        let fin = if n + 1 == bytes.len() { 0x80 } else { 0 };
        socket.send_frame(fin | opcode, std::slice::from_ref(byte));
    }
    socket.expect_on(&channel, "pusher_internal:subscription_succeeded");

    // With empty frames, and with a Ping and a Pong between.
    let ping = br#"{"event":"pusher:ping"}"#;
    socket.send_frame(0x01, b"");
    socket.send_frame(0x00, &ping[..5]);
    socket.send_frame(0x89, b"between");
    socket.send_frame(0x00, b"");
    socket.send_frame(0x8A, b"");
    socket.send_frame(0x00, &ping[5..]);
    socket.send_frame(0x80, b"");
    assert!(matches!(socket.receive(), Incoming::Pong(payload) if payload == b"between"));
    socket.expect("pusher:pong");
    socket.assert_silence();
}

/// A large message in pieces of 16 KiB, as the pipe's client library cuts it.
///
/// Proves: 51.
#[test]
fn a_large_message_in_pieces_is_one_message() {
    let mut socket = Target::main().connect();
    let padding = "p".repeat(100 * 1024);
    let text = json!({ "event": "pusher:ping", "padding": padding }).to_string();
    let pieces: Vec<&[u8]> = text.as_bytes().chunks(16 * 1024).collect();
    for (n, piece) in pieces.iter().enumerate() {
        let opcode = if n == 0 { 0x1 } else { 0x0 };
        let fin = if n + 1 == pieces.len() { 0x80 } else { 0 };
        socket.send_frame(fin | opcode, piece);
    }
    socket.expect("pusher:pong");
}

/// Binary messages are not part of the protocol, even if their bytes are a frame.
///
/// Proves: 52.
#[test]
fn a_binary_message_is_closed_with_1003() {
    let target = Target::main();
    for head in [0x82, 0x02] {
        let mut socket = target.connect();
        socket.send_frame(head, br#"{"event":"pusher:ping","data":{}}"#);
        if head == 0x02 {
            socket.send_frame(0x80, b"");
        }
        socket.expect_close_with(1003);
        socket.expect_end();
    }
}

/// Members that the protocol does not know are passed over, at either level.
///
/// Proves: 57.
#[test]
fn unknown_members_are_ignored() {
    let mut socket = Target::main().connect();
    let channel = unique("room-");
    socket.send(&json!({
        "js_version": "1.5.0", "socket_id": "1.1", "user_id": "forged", "id": 7, "nested": { "event": "pusher:ping" },
        "event": "pusher:subscribe",
        "data": { "channel": channel, "extra": [1, 2], "socket_id": socket.id, "event": "other" },
    }));
    socket.expect_on(&channel, "pusher_internal:subscription_succeeded");
    socket.assert_silence();
}

/// Some libraries encode `data` twice in requests as well.
///
/// Proves: 58.
#[test]
fn data_may_be_a_string_of_json() {
    let mut socket = Target::main().connect();
    let (public, private) = (unique("room-"), unique("private-room-"));
    let auth = socket.auth(&private, None);
    for (channel, data) in
        [(&public, json!({ "channel": public })), (&private, json!({ "channel": private, "auth": auth }))]
    {
        socket.send(&json!({ "event": "pusher:subscribe", "data": data.to_string() }));
        socket.expect_on(channel, "pusher_internal:subscription_succeeded");
        socket.send(
            &json!({ "event": "pusher:unsubscribe", "data": json!({ "channel": channel }).to_string() }),
        );
    }
    socket.assert_silence();
}

/// Of a member that occurs twice the last one counts, as in every JavaScript engine.
///
/// Proves: bad input.
#[test]
fn of_duplicate_members_the_last_counts() {
    let mut socket = Target::main().connect();
    let (first, last) = (unique("first-"), unique("last-"));
    socket.send_text(&format!(
        r#"{{"event":"pusher:ping","event":"pusher:subscribe","data":{{"channel":"{first}"}},"data":{{"channel":"{first}","channel":"{last}"}}}}"#
    ));
    socket.expect_on(&last, "pusher_internal:subscription_succeeded");
    socket.send_text(r#"{"event":"pusher:subscribe","event":"pusher:ping"}"#);
    socket.expect("pusher:pong");
    socket.assert_silence();
}

/// Requests are handled strictly in the order they were sent, and so are their answers.
///
/// Proves: 36, 85.
#[test]
fn answers_come_in_the_order_of_the_requests() {
    let mut socket = Target::main().connect();
    let channels: Vec<String> = (0..100).map(|n| unique(&format!("room-{n}-"))).collect();
    let requests: Vec<String> = channels
        .iter()
        .flat_map(|channel| {
            let subscribe = json!({ "event": "pusher:subscribe", "data": { "channel": channel } });
            [subscribe.to_string(), r#"{"event":"pusher:ping"}"#.to_owned(), "{bad".to_owned()]
        })
        .collect();
    socket.send_together(requests.iter().map(String::as_str));
    for channel in &channels {
        socket.expect_on(channel, "pusher_internal:subscription_succeeded");
        socket.expect("pusher:pong");
        socket.expect_error(None, INVALID);
    }
    socket.assert_silence();
}

/// Nothing the broker delivers names the sender's socket; old libraries would drop such a frame as an echo.
///
/// Proves: 54, 55, 56.
#[test]
fn delivered_frames_have_exactly_the_members_of_their_kind() {
    let target = Target::main();
    let (private, presence) = (unique("private-d-"), unique("presence-d-"));
    let mut ann = target.connect();
    let mut bob = target.connect();
    for (socket, user) in [(&mut ann, "ann"), (&mut bob, "bob")] {
        socket.subscribe_private(&private);
        socket.subscribe_presence(&presence, user, &json!({ "name": user }));
    }
    let added = ann.expect_on(&presence, "pusher_internal:member_added");
    assert_eq!(keys(&added.whole), ["channel", "data", "event"]);
    let forged = json!({ "event": "client-x", "channel": private, "data": {}, "socket_id": bob.id, "user_id": "eve", "extra": 1 });
    ann.send(&forged);
    assert_eq!(keys(&bob.expect_on(&private, "client-x").whole), ["channel", "data", "event"]);
    ann.send(&json!({ "event": "client-x", "channel": presence, "data": {}, "socket_id": bob.id, "user_id": "eve" }));
    let delivered = bob.expect_on(&presence, "client-x");
    assert_eq!(keys(&delivered.whole), ["channel", "data", "event", "user_id"]);
    target.publish(&private, "greet", "hello");
    for socket in [&mut ann, &mut bob] {
        assert_eq!(keys(&socket.expect_on(&private, "greet").whole), ["channel", "data", "event"]);
        socket.assert_silence();
    }
}

/// The answers of requests carry what their kind carries and no more.
///
/// Proves: 55, 56.
#[test]
fn answers_have_exactly_the_members_of_their_kind() {
    let target = Target::main();
    let mut socket = target.upgrade("protocol=7");
    assert_eq!(keys(&socket.await_established().whole), ["data", "event"]);
    socket.send(&json!({ "event": "pusher:ping" }));
    assert_eq!(keys(&socket.expect("pusher:pong").whole), ["data", "event"]);
    let channel = unique("room-");
    socket.send(&json!({ "event": "pusher:subscribe", "data": { "channel": channel } }));
    assert_eq!(keys(&socket.message().whole), ["channel", "data", "event"]);
    socket.send_text("?");
    let error = socket.expect("pusher:error");
    assert_eq!(keys(&error.data), ["code", "message"]);
}
