//! pusher-websocket-java 2.4 and pusher-http-java 1.3.
//!
//! The client speaks protocol 5, so it is told what is fatal by `pusher:error` before the close. It writes objects with
//! Gson, which escapes `= < > & '` as `\u003d` and so on and keeps its maps in hash order, sends pings without `data`,
//! and casts: `event` and the data of every event to a string, ids of members to strings, an error's code to a double.
//! It never looks for a missing member. The server library lists parameters in hash order and signs them sorted.

use heliostat_protocol_tests::http::now_seconds;
use heliostat_protocol_tests::{Shared, Target, unique};
use serde_json::json;

use super::{
    CIPHERTEXT, Sdk, app_path, auth, hears, is_refused_and_joins, joins_hears_and_leaves, md5_hex, request,
    sign_in_auth, signed, string_data, succeeded,
};

pub(super) const QUERY: &str = "client=java-client&protocol=5&version=2.4.4";
pub(super) const CLIENT: Sdk = Sdk { name: "Java", version: "2.4" };
pub(super) const SERVER: Sdk = Sdk { name: "Java server", version: "1.3" };

/// Connecting, pinging with no data at all, and public channels.
///
/// Proves: clients, 10, 37.
#[test]
fn it_connects_and_pings_without_data() {
    let target = Target::main();
    let mut socket = target.upgrade(QUERY);
    let established = string_data(&socket.expect("pusher:connection_established"));
    assert!(established["socket_id"].is_string());
    socket.send_text(r#"{"event": "pusher:ping"}"#);
    socket.expect("pusher:pong");

    let channel = unique("news-");
    socket.send_text(&format!(r#"{{"event":"pusher:subscribe","data":{{"channel":"{channel}"}}}}"#));
    joins_hears_and_leaves(&target, &mut socket, &channel);
    CLIENT.shown(&["connection", "ping", "public", "unsubscribe"]);
}

/// Whatever ends a connection is told before the close, and 4000 to 4099 keep it away. Its reader wants an object in the
/// data, or the text of one, a `message`, and a `code` that is a number or nothing.
///
/// Proves: clients, 23, 25.
#[test]
fn it_is_told_by_an_error_that_its_key_is_unknown() {
    let mut target = Target::main();
    target.credentials.key = unique("nobody");
    let mut socket = target.upgrade(QUERY);
    socket.expect_some_error(Some(4001));
    let _ = socket.expect_close_with(4001);
    CLIENT.shown(&["bad key"]);
}

/// A subscription to a private channel whose name Gson escapes, a client event, and a signature that is refused.
///
/// Proves: clients, 69, 113.
#[test]
fn its_private_channels_and_client_events_are_escaped() {
    let target = Target::main();
    let channel = unique("private-a=b");
    let escaped = channel.replace('=', r"\u003d");
    let (mut socket, mut reader) = (target.connect_as(QUERY), target.connect());
    let subscribe = |auth: &str| {
        format!(r#"{{"event":"pusher:subscribe","data":{{"auth":"{auth}","channel":"{escaped}"}}}}"#)
    };
    is_refused_and_joins(&target, &mut socket, &channel, subscribe);
    reader.subscribe_private(&channel);
    // `trigger` takes the data as a string of JSON, and sends it as one.
    socket.send_text(&format!(
        r#"{{"event":"client-said","channel":"{escaped}","data":"{{\"it\u0027s\":\"\u003cb\u003e\"}}"}}"#
    ));
    hears(&mut reader, &channel, "client-said", r#"{"it's":"<b>"}"#);
    CLIENT.shown(&["private", "bad auth", "client events"]);
}

/// The members of a presence channel: ids are strings, each is a key of the hash, and who comes and goes is told by id.
///
/// Proves: clients, 91, 93, 95, 99.
#[test]
fn it_reads_the_ids_of_members_as_strings() {
    let target = Target::main();
    let channel = unique("presence-");
    let mut socket = target.connect_as(QUERY);
    let channel_data = r#"{"user_id":7,"user_info":{"name":"Ann's"}}"#;
    let auth = auth(&socket, &channel, Some(channel_data));
    let written = channel_data.replace('"', r#"\""#).replace('\'', r"\u0027");
    socket.send_text(&format!(
        r#"{{"event":"pusher:subscribe","data":{{"channel_data":"{written}","auth":"{auth}","channel":"{channel}"}}}}"#
    ));
    let data = string_data(&socket.expect_on(&channel, "pusher_internal:subscription_succeeded"));
    let presence = data["presence"].as_object().expect("a map");
    for id in presence["ids"].as_array().expect("a list") {
        let id = id.as_str().expect("a string, or the cast fails");
        assert!(presence["hash"].get(id).is_some(), "{id} is a key of the hash");
    }
    let mut bob = target.connect();
    bob.subscribe_presence(&channel, "bob", &json!(null));
    let added = string_data(&socket.expect_on(&channel, "pusher_internal:member_added"));
    assert_eq!(added["user_id"], json!("bob"));
    bob.close();
    let removed = string_data(&socket.expect_on(&channel, "pusher_internal:member_removed"));
    assert_eq!(removed, json!({ "user_id": "bob" }));
    CLIENT.shown(&["presence"]);
}

/// An encrypted channel: joined like a private one; what is not encrypted on it has `"{}"` for data.
///
/// Proves: clients, 130, 131, 133.
#[test]
fn its_encrypted_channels_hear_the_text_as_it_was_sent() {
    let target = Target::main();
    for kind in ["private-encrypted-", "private-encrypted-cache-"] {
        let channel = unique(kind);
        let mut socket = target.connect_as(QUERY);
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

/// It hands all that it hears on an encrypted channel to its decryption, `"{}"` excepted, and anything else that is not
/// encrypted ends its event thread; on Android, the app. So it is told neither of a refused subscription on the channel,
/// nor how many subscribe; `pusher:error` tells it why, and everybody else hears both. Of other channels it is told them.
///
/// Proves: clients, 130, 133.
#[test]
fn nothing_but_ciphertext_reaches_its_encrypted_channels() {
    let Some(target) = Target::shared(Shared::Counting) else { return };
    for kind in ["private-encrypted-", "private-encrypted-cache-"] {
        let channel = unique(kind);
        let (mut java, mut other) = (target.connect_as(QUERY), target.connect());
        for socket in [&mut java, &mut other] {
            let refused = json!({ "channel": channel, "auth": "not:right" });
            socket.send(&json!({ "event": "pusher:subscribe", "data": refused }));
        }
        java.expect_some_error(None);
        other.expect_on(&channel, "pusher:subscription_error");
        other.expect_some_error(None);
        for socket in [&mut java, &mut other] {
            let auth = auth(socket, &channel, None);
            socket
                .send(&json!({ "event": "pusher:subscribe", "data": { "channel": channel, "auth": auth } }));
        }
        // Both of them are there.
        let both = json!({ "subscription_count": 2 });
        loop {
            let message = other.message();
            if message.event == "pusher_internal:subscription_count" && message.decoded() == both {
                break;
            }
        }
        target.publish(&channel, "secret", CIPHERTEXT);
        // As its reader goes about it: what is not `"{}"` has a nonce and a ciphertext, or there is no null check.
        loop {
            let message = java.message();
            assert_eq!(message.channel.as_deref(), Some(channel.as_str()), "{message:?}");
            let data = message.data.as_str().expect("a string");
            if data == "{}" {
                assert!(
                    ["pusher_internal:subscription_succeeded", "pusher:cache_miss"]
                        .contains(&message.event.as_str())
                );
                continue;
            }
            let sealed: serde_json::Value = serde_json::from_str(data).expect("JSON");
            assert!(sealed["nonce"].is_string() && sealed["ciphertext"].is_string(), "{message:?}");
            break;
        }
        java.assert_silence();
    }
    let channel = unique("private-");
    let mut java = target.connect_as(QUERY);
    let refused = json!({ "channel": channel, "auth": "not:right" });
    java.send(&json!({ "event": "pusher:subscribe", "data": refused }));
    java.expect_on(&channel, "pusher:subscription_error");
}

/// Signing in: the user's data is a string in a string, and its `id` a string; then the user's own channel without a
/// word of auth, and the end by the backend.
///
/// Proves: clients, 142, 148, 150, 151.
#[test]
fn it_signs_in_and_joins_its_own_channel() {
    let target = Target::main();
    let id = unique("ann-");
    let mut socket = target.connect_as(QUERY);
    let user_data = json!({ "id": id }).to_string();
    let (auth, written) = (sign_in_auth(&socket, &user_data), user_data.replace('"', r#"\""#));
    socket.send_text(&format!(
        r#"{{"event":"pusher:signin","data":{{"auth":"{auth}","user_data":"{written}"}}}}"#
    ));
    let told = string_data(&socket.expect("pusher:signin_success"));
    let told: serde_json::Value = serde_json::from_str(told["user_data"].as_str().unwrap()).unwrap();
    assert_eq!(told["id"], json!(id));
    let own = format!("#server-to-user-{id}");
    socket.send_text(&format!(r#"{{"event":"pusher:subscribe","data":{{"channel":"{own}"}}}}"#));
    succeeded(&mut socket, &own);
    target.publish(&own, "note", r#"{"for":"ann"}"#);
    hears(&mut socket, &own, "note", r#"{"for":"ann"}"#);
    target.post(&format!("/users/{id}/terminate_connections"), &json!({})).send().assert_empty_object();
    socket.expect_some_error(Some(4009));
    let _ = socket.expect_close_with(4009);
    CLIENT.shown(&["sign-in", "user events", "terminate"]);
}

/// The number of subscribers, read as an integer out of the data.
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
    assert_eq!(count["subscription_count"].as_i64(), Some(1));
    CLIENT.shown(&["subscription count"]);
}

/// The server library: bodies without nulls, Gson's escapes in the data, parameters in hash order, signed sorted and
/// unescaped.
///
/// Proves: clients, 171, 178, 183, 193, 196.
#[test]
fn the_server_library_signs_sorted_what_it_sends_in_hash_order() {
    let target = Target::main();
    let (one, other) = (unique("presence-a="), unique("news-"));
    let mut socket = target.connect();
    socket.subscribe_presence(&one, "ann", &json!(null));
    let (key, id) = (&target.credentials.key, socket.id.clone());
    let post = |rest: &str, body: &str| {
        let (path, now, md5) = (app_path(&target, rest), now_seconds(), md5_hex(body));
        let query = format!("auth_key={key}&auth_timestamp={now}&auth_version=1.0&body_md5={md5}");
        let signature = signed(&target, "POST", &path, &query);
        let url = format!(
            "{path}?body_md5={md5}&auth_signature={signature}&auth_timestamp={now}&auth_key={key}&auth_version=1.0"
        );
        request(&target, "POST", &url, &["Content-Type: application/json"], body)
    };
    // What the application publishes is escaped by Gson, and the body around it not.
    let data = r#""{\"hi\":\"\\u003cb\\u003e\"}""#;
    post("/events", &format!(r#"{{"channels":["{one}","{other}"],"name":"greet","data":{data}}}"#))
        .assert_empty_object();
    hears(&mut socket, &one, "greet", r#"{"hi":"\u003cb\u003e"}"#);
    post("/events", &format!(r#"{{"channels":["{one}"],"name":"greet","data":{data},"socket_id":"{id}"}}"#))
        .assert_empty_object();
    post("/batch_events", &format!(r#"{{"batch":[{{"channel":"{one}","name":"last","data":"1"}}]}}"#))
        .assert_empty_object();
    hears(&mut socket, &one, "last", "1");
    // It has no call for this but `post`; and an empty body is a body as well, and has its digest.
    post("/users/nobody/terminate_connections", "").assert_empty_object();

    let get = |rest: &str, signed_query: &str, sent: &str| {
        let (path, now) = (app_path(&target, rest), now_seconds());
        let auth = format!("auth_key={key}&auth_timestamp={now}&auth_version=1.0");
        let signature = signed(&target, "GET", &path, &format!("{auth}{signed_query}"));
        let sent = sent.replace("TIME", &format!("auth_timestamp={now}&auth_key={key}"));
        request(
            &target,
            "GET",
            &format!("{path}?auth_signature={signature}&{sent}&auth_version=1.0"),
            &[],
            "",
        )
        .json()
    };
    let listed = get(
        "/channels",
        &format!("&filter_by_prefix={one}&info=user_count"),
        &format!("filter_by_prefix={}&TIME&info=user_count", one.replace('=', "%3D")),
    );
    assert_eq!(listed, json!({ "channels": { (one.clone()): { "user_count": 1 } } }));
    let users = get(&format!("/channels/{one}/users"), "", "TIME");
    assert_eq!(users, json!({ "users": [{ "id": "ann" }] }));
    assert_eq!(get(&format!("/channels/{one}"), "", "TIME"), json!({ "occupied": true }));
    SERVER.shown(&[
        "trigger",
        "many channels",
        "exclude",
        "batch",
        "channels",
        "channel",
        "users",
        "terminate",
    ]);
}
