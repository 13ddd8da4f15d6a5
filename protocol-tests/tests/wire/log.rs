//! The log: nobody waits for its reader, and nobody else can write in it or flood it. A broker's own concern.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use heliostat_protocol_tests::broker::{Broker, command};

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
