//! What a publisher can ask about the channels of its event.

use heliostat_protocol_tests::{Shared, Target, unique};
use serde_json::{Value, json};

use super::subscriber;

/// With `info` the answer has a member for each channel: here for an empty presence channel both counts, for an
/// empty public one only that of subscriptions.
///
/// Proves: 190, 191.
#[test]
fn counts_of_empty_channels_can_be_asked_for() {
    let Some(target) = Target::shared(Shared::Counting) else { return };
    let (room, presence) = (unique("room-"), unique("presence-"));
    let ask = |channels: &[&str]| {
        let info = "user_count,subscription_count";
        target.events(&json!({ "name": "greet", "channels": channels, "data": "", "info": info })).json()
    };
    assert_eq!(
        ask(&[&presence]),
        json!({ "channels": { &presence: { "user_count": 0, "subscription_count": 0 } } })
    );
    assert_eq!(ask(&[&room]), json!({ "channels": { &room: { "subscription_count": 0 } } }));
    assert_eq!(
        ask(&[&room, &presence, &room]),
        json!({ "channels": {
            &room: { "subscription_count": 0 },
            &presence: { "user_count": 0, "subscription_count": 0 },
        } })
    );
}

/// Users are counted once, connections each.
///
/// Proves: 205, 190, 191.
#[test]
fn counts_of_occupied_channels_can_be_asked_for() {
    let Some(target) = Target::shared(Shared::Counting) else { return };
    let (room, presence) = (unique("private-room-"), unique("presence-room-"));
    let mut sockets = [target.connect(), target.connect(), target.connect()];
    for (socket, user) in sockets.iter_mut().zip(["u1", "u1", "u2"]) {
        let _ = socket.subscribe_presence(&presence, user, &Value::Null);
    }
    let mut guest = target.connect();
    guest.subscribe_private(&room);
    let mut body = json!({ "name": "greet", "channels": [room, presence], "data": "" });
    body["info"] = json!("subscription_count,user_count");
    assert_eq!(
        target.events(&body).json(),
        json!({ "channels": {
            &room: { "subscription_count": 1 },
            &presence: { "user_count": 2, "subscription_count": 3 },
        } })
    );
    body["info"] = json!("user_count");
    assert_eq!(
        target.events(&body).json(),
        json!({ "channels": { &room: {}, &presence: { "user_count": 2 } } })
    );
    let call = target.call("POST", "/events").query("name", "greet").query("data", "");
    let call = call.query("channel", &presence).query("info", "subscription_count");
    assert_eq!(call.send().json(), json!({ "channels": { &presence: { "subscription_count": 3 } } }));
}

/// Where subscription counts are off they are left out without an error.
///
/// Proves: 165, 191.
#[test]
fn subscription_counts_are_left_out_where_they_are_off() {
    let Some(target) = Target::shared(Shared::Main) else { return };
    let (room, presence) = (unique("room-"), unique("presence-"));
    let info = "user_count,subscription_count";
    let body = json!({ "name": "greet", "channels": [room, presence], "data": "", "info": info });
    assert_eq!(
        target.events(&body).json(),
        json!({ "channels": { &room: {}, &presence: { "user_count": 0 } } })
    );
}

/// An attribute that does not exist is an error, and the event is not sent.
///
/// Proves: 211a.
#[test]
fn an_unknown_attribute_is_refused() {
    let target = Target::main();
    let (mut socket, channel) = subscriber(&target);
    for info in ["nonsense", "user_count,nonsense", "cache", "user_count;subscription_count", "USER_COUNT"] {
        let body = json!({ "name": "greet", "channel": channel, "data": "", "info": info });
        let beginning = "info should be a comma separated list of attributes";
        target.events(&body).assert_error_beginning(400, beginning);
    }
    for info in [json!(1), json!({})] {
        let body = json!({ "name": "greet", "channel": channel, "data": "", "info": info });
        let _ = target.events(&body).error(400);
    }
    target.assert_nothing_published(&mut socket, &channel);
}
