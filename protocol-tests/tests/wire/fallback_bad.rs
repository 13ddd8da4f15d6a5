//! Requests to the HTTP transports that are wrong, too large, too slow or too many: each gets one clear answer, and
//! harms nobody else.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use heliostat_protocol_tests::http::{Connection, Stream};
use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::transport::{post, session_id};
use heliostat_protocol_tests::{Shared, Target, unique};
use serde_json::json;

use crate::eventually;
use crate::fallback_native::{Session, established, message, messages, until};

/// A session belongs to the key and to the origin that began it: for every other there is none.
///
/// Proves: bad input.
#[test]
fn a_session_belongs_to_its_key_and_its_origin() {
    let target = Target::main();
    let session = Session::new(&target);
    let query = "protocol=7&client=js&version=8.4.0";
    let mut stream = session.stream_as(query, &["Origin: https://page.example"]);
    established(&mut stream);
    let (send, receive) = (format!("{}/xhr_send", session.base), format!("{}/xhr?{query}", session.base));
    for foreign in ["Origin: https://evil.example", "Origin: null", "Origin: http://page.example"] {
        assert_eq!(session.ask(&send, "[]", &[foreign]).status, 404);
        assert_eq!(session.ask(&receive, "", &[foreign]).status, 404);
    }
    assert_eq!(session.ask(&send, "[]", &["Origin: https://page.example"]).status, 204);
    stream.expect_line("a[]");
    let Some(other) = Target::shared(Shared::Other) else { return };
    let elsewhere = send.replace(&target.credentials.key, &other.credentials.key);
    assert_eq!(session.ask(&elsewhere, "[]", &[]).status, 404);
    for near in [send.replace("/42/", "/042/"), send.replace("/42/", "/43/")] {
        assert_eq!(session.ask(&near, "[]", &[]).status, 404, "{near}");
    }
    assert_eq!(session.send("[]").status, 204);
    stream.expect_line("a[]");
}

/// Nobody is there to be sent anything before the first request that receives.
///
/// Proves: bad input.
#[test]
fn a_session_begins_by_receiving() {
    let target = Target::main();
    let session = Session::new(&target);
    let answer = session.send("[]");
    answer.assert_error(404, "Session not found: it has ended or was never begun");
    let sockjs = format!("{}/pusher/000/{}", target.path_prefix, session_id());
    for wish in ["xhr_send", "jsonp_send"] {
        assert_eq!(session.ask(&format!("{sockjs}/{wish}"), "[\"x\"]", &[]).status, 404);
    }
    assert_eq!(session.poll().text(), "o\n");
}

/// A body that is no list of messages changes nothing.
///
/// Proves: bad input.
#[test]
fn bodies_that_are_no_messages_are_refused() {
    let target = Target::main();
    let session = Session::new(&target);
    let mut stream = session.stream();
    established(&mut stream);
    for broken in
        ["[\"x", "{}", "[1]", "\"x\"", "null", "[null]", "[[\"x\"]]", "[\"a\" \"b\"]", "[\"\\ud800\"]"]
    {
        session.send(broken).assert_error(400, "Broken JSON encoding.");
    }
    for missing in ["", " ", "\r\n"] {
        session.send(missing).assert_error(400, "Payload expected.");
    }
    let mut connection = Connection::open(&target);
    let mut request = post(&target, &format!("{}/xhr_send", session.base), "xxxx", &[]);
    let body = request.len() - 4;
    request[body..].copy_from_slice(b"\xff\xfe\xfd\xfc");
    connection.send(&request);
    connection.answer().assert_error(400, "Broken JSON encoding.");
    // What is within the messages is the protocol's business.
    assert_eq!(session.send("[\"\",\"garbage\",\"{}\"]").status, 204);
    let mut errors = 0;
    while errors < 3 {
        let told = messages(&stream.line());
        assert!(told.iter().all(|message| message.event == "pusher:error"));
        errors += told.len();
    }
    assert_eq!(session.send("[]").status, 204);
    stream.expect_line("a[]");
}

/// Each path takes one method.
///
/// Proves: bad input.
#[test]
fn other_methods_are_not_allowed() {
    let target = Target::main();
    let native = Session::new(&target).base;
    let sockjs = format!("{}/pusher/000/{}", target.path_prefix, session_id());
    let posts = ["xhr_streaming", "xhr", "xhr_send"].map(|wish| format!("{native}/{wish}"));
    let gets = ["eventsource", "htmlfile?c=x", "jsonp?c=x"].map(|wish| format!("{sockjs}/{wish}"));
    let cases = posts.iter().map(|path| (path, "GET", "OPTIONS, POST"));
    for (path, method, allowed) in cases.chain(gets.iter().map(|path| (path, "POST", "OPTIONS, GET"))) {
        for method in [method, "PUT", "DELETE"] {
            let mut connection = Connection::open(&target);
            connection
                .send(format!("{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").as_bytes());
            let answer = connection.answer();
            assert_eq!((answer.status, answer.header("allow")), (405, Some(allowed)), "{method} {path}");
        }
    }
    for none in ["/pusher/app/key/1/abcdefgh/jsonp", "/pusher/app/key/1/xhr/send/x", "/pusher/a/b/c/d/e"] {
        let mut connection = Connection::open(&target);
        connection.send(&post(&target, none, "", &[]));
        assert_eq!(connection.answer().status, 404, "{none}");
    }
}

/// What is too large is refused by its announcement, and a message that is too large for a WebSocket is too large here.
///
/// Proves: bad input.
#[test]
fn large_bodies_and_messages_are_refused() {
    let target = Target::main();
    let session = Session::new(&target);
    let mut stream = session.stream();
    established(&mut stream);
    for wish in ["xhr_send", "xhr"] {
        let mut connection = Connection::open(&target);
        let path = format!("{}/{wish}?protocol=7", session.base);
        connection.send(
            format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n[\"").as_bytes(),
        );
        assert_eq!(connection.answer().status, 413);
    }
    assert_eq!(session.send("[]").status, 204);
    stream.expect_line("a[]");
    let message = json!({ "event": "pusher:ping", "data": "x".repeat(200_000) }).to_string();
    assert_eq!(session.send(&json!([message]).to_string()).status, 204);
    assert!(
        stream.rest().starts_with("c[1009,\"Message too big: at most 131072 bytes are allowed, got 2000")
    );
}

/// A body that does not come is not waited for, and the session goes on.
///
/// Proves: bad input.
#[test]
fn slow_bodies_are_given_up() {
    let Some(target) = Target::own(&format!("[server]\nhttp_request_timeout_seconds = 0.5\n{MAIN_APP}"))
    else {
        return;
    };
    let session = Session::new(&target);
    let mut stream = session.stream();
    established(&mut stream);
    let mut slow: Vec<Connection> = (0..10)
        .map(|_| {
            let mut connection = Connection::open(&target);
            let head = format!(
                "POST {}/xhr_send HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n[\"",
                session.base
            );
            connection.send(head.as_bytes());
            connection
        })
        .collect();
    assert_eq!(session.send("[]").status, 204);
    stream.expect_line("a[]");
    for connection in &mut slow {
        assert_eq!(connection.answer().status, 408);
    }
}

/// Sessions are counted, the forgotten ones no longer. One too many is told to come back later.
///
/// Proves: 29.
#[test]
fn there_are_no_more_sessions_than_the_limit() {
    const LIMIT: usize = 1000;
    let Some(target) =
        Target::own(&format!("[fallback]\nmax_sessions = {LIMIT}\nsession_timeout_seconds = 3\n{MAIN_APP}"))
    else {
        return;
    };
    let first = Session::new(&target);
    let mut stream = first.stream();
    established(&mut stream);
    let mut connection = Connection::open(&target);
    let mut opened = 0;
    let close = loop {
        connection.send(&post(&target, &format!("{}/xhr?protocol=7", Session::new(&target).base), "", &[]));
        let answer = connection.answer();
        match answer.text() {
            "o\n" => opened += 1,
            other => break other.to_owned(),
        }
        assert!(opened < LIMIT, "the limit does not hold");
    };
    assert!(close.starts_with("o\nc[4100,"), "{close}");
    let sockjs = format!("{}/pusher/000/{}/jsonp?c=f", target.path_prefix, session_id());
    connection.send(format!("GET {sockjs} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
    assert!(connection.answer().text().starts_with("/**/f(\"c[4100,"));
    assert_eq!(first.send("[]").status, 204);
    stream.expect_line("a[]");
    eventually("the forgotten sessions make room", || {
        (Session::new(&target).poll().text() == "o\n").then_some(())
    });
}

/// The app's limit of connections holds for sessions, too.
///
/// Proves: 28.
#[test]
fn a_session_counts_as_a_connection_of_its_app() {
    let Some(target) = Target::own(&format!("{MAIN_APP}limits = {{ connections = 1 }}\n")) else { return };
    let first = Session::new(&target);
    let mut stream = first.stream();
    established(&mut stream);
    assert!(Session::new(&target).stream().rest().contains("c[4004,"));
    assert!(target.upgrade("protocol=7").expect_close().code == 4004);
    assert_eq!(first.send("[]").status, 204);
    stream.expect_line("a[]");
}

/// What waits for a client that does not come, or does not read, is bounded; then it is told to come back later.
///
/// Proves: 29.
#[test]
fn slow_readers_are_told_4100() {
    const EVENT_BYTES: usize = 1 << 20;
    let Some(target) = Target::own(&format!(
        "[server]\nhttp_body_bytes = 4194304\n[connection]\noutbox_bytes = 65536\n\
         {MAIN_APP}limits = {{ event_payload_bytes = {EVENT_BYTES} }}\n"
    )) else {
        return;
    };
    let payload = "p".repeat(EVENT_BYTES);
    let flood = |channel: &str| {
        eventually("the subscription ends", || {
            target.publish(channel, "much", &payload);
            let channel = target.get(&format!("/channels/{channel}")).send();
            (channel.json()["occupied"] == json!(false)).then_some(())
        });
    };
    let (absent, channel) = (Session::new(&target), unique("room-"));
    absent.poll();
    absent.poll();
    absent.say(&json!({ "event": "pusher:subscribe", "data": { "channel": channel } }));
    absent.poll();
    flood(&channel);
    assert!(absent.poll().text().starts_with("c[4100,\"Too slow"));
    let (deaf, channel) = (Session::new(&target), unique("room-"));
    let mut stream = deaf.stream();
    established(&mut stream);
    deaf.say(&json!({ "event": "pusher:subscribe", "data": { "channel": channel } }));
    until(&mut stream, "pusher_internal:subscription_succeeded");
    flood(&channel);
    let rest = stream.rest();
    let (events, close) = rest.trim_end().rsplit_once('\n').expect("what was under way, and the close");
    assert!(close.starts_with("c[4100,\"Too slow"), "{close}");
    assert!(events.lines().all(|line| messages(line).iter().all(|message| message.event == "much")));
}

/// Two polls at once, sends in between, and streams that come and go: whatever a client does, a message is heard once.
///
/// Proves: bad input.
#[test]
fn receivers_that_change_all_the_time_lose_and_repeat_nothing() {
    const EVENTS: usize = 200;
    let target = Target::main();
    let (session, channel) = (Session::new(&target), unique("room-"));
    session.poll();
    session.poll();
    session.say(&json!({ "event": "pusher:subscribe", "data": { "channel": channel } }));
    assert_eq!(message(session.poll().text().trim_end()).event, "pusher_internal:subscription_succeeded");
    let enough = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // It goes on until enough is heard, so that no request waits in vain.
        scope.spawn(|| {
            let numbers = (0..).take_while(|_| !enough.load(Ordering::Relaxed));
            numbers.for_each(|n: usize| target.publish(&channel, &n.to_string(), "1"));
        });
        let _enough = Finally(&enough);
        let mut heard = Vec::new();
        while heard.len() < EVENTS {
            let line = match heard.len() % 3 {
                0 => {
                    let mut stream: Stream = session.stream();
                    let line = stream.line();
                    // It ends by the next request that receives; what it still says until then counts.
                    let next = session.poll();
                    heard.extend(events(&line));
                    stream.rest().lines().for_each(|line| heard.extend(events(line)));
                    next.text().trim_end().to_owned()
                }
                _ => session.poll().text().trim_end().to_owned(),
            };
            heard.extend(events(&line));
        }
        assert_eq!(heard, (0..heard.len()).map(|n| n.to_string()).collect::<Vec<_>>());
    });
}

/// Says that it is enough, after a failure too.
struct Finally<'f>(&'f AtomicBool);

impl Drop for Finally<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn events(line: &str) -> Vec<String> {
    if line.starts_with('a') {
        messages(line).into_iter().map(|message| message.event).collect()
    } else {
        Vec::new()
    }
}

/// Clients that end their side of a stream are gone at once, and not when the next word to them fails.
///
/// Proves: 238.
#[test]
fn a_stream_that_its_client_leaves_is_not_waited_for() {
    let Some(target) = Target::own(&format!("[fallback]\nsession_timeout_seconds = 0.2\n{MAIN_APP}")) else {
        return;
    };
    let session = Session::new(&target);
    let mut stream = session.stream();
    established(&mut stream);
    stream.abort();
    eventually("the session ends", || (session.send("[]").status == 404).then_some(()));
    // A poll that waits is left alike.
    let polled = Session::new(&target);
    polled.poll();
    polled.poll();
    let mut connection = Connection::open(&target);
    connection.send(&post(&target, &format!("{}/xhr?protocol=7", polled.base), "", &[]));
    assert!(matches!(
        connection.hear(Duration::from_millis(400)),
        heliostat_protocol_tests::http::Heard::Nothing
    ));
    drop(connection);
    eventually("the session ends", || (polled.send("x").status == 404).then_some(()));
}
