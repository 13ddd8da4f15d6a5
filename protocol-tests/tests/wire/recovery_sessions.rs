//! Sessions over HTTP of a client with a name, whose responses are lost, and the pace of pings.

use heliostat_protocol_tests::transport::session_id;
use heliostat_protocol_tests::{Incoming, Target, TestMode, unique};
use serde_json::json;

use crate::fallback_native::{Session, established, until};
use crate::recovery::{Tab, complete, fresh_name, incomplete, keeping};

const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/node/recovery.toml");

/// A session below this base path.
fn session<'t>(target: &'t Target, base: &str) -> Session<'t> {
    Session { target, base: format!("{base}/app/{}/42/{}", target.credentials.key, session_id()) }
}

/// Polls as pusher-js does, which numbers its requests.
fn poll(session: &Session<'_>, number: u32) -> String {
    let path = format!("{}/xhr?protocol=7&client=js&t=1448000000000&n={number}", session.base);
    session.ask(&path, "", &[]).text().trim_end().to_owned()
}

/// Polls until this event has come; returns the number of the next poll.
fn polled_until(session: &Session<'_>, mut number: u32, event: &str) -> u32 {
    while !poll(session, number).contains(event) {
        number += 1;
    }
    number + 1
}

/// A browser repeats a poll whose connection ended without an answer: that answer was lost. Where the client has a name, its
/// session ends, and it is sent everything when it comes back; one without is told nothing, as ever.
///
/// Proves: recovery.
#[test]
fn a_poll_that_is_repeated_has_lost_its_answer() {
    let Some(target) = keeping("") else { return };
    for is_named in [true, false] {
        let (channel, name) = (unique("news-"), fresh_name());
        let (mut tab, resumed) = Tab::open(&target, &name, &channel);
        assert_eq!(resumed, incomplete());
        tab.echo_all(None);
        tab.cut();
        let base = if is_named { format!("/r/{name}") } else { "/pusher".to_owned() };
        let session = session(&target, &base);
        let next = polled_until(&session, 1, "connection_established");
        session.say(&json!({ "event": "pusher:subscribe", "data": { "channel": channel } }));
        let told = if is_named { "pusher:resumed" } else { "subscription_succeeded" };
        let next = polled_until(&session, next, told);
        target.publish(&channel, "news", "1");
        assert!(poll(&session, next).contains("news"));
        target.publish(&channel, "news", "2");
        if is_named {
            let answer = poll(&session, next);
            assert!(answer.starts_with("c[4200,"), "{answer}");
            let (_tab, resumed) = Tab::open(&target, &name, &channel);
            assert_eq!(resumed, complete(&["1", "2"]));
        } else {
            assert!(poll(&session, next).contains("news"), "it goes on");
        }
    }
}

/// So it is with a stream that breaks after it has carried something.
///
/// Proves: recovery.
#[test]
fn a_stream_that_breaks_may_have_lost_something() {
    let Some(target) = keeping("") else { return };
    let (channel, name) = (unique("news-"), fresh_name());
    let (mut tab, _) = Tab::open(&target, &name, &channel);
    tab.echo_all(None);
    tab.cut();
    let session = session(&target, &format!("/r/{name}"));
    let mut stream = session.stream();
    established(&mut stream);
    session.say(&json!({ "event": "pusher:subscribe", "data": { "channel": channel } }));
    until(&mut stream, "pusher:resumed");
    target.publish(&channel, "news", "1");
    until(&mut stream, "news");
    drop(stream);
    let answer = poll(&session, 7);
    assert!(answer.starts_with("c[4200,"), "{answer}");
    let (_tab, resumed) = Tab::open(&target, &name, &channel);
    assert_eq!(resumed, complete(&["1"]));
}

/// Who echoes is pinged behind each event at once, when 100 ms have passed since the last ping, also in the first seconds.
///
/// Proves: recovery.
#[test]
fn a_ping_follows_an_event_at_once() {
    let Some(mode) = TestMode::start(&["--config", CONFIG]) else { return };
    let app = mode.app(&json!({}));
    let channel = unique("news-");
    let (mut tab, _) = Tab::open(&app.target, &fresh_name(), &channel);
    tab.echo_all(None);
    for event in ["1", "2", "3"] {
        app.ask("POST", "/clock", &json!({ "advance_ms": 200 }));
        app.target.publish(&channel, "news", event);
        tab.socket.expect_on(&channel, "news");
        tab.socket.send_text(r#"{"event":"pusher:ping","data":{}}"#);
        let mut ping = None;
        loop {
            match tab.socket.receive() {
                Incoming::Ping(payload) if !payload.is_empty() => ping = Some(payload),
                Incoming::Message(message) if message.event == "pusher:pong" => break,
                other => panic!("expected a ping, then the answer, got {other:?}"),
            }
        }
        tab.pong(&ping.expect("a ping before the answer to what came after the event"));
    }
}
