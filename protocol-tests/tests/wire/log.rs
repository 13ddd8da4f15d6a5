//! The log: nobody waits for its reader, and nobody else can write in it or flood it. A broker's own concern.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use heliostat_protocol_tests::broker::{Broker, command};
use heliostat_protocol_tests::skipped;
use heliostat_protocol_tests::target::MAIN_APP;

use crate::eventually;

const DEADLINE: Duration = Duration::from_secs(20);

/// Sends a request of these bytes, and returns the first bytes of the answer.
fn ask(port: u16, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the broker listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a socket has time-outs");
    stream.write_all(request).expect("the broker reads");
    let mut answer = [0; 256];
    let read = stream.read(&mut answer).expect("the broker answers");
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

/// Knocks at this path, and returns the beginning of the answer.
fn knock(port: u16, path: &str, headers: &str) -> String {
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    ask(port, format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{upgrade}{headers}\r\n").as_bytes())
}

/// A broker that tells much, whose standard error is a pipe that nobody reads, and its port.
fn unread_broker() -> (Child, mpsc::Receiver<()>, u16) {
    let mut command = command();
    command.args(["--port", "0", "--log-level", "trace"]).stdin(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the broker starts");
    let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("the broker says where it listens");
    let port = line.trim().rsplit(':').next().and_then(|port| port.parse().ok());
    let (ended, end) = mpsc::channel();
    thread::spawn(move || {
        let mut rest = Vec::new();
        let _ = stdout.read_to_end(&mut rest);
        let _ = ended.send(());
    });
    (child, end, port.expect("the port is in the first line"))
}

/// Whoever keeps the pipe of the log without reading it, or closes it, holds nothing up: neither clients nor the end.
#[test]
fn nobody_waits_for_the_reader_of_the_log() {
    if skipped("it is about the broker's own log") {
        return;
    }
    for closed in [false, true] {
        let (mut child, end, port) = unread_broker();
        let unread = child.stderr.take();
        let _unread = unread.filter(|_| !closed);
        let client = "x".repeat(150);
        for _ in 0..500 {
            let answer = knock(port, &format!("/app/app-key?protocol=7&client={client}"), "");
            assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
            let answer = ask(port, b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n");
            assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
        }
        let kill = std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
        assert!(kill.is_ok_and(|status| status.success()));
        let ended = end.recv_timeout(DEADLINE).is_ok();
        if !ended {
            let _ = child.kill();
        }
        let status = child.wait().expect("the broker's status");
        assert!(ended && status.code() == Some(0), "closed: {closed}, {status}");
    }
}

/// Nothing that a stranger sends can end a line, steer the terminal of who reads it, or make it long.
#[test]
fn strangers_cannot_write_in_the_log() {
    if skipped("it is about the broker's own log") {
        return;
    }
    const FORGED: &str = "x%0A2026-01-01T00:00:00Z%20ERROR%20forged%1B[31m%E2%80%AE%E2%80%A8%C2%9B";
    let long = "y".repeat(20_000);
    for format in ["human", "json"] {
        let broker = Broker::start_with(None, &["--log-format", format, "--log-level", "trace"], &[]);
        let port = broker.port();
        let get = |path: &str| {
            ask(port, format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
        };
        knock(port, &format!("/app/{FORGED}"), "");
        knock(port, &format!("/{FORGED}/{long}"), "");
        knock(port, &format!("/app/none?client={FORGED}&version={FORGED}&channel={FORGED}"), "");
        knock(port, &format!("/app/app-key?protocol={FORGED}{long}"), "Origin: x\u{202e}\t\u{9b}31m\r\n");
        knock(port, &format!("/app/1001?protocol=1&pipe=1&key={FORGED}&auth_key={FORGED}"), "");
        for path in [
            format!("/{FORGED}"),
            format!("/{long}"),
            format!("/apps/{FORGED}/channels"),
            format!("/apps/1001/channels?auth_key={FORGED}"),
            format!("/apps/1001/channels/{FORGED}/sse"),
            format!("/pusher/1/1/{FORGED}"),
            format!("/app/{FORGED}/1/1/xhr_send"),
        ] {
            get(&path);
        }
        get("/last");
        let log = eventually("all is logged", || {
            let log = broker.log();
            log.contains("/last").then_some(log)
        });
        assert!(log.contains("forged"), "{log}");
        assert!(log.contains("more]"), "{log}");
        for line in log.lines() {
            assert!(!line.trim_start().starts_with("2026-01-01T00:00:00Z"), "{line}");
            let hidden = ['\u{202e}', '\u{2028}'];
            assert!(!line.contains(|c: char| c.is_control() || hidden.contains(&c)), "{line:?}");
            assert!(line.len() < 4000, "{} bytes: {line}", line.len());
        }
    }
}

/// Refusals are told up to a rate, with the number of those that were left out.
#[test]
fn strangers_cannot_flood_the_log() {
    if skipped("it is about the broker's own log") {
        return;
    }
    let broker = Broker::start_with(None, &[], &[]);
    for _ in 0..250 {
        knock(broker.port(), "/app/nobody", "Origin: https://example.com\r\n");
    }
    let log = eventually("what was left out is told", || {
        let log = broker.log();
        log.contains("left_out=").then_some(log)
    });
    assert!(log.matches("connection refused").count() < 250, "{log}");
    assert!(log.contains("peer=127.0.0.1:"), "{log}");
    assert!(log.contains("origin=https://example.com"), "{log}");
}

/// Who asks why no events arrive is told of each that was accepted, and how many it went to.
#[test]
fn accepted_events_are_told_at_debug() {
    if skipped("it is about the broker's own log") {
        return;
    }
    let broker = Broker::start_with(None, &["--log-level", "debug"], &[]);
    let mut stream = TcpStream::connect(("127.0.0.1", broker.port())).expect("the broker listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a socket has time-outs");
    let request = "GET /app/app-key?protocol=7 HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
                   Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("the broker reads");
    // Masked text frames, whose masks are nought. Development mode's rule takes the second.
    for text in [
        r#"{"event":"pusher:subscribe","data":{"channel":"stream"}}"#,
        r#"{"event":"frame","channel":"stream","data":{"dataUrl":"x"}}"#,
    ] {
        let mut frame = vec![0x81, 0x80 | u8::try_from(text.len()).expect("it is short"), 0, 0, 0, 0];
        frame.extend_from_slice(text.as_bytes());
        stream.write_all(&frame).expect("the broker reads");
    }
    let log = eventually("the event is told", || {
        let log = broker.log();
        log.contains("event accepted").then_some(log)
    });
    let line = log.lines().find(|line| line.contains("event accepted")).expect("it was there");
    for part in ["app=1001", "channel=stream", "event=frame", "source=", "bytes=", "subscriptions=0"] {
        assert!(line.contains(part), "{line}");
    }
}

/// Whoever speaks TLS to a plain port, the usual one or the pipe's own, is told as what it is, with the address: the first
/// aloud, and the others at debug for as long as that was.
#[test]
fn tls_to_a_plain_port_is_told_as_what_it_is() {
    if skipped("it is about the broker's own log") {
        return;
    }
    let config = format!("[pipe]\nown_port = true\nport = 0\n{MAIN_APP}");
    let broker = Broker::start_with(Some(&config), &["--log-level", "debug"], &[]);
    let line = broker.await_line("pipe");
    let pipe = line.split_whitespace().find_map(|word| word.rsplit_once("127.0.0.1:")?.1.parse().ok());
    let hello = [&[0x16, 3, 1, 0x02, 0, 1, 0, 1, 0xfc, 3, 3][..], &[7; 506]].concat();
    let mut peers = Vec::new();
    for port in [broker.port(), pipe.expect("the pipe's port")].repeat(3) {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the broker listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a socket has time-outs");
        stream.write_all(&hello).expect("the broker reads");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        peers.push(format!("peer={}", stream.local_addr().expect("its address")));
        let told = eventually("it is told", || {
            let log = broker.log();
            let of_it = |line: &&str| line.contains("TLS") && line.ends_with(peers.last().expect("it"));
            log.lines().find(of_it).map(str::to_owned)
        });
        match peers.len() {
            1 => assert!(told.contains(" WARN somebody speaks TLS to a plain port"), "{told}"),
            _ => assert!(told.contains("DEBUG TLS on a plain port"), "{told}"),
        }
    }
    let log = broker.log();
    assert_eq!(log.matches("TLS").count() - log.matches("no TLS").count(), peers.len(), "{log}");
    assert_eq!(log.matches(" WARN somebody speaks TLS").count(), 1, "{log}");
    // What is no TLS is not taken for it.
    let answer = ask(broker.port(), b"\x16\x02 / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert_eq!(broker.log().matches("plain port").count(), peers.len(), "{}", broker.log());
}

/// What no HTTP server can read is refused and alarms nobody, whoever sends how much of it.
#[test]
fn what_cannot_be_read_alarms_nobody() {
    if skipped("it is about the broker's own log") {
        return;
    }
    for (level, is_told) in [("info", false), ("debug", true)] {
        let broker = Broker::start_with(None, &["--log-level", level], &[]);
        for request in [
            &b"\x00\x01\x02\x03\r\n\r\n"[..],
            b"GET\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET / HTTP/1.1\r\nno header\r\n\r\n",
            b"GET / HTTP/1.1\r\nx: \x00\r\n\r\n",
            b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
            b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
            b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        ] {
            let answer = ask(broker.port(), request);
            assert!(answer.starts_with("HTTP/1.1 4"), "{answer} to {:?}", String::from_utf8_lossy(request));
        }
        // It is logged in order, and written by a thread.
        let _ = ask(broker.port(), b"GET /the-last HTTP/1.1\r\nhost: localhost\r\n\r\n");
        eventually("the last is told", || broker.log().contains("/the-last").then_some(()));
        let log = broker.log();
        assert!(!log.contains(" WARN "), "{log}");
        assert_eq!(log.contains(" ERROR "), is_told, "{log}");
    }
}
