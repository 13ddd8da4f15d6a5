//! Test mode: apps on the fly, waiting and asserting, and the document that describes it.

use std::thread;
use std::time::{Duration, Instant};

use heliostat_protocol_tests::http::Connection;
use heliostat_protocol_tests::{Target, TestMode, schema};
use serde_json::{Value, json};

/// Without test mode there is no such route, whatever else is on.
///
/// Proves: test mode.
#[test]
fn a_broker_without_test_mode_has_no_control_api() {
    let Some(target) = Target::own_with(None, &[], &[]) else { return };
    for (method, path) in
        [("GET", "/test"), ("GET", "/test/openapi.json"), ("POST", "/test/apps"), ("POST", "/test/reset")]
    {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer x\r\nContent-Length: 0\r\n\
             Connection: close\r\n\r\n"
        );
        let answer = Connection::open(&target).exchange(request.as_bytes()).unwrap();
        assert_eq!(answer.status, 404, "{method} {path}");
    }
}

/// Who does not have the token gets nothing.
///
/// Proves: test mode.
#[test]
fn the_control_api_is_behind_its_token() {
    let Some(mode) = TestMode::start(&["--test-token", "sesame"]) else { return };
    assert_eq!(mode.ready["token"], "sesame");
    for token in [None, Some(""), Some("sesam"), Some("sesame2")] {
        for path in ["/test", "/test/openapi.json", "/test/nothing"] {
            let (status, answer) = mode.raw("GET", path, token, "");
            assert_eq!(status, 401, "{path} {token:?}");
            assert!(answer["error"].as_str().unwrap().contains("Bearer"), "{answer}");
        }
    }
    assert_eq!(mode.raw("GET", "/test", Some("sesame"), "").0, 200);
}

/// An app of its own for each test: its credentials work at once, nobody else hears of it, and it ends when told to.
///
/// Proves: test mode.
#[test]
fn apps_come_and_go() {
    let Some(mode) = TestMode::start(&[]) else { return };
    let (one, other) =
        (mode.app(&Value::Null), mode.app(&json!({ "settings": { "limits.connections": 1 } })));
    let mut here = one.target.connect();
    here.subscribe("room");
    let mut there = other.target.connect();
    there.subscribe("room");
    one.target.publish("room", "message", "1");
    assert_eq!(here.message().event, "message");
    there.assert_silence();
    let mut second = other.target.upgrade("protocol=7");
    assert_eq!(second.expect_close().code, 4004, "the setting holds");
    assert_eq!(mode.ask("GET", "/test/apps", &Value::Null)["apps"].as_array().unwrap().len(), 3);
    assert_eq!(one.call("DELETE", "", &Value::Null).0, 204);
    here.expect_close_with(4001);
    assert_eq!(one.call("GET", "", &Value::Null).0, 404);
    assert_eq!(one.target.upgrade("protocol=7").expect_close().code, 4001);
    there.assert_silence();
}

/// Where an app is to be reached is where the request was sent to, whatever it says of a proxy.
///
/// Proves: test mode, bad input.
#[test]
fn what_a_proxy_would_say_of_the_host_is_not_believed() {
    let Some(mode) = TestMode::start(&[]) else { return };
    let forged =
        format!("{}\r\nX-Forwarded-Host: evil.example:1\r\nForwarded: host=\"evil.example:1\"", mode.token());
    let (status, made) = mode.raw("POST", "/test/apps", Some(&forged), "{}");
    assert_eq!((status, &made["host"]), (201, &json!("127.0.0.1")));
    assert_eq!(made["port"], json!(mode.broker().port()));
    assert!(!made.to_string().contains("evil"), "{made}");
}

/// A fault may name a path as it is read, however it is spelled.
///
/// Proves: test mode.
#[test]
fn a_fault_finds_a_path_however_it_is_spelled() {
    let Some(mode) = TestMode::start(&[]) else { return };
    let app = mode.app(&json!({}));
    app.fault(&json!({ "type": "http", "status": 503, "path": "/channels/room@1" }));
    for (path, status) in [("/channels/room@1", 503), ("/channels/room%401", 503), ("/channels/room@2", 200)]
    {
        assert_eq!(app.target.get(path).send().status, status, "{path}");
    }
}

/// A test waits for what the broker has seen, and is told at once.
///
/// Proves: test mode.
#[test]
fn a_test_waits_for_what_the_broker_has_seen() {
    let Some(mode) = TestMode::start(&[]) else { return };
    let app = mode.app(&json!({ "settings": { "client_events": true } }));
    let began = Instant::now();
    thread::scope(|scope| {
        let waiting =
            scope.spawn(|| app.wait(&json!({ "type": "subscribers", "channel": "room", "count": 2 })));
        let mut sockets = [app.target.connect(), app.target.connect()];
        sockets.iter_mut().for_each(|socket| socket.subscribe("room"));
        assert_eq!(waiting.join().unwrap()["found"], 2);
        app.target.publish("room", "message", r#"{"user":{"id":7}}"#);
        let data = json!([{ "path": "user.id", "equals": 7 }]);
        app.wait(&json!({ "type": "event", "channel": "room", "name": "message", "data": data, "count": 1 }));
        app.wait(&json!({ "type": "delivered", "name": "message", "sockets": 2, "count": 2 }));
        app.wait(&json!({ "type": "connections", "count": 2 }));
    });
    app.wait(&json!({ "type": "connections", "count": 0 }));
    app.wait(&json!({ "type": "subscribers", "channel": "room", "count": 0 }));
    assert!(began.elapsed() < Duration::from_secs(4), "nothing was waited out");
}

/// Members, users, client events and refusals can be waited for as well.
///
/// Proves: test mode.
#[test]
fn members_users_and_refusals_are_seen() {
    let Some(mode) = TestMode::start(&[]) else { return };
    let app = mode.app(&json!({ "settings": { "client_events": true } }));
    let mut ann = app.target.connect();
    ann.subscribe_presence("presence-room", "ann", &json!(null));
    app.wait(&json!({ "type": "members", "channel": "presence-room", "user_ids": ["ann"] }));
    ann.trigger("presence-room", "client-hello", &json!({ "n": 1 }));
    let hello = app.wait(&json!({ "type": "event", "name": "client-hello", "source": "client" }));
    assert_eq!(hello["entries"][0]["user_id"], "ann");
    ann.trigger("presence-other", "client-hello", &json!(1));
    let refused = app.wait(&json!({ "type": "refused", "reason": "not subscribed" }));
    assert_eq!(refused["entries"][0]["socket_id"], json!(ann.id));
    let mut stranger = app.target.upgrade("protocol=99");
    stranger.expect_some_error(Some(4007));
    stranger.expect_close_with(4007);
    app.wait(&json!({ "type": "refused", "code": 4007 }));
    let unsigned = app.target.get("/channels").auth("auth_signature", "wrong").send();
    assert_eq!(unsigned.status, 401);
    app.wait(&json!({ "type": "refused", "status": 401 }));
    let user = json!({ "id": "ann" }).to_string();
    let auth = heliostat_protocol_tests::signature::user_auth(&ann.app, &ann.id, &user);
    ann.send(&json!({ "event": "pusher:signin", "data": { "auth": auth, "user_data": user } }));
    app.wait(&json!({ "type": "signed_in", "user_id": "ann" }));
    ann.close();
    app.wait(&json!({ "type": "signed_in", "user_id": "ann", "connections": 0 }));
    app.wait(&json!({ "type": "members", "channel": "presence-room", "count": 0 }));
}

/// What does not happen is told as well: at the deadline, or as soon as it cannot happen any more.
///
/// Proves: test mode.
#[test]
fn what_is_not_met_is_explained() {
    let Some(mode) = TestMode::start(&[]) else { return };
    let app = mode.app(&Value::Null);
    let wait = |body: Value| app.call("POST", "/wait", &body);
    let late = json!({ "until": { "type": "subscribers", "channel": "room", "count": 1 }, "timeout_ms": 20 });
    let (status, outcome) = wait(late);
    assert_eq!((status, &outcome["met"]), (409, &json!(false)));
    let message = outcome["message"].as_str().unwrap();
    assert!(message.contains("exactly 1 subscriber, it has 0"), "{message}");
    for _ in 0..2 {
        app.target.publish("room", "message", "1");
    }
    let began = Instant::now();
    let (status, _) = wait(json!({ "until": { "type": "event", "count": 1 }, "timeout_ms": 60_000 }));
    assert_eq!(status, 409, "there are two");
    let nothing = json!({ "until": { "type": "nothing", "for_ms": 30, "filter": { "type": "event" } } });
    assert_eq!(wait(nothing).0, 200);
    let before = json!({ "until": { "type": "nothing", "for_ms": 60_000, "after": 0 } });
    assert_eq!(wait(before).0, 409, "something has happened since the beginning");
    assert!(began.elapsed() < Duration::from_secs(10));
}

/// The log can be read, filtered, read on from where one was, and cleared.
///
/// Proves: test mode.
#[test]
fn the_log_is_read_and_cleared() {
    let Some(mode) = TestMode::start(&[]) else { return };
    let app = mode.app(&Value::Null);
    for n in 0..5 {
        app.target.publish("room", "message", &n.to_string());
    }
    let log = |query: &str| app.ask("GET", &format!("/log{query}"), &Value::Null);
    let all = log("");
    assert_eq!((all["entries"].as_array().unwrap().len(), &all["forgotten"]), (5, &json!(0)));
    let two = log("?type=event,delivered&channel=room&limit=2");
    assert_eq!((two["entries"].as_array().unwrap().len(), &two["last"]), (2, &json!(2)));
    assert_eq!(log("?after=2")["entries"][0]["data"], "2");
    assert_eq!(log("?data=%5B%7B%22equals%22%3A4%7D%5D")["entries"].as_array().unwrap().len(), 1);
    assert_eq!(app.ask("GET", "/counts", &Value::Null)["logged"]["event"], 5);
    let (_, timeline) = app.call("GET", "/timeline", &Value::Null);
    assert_eq!(timeline.as_str().unwrap().lines().count(), 5, "{timeline}");
    let other = mode.app(&Value::Null);
    other.target.publish("room", "message", "1");
    mode.ask("POST", "/test/reset", &json!({ "app_id": app.id() }));
    assert!(log("")["entries"].as_array().unwrap().is_empty());
    assert_eq!(other.ask("GET", "/counts", &Value::Null)["logged"]["event"], 1);
    mode.ask("POST", "/test/reset", &json!({}));
    assert_eq!(other.ask("GET", "/counts", &Value::Null)["logged"], json!({}));
}

/// A reset that closes connections has closed them, and forgotten that, too.
///
/// Proves: test mode.
#[test]
fn a_reset_may_close_connections() {
    let Some(mode) = TestMode::start(&[]) else { return };
    let app = mode.app(&Value::Null);
    let mut sockets: Vec<_> = (0..5).map(|_| app.target.connect()).collect();
    for socket in &mut sockets {
        socket.subscribe("room");
    }
    mode.ask("POST", "/test/reset", &json!({ "app_id": app.id(), "connections": true }));
    assert!(app.ask("GET", "/log", &Value::Null)["entries"].as_array().unwrap().is_empty());
    assert_eq!(app.ask("GET", "/counts", &Value::Null)["connections"], 0);
    for mut socket in sockets {
        socket.expect_close_with(4200);
    }
}

/// What concerns no known app is kept apart.
///
/// Proves: test mode.
#[test]
fn strangers_are_seen_too() {
    let Some(mode) = TestMode::start(&[]) else { return };
    let app = mode.app(&Value::Null);
    let mut stranger =
        heliostat_protocol_tests::Socket::upgrade(&app.target, "/app/no-such-key?protocol=7", &[]);
    stranger.expect_close_with(4001);
    let log = crate::eventually("the refusal is logged", || {
        let log = mode.ask("GET", "/test/log", &Value::Null);
        (!log["entries"].as_array().unwrap().is_empty()).then_some(log)
    });
    assert_eq!(
        (&log["entries"][0]["type"], &log["entries"][0]["code"]),
        (&json!("connection_refused"), &json!(4001))
    );
}

/// Bad requests get one clear sentence each.
///
/// Proves: bad input.
#[test]
fn bad_requests_are_explained() {
    let Some(mode) = TestMode::start(&[]) else { return };
    let app = mode.app(&Value::Null);
    let cases = [
        ("POST", "/wait", json!({}), 400, "until"),
        ("POST", "/wait", json!({ "until": { "type": "x" } }), 400, "subscribers, members"),
        (
            "POST",
            "/wait",
            json!({ "until": { "type": "connections", "count": 1 }, "timeout_ms": 600_001 }),
            400,
            "at most 600000 ms",
        ),
        ("POST", "/faults", json!({ "type": "magic" }), 400, "magic"),
        ("POST", "/close", json!({ "code": 1006 }), 400, "1006"),
        ("POST", "/close", json!({ "share": 2 }), 400, "share"),
        ("POST", "/clock", json!({ "advance_ms": -1 }), 400, "-1"),
        ("POST", "/clock", json!({ "advance_ms": 99_999_999_999_999u64 }), 400, "at most"),
        ("GET", "/log?after=x", Value::Null, 400, "after"),
        ("DELETE", "/faults/7", Value::Null, 404, "no fault"),
    ];
    for (method, path, body, expected, words) in cases {
        let (status, answer) = app.call(method, path, &body);
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(status == expected && error.contains(words), "{method} {path} {body}: {status} {answer}");
    }
    for (body, words) in
        [(json!({ "settings": { "clientevents": true } }), "unknown key"), (json!({ "secrt": 1 }), "secrt")]
    {
        let (status, answer) = mode.call("POST", "/test/apps", &body);
        assert!(status == 400 && answer["error"].as_str().unwrap().contains(words), "{answer}");
    }
    assert_eq!(mode.call("POST", "/test/apps", &json!({ "id": app.id() })).0, 422);
    assert_eq!(mode.raw("POST", "/test/apps", Some(mode.token()), "{").0, 400);
    assert_eq!(mode.raw("PUT", "/test/apps", Some(mode.token()), "").0, 405);
    assert_eq!(mode.raw("GET", "/test/nothing", Some(mode.token()), "").0, 404);
}

/// Every operation of the document is carried out, and answers as described; requests fit their schemas, too.
///
/// Proves: test mode.
#[test]
fn the_document_describes_what_is_served() {
    let Some(mode) = TestMode::start(&[]) else { return };
    let app = mode.app(&Value::Null);
    let mut socket = app.target.connect();
    socket.subscribe("room");
    app.target.publish("room", "message", "{}");
    let requests = [
        ("Wait", "POST", "/wait", json!({ "until": { "type": "event" }, "timeout_ms": 100, "holds_ms": 1 })),
        (
            "Close",
            "POST",
            "/close",
            json!({ "channel": "room", "share": 0.5, "seed": 1, "code": 4100, "reason": "x" }),
        ),
        ("Advance", "POST", "/clock", json!({ "advance_ms": 1 })),
        (
            "Fault",
            "POST",
            "/faults",
            json!({ "type": "frames", "action": "delay", "delay_ms": 5, "share": 0.5, "times": 1 }),
        ),
        ("Fault", "POST", "/faults", json!({ "type": "refuse_connections", "code": 4100, "for_ms": 5 })),
        ("Fault", "POST", "/faults", json!({ "type": "ignore_pings", "user_id": "ann" })),
        ("Fault", "POST", "/faults", json!({ "type": "http", "status": 503 })),
        ("Fault", "POST", "/faults", json!({ "type": "webhooks" })),
    ];
    for (schema_name, method, path, body) in requests {
        let schema = &mode.document()["components"]["schemas"][schema_name];
        schema::judge(mode.document(), schema, &body).unwrap_or_else(|fault| panic!("{body}: {fault}"));
        app.ask(method, path, &body);
    }
    for condition in [
        json!({ "type": "subscribers", "channel": "room", "count": { "at_least": 0 } }),
        json!({ "type": "members", "channel": "presence-room", "count": 0 }),
        json!({ "type": "members", "channel": "presence-room", "user_ids": [] }),
        json!({ "type": "signed_in", "user_id": "ann", "connections": 0 }),
        json!({ "type": "connections", "count": { "at_most": 9 } }),
        json!({ "type": "delivered", "data": [{ "path": "$" }], "sockets": 1, "after": 0 }),
        json!({ "type": "logged", "filter": { "type": ["event", "connected"] }, "count": 2 }),
        json!({ "type": "nothing", "for_ms": 1, "filter": { "type": "webhook" } }),
        json!({ "type": "webhook", "count": 0 }),
        json!({ "type": "refused", "count": 0 }),
    ] {
        let schema = &mode.document()["components"]["schemas"]["Condition"];
        schema::judge(mode.document(), schema, &condition)
            .unwrap_or_else(|fault| panic!("{condition}: {fault}"));
        app.wait(&condition);
    }
    for path in ["", "/counts", "/connections", "/log", "/timeline", "/clock", "/faults"] {
        app.call("GET", path, &Value::Null);
    }
    app.ask("DELETE", "/faults/1", &Value::Null);
    app.ask("DELETE", "/faults", &Value::Null);
    for path in ["/test", "/test/openapi.json", "/test/log", "/test/apps"] {
        mode.ask("GET", path, &Value::Null);
    }
    mode.ask("POST", "/test/reset", &json!({ "connections": true }));
    app.call("DELETE", "", &Value::Null);
    let seen = mode.seen();
    for (path, operations) in mode.document()["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys().filter(|name| *name != "parameters") {
            let operation = format!("{} {path} 2", method.to_uppercase());
            assert!(seen.iter().any(|seen| seen.starts_with(&operation)), "{operation}xx was never answered");
        }
    }
}
