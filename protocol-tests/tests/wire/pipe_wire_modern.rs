//! The pipe's protocol 1.0: filters, groups, acknowledgements, flow control, and what a backend may ask and do.

use std::collections::HashMap;

use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Pipe, Target, signature};
use serde_json::{Value, json};

fn connect(target: &Target) -> Pipe {
    Pipe::connect_as(target, Some("1.0"))
}

/// A subscription may choose channels, event names and sources.
///
/// Proves: pipe wire 1.0.
#[test]
fn filters_choose_what_is_told() {
    let Some(target) = Target::own(MAIN_APP) else { return };
    let mut pipe = connect(&target);
    let filter = json!({ "events": ["socket_message"], "channels": ["camera-*", "door"], "names": ["frame", "client-*"] });
    pipe.request("subscribe", &filter);
    let mut socket = target.connect();
    for channel in ["camera-1", "door", "window"] {
        socket.subscribe(channel);
    }
    socket.subscribe_private("private-room");
    socket.trigger("camera-1", "frame", &json!(1));
    let told = pipe.expect("socket_message");
    assert_eq!(
        told,
        json!({ "socket_id": socket.id, "event": "frame", "data": 1, "channel": "camera-1", "source": "client" })
    );
    // Nobody wants these, so nobody may say them.
    for (channel, event) in [("window", "frame"), ("door", "knock")] {
        socket.trigger(channel, event, &json!(2));
        assert!(socket.expect_some_error(None).starts_with("Unsupported event"));
    }
    socket.send_text(r#"{"event":"frame","data":2}"#);
    assert!(socket.expect_some_error(None).starts_with("Unsupported event"));
    // These may be said anyway, and are not told.
    socket.trigger("private-room", "client-x", &json!(3));
    target.publish("camera-1", "frame", "4");
    socket.expect_on("camera-1", "frame");
    pipe.assert_silence();
    // A new subscription replaces the filter of its groups.
    pipe.request(
        "subscribe",
        &json!({ "events": ["socket_message"], "sources": ["http"], "channels": ["camera-*"] }),
    );
    target.publish("camera-1", "any", "5");
    let told = pipe.expect("socket_message");
    assert_eq!(told, json!({ "event": "any", "data": "5", "channel": "camera-1", "source": "http" }));
    socket.trigger("camera-1", "frame", &json!(6));
    socket.expect_on("camera-1", "any");
    assert!(socket.expect_some_error(None).starts_with("Unsupported event"));
    pipe.request("subscribe", &json!({ "events": ["socket_message"], "channels": [], "back_channel": true }));
    socket.send_text(r#"{"event":"frame","data":7}"#);
    assert_eq!(pipe.expect("socket_message")["data"], 7);
}

/// Openings, sign-ins and closings with app and user, subscriptions, channels and members are told to who asks.
///
/// Proves: pipe wire 1.0.
#[test]
fn everything_that_happens_can_be_told() {
    let Some(target) = Target::own(MAIN_APP) else { return };
    let mut pipe = connect(&target);
    let all = ["socket_existence", "channel_existence", "subscription", "presence"];
    pipe.request("subscribe", &json!({ "events": all }));
    let mut socket = target.connect();
    let id = socket.id.clone();
    assert_eq!(pipe.expect("socket_opened"), json!({ "socket_id": id, "app_id": "1001" }));
    let user_data = r#"{"id":"ann"}"#;
    let auth = signature::user_auth(&socket.app, &id, user_data);
    socket.send(&json!({ "event": "pusher:signin", "data": { "auth": auth, "user_data": user_data } }));
    socket.expect("pusher:signin_success");
    assert_eq!(pipe.expect("socket_signed_in"), json!({ "socket_id": id, "user_id": "ann" }));
    socket.subscribe_presence("presence-room", "ann", &Value::Null);
    assert_eq!(pipe.expect("channel_occupied"), json!({ "channel": "presence-room" }));
    assert_eq!(pipe.expect("member_added"), json!({ "channel": "presence-room", "user_id": "ann" }));
    let subscription = json!({ "socket_id": id, "channel": "presence-room", "user_id": "ann" });
    assert_eq!(pipe.expect("subscribed"), subscription);
    socket.subscribe("open");
    pipe.expect("channel_occupied");
    assert_eq!(pipe.expect("subscribed"), json!({ "socket_id": id, "channel": "open" }));
    socket.unsubscribe("open");
    assert_eq!(pipe.expect("unsubscribed"), json!({ "socket_id": id, "channel": "open" }));
    assert_eq!(pipe.expect("channel_vacated"), json!({ "channel": "open" }));
    socket.vanish();
    assert_eq!(pipe.expect("member_removed"), json!({ "channel": "presence-room", "user_id": "ann" }));
    assert_eq!(pipe.expect("unsubscribed"), subscription);
    pipe.expect("channel_vacated");
    assert_eq!(pipe.expect("socket_closed"), json!({ "socket_id": id, "app_id": "1001", "user_id": "ann" }));
    pipe.request("unsubscribe", &json!({ "events": all }));
    target.connect().close();
    pipe.assert_silence();
}

/// Sends are acknowledged with what they found; without an id they are not, unless something is wrong.
///
/// Proves: pipe wire 1.0.
#[test]
fn sends_are_acknowledged() {
    let Some(target) = Target::own(MAIN_APP) else { return };
    let mut pipe = connect(&target);
    let (mut ann, mut bob) = (target.connect(), target.connect());
    ann.subscribe("room");
    bob.subscribe("room");
    let event = json!({ "channel": "room", "event": "e", "data": 1 });
    assert_eq!(pipe.request("send_to_channel", &event), json!({ "subscription_count": 2 }));
    let nowhere = json!({ "channel": "nowhere", "event": "e", "data": 1 });
    assert_eq!(pipe.request("send_to_channel", &nowhere), json!({ "subscription_count": 0 }));
    pipe.send_text(r#"{"method":"send_to_channel","params":{"channel":"room","event":"silent","data":2}}"#);
    ann.expect("e");
    ann.expect("silent");
    pipe.assert_silence();
    pipe.send_text(r#"{"method":"send_to_channel","params":{"channel":"room"}}"#);
    assert_eq!(pipe.expect_error(), 4213);
}

/// A user is reached wherever it is signed in.
///
/// Proves: pipe wire 1.0.
#[test]
fn users_are_reached_and_connections_closed() {
    let Some(target) = Target::own(MAIN_APP) else { return };
    let mut pipe = connect(&target);
    let mut devices = [target.connect(), target.connect()];
    for socket in &mut devices {
        let user_data = r#"{"id":"ann"}"#;
        let auth = signature::user_auth(&socket.app, &socket.id, user_data);
        socket.send(&json!({ "event": "pusher:signin", "data": { "auth": auth, "user_data": user_data } }));
        socket.expect("pusher:signin_success");
        socket.subscribe("#server-to-user-ann");
    }
    let hello = json!({ "user_id": "ann", "event": "hello", "data": { "n": 1 } });
    assert_eq!(pipe.request("send_to_user", &hello), json!({ "connections": 2 }));
    for socket in &mut devices {
        assert_eq!(socket.expect_on("#server-to-user-ann", "hello").decoded(), json!({ "n": 1 }));
    }
    let nobody = json!({ "user_id": "bob", "event": "hello", "data": 1 });
    assert_eq!(pipe.request("send_to_user", &nobody), json!({ "connections": 0 }));
    assert_eq!(pipe.refused("send_to_user", &json!({ "user_id": "a b", "event": "e" })).0, 4213);

    let [mut first, mut second] = devices;
    assert_eq!(pipe.request("close_socket", &json!({ "socket_id": first.id })), json!({}));
    assert_eq!(first.expect_close_with(4009), "You got disconnected by the app.");
    second.assert_silence();
    assert_eq!(pipe.refused("close_socket", &json!({ "socket_id": "1.1" })).0, 4211);
}

/// The state of channels can be asked for, and long lists page by page.
///
/// Proves: pipe wire 1.0.
#[test]
fn the_state_of_channels_can_be_asked() {
    let Some(target) = Target::own(MAIN_APP) else { return };
    let mut pipe = connect(&target);
    let vacant = json!({ "occupied": false, "subscription_count": 0 });
    assert_eq!(pipe.request("channel", &json!({ "channel": "room-1" })), vacant);
    let mut socket = target.connect();
    for n in 1..=3 {
        socket.subscribe(&format!("room-{n}"));
    }
    socket.subscribe_presence("presence-room", "ann", &Value::Null);
    let occupied = json!({ "occupied": true, "subscription_count": 1 });
    assert_eq!(pipe.request("channel", &json!({ "channel": "room-1" })), occupied);
    let listed = pipe.request("channels", &json!({ "prefix": "room-", "limit": 2 }));
    assert_eq!(listed, json!({ "channels": { "room-1": occupied, "room-2": occupied }, "more": true }));
    let rest = pipe.request("channels", &json!({ "prefix": "room-", "after": "room-2" }));
    assert_eq!(rest, json!({ "channels": { "room-3": occupied }, "more": false }));
    let state = pipe.request("channel", &json!({ "channel": "presence-room" }));
    assert_eq!(state, json!({ "occupied": true, "subscription_count": 1, "user_count": 1 }));
    assert_eq!(pipe.request("users", &json!({ "channel": "presence-room" })), json!({ "users": ["ann"] }));
    assert_eq!(pipe.refused("users", &json!({ "channel": "room-1" })).0, 4213);
    assert_eq!(pipe.refused("channels", &json!({ "limit": 0 })).0, 4213);
    assert_eq!(pipe.request("ping", &json!({})), json!({}));
}

/// A window of credits holds notifications back until the client asks for more; answers pass.
///
/// Proves: pipe wire 1.0.
#[test]
fn a_window_holds_notifications_back() {
    let config = format!("[pipe]\nqueue_messages = 5\n{MAIN_APP}");
    let Some(target) = Target::own(&config) else { return };
    let mut pipe = connect(&target);
    pipe.request("subscribe", &json!({ "events": ["socket_message"], "credit": 2 }));
    let mut socket = target.connect();
    socket.subscribe("stream");
    for n in 1..=10 {
        socket.trigger("stream", "frame", &json!(n));
    }
    socket.assert_silence();
    assert_eq!(pipe.expect("socket_message")["data"], 1);
    assert_eq!(pipe.expect("socket_message")["data"], 2);
    pipe.assert_silence();
    assert_eq!(pipe.request("credit", &json!({ "messages": 1 })), json!({ "credit": 1 }));
    assert_eq!(pipe.expect("socket_message")["data"], 3);
    pipe.assert_silence();
    assert_eq!(pipe.request("credit", &json!({ "messages": null })), json!({ "credit": null }));
    // What did not fit is counted, and the client is told where the gap is.
    let mut heard = 3;
    let missed = loop {
        let next = pipe.next_told();
        match next.event.as_str() {
            "socket_message" => heard += 1,
            "missed" => break next.data["count"].as_u64().unwrap(),
            other => pipe.fail(other),
        }
    };
    assert_eq!(heard + missed, 10);
    assert!((5..=8).contains(&heard), "{heard} of a queue of 5");
    socket.trigger("stream", "frame", &json!("after"));
    assert_eq!(pipe.expect("socket_message")["data"], "after");
}

/// The clients of a group share the work, each sender's events stay with one of them, and a client outside hears all.
/// When one goes, the others take its share.
///
/// Proves: pipe wire 1.0.
#[test]
fn a_group_shares_the_work() {
    const SENDERS: usize = 40;
    const EVENTS: usize = 5;
    let Some(target) = Target::own(MAIN_APP) else { return };
    let mut workers = [connect(&target), connect(&target), connect(&target)];
    let share = json!({ "events": ["socket_message"], "group": { "name": "workers" } });
    for worker in &mut workers {
        worker.request("subscribe", &share);
    }
    let mut all = connect(&target);
    all.request("subscribe", &json!({ "events": ["socket_message"] }));
    let mut senders: Vec<_> = (0..SENDERS).map(|_| target.connect()).collect();
    for n in 0..EVENTS {
        for sender in &mut senders {
            sender.send(&json!({ "event": "work", "data": n }));
        }
    }
    for _ in 0..SENDERS * EVENTS {
        all.expect("socket_message");
    }
    all.assert_silence();
    let mut of_sender: HashMap<String, (usize, Vec<u64>)> = HashMap::new();
    for (index, worker) in workers.iter_mut().enumerate() {
        let mut heard = 0;
        for message in worker.drain_told() {
            let entry = of_sender
                .entry(message["socket_id"].as_str().unwrap().to_owned())
                .or_insert((index, Vec::new()));
            assert_eq!(entry.0, index, "the events of one sender stay together");
            entry.1.push(message["data"].as_u64().unwrap());
            heard += 1;
        }
        assert!(heard > 0, "worker {index} has nothing to do");
    }
    assert_eq!(of_sender.len(), SENDERS);
    for (_, events) in of_sender.values() {
        assert_eq!(*events, (0..EVENTS as u64).collect::<Vec<_>>(), "in order, each once");
    }
    let [gone, mut second, mut third] = workers;
    gone.vanish();
    crate::eventually("the others take over", || {
        senders.iter_mut().for_each(|sender| sender.send(&json!({ "event": "work", "data": 9 })));
        for _ in 0..SENDERS {
            all.expect("socket_message");
        }
        let heard = second.drain_told().len() + third.drain_told().len();
        (heard == SENDERS).then_some(())
    });
    // Who wants to share by another key cannot join.
    let other = json!({ "events": ["socket_message"], "group": { "name": "workers", "by": "channel" } });
    let (code, message) = all.refused("subscribe", &other);
    assert_eq!((code, message.contains("shared by \"socket\"")), (4213, true), "{message}");
}

/// A version that is not spoken is refused by name.
///
/// Proves: pipe wire 1.0.
#[test]
fn unknown_versions_are_refused() {
    let Some(target) = Target::own(MAIN_APP) else { return };
    for version in ["0.3", "2", "x"] {
        let mut pipe = Pipe::upgrade(&target, &Pipe::path(&target, Some(version)));
        let closed = pipe.expect_refusal();
        assert_eq!(closed.code, 4007);
        assert!(closed.reason.contains(version), "{}", closed.reason);
    }
}

/// A backend that begins or comes back asks what a channel with a history keeps.
///
/// Proves: pipe wire 1.0, recovery.
#[test]
fn what_was_published_before_can_be_asked_for() {
    let history = "[[apps.channels]]\npattern = 'orders'\nhistory = { events = 3 }\n";
    let Some(target) = Target::own(&format!("{MAIN_APP}{history}")) else { return };
    let mut pipe = connect(&target);
    let mut ask = |more: Value| {
        let mut params = json!({ "channel": "orders" });
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let told = pipe.request("history", &params);
        let events = told["events"].as_array().unwrap();
        let data: Vec<String> =
            events.iter().map(|event| event["data"].as_str().unwrap().to_owned()).collect();
        let last = events.last().map(|event| event["position"].as_str().unwrap().to_owned());
        (data, told["complete"].as_bool().unwrap(), told["more"].as_bool().unwrap(), last.unwrap_or_default())
    };
    assert!(!ask(json!({ "rewind": { "events": 1 } })).1, "there is none");
    for text in ["1", "2"] {
        target.publish("orders", "placed", text);
    }
    let (data, complete, more, _) = ask(json!({}));
    assert_eq!((data, complete, more), (vec!["1".to_owned(), "2".to_owned()], true, false));
    let (data, complete, more, first) = ask(json!({ "limit": 1 }));
    assert_eq!((data, complete, more), (vec!["1".to_owned()], true, true));
    let (data, complete, more, _) = ask(json!({ "after": first }));
    assert_eq!((data, complete, more), (vec!["2".to_owned()], true, false));
    for text in ["3", "4", "5"] {
        target.publish("orders", "placed", text);
    }
    let (data, complete, ..) = ask(json!({ "after": first }));
    assert_eq!((data, complete), (vec!["3".to_owned(), "4".to_owned(), "5".to_owned()], false), "2 is lost");
    let (data, complete, ..) = ask(json!({ "rewind": { "events": 2 } }));
    assert_eq!((data, complete), (vec!["4".to_owned(), "5".to_owned()], true));
    let (data, complete, ..) = ask(json!({ "rewind": { "seconds": 3600 } }));
    assert_eq!((data.len(), complete), (3, false), "the broker was not there an hour ago");
    assert!(!ask(json!({ "after": "0-1" })).1, "it is of another run");
    for params in [
        json!({ "channel": "news" }),
        json!({ "channel": "orders", "after": "x" }),
        json!({ "channel": "orders", "rewind": { "events": 0 } }),
        json!({ "channel": "orders", "rewind": { "events": 1 }, "after": "0-1" }),
        json!({ "channel": "orders", "limit": 0 }),
        json!({ "channel": "orders", "before": 1 }),
    ] {
        let (code, message) = pipe.refused("history", &params);
        assert_eq!(code, 4213, "{params}: {message}");
    }
}
