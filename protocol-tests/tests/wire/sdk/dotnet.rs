//! pusher-websocket-dotnet 2.1 and pusher-http-dotnet 5.0.
//!
//! The client speaks protocol 5 and sends a WebSocket Ping every second. It serialises whole objects, nulls included, so
//! a private subscription carries `"channel_data":null`. Reading, it turns `data` of any type into text, reads that by
//! templates, and looks every id of a presence channel up in the hash. The server library sends its parameters
//! unescaped, the signature first.

use heliostat_protocol_tests::frame::{FIN, PING};
use heliostat_protocol_tests::http::now_seconds;
use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Incoming, Shared, Target, unique};
use serde_json::json;

use super::{
    CIPHERTEXT, Sdk, app_path, auth, hears, is_refused_and_joins, joins_hears_and_leaves, md5_hex, request,
    sign_in_auth, signed, string_data, succeeded,
};

pub(super) const QUERY: &str = "protocol=5&client=pusher-dotnet-client&version=2.1.0";
pub(super) const CLIENT: Sdk = Sdk { name: ".NET", version: "2.1" };
pub(super) const SERVER: Sdk = Sdk { name: ".NET server", version: "5.0" };

/// Connecting, and a WebSocket Ping that carries the time of day.
///
/// Proves: clients, 10, 40.
#[test]
fn it_connects_and_pings_by_control_frames() {
    let target = Target::main();
    let mut socket = target.upgrade(QUERY);
    assert!(string_data(&socket.expect("pusher:connection_established"))["socket_id"].is_string());
    socket.send_frame(FIN | PING, b"11/23/2026 19:00:00");
    assert_eq!(socket.receive(), Incoming::Pong(b"11/23/2026 19:00:00".to_vec()));

    let channel = unique("news-");
    socket.send_text(&format!(r#"{{"event":"pusher:subscribe","data":{{"channel":"{channel}"}}}}"#));
    joins_hears_and_leaves(&target, &mut socket, &channel);
    CLIENT.shown(&["connection", "ping", "public", "unsubscribe"]);
}

/// Fatal errors come as events, with a code that its list of codes has.
///
/// Proves: clients, 23.
#[test]
fn it_is_told_by_an_error_that_its_key_is_unknown() {
    let mut target = Target::main();
    target.credentials.key = unique("nobody");
    let mut socket = target.upgrade(QUERY);
    socket.expect_some_error(Some(4001));
    let _ = socket.expect_close_with(4001);
    CLIENT.shown(&["bad key"]);
}

/// A private subscription with a null beside its signature, refused and accepted, and a client event.
///
/// Proves: clients, 69, 70, 113.
#[test]
fn its_private_channels_carry_a_null_for_channel_data() {
    let target = Target::main();
    let channel = unique("private-");
    let (mut socket, mut reader) = (target.connect_as(QUERY), target.connect());
    let subscribe = |auth: &str| {
        format!(
            r#"{{"event":"pusher:subscribe","data":{{"channel":"{channel}","auth":"{auth}","channel_data":null}}}}"#
        )
    };
    is_refused_and_joins(&target, &mut socket, &channel, subscribe);
    reader.subscribe_private(&channel);
    socket.send_text(&format!(
        r#"{{"event":"client-said","channel":"{channel}","data":{{"text":"hello","at":null}}}}"#
    ));
    hears(&mut reader, &channel, "client-said", r#"{"text":"hello","at":null}"#);
    CLIENT.shown(&["private", "bad auth", "client events"]);
}

/// Every id of a presence channel is looked up in its hash, with no check that it is there.
///
/// Proves: clients, 92, 93, 95, 99.
#[test]
fn it_finds_every_member_in_the_hash() {
    let target = Target::main();
    let channel = unique("presence-");
    let mut silent = target.connect();
    silent.subscribe_presence(&channel, "silent", &json!(null));
    let mut socket = target.connect_as(QUERY);
    let channel_data = r#"{"user_id":"ann","user_info":{"name":"Ann"}}"#;
    let (auth, written) = (auth(&socket, &channel, Some(channel_data)), channel_data.replace('"', r#"\""#));
    socket.send_text(&format!(
        r#"{{"event":"pusher:subscribe","data":{{"channel":"{channel}","auth":"{auth}","channel_data":"{written}"}}}}"#
    ));
    let data = string_data(&socket.expect_on(&channel, "pusher_internal:subscription_succeeded"));
    let (ids, hash) = (&data["presence"]["ids"], &data["presence"]["hash"]);
    let ids: Vec<&str> = ids.as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    assert_eq!(data["presence"]["count"], json!(ids.len()));
    assert!(ids.iter().all(|id| hash.get(id).is_some()), "{data}");
    silent.close();
    let removed = string_data(&socket.expect_on(&channel, "pusher_internal:member_removed"));
    assert_eq!(removed["user_id"], json!("silent"));
    CLIENT.shown(&["presence"]);
}

/// An encrypted channel carries the null of any private one, and hears the text that was sent.
///
/// Proves: clients, 130, 131.
#[test]
fn its_encrypted_channels_hear_the_text_as_it_was_sent() {
    let target = Target::main();
    for kind in ["private-encrypted-", "private-encrypted-cache-"] {
        let channel = unique(kind);
        target.publish(&channel, "secret", CIPHERTEXT);
        let mut socket = target.connect_as(QUERY);
        let auth = auth(&socket, &channel, None);
        socket.send_text(&format!(
            r#"{{"event":"pusher:subscribe","data":{{"channel":"{channel}","auth":"{auth}","channel_data":null}}}}"#
        ));
        succeeded(&mut socket, &channel);
        if kind.contains("cache") {
            hears(&mut socket, &channel, "secret", CIPHERTEXT);
        }
        target.publish(&channel, "again", CIPHERTEXT);
        hears(&mut socket, &channel, "again", CIPHERTEXT);
    }
    CLIENT.shown(&["encrypted", "encrypted cache", "cache"]);
}

/// Signing in, the user's own channel, the watchlist as a list of events by name, and the end by the backend.
///
/// Proves: clients, 142, 148, 154, 155, 156.
#[test]
fn it_signs_in_and_watches() {
    let Some(target) = Target::own(&format!("{MAIN_APP}watchlist_events = true\n")) else { return };
    let mut socket = target.connect_as(QUERY);
    let user_data = r#"{"id":"ann","watchlist":["bob"]}"#;
    let sign_in = |id: &str, auth: &str| {
        let written = id.replace('"', r#"\""#);
        format!(r#"{{"event":"pusher:signin","data":{{"auth":"{auth}","user_data":"{written}"}}}}"#)
    };
    let signing_in = sign_in(user_data, &sign_in_auth(&socket, user_data));
    socket.send_text(&signing_in);
    let told = string_data(&socket.expect("pusher:signin_success"));
    assert_eq!(told["user_data"], json!(user_data));
    let watched = |socket: &mut heliostat_protocol_tests::Socket| {
        string_data(&socket.expect("pusher_internal:watchlist_events"))["events"].clone()
    };
    assert_eq!(watched(&mut socket), json!([{ "name": "offline", "user_ids": ["bob"] }]));
    let own = "#server-to-user-ann";
    socket.send_text(&format!(r#"{{"event":"pusher:subscribe","data":{{"channel":"{own}"}}}}"#));
    succeeded(&mut socket, own);
    target.publish(own, "note", "hello");
    hears(&mut socket, own, "note", "hello");

    let mut bob = target.connect_as(QUERY);
    let signing_in = sign_in(r#"{"id":"bob"}"#, &sign_in_auth(&bob, r#"{"id":"bob"}"#));
    bob.send_text(&signing_in);
    assert_eq!(watched(&mut socket), json!([{ "name": "online", "user_ids": ["bob"] }]));
    bob.close();
    assert_eq!(watched(&mut socket), json!([{ "name": "offline", "user_ids": ["bob"] }]));
    target.post("/users/ann/terminate_connections", &json!({})).send().assert_empty_object();
    socket.expect_some_error(Some(4009));
    let _ = socket.expect_close_with(4009);
    CLIENT.shown(&["sign-in", "user events", "watchlist", "terminate"]);
}

/// The number of subscribers.
///
/// Proves: clients, 161.
#[test]
fn it_reads_the_number_of_subscribers() {
    let Some(target) = Target::shared(Shared::Counting) else { return };
    let channel = unique("news-");
    let mut socket = target.connect_as(QUERY);
    socket.send_text(&format!(r#"{{"event":"pusher:subscribe","data":{{"channel":"{channel}"}}}}"#));
    succeeded(&mut socket, &channel);
    let count = string_data(&socket.expect_on(&channel, "pusher_internal:subscription_count"));
    assert_eq!(count, json!({ "subscription_count": 1 }));
    CLIENT.shown(&["subscription count"]);
}

/// The server library: null for what is not given, parameters unescaped and sorted behind the signature.
///
/// Proves: clients, 171, 178, 183, 193, 200.
#[test]
fn the_server_library_sends_parameters_unescaped() {
    let target = Target::main();
    let (room, other) = (unique("presence-@,;=."), unique("news-"));
    let mut socket = target.connect();
    socket.subscribe_presence(&room, "ann", &json!(null));
    let (key, id) = (&target.credentials.key, socket.id.clone());
    let library = "Pusher-Library-Name: pusher-http-dotnet";
    let call = |method: &str, rest: &str, more: &str, body: &str| {
        let (path, now) = (app_path(&target, rest), now_seconds());
        let md5 = if body.is_empty() { String::new() } else { format!("&body_md5={}", md5_hex(body)) };
        let query = format!("auth_key={key}&auth_timestamp={now}&auth_version=1.0{md5}{more}");
        let signature = signed(&target, method, &path, &query);
        let headers = ["Content-Type: application/json; charset=utf-8", library, "Accept: application/json"];
        request(&target, method, &format!("{path}?auth_signature={signature}&{query}"), &headers, body)
    };
    let post = |rest: &str, body: &str| call("POST", rest, "", body);
    let event = |channels: &str, socket_id: &str, info: &str| {
        format!(
            r#"{{"name":"greet","data":"{{\"hi\":\"<é>\"}}","channels":[{channels}],"socket_id":{socket_id},"info":{info}}}"#
        )
    };
    post("/events", &event(&format!("\"{room}\",\"{other}\""), "null", "null")).assert_empty_object();
    hears(&mut socket, &room, "greet", r#"{"hi":"<é>"}"#);
    let counted =
        post("/events", &event(&format!("\"{room}\""), &format!("\"{id}\""), "\"user_count\"")).json();
    assert_eq!(counted, json!({ "channels": { (room.clone()): { "user_count": 1 } } }));
    let batch = format!(
        r#"{{"batch":[{{"channel":"{room}","name":"last","data":"1","socket_id":null,"info":"user_count"}},{{"channel":"{other}","name":"last","data":"2","socket_id":null,"info":null}}]}}"#
    );
    assert_eq!(post("/batch_events", &batch).json(), json!({ "batch": [{ "user_count": 1 }, {}] }));
    hears(&mut socket, &room, "last", "1");

    let listed = call("GET", "/channels", "&filter_by_prefix=presence-&info=user_count", "").json();
    assert_eq!(listed["channels"][&room], json!({ "user_count": 1 }));
    let described = call("GET", &format!("/channels/{room}"), "&info=user_count", "").json();
    assert_eq!(described, json!({ "occupied": true, "user_count": 1 }));
    let users = call("GET", &format!("/channels/{room}/users"), "", "").json();
    assert_eq!(users, json!({ "users": [{ "id": "ann" }] }));
    // What its own tests against the hosted service read in the answers.
    call("GET", &format!("/channels/{other}"), "&info=user_count", "")
        .assert_error(400, "Cannot retrieve the user count unless the channel is a presence channel");
    call("GET", &format!("/channels/{other}/users"), "", "")
        .assert_error(400, "Users can only be retrieved for presence channels");
    call("GET", &format!("/channels/{room}"), "&info=does-not-exist", "")
        .assert_error_beginning(400, "info should be a comma separated list of attributes");
    SERVER.shown(&[
        "trigger",
        "many channels",
        "exclude",
        "info",
        "batch",
        "batch info",
        "channels",
        "channel",
        "users",
        "refusals",
    ]);
}

/// Signed in again after a reconnection, it leaves its own channel while it subscribes to it. A refusal would hit the
/// subscription that is pending, in a method that nobody waits for, and end the process.
///
/// Proves: clients.
#[test]
fn leaving_its_own_channel_that_it_has_not_joined_is_not_refused() {
    let target = Target::main();
    let own = format!("#server-to-user-{}", unique("ann-"));
    let mut socket = target.connect_as(QUERY);
    socket.send(&json!({ "event": "pusher:unsubscribe", "data": { "channel": own } }));
    socket.assert_silence();
    let other = unique("news-");
    socket.send(&json!({ "event": "pusher:unsubscribe", "data": { "channel": other } }));
    socket.expect_error(
        None,
        &format!("No current subscription to channel {other}, or subscription in progress"),
    );
}
