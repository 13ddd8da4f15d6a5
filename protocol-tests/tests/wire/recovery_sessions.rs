//! Sessions over HTTP of a client with a name, whose responses are lost, and the pace of pings.

use heliostat_protocol_tests::http::Stream;
use heliostat_protocol_tests::transport::session_id;
use heliostat_protocol_tests::{Incoming, Target, TestMode, unique};
use serde_json::json;

use crate::fallback_native::{Session, established, messages, until};
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

/// Answers the questions of a stream, in a request of this number.
fn answer(session: &Session<'_>, number: u32, answers: usize) {
    // As pusher-js writes it.
    let pongs = vec![r#"{"event":"pusher:pong","data":{}}"#; answers];
    let path = format!("{}/xhr_send?t=1448000000001&n={number}", session.base);
    assert_eq!(session.ask(&path, &json!(pongs).to_string(), &[]).status, 204);
}

/// Reads on until a question has come behind this event.
fn asked_behind(stream: &mut Stream, event: &str) {
    let mut seen = false;
    loop {
        let line = stream.line();
        let come = if line.starts_with('a') { messages(&line) } else { Vec::new() };
        for message in come {
            if seen && message.event == "pusher:ping" {
                return;
            }
            seen |= message.event == event;
        }
    }
}

/// Who asks for the next response has read the one before.
///
/// Proves: recovery.
#[test]
fn the_next_poll_says_that_the_last_one_has_arrived() {
    let Some(mode) = TestMode::start(&["--config", CONFIG]) else { return };
    let app = mode.app(&json!({}));
    let (channel, name) = (unique("news-"), fresh_name());
    let session = session(&app.target, &format!("/r/{name}"));
    let next = polled_until(&session, 1, "connection_established");
    session.say(&json!({ "event": "pusher:subscribe", "data": { "channel": channel } }));
    let mut next = polled_until(&session, next, "pusher:resumed");
    for event in ["1", "2", "3"] {
        app.ask("POST", "/clock", &json!({ "advance_ms": 300 }));
        app.target.publish(&channel, "news", event);
        next = polled_until(&session, next, "news");
    }
    let (_tab, resumed) = Tab::open(&app.target, &name, &channel);
    assert_eq!(resumed, complete(&["3"]));
}

/// A stream asks behind what it was sent, and each answer counts for one question.
///
/// Proves: recovery.
#[test]
fn an_answer_says_that_what_was_before_its_question_has_arrived() {
    let Some(mode) = TestMode::start(&["--config", CONFIG]) else { return };
    let app = mode.app(&json!({}));
    let (channel, name) = (unique("news-"), fresh_name());
    let session = session(&app.target, &format!("/r/{name}"));
    let mut stream = session.stream();
    established(&mut stream);
    session.say(&json!({ "event": "pusher:subscribe", "data": { "channel": channel } }));
    asked_behind(&mut stream, "pusher:resumed");
    let mut publish = |data: &str| {
        app.ask("POST", "/clock", &json!({ "advance_ms": 300 }));
        app.target.publish(&channel, "news", data);
        asked_behind(&mut stream, "news");
    };
    publish("1");
    answer(&session, 3, 1);
    answer(&session, 5, 1);
    publish("2");
    // A browser has sent it twice, and another one says nothing.
    answer(&session, 5, 1);
    assert_eq!(session.send("[]").status, 204);
    let (_tab, resumed) = Tab::open(&app.target, &name, &channel);
    assert_eq!(resumed, complete(&["2"]));
}

/// Reads a stream from its beginning until so many characters of it have come, or the last event of so many; notes the
/// numbers of the events.
fn read_events(stream: &mut Stream, seen: &mut Vec<usize>, (characters, events): (usize, usize)) {
    let mut read = 0;
    while read <= characters && seen.last() != Some(&(events - 1)) {
        let line = stream.line();
        read += line.len() + 1;
        if line.starts_with('a') {
            let news = messages(&line).into_iter().filter(|message| message.event == "news");
            let number = |text: &str| text.split(' ').next().and_then(|number| number.parse::<usize>().ok());
            seen.extend(news.filter_map(|message| number(message.data.as_str()?)));
        }
    }
}

/// pusher-js gives a stream up when it has read more than 256 KiB of it, with what it has not read: that is waited for, for a
/// while.
///
/// Proves: recovery, 235.
#[test]
fn a_stream_that_is_begun_anew_loses_nothing() {
    const RENEWED_AFTER: usize = 256 * 1024;
    let Some(target) = keeping("") else { return };
    let (channel, name) = (unique("news-"), fresh_name());
    let session = session(&target, &format!("/r/{name}"));
    let mut stream = session.stream();
    session.say(&json!({ "event": "pusher:subscribe", "data": { "channel": channel } }));
    let (events, filler) = (100, "x".repeat(9000));
    let watcher = target.clone();
    let publisher = std::thread::spawn(move || {
        (0..events).for_each(|number| watcher.publish(&channel, "news", &format!("{number} {filler}")));
    });
    let mut seen = Vec::new();
    read_events(&mut stream, &mut seen, (RENEWED_AFTER, events));
    drop(stream);
    let mut stream = session.stream_as("protocol=7&client=js&t=1448000000002&n=7", &[]);
    read_events(&mut stream, &mut seen, (RENEWED_AFTER, events));
    let before = seen.len();
    // One that is not begun anew goes on.
    read_events(&mut stream, &mut seen, (usize::MAX, events));
    publisher.join().unwrap();
    assert!(before < events, "it was begun anew, and not a second time");
    assert_eq!(seen, (0..events).collect::<Vec<_>>());
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
