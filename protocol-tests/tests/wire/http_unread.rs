//! Clients that take no answers: they cost no more than what they have asked for, and they end.

use std::io::{ErrorKind, Write};

use heliostat_protocol_tests::http::Connection;
use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Target, patience};

const CONFIG: &str = "[server]\nhttp_request_timeout_seconds = 0.5\nkeep_alive_seconds = 1\n\
                      [connection]\nping_after_seconds = 0.5\npong_timeout_seconds = 0.5\n";

/// Whoever sends requests without end and takes none of the answers is read no further than there is room for answers, and
/// loses the connection.
///
/// Proves: bad input.
#[test]
fn requests_whose_answers_nobody_takes_end() {
    let Some(target) = Target::own(&format!("{CONFIG}{MAIN_APP}")) else { return };
    let heads = [
        "GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
        "OPTIONS /apps/1/events HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /app/app-key HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /pusher/info HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /pusher/iframe.html HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /apps/1/events HTTP/1.1\r\nHost: x\r\ncontent-length: 0\r\n\r\n",
        "POST /apps/1/events HTTP/1.1\r\nHost: x\r\ncontent-length: 1\r\n\r\nx",
    ];
    let signed = [target.call("GET", "/channels").head(), target.call("GET", "/channels/room").head()];
    let requests = heads.iter().map(|head| head.as_bytes().to_vec()).chain(signed);
    std::thread::scope(|scope| {
        for request in requests {
            let target = &target;
            scope.spawn(move || assert_ends(&Connection::open(target), &request));
        }
    });
}

/// A stream that nobody reads ends, although there is always more of it.
///
/// Proves: bad input.
#[test]
fn a_stream_that_nobody_takes_ends() {
    let config = format!("{CONFIG}outbox_bytes = 65536\n{MAIN_APP}http_streams = true\n");
    let Some(target) = Target::own(&config) else { return };
    let mut stream = Connection::open(&target);
    let path = format!("/apps/{}/channels/room/sse", target.credentials.app_id);
    stream.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
    assert_eq!(stream.begin().expect("an answer").status, 200);
    let event = "x".repeat(9000);
    std::thread::scope(|scope| {
        let ended = scope.spawn(|| assert_ends(&stream, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"));
        while !ended.is_finished() {
            target.publish("room", "news", &event);
        }
    });
}

/// More than the kernel keeps of what is sent and answered on one connection.
const MORE_THAN_FITS: usize = 256 << 20;

/// Asserts that a connection ends on which this is sent again and again, and nothing read.
#[track_caller]
fn assert_ends(connection: &Connection, request: &[u8]) {
    let many = request.repeat(1000);
    let name = || String::from_utf8_lossy(request).into_owned();
    let mut stream = connection.handle();
    // Two bounds of the broker have to pass in it, one after the other.
    stream.set_write_timeout(Some(4 * patience())).expect("a write timeout");
    let mut sent = 0;
    while sent < MORE_THAN_FITS {
        match stream.write(&many) {
            Ok(taken) => sent += taken,
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => panic!("{:?} never ends", name()),
                _ => return,
            },
        }
    }
    panic!("all of {:?} is read", name());
}
