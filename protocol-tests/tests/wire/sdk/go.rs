//! pusher-http-go 5.
//!
//! `encoding/json` escapes `< > &` as `\u003c` and so on. The parameters are sorted, then unescaped as a whole, signed,
//! and sent unescaped with the signature among those of its name. Every request names a body of JSON, also one without
//! a body. What it reads has types: counts are integers, and the ids of users and all that a webhook holds are strings.

use heliostat_protocol_tests::http::now_seconds;
use heliostat_protocol_tests::{Shared, Target, unique};
use serde_json::json;

use super::{CIPHERTEXT, Sdk, app_path, hears, md5_hex, request, signed, user_on_an_encrypted_channel};

pub(super) const SERVER: Sdk = Sdk { name: "Go server", version: "5" };

/// Events, batches and questions.
///
/// Proves: clients, 171, 178, 183, 193, 197, 202.
#[test]
fn the_server_library_signs_and_sends_the_same_text() {
    let Some(target) = Target::shared(Shared::Counting) else { return };
    let (room, other) = (unique("presence-@,;=."), unique("private-encrypted-"));
    let mut socket = target.connect();
    socket.subscribe_presence(&room, "ann", &json!(null));
    let (key, id) = (&target.credentials.key, socket.id.clone());
    let call = |method: &str, rest: &str, more: &str, body: Option<&str>| {
        let (path, now) = (app_path(&target, rest), now_seconds());
        let md5 = body.map(|body| format!("&body_md5={}", md5_hex(body))).unwrap_or_default();
        let query = format!("auth_key={key}&auth_timestamp={now}&auth_version=1.0{md5}{more}");
        let signature = signed(&target, method, &path, &query);
        let sent = query.replace("&auth_timestamp", &format!("&auth_signature={signature}&auth_timestamp"));
        let headers = [
            "User-Agent: Go-http-client/1.1",
            "Content-Type: application/json",
            "X-Pusher-Library: pusher-http-go 5.1.1",
            "Accept-Encoding: gzip",
        ];
        request(&target, method, &format!("{path}?{sent}"), &headers, body.unwrap_or_default())
    };
    let post = |rest: &str, body: &str| call("POST", rest, "", Some(body));
    let data = r#""{\"hi\":\"\\u003cb\\u003e\"}""#;
    post("/events", &format!(r#"{{"name":"greet","channels":["{room}","news"],"data":{data}}}"#))
        .assert_empty_object();
    hears(&mut socket, &room, "greet", r#"{"hi":"\u003cb\u003e"}"#);
    let info = r#""info":"user_count,subscription_count""#;
    let counted = post(
        "/events",
        &format!(
            r#"{{"name":"greet","channels":["{room}","news"],"data":{data},"socket_id":"{id}",{info}}}"#
        ),
    )
    .json();
    let counts = &counted["channels"][&room];
    assert_eq!((counts["user_count"].as_i64(), counts["subscription_count"].as_i64()), (Some(1), Some(1)));
    let encrypted = CIPHERTEXT.replace('"', r#"\""#);
    let batch = post(
        "/batch_events",
        &format!(
            r#"{{"batch":[{{"channel":"{room}","name":"last","data":"1","info":"user_count"}},{{"channel":"{other}","name":"secret","data":"{encrypted}"}}]}}"#
        ),
    );
    assert_eq!(batch.json(), json!({ "batch": [{ "user_count": 1 }, {}] }));
    hears(&mut socket, &room, "last", "1");

    let get = |rest: &str, more: &str| call("GET", rest, more, None);
    let listed = get("/channels", &format!("&filter_by_prefix={room}&info=user_count")).json();
    assert_eq!(listed["channels"][&room]["user_count"].as_i64(), Some(1));
    let described = get(&format!("/channels/{room}"), "&info=user_count,subscription_count").json();
    assert_eq!(described, json!({ "occupied": true, "user_count": 1, "subscription_count": 1 }));
    let users = get(&format!("/channels/{room}/users"), "").json();
    assert!(users["users"][0]["id"].is_string(), "{users}");
    // The body of a refusal stands behind the status in the error that it returns.
    get("/channels", "&info=user_count").assert_error_beginning(400, "user_count may only");
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

/// Events for a user go to the user's own channel, and encrypted ones out as they came.
///
/// Proves: clients, 131, 150.
#[test]
fn the_server_library_sends_to_users_and_encrypts() {
    let target = Target::main();
    let (mut socket, channel, own) = user_on_an_encrypted_channel(&target);
    for (channel, data) in [(&channel, CIPHERTEXT), (&own, r#"{"for":"ann"}"#)] {
        let written = data.replace('"', r#"\""#);
        let body = format!(r#"{{"name":"note","channels":["{channel}"],"data":"{written}"}}"#);
        target.post_bytes("/events", body).send().assert_empty_object();
        hears(&mut socket, channel, "note", data);
    }
    SERVER.shown(&["encrypted", "send to user"]);
}
