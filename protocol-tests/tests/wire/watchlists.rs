//! Watchlists: who is signed in hears when the users that it watches come and go.

use heliostat_protocol_tests::signature::user_auth;
use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Socket, Target, unique};
use serde_json::{Value, json};

const EVENTS: &str = "pusher_internal:watchlist_events";

fn watching() -> Option<Target> {
    Target::own(&format!("{MAIN_APP}watchlist_events = true\n"))
}

fn sign_in(socket: &mut Socket, target: &Target, id: &str, watchlist: &Value) {
    let user_data = json!({ "id": id, "watchlist": watchlist }).to_string();
    let auth = user_auth(&target.credentials, &socket.id, &user_data);
    socket.send(&json!({ "event": "pusher:signin", "data": { "auth": auth, "user_data": user_data } }));
    socket.expect("pusher:signin_success");
}

/// The next message must tell of the watchlist: who is online, who is offline; a missing entry is null.
#[track_caller]
fn told(socket: &mut Socket) -> (Value, Value) {
    let message = socket.expect(EVENTS);
    assert_eq!(message.channel, None);
    let decoded = message.decoded();
    let events = decoded["events"].as_array().expect("an array of events");
    let of = |name: &str| {
        let found = events.iter().find(|event| event["name"] == json!(name));
        found.map_or(Value::Null, |event| event["user_ids"].clone())
    };
    assert!(events.iter().all(|event| event["user_ids"] != json!([])), "{decoded}");
    (of("online"), of("offline"))
}

/// A sign-in is followed by one frame about everybody on the list; then the first connection of a watched user is
/// told, and the last, and none between.
///
/// Proves: 154, 155, 156.
#[test]
fn watchers_hear_who_comes_and_goes() {
    let Some(target) = watching() else { return };
    let (bob, cy) = (unique("bob-"), unique("cy-"));
    let (mut early, mut watcher) = (target.connect(), target.connect());
    sign_in(&mut early, &target, &bob, &json!(null));
    sign_in(&mut watcher, &target, "ann", &json!([bob, cy, bob]));
    assert_eq!(told(&mut watcher), (json!([bob]), json!([cy])));

    let (mut first, mut second) = (target.connect(), target.connect());
    sign_in(&mut first, &target, &cy, &json!(null));
    assert_eq!(told(&mut watcher), (json!([cy]), Value::Null));
    sign_in(&mut second, &target, &cy, &json!(null));
    first.close();
    second.vanish();
    assert_eq!(told(&mut watcher), (Value::Null, json!([cy])), "only when the last one has gone");
    early.assert_silence();
    early.vanish();
    assert_eq!(told(&mut watcher), (Value::Null, json!([bob])));
    watcher.assert_silence();
}

/// One may watch oneself, and another list takes the place of the first.
///
/// Proves: 154.
#[test]
pub(crate) fn a_watchlist_is_replaced_by_signing_in_again() {
    let Some(target) = watching() else { return };
    let (mut ann, mut bob) = (target.connect(), target.connect());
    sign_in(&mut ann, &target, "ann", &json!(["ann", "bob"]));
    assert_eq!(told(&mut ann), (json!(["ann"]), json!(["bob"])));
    sign_in(&mut ann, &target, "ann", &json!(["cy"]));
    assert_eq!(told(&mut ann), (Value::Null, json!(["cy"])));
    sign_in(&mut bob, &target, "bob", &json!([]));
    bob.assert_silence();
    ann.assert_silence();
}

/// Of a list that is too long the first hundred count, and the client is told which. Ten thousand are no trouble.
///
/// Proves: 157.
#[test]
pub(crate) fn a_long_watchlist_counts_as_far_as_a_hundred() {
    let Some(target) = watching() else { return };
    for length in [101, 10_000] {
        let list: Vec<String> = (0..length).map(|n| format!("u{n}")).collect();
        let mut socket = target.connect();
        sign_in(&mut socket, &target, &unique("ann-"), &json!(list));
        let (_, offline) = told(&mut socket);
        assert_eq!(offline, json!(&list[..100]));
        let message = socket.expect_some_error(Some(4302));
        assert!(
            message
                .starts_with("Watchlist limit exceeded. Only the first 100 user IDs are accepted: u0, u1,")
        );
        assert!(message.ends_with("u99"), "{message}");
        socket.assert_silence();
    }
    let mut socket = target.connect();
    let user_data = r#"{"id":"ann","watchlist":["a",7]}"#;
    let auth = user_auth(&target.credentials, &socket.id, user_data);
    socket.send(&json!({ "event": "pusher:signin", "data": { "auth": auth, "user_data": user_data } }));
    assert!(socket.expect_some_error(None).contains("watchlist"));
}

/// Where the app has not switched it on, a watchlist is no more than any other part of the user's data.
///
/// Proves: 158.
#[test]
fn without_the_switch_nobody_is_told() {
    let target = Target::main();
    let bob = unique("bob-");
    let (mut ann, mut socket) = (target.connect(), target.connect());
    sign_in(&mut ann, &target, &unique("ann-"), &json!([bob]));
    ann.assert_silence();
    sign_in(&mut socket, &target, &bob, &json!(null));
    ann.assert_silence();
}
