//! Requests that lie about their length, contradict themselves, never end, or are no HTTP at all.

use std::time::{Duration, Instant};

use heliostat_protocol_tests::Target;
use heliostat_protocol_tests::http::{Connection, Heard};
use heliostat_protocol_tests::target::MAIN_APP;

use super::{BODY_BYTES, assert_refused, event};
use crate::http_events::subscriber;

/// A body that declares a length over the limit is refused at once: the broker does not wait for it.
///
/// Proves: bad input.
#[test]
fn a_declared_length_over_the_limit_is_refused_at_once() {
    let target = Target::main();
    for length in [BODY_BYTES as u64 + 1, 10 << 30, i64::MAX as u64] {
        let mut connection = Connection::open(&target);
        connection.send(&target.post("/events", &event("room")).content_length(length).head());
        let answer = connection.answer();
        let _ = answer.error(413);
    }
}

/// A body without end costs the broker no memory, and no more than a while: then it ends the connection, even
/// though the client goes on sending.
///
/// Proves: bad input.
#[test]
fn an_endless_body_costs_no_memory() {
    const CHUNK_BYTES: usize = 1 << 20;
    const ALLOWANCE_BYTES: u64 = 32 << 20;
    /// Long enough for a broker that goes on reading a while, so that its answer is not lost.
    const ENDLESS: Duration = Duration::from_secs(10);
    /// The pause after each chunk.
    const PACE: Duration = Duration::from_millis(5);
    let Some(target) = Target::own(MAIN_APP) else { return };
    let memory = || target.broker().and_then(|broker| broker.resident_bytes());
    target.publish("room", "greet", "hi");
    let before = memory();
    let chunk = [format!("{CHUNK_BYTES:x}\r\n").as_bytes(), &vec![b' '; CHUNK_BYTES], b"\r\n"].concat();
    let mut connection = Connection::open(&target);
    connection.send(&target.post("/events", &event("room")).chunked(1).head());
    let begun = Instant::now();
    while connection.offer(&chunk) {
        match connection.hear(PACE) {
            Heard::Answer(answer) => drop(answer.error(413).to_owned()),
            Heard::Closed => break,
            Heard::Nothing => {}
        }
        assert!(begun.elapsed() < ENDLESS, "the broker still reads a body without end");
    }
    if let (Some(before), Some(after)) = (before, memory()) {
        let grown = after.peak.saturating_sub(before.peak);
        assert!(grown < ALLOWANCE_BYTES, "the broker's peak memory grew by {grown} bytes");
    }
    target.publish("room", "greet", "hi");
}

/// A body that ends before its declared length was never sent: nothing of it counts.
///
/// Proves: bad input.
#[test]
fn a_body_shorter_than_declared_is_dropped() {
    let target = Target::main();
    let (mut socket, channel) = subscriber(&target);
    let call = target.post("/events", &event(&channel));
    let length = event(&channel).to_string().len() as u64;
    for request in [
        call.clone().content_length(length + 1).bytes(),
        call.clone().content_length(length + 5000).bytes(),
        call.clone().content_length(length).head(),
        call.bytes()[..20].to_vec(),
    ] {
        let mut connection = Connection::open(&target);
        connection.send(&request);
        connection.finish_sending();
        assert_refused(connection.answer_or_close(), "half a request");
        connection.expect_end();
    }
    let mut chunked = target.post("/events", &event(&channel)).chunked(10).bytes();
    chunked.truncate(chunked.len() - 5);
    let mut connection = Connection::open(&target);
    connection.send(&chunked);
    connection.finish_sending();
    assert_refused(connection.answer_or_close(), "chunks without an end");
    target.assert_nothing_published(&mut socket, &channel);
}

/// A body that goes on after its declared length ends there: what follows is not part of it, and is no request.
///
/// Proves: bad input.
#[test]
fn a_body_longer_than_declared_is_cut() {
    let target = Target::main();
    let (mut socket, channel) = subscriber(&target);
    let body = event(&channel).to_string();
    let mut connection = Connection::open(&target);
    connection.send(&target.post_bytes("/events", body.as_str()).content_length(10).bytes());
    connection.answer().assert_error_beginning(401, "Invalid body_md5");
    connection.finish_sending();
    assert_refused(connection.answer_or_close(), "the rest of a body");
    connection.expect_end();
    // The same with a hash of the part that counts, which is no JSON.
    let cut = target.post_bytes("/events", &body.as_bytes()[..10]).sent_body(body).content_length(10);
    let mut connection = Connection::open(&target);
    connection.send(&cut.bytes());
    let _ = connection.answer().error(400);
    target.assert_nothing_published(&mut socket, &channel);
}

/// Two answers to the question how long a body is are one too many: no second request hides in a first.
///
/// Proves: bad input.
#[test]
fn contradictory_lengths_smuggle_nothing() {
    let target = Target::main();
    let (mut socket, channel) = subscriber(&target);
    let hidden = target.post("/events", &event(&channel)).bytes();
    let outer = |headers: &str| {
        let url = target.call("POST", "/events").url();
        format!("POST {url} HTTP/1.1\r\nHost: broker\r\n{headers}\r\n").into_bytes()
    };
    for headers in [
        "Content-Length: 0\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 0\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: 5x\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 99999999999999999999999999\r\n",
        "Transfer-Encoding: nonsense\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Content-Length\t: 0\r\n",
    ] {
        let mut connection = Connection::open(&target);
        connection.send(&[outer(headers), hidden.clone()].concat());
        assert_refused(connection.answer_or_close(), headers);
        connection.expect_end();
    }
    for body in
        ["zz\r\n{}\r\n0\r\n\r\n", "-1\r\n", "ffffffffffffffffff\r\n", "2\r\n{}}}0\r\n\r\n", "\r\n\r\n"]
    {
        let mut connection = Connection::open(&target);
        connection.send(&[&outer("Transfer-Encoding: chunked\r\n"), body.as_bytes(), &hidden].concat());
        assert_refused(connection.answer_or_close(), body);
        connection.expect_end();
    }
    target.assert_nothing_published(&mut socket, &channel);
}

/// What does not even look like HTTP.
///
/// Proves: bad input.
#[test]
fn what_is_no_http_is_refused() {
    let target = Target::main();
    let many_headers = format!("GET /health HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(5000));
    let requests: [&[u8]; 16] = [
        b"GARBAGE\r\n\r\n",
        b"\r\n\r\n\r\n\r\nGARBAGE\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET  HTTP/1.1\r\n\r\n",
        b"GET /health\r\n\r\n",
        b"GET /health HTTP/9.9\r\n\r\n",
        b"GET /health HTTX/1.1\r\n\r\n",
        b"G\xc3\x89T /health HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /hea\0lth HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /hea lth HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /health HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\0y\r\n\r\n",
        b"\0\0\0\0\0\0\0\0\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"\xff\xfe\xfd\r\n\r\n",
        many_headers.as_bytes(),
    ];
    for request in requests {
        let what = String::from_utf8_lossy(&request[..request.len().min(60)]).into_owned();
        let mut connection = Connection::open(&target);
        let _ = connection.offer(request);
        connection.finish_sending();
        assert_refused(connection.answer_or_close(), &what);
        connection.expect_end();
    }
    target.publish("room", "greet", "hi");
}

/// Request lines and headers of any length are refused rather than collected.
///
/// Proves: bad input.
#[test]
fn a_long_head_is_refused() {
    let target = Target::main();
    for bytes in [256 << 10, 4 << 20] {
        let long = "x".repeat(bytes);
        let requests = [
            format!("GET /apps/1001/channels/{long} HTTP/1.1\r\nHost: broker\r\n\r\n"),
            format!("GET /apps/1001/channels?filter_by_prefix={long} HTTP/1.1\r\nHost: broker\r\n\r\n"),
            format!("GET /health HTTP/1.1\r\nHost: broker\r\nX-Long: {long}\r\n\r\n"),
            format!("GET /health HTTP/1.1\r\nHost: broker\r\n{long}: x\r\n\r\n"),
            format!("{long} /health HTTP/1.1\r\nHost: broker\r\n\r\n"),
            long,
        ];
        for request in requests {
            let answer = Connection::open(&target).exchange(request.as_bytes());
            assert_refused(answer, &request[..request.len().min(40)]);
        }
    }
    target.publish("room", "greet", "hi");
}
