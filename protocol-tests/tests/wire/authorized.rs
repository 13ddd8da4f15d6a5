//! Apps that demand that connections authorize themselves, and how these count towards the quota.

use std::time::{Duration, Instant};

use heliostat_protocol_tests::signature::user_auth;
use heliostat_protocol_tests::{Credentials, Incoming, Socket, Target, unique};
use serde_json::json;

use crate::eventually;

const SENTENCE: &str = "Connection not authorized within timeout";

/// The main app with authorized connections, this time-out in seconds, and more lines.
fn config(timeout: &str, more: &str) -> String {
    format!(
        "{}authorized_connections = true\nauthorization_timeout_seconds = {timeout}\n{more}\n",
        heliostat_protocol_tests::target::MAIN_APP
    )
}

fn sign_in(socket: &mut Socket, user: &str) {
    let user_data = json!({ "id": user }).to_string();
    let auth = user_auth(&socket.app, &socket.id, &user_data);
    socket.send(&json!({ "event": "pusher:signin", "data": { "auth": auth, "user_data": user_data } }));
    socket.expect("pusher:signin_success");
}

/// Who shows nothing is closed after the time-out and not before, whatever public channels it is on; clients that do
/// not read close codes are told in an error.
///
/// Proves: 31, 159, 160.
#[test]
pub(crate) fn who_does_not_authorize_itself_is_closed_with_4009() {
    let Some(target) = Target::own(&config("1", "")) else { return };
    let began = Instant::now();
    let mut idle = target.connect();
    let mut public = target.connect();
    public.subscribe(&unique("room-"));
    public.subscribe(&unique("cache-room-"));
    public.expect("pusher:cache_miss");
    let mut refused = target.connect();
    refused.send(
        &json!({ "event": "pusher:subscribe", "data": { "channel": "private-a", "auth": "app-key:00" } }),
    );
    refused.drain();
    let mut old = target.connect_as("protocol=5");
    for socket in [&mut idle, &mut public, &mut refused] {
        assert_eq!(socket.expect_close_with(4009), SENTENCE);
        socket.expect_end();
    }
    old.expect_error(Some(4009), SENTENCE);
    assert_eq!(old.expect_close_with(4009), SENTENCE);
    assert!(began.elapsed() >= Duration::from_secs(1), "not before: {:?}", began.elapsed());
}

/// A sign-in, or one subscription that takes a signature, is enough for good, even if it ends before the time-out.
///
/// Proves: 160.
#[test]
pub(crate) fn one_proof_is_enough_for_life() {
    let Some(target) = Target::own(&config("1.5", "")) else { return };
    let mut sockets: Vec<Socket> = (0..6).map(|_| target.connect()).collect();
    let mut witness = target.connect();
    sign_in(&mut sockets[0], "ann");
    let channels = ["private-", "private-encrypted-", "private-cache-", "private-encrypted-cache-"];
    for (socket, prefix) in sockets[1..].iter_mut().zip(channels) {
        let channel = unique(prefix);
        socket.subscribe_private(&channel);
        socket.unsubscribe(&channel);
        socket.drain();
    }
    sockets[5].subscribe_presence(&unique("presence-"), "u1", &json!(null));
    // This one came last and shows nothing: when it is closed, the time of all others is over, too.
    assert_eq!(witness.expect_close_with(4009), SENTENCE);
    for socket in &mut sockets {
        socket.assert_silence();
    }
}

/// Who has not authorized itself takes no place of the app's quota; who does takes one, once, and is closed with 4004
/// where there is none.
///
/// Proves: 28.
#[test]
fn only_the_authorized_count_towards_the_quota() {
    let Some(target) = Target::own(&config("30", "limits = { connections = 2 }")) else { return };
    let mut sockets: Vec<Socket> = (0..6).map(|_| target.connect()).collect();
    let channel = unique("presence-");
    sockets[0].subscribe_presence(&channel, "u0", &json!(null));
    sockets[0].subscribe_private(&unique("private-"));
    sign_in(&mut sockets[0], "u0");
    sign_in(&mut sockets[1], "u1");
    // Full. More may wait, but none may authorize itself, and what it asked for does not happen.
    let auth = sockets[2].auth(&channel, Some(r#"{"user_id":"u2"}"#));
    let data = json!({ "channel": channel, "auth": auth, "channel_data": r#"{"user_id":"u2"}"# });
    sockets[2].send(&json!({ "event": "pusher:subscribe", "data": data }));
    assert!(sockets[2].expect_close_with(4004).starts_with("Account over quota"));
    let user_data = r#"{"id":"u3"}"#;
    let auth = user_auth(&sockets[3].app, &sockets[3].id, user_data);
    sockets[3].send(&json!({ "event": "pusher:signin", "data": { "auth": auth, "user_data": user_data } }));
    assert!(sockets[3].expect_close_with(4004).starts_with("Account over quota"));
    sockets[0].assert_silence();
    sockets[4].assert_silence();
    // A place that is left can be taken by who waits.
    sockets[1].vanish();
    eventually("a place is free", || {
        let mut socket = target.connect();
        let channel = unique("private-");
        let auth = socket.auth(&channel, None);
        socket.send(&json!({ "event": "pusher:subscribe", "data": { "channel": channel, "auth": auth } }));
        match socket.receive() {
            Incoming::Message(message) => {
                (message.event == "pusher_internal:subscription_succeeded").then_some(socket)
            }
            _ => None,
        }
    });
    sockets[5].assert_silence();
}

/// A subscription that the channel itself refuses authorizes nobody, and takes no place.
///
/// Proves: 105, 160.
#[test]
fn a_refused_member_is_not_authorized() {
    let limits = "limits = { connections = 2, presence_members_per_channel = 1 }";
    let Some(target) = Target::own(&config("1", limits)) else { return };
    let channel = unique("presence-");
    let mut first = target.connect();
    first.subscribe_presence(&channel, "u1", &json!(null));
    let mut refused = target.connect();
    refused.join(&channel, r#"{"user_id":"u2"}"#);
    assert!(refused.drain().iter().any(|m| m.event == "pusher:error"));
    let mut second = target.connect();
    second.subscribe_private(&unique("private-"));
    assert_eq!(refused.expect_close_with(4009), SENTENCE);
    first.assert_silence();
    second.assert_silence();
}

/// Connections that were open when the demand was switched on are left alone; where it is switched off, nobody who
/// waits is closed for it.
///
/// Proves: 159.
#[test]
fn the_demand_is_made_of_new_connections_only() {
    let plain = heliostat_protocol_tests::target::MAIN_APP;
    // An app with a longer time-out: when a connection of it is closed, the time of the other app's is over.
    let seven = "\n[[apps]]\nid = \"7\"\nkey = \"key-7\"\nsecret = \"secret-7\"\nauthorized_connections = true\n\
                 authorization_timeout_seconds = 2.5\n";
    let Some(target) = Target::own(&format!("{plain}{seven}")) else { return };
    let reload =
        |main: &str| assert!(target.broker().unwrap().reload(&format!("{main}{seven}")).status.success());
    let witness = || target.with_credentials(Credentials::new("7", "key-7", "secret-7")).connect();
    let mut early = target.connect();
    reload(&config("1", ""));
    let mut late = target.connect();
    assert_eq!(late.expect_close_with(4009), SENTENCE);
    early.assert_silence();
    let mut waits = target.connect();
    let mut witness = witness();
    reload(plain);
    assert_eq!(witness.expect_close_with(4009), SENTENCE);
    waits.assert_silence();
}
