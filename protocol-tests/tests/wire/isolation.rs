//! Several apps in one broker know nothing of each other.

use heliostat_protocol_tests::signature::channel_auth;
use heliostat_protocol_tests::{Shared, Target, unique};
use serde_json::json;

/// Channels of the same name in two apps are two channels.
///
/// Proves: 65.
#[test]
pub(crate) fn channels_of_the_same_name_are_two_channels() {
    let (Some(ours), Some(theirs)) = (Target::shared(Shared::Main), Target::shared(Shared::Other)) else {
        return;
    };
    let (public, private) = (unique("room-"), unique("private-room-"));
    let (mut our, mut their) = (ours.connect(), theirs.connect());
    for socket in [&mut our, &mut their] {
        socket.subscribe(&public);
        socket.subscribe_private(&private);
    }
    ours.publish(&public, "greet", "ours");
    our.trigger(&private, "client-x", &json!("ours"));
    theirs.publish(&public, "greet", "theirs");
    assert_eq!(our.expect_on(&public, "greet").data, json!("ours"));
    assert_eq!(their.expect_on(&public, "greet").data, json!("theirs"));
    theirs.assert_nothing_published(&mut their, &private);
    ours.assert_nothing_published(&mut our, &private);
}

/// Members of a presence channel are those of the own app.
///
/// Proves: 65.
#[test]
pub(crate) fn rosters_hold_the_own_apps_members() {
    let (Some(ours), Some(theirs)) = (Target::shared(Shared::Main), Target::shared(Shared::Other)) else {
        return;
    };
    let channel = unique("presence-room-");
    let (mut our, mut their) = (ours.connect(), theirs.connect());
    our.subscribe_presence(&channel, "ann", &json!(null));
    let roster = their.subscribe_presence(&channel, "bob", &json!(null));
    assert_eq!(roster["presence"]["ids"], json!(["bob"]));
    their.unsubscribe(&channel);
    their.assert_silence();
    ours.assert_nothing_published(&mut our, &channel);
}

/// One app's credentials open nothing in another, on the socket or over HTTP.
///
/// Proves: 65, 73.
#[test]
fn credentials_are_those_of_one_app() {
    let (Some(ours), Some(theirs)) = (Target::shared(Shared::Main), Target::shared(Shared::Other)) else {
        return;
    };
    let channel = unique("private-room-");
    let mut socket = ours.connect();
    let auth = channel_auth(&theirs.credentials, &socket.id, &channel, None);
    socket.send(&json!({ "event": "pusher:subscribe", "data": { "channel": channel, "auth": auth } }));
    let answers = socket.drain();
    let refusal = format!("Invalid key in subscription auth data: '{}'", theirs.credentials.key);
    assert!(answers.iter().any(|m| m.data["message"] == json!(refusal)), "{answers:?}");

    // Their key and secret on our path: the app of the key is not the app of the path.
    let mut crossed = theirs.credentials.clone();
    crossed.app_id.clone_from(&ours.credentials.app_id);
    let answer =
        ours.with_credentials(crossed).events(&json!({ "name": "x", "channel": "room", "data": "" }));
    assert_eq!(answer.status, 404, "{answer}");
}

/// Two keys of one app are one app.
///
/// Proves: 65.
#[test]
fn one_key_reaches_the_app_of_the_other() {
    let (Some(older), Some(newer)) = (Target::shared(Shared::Other), Target::shared(Shared::OtherNewer))
    else {
        return;
    };
    let channel = unique("room-");
    let mut socket = older.connect();
    socket.subscribe(&channel);
    newer.publish(&channel, "greet", "hello");
    assert_eq!(socket.expect_on(&channel, "greet").data, json!("hello"));
}
