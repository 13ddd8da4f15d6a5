//! Clients that take for ever over a request.

use std::time::{Duration, Instant};

use heliostat_protocol_tests::http::{Connection, Heard};
use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::transport::session_id;
use heliostat_protocol_tests::{Target, patience};

use super::{body_of, event};
use crate::http_events::subscriber;

/// How long a slow client pauses between two pieces.
const PACE: Duration = Duration::from_millis(50);

/// A broker that gives a client half a second for a head, and as much for a body.
fn hasty_broker() -> Option<Target> {
    Target::own(&format!("[server]\nhttp_request_timeout_seconds = 0.5\n{MAIN_APP}"))
}

/// A client that takes for ever over its head, silently or a byte at a time, loses its connection in the
/// configured time, and nobody else waits for it.
///
/// Proves: bad input.
#[test]
fn a_slow_head_is_cut_off() {
    let Some(target) = hasty_broker() else { return };
    let request = target.post("/events", &event("room")).bytes();
    for start in [&b""[..], b"P", &request[..30]] {
        assert_cut_off(&target, start, None);
        assert_cut_off(&target, start, Some(b'a'));
    }
}

/// The same with a body, whether its length was declared or it comes in chunks.
///
/// Proves: bad input.
#[test]
fn a_slow_body_is_cut_off() {
    let Some(target) = hasty_broker() else { return };
    let (mut socket, channel) = subscriber(&target);
    let call = target.post("/events", &event(&channel));
    let chunked = call.clone().chunked(1).head();
    for start in [
        call.head(),
        call.bytes()[..call.bytes().len() - 1].to_vec(),
        chunked.clone(),
        [&chunked[..], b"1\r\n{\r\n"].concat(),
        [&chunked[..], b"ffff\r\n{"].concat(),
    ] {
        assert_cut_off(&target, &start, None);
    }
    let long = target.post_bytes("/events", body_of(5000, &channel)).head();
    assert_cut_off(&target, &long, Some(b' '));
    assert_cut_off(&target, &[&chunked[..], b"ffff\r\n"].concat(), Some(b' '));
    target.assert_nothing_published(&mut socket, &channel);
}

/// A request that takes its time but less than it has is served, in however many pieces it comes.
///
/// Proves: 210.
#[test]
fn a_request_in_pieces_is_served() {
    let target = Target::main();
    let (mut socket, channel) = subscriber(&target);
    for call in
        [target.post("/events", &event(&channel)), target.post("/events", &event(&channel)).chunked(7)]
    {
        let request = call.bytes();
        let mut connection = Connection::open(&target);
        for piece in request.chunks(request.len() / 5) {
            assert!(matches!(connection.hear(PACE), Heard::Nothing), "an answer to a part of a request");
            connection.send(piece);
        }
        connection.answer().assert_empty_object();
        let _ = socket.expect_on(&channel, "greet");
    }
}

/// A connection on which nothing is asked any more is closed after the configured time.
///
/// Proves: 210.
#[test]
fn an_idle_connection_is_closed() {
    let Some(target) = Target::own(&format!("[server]\nkeep_alive_seconds = 1\n{MAIN_APP}")) else { return };
    let mut connection = Connection::open(&target);
    target.post("/events", &event("room")).send_on(&mut connection).assert_empty_object();
    target.post("/events", &event("room")).send_on(&mut connection).assert_empty_object();
    let idle = Instant::now();
    connection.expect_end();
    assert!(idle.elapsed() > Duration::from_millis(400), "closed before its time");
}

/// Sends `start` and then, if given, one more byte now and again; asserts that the broker ends the connection,
/// and that it serves others meanwhile.
#[track_caller]
fn assert_cut_off(target: &Target, start: &[u8], trickle: Option<u8>) {
    let begun = Instant::now();
    let mut connection = Connection::open(target);
    connection.send(start);
    loop {
        match connection.hear(PACE) {
            Heard::Nothing => {}
            Heard::Closed => break,
            Heard::Answer(answer) => {
                assert_eq!(answer.status, 408, "a slow client was answered {answer}");
                connection.expect_end();
                break;
            }
        }
        assert!(begun.elapsed() < patience(), "still waiting for a client that sent {start:?}");
        target.publish("elsewhere", "greet", "hi");
        if let Some(byte) = trickle {
            let _ = connection.offer(&[byte]);
        }
    }
    assert!(begun.elapsed() > Duration::from_millis(300), "cut off before its time");
    target.publish("elsewhere", "greet", "hi");
}

/// An answer that took longer than a head may take changes nothing about what comes after it: the next body has its
/// time, and so has a client that asks for nothing more.
///
/// Proves: 210.
#[test]
fn what_follows_a_held_answer_ends_too() {
    let settings = "[server]\nhttp_request_timeout_seconds = 0.5\nkeep_alive_seconds = 1\n\
                    [fallback]\npoll_hold_seconds = 1.5\nintroduction_timeout_seconds = 60\n";
    let Some(target) = Target::own(&format!("{settings}{MAIN_APP}")) else { return };
    for has_next in [false, true] {
        let base = format!("{}/pusher/000/{}", target.path_prefix, session_id());
        let poll = format!("POST {base}/xhr HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
        let mut connection = Connection::open(&target);
        connection.send(poll.as_bytes());
        assert_eq!(connection.answer().text(), "o\n");
        connection.send(poll.as_bytes());
        if has_next {
            connection.send(&target.post("/events", &event("room")).head());
        }
        assert_eq!(connection.answer().text(), "h\n", "the poll is answered when its time is over");
        if has_next {
            assert_eq!(connection.answer().status, 408);
        }
        connection.expect_end();
    }
}
