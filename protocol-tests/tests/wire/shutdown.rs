//! The end of the broker: every client is told to come back, and the process goes in time.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};

use heliostat_protocol_tests::http::Connection;
use heliostat_protocol_tests::pipe::Pipe;
use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::wire::upgrade_request;
use heliostat_protocol_tests::{Closed, Incoming, Socket, Target, Wire, patience, unique};
use serde_json::json;

/// How long a broker with a grace period of one second may take to end.
const END_DEADLINE: Duration = Duration::from_secs(10);

/// What `server.shutdown_code` may say, and what clients are told then. Nobody takes over, so "auto" is 4100.
const CODES: [(&str, u16, &str); 3] = [
    ("\"auto\"", 4100, "The broker is stopping, come back soon"),
    ("4100", 4100, "The broker is stopping, come back soon"),
    ("4200", 4200, "Please reconnect immediately"),
];

/// Every socket is closed with the code of the configuration, whatever it was doing, and the process ends with success.
///
/// Proves: 24, 32, 53.
#[test]
fn every_socket_is_closed_with_the_configured_code() {
    for (setting, code, reason) in CODES {
        let Some(target) = brief(&format!("shutdown_code = {setting}")) else { return };
        let broker = target.broker().unwrap();
        let mut idle = target.connect();
        let mut member = target.connect_as("protocol=6");
        member.subscribe_presence(&unique("presence-"), "u1", &json!(null));
        let mut speaking = target.connect();
        speaking.send_frame(0x01, b"{\"event\":");
        let mut crowd: Vec<Socket> = (0..50).map(|_| target.connect()).collect();
        speaking.send_frame(0x89, b"");
        assert!(matches!(speaking.receive(), Incoming::Pong(_)));
        broker.terminate();
        for socket in [&mut idle, &mut member, &mut speaking].into_iter().chain(&mut crowd) {
            assert_eq!(socket.expect_close_with(code), reason);
            socket.expect_end();
        }
        let status = broker.await_exit(END_DEADLINE);
        assert_eq!(status.code(), Some(0), "{}", broker.log());
        assert!(TcpStream::connect((target.host.as_str(), target.port)).is_err(), "somebody still listens");
    }
}

/// Without a word about it, the code is 4100: nobody has taken over.
///
/// Proves: 53.
#[test]
fn where_nobody_takes_over_clients_wait_a_second() {
    let Some(target) = brief("") else { return };
    let mut socket = target.connect();
    target.broker().unwrap().terminate();
    socket.expect_close_with(4100);
}

/// Clients that do not read close codes are told in an error first.
///
/// Proves: 31, 53.
#[test]
fn old_clients_learn_the_code_from_an_error() {
    for (setting, code, reason) in CODES {
        let Some(target) = brief(&format!("shutdown_code = {setting}")) else { return };
        let mut sockets: Vec<Socket> = (1..=5).map(|p| target.connect_as(&format!("protocol={p}"))).collect();
        target.broker().unwrap().terminate();
        for socket in &mut sockets {
            socket.expect_error(Some(code), reason);
            socket.expect_close_with(code);
        }
    }
}

/// While one client keeps the broker from ending, connections are refused on each of its ports, and another process can
/// take them.
///
/// Proves: 53.
#[test]
fn a_stopping_broker_gives_its_ports_back() {
    let Some(target) = stubborn("") else { return };
    let pipes = pipe_port(&target);
    let (deaf, mut socket) = (Deaf::connect(&target), target.connect());
    target.broker().unwrap().terminate();
    // Whoever is told to come back finds the ports closed already.
    socket.expect_close_with(4100);
    for port in [target.port, pipes.port] {
        let address = (target.host.as_str(), port);
        let refused = TcpStream::connect(address).expect_err("somebody still listens");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        let successor = TcpListener::bind(address).expect("the address is not given back");
        let _came = TcpStream::connect(address).expect("the successor is not reached");
        successor.accept().expect("nobody came to the successor");
    }
    assert!(target.broker().unwrap().open_sockets().is_none_or(|open| open > 0), "the broker has ended");
    drop(deaf);
    let status = target.broker().unwrap().await_exit(END_DEADLINE);
    assert_eq!(status.code(), Some(0), "{}", target.broker().unwrap().log());
    assert!(!target.broker().unwrap().log().contains("accepting"), "{}", target.broker().unwrap().log());
}

/// Once the broker stops, whatever comes on a connection that was open before is refused, and the connection ends with
/// the answer: every endpoint, on every port, over every transport.
///
/// Proves: 53.
#[test]
fn once_it_stops_every_request_is_refused_and_its_connection_ends() {
    let Some(target) = stubborn("") else { return };
    let pipes = pipe_port(&target);
    let session = crate::fallback_native::Session::new(&target);
    let mut receiving = session.stream();
    let asked = |connection: &mut Connection, bytes: &[u8]| {
        connection.send(bytes);
        connection.answer()
    };
    let mut open: Vec<(String, Vec<u8>, Connection)> = requests(&target, &session.base)
        .into_iter()
        .map(|(name, request)| {
            let mut connection = Connection::open(&target);
            assert_eq!(asked(&mut connection, &plain(&target, "GET", "/health")).status, 200);
            (name, request, connection)
        })
        .collect();
    let mut on_pipes = Connection::open(&pipes);
    let nothing_here = plain(&pipes, "GET", "/");
    assert_eq!(asked(&mut on_pipes, &nothing_here).status, 426);
    open.push(("the pipe's port".to_owned(), nothing_here, on_pipes));
    let mut handshake = Wire::open(&target);

    let (deaf, mut socket) = (Deaf::connect(&target), target.connect());
    target.broker().unwrap().terminate();
    socket.expect_close_with(4100);
    for (name, request, mut connection) in open {
        let answer = asked(&mut connection, &request);
        assert_eq!(answer.status, 503, "{name}: {}", answer.text());
        let is_draining = answer.text() == "draining: the broker is stopping\n";
        assert_eq!(is_draining, name == "GET /ready", "{name}: {}", answer.text());
        assert_eq!(answer.header("connection"), Some("close"), "{name}");
        assert_eq!(answer.header("retry-after"), Some("1"), "{name}");
        connection.expect_end();
    }
    handshake.send_bytes(upgrade_request(&target, &target.socket_path("protocol=7"), &[]).as_bytes());
    assert!(handshake.read_head().starts_with("HTTP/1.1 101 "));
    assert!(matches!(handshake.receive(), Incoming::Close(Closed { code: 4100, .. })));
    // A session is told, and with it its response ends.
    assert!(receiving.rest().ends_with("c[4100,\"The broker is stopping, come back soon\"]\n"));
    drop(deaf);
    assert!(target.broker().unwrap().await_exit(END_DEADLINE).success());
}

/// Whatever is answered with success has been handed to everyone who was subscribed, also while the broker is being
/// stopped: by every endpoint that publishes, and by the pipe.
///
/// Proves: 53.
#[test]
fn what_is_accepted_is_heard() {
    let Some(target) = stubborn("workers = 2") else { return };
    let channels = [unique("news-"), unique("cache-news-")];
    let mut subscribers: Vec<Socket> = (0..6).map(|_| target.connect()).collect();
    for socket in &mut subscribers {
        channels.iter().for_each(|channel| socket.subscribe(channel));
    }
    let deaf = Deaf::connect(&target);
    let accepted = Mutex::new(HashSet::new());
    let (well, under_way) = mpsc::channel();
    std::thread::scope(|scope| {
        let mut publishers = Vec::new();
        for channel in &channels {
            for publish in [by_event, by_batch, by_body, by_pipe] {
                let (target, accepted, well) = (&target, &accepted, well.clone());
                publishers.push(scope.spawn(move || publish(target, channel, &well, accepted)));
            }
        }
        let heard: Vec<_> =
            subscribers.iter_mut().map(|socket| scope.spawn(move || heard_until_close(socket))).collect();
        publishers.iter().for_each(|_| under_way.recv_timeout(patience()).expect("a publisher is stuck"));
        target.broker().unwrap().terminate();
        let heard: Vec<_> = heard.into_iter().map(|reader| reader.join().unwrap()).collect();
        // While the deaf client is there, the publishers are refused; at the end of the broker they would notice anyway.
        let refused = publishers.into_iter().all(|publisher| publisher.join().unwrap());
        drop(deaf);
        assert!(target.broker().unwrap().await_exit(END_DEADLINE).success());
        assert!(refused, "a publisher had its events accepted long after everybody was closed");
        let accepted = accepted.lock().unwrap();
        assert!(accepted.len() >= 2 * 4 * BEFORE_THE_END);
        for (n, heard) in heard.iter().enumerate() {
            let missed: Vec<_> = accepted.iter().filter(|event| !heard.contains(*event)).collect();
            assert!(missed.is_empty(), "subscriber {n} of 6 missed {} of {}", missed.len(), accepted.len());
        }
    });
}

/// A client that answers nothing, or reads nothing, cannot hold the broker up longer than its grace period.
///
/// Proves: 53.
#[test]
fn nobody_can_hold_the_broker_up() {
    let Some(target) = brief("") else { return };
    let broker = target.broker().unwrap();
    let channel = unique("room-");
    let mut deaf = target.connect();
    deaf.subscribe(&channel);
    for _ in 0..100 {
        target.publish(&channel, "much", &"p".repeat(10_000));
    }
    // A request that is not finished, and a connection that has said nothing.
    let mut half = Wire::open(&target);
    half.send_bytes(b"POST /apps/1001/events HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{");
    let _mute = Wire::open(&target);
    let asked = Instant::now();
    broker.terminate();
    let status = broker.await_exit(END_DEADLINE);
    assert_eq!(status.code(), Some(0), "{}", broker.log());
    assert!(asked.elapsed() < Duration::from_secs(6), "it took {:?}", asked.elapsed());
    drop((deaf, half));
}

/// Nothing follows the Close; what comes before it can only be that others went first.
///
/// Proves: 53.
#[test]
fn the_last_word_is_the_close() {
    let Some(target) = brief("") else { return };
    let channel = unique("presence-");
    let mut members: Vec<Socket> = (0..20).map(|_| target.connect()).collect();
    for (n, socket) in members.iter_mut().enumerate() {
        socket.subscribe_presence(&channel, &format!("u{n}"), &json!(null));
    }
    crate::settle(&target, &channel, &mut members);
    target.broker().unwrap().terminate();
    for socket in &mut members {
        let closed = loop {
            match socket.receive() {
                Incoming::Message(message) => {
                    assert_eq!(message.event, "pusher_internal:member_removed", "{}", message.whole);
                }
                Incoming::Close(closed) => break closed,
                other => socket.fail(&format!("expected a Close, got {other:?}")),
            }
        };
        assert_eq!(closed.code, 4100);
        socket.expect_end();
    }
}

/// Events that each publisher has sent before the broker is stopped.
const BEFORE_THE_END: usize = 20;

/// Publishes one event after another by `send`, which says whether it was accepted, until one is not; notes the names of
/// those that were, and tells when it is `well` under way. `false` if it gives up because everything is accepted for
/// longer than anything should take.
fn publish_on(
    kind: &str,
    channel: &str,
    well: &Sender<()>,
    accepted: &Mutex<HashSet<String>>,
    mut send: impl FnMut(&str) -> bool,
) -> bool {
    let begun = Instant::now();
    for n in 1.. {
        let event = format!("{kind}-{channel}-{n}");
        if begun.elapsed() > 2 * patience() {
            return false;
        }
        if !send(&event) {
            break;
        }
        accepted.lock().unwrap().insert(event);
        if n == BEFORE_THE_END {
            well.send(()).unwrap();
        }
    }
    true
}

fn by_event(target: &Target, channel: &str, well: &Sender<()>, accepted: &Mutex<HashSet<String>>) -> bool {
    let mut connection = Connection::open(target);
    publish_on("event", channel, well, accepted, |event| {
        let body = json!({ "name": event, "channel": channel, "data": "" });
        is_accepted(&mut connection, &target.post("/events", &body).bytes())
    })
}

fn by_batch(target: &Target, channel: &str, well: &Sender<()>, accepted: &Mutex<HashSet<String>>) -> bool {
    let mut connection = Connection::open(target);
    publish_on("batch", channel, well, accepted, |event| {
        let batch = json!({ "batch": [{ "name": event, "channel": channel, "data": "" }] });
        is_accepted(&mut connection, &target.post("/batch_events", &batch).bytes())
    })
}

fn by_body(target: &Target, channel: &str, well: &Sender<()>, accepted: &Mutex<HashSet<String>>) -> bool {
    let mut connection = Connection::open(target);
    publish_on("body", channel, well, accepted, |event| {
        let call = target.post_bytes(&format!("/channels/{channel}/events"), "text").query("name", event);
        is_accepted(&mut connection, &call.bytes())
    })
}

fn by_pipe(target: &Target, channel: &str, well: &Sender<()>, accepted: &Mutex<HashSet<String>>) -> bool {
    let mut pipe = Pipe::connect(target);
    publish_on("pipe", channel, well, accepted, |event| {
        let params = json!({ "channel": channel, "event": event, "data": "" });
        pipe.is_done("send_to_channel", &params)
    })
}

/// Whether the request is answered with success; the end of the connection is a refusal, too.
fn is_accepted(connection: &mut Connection, request: &[u8]) -> bool {
    let answer = connection.offer(request).then(|| connection.answer_or_close()).flatten();
    answer.is_some_and(|answer| matches!(answer.status, 200 | 202))
}

/// The names of all events that arrive before the close.
fn heard_until_close(socket: &mut Socket) -> HashSet<String> {
    let mut heard = HashSet::new();
    loop {
        match socket.receive() {
            Incoming::Message(message) => {
                heard.insert(message.event);
            }
            Incoming::Close(closed) => {
                assert_eq!(closed.code, 4100);
                return heard;
            }
            other => socket.fail(&format!("expected events and a Close, got {other:?}")),
        }
    }
}

/// One request for each thing that can be asked for over HTTP, with its name; `session` is where one is being received.
fn requests(target: &Target, session: &str) -> Vec<(String, Vec<u8>)> {
    let event = json!({ "name": "greet", "channel": "news", "data": "" });
    let calls = [
        target.post("/events", &event),
        target.post("/events", &event).chunked(7),
        target.post("/batch_events", &json!({ "batch": [event] })),
        target.post_bytes("/channels/news/events", "text").query("name", "greet"),
        target.get("/channels"),
        target.get("/channels/news"),
        target.get("/channels/presence-news/users"),
        target.get("/channels/news/sse"),
        target.get("/channels/news/mjpeg"),
        target.post_bytes("/users/ann/terminate_connections", ""),
    ];
    let named = calls.iter().map(|call| {
        let bytes = call.bytes();
        (String::from_utf8_lossy(&bytes).lines().next().unwrap_or_default().to_owned(), bytes)
    });
    let send = format!("{session}/xhr_send");
    let paths = [
        ("GET", "/health"),
        ("GET", "/ready"),
        ("GET", "/"),
        ("GET", "/no-such-path"),
        ("GET", "/app/app-key"),
        ("GET", "/pusher"),
        ("GET", "/pusher/info"),
        ("GET", "/pusher/iframe.html"),
        ("POST", send.as_str()),
    ];
    let plain = paths.iter().map(|(method, path)| (format!("{method} {path}"), plain(target, method, path)));
    named.chain(plain).collect()
}

/// A request without a signature.
fn plain(target: &Target, method: &str, path: &str) -> Vec<u8> {
    let length = if method == "POST" { "Content-Length: 2\r\n" } else { "" };
    let body = if method == "POST" { "[]" } else { "" };
    format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n{length}\r\n{body}", target.host).into_bytes()
}

/// A broker that ends soon after it was asked to.
fn brief(server: &str) -> Option<Target> {
    Target::own(&format!("[server]\nshutdown_grace_seconds = 1\n{server}\n{MAIN_APP}"))
}

/// A broker that gives its connections a long time to end, with every way in.
fn stubborn(server: &str) -> Option<Target> {
    let app = MAIN_APP.replace("client_events = true", "client_events = true\nhttp_streams = true");
    let pipe = "[pipe]\nown_port = true\nport = 0";
    Target::own(&format!("[server]\nshutdown_grace_seconds = 60\n{server}\n{pipe}\n{app}"))
}

/// The port of the broker's own for the pipe.
fn pipe_port(target: &Target) -> Target {
    let line = target.broker().unwrap().await_line("serves the pipe on ws://127.0.0.1:");
    let mut pipes = target.clone();
    pipes.port = line.rsplit_once(':').unwrap().1.parse().unwrap();
    pipes
}

/// A client that never answers a close, and so holds up the end of the broker.
struct Deaf(Wire);

impl Deaf {
    fn connect(target: &Target) -> Deaf {
        let mut wire = Wire::upgrade(target, &target.socket_path("protocol=7"), &[]);
        assert!(matches!(wire.receive(), Incoming::Message(_)));
        Deaf(wire)
    }
}

impl Drop for Deaf {
    fn drop(&mut self) {
        self.0.vanish();
    }
}
