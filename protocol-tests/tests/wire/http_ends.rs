//! Everything over HTTP ends: what is sent after an answer, what is never completed, and what an old or oddly spoken
//! client or proxy expects of the end of an answer.

use std::io::{ErrorKind, Read};
use std::time::{Duration, Instant};

use heliostat_protocol_tests::http::{ANSWERED_EARLY, Connection, Heard, Piece, Response};
use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::wire::upgrade_request;
use heliostat_protocol_tests::{Shared, Target, TestMode, patience};
use serde_json::json;

/// How long a slow client pauses between two pieces.
const PACE: Duration = Duration::from_millis(50);

const CONFIG: &str = "[server]\nhttp_request_timeout_seconds = 0.5\nkeep_alive_seconds = 1\n\
                      [pipe]\nown_port = true\nport = 0\n";

/// On every path and both ports: whoever goes on with the body of a request that was answered loses the connection
/// soon, whether the body's length was declared or it comes in chunks without end.
///
/// Proves: bad input.
#[test]
fn no_body_goes_on_after_its_answer() {
    let Some(target) = Target::own(&format!("{CONFIG}{MAIN_APP}")) else { return };
    let pipe = pipe_port(&target);
    let framings = [("content-length: 900000", "x"), ("transfer-encoding: chunked", "1\r\nx\r\n")];
    std::thread::scope(|scope| {
        for target in [&target, &pipe] {
            for request in ANSWERED_EARLY {
                for (framing, piece) in framings {
                    let head = format!("{request} HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n{piece}");
                    scope.spawn(move || assert_ends(target, head.as_bytes(), piece.as_bytes()));
                }
            }
        }
    });
}

/// Neither a slow head nor blank lines without end keep a connection that has had an answer.
///
/// Proves: bad input.
#[test]
fn later_heads_have_their_time_too() {
    let Some(target) = Target::own(&format!("{CONFIG}{MAIN_APP}")) else { return };
    let pipe = pipe_port(&target);
    for target in [&target, &pipe] {
        for piece in ["\r\n", "a"] {
            assert_ends(target, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n", piece.as_bytes());
        }
        let mut late = Connection::open(target);
        assert!(late.offer(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"));
        let _ = late.answer();
        assert!(late.offer(b"GET /hea"));
        assert_eq!(late.answer().status, 408);
        assert_ends(target, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /hea", b"l");
    }
}

/// The port of the broker's own for the pipe.
fn pipe_port(target: &Target) -> Target {
    let line = target.broker().unwrap().await_line("serves the pipe on ws://127.0.0.1:");
    let mut pipes = target.clone();
    pipes.port = line.rsplit_once(':').unwrap().1.parse().unwrap();
    pipes
}

/// Asserts that a connection on which this was sent ends, although there is always more.
#[track_caller]
fn assert_ends(target: &Target, start: &[u8], more: &[u8]) {
    let begun = Instant::now();
    let mut connection = Connection::open(target);
    let _ = connection.offer(start);
    loop {
        if matches!(connection.hear(PACE), Heard::Closed) || !connection.offer(more) {
            return;
        }
        let what = String::from_utf8_lossy(start);
        assert!(begun.elapsed() < patience(), "{what:?} never ends at port {}", target.port);
    }
}

/// The same of requests whose head is in order, signature included: their body is wanted, and its bounds end it.
///
/// Proves: bad input.
#[test]
fn no_signed_body_goes_on_for_ever() {
    let Some(target) = Target::own(&format!("{CONFIG}{MAIN_APP}")) else { return };
    let signed = [
        ("GET", "/channels"),
        ("GET", "/channels/room"),
        ("GET", "/channels/presence-room/users"),
        ("POST", "/events"),
        ("POST", "/batch_events"),
        ("POST", "/channels/room/events"),
        ("POST", "/users/u/terminate_connections"),
    ];
    let target = &target;
    std::thread::scope(|scope| {
        for (method, path) in signed {
            let head = target.call(method, path).body("x".repeat(900_000)).head();
            scope.spawn(move || assert_ends(target, &[&head[..], b"x"].concat(), b"x"));
            let chunked = target.call(method, path).body("x".repeat(900_000)).chunked(1).head();
            scope.spawn(move || assert_ends(target, &[&chunked[..], b"1\r\nx\r\n"].concat(), b"1\r\nx\r\n"));
        }
    });
}

/// A small body that came with a refused head does not end the connection.
///
/// Proves: 210.
#[test]
fn a_refusal_with_a_small_body_keeps_the_connection() {
    let target = Target::main();
    let mut connection = Connection::open(&target);
    for _ in 0..100 {
        let call = target.post("/events", &json!({ "name": "a", "channel": "b", "data": "c" }));
        let refused = call.auth("auth_signature", "0").send_on(&mut connection);
        assert_eq!(refused.status, 401, "{refused}");
    }
}

/// The signature decides before the body is there.
///
/// Proves: bad input.
#[test]
fn a_wrong_signature_is_refused_by_the_head() {
    let target = Target::main();
    let call = target.post("/events", &json!({ "name": "a", "channel": "b", "data": "c" }));
    let mut connection = Connection::open(&target);
    connection.send(&call.auth("auth_signature", "0").head());
    let refused = connection.answer();
    assert_eq!(refused.status, 401, "{refused}");
}

/// Every request that is refused for its head is refused although its body never comes, and without being asked for it.
///
/// Proves: bad input.
#[test]
fn heads_are_judged_before_bodies_are_wanted() {
    let Some(mode) = TestMode::start(&["--test-token", "a-token"]) else { return };
    let tested = Target::reached_at("127.0.0.1", mode.broker().port(), Shared::Main.credentials());
    let Some(developed) = Target::own_with(None, &[], &[]) else { return };
    let token = "Authorization: Bearer a-token\r\n";
    let refused = [
        ("POST /nowhere", "", 404),
        ("POST /apps/1001/nothing", "", 404),
        ("DELETE /apps/1001/events", "", 405),
        ("POST /apps/1001/events", "", 401),
        ("POST /test/reset", "", 401),
        ("POST /test/reset", "Authorization: Bearer another\r\n", 401),
        ("POST /test/nothing", token, 404),
        ("PUT /test/reset", token, 405),
        ("GET /dev/auth", "", 405),
        ("POST /dev/nothing", "", 404),
        ("POST /dev/config.json", "", 405),
        ("POST /dev/auth", "Origin: https://evil.example\r\n", 403),
        ("POST /dev/user-auth", "Via: 1.1 somebody\r\n", 403),
        ("POST /", "", 405),
        ("POST /pusher/1/abc/xhr_send", "", 404),
        ("POST /pusher/nowhere", "", 404),
        // Refused in the words of the session.
        ("POST /pusher/app/nobody/1/abc/xhr_streaming", "", 200),
        ("POST /pusher/app/nobody/1/abc/xhr", "", 200),
        ("GET /pusher/1/abc/jsonp", "", 500),
        ("GET /pusher/1/abc/htmlfile", "", 500),
        ("POST /health", "", 405),
    ];
    for (request, header, status) in refused {
        for expectation in ["", "Expect: 100-continue\r\n"] {
            for framing in ["Content-Length: 9000", "Transfer-Encoding: chunked"] {
                let target = if request.contains(" /test/") { &tested } else { &developed };
                let mut connection = Connection::open(target);
                let head = format!(
                    "{request} HTTP/1.1\r\nHost: localhost\r\n{header}{expectation}{framing}\r\n\r\n"
                );
                connection.send(head.as_bytes());
                // Not `answer`, which passes over what comes before the last word.
                let first = connection.begin().expect("an answer");
                assert_eq!(first.status, status, "{head}: {first}");
            }
        }
    }
}

/// A client that waits to be asked for a body is asked if it is wanted, and answered once it has come, also twice on one
/// connection; one that is too large is not asked for.
///
/// Proves: 210.
#[test]
fn a_body_that_is_wanted_is_asked_for() {
    let target = Target::main();
    let mut connection = Connection::open(&target);
    for _ in 0..2 {
        let event = json!({ "name": "a", "channel": "b", "data": "x".repeat(5000) });
        let call = target.post("/events", &event).header("Expect", "100-continue");
        connection.send(&call.head());
        connection.expect_continue();
        connection.send(event.to_string().as_bytes());
        connection.answer().assert_empty_object();
    }
    let call = target.post("/events", &json!({})).header("Expect", "100-continue").content_length(1 << 30);
    connection.send(&call.head());
    let first = connection.begin().expect("an answer");
    assert_eq!(first.status, 413, "it is too large, and not asked for: {first}");
}

/// Bodies that have not come whole hold no more than they may together: the next ones are told to come back, and once
/// the first have gone there is room again.
///
/// Proves: bad input.
#[test]
fn unfinished_bodies_are_bounded_together() {
    let bounds = "[server]\nworkers = 2\nhttp_unfinished_bytes = 100000\n";
    let Some(target) = Target::own(&format!("{bounds}{MAIN_APP}")) else { return };
    let body = format!(r#"{{"name":"a","channel":"b","data":"c","spare":"{}"}}"#, "x".repeat(60_000));
    let call = target.post_bytes("/events", body.clone());
    let bytes = call.bytes();
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut connection = Connection::open(&target);
        connection.send(&bytes[..bytes.len() - 1]);
        held.push(connection);
    }
    let begun = Instant::now();
    let refused = loop {
        let heard = held.iter_mut().find_map(|connection| match connection.hear(PACE) {
            Heard::Answer(answer) => Some(answer),
            _ => None,
        });
        if let Some(answer) = heard {
            break answer;
        }
        assert!(begun.elapsed() < patience(), "four bodies of 60 kB where 100 kB are allowed");
    };
    assert_eq!(refused.status, 503, "{refused}");
    assert_eq!(refused.header("retry-after"), Some("1"));
    drop(held);
    let begun = Instant::now();
    while target.post_bytes("/events", body.clone()).send().status != 200 {
        assert!(begun.elapsed() < patience(), "the room is not given back");
    }
}

/// HTTP connections are bounded by themselves: WebSockets do not count, one more than are busy hears 503, and one that is idle
/// gives way.
///
/// Proves: bad input.
#[test]
fn http_connections_are_bounded() {
    let bounds = "[server]\nworkers = 2\nmax_http_connections = 3\n";
    let Some(target) = Target::own(&format!("{bounds}{MAIN_APP}")) else { return };
    let sockets: Vec<_> = (0..6).map(|_| target.connect()).collect();
    let event = json!({ "name": "a", "channel": "b", "data": "c" }).to_string();
    let begin = || {
        let mut connection = Connection::open(&target);
        let call = target.post_bytes("/events", event.clone()).header("Expect", "100-continue");
        connection.offer(&call.head()).then_some(())?;
        let first = connection.begin()?;
        (first.status == 100).then_some(connection)
    };
    let begin_one = || crate::eventually("a place of a handshake is given back", begin);
    let mut busy: Vec<_> = (0..3).map(|_| begin_one()).collect();
    for _ in 0..10 {
        let mut one_more = Connection::open(&target);
        let refused = one_more.answer();
        assert_eq!(refused.status, 503, "{refused}");
        assert!(refused.header("retry-after").is_some(), "{refused}");
        one_more.expect_end();
    }
    // One of the three is answered and has nothing more to say.
    let mut idle = busy.pop().unwrap();
    idle.send(event.as_bytes());
    idle.answer().assert_empty_object();
    let newcomer = begin_one();
    idle.expect_end();
    for mut connection in busy.into_iter().chain([newcomer]) {
        connection.send(event.as_bytes());
        connection.answer().assert_empty_object();
    }
    drop(sockets);
}

/// What a stranger can do to be connected and say no more.
const SILENT: &[(&str, &str)] = &[
    ("nothing", ""),
    ("blank lines", "\r\n\r\n"),
    ("half a head", "GET /health HTTP/1.1\r\nHo"),
    ("an answered request", "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("a body that nobody wants", "POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\nx"),
    ("a refused key", "/app/nobody?protocol=7"),
    ("a refused backend", "/app/nobody?pipe=1"),
    ("SockJS without an app", "/pusher/websocket"),
    ("SockJS without an app, framed", "/pusher/1/abc/websocket"),
];

/// Connections of which nothing comes, however many, keep nobody out: the longest silent one gives way to whoever comes. A
/// request, a stream and a socket that are under way do not.
///
/// Proves: bad input.
#[test]
fn silent_connections_give_way() {
    let bounds = "[server]\nworkers = 2\nmax_http_connections = 6\nkeep_alive_seconds = 600\n\
                  http_request_timeout_seconds = 600\n[fallback]\nintroduction_timeout_seconds = 600\n";
    let Some(target) = Target::own(&format!("{bounds}{MAIN_APP}")) else { return };
    let mut socket = target.connect();
    socket.subscribe("news");
    let mut stream = Connection::open(&target);
    stream.send(b"POST /pusher/app/app-key/1/abc/xhr_streaming?protocol=7 HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(stream.begin().expect("an answer").status, 200);
    for (name, said) in SILENT {
        let mut silent = Vec::new();
        for _ in 0..12 {
            let mut connection = Connection::open(&target);
            let said =
                if said.starts_with('/') { upgrade_request(&target, said, &[]) } else { (*said).to_owned() };
            let _ = connection.offer(said.as_bytes());
            silent.push(connection);
        }
        let health = crate::eventually(name, || {
            let health = Connection::open(&target).exchange(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
            // All of them may have come at the same moment, and nobody knows yet that they are silent.
            health.filter(|answer| answer.status != 503)
        });
        assert_eq!(health.status, 200, "{name}: {health}");
        crate::eventually(name, || {
            // One that another worker was to end may have been busy at that moment: then the next newcomer has one end.
            let _ = Connection::open(&target).exchange(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
            (silent.iter().filter(|one| is_open(one)).count() <= 5).then_some(())
        });
        target.publish("news", "greet", name);
        let _ = socket.expect_on("news", "greet");
        target.connect().close();
    }
    let piece = stream.piece(patience());
    assert!(matches!(piece, Piece::Chunk(_)), "the stream goes on: {piece:?}");
}

/// Whether the broker has not ended this connection. What it has said is passed over.
fn is_open(connection: &Connection) -> bool {
    let mut stream = connection.handle();
    stream.set_nonblocking(true).expect("a socket that does not wait");
    loop {
        match stream.read(&mut [0; 4096]) {
            Ok(read) if read > 0 => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
            _ => return false,
        }
    }
}

/// A plain request with `Connection: Upgrade`, as nginx sends it where the header is hard-coded, hears that the
/// connection ends if it does.
///
/// Proves: 210.
#[test]
fn the_end_of_a_connection_is_announced() {
    let target = Target::main();
    for path in ["/health", "/nowhere", "/pusher/info", "/app/app-key"] {
        let mut connection = Connection::open(&target);
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n\r\n");
        connection.send(request.as_bytes());
        let answer = connection.answer();
        let told = answer.header("connection").unwrap_or_default().to_ascii_lowercase();
        assert!(told.contains("close"), "{path}: {answer}");
        connection.expect_end();
    }
}

/// To HTTP/1.0 an answer without a length is not chunked, and the end of the connection is its end.
///
/// Proves: bad input.
#[test]
fn http_1_0_has_no_chunks() {
    let Some(target) =
        Target::own(&MAIN_APP.replace("client_events = true", "client_events = true\nhttp_streams = true"))
    else {
        return;
    };
    let streams = ["GET /apps/{app}/channels/room/sse", "POST /pusher/1/session/xhr_streaming"];
    for request in streams {
        let request = request.replace("{app}", &target.credentials.app_id);
        let mut connection = Connection::open(&target);
        connection.send(
            format!("{request} HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n").as_bytes(),
        );
        let head = connection.begin().expect("an answer");
        assert_eq!(head.status, 200, "{head}");
        assert_eq!(head.header("transfer-encoding"), None, "{head}");
        let connection = head.header("connection").unwrap_or_default();
        assert!(!connection.contains("keep-alive"), "{head}");
    }
}

/// A handshake of another version is told which one is spoken here.
///
/// Proves: bad input.
#[test]
fn another_websocket_version_is_told_ours() {
    let target = Target::main();
    for path in ["/app/app-key", "/pusher/websocket", "/pusher/1/abc/websocket", "/nowhere"] {
        let answer = old_handshake(&target, path);
        assert_eq!(answer.status, 426, "{path}: {answer}");
        assert_eq!(answer.header("sec-websocket-version"), Some("13"), "{path}: {answer}");
    }
}

/// Whoever is told to upgrade is told what to, by `Upgrade` and by the option of `Connection` that goes with it (RFC 9110, 7.8
/// and 15.5.22), on both ports, and hears it if the connection ends.
///
/// Proves: bad input.
#[test]
fn who_is_to_upgrade_is_told_what_to() {
    let Some(target) = Target::own(&format!("{CONFIG}{MAIN_APP}")) else { return };
    let pipe = pipe_port(&target);
    let plain = |target: &Target, path: &str| {
        let mut connection = Connection::open(target);
        connection.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
        connection.answer()
    };
    let answers = [
        ("a page of the key", plain(&target, "/app/app-key")),
        ("the pipe's port", plain(&pipe, "/app/1001")),
        ("an old handshake", old_handshake(&target, "/app/app-key")),
        ("an old handshake at the pipe's port", old_handshake(&pipe, "/app/1001")),
    ];
    for (name, answer) in answers {
        assert_eq!(answer.status, 426, "{name}: {answer}");
        assert_eq!(answer.header("upgrade"), Some("websocket"), "{name}: {answer}");
        let options = answer.header("connection").unwrap_or_default().to_ascii_lowercase();
        assert!(options.split(',').any(|option| option.trim() == "upgrade"), "{name}: {answer}");
    }
}

/// The answer to a handshake of a version of WebSockets that nobody speaks any more. The connection ends, as it says.
fn old_handshake(target: &Target, path: &str) -> Response {
    let mut connection = Connection::open(target);
    let handshake = format!(
        "GET {path}?protocol=7 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 12\r\n\r\n"
    );
    connection.send(handshake.as_bytes());
    let answer = connection.answer();
    let options = answer.header("connection").unwrap_or_default().to_ascii_lowercase();
    assert!(options.contains("close"), "{answer}");
    connection.expect_end();
    answer
}

/// A slash that a proxy has doubled does no harm.
///
/// Proves: 210.
#[test]
fn a_doubled_slash_finds_its_way() {
    let target = Target::main();
    for path in ["//health", "///health", "//pusher/info"] {
        let mut connection = Connection::open(&target);
        connection.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
        let answer = connection.answer();
        assert_eq!(answer.status, 200, "{path}: {answer}");
    }
    let mut connection = Connection::open(&target);
    connection.send(
        b"GET //app/app-key?protocol=7 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
          Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    );
    let answer = connection.begin().expect("an answer");
    assert_eq!(answer.status, 101, "{answer}");
}
