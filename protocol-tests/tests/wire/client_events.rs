//! Client events: from one subscriber to the others, without the application's server in between.

use heliostat_protocol_tests::{Incoming, Shared, Socket, Target, unique};
use serde_json::{Value, json};

use crate::{fence, keys, settle};

/// Everybody else on the channel gets it, the sender does not.
///
/// Proves: 113, 114.
#[test]
pub(crate) fn the_others_get_it_and_the_sender_does_not() {
    let target = Target::main();
    for prefix in ["private-", "presence-", "private-encrypted-", "private-cache-", "presence-cache-"] {
        let channel = unique(prefix);
        let mut sockets: Vec<Socket> = (0..4).map(|_| target.connect()).collect();
        for (n, socket) in sockets.iter_mut().enumerate() {
            join(socket, &channel, &format!("u{n}"));
        }
        // Whatever joining brought has been read before the event is sent.
        settle(&target, &channel, &mut sockets);
        let [sender, others @ ..] = &mut sockets[..] else { unreachable!() };
        sender.trigger(&channel, "client-x", &json!({ "n": 1 }));
        for socket in others.iter_mut() {
            let event = socket.expect_on(&channel, "client-x");
            assert_eq!(event.data, json!(r#"{"n":1}"#));
        }
        fence(&target, &channel, &mut sockets);
    }
}

/// The same user elsewhere is somebody else.
///
/// Proves: 115.
#[test]
pub(crate) fn the_same_users_other_connection_gets_it() {
    let target = Target::main();
    let channel = unique("presence-");
    let (mut phone, mut laptop) = (target.connect(), target.connect());
    join(&mut phone, &channel, "bob");
    join(&mut laptop, &channel, "bob");
    phone.trigger(&channel, "client-x", &json!({}));
    assert_eq!(laptop.expect_on(&channel, "client-x").whole["user_id"], json!("bob"));
    target.assert_nothing_published(&mut phone, &channel);
}

/// `data` arrives as a string: a string as it was sent, anything else as its JSON text.
///
/// Proves: 56, 116, 117.
#[test]
pub(crate) fn data_arrives_as_a_string() {
    let target = Target::main();
    let channel = unique("private-");
    let mut other = target.connect();
    other.subscribe_private(&channel);
    let mut expect = |sent: &str, arrives: &str| {
        // Each from a new connection, because one may send ten in a second.
        let mut sender = target.connect();
        sender.subscribe_private(&channel);
        sender.send_text(&format!(r#"{{"event":"client-x","channel":"{channel}","data":{sent}}}"#));
        assert_eq!(other.expect_on(&channel, "client-x").data, json!(arrives), "{sent} was sent");
    };
    for value in ["{}", "[]", r#"{"b":1,"a":[true,null,{"c":"d"}]}"#, "17", "-1.5e3", "true", "false", "null"]
    {
        expect(value, value);
    }
    expect(r#""text""#, "text");
    expect(r#""""#, "");
    expect(r#""{\"already\":\"text\"}""#, r#"{"already":"text"}"#);
    expect(
        r#""line\nbreak \"quoted\" \\ \/ \u00e9 \ud83d\udcf7 \u0000""#,
        "line\nbreak \"quoted\" \\ / é 📷 \u{0}",
    );
}

/// A value that was sent with spaces and escapes arrives as the same value.
///
/// Proves: 116.
#[test]
pub(crate) fn a_value_arrives_as_the_same_value() {
    let target = Target::main();
    let channel = unique("private-");
    let (mut sender, mut other) = (target.connect(), target.connect());
    sender.subscribe_private(&channel);
    other.subscribe_private(&channel);
    for text in [
        "{ \"a\" : [ 1 , 2 ] ,\n\t\"b\" : \"\\u00e9 \\\" \\\\ \" }",
        "[ \"spaces  stay  in  strings\" , { } , [ ] ]",
        r#"{"dup":1,"dup":2}"#,
        r#""\u0041""#,
    ] {
        sender.send_text(&format!(r#"{{"event":"client-x","channel":"{channel}","data":{text}}}"#));
        let event = other.expect_on(&channel, "client-x");
        match serde_json::from_str::<Value>(text).unwrap() {
            Value::String(string) => assert_eq!(event.data, json!(string)),
            value => assert_eq!(event.decoded(), value),
        }
    }
}

/// On a presence channel the broker says who sent it, as text; what the sender claims does not count.
///
/// Proves: 118, 119.
#[test]
pub(crate) fn the_sender_is_named_on_presence_channels_only() {
    let target = Target::main();
    let (presence, private) = (unique("presence-"), unique("private-"));
    let (mut sender, mut other) = (target.connect(), target.connect());
    sender.join(&presence, r#"{"user_id":42}"#);
    sender.expect_on(&presence, "pusher_internal:subscription_succeeded");
    sender.subscribe_private(&private);
    join(&mut other, &presence, "other");
    other.subscribe_private(&private);
    for claim in [json!(null), json!("eve"), json!(7)] {
        for (channel, user) in [(&presence, json!("42")), (&private, json!(null))] {
            sender.send(&json!({ "event": "client-x", "channel": channel, "data": {}, "user_id": claim }));
            let event = other.expect_on(channel, "client-x");
            assert_eq!(event.whole["user_id"], user, "{claim} was claimed");
            assert_eq!(event.whole.get("user_id").is_some(), user.is_string());
        }
    }
}

/// Where the application has not switched client events on, it is told how to.
///
/// Proves: 76, 120.
#[test]
pub(crate) fn with_the_flag_off_nothing_is_delivered() {
    let Some(target) = Target::shared(Shared::Plain) else { return };
    for prefix in ["private-", "presence-"] {
        let channel = unique(prefix);
        let (mut sender, mut other) = (target.connect(), target.connect());
        join(&mut other, &channel, "other");
        join(&mut sender, &channel, "sender");
        settle(&target, &channel, [&mut sender, &mut other]);
        sender.trigger(&channel, "client-x", &json!({}));
        sender.expect_error(
            None,
            "To send client events, you must enable this feature in the Settings page of your dashboard.",
        );
        target.assert_nothing_published(&mut other, &channel);
    }
}

/// On a public channel nobody may speak.
///
/// Proves: 121.
#[test]
fn public_channels_take_no_client_events() {
    let target = Target::main();
    for prefix in ["room-", "cache-room-"] {
        let channel = unique(prefix);
        let (mut sender, mut other) = (target.connect(), target.connect());
        for socket in [&mut sender, &mut other] {
            socket.send(&json!({ "event": "pusher:subscribe", "data": { "channel": channel } }));
            socket.drain();
        }
        sender.trigger(&channel, "client-x", &json!({}));
        let refusal = "Client event rejected - only supported on private and presence channels";
        sender.expect_error(None, refusal);
        target.assert_nothing_published(&mut other, &channel);
    }
}

/// Who is not subscribed, not any more or not yet, cannot speak.
///
/// Proves: 122.
#[test]
pub(crate) fn only_subscribers_may_send() {
    let target = Target::main();
    let channel = unique("private-");
    let (mut sender, mut other) = (target.connect(), target.connect());
    other.subscribe_private(&channel);
    let refusal = format!("Cannot broadcast client event (connection not subscribed to channel {channel})");
    sender.trigger(&channel, "client-x", &json!({}));
    sender.expect_error(None, &refusal);
    sender.subscribe_private(&channel);
    sender.unsubscribe(&channel);
    sender.trigger(&channel, "client-x", &json!({}));
    sender.expect_error(None, &refusal);
    target.assert_nothing_published(&mut other, &channel);
}

/// An event has a channel and data.
///
/// Proves: 123.
#[test]
fn without_channel_or_data_it_is_no_client_event() {
    let target = Target::main();
    let channel = unique("private-");
    let mut sender = target.connect();
    sender.subscribe_private(&channel);
    let incomplete = [
        json!({ "event": "client-x" }),
        json!({ "event": "client-x", "channel": channel }),
        json!({ "event": "client-x", "data": {} }),
        json!({ "event": "client-x", "channel": null, "data": {} }),
        json!({ "event": "client-x", "channel": 7, "data": {} }),
    ];
    for frame in incomplete {
        sender.send(&frame);
        sender.expect_error(None, "Invalid client event (must contain channel and data)");
    }
    sender.assert_silence();
}

/// Of several faults the first in a fixed order is told: shape, switch, type, subscription, size.
///
/// Proves: 120, 121, 122, 123.
#[test]
pub(crate) fn of_several_faults_the_first_in_order_is_told() {
    let (Some(plain), Some(small)) = (Target::shared(Shared::Plain), Target::shared(Shared::Small)) else {
        return;
    };
    let big = json!("x".repeat(11_000));
    let mut socket = plain.connect();
    socket.send(&json!({ "event": "client-x", "channel": "room" }));
    socket.expect_error(None, "Invalid client event (must contain channel and data)");
    socket.trigger("room", "client-x", &big);
    let switch =
        "To send client events, you must enable this feature in the Settings page of your dashboard.";
    socket.expect_error(None, switch);
    let big = json!("x".repeat(101));
    let mut socket = small.connect();
    socket.trigger("room", "client-x", &big);
    socket.expect_error(None, "Client event rejected - only supported on private and presence channels");
    socket.trigger("private-x", "client-x", &big);
    let refusal = "Cannot broadcast client event (connection not subscribed to channel private-x)";
    socket.expect_error(None, refusal);
}

/// Whether encrypted channels carry client events is the app's choice.
///
/// Proves: 113, 130.
#[test]
fn client_events_on_encrypted_channels_can_be_switched_off() {
    let config = format!(
        "{}client_events_on_encrypted_channels = false\n",
        heliostat_protocol_tests::target::MAIN_APP
    );
    let Some(target) = Target::own(&config) else { return };
    let (encrypted, private) = (unique("private-encrypted-"), unique("private-"));
    let (mut sender, mut other) = (target.connect(), target.connect());
    for socket in [&mut sender, &mut other] {
        socket.subscribe_private(&encrypted);
        socket.subscribe_private(&private);
    }
    sender.trigger(&encrypted, "client-x", &json!({}));
    sender.expect_some_error(None);
    sender.trigger(&private, "client-x", &json!({}));
    other.expect_on(&private, "client-x");
}

/// Events of one sender arrive in the order they were sent.
///
/// Proves: 113.
#[test]
pub(crate) fn events_arrive_in_order() {
    let Some(target) = Target::shared(Shared::Small) else { return };
    let channel = unique("private-");
    let (mut sender, mut other) = (target.connect(), target.connect());
    sender.subscribe_private(&channel);
    other.subscribe_private(&channel);
    let events: Vec<String> =
        (0..500).map(|n| json!({ "event": "client-x", "channel": channel, "data": n }).to_string()).collect();
    sender.send_together(events.iter().map(String::as_str));
    for n in 0..500 {
        assert_eq!(other.expect_on(&channel, "client-x").decoded(), json!(n));
    }
    assert!(sender.drain().is_empty());
}

/// A name that begins with `client-` has no such meaning over HTTP: the event is delivered to everybody, on any
/// channel.
///
/// Proves: 129.
#[test]
fn client_events_over_http_are_ordinary_events() {
    let target = Target::main();
    for channel in [unique("room-"), unique("private-"), unique("presence-")] {
        let mut socket = target.connect();
        if channel.starts_with("room-") {
            socket.subscribe(&channel)
        } else {
            join(&mut socket, &channel, "u1")
        }
        target.publish(&channel, "client-x", "hello");
        let event = socket.expect_on(&channel, "client-x");
        assert_eq!(event.data, json!("hello"));
        assert_eq!(keys(&event.whole), ["channel", "data", "event"], "nobody sent it");
    }
}

/// What an encrypted channel carries is nobody's business: it arrives byte for byte, from a server and from a
/// client.
///
/// Proves: 131, 133.
#[test]
pub(crate) fn encrypted_payloads_arrive_byte_for_byte() {
    let target = Target::main();
    let channel = unique("private-encrypted-");
    let (mut sender, mut other) = (target.connect(), target.connect());
    sender.subscribe_private(&channel);
    other.subscribe_private(&channel);
    let payloads = [
        r#"{"nonce":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYX","ciphertext":"3q2+7/8="}"#,
        "{ \"ciphertext\" : \"odd \\u0041 spacing\" ,\n\"nonce\":\"\" }",
        "not even JSON \u{0} é 📷 \\ \"",
        "",
    ];
    for payload in payloads {
        target.publish(&channel, "secret", payload);
        for socket in [&mut sender, &mut other] {
            assert_eq!(socket.expect_on(&channel, "secret").data, json!(payload));
        }
        sender.trigger(&channel, "client-secret", &json!(payload));
        assert_eq!(other.expect_on(&channel, "client-secret").data, json!(payload));
    }
}

/// Sending to nobody is no fault.
///
/// Proves: 114.
#[test]
fn an_event_without_other_subscribers_is_accepted() {
    let target = Target::main();
    let channel = unique("private-");
    let mut sender = target.connect();
    sender.subscribe_private(&channel);
    sender.trigger(&channel, "client-x", &json!({}));
    sender.assert_silence();
    assert!(sender.receive_within(std::time::Duration::ZERO).is_none_or(|i| matches!(i, Incoming::Ping(_))));
}

/// Joins a channel of any type but public as `user`, and reads what a cache channel says after its success.
#[track_caller]
fn join(socket: &mut Socket, channel: &str, user: &str) {
    if channel.starts_with("presence-") {
        drop(socket.subscribe_presence(channel, user, &json!(null)))
    } else {
        socket.subscribe_private(channel)
    }
}
