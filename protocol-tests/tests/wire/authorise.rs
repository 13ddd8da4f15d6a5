//! Signatures of subscriptions: which one opens a channel, and what is said of one that does not.

use heliostat_protocol_tests::signature::{channel_auth, channel_payload, hmac_hex};
use heliostat_protocol_tests::{Credentials, Shared, Target, unique};
use serde_json::json;

use crate::channel_names::expect_failure;
use crate::subscribe::subscribe;

/// A signature over socket and channel opens a private channel; the success looks like a public one's.
///
/// Proves: 69, 130, 133.
#[test]
pub(crate) fn a_signed_private_subscription_succeeds() {
    let target = Target::main();
    let mut socket = target.connect();
    for prefix in ["private-", "private-encrypted-", "private-room,with=all@of_it;."] {
        let channel = unique(prefix);
        let auth = socket.auth(&channel, None);
        subscribe(&mut socket, json!({ "channel": channel, "auth": auth }));
        let succeeded = socket.expect_on(&channel, "pusher_internal:subscription_succeeded");
        assert_eq!(succeeded.data, json!("{}"));
    }
    socket.assert_silence();
}

/// A signature that is not the right one is answered with the signed string and what came, never with what
/// should have come, and the connection stays.
///
/// Proves: 70, 71, 76.
#[test]
pub(crate) fn one_wrong_digit_fails_without_telling_the_right_one() {
    let mut socket = Target::main().connect();
    for prefix in ["private-", "private-encrypted-"] {
        let channel = unique(prefix);
        let right = hmac_hex(&socket.app.secret, &channel_payload(&socket.id, &channel, None));
        let other = if right.starts_with('0') { "1" } else { "0" };
        let last = if right.ends_with('0') { "1" } else { "0" };
        let wrong = [
            format!("{other}{}", &right[1..]),
            format!("{}{last}", &right[..63]),
            right[..63].to_owned(),
            format!("{right}0"),
            right.to_uppercase(),
            format!(" {right}"),
            format!("{right}:{right}")[1..].to_owned(),
            "0".repeat(64),
            "signature".to_owned(),
        ];
        for signature in wrong {
            let auth = format!("{}:{signature}", socket.app.key);
            subscribe(&mut socket, json!({ "channel": channel, "auth": auth }));
            let answers = socket.drain();
            let expected = format!(
                "Invalid signature: Expected HMAC SHA256 hex digest of {}:{channel}, but got {signature}",
                socket.id
            );
            let errors: Vec<_> = answers.iter().filter(|m| m.event == "pusher:error").collect();
            assert_eq!(errors.len(), 1, "{answers:?}");
            assert_eq!(errors[0].data, json!({ "code": null, "message": expected }));
            // What the client sent is repeated to it, so look in the answer without that.
            for answer in &answers {
                let said = answer.whole.to_string().replace(&signature, "");
                assert!(!said.contains(&right), "the right signature was told: {said}");
            }
        }
        // The channel was not joined by any of these.
        socket.subscribe_private(&channel);
    }
}

/// A signature is for one socket and one channel.
///
/// Proves: 72, 76.
#[test]
pub(crate) fn a_signature_for_another_socket_or_channel_fails() {
    let target = Target::main();
    let (mut socket, other) = (target.connect(), target.connect());
    let (channel, elsewhere) = (unique("private-room-"), unique("private-room-"));
    let auths = [
        other.auth(&channel, None),
        socket.auth(&elsewhere, None),
        socket.auth(&channel, Some("{}")),
        channel_auth(&socket.app, "", &channel, None),
    ];
    for auth in auths {
        let signature = auth.split_once(':').unwrap().1;
        subscribe(&mut socket, json!({ "channel": channel, "auth": auth }));
        let payload = channel_payload(&socket.id, &channel, None);
        let message =
            format!("Invalid signature: Expected HMAC SHA256 hex digest of {payload}, but got {signature}");
        expect_failure(&mut socket, &channel, &message);
    }
    // Another app's secret under this app's key.
    let forged = Credentials { secret: "guessed".to_owned(), ..socket.app.clone() };
    let auth = channel_auth(&forged, &socket.id, &channel, None);
    subscribe(&mut socket, json!({ "channel": channel, "auth": auth }));
    assert!(socket.drain().iter().any(|m| m.event == "pusher:error"));
    socket.assert_silence();
}

/// The key in `auth` must be one of this app's, also if it is another app's.
///
/// Proves: 73, 76.
#[test]
fn a_foreign_key_fails() {
    let mut socket = Target::main().connect();
    let channel = unique("private-room-");
    for key in ["nobody", "plain-key", "APP-KEY", " app-key"] {
        let app = Credentials::new("0", key, "plain-secret");
        let auth = channel_auth(&app, &socket.id, &channel, None);
        subscribe(&mut socket, json!({ "channel": channel, "auth": auth }));
        expect_failure(&mut socket, &channel, &format!("Invalid key in subscription auth data: '{key}'"));
    }
    socket.assert_silence();
}

/// `auth` has two halves around a colon.
///
/// Proves: 74, 76.
#[test]
fn auth_without_a_colon_fails() {
    let mut socket = Target::main().connect();
    let channel = unique("private-room-");
    for auth in ["nonsense", "app-key", " ", "app-key:", ":signature", ":"] {
        subscribe(&mut socket, json!({ "channel": channel, "auth": auth }));
        let message = format!(
            "Auth value for subscription to {channel} is invalid: should be of format 'key:signature'"
        );
        expect_failure(&mut socket, &channel, &message);
    }
    socket.assert_silence();
}

/// A private or presence channel asks for `auth`.
///
/// Proves: 75, 76.
#[test]
pub(crate) fn missing_auth_fails() {
    let mut socket = Target::main().connect();
    for prefix in ["private-room-", "private-encrypted-room-", "presence-room-"] {
        let channel = unique(prefix);
        for data in [
            json!({ "channel": channel }),
            json!({ "channel": channel, "auth": "" }),
            json!({ "channel": channel, "auth": null, "channel_data": "{\"user_id\":\"u\"}" }),
        ] {
            subscribe(&mut socket, data);
            expect_failure(&mut socket, &channel, &format!("Auth info required to subscribe to {channel}"));
        }
    }
    socket.assert_silence();
}

/// `channel_data` is part of what was signed, byte for byte, on private channels too.
///
/// Proves: 77, 78.
#[test]
pub(crate) fn channel_data_is_signed_as_it_was_sent() {
    let mut socket = Target::main().connect();
    let odd = [
        r#"{"note":"x"}"#,
        "{ \"note\" :\t\"x\" ,\n \"b\":1.0, \"a\":1e2 }",
        "{\"n\":\"\\u0041\\/\u{e9}\u{1F4F7}\",\"n\":2}",
    ];
    for data in odd {
        let channel = unique("private-room-");
        let signed = socket.auth(&channel, Some(data));
        let unsigned = socket.auth(&channel, None);
        subscribe(&mut socket, json!({ "channel": channel, "auth": unsigned, "channel_data": data }));
        let payload = channel_payload(&socket.id, &channel, Some(data));
        let got = unsigned.split_once(':').unwrap().1;
        let message =
            format!("Invalid signature: Expected HMAC SHA256 hex digest of {payload}, but got {got}");
        expect_failure(&mut socket, &channel, &message);
        subscribe(&mut socket, json!({ "channel": channel, "auth": signed, "channel_data": data }));
        socket.expect_on(&channel, "pusher_internal:subscription_succeeded");
    }
    let channel = unique("presence-room-");
    let spaced = "{ \"user_info\" : { \"name\" : \"\\u0041nn\" } ,\n\"user_id\" : \"u1\" }";
    socket.join(&channel, spaced);
    let roster = socket.expect_on(&channel, "pusher_internal:subscription_succeeded").decoded();
    assert_eq!(roster["presence"]["hash"], json!({ "u1": { "name": "Ann" } }));
}

/// An app that is changing its credentials has several pairs; each opens its channels, with its own secret only.
///
/// Proves: 79.
#[test]
fn every_key_of_the_app_is_accepted() {
    let Some(target) = Target::shared(Shared::Other) else { return };
    let (older, newer) = (Shared::Other.credentials(), Shared::OtherNewer.credentials());
    for connected_by in [&older, &newer] {
        let mut socket = target.with_credentials(connected_by.clone()).connect();
        for signed_by in [&older, &newer] {
            let channel = unique("private-room-");
            let auth = channel_auth(signed_by, &socket.id, &channel, None);
            subscribe(&mut socket, json!({ "channel": channel, "auth": auth }));
            socket.expect_on(&channel, "pusher_internal:subscription_succeeded");
        }
        let channel = unique("private-room-");
        let crossed = Credentials { secret: newer.secret.clone(), ..older.clone() };
        let auth = channel_auth(&crossed, &socket.id, &channel, None);
        subscribe(&mut socket, json!({ "channel": channel, "auth": auth }));
        assert!(socket.drain().iter().any(|m| m.event == "pusher:error"));
    }
}
