//! pusher-http-php 7, on which Laravel broadcasts, and 3 of the years before.
//!
//! `json_encode` escapes slashes and every letter beyond ASCII. Release 7 sends the parameters of the signature in front
//! of `body_md5`, escaped as RFC 3986 has it; release 3 sorts them and escapes nothing. Both sign what is not escaped,
//! join arrays by commas, and leave the path prefix out of what they sign. The answer's `channels` has to be an object,
//! even an empty one.

use heliostat_protocol_tests::http::{Response, now_seconds};
use heliostat_protocol_tests::{Shared, Target, unique};
use serde_json::json;

use super::{CIPHERTEXT, Sdk, app_path, hears, md5_hex, request, signed, user_on_an_encrypted_channel};

pub(super) const SEVEN: Sdk = Sdk { name: "PHP server", version: "7" };
const THREE: Sdk = Sdk { name: "PHP server", version: "3" };

/// A call of release 7: `more` is what it is asked with, as it is signed and as it is sent.
fn call(target: &Target, method: &str, rest: &str, more: (&str, &str), body: &str) -> Response {
    let key = &target.credentials.key;
    let now = now_seconds();
    // The prefix is part of the address, and nothing that the library knows when it signs.
    let path = format!("/apps/{}{rest}", target.credentials.app_id);
    let md5 = if body.is_empty() { String::new() } else { format!("&body_md5={}", md5_hex(body)) };
    let auth = format!("auth_key={key}&auth_timestamp={now}&auth_version=1.0{md5}");
    let signature = signed(target, method, &path, &format!("{auth}{}", more.0));
    let url = format!("{}{path}?{auth}{}&auth_signature={signature}", target.path_prefix, more.1);
    let headers = [
        "User-Agent: GuzzleHttp/7",
        "Content-Type: application/json",
        "X-Pusher-Library: pusher-http-php 7.2.7",
    ];
    request(target, method, &url, &headers, body)
}

/// Events as Laravel has them: a class for a name, slashes and umlauts escaped, the sender's socket left out, and the
/// answer an object that `json_decode` makes an object of.
///
/// Proves: clients, 178, 183, 193, 195.
#[test]
fn release_7_broadcasts_what_laravel_broadcasts() {
    let target = Target::main();
    let (room, other) = (unique("presence-orders."), unique("private-news-"));
    let (mut socket, mut author) = (target.connect(), target.connect());
    socket.subscribe_presence(&room, "ann", &json!(null));
    author.subscribe_presence(&room, "bob", &json!(null));
    socket.expect_on(&room, "pusher_internal:member_added");
    let post = |rest: &str, body: &str| call(&target, "POST", rest, ("", ""), body);
    let data = r#""{\"order\":{\"url\":\"https:\\\/\\\/example.com\\\/7\",\"name\":\"\\u00fcn\\u00ef\"}}""#;
    let event = r#""App\\Events\\OrderShipped""#;
    post(
        "/events",
        &format!(
            r#"{{"name":{event},"data":{data},"channels":["{room}","{other}"],"socket_id":"{}"}}"#,
            author.id
        ),
    )
    .assert_empty_object();
    let expected = r#"{"order":{"url":"https:\/\/example.com\/7","name":"\u00fcn\u00ef"}}"#;
    hears(&mut socket, &room, r"App\Events\OrderShipped", expected);
    let batch = format!(
        r#"{{"batch":[{{"channel":"{room}","name":"last","data":"{{\"n\":1}}","info":"user_count"}},{{"channel":"{other}","name":"last","data":"2"}}]}}"#
    );
    assert_eq!(post("/batch_events", &batch).json(), json!({ "batch": [{ "user_count": 2 }, {}] }));
    hears(&mut author, &room, "last", r#"{"n":1}"#);
    hears(&mut socket, &room, "last", r#"{"n":1}"#);
    post("/users/nobody/terminate_connections", "{}").assert_empty_object();
    SEVEN.shown(&["trigger", "many channels", "exclude", "batch", "batch info", "terminate"]);
}

/// What the tests of the library read from the hosted service: both counts of an empty presence channel, and of a public
/// one only the number of subscribers.
///
/// Proves: clients, 190, 191.
#[test]
fn release_7_is_told_the_counts_that_it_asks_for() {
    let Some(target) = Target::shared(Shared::Counting) else { return };
    let (room, news) = (unique("presence-"), unique("news-"));
    let body = format!(
        r#"{{"name":"my_event","data":"{{}}","channels":["{room}","{news}"],"info":"user_count,subscription_count"}}"#
    );
    let counted = call(&target, "POST", "/events", ("", ""), &body).json();
    assert_eq!(counted["channels"][&room], json!({ "user_count": 0, "subscription_count": 0 }));
    assert_eq!(counted["channels"][&news], json!({ "subscription_count": 0 }));
    SEVEN.shown(&["info"]);
}

/// Questions, with commas that are escaped on the way but not under the signature.
///
/// Proves: clients, 175, 196, 202.
#[test]
fn release_7_asks_with_escaped_commas() {
    let Some(target) = Target::shared(Shared::Counting) else { return };
    let room = unique("presence-a,b-");
    let mut socket = target.connect();
    socket.subscribe_presence(&room, "ann", &json!(null));
    let get = |rest: &str, signed: &str, sent: &str| call(&target, "GET", rest, (signed, sent), "");
    let nothing = get("/channels", "&filter_by_prefix=nobody-", "&filter_by_prefix=nobody-").json();
    assert_eq!(nothing, json!({ "channels": {} }), "an object, of which it takes the members");
    let (signed, sent) = (
        format!("&filter_by_prefix={room}&info=user_count"),
        format!("&filter_by_prefix={}&info=user_count", room.replace(',', "%2C")),
    );
    assert_eq!(get("/channels", &signed, &sent).json()["channels"][&room], json!({ "user_count": 1 }));
    let info = "&info=user_count,subscription_count";
    let described = get(&format!("/channels/{room}"), info, &info.replace(',', "%2C")).json();
    assert_eq!(described, json!({ "occupied": true, "user_count": 1, "subscription_count": 1 }));
    let users = get(&format!("/channels/{room}/users"), "", "").json();
    assert_eq!(users, json!({ "users": [{ "id": "ann" }] }));
    get("/channels", "&info=user_count", "&info=user_count")
        .assert_error_beginning(400, "user_count may only");
    SEVEN.shown(&["channels", "channel", "users", "refusals"]);
}

/// Encrypted events, and those for a user: to the broker an event like any other.
///
/// Proves: clients, 131, 150.
#[test]
fn release_7_encrypts_and_sends_to_users() {
    let target = Target::main();
    let (mut socket, channel, own) = user_on_an_encrypted_channel(&target);
    let post = |channel: &str, data: &str| {
        let data = data.replace('"', r#"\""#).replace('/', r"\/");
        let body = format!(r#"{{"name":"note","data":"{data}","channels":["{channel}"]}}"#);
        call(&target, "POST", "/events", ("", ""), &body).assert_empty_object();
    };
    post(&channel, CIPHERTEXT);
    hears(&mut socket, &channel, "note", CIPHERTEXT);
    post(&own, r#"{"for":"ann"}"#);
    hears(&mut socket, &own, "note", r#"{"for":"ann"}"#);
    SEVEN.shown(&["encrypted", "send to user"]);
}

/// Below a path prefix the library signs the path without it.
///
/// Proves: clients.
#[test]
fn release_7_signs_without_the_path_prefix() {
    let config =
        format!("[server]\npath_prefix = \"/realtime\"\n{}", heliostat_protocol_tests::target::MAIN_APP);
    let Some(mut target) = Target::own(&config) else { return };
    target.path_prefix = "/realtime".to_owned();
    let body = r#"{"name":"greet","data":"1","channels":["news"]}"#;
    call(&target, "POST", "/events", ("", ""), body).assert_empty_object();
}

/// Release 3: sorted, unescaped, the signature among the parameters of its name; and arrays joined by commas.
///
/// Proves: clients, 171, 178, 196.
#[test]
fn release_3_sends_everything_unescaped_and_sorted() {
    let target = Target::main();
    let room = unique("presence-@,;=.");
    let mut socket = target.connect();
    socket.subscribe_presence(&room, "ann", &json!(null));
    let key = &target.credentials.key;
    let call = |method: &str, rest: &str, more: &str, body: &str| {
        let (path, now) = (app_path(&target, rest), now_seconds());
        let md5 = if body.is_empty() { String::new() } else { format!("&body_md5={}", md5_hex(body)) };
        let query = format!("auth_key={key}&auth_timestamp={now}&auth_version=1.0{md5}{more}");
        let signature = signed(&target, method, &path, &query);
        let sent = query.replace("&auth_timestamp", &format!("&auth_signature={signature}&auth_timestamp"));
        let headers = ["Content-Type: application/json", "X-Pusher-Library: pusher-http-php 3.4.1"];
        request(&target, method, &format!("{path}?{sent}"), &headers, body)
    };
    let body = format!(r#"{{"name":"greet","data":"\"hi\"","channels":["{room}"]}}"#);
    call("POST", "/events", "", &body).assert_empty_object();
    hears(&mut socket, &room, "greet", r#""hi""#);
    let listed = call("GET", "/channels", &format!("&filter_by_prefix={room}&info=user_count"), "").json();
    assert_eq!(listed, json!({ "channels": { (room.clone()): { "user_count": 1 } } }));
    assert_eq!(call("GET", &format!("/channels/{room}"), "", "").json(), json!({ "occupied": true }));
    THREE.shown(&["trigger", "channels", "channel"]);
}
