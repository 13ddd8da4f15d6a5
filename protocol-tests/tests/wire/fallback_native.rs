//! pusher-js's own HTTP transports: a stream of lines, polls, and requests that send.

use std::time::{Duration, Instant};

use heliostat_protocol_tests::http::{Connection, Response, Stream};
use heliostat_protocol_tests::message::Message;
use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::transport::{SessionFrame, post, session_id};
use heliostat_protocol_tests::{Credentials, Shared, Target, signature, unique};
use serde_json::{Value, json};

use crate::eventually;

const QUERY: &str = "protocol=7&client=js&version=8.4.0&t=1448000000000&n=1";

/// One session, as a client that can do anything wrong sees it.
pub(crate) struct Session<'t> {
    pub(crate) target: &'t Target,
    pub(crate) base: String,
}

impl<'t> Session<'t> {
    pub(crate) fn new(target: &'t Target) -> Self {
        let base =
            format!("{}/pusher/app/{}/42/{}", target.path_prefix, target.credentials.key, session_id());
        Session { target, base }
    }

    pub(crate) fn stream(&self) -> Stream {
        self.stream_as(QUERY, &[])
    }

    pub(crate) fn stream_as(&self, query: &str, headers: &[&str]) -> Stream {
        let path = format!("{}/xhr_streaming?{query}", self.base);
        Stream::open(self.target, &post(self.target, &path, "", headers))
    }

    pub(crate) fn poll(&self) -> Response {
        self.poll_as(QUERY)
    }

    fn poll_as(&self, query: &str) -> Response {
        self.ask(&format!("{}/xhr?{query}", self.base), "", &[])
    }

    pub(crate) fn send(&self, body: &str) -> Response {
        self.ask(&format!("{}/xhr_send?t=1448000000001&n=2", self.base), body, &[])
    }

    pub(crate) fn say(&self, message: &Value) {
        let answer = self.send(&json!([message.to_string()]).to_string());
        assert_eq!(answer.status, 204, "{answer}");
        assert!(answer.body.is_empty());
    }

    pub(crate) fn ask(&self, path: &str, body: &str, headers: &[&str]) -> Response {
        let mut connection = Connection::open(self.target);
        connection.send(&post(self.target, path, body, headers));
        connection.answer()
    }
}

/// The messages of an `a` line.
#[track_caller]
pub(crate) fn messages(line: &str) -> Vec<Message> {
    match SessionFrame::parse(line) {
        Ok(SessionFrame::Messages(messages)) => messages.iter().map(|m| Message::parse(m).unwrap()).collect(),
        other => panic!("expected messages, got {other:?}"),
    }
}

/// The one message of a line.
#[track_caller]
pub(crate) fn message(line: &str) -> Message {
    let mut messages = messages(line);
    assert_eq!(messages.len(), 1, "{line}");
    messages.remove(0)
}

/// Reads `o` and the greeting; answers the socket id.
#[track_caller]
pub(crate) fn established(stream: &mut Stream) -> String {
    stream.expect_line("o");
    let greeting = message(&stream.line());
    assert_eq!(greeting.event, "pusher:connection_established");
    greeting.decoded()["socket_id"].as_str().unwrap().to_owned()
}

/// Reads on until this event, past heartbeats and others.
#[track_caller]
pub(crate) fn until(stream: &mut Stream, event: &str) -> Message {
    loop {
        let line = stream.line();
        if line.starts_with('a')
            && let Some(found) = messages(&line).into_iter().find(|m| m.event == event)
        {
            return found;
        }
    }
}

/// Joins a room of its own on a session that receives by this stream; returns its name.
fn joined(session: &Session<'_>, stream: &mut Stream) -> String {
    let channel = unique("room-");
    session.say(&json!({ "event": "pusher:subscribe", "data": { "channel": channel } }));
    until(stream, "pusher_internal:subscription_succeeded");
    channel
}

/// A stream begins with `o`, and the greeting follows at once. Nothing on the way may keep it back or change it.
///
/// Proves: 230.
#[test]
fn a_stream_opens_the_session_and_greets() {
    let target = Target::main();
    let mut stream = Session::new(&target).stream_as(QUERY, &["Origin: https://page.example"]);
    for (name, value) in [
        ("content-type", "application/javascript; charset=UTF-8"),
        ("access-control-allow-origin", "https://page.example"),
        ("x-accel-buffering", "no"),
    ] {
        assert_eq!(stream.head.header(name), Some(value));
    }
    assert!(
        stream
            .head
            .header("cache-control")
            .is_some_and(|c| c.contains("no-store") && c.contains("no-transform"))
    );
    stream.expect_line("o");
    let greeting = message(&stream.line());
    assert_eq!(greeting.event, "pusher:connection_established");
    assert!(greeting.decoded()["activity_timeout"].as_f64().is_some_and(|seconds| seconds > 0.0));
}

/// A client that has read enough asks anew, and goes on where it was: without a second `o`, on the same connection,
/// and with what came in between.
///
/// Proves: 231, 235.
#[test]
fn a_resumed_session_goes_on_where_it_was() {
    let target = Target::main();
    let session = Session::new(&target);
    let mut stream = session.stream();
    established(&mut stream);
    let channel = joined(&session, &mut stream);
    for round in 0..3 {
        // A poll takes the place of the stream, and when it is answered nobody receives.
        assert_eq!(session.send("[]").status, 204);
        stream.expect_line("a[]");
        let polled = std::thread::scope(|scope| {
            let polled = scope.spawn(|| session.poll());
            assert_eq!(stream.rest(), "");
            target.publish(&channel, "polled", "1");
            polled.join().unwrap()
        });
        assert_eq!(message(polled.text().trim_end()).event, "polled");
        target.publish(&channel, &format!("missed-{round}"), "1");
        stream = session.stream();
        assert_eq!(message(&stream.line()).event, format!("missed-{round}"));
    }
    // The newer of two takes over, while the older is still there.
    let mut newer = session.stream();
    assert_eq!(stream.rest(), "", "the older one ends");
    target.publish(&channel, "later", "1");
    assert_eq!(message(&newer.line()).event, "later");
}

/// Whatever goes over a stream, it goes on.
///
/// Proves: 235.
#[test]
fn a_stream_has_no_end() {
    let target = Target::main();
    let session = Session::new(&target);
    let mut stream = session.stream();
    established(&mut stream);
    let channel = joined(&session, &mut stream);
    let payload = "p".repeat(10_000);
    for n in 0..60 {
        target.publish(&channel, &format!("event-{n}"), &payload);
        assert_eq!(until(&mut stream, &format!("event-{n}")).data, json!(payload));
    }
}

/// Messages are sent by requests of their own, several in one, and are read in order.
///
/// Proves: 232.
#[test]
fn messages_are_sent_by_requests_of_their_own() {
    let target = Target::main();
    let session = Session::new(&target);
    let mut stream = session.stream();
    established(&mut stream);
    let channels: Vec<String> = (0..5).map(|_| unique("room-")).collect();
    let frames: Vec<String> = channels
        .iter()
        .map(|channel| json!({ "event": "pusher:subscribe", "data": { "channel": channel } }).to_string())
        .collect();
    let answer = session.send(&json!(frames).to_string());
    assert_eq!((answer.status, answer.body.len()), (204, 0), "{answer}");
    let mut succeeded = Vec::new();
    while succeeded.len() < channels.len() {
        succeeded.extend(messages(&stream.line()).into_iter().filter_map(|m| m.channel));
    }
    assert_eq!(succeeded, channels);
}

/// An empty array asks whether anybody is there: it is answered on the receiving side, by a stream, by a poll that
/// waits, and by the next poll if none does. The first releases send a letter instead. It is also how a stream's client
/// answers a heartbeat, so that the answer to it must not be a heartbeat: it would go on without end.
///
/// Proves: 233.
#[test]
fn a_clients_heartbeat_is_answered_on_the_receiving_side() {
    let target = Target::main();
    let session = Session::new(&target);
    let mut stream = session.stream();
    established(&mut stream);
    for body in ["[]", "h", " [ ] "] {
        assert_eq!(session.send(body).status, 204);
        stream.expect_line("a[]");
    }
    stream.abort();
    let polled = Session::new(&target);
    assert_eq!(polled.poll().text(), "o\n");
    message(polled.poll().text().trim_end());
    assert_eq!(polled.send("[]").status, 204);
    assert_eq!(polled.poll().text(), "a[]\n", "the one that comes next");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| polled.poll());
        while !waiting.is_finished() {
            assert_eq!(polled.send("[]").status, 204);
        }
        assert_eq!(waiting.join().unwrap().text(), "a[]\n", "the one that waits");
    });
}

/// A poll waits until there is something, delivers it, and is over; what comes between two polls waits for the next.
///
/// Proves: 231, 234.
#[test]
fn a_poll_ends_when_it_has_delivered() {
    let target = Target::main();
    let session = Session::new(&target);
    let opened = session.poll();
    assert_eq!((opened.status, opened.text()), (200, "o\n"), "{opened}");
    assert_eq!(opened.header("content-type"), Some("application/javascript; charset=UTF-8"));
    assert_eq!(message(session.poll().text().trim_end()).event, "pusher:connection_established");
    let channel = unique("room-");
    session.say(&json!({ "event": "pusher:subscribe", "data": { "channel": channel } }));
    assert_eq!(message(session.poll().text().trim_end()).event, "pusher_internal:subscription_succeeded");
    for n in 0..3 {
        target.publish(&channel, &format!("event-{n}"), "1");
    }
    let together: Vec<String> =
        messages(session.poll().text().trim_end()).into_iter().map(|m| m.event).collect();
    assert_eq!(together, ["event-0", "event-1", "event-2"]);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| session.poll());
        let mut n = 0;
        while !waiting.is_finished() {
            target.publish(&channel, &format!("while-{n}"), "1");
            n += 1;
        }
        let first = waiting.join().unwrap();
        assert_eq!(messages(first.text().trim_end())[0].event, "while-0");
    });
}

/// A poll with nothing to deliver ends after a while with a heartbeat, and a stream is sent one; a session that is
/// polled again lives on.
///
/// Proves: 233, 234.
#[test]
fn silence_is_broken_by_heartbeats() {
    let Some(target) =
        Target::own(&format!("[fallback]\nheartbeat_seconds = 0.2\npoll_hold_seconds = 0.2\n{MAIN_APP}"))
    else {
        return;
    };
    let session = Session::new(&target);
    assert_eq!(session.poll().text(), "o\n");
    message(session.poll().text().trim_end());
    for _ in 0..3 {
        let asked = Instant::now();
        assert_eq!(session.poll().text(), "h\n");
        assert!(asked.elapsed() >= Duration::from_millis(200), "after {:?}", asked.elapsed());
    }
    let streamed = Session::new(&target);
    let mut stream = streamed.stream();
    established(&mut stream);
    for _ in 0..3 {
        stream.expect_line("h");
    }
}

/// The refusals of a connection come as the session's close, for old clients after an error, and every request of the
/// session says the same for some seconds. Then it is forgotten.
///
/// Proves: 22, 23, 24, 25, 236.
#[test]
fn a_refused_session_says_why_and_says_it_again() {
    let target = Target::main();
    let nobody = target.with_credentials(Credentials::new("1", "nobody", "secret"));
    for (protocol, with_error) in [(7, false), (6, false), (5, true)] {
        let session = Session::new(&nobody);
        let mut stream = session.stream_as(&format!("protocol={protocol}"), &[]);
        stream.expect_line("o");
        if with_error {
            let error = message(&stream.line());
            assert_eq!((error.event.as_str(), &error.data["code"]), ("pusher:error", &json!(4001)));
        }
        let close = stream.rest();
        assert_eq!(close, "c[4001,\"Could not find app by key nobody\"]\n");
        assert_eq!(session.poll().text(), close);
        assert_eq!(session.stream().rest(), close);
        assert_eq!(session.send("[]").status, 404, "there is nothing to talk to");
    }
    let polled = Session::new(&nobody);
    assert_eq!(polled.poll().text(), "o\n");
    assert_eq!(polled.poll().text(), "c[4001,\"Could not find app by key nobody\"]\n");
    for (query, code) in [("protocol=8", 4007), ("protocol=x", 4006)] {
        let lines = Session::new(&target).stream_as(query, &[]).rest();
        assert!(lines.starts_with("o\n") && lines.contains(&format!("\nc[{code},")), "{lines}");
    }
    let Some(disabled) = Target::shared(Shared::Disabled) else { return };
    assert!(Session::new(&disabled).stream().rest().contains("c[4003,"));
    let Some(tls) = Target::shared(Shared::TlsOnly) else { return };
    assert!(Session::new(&tls).stream().rest().contains("c[4000,"));
}

/// Pages anywhere may use it: with the headers of a preflight, or of none.
///
/// Proves: 237.
#[test]
fn preflights_succeed_from_anywhere() {
    let target = Target::main();
    for wish in ["xhr_streaming", "xhr", "xhr_send"] {
        for origin in ["https://page.example", "null", "http://localhost:8080"] {
            let path = format!("{}/{wish}?{QUERY}", Session::new(&target).base);
            let mut connection = Connection::open(&target);
            connection.send(
                format!(
                    "OPTIONS {path} HTTP/1.1\r\nHost: x\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: POST\r\n\
                     Access-Control-Request-Headers: content-type\r\n\r\n"
                )
                .as_bytes(),
            );
            let answer = connection.answer();
            assert_eq!(answer.status, 204, "{answer}");
            let allowed = answer.header("access-control-allow-origin").unwrap_or_default();
            assert!(allowed == origin || allowed == "*", "{allowed}");
            assert!(answer.header("access-control-allow-methods").is_some_and(|m| m.contains("POST")));
            assert_eq!(answer.header("access-control-allow-headers"), Some("content-type"));
            let age = answer.header("access-control-max-age").and_then(|age| age.parse::<u64>().ok());
            assert!(age.is_some_and(|age| age > 1_000_000));
        }
    }
}

/// Who does not come back within the session's time is gone, and its members with it; who comes back in time is not.
/// The id can then be used for another session.
///
/// Proves: 99, 238.
#[test]
fn a_session_that_nobody_receives_on_ends() {
    let target = Target::main();
    let channel = unique("presence-room-");
    let mut stays = target.connect();
    stays.subscribe_presence(&channel, "stays", &json!(null));
    let session = Session::new(&target);
    let mut stream = session.stream();
    let socket_id = established(&mut stream);
    let member = json!({ "user_id": "goes" }).to_string();
    let auth = signature::channel_auth(&target.credentials, &socket_id, &channel, Some(&member));
    session.say(&json!({
        "event": "pusher:subscribe",
        "data": { "channel": channel, "auth": auth, "channel_data": member },
    }));
    until(&mut stream, "pusher_internal:subscription_succeeded");
    stays.expect_on(&channel, "pusher_internal:member_added");
    for _ in 0..3 {
        stream.abort();
        stream = session.stream();
    }
    target.assert_nothing_published(&mut stays, &channel);
    let left = Instant::now();
    stream.abort();
    let removed = stays.expect_on(&channel, "pusher_internal:member_removed");
    assert_eq!(removed.decoded(), json!({ "user_id": "goes" }));
    assert!(left.elapsed() >= Duration::from_millis(900), "it had a second to come back");
    eventually("the session is forgotten", || (session.send("[]").status == 404).then_some(()));
    assert_ne!(established(&mut session.stream()), socket_id);
}

/// A silent client is asked by a heartbeat, and one that does not answer is gone, though its stream stays open. Polling
/// is answer enough.
///
/// Proves: 41, 44.
#[test]
fn a_stream_whose_client_does_not_answer_is_closed() {
    let Some(target) = Target::own(&format!(
        "[connection]\nping_after_seconds = 0.4\npong_timeout_seconds = 0.6\n[fallback]\npoll_hold_seconds = 0.3\n{MAIN_APP}"
    )) else {
        return;
    };
    let mut silent = Session::new(&target).stream();
    let answering = Session::new(&target);
    let mut answered = answering.stream();
    established(&mut silent);
    established(&mut answered);
    let polled = Session::new(&target);
    polled.poll();
    for _ in 0..5 {
        answered.expect_line("h");
        assert_eq!(answering.send("[]").status, 204);
        answered.expect_line("a[]");
        assert_ne!(polled.poll().text().chars().next(), Some('c'));
    }
    assert_eq!(silent.rest(), "h\nc[4201,\"Pong reply not received\"]\n");
}

/// The host that is to be asked from now on is told with the first frame.
///
/// Proves: 230.
#[test]
fn the_first_frame_names_the_host() {
    let Some(target) = Target::own(&format!("[fallback]\nhostname = \"node3.example\"\n{MAIN_APP}")) else {
        return;
    };
    let first = Session::new(&target).stream().line();
    let named = SessionFrame::Open(json!({ "hostname": "node3.example" }));
    assert_eq!(SessionFrame::parse(&first), Ok(named));
}

/// A browser of 2009 shows a page nothing of a response before its first two kilobytes; they begin with nothing that
/// could be a frame.
///
/// Proves: clients.
#[test]
fn old_explorers_are_sent_padding() {
    let target = Target::main();
    let explorer = "User-Agent: Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.0)";
    let mut stream = Session::new(&target).stream_as(QUERY, &[explorer]);
    let padding = stream.line();
    assert!(padding.len() >= 2048 && padding.trim().is_empty());
    established(&mut stream);
}

/// The end of the broker ends every session as every socket, those that wait and those that come next, and it waits for them.
///
/// Proves: 53.
#[test]
fn shutdown_ends_sessions() {
    // One worker, which takes requests in the order in which they come.
    let Some(target) = Target::own(&format!("[server]\nworkers = 1\n{MAIN_APP}")) else { return };
    let streamed = Session::new(&target);
    let mut stream = streamed.stream();
    established(&mut stream);
    let polled = Session::new(&target);
    polled.poll();
    polled.poll();
    let asked = Instant::now();
    std::thread::scope(|scope| {
        let mut connection = Connection::open(&target);
        connection.send(&post(&target, &format!("{}/xhr?{QUERY}", polled.base), "", &[]));
        // It came later: its answer shows that the poll is held.
        assert_eq!(streamed.send("[]").status, 204);
        let waiting = scope.spawn(move || connection.answer());
        target.broker().unwrap().terminate();
        let close = "c[4100,\"The broker is stopping, come back soon\"]\n";
        assert!(stream.rest().ends_with(close));
        assert_eq!(waiting.join().unwrap().text(), close);
    });
    let status = target.broker().unwrap().await_exit(Duration::from_secs(5));
    assert_eq!(status.code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(4), "it took {:?}", asked.elapsed());
}

/// Requests overtake each other on a browser's connections; their numbers say how they were meant. 60 times a channel is
/// left and joined at once, each time by two requests that come in the wrong order: it is never lost.
///
/// Proves: 230.
#[test]
fn what_overtakes_is_heard_in_the_order_in_which_it_was_sent() {
    let target = Target::main();
    let session = Session::new(&target);
    let mut stream = session.stream();
    established(&mut stream);
    let channel = unique("room-");
    let join = json!({ "event": "pusher:subscribe", "data": { "channel": channel } }).to_string();
    let leave = json!({ "event": "pusher:unsubscribe", "data": { "channel": channel } }).to_string();
    let request = |number: u64, message: &str| {
        let path = format!("{}/xhr_send?t=1448000000001&n={number}", session.base);
        post(&target, &path, &json!([message]).to_string(), &[])
    };
    let begin = |number: u64, message: &str| {
        let mut connection = Connection::open(&target);
        connection.send(&request(number, message));
        connection
    };
    let mut number = 2;
    assert_eq!(begin(number, &join).answer().status, 204);
    until(&mut stream, "pusher_internal:subscription_succeeded");
    for _ in 0..60 {
        let mut joining = begin(number + 2, &join);
        let mut leaving = begin(number + 1, &leave);
        assert_eq!((leaving.answer().status, joining.answer().status), (204, 204));
        // An error would come before, and would say what was heard first.
        let line = stream.line();
        assert!(
            messages(&line).iter().all(|m| m.event == "pusher_internal:subscription_succeeded"),
            "{line}"
        );
        number += 2;
    }
    // A number that never comes, because another socket of the page has used it, is not waited for without end.
    number += 5;
    assert_eq!(begin(number, &leave).answer().status, 204);
    assert_eq!(begin(number + 9, &join).answer().status, 204);
    until(&mut stream, "pusher_internal:subscription_succeeded");
}
