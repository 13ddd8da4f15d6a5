//! Signing a user in, the user's own events, and ending the user's connections.

use heliostat_protocol_tests::signature::{hmac_hex, user_auth};
use heliostat_protocol_tests::{Socket, Target, unique};
use serde_json::{Value, json};

use crate::{eventually, fence};

fn sign_in_as(socket: &mut Socket, target: &Target, user_data: &str) {
    let auth = user_auth(&target.credentials, &socket.id, user_data);
    socket.send(&json!({ "event": "pusher:signin", "data": { "auth": auth, "user_data": user_data } }));
}

/// A connection that is signed in as this user.
#[track_caller]
fn signed_in(target: &Target, id: &str) -> Socket {
    let mut socket = target.connect();
    sign_in_as(&mut socket, target, &json!({ "id": id }).to_string());
    socket.expect("pusher:signin_success");
    socket
}

fn own_channel(id: &str) -> String {
    format!("#server-to-user-{id}")
}

#[track_caller]
fn subscribe_own(socket: &mut Socket, id: &str) {
    let data = json!({ "channel": own_channel(id), "auth": "" });
    socket.send(&json!({ "event": "pusher:subscribe", "data": data }));
    socket.expect_on(&own_channel(id), "pusher_internal:subscription_succeeded");
}

/// A sign-in is confirmed with the very text that was sent, and the signature covers that text as it stands.
///
/// Proves: 142, 143.
#[test]
pub(crate) fn a_sign_in_is_confirmed_with_what_was_sent() {
    let target = Target::main();
    let mut socket = target.connect();
    let user_data = r#"{ "id":"u1",  "user_info":{"name":"Ann \u00e9"}, "more":[1] }"#;
    sign_in_as(&mut socket, &target, user_data);
    let success = socket.expect("pusher:signin_success");
    assert_eq!(success.channel, None);
    assert_eq!(success.decoded()["user_data"], json!(user_data));
    // The same user again, with other things to tell; and the colons of the signed text are two.
    sign_in_as(&mut socket, &target, r#"{"id":"u1"}"#);
    socket.expect("pusher:signin_success");
    let auth = format!(
        "{}:{}",
        target.credentials.key,
        hmac_hex(&target.credentials.secret, &format!("{}:user:{{}}", socket.id))
    );
    socket.send(&json!({ "event": "pusher:signin", "data": { "auth": auth, "user_data": "{}" } }));
    assert!(
        socket.expect_some_error(None).starts_with("Invalid signature: Expected HMAC SHA256 hex digest of")
    );
}

/// What is wrong with a sign-in is said, and the connection stays.
///
/// Proves: 144, 145, 146, 147.
#[test]
pub(crate) fn a_faulty_sign_in_is_told_why() {
    let target = Target::main();
    let mut socket = target.connect();
    let mut say = |data: Value| {
        socket.send(&json!({ "event": "pusher:signin", "data": data }));
        socket.expect_some_error(None)
    };
    assert_eq!(say(json!({ "auth": "k:s" })), "Missing parameter: data.user_data");
    assert_eq!(say(json!({ "user_data": "{}" })), "Missing parameter: data.auth");
    let malformed = "Invalid format: auth must have the format key:signature";
    assert_eq!(say(json!({ "auth": "abc", "user_data": "{}" })), malformed);
    assert!(say(json!({ "auth": "nobody:00", "user_data": "{}" })).contains("Invalid key"));
    let wrong = say(json!({ "auth": format!("{}:00", target.credentials.key), "user_data": "{}" }));
    assert!(wrong.starts_with("Invalid signature") && wrong.contains("::user::{}"), "{wrong}");
    assert_eq!(say(json!("text")), "Expected parameter data to be a hash");

    for user_data in ["", "[]", "{}", r#"{"id":""}"#, r#"{"id":7}"#, r#"{"id":null}"#, r#"{"id":"a b"}"#] {
        sign_in_as(&mut socket, &target, user_data);
        assert!(socket.expect_some_error(None).starts_with("Invalid user_data: "), "{user_data}");
    }
    sign_in_as(&mut socket, &target, r#"{"id":"ann"}"#);
    socket.expect("pusher:signin_success");
    sign_in_as(&mut socket, &target, r#"{"id":"bob"}"#);
    socket.expect_error(None, "Connection already signed in as another user");
    socket.assert_silence();
}

/// A user's own channel is open to the user's connections and to nobody else, and what is published there reaches all
/// of them and nobody else.
///
/// Proves: 148, 149, 150.
#[test]
pub(crate) fn a_users_events_reach_the_users_connections() {
    let target = Target::main();
    let (ann, bob) = (unique("ann-"), unique("bob-"));
    let (mut first, mut second) = (signed_in(&target, &ann), signed_in(&target, &ann));
    let (mut other, mut stranger) = (signed_in(&target, &bob), target.connect());
    for socket in [&mut first, &mut second] {
        subscribe_own(socket, &ann);
    }
    subscribe_own(&mut other, &bob);
    // Libraries ask again after they have signed in again.
    subscribe_own(&mut first, &ann);
    for socket in [&mut other, &mut stranger] {
        socket.send(&json!({ "event": "pusher:subscribe", "data": { "channel": own_channel(&ann) } }));
        let refused = socket.expect("pusher:subscription_error");
        assert_eq!(refused.decoded()["status"], json!(401));
        socket.expect_error(None, &format!("Not authorized to subscribe to {}", own_channel(&ann)));
    }
    target.publish(&own_channel(&ann), "note", "for ann");
    for socket in [&mut first, &mut second] {
        assert_eq!(socket.expect_on(&own_channel(&ann), "note").data, json!("for ann"));
        socket.assert_silence();
    }
    fence(&target, &own_channel(&bob), [&mut other]);
    stranger.assert_silence();
    let channels = target.get("/channels").send().json();
    assert_eq!(channels["channels"].get(own_channel(&ann)), None, "it is not listed");
    first.unsubscribe(&own_channel(&ann));
    first.assert_silence();
    target.publish(&own_channel(&ann), "note", "again");
    second.expect_on(&own_channel(&ann), "note");
    first.assert_silence();
}

/// Ending a user's connections closes all that are signed in as the user, and none that merely go by the name.
///
/// Proves: 151, 152, 153, 209.
#[test]
pub(crate) fn a_users_connections_can_be_ended() {
    let target = Target::main();
    let (ann, channel) = (unique("ann-"), unique("presence-"));
    let mut ended: Vec<Socket> = (0..3).map(|_| signed_in(&target, &ann)).collect();
    let mut namesake = target.connect();
    namesake.subscribe_presence(&channel, &ann, &json!(null));
    let path = format!("/users/{ann}/terminate_connections");
    target.post(&path, &json!({})).send().assert_empty_object();
    for socket in &mut ended {
        assert_eq!(socket.expect_close_with(4009), "You got disconnected by the app.");
    }
    namesake.assert_silence();
    let mut back = signed_in(&target, &ann);
    target.post_bytes(&path, "").send().assert_empty_object();
    back.expect_close_with(4009);
    target.post(&path, &json!({})).send().assert_empty_object();
    target.post("/users/nobody-at-all/terminate_connections", &json!({})).send().assert_empty_object();
    let _ = target.get(&path).send().error(405);
    namesake.assert_silence();
}

/// Protocols that look at nothing else are told by an error before the close.
///
/// Proves: 151.
#[test]
pub(crate) fn old_protocols_are_told_by_an_error() {
    let target = Target::main();
    let ann = unique("ann-");
    let mut socket = target.connect_as("protocol=5");
    sign_in_as(&mut socket, &target, &json!({ "id": ann }).to_string());
    socket.expect("pusher:signin_success");
    target.post(&format!("/users/{ann}/terminate_connections"), &json!({})).send().assert_empty_object();
    socket.expect_error(Some(4009), "You got disconnected by the app.");
    socket.expect_close_with(4009);
}

/// Who is signed in need not say who joins a presence channel; what is said counts more.
///
/// Proves: 108, 110.
#[test]
pub(crate) fn a_signed_in_user_is_a_member_without_saying_so() {
    let target = Target::main();
    let (ann, channel) = (unique("ann-"), unique("presence-"));
    let mut socket = target.connect();
    sign_in_as(&mut socket, &target, &json!({ "id": ann, "user_info": { "name": "Ann" } }).to_string());
    socket.expect("pusher:signin_success");
    let auth = socket.auth(&channel, None);
    socket.send(&json!({ "event": "pusher:subscribe", "data": { "channel": channel, "auth": auth } }));
    let roster = socket.expect_on(&channel, "pusher_internal:subscription_succeeded").decoded();
    assert_eq!(roster["presence"]["hash"], json!({ (ann.clone()): { "name": "Ann" } }));

    let second = unique("presence-");
    let roster = socket.subscribe_presence(&second, "guest", &json!(null));
    assert_eq!(roster["presence"]["ids"], json!(["guest"]));
}

/// Terminating while the user comes and goes leaves nobody behind.
///
/// Proves: bad input.
#[test]
fn terminating_in_the_middle_of_signing_in_leaves_nothing_behind() {
    let target = Target::main();
    let (ann, channel) = (unique("ann-"), unique("presence-"));
    let path = format!("/users/{ann}/terminate_connections");
    for _ in 0..20 {
        let mut socket = target.connect();
        sign_in_as(&mut socket, &target, &json!({ "id": ann }).to_string());
        let auth = socket.auth(&channel, None);
        socket.send(&json!({ "event": "pusher:subscribe", "data": { "channel": channel, "auth": auth } }));
        target.post(&path, &json!({})).send().assert_empty_object();
        drop(socket);
    }
    eventually("nobody is left", || {
        let answer = target.get(&format!("/channels/{channel}/users")).send();
        (answer.json()["users"] == json!([])).then_some(())
    });
}
