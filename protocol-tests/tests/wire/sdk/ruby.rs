//! The gems `pusher` 2.0 (server) and `pusher-client` 0.6 (client).
//!
//! The client speaks protocol 6 and sends null for whatever it has not got, on public channels too; it drops a frame
//! that has its own socket id at the top, and reads data that are a string as JSON itself. The server library puts the
//! body's digest before the parameters of the signature, escapes them as forms do, and reads a 200 as a JSON object.

use heliostat_protocol_tests::http::now_seconds;
use heliostat_protocol_tests::{Target, unique};
use serde_json::json;

use super::{
    CIPHERTEXT, Sdk, app_path, auth, hears, is_refused_and_joins, joins_hears_and_leaves, md5_hex, request,
    signed, string_data,
};

pub(super) const QUERY: &str = "client=pusher-ruby-client&version=0.6.2&protocol=6";
pub(super) const CLIENT: Sdk = Sdk { name: "Ruby", version: "0.6" };
pub(super) const SERVER: Sdk = Sdk { name: "Ruby server", version: "2.0" };

/// Connecting, a pong that nobody asked for with null for data, and a public channel joined with two nulls.
///
/// Proves: clients, 11, 39, 66.
#[test]
fn it_sends_nulls_for_what_it_has_not_got() {
    let target = Target::main();
    let mut socket = target.upgrade(QUERY);
    assert!(string_data(&socket.expect("pusher:connection_established"))["socket_id"].is_string());
    socket.send_text(r#"{"event":"pusher:pong","data":null}"#);
    socket.assert_silence();
    let channel = unique("news-");
    socket.send_text(&format!(
        r#"{{"event":"pusher:subscribe","data":{{"channel":"{channel}","auth":null,"channel_data":null}}}}"#
    ));
    joins_hears_and_leaves(&target, &mut socket, &channel);
    CLIENT.shown(&["connection", "ping", "public", "unsubscribe"]);
}

/// An unknown key ends the connection by its close code alone.
///
/// Proves: clients, 22, 24.
#[test]
fn it_is_closed_for_an_unknown_key() {
    let mut target = Target::main();
    target.credentials.key = unique("nobody");
    let mut socket = target.upgrade(QUERY);
    let _ = socket.expect_close_with(4001);
    CLIENT.shown(&["bad key"]);
}

/// A private channel with null for its channel data, refused and joined, and a client event with the channel in front.
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
    socket.send_text(&format!(r#"{{"channel":"{channel}","event":"client-said","data":"hello"}}"#));
    hears(&mut reader, &channel, "client-said", "hello");
    CLIENT.shown(&["private", "bad auth", "client events"]);
}

/// A presence channel, joined with data of which only `user_id` means anything to the protocol.
///
/// Proves: clients, 69, 90, 95, 99.
#[test]
fn its_members_may_have_data_of_their_own() {
    let target = Target::main();
    let channel = unique("presence-");
    let mut socket = target.connect_as(QUERY);
    let channel_data = r#"{"user_id":7,"user_name":"john"}"#;
    let (auth, written) = (auth(&socket, &channel, Some(channel_data)), channel_data.replace('"', r#"\""#));
    socket.send_text(&format!(
        r#"{{"event":"pusher:subscribe","data":{{"channel":"{channel}","auth":"{auth}","channel_data":"{written}"}}}}"#
    ));
    let joined = string_data(&socket.expect_on(&channel, "pusher_internal:subscription_succeeded"));
    assert_eq!(joined["presence"]["hash"], json!({ "7": null }));
    let mut bob = target.connect();
    bob.subscribe_presence(&channel, "bob", &json!(null));
    socket.expect_on(&channel, "pusher_internal:member_added");
    bob.close();
    socket.expect_on(&channel, "pusher_internal:member_removed");
    CLIENT.shown(&["presence"]);
}

/// The server library, with its escapes, its nulls and its hash of symbols out of every 200.
///
/// Proves: clients, 171, 175, 178, 183, 193, 197, 209.
#[test]
fn the_server_library_escapes_its_parameters_as_forms_do() {
    let target = Target::main();
    let (room, other) = (unique("presence-a,b-"), unique("news-"));
    let mut socket = target.connect();
    socket.subscribe_presence(&room, "ann", &json!(null));
    let (key, id) = (&target.credentials.key, socket.id.clone());
    let library = "X-Pusher-Library: pusher-http-ruby 2.0.3";
    let post = |rest: &str, body: &str| {
        let (path, now, md5) = (app_path(&target, rest), now_seconds(), md5_hex(body));
        let auth = format!("auth_key={key}&auth_timestamp={now}&auth_version=1.0&body_md5={md5}");
        let signature = signed(&target, "POST", &path, &auth);
        let url = format!(
            "{path}?body_md5={md5}&auth_version=1.0&auth_key={key}&auth_timestamp={now}&auth_signature={signature}"
        );
        let headers = ["Content-Type: application/json", library, "User-Agent: HTTPClient 2.8.3"];
        request(&target, "POST", &url, &headers, body)
    };
    let get = |rest: &str, sent: &str, signed_query: &str| {
        let (path, now) = (app_path(&target, rest), now_seconds());
        let auth = format!("auth_key={key}&auth_timestamp={now}&auth_version=1.0{signed_query}");
        let signature = signed(&target, "GET", &path, &auth);
        let url = format!(
            "{path}?{sent}auth_version=1.0&auth_key={key}&auth_timestamp={now}&auth_signature={signature}"
        );
        request(&target, "GET", &url, &[library], "")
    };
    let data = r#""{\"hi\":\"ünï\"}""#;
    post("/events", &format!(r#"{{"name":"greet","channels":["{room}","{other}"],"data":{data}}}"#))
        .assert_empty_object();
    hears(&mut socket, &room, "greet", r#"{"hi":"ünï"}"#);
    let counted = post(
        "/events",
        &format!(
            r#"{{"name":"greet","channels":["{room}"],"data":{data},"socket_id":"{id}","info":"user_count"}}"#
        ),
    );
    assert_eq!(counted.json(), json!({ "channels": { (room.clone()): { "user_count": 1 } } }));
    post("/batch_events", &format!(r#"{{"batch":[{{"channel":"{room}","name":"last","data":"1"}}]}}"#))
        .assert_empty_object();
    hears(&mut socket, &room, "last", "1");
    post("/users/nobody/terminate_connections", "{}").assert_empty_object();

    let prefix = room.replace(',', "%2C");
    let listed = get(
        "/channels",
        &format!("filter_by_prefix={prefix}&info=user_count&"),
        &format!("&filter_by_prefix={room}&info=user_count"),
    );
    assert_eq!(listed.json(), json!({ "channels": { (room.clone()): { "user_count": 1 } } }));
    assert_eq!(get(&format!("/channels/{room}"), "", "").json(), json!({ "occupied": true }));
    let users = get(&format!("/channels/{room}/users"), "", "").json();
    assert_eq!(users, json!({ "users": [{ "id": "ann" }] }));
    // The reason of a 400 stands in the error that it raises, its line break taken off.
    get("/channels", "info=user_count&", "&info=user_count")
        .assert_error_beginning(400, "user_count may only");
    SERVER.shown(&[
        "trigger",
        "many channels",
        "exclude",
        "info",
        "batch",
        "channels",
        "channel",
        "users",
        "terminate",
        "refusals",
    ]);
}

/// What the server library encrypts goes out and comes back as it was; to its own users it sends like to any channel.
///
/// Proves: clients, 131, 150.
#[test]
fn the_server_library_publishes_what_only_its_users_can_read() {
    let target = Target::main();
    let channel = unique("private-encrypted-");
    let mut socket = target.connect();
    socket.subscribe_private(&channel);
    let data = CIPHERTEXT.replace('"', r#"\""#);
    let body = format!(r#"{{"name":"secret","channels":["{channel}"],"data":"{data}"}}"#);
    target.post_bytes("/events", body).send().assert_empty_object();
    hears(&mut socket, &channel, "secret", CIPHERTEXT);
    SERVER.shown(&["encrypted"]);
}
