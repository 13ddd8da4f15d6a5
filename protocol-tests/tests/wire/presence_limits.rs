//! Who may not come in: members without an id, malformed or too large ones, and one too many.

use heliostat_protocol_tests::{Shared, Socket, Target, unique};
use serde_json::json;

use crate::channel_names::expect_failure;

/// Without a usable `user_id` nobody is a member.
///
/// Proves: 103, 109.
#[test]
pub(crate) fn channel_data_without_a_user_id_is_refused() {
    let mut socket = Target::main().connect();
    let channel = unique("presence-room-");
    let bad = [
        "{}",
        r#"{"user_info":{"name":"Ann"}}"#,
        r#"{"user_id":null}"#,
        r#"{"user_id":true}"#,
        r#"{"user_id":["u1"]}"#,
        r#"{"user_id":{"id":"u1"}}"#,
        r#"{"user_id":""}"#,
        "[]",
        r#""u1""#,
        "7",
        "null",
        "not json",
        "",
        r#"{"user_id":"u1""#,
    ];
    for data in bad {
        socket.join(&channel, data);
        expect_failure(
            &mut socket,
            &channel,
            &format!("Invalid channel_data for presence channel {channel}"),
        );
    }
    // No channel_data at all, correctly signed; `null` is the same.
    for data in [json!({}), json!({ "channel_data": null })] {
        let mut data = data;
        data["channel"] = json!(channel);
        data["auth"] = json!(socket.auth(&channel, None));
        socket.send(&json!({ "event": "pusher:subscribe", "data": data }));
        expect_failure(
            &mut socket,
            &channel,
            &format!("Invalid channel_data for presence channel {channel}"),
        );
    }
    socket.assert_silence();
}

/// `user_info` is an object, or there is none.
///
/// Proves: 104.
#[test]
pub(crate) fn user_info_must_be_an_object() {
    let mut socket = Target::main().connect();
    let channel = unique("presence-room-");
    for info in ["\"Ann\"", "[]", "[{}]", "7", "true", "\"{}\""] {
        socket.join(&channel, &format!(r#"{{"user_id":"u1","user_info":{info}}}"#));
        expect_failure(
            &mut socket,
            &channel,
            "user_info supplied to presence subscription is invalid - if supplied it must be a type of hash",
        );
    }
    socket.assert_silence();
}

/// A hundred members are a full house; a member's further connections still come in.
///
/// Proves: 92, 105.
#[test]
fn the_hundred_and_first_member_is_refused() {
    let target = Target::main();
    let channel = unique("presence-room-");
    let mut members: Vec<Socket> = (0..100).map(|_| target.connect()).collect();
    for (n, socket) in members.iter_mut().enumerate() {
        let roster = socket.subscribe_presence(&channel, &format!("u{n}"), &json!(null));
        assert_eq!(roster["presence"]["count"], json!(n + 1));
    }
    let mut late = target.connect();
    let refused = r#"{"user_id":"late"}"#;
    late.join(&channel, refused);
    expect_failure(&mut late, &channel, &format!("Presence channel {channel} is over capacity"));
    let mut again = target.connect();
    let roster = again.subscribe_presence(&channel, "u7", &json!(null));
    assert_eq!(roster["presence"]["count"], json!(100));
    assert_eq!(roster["presence"]["ids"].as_array().unwrap().len(), 100);
    // One goes, the refused one comes in.
    members.pop().unwrap().close();
    again.expect_on(&channel, "pusher_internal:member_removed");
    late.join(&channel, refused);
    late.expect_on(&channel, "pusher_internal:subscription_succeeded");
}

/// An id has at most 128 characters, counted as characters.
///
/// Proves: 106.
#[test]
fn a_user_id_has_at_most_128_characters() {
    let mut socket = Target::main().connect();
    for letter in ["x", "é", "📷"] {
        let channel = unique("presence-room-");
        let too_long = json!({ "user_id": letter.repeat(129) }).to_string();
        socket.join(&channel, &too_long);
        let message = format!("user_id/user_info too large for presence channel {channel}");
        expect_failure(&mut socket, &channel, &message);
        socket.subscribe_presence(&channel, &letter.repeat(128), &json!(null));
    }
}

/// A member has at most a kilobyte.
///
/// Proves: 107.
#[test]
fn a_member_has_at_most_a_kilobyte() {
    let mut socket = Target::main().connect();
    let channel = unique("presence-room-");
    let member = |bytes: usize| {
        let empty = r#"{"user_id":"u1","user_info":{"p":""}}"#.len();
        format!(r#"{{"user_id":"u1","user_info":{{"p":"{}"}}}}"#, "p".repeat(bytes - empty))
    };
    socket.join(&channel, &member(1025));
    let message = format!("user_id/user_info too large for presence channel {channel}");
    expect_failure(&mut socket, &channel, &message);
    socket.join(&channel, &member(1024));
    socket.expect_on(&channel, "pusher_internal:subscription_succeeded");
}

/// The limits of a presence channel are the app's own.
///
/// Proves: 105, 106, 107.
#[test]
fn presence_limits_are_configurable() {
    let Some(target) = Target::shared(Shared::Small) else { return };
    let channel = unique("presence-");
    let mut sockets: Vec<Socket> = (0..3).map(|_| target.connect()).collect();
    let too_large = format!("user_id/user_info too large for presence channel {channel}");
    sockets[0].join(&channel, r#"{"user_id":"123456789"}"#);
    expect_failure(&mut sockets[0], &channel, &too_large);
    sockets[0].join(&channel, &json!({ "user_id": "u", "user_info": { "p": "p".repeat(64) } }).to_string());
    expect_failure(&mut sockets[0], &channel, &too_large);
    sockets[0].subscribe_presence(&channel, "12345678", &json!(null));
    sockets[1].subscribe_presence(&channel, "u2", &json!(null));
    sockets[2].join(&channel, r#"{"user_id":"u3"}"#);
    expect_failure(&mut sockets[2], &channel, &format!("Presence channel {channel} is over capacity"));
}
