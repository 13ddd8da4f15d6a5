//! The clock of an app reaches everything that waits in its name: over every transport, and on the pipe's wire.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use heliostat_protocol_tests::transport::session_id;
use heliostat_protocol_tests::{Incoming, Pipe, TestApp, TestMode};
use serde_json::{Value, json};

use crate::fallback_native::{Session, established};
use crate::streams;

const HOUR_MS: u64 = 3_600_000;

fn advance(app: &TestApp<'_>, ms: u64) {
    app.ask("POST", "/clock", &json!({ "advance_ms": ms }));
}

/// An app whose connections are not pinged, so that a heartbeat is the transport's own.
fn quiet_app(mode: &TestMode) -> TestApp<'_> {
    mode.app(&json!({ "settings": { "connection.ping_after_seconds": 86_400 } }))
}

/// A stream of a session gives its sign of life when the app's clock says so, each time.
///
/// Proves: test mode.
#[test]
fn a_session_that_streams_is_given_heartbeats_by_the_apps_clock() {
    let Some(mode) = TestMode::start(&[]) else { return };
    // The second app's clock is ahead when its client comes: that is no silence of the client.
    for ahead in [0, HOUR_MS] {
        let app = quiet_app(&mode);
        advance(&app, ahead);
        let session = Session::new(&app.target);
        let mut stream = session.stream();
        established(&mut stream);
        for _ in 0..3 {
            advance(&app, 25_000);
            stream.expect_line("h");
        }
        session.say(&json!({ "event": "pusher:ping", "data": {} }));
        assert!(stream.line().contains("pusher:pong"), "it lives");
    }
}

/// A poll that is held is answered when the app's clock says so, and a session that nobody receives on ends.
///
/// Proves: test mode.
#[test]
fn a_poll_is_held_and_a_session_ends_by_the_apps_clock() {
    let longer = [("HELIOSTAT_FALLBACK_SESSION_TIMEOUT_SECONDS", "80000")];
    let Some(mode) = TestMode::start_with(&[], &longer) else { return };
    let app = quiet_app(&mode);
    let session = Session::new(&app.target);
    assert_eq!(session.poll().text().trim(), "o");
    assert!(session.poll().text().contains("connection_established"));
    // Whether a poll has begun to be held cannot be seen, so the clock goes on until it is answered.
    let answered = AtomicBool::new(false);
    let began = Instant::now();
    thread::scope(|scope| {
        let polling = scope.spawn(|| {
            let answer = session.poll();
            answered.store(true, Ordering::Release);
            answer
        });
        let mut advanced = 0;
        while !answered.load(Ordering::Acquire) && advanced < 50_000_000 {
            advance(&app, 25_000);
            advanced += 25_000;
            thread::yield_now();
        }
        assert_eq!(polling.join().unwrap().text().trim(), "h");
    });
    assert!(began.elapsed() < Duration::from_secs(20), "not by the machine's clock");
    app.wait(&json!({ "type": "connections", "count": 1 }));
    advance(&app, 200_000_000);
    app.wait(&json!({ "type": "connections", "count": 0 }));
}

/// The sessions of SockJS go by it from when they name their app.
///
/// Proves: test mode.
#[test]
fn sessions_of_sockjs_go_by_the_apps_clock() {
    let Some(mode) = TestMode::start(&[]) else { return };
    let app = quiet_app(&mode);
    advance(&app, HOUR_MS);
    let session = Session {
        target: &app.target,
        base: format!("{}/pusher/000/{}", app.target.path_prefix, session_id()),
    };
    let mut stream = session.stream();
    while stream.line() != "o" {}
    let path = format!("/app/{}?protocol=7&client=js&version=8.4.0", app.target.credentials.key);
    session.say(&json!({ "path": path }));
    assert!(stream.line().contains("connection_established"));
    advance(&app, 25_000);
    stream.expect_line("h");
    stream.abort();
    app.wait(&json!({ "type": "connections", "count": 1 }));
}

/// A stream over HTTP gives its sign of life by the app's clock, after the silence that the app was given.
///
/// Proves: test mode.
#[test]
fn a_stream_of_events_is_given_comments_by_the_apps_clock() {
    let Some(mode) = TestMode::start(&[]) else { return };
    for (settings, silence_ms) in [
        (json!({ "http_streams": true }), 45_000),
        (json!({ "http_streams": true, "connection.ping_after_seconds": 500 }), 500_000),
    ] {
        let app = mode.app(&json!({ "settings": settings }));
        let mut stream = streams::open(&app.target, "news", "sse");
        assert_eq!(stream.up_to(b"\n\n"), b": events of news\n\n");
        app.wait(&json!({ "type": "subscribers", "channel": "news", "count": 1 }));
        advance(&app, silence_ms);
        assert_eq!(stream.up_to(b"\n\n"), b":\n\n");
        app.target.publish("news", "update", "1");
        assert!(stream.up_to(b"\n\n").ends_with(b"data: 1\n\n"));
    }
}

/// A backend on the pipe's wire is asked whether it lives, and given up, by the app's clock.
///
/// Proves: test mode.
#[test]
fn a_backend_on_the_wire_is_pinged_by_the_apps_clock() {
    let Some(mode) = TestMode::start(&[]) else { return };
    let app = mode.app(&Value::Null);
    let mut pipe = Pipe::connect(&app.target);
    pipe.answers_pings = false;
    advance(&app, 45_000);
    assert!(matches!(pipe.receive(), Incoming::Ping(_)));
    advance(&app, 30_000);
    loop {
        match pipe.receive() {
            Incoming::Close(closed) => {
                assert_eq!(closed.code, 4201);
                break;
            }
            Incoming::Message(_) => {}
            other => panic!("expected to be closed, got {other:?}"),
        }
    }
}

/// A frame that waits for the next one is let go when the app's clock says that there is none.
///
/// Proves: test mode.
#[test]
fn a_frame_that_waits_for_the_next_one_goes_by_the_apps_clock() {
    let Some(mode) = TestMode::start(&[]) else { return };
    let app = mode.app(&Value::Null);
    let mut socket = app.target.connect();
    socket.subscribe("room");
    app.fault(&json!({ "type": "frames", "action": "reorder", "event": "alone" }));
    app.target.publish("room", "alone", "1");
    app.wait(&json!({ "type": "logged", "filter": { "type": "fault", "name": "alone" } }));
    advance(&app, 30_000);
    assert_eq!(socket.message().event, "alone");
}

/// What may wait for a connection, and how long one may be silent, can be said of one app alone.
///
/// Proves: test mode.
#[test]
fn an_app_has_bounds_and_ping_times_of_its_own() {
    let Some(mode) = TestMode::start(&[]) else { return };
    let settings = json!({ "connection": { "ping_after_seconds": 3600, "pong_timeout_seconds": 5, "outbox_frames": 7,
        "activity_timeout_seconds": 77 } });
    let (app, other) = (mode.app(&json!({ "settings": settings })), mode.app(&Value::Null));
    let mut socket = app.target.upgrade("protocol=7");
    let greeting = socket.await_established();
    assert_eq!(greeting.decoded()["activity_timeout"], 77);
    socket.answers_pings = false;
    advance(&app, 3_599_000);
    socket.assert_silence();
    advance(&app, HOUR_MS);
    assert!(matches!(socket.receive(), Incoming::Ping(_)));
    advance(&app, 5000);
    socket.expect_close_with(4201);
    let mut elsewhere = other.target.connect();
    advance(&other, 45_000);
    assert!(matches!(elsewhere.receive(), Incoming::Ping(_)), "the broker's own times");
}
