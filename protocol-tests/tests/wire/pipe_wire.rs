//! The pipe's original wire: what a backend of 2012 was told, and what it could say.

use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Credentials, Pipe, Target, picture, signature, unique};
use serde_json::{Value, json};

use crate::{eventually, fence, keys};

/// A signed connection on the app's id is greeted by the pipe's own socket id; the greeting comes first, to every
/// version.
///
/// Proves: 244, 245, 247.
#[test]
fn a_signed_connection_is_greeted() {
    let Some(target) = Target::own(MAIN_APP) else { return };
    for version in [Some("0.2"), Some("1.0"), None] {
        let mut pipe = Pipe::upgrade(&target, &Pipe::path(&target, version));
        let greeting = pipe.await_established();
        let (first, second) = greeting["socket_id"].as_str().unwrap().split_once('.').unwrap();
        assert!(first.parse::<u32>().is_ok() && second.parse::<u32>().is_ok(), "{greeting}");
        match version {
            Some("1.0") => assert_eq!(greeting["app_id"], "1001"),
            _ => assert_eq!(keys(&greeting), ["socket_id"]),
        }
    }
}

/// The worked example: the signature of a published vector is the one that this suite computes, and so does the broker.
///
/// Proves: 245.
#[test]
fn the_signature_is_that_of_the_published_vector() {
    let params = "auth_key=app-key&auth_timestamp=1700000000&auth_version=1.0&protocol_version=0.2";
    let signed = signature::hmac_hex("app-secret", &format!("WEBSOCKET\n/app/1\n{params}"));
    assert_eq!(signed, "baf3632d91ce215d0cd74a7696898c6b34dc48f2452f99760a36118fe4aa2484");
}

/// Without `auth_*` the path names a key, also where the key is the id of another app; with them it names an id, also
/// where the id is the key of another app.
///
/// Proves: 246.
#[test]
fn what_the_path_looks_like_decides_nothing() {
    let config = "[[apps]]\nid = \"1\"\nkey = \"2\"\nsecret = \"first\"\n\
                  [[apps]]\nid = \"2\"\nkey = \"1\"\nsecret = \"second\"\n";
    let Some(target) = Target::own(config) else { return };
    let client = target.with_credentials(Credentials::new("1", "2", "first"));
    let mut socket = client.connect();
    socket.subscribe("room");
    let mut backend = Pipe::connect(&client);
    backend.subscribe("socket_message");
    socket.trigger("room", "hello", &json!(1));
    assert_eq!(backend.expect_on("room", "socket_message")["socket_id"], json!(socket.id));
    // The other app's backend signs for the path that is the first one's key.
    let mut stranger = Pipe::connect(&target.with_credentials(Credentials::new("2", "1", "second")));
    stranger.subscribe("socket_message");
    socket.trigger("room", "hello", &json!(2));
    backend.expect_on("room", "socket_message");
    stranger.assert_silence();
}

/// `subscribe` in one packet with the handshake, before anything was read, is honoured.
///
/// Proves: 248.
#[test]
fn a_subscription_may_come_before_the_greeting_is_read() {
    let Some(target) = Target::own(MAIN_APP) else { return };
    let mut pipe = Pipe::upgrade(&target, &Pipe::path(&target, Some("0.2")));
    let id = pipe.send_request("subscribe", &json!({ "events": ["socket_message"], "data": "" }));
    pipe.await_established();
    let answer = pipe.message();
    assert_eq!((&answer.whole["id"], &answer.whole["result"]), (&json!(id), &json!({})));
    let mut socket = target.connect();
    socket.subscribe("stream");
    socket.trigger("stream", "frame", &json!({}));
    pipe.expect("socket_message");
}

/// Every answer repeats the id of its question, whatever JSON that is, and answers come in the order of the questions.
///
/// Proves: 247, 249.
#[test]
fn answers_repeat_ids_of_every_kind() {
    let Some(target) = Target::own(MAIN_APP) else { return };
    let mut pipe = Pipe::connect(&target);
    let ids = [json!("6f0c-uuid"), json!(7), json!(null), json!({ "a": [1] }), json!("é\"\n")];
    for id in &ids {
        let request = json!({ "id": id, "method": "unsubscribe", "params": { "events": [] } });
        pipe.send_text(&request.to_string());
    }
    for id in ids {
        let answer = pipe.message().whole;
        assert_eq!(answer, json!({ "id": id, "error": null, "result": {} }));
    }
}

/// The heart of it: what a browser says under any name on a public channel is told with the channel, the sender, the
/// name and the value as it was, for every release that can say it.
///
/// Proves: 250.
#[test]
fn an_event_on_a_public_channel_is_told_with_its_value() {
    let Some(target) = Target::own(MAIN_APP) else { return };
    let mut pipe = Pipe::connect(&target);
    pipe.subscribe("socket_message");
    for era in ["client=js&version=1.10.0-pre", "protocol=5&client=js&version=1.12.7", "protocol=7"] {
        let mut socket = target.connect_as(era);
        let mut onlooker = target.connect();
        socket.subscribe("stream");
        onlooker.subscribe("stream");
        let values = [
            json!({ "dataUrl": picture(1, 1000) }),
            json!([1, "two", null]),
            json!("text"),
            json!("{\"a\":1}"),
            json!(17),
        ];
        for value in values {
            socket.trigger("stream", "frame", &value);
            let told = pipe.expect("socket_message");
            let expected =
                json!({ "socket_id": socket.id, "event": "frame", "data": value, "channel": "stream" });
            assert_eq!(told, expected);
        }
        // It is neither answered nor broadcast.
        fence(&target, "stream", [&mut socket, &mut onlooker]);
    }
}

/// What is said on no channel is told without the key `channel`; its presence alone would mean that there is one.
///
/// Proves: 251.
#[test]
fn an_event_without_a_channel_is_told_without_the_key() {
    let Some(target) = Target::own(MAIN_APP) else { return };
    let mut pipe = Pipe::connect(&target);
    pipe.subscribe("socket_message");
    let mut socket = target.connect_as("client=js&version=1.10.0-pre");
    for text in [r#"{"event":"hello","data":{"a":1}}"#, r#"{"event":"hello","data":{"a":1},"channel":null}"#]
    {
        socket.send_text(text);
        let told = pipe.expect("socket_message");
        assert_eq!(told, json!({ "socket_id": socket.id, "event": "hello", "data": { "a": 1 } }));
        assert_eq!(keys(&told), ["data", "event", "socket_id"]);
    }
    // The names that a well-known authorizer of the time used begin with `pusher-`, not `pusher:`.
    socket.send_text(r#"{"event":"pusher-auth-request","data":{"request_id":1}}"#);
    assert_eq!(pipe.expect("socket_message")["event"], "pusher-auth-request");
}

/// The protocol's own events are between the client and the broker.
///
/// Proves: 250.
#[test]
fn reserved_events_are_not_told() {
    let Some(target) = Target::own(MAIN_APP) else { return };
    let mut pipe = Pipe::connect(&target);
    pipe.subscribe("socket_message");
    let mut socket = target.connect();
    socket.send_text(r#"{"event":"pusher:ping","data":{}}"#);
    socket.expect("pusher:pong");
    socket.subscribe("stream");
    socket.send_text(r#"{"event":"pusher:unheard-of","data":{}}"#);
    socket.expect("pusher:error");
    socket.send_text(r#"{"event":"pusher_internal:member_added","data":{},"channel":"stream"}"#);
    socket.expect("pusher:error");
    pipe.assert_silence();
}

/// A client event is broadcast as ever, and told as well. One that is refused is neither.
///
/// Proves: 250.
#[test]
fn client_events_are_broadcast_and_told() {
    let Some(target) = Target::own(MAIN_APP) else { return };
    let mut pipe = Pipe::connect(&target);
    pipe.subscribe("socket_message");
    let (mut ann, mut bob) = (target.connect(), target.connect());
    ann.subscribe_private("private-room");
    bob.subscribe_private("private-room");
    ann.trigger("private-room", "client-typing", &json!({ "on": true }));
    assert_eq!(bob.expect_on("private-room", "client-typing").decoded(), json!({ "on": true }));
    let told = pipe.expect("socket_message");
    assert_eq!((&told["event"], &told["data"]), (&json!("client-typing"), &json!({ "on": true })));
    ann.trigger("private-elsewhere", "client-typing", &json!({}));
    ann.expect("pusher:error");
    pipe.assert_silence();
}

/// What one says on a channel that one is not subscribed to is refused, and not told. Without any pipe that listens,
/// the answer is that of a broker without pipes.
///
/// Proves: 250.
#[test]
fn only_subscribers_are_told_of_and_only_while_somebody_listens() {
    let Some(target) = Target::own(MAIN_APP) else { return };
    let mut socket = target.connect();
    socket.subscribe("stream");
    socket.trigger("stream", "frame", &json!(1));
    socket.expect_error(None, "Unsupported event received on socket: frame");
    // A pipe that has not asked for messages does not count.
    let mut pipe = Pipe::connect(&target);
    pipe.assert_silence();
    socket.trigger("stream", "frame", &json!(2));
    socket.expect_error(None, "Unsupported event received on socket: frame");
    pipe.subscribe("socket_message");
    socket.trigger("elsewhere", "frame", &json!(3));
    assert!(socket.expect_some_error(None).contains("not subscribed to channel elsewhere"));
    pipe.assert_silence();
    socket.trigger("stream", "frame", &json!(4));
    assert_eq!(pipe.expect("socket_message")["data"], 4);
    // When it is gone, nobody listens any more.
    pipe.vanish();
    eventually("the broker notices that nobody listens", || {
        socket.trigger("stream", "frame", &json!(5));
        socket.drain().iter().any(|message| message.event == "pusher:error").then_some(())
    });
}

/// `send_to_channel` reaches subscribers of any channel type under any name that is not reserved, as the string that
/// every client can read.
///
/// Proves: 252.
#[test]
fn a_backend_sends_to_channels_of_every_type() {
    let Some(target) = Target::own(MAIN_APP) else { return };
    let mut pipe = Pipe::connect(&target);
    let mut socket = target.connect();
    let channels =
        ["mirror", "private-mirror", "presence-mirror", "private-encrypted-mirror", "cache-mirror"];
    for channel in channels {
        match channel {
            "presence-mirror" => {
                socket.subscribe_presence(channel, "ann", &Value::Null);
            }
            name if name.starts_with("private-") => socket.subscribe_private(name),
            "cache-mirror" => {
                socket.subscribe(channel);
                socket.expect_on(channel, "pusher:cache_miss");
            }
            _ => socket.subscribe(channel),
        }
        for name in ["frame", "client-frame", "pusher-note", "App\\Events\\Shipped", "é"] {
            let data = json!({ "n": [1.5, null], "text": "é\"" });
            let result =
                pipe.request("send_to_channel", &json!({ "channel": channel, "event": name, "data": data }));
            assert_eq!(result, json!({}));
            let event = socket.expect_on(channel, name);
            assert_eq!(keys(&event.whole), ["channel", "data", "event"]);
            assert_eq!(event.decoded(), data);
        }
    }
    // A cache channel remembers what a pipe sends.
    let mut late = target.connect();
    late.subscribe("cache-mirror");
    late.expect_on("cache-mirror", "é");
    // A string passes as it is; what is left out is the empty string, as the original client sends it.
    pipe.request("send_to_channel", &json!({ "channel": "mirror", "event": "e", "data": "plain" }));
    assert_eq!(socket.expect_on("mirror", "e").data, json!("plain"));
    pipe.request("send_to_channel", &json!({ "channel": "mirror", "event": "e" }));
    assert_eq!(socket.expect_on("mirror", "e").data, json!(""));
    for name in ["pusher:subscribe", "pusher_internal:subscription_succeeded", ""] {
        let params = json!({ "channel": "mirror", "event": name, "data": {} });
        assert_eq!(pipe.refused("send_to_channel", &params).0, 4210, "{name}");
    }
    assert_eq!(pipe.refused("send_to_channel", &json!({ "channel": "a b", "event": "e" })).0, 4212);
    socket.assert_silence();
}

/// `socket_id` leaves out one browser, `socketId` too; null, and an id that nobody has, leave out nobody.
///
/// Proves: 253.
#[test]
fn a_browser_can_be_left_out() {
    let Some(target) = Target::own(MAIN_APP) else { return };
    let mut pipe = Pipe::connect(&target);
    let (mut ann, mut bob) = (target.connect(), target.connect());
    ann.subscribe("room");
    bob.subscribe("room");
    for key in ["socket_id", "socketId"] {
        pipe.request(
            "send_to_channel",
            &json!({ "channel": "room", "event": "e", "data": key, key: ann.id }),
        );
        assert_eq!(bob.expect_on("room", "e").data, json!(key));
        fence(&target, "room", [&mut ann, &mut bob]);
    }
    for nobody in [json!(null), json!("1.1"), json!("007.99999999999999")] {
        pipe.request(
            "send_to_channel",
            &json!({ "channel": "room", "event": "e", "data": {}, "socket_id": nobody }),
        );
        ann.expect_on("room", "e");
        bob.expect_on("room", "e");
    }
    let wrong = json!({ "channel": "room", "event": "e", "data": {}, "socket_id": "ann" });
    assert_eq!(pipe.refused("send_to_channel", &wrong).0, 4213);
}

/// `send_to_socket` delivers to one connection a frame without a channel. For an id that nobody has there is an error.
///
/// Proves: 254.
#[test]
fn a_backend_answers_one_browser() {
    let Some(target) = Target::own(MAIN_APP) else { return };
    let mut pipe = Pipe::connect(&target);
    pipe.subscribe("socket_message");
    let (mut socket, mut other) = (target.connect_as("client=js&version=1.10.0-pre"), target.connect());
    socket.send_text(r#"{"event":"pusher-auth-request","data":{"request_id":7,"channel":"private-a"}}"#);
    let asked = pipe.expect("socket_message");
    let answer = json!({ "request_id": asked["data"]["request_id"], "status": "success" });
    let params = json!({ "socket_id": asked["socket_id"], "event": "pusher-auth-response", "data": answer });
    assert_eq!(pipe.request("send_to_socket", &params), json!({}));
    let event = socket.expect("pusher-auth-response");
    assert_eq!(keys(&event.whole), ["data", "event"]);
    assert_eq!(event.decoded(), answer);
    other.assert_silence();
    for nobody in ["1.1", "0.0", "999999999999.1"] {
        let params = json!({ "socket_id": nobody, "event": "e", "data": {} });
        assert_eq!(pipe.refused("send_to_socket", &params).0, 4211);
    }
    // The pipe's own connection is no browser.
    let own = json!({ "socket_id": pipe.id, "event": "e", "data": {} });
    assert_eq!(pipe.refused("send_to_socket", &own).0, 4211);
}

/// `socket_existence` tells who connects and who goes, however they go.
///
/// Proves: 255.
#[test]
fn openings_and_closings_are_told() {
    let Some(target) = Target::own(MAIN_APP) else { return };
    let mut pipe = Pipe::connect(&target);
    pipe.subscribe("socket_existence");
    let polite = target.connect();
    assert_eq!(pipe.expect("socket_opened"), json!({ "socket_id": polite.id }));
    let id = polite.id.clone();
    polite.close();
    assert_eq!(pipe.expect("socket_closed"), json!({ "socket_id": id }));
    let rude = target.connect();
    assert_eq!(pipe.expect("socket_opened"), json!({ "socket_id": rude.id }));
    rude.vanish();
    assert_eq!(pipe.expect("socket_closed"), json!({ "socket_id": rude.id }));
    // Pipes do not count, and neither does one who was never let in.
    drop(Pipe::connect(&target));
    let mut refused = target.upgrade("protocol=99");
    refused.expect_some_error(Some(4007));
    refused.expect_end();
    pipe.assert_silence();
}

/// After `unsubscribe` nothing of the group is told, not even what had happened before; the other group goes on.
///
/// Proves: 256.
#[test]
fn what_is_unsubscribed_is_told_no_more() {
    let Some(target) = Target::own(MAIN_APP) else { return };
    let mut pipe = Pipe::connect(&target);
    pipe.request("subscribe", &json!({ "events": ["socket_message", "socket_existence"], "data": "" }));
    // Somebody must listen, or nobody could say anything.
    let mut other = Pipe::connect(&target);
    other.subscribe("socket_message");
    let mut socket = target.connect();
    pipe.expect("socket_opened");
    socket.subscribe("stream");
    socket.trigger("stream", "frame", &json!(1));
    pipe.expect("socket_message");
    pipe.request("unsubscribe", &json!({ "events": ["socket_message"], "data": "" }));
    socket.trigger("stream", "frame", &json!(2));
    other.expect("socket_message");
    assert_eq!(other.expect("socket_message")["data"], 2);
    pipe.assert_silence();
    socket.close();
    pipe.expect("socket_closed");
}

/// The oldest client names no version, never subscribes, and hears everything.
///
/// Proves: 250, 255.
#[test]
fn a_client_without_a_version_hears_everything() {
    let Some(target) = Target::own(MAIN_APP) else { return };
    let mut pipe = Pipe::connect_as(&target, None);
    let mut socket = target.connect();
    assert_eq!(pipe.expect("socket_opened"), json!({ "socket_id": socket.id }));
    socket.send_text(r#"{"event":"hello","data":{}}"#);
    assert_eq!(pipe.expect("socket_message")["event"], "hello");
}

/// A message that its client cuts at 16 KiB is put together again, up to 8 MiB; control frames may come between.
///
/// Proves: 257.
#[test]
fn large_messages_come_in_pieces() {
    const PIECE: usize = 16 * 1024;
    let Some(target) = Target::own(&format!("[connection]\noutbox_bytes = 16777216\n{MAIN_APP}")) else {
        return;
    };
    let mut pipe = Pipe::connect(&target);
    let mut mirror = target.connect();
    mirror.subscribe("mirror");
    for bytes in [PIECE + 1, 100 * 1024, 8 * 1024 * 1024 - 1024] {
        let data = json!({ "dataUrl": picture(bytes, bytes) });
        let request = json!({ "id": bytes, "method": "send_to_channel",
            "params": { "channel": "mirror", "event": "frame", "data": data } });
        let text = request.to_string();
        let pieces: Vec<&[u8]> = text.as_bytes().chunks(PIECE).collect();
        for (n, piece) in pieces.iter().enumerate() {
            let fin = if n + 1 == pieces.len() { 0x80 } else { 0 };
            pipe.send_frame(fin | u8::from(n == 0), piece);
            if n == 0 {
                pipe.send_frame(0x89, b"between");
            }
        }
        assert_eq!(pipe.message().whole["id"], json!(bytes));
        assert_eq!(mirror.expect_on("mirror", "frame").decoded(), data);
    }
}

/// Neither ten a second nor ten kilobytes hold for what a pipe hears and sends; what is large is told in frames of at
/// most a mebibyte, the most that the original client takes.
///
/// Proves: 258.
#[test]
fn the_limits_of_client_events_do_not_hold() {
    const FRAMES: usize = 60;
    let Some(target) = Target::own(MAIN_APP) else { return };
    let mut pipe = Pipe::connect(&target);
    let (mut stream, mut mirror) = (target.connect(), target.connect());
    stream.subscribe("stream");
    mirror.subscribe("mirror");
    // It connected before anybody listened: its messages may be large all the same from now on.
    pipe.subscribe("socket_message");
    for n in 0..FRAMES {
        stream.trigger("stream", "frame", &json!({ "dataUrl": picture(n, 60_000) }));
    }
    for n in 0..FRAMES {
        let told = pipe.expect("socket_message");
        assert_eq!(told["data"]["dataUrl"], json!(picture(n, 60_000)));
        pipe.request(
            "send_to_channel",
            &json!({ "channel": "mirror", "event": "frame", "data": told["data"] }),
        );
        assert_eq!(mirror.expect_on("mirror", "frame").decoded(), told["data"]);
    }
    stream.assert_silence();
    let most = "x".repeat(1024 * 1024);
    stream.trigger("stream", "frame", &json!(most));
    assert_eq!(pipe.expect("socket_message")["data"], json!(most));
    stream.trigger("stream", "frame", &json!(format!("{most}x")));
    assert_eq!(
        stream.expect_some_error(Some(4301)),
        "Client event data exceeds the allowed maximum (1048576 bytes)"
    );
}

/// What cannot be done is answered with the request's id, a code and a sentence.
///
/// Proves: 249, 259.
#[test]
fn every_mistake_has_its_code() {
    let Some(target) = Target::own(MAIN_APP) else { return };
    let mut pipe = Pipe::connect(&target);
    let table = [
        ("dance", json!({}), 4214),
        ("close_socket", json!({ "socket_id": "1.1" }), 4214),
        ("subscribe", json!({ "events": ["presence"] }), 4215),
        ("subscribe", json!({ "events": "socket_message" }), 4213),
        ("subscribe", json!({}), 4213),
        ("subscribe", json!(null), 4213),
        ("send_to_channel", json!({ "event": "e", "data": 1 }), 4213),
        ("send_to_channel", json!({ "channel": 7, "event": "e", "data": 1 }), 4213),
        ("send_to_channel", json!({ "channel": "", "event": "e", "data": 1 }), 4212),
        ("send_to_channel", json!({ "channel": "a", "event": "x".repeat(201), "data": 1 }), 4210),
        ("send_to_socket", json!({ "event": "e" }), 4213),
    ];
    for (method, params, code) in table {
        let (got, message) = pipe.refused(method, &params);
        assert_eq!(got, code, "{method} {params}: {message}");
        assert!(message.len() > 10, "{message}");
    }
    pipe.assert_silence();
}

/// The experiment, with a backend in the middle as in 2012.
///
/// Proves: 260.
#[test]
fn the_experiment_works_through_a_backend() {
    const FRAMES: usize = 40;
    let Some(target) = Target::own_with(None, &["--pipe", "nobody:nothing=nowhere"], &[]) else { return };
    let mut backend = Pipe::connect(&target);
    backend.subscribe("socket_message");
    let (from, to) = (unique("cam-"), unique("screen-"));
    let (mut stream, mut mirror) = (
        target.connect_as("client=js&version=1.10.0-pre"),
        target.connect_as("client=js&version=1.10.0-pre"),
    );
    stream.subscribe(&from);
    mirror.subscribe(&to);
    for n in 0..FRAMES {
        stream.trigger(&from, "frame", &json!({ "dataUrl": picture(n, 40_000) }));
        let told = backend.expect("socket_message");
        let data = json!({ "message": "Sending frame", "dataUrl": told["data"]["dataUrl"] });
        backend.request("send_to_channel", &json!({ "channel": to, "event": "frame", "data": data }));
        assert_eq!(mirror.expect_on(&to, "frame").decoded()["dataUrl"], json!(picture(n, 40_000)));
    }
}

/// What a pipe sends no pipe hears, so that two that forward to each other do not run in a circle.
///
/// Proves: pipe rules.
#[test]
fn what_a_pipe_sends_is_heard_by_no_pipe() {
    let config = format!(
        "{MAIN_APP}[[apps.pipe]]\nfrom = \"mirror\"\nevent = \"frame\"\nto = \"stream\"\nsource = [\"client\", \"http\"]\n"
    );
    let Some(target) = Target::own(&config) else { return };
    let (mut pipe, mut other) = (Pipe::connect_as(&target, Some("1.0")), Pipe::connect(&target));
    let everything = json!({ "events": ["socket_message"], "sources": ["client", "http"] });
    pipe.request("subscribe", &everything);
    other.subscribe("socket_message");
    let mut socket = target.connect();
    socket.subscribe("stream");
    socket.subscribe("mirror");
    other.request("send_to_channel", &json!({ "channel": "mirror", "event": "frame", "data": 1 }));
    socket.expect_on("mirror", "frame");
    fence(&target, "stream", [&mut socket]);
    assert_eq!(pipe.expect("socket_message")["source"], "http", "the fence itself");
    pipe.assert_silence();
    other.assert_silence();
}
