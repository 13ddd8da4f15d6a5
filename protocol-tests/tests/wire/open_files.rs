//! A system that lets the broker open few files: connections are bounded before the broker lacks any for itself.

use std::sync::Arc;

use heliostat_protocol_tests::http::Connection;
use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Broker, Incoming, Shared, Sink, Socket, Target, Wire, patience, unique};

/// Whatever the limit, a node that is full refuses with 4100, answers `/health`, publishes, sends webhooks and reloads.
///
/// Proves: 29.
#[test]
fn a_full_node_still_does_everything_else() {
    let Some(_) = Target::shared(Shared::Main) else { return };
    for open_files in [100, 256] {
        let app = Shared::Main.credentials();
        let sink = Sink::start(&app);
        let webhook = format!("[[apps.webhooks]]\nurl = \"{}\"\n", sink.url());
        let config = format!("[server]\nworkers = 2\n{MAIN_APP}{webhook}");
        let target = Target::at(Arc::new(Broker::start_limited(&config, open_files)), app);
        let broker = target.broker().unwrap();
        crate::eventually("a warning at the start", || {
            broker.log().contains("the limit of open files is low").then_some(())
        });
        let mut sockets = fill(&target, open_files);

        let health = format!("GET /health HTTP/1.1\r\nHost: {}\r\n\r\n", target.host);
        assert_eq!(Connection::open(&target).exchange(health.as_bytes()).unwrap().status, 200);
        let channel = unique("news-");
        sockets[0].subscribe(&channel);
        target.publish(&channel, "greet", "");
        let _ = sockets[0].expect_on(&channel, "greet");
        let occupied = sink.webhook_within(patience()).expect("no webhook is sent");
        assert_eq!(occupied.event()["name"], "channel_occupied");
        let reloaded = broker.reload(&config.replace("client_events = true", "client_events = false"));
        assert!(reloaded.status.success(), "{reloaded:?}");

        // Whoever leaves makes room for another.
        sockets.pop().unwrap().close();
        crate::eventually("room for another", || is_admitted(&target).then_some(()));
    }
}

/// Connects until the node is full, which must be before the files are.
fn fill(target: &Target, open_files: u32) -> Vec<Socket> {
    let mut sockets = Vec::new();
    loop {
        assert!(sockets.len() < open_files as usize, "there is no bound");
        let mut socket = target.upgrade("protocol=7");
        match socket.receive() {
            Incoming::Message(message) if message.event == "pusher:connection_established" => {
                sockets.push(socket)
            }
            Incoming::Close(closed) => {
                assert_eq!(closed.code, 4100);
                assert!(sockets.len() > open_files as usize / 8, "only {} of {open_files}", sockets.len());
                return sockets;
            }
            other => socket.fail(&format!("expected to be greeted or closed, got {other:?}")),
        }
    }
}

fn is_admitted(target: &Target) -> bool {
    let mut wire = Wire::upgrade(target, &target.socket_path("protocol=7"), &[]);
    matches!(wire.receive(), Incoming::Message(_))
}
