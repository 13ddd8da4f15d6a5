//! Quotas of apps and of the node: exact, also after connections that ended without a word.

use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Credentials, Incoming, Socket, Target, unique};
use serde_json::json;

use crate::eventually;

/// Connections that fit, in these tests.
const ROOM: usize = 20;

/// The code with which a new connection is refused, or the connection.
fn attempt(target: &Target) -> Result<Socket, u16> {
    let mut socket = target.upgrade("protocol=7");
    match socket.receive() {
        Incoming::Message(message) => {
            assert_eq!(message.event, "pusher:connection_established");
            socket.id = message.decoded()["socket_id"].as_str().unwrap().to_owned();
            Ok(socket)
        }
        Incoming::Close(closed) => Err(closed.code),
        other => socket.fail(&format!("expected a greeting or a refusal, got {other:?}")),
    }
}

/// Fills all room, and finds that there is no more.
#[track_caller]
fn fill(target: &Target, code: u16) -> Vec<Socket> {
    let mut sockets = Vec::new();
    // Those that were cut are noticed one after the other.
    eventually("there is room for all", || {
        match attempt(target) {
            Ok(socket) => sockets.push(socket),
            Err(refused) => assert_eq!(refused, code),
        }
        (sockets.len() == ROOM).then_some(())
    });
    assert_eq!(attempt(target).err(), Some(code), "not one more");
    assert_eq!(attempt(target).err(), Some(code), "a refused one takes no place");
    sockets
}

/// Ends connections in every way there is.
fn end(sockets: Vec<Socket>) {
    for (n, mut socket) in sockets.into_iter().enumerate() {
        match n % 5 {
            0 => socket.vanish(),
            1 => socket.leave_an_answer_unread(),
            2 => socket.close(),
            // A fault of the protocol, for which the broker closes.
            3 => socket.send_frame(0x83, b""),
            _ => drop(socket),
        }
    }
}

/// An app holds as many connections as it may, again and again, however they end.
///
/// Proves: 28.
#[test]
fn an_apps_quota_is_exact_after_connections_that_were_cut() {
    let Some(target) = Target::own(&format!("{MAIN_APP}limits = {{ connections = {ROOM} }}\n")) else {
        return;
    };
    for round in 0..4 {
        let mut sockets = fill(&target, 4004);
        for (n, socket) in sockets.iter_mut().enumerate() {
            // Ended in the middle of something, too.
            socket.subscribe_presence("presence-room", &format!("u{round}-{n}"), &json!(null));
        }
        end(sockets);
    }
    eventually("nobody is left", || {
        let users = target.get("/channels/presence-room/users").send().json();
        (users["users"] == json!([])).then_some(())
    });
}

/// The node's capacity bounds all apps together, and is exact in the same way.
///
/// Proves: 29.
#[test]
fn the_nodes_capacity_is_exact_after_connections_that_were_cut() {
    let other = "\n[[apps]]\nid = \"7\"\nkey = \"key-7\"\nsecret = \"secret-7\"\n";
    let Some(target) = Target::own(&format!("[server]\nmax_connections = {ROOM}\n{MAIN_APP}{other}")) else {
        return;
    };
    let other = target.with_credentials(Credentials::new("7", "key-7", "secret-7"));
    for round in 0..4 {
        let (first, second) = if round % 2 == 0 { (&target, &other) } else { (&other, &target) };
        let sockets = fill(first, 4100);
        assert_eq!(attempt(second).err(), Some(4100), "it is for all apps");
        end(sockets);
    }
}

/// A quota that is lowered ends nobody, and admits nobody before there is room; one that is raised admits at once.
///
/// Proves: 28.
#[test]
fn a_quota_can_be_changed_while_it_is_used() {
    let config = |room: usize| format!("{MAIN_APP}limits = {{ connections = {room} }}\n");
    let Some(target) = Target::own(&config(ROOM)) else { return };
    let reload = |room| assert!(target.broker().unwrap().reload(&config(room)).status.success());
    let mut sockets = fill(&target, 4004);
    reload(2);
    sockets.iter_mut().for_each(Socket::assert_silence);
    assert_eq!(attempt(&target).err(), Some(4004));
    reload(ROOM + 1);
    sockets.push(attempt(&target).expect("room for one more"));
    assert_eq!(attempt(&target).err(), Some(4004));
    reload(1);
    sockets.into_iter().for_each(Socket::close);
    let mut last = eventually("there is room again", || attempt(&target).ok());
    assert_eq!(attempt(&target).err(), Some(4004));
    last.subscribe(&unique("room-"));
}
