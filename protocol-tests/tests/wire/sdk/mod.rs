//! What the SDKs send whose toolchains the suite does not run, byte by byte, and how strictly they read what they get.
//!
//! One file per family. The facts are from the SDKs' own public sources, of the release that each file names; where a
//! release puts the members of an object in an order that its platform chooses, the file has one such order.

mod common;
mod dotnet;
mod go;
mod java;
mod php;
mod recovery;
mod ruby;
mod swift;

use heliostat_protocol_tests::http::{Connection, Response};
use heliostat_protocol_tests::signature::{channel_auth, hmac_hex, user_auth};
use heliostat_protocol_tests::{Message, Socket, Target, compatibility, unique};
use md5::{Digest, Md5};
use serde_json::{Value, json};

/// Data of an encrypted event as every SDK writes it. The broker has no key, so what stands in it is of no account.
const CIPHERTEXT: &str = r#"{"nonce":"4sVYwy4j/8dCcjyxtPCWyk19GaaViaW9","ciphertext":"/GMESnFGlbNn01BuBjp31XYa3i9vZsGKR8fgR9EDhXKx3lzG"}"#;

/// One SDK in one release, as the table of compatibility names it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Sdk {
    name: &'static str,
    version: &'static str,
}

impl Sdk {
    fn shown(self, features: &[&str]) {
        for feature in features {
            compatibility::shown(self.name, self.version, feature);
        }
    }
}

/// Sends a request as it stands and returns the answer. `url` is path and query; `Host` and, for a body, its length are
/// added, as every HTTP stack does.
#[track_caller]
fn request(target: &Target, method: &str, url: &str, headers: &[&str], body: &str) -> Response {
    let mut text = format!("{method} {url} HTTP/1.1\r\nHost: {}:{}\r\n", target.host, target.port);
    for header in headers {
        text += &format!("{header}\r\n");
    }
    if method == "POST" {
        text += &format!("Content-Length: {}\r\n", body.len());
    }
    text += "Connection: close\r\n\r\n";
    text += body;
    Connection::open(target).exchange(text.as_bytes()).expect("an answer")
}

/// The signature of a request whose parameters stand in `query` as they are signed.
fn signed(target: &Target, method: &str, path: &str, query: &str) -> String {
    hmac_hex(&target.credentials.secret, &format!("{method}\n{path}\n{query}"))
}

fn md5_hex(text: &str) -> String {
    hex::encode(Md5::digest(text))
}

/// The path of the app in the HTTP API.
fn app_path(target: &Target, rest: &str) -> String {
    format!("{}/apps/{}{rest}", target.path_prefix, target.credentials.app_id)
}

/// The answer of an auth endpoint to a client of this SDK: what stands in `auth`.
fn auth(socket: &Socket, channel: &str, channel_data: Option<&str>) -> String {
    channel_auth(&socket.app, &socket.id, channel, channel_data)
}

/// The `auth` of a sign-in.
fn sign_in_auth(socket: &Socket, user_data: &str) -> String {
    user_auth(&socket.app, &socket.id, user_data)
}

/// Awaits the success of a subscription that carries no members. The Java client compares the data with this text.
#[track_caller]
fn succeeded(socket: &mut Socket, channel: &str) {
    let success = socket.expect_on(channel, "pusher_internal:subscription_succeeded");
    assert_eq!(success.data, json!("{}"), "data of {}", success.whole);
}

/// The data as a client finds it that casts it to a string and reads that as JSON.
#[track_caller]
fn string_data(message: &Message) -> Value {
    message.decoded()
}

/// Asserts that `reader`, a subscriber, hears exactly this event next.
#[track_caller]
fn hears(reader: &mut Socket, channel: &str, event: &str, data: &str) {
    let message = reader.expect_on(channel, event);
    assert_eq!(message.data, json!(data), "data of {}", message.whole);
}

/// What every client shows on a public channel that it has asked for: it hears an event, and none after it has left.
#[track_caller]
fn joins_hears_and_leaves(target: &Target, socket: &mut Socket, channel: &str) {
    succeeded(socket, channel);
    target.publish(channel, "greet", r#"{"hi":1}"#);
    hears(socket, channel, "greet", r#"{"hi":1}"#);
    socket.send_text(&format!(r#"{{"event":"pusher:unsubscribe","data":{{"channel":"{channel}"}}}}"#));
    // What it was sent before is answered, so it has left.
    socket.assert_silence();
    target.publish(channel, "greet", "again");
    socket.assert_silence();
}

/// A private channel, asked for in the client's own words with a wrong signature and then with the right one.
#[track_caller]
fn is_refused_and_joins(
    target: &Target,
    socket: &mut Socket,
    channel: &str,
    subscribe: impl Fn(&str) -> String,
) {
    socket.send_text(&subscribe(&format!("{}:{}", target.credentials.key, "0".repeat(64))));
    socket.expect("pusher:subscription_error");
    let refused = socket.expect_some_error(None);
    assert!(refused.starts_with("Invalid signature: "), "{refused}");
    let joining = subscribe(&auth(socket, channel, None));
    socket.send_text(&joining);
    succeeded(socket, channel);
}

/// Somebody who is signed in: the connection, an encrypted channel that it is on, and the user's own, on which it is, too.
fn user_on_an_encrypted_channel(target: &Target) -> (Socket, String, String) {
    let (channel, id) = (unique("private-encrypted-"), unique("ann-"));
    let mut socket = target.connect();
    let user_data = json!({ "id": id }).to_string();
    let auth = sign_in_auth(&socket, &user_data);
    socket.send(&json!({ "event": "pusher:signin", "data": { "auth": auth, "user_data": user_data } }));
    socket.expect("pusher:signin_success");
    let own = format!("#server-to-user-{id}");
    socket.send(&json!({ "event": "pusher:subscribe", "data": { "channel": own } }));
    socket.expect_on(&own, "pusher_internal:subscription_succeeded");
    socket.subscribe_private(&channel);
    (socket, channel, own)
}
