//! The clock of an app is advanced to whatever is due next: everything that goes by it can be met so.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use heliostat_protocol_tests::transport::session_id;
use heliostat_protocol_tests::{Credentials, Incoming, Pipe, Sink, Socket, TestApp, TestMode, unique};
use serde_json::{Value, json};

use crate::fallback_native::{Session, established};
use crate::streams;

/// Longer than any test takes, in place of times that might pass by the machine's clock.
const LONG: [(&str, &str); 1] = [("HELIOSTAT_FALLBACK_SESSION_TIMEOUT_SECONDS", "80000")];

type Scenario = fn(&TestMode);

/// Everything that can be due, each with a scenario that meets it without knowing how long it takes.
const SCENARIOS: [(&str, Scenario); 18] = [
    ("ping", a_silent_connection),
    ("pong_timeout", a_silent_connection),
    ("inactivity", a_connection_that_cannot_be_pinged),
    ("authorization", a_connection_that_must_authorize_itself),
    ("subscription_count", a_count_of_many),
    ("cache_expiry", a_remembered_event),
    ("session_heartbeat", a_session_that_streams),
    ("poll_hold", a_session_that_polls),
    ("session_end", a_session_that_nobody_receives_on),
    ("stream_heartbeat", a_stream_over_http),
    ("pipe_ping", a_backend_on_the_wire),
    ("pipe_pong_timeout", a_backend_on_the_wire),
    ("pipe_pace", a_rule_with_a_pace),
    ("webhook_removal", webhooks),
    ("webhook_batch", webhooks),
    ("webhook_retry", webhooks),
    ("held_frame", a_frame_that_is_held_back),
    ("fault_end", a_fault_of_some_time),
];

/// Advances to what is next, which must be this and nothing else; answers by how many milliseconds.
#[track_caller]
fn next(app: &TestApp<'_>, expected: &str) -> u64 {
    let reached = app.ask("POST", "/clock", &json!({ "to": "next" }));
    assert_eq!(reached["due"], json!([expected]), "{reached}");
    let (by, advanced) = (reached["by_ms"].as_u64().unwrap(), reached["advanced_ms"].as_u64().unwrap());
    assert!(by <= advanced);
    by
}

#[track_caller]
fn app<'m>(mode: &'m TestMode, settings: &Value) -> TestApp<'m> {
    mode.app(&json!({ "settings": settings }))
}

/// An app whose connections are not pinged for a day.
fn quiet(mode: &TestMode) -> TestApp<'_> {
    app(mode, &json!({ "connection.ping_after_seconds": 86_400 }))
}

/// Nothing that goes by an app's clock is left out when it is advanced to what is due next.
///
/// Proves: test mode.
#[test]
fn everything_that_is_timed_can_be_met_next() {
    let Some(mode) = TestMode::start_with(&[], &LONG) else { return };
    let known = &mode.document()["components"]["schemas"]["Timed"]["enum"];
    assert_eq!(known, &json!(SCENARIOS.map(|(name, _)| name)), "each has a scenario");
    let mut done: Vec<Scenario> = Vec::new();
    for (name, scenario) in SCENARIOS {
        if !done.iter().any(|known| std::ptr::fn_addr_eq(*known, scenario)) {
            eprintln!("{name}");
            scenario(&mode);
            done.push(scenario);
        }
    }
}

/// Nothing due is a clear answer, and so is anything else than "next".
///
/// Proves: test mode.
#[test]
fn nothing_due_is_said() {
    let Some(mode) = TestMode::start_with(&[], &LONG) else { return };
    let app = quiet(&mode);
    let (status, answer) = app.call("POST", "/clock", &json!({ "to": "next" }));
    assert_eq!(status, 404);
    assert!(answer["error"].as_str().unwrap().starts_with("nothing is due"), "{answer}");
    assert_eq!(app.ask("GET", "/clock", &Value::Null)["advanced_ms"], 0, "the clock stays");
    for wrong in [json!({ "to": "last" }), json!({}), json!({ "to": "next", "advance_ms": 1 })] {
        let (status, answer) = app.call("POST", "/clock", &wrong);
        assert_eq!(status, 400, "{answer}");
    }
    // Whoever has gone waits for nothing.
    let socket = app.target.connect();
    socket.close();
    app.wait(&json!({ "type": "connections", "count": 0 }));
    assert_eq!(app.call("POST", "/clock", &json!({ "to": "next" })).0, 404);
    let fault = app.fault(&json!({ "type": "webhooks", "for_ms": 60_000 }));
    app.ask("DELETE", &format!("/faults/{fault}"), &Value::Null);
    assert_eq!(app.call("POST", "/clock", &json!({ "to": "next" })).0, 404);
}

/// What comes first is met first, by so much as was left, and an app that somebody else's clock is advanced in stays.
///
/// Proves: test mode.
#[test]
fn what_is_due_comes_in_its_order() {
    let Some(mode) = TestMode::start_with(&[], &LONG) else { return };
    let (app, other) = (
        app(&mode, &json!({ "connection.ping_after_seconds": 1000, "cache_ttl_seconds": 3000 })),
        app(&mode, &json!({ "cache_ttl_seconds": 3000 })),
    );
    for app in [&app, &other] {
        app.target.publish("cache-news", "update", "1");
    }
    let mut socket = app.target.connect();
    app.fault(&json!({ "type": "webhooks", "for_ms": 2_000_000 }));
    // Each is told from the others by some minutes, which no test takes.
    let nearly = |by: u64, expected: u64| assert!(by.abs_diff(expected) < 500_000, "{by} is not {expected}");
    nearly(next(&app, "ping"), 1_000_000);
    assert!(matches!(socket.receive(), Incoming::Ping(_)));
    // What it has said moves the next ping on, and nothing is due where it was before.
    socket.send(&json!({ "event": "pusher:ping", "data": {} }));
    socket.expect("pusher:pong");
    app.ask("POST", "/clock", &json!({ "advance_ms": 900_000 }));
    socket.send(&json!({ "event": "pusher:ping", "data": {} }));
    socket.expect("pusher:pong");
    nearly(next(&app, "fault_end"), 100_000);
    nearly(next(&app, "ping"), 900_000);
    assert!(matches!(socket.receive(), Incoming::Ping(_)));
    socket.close();
    app.wait(&json!({ "type": "connections", "count": 0 }));
    nearly(next(&app, "cache_expiry"), 100_000);
    nearly(next(&other, "cache_expiry"), 3_000_000);
}

fn a_silent_connection(mode: &TestMode) {
    let app = app(mode, &json!({}));
    let mut socket = app.target.connect();
    socket.answers_pings = false;
    next(&app, "ping");
    assert!(matches!(socket.receive(), Incoming::Ping(_)));
    next(&app, "pong_timeout");
    socket.expect_close_with(4201);
}

fn a_connection_that_cannot_be_pinged(mode: &TestMode) {
    let app = app(mode, &json!({}));
    let mut socket = app.target.connect_as("protocol=4&client=js&version=1.11&flash=true");
    next(&app, "inactivity");
    socket.expect_some_error(Some(4202));
}

fn a_connection_that_must_authorize_itself(mode: &TestMode) {
    let settings = json!({ "authorized_connections": true, "connection.ping_after_seconds": 86_400 });
    let app = app(mode, &settings);
    let mut socket = app.target.connect();
    next(&app, "authorization");
    socket.expect_close_with(4009);
}

fn a_count_of_many(mode: &TestMode) {
    const COUNT: &str = "pusher_internal:subscription_count";
    let app = app(mode, &json!({ "subscription_count": true, "connection.ping_after_seconds": 86_400 }));
    let mut sockets: Vec<Socket> = Vec::new();
    // The window is short: where the machine has taken longer, another one begins with another subscriber.
    for many in 1.. {
        let mut socket = app.target.connect();
        socket.send(&json!({ "event": "pusher:subscribe", "data": { "channel": "room" } }));
        socket.expect_on("room", "pusher_internal:subscription_succeeded");
        sockets.push(socket);
        if many > 100 {
            let (status, reached) = app.call("POST", "/clock", &json!({ "to": "next" }));
            if status == 200 && reached["due"] == json!(["subscription_count"]) {
                break;
            }
            assert!(many < 120, "{reached}");
        }
    }
    let expected = sockets.len() as u64;
    let last = sockets.last_mut().unwrap();
    while last.expect_on("room", COUNT).decoded()["subscription_count"].as_u64() != Some(expected) {}
}

fn a_remembered_event(mode: &TestMode) {
    let app = quiet(mode);
    app.target.publish("cache-news", "update", "1");
    next(&app, "cache_expiry");
    let mut socket = app.target.connect();
    socket.subscribe("cache-news");
    socket.expect_on("cache-news", "pusher:cache_miss");
}

fn a_session_that_streams(mode: &TestMode) {
    let app = quiet(mode);
    let session = Session::new(&app.target);
    let mut stream = session.stream();
    established(&mut stream);
    for _ in 0..2 {
        next(&app, "session_heartbeat");
        stream.expect_line("h");
    }
}

fn a_session_that_polls(mode: &TestMode) {
    let app = quiet(mode);
    let base = format!("{}/pusher/000/{}", app.target.path_prefix, session_id());
    let session = Session { target: &app.target, base };
    assert_eq!(session.poll().text().trim(), "o");
    session.say(
        &json!({ "path": format!("/app/{}?protocol=7&client=js&version=8.4.0", app.target.credentials.key) }),
    );
    assert!(session.poll().text().contains("connection_established"));
    thread::scope(|scope| {
        let (tell, answers) = mpsc::channel();
        for _ in 0..2 {
            let (tell, session) = (tell.clone(), &session);
            scope.spawn(move || tell.send(session.poll().text().trim().to_owned()));
        }
        let within = Duration::from_secs(20);
        // Of two polls at once one is refused: so the other is held.
        assert!(answers.recv_timeout(within).unwrap().starts_with("c[2010,"));
        next(&app, "poll_hold");
        assert_eq!(answers.recv_timeout(within).unwrap(), "h");
    });
}

fn a_session_that_nobody_receives_on(mode: &TestMode) {
    let app = quiet(mode);
    let session = Session::new(&app.target);
    assert_eq!(session.poll().text().trim(), "o");
    assert!(session.poll().text().contains("connection_established"));
    app.wait(&json!({ "type": "connections", "count": 1 }));
    next(&app, "session_end");
    app.wait(&json!({ "type": "connections", "count": 0 }));
}

fn a_stream_over_http(mode: &TestMode) {
    let app = app(mode, &json!({ "http_streams": true }));
    let mut stream = streams::open(&app.target, "news", "sse");
    assert_eq!(stream.up_to(b"\n\n"), b": events of news\n\n");
    for _ in 0..2 {
        next(&app, "stream_heartbeat");
        assert_eq!(stream.up_to(b"\n\n"), b":\n\n");
    }
}

fn a_backend_on_the_wire(mode: &TestMode) {
    let app = app(mode, &json!({}));
    let mut pipe = Pipe::connect(&app.target);
    pipe.answers_pings = false;
    next(&app, "pipe_ping");
    assert!(matches!(pipe.receive(), Incoming::Ping(_)));
    next(&app, "pipe_pong_timeout");
    loop {
        match pipe.receive() {
            Incoming::Close(closed) => break assert_eq!(closed.code, 4201),
            Incoming::Message(_) => {}
            other => panic!("expected to be closed, got {other:?}"),
        }
    }
}

fn a_rule_with_a_pace(_: &TestMode) {
    let directory = std::env::temp_dir().join(unique("heliostat-next-due"));
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join("heliostat.toml");
    let rule = "from = \"private-in\"\nevent = \"client-tick\"\nto = \"out\"\nmin_interval = \"1h\"\nkeep = \"latest\"\n";
    let app = "[[apps]]\nid = \"1\"\nkey = \"k\"\nsecret = \"s\"\nclient_events = true\n";
    std::fs::write(&file, format!("{app}[[apps.pipe]]\n{rule}")).unwrap();
    let mode = TestMode::start(&["--config", file.to_str().unwrap()]).unwrap();
    let app = quiet(&mode);
    let (mut sender, mut hearer) = (app.target.connect(), app.target.connect());
    hearer.subscribe("out");
    sender.subscribe_private("private-in");
    for n in 1..=3 {
        sender.trigger("private-in", "client-tick", &json!({ "n": n }));
    }
    app.wait(&json!({ "type": "event", "name": "client-tick", "count": 3 }));
    assert_eq!(hearer.expect_on("out", "client-tick").decoded()["n"], 1);
    next(&app, "pipe_pace");
    assert_eq!(hearer.expect_on("out", "client-tick").decoded()["n"], 3);
    drop(mode);
    std::fs::remove_dir_all(&directory).unwrap();
}

fn webhooks(mode: &TestMode) {
    let (id, key, secret) = (unique("app"), unique("key"), unique("secret"));
    let sink = Sink::start(&Credentials::new(&id, &key, &secret));
    let settings = json!({
        "connection.ping_after_seconds": 86_400,
        "webhook_delivery": {
            "removal_delay_seconds": 3600, "batching": true, "batch_window_seconds": 600, "batch_events": 10,
            "retry_first_seconds": 1200, "retry_longest_seconds": 1200, "give_up_after_seconds": 80_000,
        },
    });
    let webhooks = json!([{ "url": sink.url(), "events": ["channel_existence"] }]);
    let app = mode
        .app(&json!({ "id": id, "key": key, "secret": secret, "settings": settings, "webhooks": webhooks }));
    app.fault(&json!({ "type": "webhooks", "status": 503, "times": 2 }));
    let mut socket = app.target.connect();
    socket.subscribe("room");
    let failed = |count: usize| json!({ "type": "logged", "filter": { "type": "webhook_failed", "channel": "room" }, "count": count });
    // No waiting in between: what is on its way to the endpoint is known, and an attempt is over when it is due no more.
    next(&app, "webhook_batch");
    app.wait(&failed(1));
    next(&app, "webhook_retry");
    app.wait(&failed(2));
    next(&app, "webhook_retry");
    app.wait(&json!({ "type": "webhook", "name": "channel_occupied", "count": 1 }));
    socket.close();
    app.wait(&json!({ "type": "logged", "filter": { "type": "channel_vacated" } }));
    next(&app, "webhook_removal");
    next(&app, "webhook_batch");
    app.wait(&json!({ "type": "webhook", "name": "channel_vacated", "count": 1 }));
}

fn a_frame_that_is_held_back(mode: &TestMode) {
    let app = quiet(mode);
    let mut socket = app.target.connect();
    socket.subscribe("room");
    app.fault(&json!({ "type": "frames", "action": "delay", "delay_ms": 7_000_000, "channel": "room" }));
    app.target.publish("room", "late", "1");
    app.wait(&json!({ "type": "logged", "filter": { "type": "fault", "name": "late" } }));
    next(&app, "held_frame");
    assert_eq!(socket.message().event, "late");
}

fn a_fault_of_some_time(mode: &TestMode) {
    let app = quiet(mode);
    app.fault(&json!({ "type": "refuse_connections", "code": 4100, "for_ms": 7_000_000 }));
    app.target.upgrade("protocol=7").expect_close_with(4100);
    let asked = Instant::now();
    assert!(next(&app, "fault_end") > 7_000_000 - 60_000 - asked.elapsed().as_millis() as u64);
    assert_eq!(app.ask("GET", "/faults", &Value::Null)["faults"], json!([]));
    drop(app.target.connect());
}
