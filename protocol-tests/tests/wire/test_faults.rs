//! Faults on demand, and the clock of an app.

use std::time::{Duration, Instant};

use heliostat_protocol_tests::{Incoming, TestMode};
use serde_json::{Value, json};

/// Connections are closed with any code, cut off without a word, by channel, by id, by share.
///
/// Proves: test mode.
#[test]
fn chosen_connections_end() {
    let Some(mode) = TestMode::start(&[]) else { return };
    let app = mode.app(&Value::Null);
    let mut sockets: Vec<_> = (0..4).map(|_| app.target.connect()).collect();
    sockets[0].subscribe("room");
    let closed = app.ask("POST", "/close", &json!({ "channel": "room", "code": 4123, "reason": "so it is" }));
    assert_eq!(closed["closed"], json!([sockets[0].id]));
    assert_eq!(sockets[0].expect_close_with(4123), "so it is");
    let id = sockets[1].id.clone();
    app.ask("POST", "/close", &json!({ "socket_id": id, "abrupt": true }));
    assert_eq!(sockets[1].receive(), Incoming::End, "without a close frame");
    app.wait(&json!({ "type": "logged", "filter": { "type": "disconnected", "code": 4123 } }));
    app.wait(&json!({ "type": "logged", "filter": { "type": "fault" }, "count": 2 }));
    app.wait(&json!({ "type": "connections", "count": 2 }));
    let half = app.ask("POST", "/close", &json!({ "share": 0.5, "seed": 3 }));
    assert_eq!(half["closed"].as_array().unwrap().len(), 1);
    app.wait(&json!({ "type": "connections", "count": 1 }));
}

/// A user is whoever is signed in as one, and whoever is a member as one: to be closed, and to be faulted. Where nobody is
/// meant, that is said.
///
/// Proves: test mode.
#[test]
fn a_user_may_be_a_member() {
    let Some(mode) = TestMode::start(&[]) else { return };
    let app = mode.app(&Value::Null);
    let (mut ann, mut ben) = (app.target.connect(), app.target.connect());
    ann.subscribe_presence("presence-room", "ann", &json!(null));
    ben.subscribe_presence("presence-room", "ben", &json!(null));
    ann.expect("pusher_internal:member_added");
    app.fault(&json!({ "type": "frames", "action": "drop", "event": "message", "user_id": "ann" }));
    app.target.publish("presence-room", "message", "1");
    ben.expect("message");
    ann.assert_silence();
    app.wait(&json!({ "type": "delivered", "name": "message", "user_id": "ben", "count": 1 }));
    let (status, answer) = app.call("POST", "/close", &json!({ "user_id": "an" }));
    let why = answer["error"].as_str().unwrap();
    assert!(
        status == 404 && why.contains("\"an\"") && why.contains("ann") && why.contains("ben"),
        "{answer}"
    );
    let closed = app.ask("POST", "/close", &json!({ "user_id": "ann" }));
    assert_eq!(closed["closed"], json!([ann.id]));
    ann.expect_close_with(4200);
    assert_eq!(app.ask("POST", "/close", &json!({ "share": 1 }))["closed"], json!([ben.id]));
    app.wait(&json!({ "type": "connections", "count": 0 }));
    assert_eq!(app.ask("POST", "/close", &Value::Null)["closed"], json!([]), "all of nobody");
}

/// The next connections are refused with the code that was asked for, and those after them are not.
///
/// Proves: test mode.
#[test]
fn the_next_connections_are_refused() {
    let Some(mode) = TestMode::start(&[]) else { return };
    let app = mode.app(&Value::Null);
    app.fault(&json!({ "type": "refuse_connections", "code": 4100, "reason": "full", "times": 2 }));
    for _ in 0..2 {
        assert_eq!(app.target.upgrade("protocol=7").expect_close_with(4100), "full");
    }
    app.target.connect().assert_silence();
    app.wait(&json!({ "type": "refused", "code": 4100, "count": 2 }));
}

/// Frames are dropped, sent twice, swapped and delayed; the log tells of each.
///
/// Proves: test mode.
#[test]
fn frames_do_not_arrive_as_they_should() {
    let Some(mode) = TestMode::start(&[]) else { return };
    let app = mode.app(&Value::Null);
    let mut socket = app.target.connect();
    socket.subscribe("room");
    let publish = |name: &str| app.target.publish("room", name, "1");
    app.fault(&json!({ "type": "frames", "action": "drop", "event": "lost", "times": 1 }));
    publish("lost");
    publish("lost");
    app.fault(
        &json!({ "type": "frames", "action": "duplicate", "event": "twice", "channel": "room", "times": 1 }),
    );
    publish("twice");
    app.fault(&json!({ "type": "frames", "action": "reorder", "event": "second", "times": 1 }));
    publish("second");
    publish("first");
    let names: Vec<String> = (0..5).map(|_| socket.message().event).collect();
    assert_eq!(names, ["lost", "twice", "twice", "first", "second"]);
    app.wait(&json!({ "type": "delivered", "name": "twice", "count": 2 }));
    app.wait(&json!({ "type": "delivered", "name": "lost", "count": 1 }));
    app.wait(&json!({ "type": "logged", "filter": { "type": "fault" }, "count": 3 }));
    // A day passes in no time: the delay is measured by the app's clock.
    app.fault(
        &json!({ "type": "frames", "action": "delay", "delay_ms": 3_600_000, "event": "late", "times": 2 }),
    );
    publish("late");
    publish("late");
    publish("soon");
    assert_eq!(socket.message().event, "soon");
    app.ask("POST", "/clock", &json!({ "advance_ms": 3_600_000 }));
    let later = [socket.message().event, socket.message().event];
    assert_eq!(later, ["late", "late"]);
    // And in real time.
    app.fault(&json!({ "type": "frames", "action": "delay", "delay_ms": 60, "event": "slow" }));
    let began = Instant::now();
    publish("slow");
    assert_eq!(socket.message().event, "slow");
    assert!(began.elapsed() >= Duration::from_millis(60));
    app.fault(&json!({ "type": "frames", "action": "reorder", "event": "alone", "times": 1 }));
    publish("alone");
    app.wait(&json!({ "type": "logged", "filter": { "type": "fault", "name": "alone" } }));
    app.ask("POST", "/clock", &json!({ "advance_ms": 30_000 }));
    assert_eq!(socket.message().event, "alone", "nothing follows it, and it comes all the same");
}

/// A share of the frames is dropped, the same ones with the same seed.
///
/// Proves: test mode.
#[test]
fn chance_repeats_itself() {
    let Some(mode) = TestMode::start(&[]) else { return };
    let course = || {
        let app = mode.app(&Value::Null);
        let mut socket = app.target.connect();
        socket.subscribe("room");
        app.fault(&json!({ "type": "frames", "action": "drop", "event": "n", "share": 0.5, "seed": 11 }));
        for n in 0..30 {
            app.target.publish("room", "n", &n.to_string());
        }
        app.target.publish("room", "end", "");
        let mut arrived = Vec::new();
        loop {
            let message = socket.message();
            if message.event == "end" {
                return arrived;
            }
            arrived.push(message.data);
        }
    };
    let first = course();
    assert!((5..25).contains(&first.len()), "{}", first.len());
    assert_eq!(course(), first);
}

/// Pings of both kinds go unanswered.
///
/// Proves: test mode.
#[test]
fn pings_go_unanswered() {
    let Some(mode) = TestMode::start(&[]) else { return };
    let app = mode.app(&Value::Null);
    let mut socket = app.target.connect();
    let id = app.fault(&json!({ "type": "ignore_pings", "socket_id": socket.id }));
    socket.send_text(r#"{"event":"pusher:ping"}"#);
    socket.send_frame(0x89, b"");
    app.wait(&json!({ "type": "logged", "filter": { "type": "fault", "fault": id }, "count": 2 }));
    app.target.connect().assert_silence();
    app.ask("DELETE", &format!("/faults/{id}"), &Value::Null);
    socket.assert_silence();
}

/// The HTTP API answers what it is told to, or nothing until it may.
///
/// Proves: test mode.
#[test]
fn the_http_api_fails_on_demand() {
    let Some(mode) = TestMode::start(&[]) else { return };
    let app = mode.app(&Value::Null);
    app.fault(&json!({ "type": "http", "status": 503, "body": "down", "path": "/events", "times": 1 }));
    assert_eq!(app.target.get("/channels").send().status, 200, "another path");
    let event = json!({ "name": "e", "channel": "c", "data": "" });
    let refused = app.target.events(&event);
    assert_eq!((refused.status, refused.text()), (503, "down"));
    app.target.events(&event).assert_empty_object();
    app.wait(&json!({ "type": "event", "count": 1 }));
    let id = app.fault(&json!({ "type": "http", "hang": true, "times": 1 }));
    std::thread::scope(|scope| {
        let hanging = scope.spawn(|| app.target.events(&event));
        app.wait(&json!({ "type": "logged", "filter": { "type": "fault", "fault": id } }));
        assert!(!hanging.is_finished());
        app.ask("DELETE", "/faults", &Value::Null);
        hanging.join().unwrap().assert_empty_object();
    });
}

/// Half an hour passes in a moment: a silent client is closed, a remembered event is forgotten, a rate is refilled.
///
/// Proves: test mode.
#[test]
fn time_passes_on_demand() {
    let Some(mode) = TestMode::start(&[]) else { return };
    let settings = json!({ "client_events": true, "limits": { "client_events_per_second": 1 } });
    let (app, other) = (mode.app(&json!({ "settings": settings })), mode.app(&Value::Null));
    let began = Instant::now();
    let advance = |ms: u64| app.ask("POST", "/clock", &json!({ "advance_ms": ms }));
    let mut socket = app.target.connect();
    socket.subscribe_private("private-room");
    socket.trigger("private-room", "client-a", &json!(1));
    socket.trigger("private-room", "client-a", &json!(1));
    socket.expect_some_error(Some(4301));
    advance(1000);
    socket.trigger("private-room", "client-a", &json!(1));
    socket.assert_silence();

    app.target.publish("cache-room", "price", "1");
    advance(1_790_000);
    assert!(matches!(socket.receive(), Incoming::Ping(_)), "it was silent for too long, and is asked");
    let mut reader = app.target.connect();
    reader.subscribe("cache-room");
    reader.expect("price");
    advance(15_000);
    let mut late = app.target.connect();
    late.subscribe("cache-room");
    late.expect("pusher:cache_miss");

    let mut silent = app.target.connect();
    silent.answers_pings = false;
    advance(60_000);
    assert!(matches!(silent.receive(), Incoming::Ping(_)));
    advance(60_000);
    silent.expect_close_with(4201);

    let mut elsewhere = other.target.connect();
    elsewhere.assert_silence();
    assert_eq!(other.ask("GET", "/clock", &Value::Null)["advanced_ms"], 0);
    assert!(began.elapsed() < Duration::from_secs(5));
}
