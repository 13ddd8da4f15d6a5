//! Heartbeats: pings from either side, and what becomes of a connection that falls silent.

use std::time::{Duration, Instant};

use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Incoming, Socket, Target, patience, unique};
use serde_json::json;

/// The broker of these tests pings after this much silence ...
const PING_AFTER: Duration = Duration::from_millis(600);
/// ... and closes after this much more.
const PONG_TIMEOUT: Duration = Duration::from_millis(400);
/// A broker may round its deadlines by this much.
const ROUNDING: Duration = Duration::from_millis(50);

/// Pings of the protocol are answered whatever their `data` is, and pongs are taken without a word.
///
/// Proves: 36, 37, 38, 39, 55, 56.
#[test]
fn pings_are_ponged_and_pongs_are_not() {
    let mut socket = Target::main().connect();
    let pings = [
        r#"{"event":"pusher:ping","data":{}}"#,
        r#"{"event":"pusher:ping"}"#,
        r#"{"event":"pusher:ping","data":null}"#,
        r#"{"event":"pusher:ping","data":""}"#,
        r#"{"event":"pusher:ping","data":"{}"}"#,
        r#"{"event":"pusher:ping","data":[1,2]}"#,
        r#"{"event":"pusher:ping","data":{},"channel":"x","js_version":"1.6"}"#,
    ];
    for ping in pings {
        socket.send_text(ping);
        let pong = socket.expect("pusher:pong");
        assert_eq!(pong.data, json!("{}"), "{ping}");
        assert!(pong.channel.is_none(), "{ping}");
    }
    for pong in [
        r#"{"event":"pusher:pong","data":null}"#,
        r#"{"event":"pusher:pong","data":{}}"#,
        r#"{"event":"pusher:pong"}"#,
        r#"{"event":"pusher:pong","data":"{}"}"#,
    ] {
        socket.send_text(pong);
    }
    // A WebSocket Pong that nobody asked for is a heartbeat of one side.
    socket.send_frame(0x8A, b"unasked");
    socket.assert_silence();
}

/// A silent connection is pinged, and one that answers is kept for as long as it does.
///
/// Proves: 42, 43.
#[test]
fn a_client_that_answers_pings_is_kept() {
    let Some(target) = impatient() else { return };
    let queries = ["protocol=7", "protocol=5&client=java-client", "protocol=1"];
    let mut sockets = queries.map(|query| target.connect_as(query));
    // Four rounds take longer than the silence that would have ended the connection.
    for _ in 0..4 {
        sockets.iter_mut().for_each(await_ping);
    }
    sockets.iter_mut().for_each(|socket| socket.assert_silence());
}

/// A client that answers nothing is closed when the time for the answer is over, and not before.
///
/// Proves: 24, 32, 44.
#[test]
fn a_client_that_answers_nothing_is_closed_with_4201() {
    let Some(target) = impatient() else { return };
    for query in ["protocol=7", "protocol=6"] {
        let mut socket = target.upgrade(query);
        socket.answers_pings = false;
        socket.await_established();
        // Its last sign of life was the upgrade request, at the latest when the answer came.
        let silent_since = Instant::now();
        await_ping(&mut socket);
        assert_eq!(socket.expect_close_with(4201), "Pong reply not received");
        let silence = silent_since.elapsed() + 2 * ROUNDING;
        assert!(silence >= PING_AFTER + PONG_TIMEOUT, "closed after {silence:?}");
    }
}

/// Clients that do not read close codes are told in an error.
///
/// Proves: 31, 45.
#[test]
fn old_clients_learn_4201_from_an_error() {
    let Some(target) = impatient() else { return };
    for query in ["protocol=5&client=java-client", "protocol=4", "protocol=1"] {
        let mut socket = target.connect_as(query);
        socket.answers_pings = false;
        socket.expect_error(Some(4201), "Pong reply not received");
        assert_eq!(socket.expect_close_with(4201), "Pong reply not received");
    }
}

/// A sign of life, by its name.
type Sign = (&'static str, fn(&mut Socket));

/// Whatever comes from the client shows that it lives: the ping is put off for the whole silence from then on.
///
/// Proves: 41.
#[test]
fn anything_inbound_puts_the_ping_off() {
    let Some(target) = impatient() else { return };
    let signs: [Sign; 4] = [
        ("a message", |socket| socket.send_text(r#"{"event":"pusher:pong"}"#)),
        ("no JSON", |socket| socket.send_text("{garbage")),
        ("a Pong", |socket| socket.send_frame(0x8A, b"")),
        ("a Ping", |socket| socket.send_frame(0x89, b"?")),
    ];
    for (what, sign) in signs {
        let mut socket = target.connect();
        // Half of the silence passes. A machine that stalls here has the ping come before, and tries again.
        while matches!(socket.receive_within(PING_AFTER / 2), Some(Incoming::Ping(_))) {}
        sign(&mut socket);
        let given = Instant::now();
        loop {
            match socket.receive() {
                Incoming::Ping(_) => break,
                Incoming::Message(_) | Incoming::Pong(_) => {}
                other => socket.fail(&format!("expected a ping, got {other:?}")),
            }
        }
        let silence = given.elapsed() + ROUNDING;
        assert!(silence >= PING_AFTER, "{what} did not put the ping off: it came after {silence:?}");
    }
}

/// Not only a Pong: anything at all answers the broker's ping.
///
/// Proves: 41, 43.
#[test]
fn any_message_answers_the_brokers_ping() {
    let Some(target) = impatient() else { return };
    let mut socket = target.connect();
    socket.answers_pings = false;
    for _ in 0..4 {
        await_ping(&mut socket);
        socket.send_text(r#"{"event":"pusher:pong","data":{}}"#);
    }
    socket.assert_silence();
}

/// A client behind the Flash shim sees no control frames: it is pinged by an event if its protocol knows that.
///
/// Proves: 16, 42, 43, 46.
#[test]
fn flash_clients_of_protocol_5_and_later_are_pinged_by_an_event() {
    let Some(target) = impatient() else { return };
    let queries = ["protocol=5&flash=true", "version=1.11.0&flash=true", "protocol=7&flash=true"];
    let mut sockets = queries.map(|query| target.connect_as(query));
    for _ in 0..4 {
        for socket in &mut sockets {
            socket.answers_pings = false;
            assert_eq!(socket.expect("pusher:ping").data, json!("{}"));
            socket.send_text(r#"{"event":"pusher:pong","data":{}}"#);
        }
    }
    // And without an answer it ends.
    for (socket, query) in sockets.iter_mut().zip(queries) {
        socket.expect("pusher:ping");
        if query != "protocol=7&flash=true" {
            socket.expect_error(Some(4201), "Pong reply not received");
        }
        socket.expect_close_with(4201);
    }
}

/// Protocol 4 and below never hears `pusher:ping`, and behind the Flash shim nothing can ping it at all.
///
/// Proves: 14, 46.
#[test]
fn protocols_up_to_4_are_never_pinged_by_an_event() {
    let Some(target) = impatient() else { return };
    let queries = [
        "protocol=4",
        "protocol=4&flash=true",
        "client=js&version=1.10.0-pre",
        "client=js&version=1.10.0-pre&flash=true",
        "protocol=3&flash=true",
        "protocol=1&flash=true",
    ];
    let mut old: Vec<Socket> = queries.iter().map(|query| target.connect_as(query)).collect();
    // Connected later, so that what it hears the others would have heard before.
    let mut young = target.connect_as("protocol=5&flash=true");
    for _ in 0..2 {
        young.expect("pusher:ping");
        young.send_text(r#"{"event":"pusher:pong","data":{}}"#);
        for socket in &mut old {
            // Answers the WebSocket Pings on the way; an event would end this with a failure.
            while let Some(incoming) = socket.receive_within(Duration::from_millis(1)) {
                if !matches!(incoming, Incoming::Ping(_)) {
                    socket.fail(&format!("expected nothing but WebSocket Pings, got {incoming:?}"));
                }
            }
        }
    }
    for socket in &mut old {
        socket.assert_silence();
    }
}

/// A member whose connection is dead leaves the presence channel when the broker finds out.
///
/// Proves: 99, 101.
#[test]
fn a_ping_timeout_removes_the_member() {
    let Some(target) = impatient() else { return };
    let channel = unique("presence-room-");
    let mut stays = target.connect();
    stays.subscribe_presence(&channel, "stays", &json!({}));
    let mut goes = target.connect();
    goes.subscribe_presence(&channel, "goes", &json!({}));
    stays.expect_on(&channel, "pusher_internal:member_added");
    // It stays connected and says nothing any more.
    let removed = stays.expect_on(&channel, "pusher_internal:member_removed");
    assert_eq!(removed.decoded(), json!({ "user_id": "goes" }));
    target.assert_nothing_published(&mut stays, &channel);
}

/// The activity timeout told to clients is the configured one, in seconds.
///
/// Proves: 4.
#[test]
fn the_activity_timeout_is_the_configured_one() {
    let config = format!("[connection]\nactivity_timeout_seconds = 17\n{MAIN_APP}");
    let Some(target) = Target::own(&config) else { return };
    let mut socket = target.upgrade("protocol=7");
    assert_eq!(socket.await_established().decoded()["activity_timeout"], json!(17));
}

/// A broker that pings and gives up soon.
fn impatient() -> Option<Target> {
    let config = format!(
        "[connection]\nping_after_seconds = {}\npong_timeout_seconds = {}\n{MAIN_APP}",
        PING_AFTER.as_secs_f64(),
        PONG_TIMEOUT.as_secs_f64()
    );
    assert!(PING_AFTER + PONG_TIMEOUT < patience(), "the harness must outwait the broker");
    Target::own(&config)
}

/// Waits for a WebSocket Ping; nothing else may come.
#[track_caller]
fn await_ping(socket: &mut Socket) {
    match socket.receive() {
        Incoming::Ping(_) => {}
        other => socket.fail(&format!("expected a WebSocket Ping, got {other:?}")),
    }
}
