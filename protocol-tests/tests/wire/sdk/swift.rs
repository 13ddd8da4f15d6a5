//! pusher-websocket-swift 10.1 and pusher-http-swift 0.1.
//!
//! The client offers a WebSocket sub-protocol, and Apple's stack drops a connection whose server does not choose it. Its
//! JSON escapes every slash and has members in any order. It pings by control frames. It drops a frame without a string
//! `event`, takes data for absent unless they are a string, and an error for none unless its data are an object with a
//! `message`. It knows no users. The server library lists its own parameters behind those of the signature and signs
//! them in the order in which it sends them, which is the sorted one.

use heliostat_protocol_tests::frame::{FIN, PING};
use heliostat_protocol_tests::http::now_seconds;
use heliostat_protocol_tests::{Incoming, Socket, Target, unique};
use serde_json::{Value, json};

use super::{
    CIPHERTEXT, Sdk, app_path, auth, hears, joins_hears_and_leaves, md5_hex, request, signed, string_data,
    succeeded,
};

pub(super) const QUERY: &str = "client=pusher-websocket-swift&version=10.1.5&protocol=7";
pub(super) const CLIENT: Sdk = Sdk { name: "Swift", version: "10.1" };
pub(super) const SERVER: Sdk = Sdk { name: "Swift server", version: "0.1" };

fn connected(target: &Target) -> Socket {
    let offer = ["Sec-WebSocket-Protocol: pusher-channels-protocol-7"];
    let mut socket = Socket::upgrade(target, &target.socket_path(QUERY), &offer);
    let chosen = socket.response_header("sec-websocket-protocol");
    assert_eq!(chosen.as_deref(), Some("pusher-channels-protocol-7"));
    let established = socket.await_established();
    let data = string_data(&established);
    assert!(data["socket_id"].is_string() && data["activity_timeout"].is_number(), "{data}");
    socket
}

/// Connecting, pinging and public channels.
///
/// Proves: clients, 1, 2, 4, 40.
#[test]
fn it_is_given_the_sub_protocol_that_it_offers() {
    let target = Target::main();
    let mut socket = connected(&target);
    socket.send_frame(FIN | PING, b"");
    assert_eq!(socket.receive(), Incoming::Pong(Vec::new()));
    let channel = unique("news-");
    socket.send_text(&format!(r#"{{"data":{{"channel":"{channel}"}},"event":"pusher:subscribe"}}"#));
    joins_hears_and_leaves(&target, &mut socket, &channel);
    CLIENT.shown(&["connection", "ping", "public", "unsubscribe"]);
}

/// A close code from 4000 to 4099 keeps it from coming back.
///
/// Proves: clients, 22, 24.
#[test]
fn it_stays_away_after_the_close_for_an_unknown_key() {
    let mut target = Target::main();
    target.credentials.key = unique("nobody");
    let offer = ["Sec-WebSocket-Protocol: pusher-channels-protocol-7"];
    let mut socket = Socket::upgrade(&target, &target.socket_path(QUERY), &offer);
    let _ = socket.expect_close_with(4001);
    CLIENT.shown(&["bad key"]);
}

/// A private channel, refused and joined, and client events whose slashes are escaped.
///
/// Proves: clients, 31, 69, 76, 113, 116.
#[test]
fn its_errors_are_objects_and_its_slashes_escaped() {
    let target = Target::main();
    let channel = unique("private-");
    let (mut socket, mut reader) = (connected(&target), connected(&target));
    let subscribe = |auth: &str| {
        format!(r#"{{"event":"pusher:subscribe","data":{{"auth":"{auth}","channel":"{channel}"}}}}"#)
    };
    socket.send_text(&subscribe(&format!("{}:{}", target.credentials.key, "0".repeat(64))));
    socket.expect("pusher:subscription_error");
    let error = socket.expect("pusher:error");
    let data = error.data.as_object().expect("an object, or it is no error to this client");
    assert!(data["message"].is_string() && (data["code"].is_null() || data["code"].is_u64()));
    for socket in [&mut socket, &mut reader] {
        let auth = auth(socket, &channel, None);
        socket.send_text(&subscribe(&auth));
        succeeded(socket, &channel);
    }
    socket.send_text(&format!(
        r#"{{"channel":"{channel}","event":"client-said","data":{{"link":"https:\/\/example.com\/"}}}}"#
    ));
    let said = reader.expect_on(&channel, "client-said");
    assert_eq!(string_data(&said), json!({ "link": "https://example.com/" }));
    CLIENT.shown(&["private", "bad auth", "client events"]);
}

/// A presence channel whose `channel_data` holds escaped slashes, which the signature covers as they stand; and who sent
/// a client event there.
///
/// Proves: clients, 78, 93, 95, 99, 118.
#[test]
fn its_members_are_signed_with_their_escapes() {
    let target = Target::main();
    let channel = unique("presence-");
    let join = |socket: &mut Socket, channel_data: &str| -> Value {
        let auth = auth(socket, &channel, Some(channel_data));
        let written = channel_data.replace('\\', r"\\").replace('"', r#"\""#).replace('/', r"\/");
        socket.send_text(&format!(
            r#"{{"event":"pusher:subscribe","data":{{"channel_data":"{written}","channel":"{channel}","auth":"{auth}"}}}}"#
        ));
        string_data(&socket.expect_on(&channel, "pusher_internal:subscription_succeeded"))
    };
    let (mut ann, mut bob) = (connected(&target), connected(&target));
    join(&mut ann, r#"{"user_id":"ann","user_info":{"avatar":"https:\/\/example.com\/ann.png"}}"#);
    let joined = join(&mut bob, r#"{"user_id":"bob"}"#);
    let expected = json!({ "ann": { "avatar": "https://example.com/ann.png" }, "bob": null });
    assert_eq!(joined["presence"]["hash"], expected);
    let added = string_data(&ann.expect_on(&channel, "pusher_internal:member_added"));
    assert_eq!(added["user_id"], json!("bob"));
    bob.send_text(&format!(r#"{{"event":"client-wave","data":"hi","channel":"{channel}"}}"#));
    let waved = ann.expect_on(&channel, "client-wave");
    assert_eq!(waved.whole["user_id"], json!("bob"));
    bob.close();
    let removed = string_data(&ann.expect_on(&channel, "pusher_internal:member_removed"));
    assert_eq!(removed["user_id"], json!("bob"));
    CLIENT.shown(&["presence"]);
}

/// It decrypts what is no `pusher:` event on an encrypted channel, and only a string.
///
/// Proves: clients, 131, 132, 133.
#[test]
fn its_encrypted_channels_hear_the_text_as_it_was_sent() {
    let target = Target::main();
    for kind in ["private-encrypted-", "private-encrypted-cache-"] {
        let channel = unique(kind);
        let mut socket = connected(&target);
        let auth = auth(&socket, &channel, None);
        socket.send_text(&format!(
            r#"{{"event":"pusher:subscribe","data":{{"auth":"{auth}","channel":"{channel}"}}}}"#
        ));
        succeeded(&mut socket, &channel);
        if kind.contains("cache") {
            hears(&mut socket, &channel, "pusher:cache_miss", "{}");
        }
        target.publish(&channel, "secret", CIPHERTEXT);
        hears(&mut socket, &channel, "secret", CIPHERTEXT);
    }
    CLIENT.shown(&["encrypted", "encrypted cache", "cache"]);
}

/// The server library: one channel as `channel`, several as `channels`, the other as null; and the texts that its own
/// tests against the hosted service read.
///
/// Proves: clients, 178, 179, 192, 193, 198, 203.
#[test]
fn the_server_library_reads_errors_word_by_word() {
    let target = Target::main();
    let (room, other) = (unique("presence-"), unique("news-"));
    let mut socket = target.connect();
    socket.subscribe_presence(&room, "ann", &json!(null));
    let (key, id) = (&target.credentials.key, socket.id.clone());
    let call = |method: &str, rest: &str, more: &str, body: &str| {
        let (path, now) = (app_path(&target, rest), now_seconds());
        let md5 = if body.is_empty() { String::new() } else { format!("&body_md5={}", md5_hex(body)) };
        let query = format!("auth_key={key}&auth_timestamp={now}&auth_version=1.0{md5}{more}");
        let signature = signed(&target, method, &path, &query);
        let headers =
            ["Content-Type: application/json", "X-Pusher-Library: pusher-http-swift 0.1.4", "Accept: */*"];
        request(&target, method, &format!("{path}?{query}&auth_signature={signature}"), &headers, body)
    };
    let post = |rest: &str, body: &str| call("POST", rest, "", body);
    let data = r#""{\"link\":\"https:\\\/\\\/example.com\"}""#;
    post(
        "/events",
        &format!(r#"{{"channel":"{room}","channels":null,"name":"greet","data":{data},"socket_id":null}}"#),
    )
    .assert_empty_object();
    hears(&mut socket, &room, "greet", r#"{"link":"https:\/\/example.com"}"#);
    let counted = post(
        "/events",
        &format!(
            r#"{{"channel":null,"channels":["{room}","{other}"],"name":"greet","data":{data},"socket_id":"{id}","info":"user_count"}}"#
        ),
    );
    let expected = json!({ "channels": { (room.clone()): { "user_count": 1 }, (other.clone()): {} } });
    assert_eq!(counted.json(), expected);
    let item = format!(r#"{{"channel":"{room}","channels":null,"name":"last","data":"1","socket_id":null}}"#);
    post("/batch_events", &format!(r#"{{"batch":[{item}]}}"#)).assert_empty_object();
    hears(&mut socket, &room, "last", "1");
    let eleven = [item.as_str(); 11].join(",");
    post("/batch_events", &format!(r#"{{"batch":[{eleven}]}}"#))
        .assert_error(400, "Batch too large (11 > 10)");
    let several = item.replace(&format!(r#""channel":"{room}""#), r#""channel":null"#);
    post("/batch_events", &format!(r#"{{"batch":[{several}]}}"#))
        .assert_error(400, "Missing required parameter: channel");

    let listed = call("GET", "/channels", "&filter_by_prefix=presence-&info=user_count", "").json();
    assert_eq!(listed["channels"][&room], json!({ "user_count": 1 }));
    let described = call("GET", &format!("/channels/{room}"), "&info=user_count", "").json();
    assert_eq!(described, json!({ "occupied": true, "user_count": 1 }));
    let users = call("GET", &format!("/channels/{room}/users"), "", "").json();
    assert_eq!(users, json!({ "users": [{ "id": "ann" }] }));
    call("GET", "/channels", "&info=user_count", "").assert_error(
        400,
        "user_count may only be requested for presence channels - please supply filter_by_prefix begining with presence-",
    );
    call("GET", &format!("/channels/{other}/users"), "", "")
        .assert_error(400, "Users can only be retrieved for presence channels");
    SERVER.shown(&[
        "trigger",
        "many channels",
        "exclude",
        "info",
        "batch",
        "channels",
        "channel",
        "users",
        "refusals",
    ]);
}
