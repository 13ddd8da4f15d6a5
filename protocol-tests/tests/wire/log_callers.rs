//! Whom the log names: of every connection, and of everything that one is refused, the address, the web page and the client
//! library, whichever way it came. A broker's own concern.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Broker, Pipe, Target, Wire, patience, unique};
use serde_json::json;

use crate::admission::{IN, Try, WAYS, Way, masked};
use crate::eventually;

const STREAMS: &str = "http_streams = true\n";

/// The lines of the log that hold all of these.
fn lines(broker: &Broker, parts: &[&str]) -> Vec<String> {
    let log = broker.log();
    log.lines().filter(|line| parts.iter().all(|part| line.contains(part))).map(str::to_owned).collect()
}

/// Waits for a line that holds all of these.
#[track_caller]
fn line(broker: &Broker, parts: &[&str]) -> String {
    eventually(&format!("a line with {parts:?}"), || lines(broker, parts).pop())
}

fn is_told_once(broker: &Broker, parts: &[&str]) -> String {
    let found = line(broker, parts);
    assert_eq!(lines(broker, parts).len(), 1, "{parts:?}: {}", broker.log());
    found
}

/// A client of today that calls itself so, and its page.
fn introduction(n: usize) -> (String, String) {
    (format!("protocol=7&client=lib-{n}&version=9.{n}.0"), format!("Origin: https://page-{n}.example"))
}

/// Every connection is told with who it is, and so is what it is refused while it lasts, and its end.
#[test]
fn whoever_is_refused_is_named_whichever_way_it_came() {
    let Some(target) = Target::own_with(
        Some(&MAIN_APP.replace("client_events = true", &format!("client_events = true\n{STREAMS}"))),
        &["--log-level", "debug"],
        &[],
    ) else {
        return;
    };
    let broker = target.broker().unwrap();
    for (n, way) in WAYS.into_iter().enumerate() {
        let (query, origin) = introduction(n);
        let page = format!("origin=https://page-{n}.example");
        let mut client = Try::new(&target, way);
        client.query = query;
        client.begin(&[&origin], &[&origin], &IN);
        if matches!(way, Way::Stream(_)) {
            is_told_once(broker, &["subscribed over HTTP", "channel=news", "peer=127.0.0.1:", &page]);
            drop(client);
            is_told_once(broker, &["HTTP stream ended", "channel=news", "peer=127.0.0.1:", &page]);
            continue;
        }
        let named = ["peer=127.0.0.1:", &page, &format!("client=lib-{n}"), &format!("version=9.{n}.0")];
        let told = |what: &'static str, more: &[&str]| {
            is_told_once(broker, &[&[what][..], &named, more].concat());
        };
        told(" connected ", &[]);
        let channel = unique("private-");
        client.say(
            &json!({ "event": "pusher:subscribe", "data": { "channel": channel, "auth": "x:y" } })
                .to_string(),
            &[&origin],
        );
        told(" refused ", &[&format!("channel={channel}"), "socket_id="]);
        client.say(&json!({ "event": "client-x", "channel": "news", "data": 1 }).to_string(), &[&origin]);
        told(" refused ", &["Client event rejected"]);
        client.say(
            &json!({ "event": "pusher:signin", "data": { "auth": "x", "user_data": "{}" } }).to_string(),
            &[&origin],
        );
        told(" refused ", &["auth must have the format"]);
    }
}

/// Who is turned away in the middle of a conversation is told like whoever is not let in, with the code and the reason.
#[test]
fn whoever_is_turned_away_later_is_named() {
    let limits = "limits = { client_event_payload_bytes = 100 }\nauthorized_connections = true\n\
                  authorization_timeout_seconds = 0.5\n";
    let Some(target) = Target::own(&format!("{MAIN_APP}{limits}")) else { return };
    let broker = target.broker().unwrap();
    let sent: [(&str, Vec<u8>); 4] = [
        ("code=1009", heliostat_protocol_tests::frame::header(0x81, 100 << 20, true)),
        ("code=1007", heliostat_protocol_tests::frame::masked(0x81, b"\xff")),
        ("code=1002", heliostat_protocol_tests::frame::unmasked(0x81, b"{}")),
        ("code=4009", Vec::new()),
    ];
    for (n, (code, bytes)) in sent.iter().enumerate() {
        let (query, origin) = introduction(n);
        let mut wire = Wire::upgrade(&target, &target.socket_path(&query), &[&origin]);
        wire.send_bytes(bytes);
        let page = format!("origin=https://page-{n}.example");
        let library = [format!("client=lib-{n}"), format!("version=9.{n}.0")];
        is_told_once(
            broker,
            &["refused and closed", code, "socket_id=", "peer=127.0.0.1:", &page, &library[0], &library[1]],
        );
    }
}

/// The log names the request that spoilt a session, not the one that began it.
#[test]
fn a_request_that_spoils_a_session_is_named() {
    let Some(target) = Target::own(&format!("{MAIN_APP}allowed_origins = [\"https://good.example\"]\n"))
    else {
        return;
    };
    let way = Way::SockJs { receives: "xhr_streaming", method: "POST", sends: "xhr_send" };
    let mut session = Try::new(&target, way);
    session.begin(&[], &[], &IN);
    session.say(r#"{"event":"pusher:ping"}"#, &["Origin: https://evil.example"]);
    let broker = target.broker().unwrap();
    is_told_once(
        broker,
        &["refused and closed", "code=4009", "origin=https://evil.example", "peer=127.0.0.1:"],
    );
}

/// What is refused before there is a connection names who asked, at every door: the HTTP API, the fallbacks, sessions and
/// SockJS sockets whose time is over, too many sessions, streams, and pipes.
#[test]
fn whoever_is_not_let_in_is_named() {
    let config = "[fallback]\nintroduction_timeout_seconds = 0.3\nmax_sessions = 1\n";
    let Some(target) = Target::own(&format!("{config}{MAIN_APP}")) else { return };
    let broker = target.broker().unwrap();
    let origin = "Origin: https://page.example";
    let post = |path: &str| {
        let request = heliostat_protocol_tests::transport::post(&target, path, "", &[origin]);
        let mut stream = TcpStream::connect((target.host.as_str(), target.port)).unwrap();
        stream.set_read_timeout(Some(patience())).unwrap();
        stream.write_all(&request).unwrap();
        let read = stream.read(&mut [0; 512]).unwrap();
        assert!(read > 0, "an answer to {path}");
        stream
    };
    let named = ["peer=127.0.0.1:", "origin=https://page.example"];
    let told = |parts: &[&str]| is_told_once(broker, &[parts, &named].concat());
    post("/apps/1001/events");
    told(&["request refused", "path=/apps/1001/events"]);
    post("/pusher/000/nobody/xhr_send");
    told(&["request refused", "path=/pusher/000/nobody/xhr_send"]);
    let _waiting = post("/pusher/000/silent/xhr_streaming");
    post("/pusher/app/app-key/1/another/xhr_streaming?protocol=7&client=js&version=1.2.3");
    told(&["session refused", "code=4100", "client=js", "version=1.2.3"]);
    told(&["session refused", "code=4009", "silent"]);
    let _silent = Wire::upgrade(&target, "/pusher/websocket", &[origin]);
    told(&["SockJS connection refused", "code=4009"]);
    let _pipe = Wire::upgrade(&target, "/app/1001?auth_key=x&auth_signature=y", &[origin]);
    told(&["pipe refused", "code=4001"]);
    let _channel = Wire::upgrade(&target, "/app/nobody?client=js&version=8.4.0&channel=news", &[origin]);
    told(&["connection refused", "code=4001", "key=nobody", "client=js", "version=8.4.0", "channel=news"]);
    let pipe = Pipe::connect_as(&target, Some("1.0"));
    is_told_once(broker, &["pipe connected", "app=1001", "socket_id=", "peer=127.0.0.1:"]);
    drop(pipe);
    is_told_once(broker, &["pipe disconnected", "socket_id=", "peer=127.0.0.1:"]);
}

/// A client that says much of itself is remembered by as much as the log shows, at any time of its connection.
#[test]
fn nobody_is_named_at_length() {
    let Some(target) = Target::own_with(Some(MAIN_APP), &["--log-level", "debug"], &[]) else { return };
    let broker = target.broker().unwrap();
    let (long, page) = ("x".repeat(20_000), "y".repeat(20_000));
    let path = target.socket_path(&format!("protocol=7&client={long}&version={long}"));
    let mut wire = Wire::upgrade(&target, &path, &[&format!("Origin: https://{page}")]);
    wire.send_text(&json!({ "event": "client-x", "channel": "news", "data": 1 }).to_string());
    for what in [" connected ", " refused "] {
        let line = line(broker, &[what, "origin=https://yyy", "client=xxx", "version=xxx"]);
        assert!(line.len() < 1500, "{} bytes: {line}", line.len());
    }
}

/// What is told of clients that come by TLS is the same.
#[test]
fn clients_that_come_by_tls_are_named() {
    let pem = include_str!("certificate.pem");
    let file = std::env::temp_dir().join(format!("{}.pem", unique("protocol-tests-")));
    std::fs::write(&file, pem).unwrap();
    let tls = format!("[server]\ntls_certificate = {file:?}\ntls_key = {file:?}\n");
    let target = Target::own_with(Some(&format!("{tls}{MAIN_APP}")), &["--log-level", "debug"], &[]);
    let _ = std::fs::remove_file(&file);
    let Some(target) = target else { return };
    let (broker, (query, origin)) = (target.broker().unwrap(), introduction(1));
    let socket = TcpStream::connect((target.host.as_str(), target.port)).unwrap();
    socket.set_read_timeout(Some(patience().max(Duration::from_secs(5)))).unwrap();
    let peer = format!("peer={}", socket.local_addr().unwrap());
    let name = "localhost".try_into().unwrap();
    let session =
        rustls::ClientConnection::new(Arc::new(heliostat_protocol_tests::tls::trusting()), name).unwrap();
    let mut stream = rustls::StreamOwned::new(session, socket);
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{origin}\r\n\r\n",
        target.socket_path(&query)
    );
    stream.write_all(request.as_bytes()).unwrap();
    let wish = json!({ "event": "pusher:subscribe", "data": { "channel": "private-x", "auth": "x:y" } });
    stream.write_all(&masked(&wish.to_string())).unwrap();
    let named = [peer.as_str(), "origin=https://page-1.example", "client=lib-1", "version=9.1.0"];
    for what in [" connected ", " refused "] {
        is_told_once(broker, &[&[what][..], &named].concat());
    }
    drop(stream);
    is_told_once(broker, &[&["disconnected"][..], &named].concat());
}
