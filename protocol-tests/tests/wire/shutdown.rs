//! The end of the broker: every client is told to come back, and the process goes in time.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Incoming, Socket, Target, Wire, unique};
use serde_json::json;

/// How long a broker with a grace period of one second may take to end.
const END_DEADLINE: Duration = Duration::from_secs(10);

/// Every socket is closed with 4200, whatever it was doing, and the process ends with success.
///
/// Proves: 24, 32, 53.
#[test]
fn every_socket_is_closed_with_4200() {
    let Some(target) = brief() else { return };
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
        assert_eq!(socket.expect_close_with(4200), "Please reconnect immediately");
        socket.expect_end();
    }
    let status = broker.await_exit(END_DEADLINE);
    assert_eq!(status.code(), Some(0), "{}", broker.log());
    assert!(TcpStream::connect((target.host.as_str(), target.port)).is_err(), "somebody still listens");
}

/// Clients that do not read close codes are told in an error first.
///
/// Proves: 31, 53.
#[test]
fn old_clients_learn_4200_from_an_error() {
    let Some(target) = brief() else { return };
    let mut sockets: Vec<Socket> = (1..=5).map(|p| target.connect_as(&format!("protocol={p}"))).collect();
    target.broker().unwrap().terminate();
    for socket in &mut sockets {
        socket.expect_error(Some(4200), "Please reconnect immediately");
        socket.expect_close_with(4200);
    }
}

/// A client that answers nothing, or reads nothing, cannot hold the broker up longer than its grace period.
///
/// Proves: 53.
#[test]
fn nobody_can_hold_the_broker_up() {
    let Some(target) = brief() else { return };
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
    let Some(target) = brief() else { return };
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
        assert_eq!(closed.code, 4200);
        socket.expect_end();
    }
}

/// A broker that ends soon after it was asked to.
fn brief() -> Option<Target> {
    Target::own(&format!("[server]\nshutdown_grace_seconds = 1\n{MAIN_APP}"))
}
