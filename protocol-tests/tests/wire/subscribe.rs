//! Subscribing and unsubscribing: what succeeds, what fails with which words, and what is delivered in between.

use std::sync::mpsc::{self, TryRecvError};

use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Incoming, Shared, Socket, Target, unique};
use serde_json::{Value, json};

use crate::channel_names::expect_failure;
use crate::keys;

/// The success of a public subscription carries its channel and the string `{}`.
///
/// Proves: 66.
#[test]
pub(crate) fn a_public_subscription_succeeds() {
    let target = Target::main();
    for protocol in 4..=7 {
        let channel = unique("room-");
        let mut socket = target.connect_as(&format!("protocol={protocol}"));
        subscribe(&mut socket, json!({ "channel": channel }));
        let succeeded = socket.expect_on(&channel, "pusher_internal:subscription_succeeded");
        assert_eq!(succeeded.data, json!("{}"));
        socket.assert_silence();
    }
}

/// Libraries send what they have: empty and absent credentials mean the same, and on a public channel any
/// credentials mean nothing.
///
/// Proves: 67, 68.
#[test]
pub(crate) fn credentials_are_ignored_where_none_are_needed() {
    let mut socket = Target::main().connect();
    let extras = [
        json!({ "auth": "" }),
        json!({ "auth": null }),
        json!({ "auth": null, "channel_data": null }),
        json!({ "auth": "nonsense", "channel_data": "nonsense" }),
        json!({ "auth": "key:signature", "channel_data": "{\"user_id\":\"u\"}" }),
    ];
    for mut extra in extras {
        let channel = unique("room-");
        extra["channel"] = json!(channel);
        subscribe(&mut socket, extra);
        socket.expect_on(&channel, "pusher_internal:subscription_succeeded");
    }
    let channel = unique("private-room-");
    let auth = socket.auth(&channel, None);
    subscribe(&mut socket, json!({ "channel": channel, "auth": auth, "channel_data": null }));
    socket.expect_on(&channel, "pusher_internal:subscription_succeeded");
    let channel = unique("private-room-");
    subscribe(&mut socket, json!({ "channel": channel, "auth": null, "channel_data": null }));
    expect_failure(&mut socket, &channel, &format!("Auth info required to subscribe to {channel}"));
    socket.assert_silence();
}

/// Who is subscribed already is told so, and is subscribed once.
///
/// Proves: 80, 81.
#[test]
pub(crate) fn a_second_subscription_is_refused_and_changes_nothing() {
    let target = Target::main();
    let mut socket = target.connect();
    for prefix in ["room-", "private-room-", "presence-room-"] {
        let channel = unique(prefix);
        let member = prefix.starts_with("presence").then_some(r#"{"user_id":"u1"}"#);
        let auth = socket.auth(&channel, member);
        let request = json!({ "channel": channel, "auth": auth, "channel_data": member });
        subscribe(&mut socket, request.clone());
        socket.expect_on(&channel, "pusher_internal:subscription_succeeded");
        for _ in 0..3 {
            subscribe(&mut socket, request.clone());
            expect_failure(&mut socket, &channel, &format!("Existing subscription to channel {channel}"));
        }
        target.publish(&channel, "once", "1");
        socket.expect_on(&channel, "once");
        target.assert_nothing_published(&mut socket, &channel);
        // One unsubscription ends it.
        socket.unsubscribe(&channel);
        socket.unsubscribe(&channel);
        let message = format!("No current subscription to channel {channel}, or subscription in progress");
        socket.expect_error(None, &message);
    }
}

/// After unsubscribing nothing is delivered any more, and nothing is said about it.
///
/// Proves: 82.
#[test]
pub(crate) fn unsubscribing_ends_delivery_without_a_reply() {
    let target = Target::main();
    let (mut leaver, mut stays) = (target.connect(), target.connect());
    let aside = unique("aside-");
    leaver.subscribe(&aside);
    for prefix in ["room-", "private-room-"] {
        let channel = unique(prefix);
        for socket in [&mut leaver, &mut stays] {
            match prefix {
                "room-" => socket.subscribe(&channel),
                _ => socket.subscribe_private(&channel),
            }
        }
        leaver.unsubscribe(&channel);
        leaver.assert_silence();
        target.publish(&channel, "after", "1");
        stays.expect_on(&channel, "after");
        target.assert_nothing_published(&mut leaver, &aside);
    }
}

/// Unsubscribing from what one is not subscribed to is an error with the channel's name.
///
/// Proves: 83.
#[test]
pub(crate) fn unsubscribing_an_unknown_channel_is_an_error() {
    let mut socket = Target::main().connect();
    for channel in [unique("room-"), unique("private-room-"), unique("presence-room-")] {
        socket.unsubscribe(&channel);
        let message = format!("No current subscription to channel {channel}, or subscription in progress");
        socket.expect_error(None, &message);
    }
    socket.send(&json!({ "event": "pusher:unsubscribe", "data": {} }));
    socket.expect_error(None, "Missing parameter: data.channel");
    socket.send(&json!({ "event": "pusher:unsubscribe" }));
    socket.expect_error(None, "Expected parameter data to be a hash");
    socket.assert_silence();
}

/// A subscription may be taken up again with the same signature, and is a fresh one.
///
/// Proves: 84.
#[test]
pub(crate) fn a_channel_can_be_subscribed_again() {
    let target = Target::main();
    let mut socket = target.connect();
    let channel = unique("private-room-");
    let request = json!({ "channel": channel, "auth": socket.auth(&channel, None) });
    for _ in 0..5 {
        subscribe(&mut socket, request.clone());
        socket.expect_on(&channel, "pusher_internal:subscription_succeeded");
        target.publish(&channel, "again", "1");
        socket.expect_on(&channel, "again");
        socket.unsubscribe(&channel);
        socket.assert_silence();
    }
}

/// The success comes before every event of the channel, however busy the channel is.
///
/// Proves: 85.
#[test]
fn no_event_precedes_the_success() {
    let target = Target::main();
    let channel = unique("private-busy-");
    let (busy, done) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let (target, channel) = (&target, channel.as_str());
        // It ends when the other end of `done` is dropped, by a failure too.
        scope.spawn(move || {
            while done.try_recv() == Err(TryRecvError::Empty) {
                target.publish(channel, "busy", "1");
            }
        });
        let _busy = busy;
        let mut socket = target.connect();
        let request = json!({ "channel": channel, "auth": socket.auth(channel, None) });
        for _ in 0..30 {
            subscribe(&mut socket, request.clone());
            socket.expect_on(channel, "pusher_internal:subscription_succeeded");
            socket.expect_on(channel, "busy");
            socket.unsubscribe(channel);
            // Events that were on their way come before the answer of a ping, none after it.
            socket.drain();
        }
    });
}

/// A request without a channel, or without data.
///
/// Proves: 86.
#[test]
pub(crate) fn a_subscription_without_a_channel_is_an_error() {
    let mut socket = Target::main().connect();
    for data in [json!({}), json!({ "auth": "a:b" })] {
        subscribe(&mut socket, data);
        socket.expect_error(None, "Missing parameter: data.channel");
    }
    for data in [json!(null), json!([]), json!(7), json!(true), json!("not json"), json!("[]"), json!("7")] {
        subscribe(&mut socket, data);
        socket.expect_error(None, "Expected parameter data to be a hash");
    }
    socket.send(&json!({ "event": "pusher:subscribe" }));
    socket.expect_error(None, "Expected parameter data to be a hash");
    socket.assert_silence();
}

/// A new connection has no subscriptions, whatever an earlier one of the same client had.
///
/// Proves: 87.
#[test]
pub(crate) fn subscriptions_end_with_their_connection() {
    let target = Target::main();
    let channel = unique("room-");
    let mut first = target.connect();
    first.subscribe(&channel);
    first.close();
    let mut second = target.connect();
    let mut witness = target.connect();
    witness.subscribe(&channel);
    target.publish(&channel, "greet", "1");
    witness.expect_on(&channel, "greet");
    second.unsubscribe(&channel);
    let message = format!("No current subscription to channel {channel}, or subscription in progress");
    second.expect_error(None, &message);
}

/// Protocol 3 and below takes silence for success; the subscription holds all the same.
///
/// Proves: 15, 88.
#[test]
pub(crate) fn old_protocols_get_no_success_on_public_and_private_channels() {
    let target = Target::main();
    for query in ["protocol=1", "protocol=2", "protocol=3", "client=js&version=1.9.4"] {
        let mut socket = target.connect_as(query);
        let (public, private) = (unique("room-"), unique("private-room-"));
        let auth = socket.auth(&private, None);
        subscribe(&mut socket, json!({ "channel": public }));
        subscribe(&mut socket, json!({ "channel": private, "auth": auth }));
        socket.assert_silence();
        for channel in [&public, &private] {
            target.publish(channel, "greet", "hello");
            assert_eq!(socket.expect_on(channel, "greet").data, json!("hello"), "{query}");
        }
        // Its failures are told as to all others.
        subscribe(&mut socket, json!({ "channel": unique("private-room-") }));
        assert!(socket.drain().iter().any(|m| m.event == "pusher:error"), "{query}");
    }
}

/// A failed subscription is also told on its channel, for handlers that are bound there.
///
/// Proves: 76, 89.
#[test]
pub(crate) fn a_failure_is_also_told_on_the_channel() {
    let Some(target) = Target::shared(Shared::Small) else { return };
    let mut socket = target.connect();
    let room = unique("private-r");
    let cases = [
        (json!({ "channel": "private-r" }), "private-r", "AuthError", 401),
        (json!({ "channel": room, "auth": format!("{}:00", socket.app.key) }), &room, "AuthError", 401),
        (json!({ "channel": room, "auth": "nobody:00" }), &room, "AuthError", 401),
        (json!({ "channel": room, "auth": "00" }), &room, "AuthError", 401),
    ];
    for (data, channel, kind, status) in cases {
        subscribe(&mut socket, data);
        let failure = socket.expect_on(channel, "pusher:subscription_error");
        let error = socket.expect_some_error(None);
        assert_eq!(failure.decoded(), json!({ "type": kind, "error": error, "status": status }));
        assert_eq!(keys(&failure.whole), ["channel", "data", "event"]);
    }
    // A bad form is 400, a limit 4301.
    let long = "x".repeat(51);
    let (bad_name, forgetful) = ("a b", unique("presence-"));
    subscribe(&mut socket, json!({ "channel": bad_name }));
    expect_status(&mut socket, bad_name, 400);
    subscribe(&mut socket, json!({ "channel": long }));
    expect_status(&mut socket, &long, 400);
    let auth = socket.auth(&forgetful, Some("{}"));
    subscribe(&mut socket, json!({ "channel": forgetful, "auth": auth, "channel_data": "{}" }));
    expect_status(&mut socket, &forgetful, 400);
    let crowd = unique("presence-");
    socket.join(&crowd, r#"{"user_id":"much-too-long"}"#);
    expect_status(&mut socket, &crowd, 4301);
    socket.assert_silence();
}

/// With the switch off the broker says exactly what the hosted service says.
///
/// Proves: 76, 89.
#[test]
fn with_the_switch_off_a_failure_is_told_once() {
    let config = format!("[connection]\nsubscription_error_event = false\n{MAIN_APP}");
    let Some(target) = Target::own(&config) else { return };
    let mut socket = target.connect();
    for data in [
        json!({ "channel": "private-r" }),
        json!({ "channel": "a b" }),
        json!({ "channel": "private-r", "auth": "x" }),
    ] {
        subscribe(&mut socket, data);
        socket.expect_some_error(None);
        socket.assert_silence();
    }
}

/// An app may bound how many channels one connection holds.
///
/// Proves: bad input.
#[test]
fn a_connection_holds_at_most_the_configured_subscriptions() {
    let Some(target) = Target::shared(Shared::Small) else { return };
    let mut socket = target.connect();
    let channels: Vec<String> = (0..3).map(|n| format!("s{n}-{}", std::process::id())).collect();
    channels.iter().for_each(|channel| socket.subscribe(channel));
    subscribe(&mut socket, json!({ "channel": "one-more" }));
    let answers = socket.drain();
    assert!(!answers.is_empty() && answers.iter().all(|m| m.event.ends_with("error")), "{answers:?}");
    socket.unsubscribe(&channels[0]);
    socket.subscribe("one-more");
}

/// A connection may hold very many subscriptions where nothing bounds it, and leave them all at once.
///
/// Proves: 66, 82.
#[test]
fn thousands_of_subscriptions_on_one_connection() {
    let target = Target::main();
    let mut socket = target.connect();
    let channels: Vec<String> = (0..2000).map(|n| unique(&format!("m{n}-"))).collect();
    let frames: Vec<String> = channels
        .iter()
        .map(|channel| json!({ "event": "pusher:subscribe", "data": { "channel": channel } }).to_string())
        .collect();
    for (frames, channels) in frames.chunks(100).zip(channels.chunks(100)) {
        socket.send_together(frames.iter().map(String::as_str));
        for channel in channels {
            socket.expect_on(channel, "pusher_internal:subscription_succeeded");
        }
    }
    target.publish(&channels[1999], "greet", "1");
    socket.expect_on(&channels[1999], "greet");
    socket.close();
}

/// A refused client cannot subscribe: its connection never was one.
///
/// Proves: 25, 87.
#[test]
fn a_refused_connection_has_no_subscriptions() {
    let target = Target::main();
    let mut refused = target.upgrade("protocol=8");
    refused.send(&json!({ "event": "pusher:subscribe", "data": { "channel": "room" } }));
    loop {
        match refused.receive() {
            Incoming::Message(message) => assert_eq!(message.event, "pusher:error"),
            Incoming::Close(closed) => break assert_eq!(closed.code, 4007),
            other => refused.fail(&format!("expected a refusal, got {other:?}")),
        }
    }
}

/// Asks for a subscription with this `data`, and awaits nothing.
#[track_caller]
pub(crate) fn subscribe(socket: &mut Socket, data: Value) {
    socket.send(&json!({ "event": "pusher:subscribe", "data": data }));
}

#[track_caller]
fn expect_status(socket: &mut Socket, channel: &str, status: u16) {
    let failure = socket.expect_on(channel, "pusher:subscription_error").decoded();
    let error = socket.expect_some_error(None);
    assert_eq!((&failure["status"], &failure["error"]), (&json!(status), &json!(error)), "{failure}");
    assert!(failure["type"].is_string(), "{failure}");
}
