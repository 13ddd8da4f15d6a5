//! What the SDKs send whose toolchains the suite does not run, byte by byte, and how strictly they read what they get.
//!
//! One file per family. The facts are from the SDKs' own public sources, of the release that each file names; where a
//! release puts the members of an object in an order that its platform chooses, the file has one such order.

mod common;
mod dotnet;
mod go;
mod java;
mod php;
mod ruby;
mod swift;

use heliostat_protocol_tests::http::{Connection, Response};
use heliostat_protocol_tests::signature::{channel_auth, hmac_hex, user_auth};
use heliostat_protocol_tests::{Message, Socket, Target, compatibility};
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
