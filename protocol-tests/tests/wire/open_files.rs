//! A system that lets the broker open few files: connections are bounded before the broker lacks any for itself.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;

use heliostat_protocol_tests::broker::binary;
use heliostat_protocol_tests::http::Connection;
use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::wire::upgrade_request;
use heliostat_protocol_tests::{Broker, Incoming, Shared, Sink, Socket, Target, Wire, patience, unique};
use serde_json::json;

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

/// Silent connections, many more than there is room for, keep nobody out: `/health`, a publish and a new WebSocket work at once,
/// again and again, also on a node that is full.
///
/// Proves: bad input.
#[test]
fn silent_connections_take_no_room_from_others() {
    let Some(_) = Target::shared(Shared::Main) else { return };
    for open_files in [32, 64, 300] {
        let config = format!("[server]\nworkers = 2\nkeep_alive_seconds = 600\n{MAIN_APP}");
        let broker = Arc::new(Broker::start_limited(&config, open_files));
        let target = Target::at(broker, Shared::Main.credentials());
        let health = format!("GET /health HTTP/1.1\r\nHost: {}\r\n\r\n", target.host);
        let mut silent = Vec::new();
        for round in 0..5 {
            silent.extend((0..2 * open_files).map(|_| Connection::open(&target)));
            let at_once = |what: &str, attempt: &dyn Fn() -> Option<u16>| {
                let what = format!("{what} with {open_files} open files, round {round}");
                // All may have come at the same moment, and nobody knows yet that they are silent: 503.
                let status = crate::eventually(&what, || attempt().filter(|status| *status != 503));
                assert_eq!(status, 200, "{what}");
            };
            let ask = |bytes: &[u8]| Connection::open(&target).exchange(bytes).map(|answer| answer.status);
            at_once("/health", &|| ask(health.as_bytes()));
            let event = json!({ "name": "a", "channel": "b", "data": "c" });
            at_once("a publish", &|| ask(&target.post("/events", &event).bytes()));
            at_once("a WebSocket", &|| {
                let mut connection = Connection::open(&target);
                connection.offer(upgrade_request(&target, &target.socket_path("protocol=7"), &[]).as_bytes());
                let status = connection.begin()?.status;
                Some(if status == 101 { 200 } else { status })
            });
        }
    }
}

/// Whatever the limit, a broker serves, or says in one line what limit there is and what it needs, and ends with exit code 2.
#[test]
fn too_few_files_for_a_broker_are_told() {
    let Some(_) = Target::shared(Shared::Main) else { return };
    for workers in [1, 2, 4] {
        for open_files in [10, 16, 20, 24, 25, 28, 32, 36, 48] {
            let script = format!(
                "ulimit -n {open_files} && exec \"$0\" --development --port 0 --workers {workers} --log-level error"
            );
            let mut shell = Command::new("sh");
            shell.arg("-c").arg(script).arg(binary());
            let mut child = shell
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("the broker starts");
            let mut welcome = BufReader::new(child.stdout.take().expect("stdout is piped"));
            let mut line = String::new();
            let port = loop {
                line.clear();
                if welcome.read_line(&mut line).expect("stdout is text") == 0 {
                    break None;
                }
                let after = line.split_once("http://127.0.0.1:").map(|(_, after)| after);
                if let Some(port) = after.and_then(|after| after.split(|c: char| !c.is_ascii_digit()).next())
                {
                    break port.parse::<u16>().ok();
                }
            };
            if let Some(port) = port {
                let target = Target::reached_at("127.0.0.1", port, Shared::Main.credentials());
                let answer = Connection::open(&target).exchange(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
                assert_eq!(answer.expect("an answer").status, 200, "{open_files} {workers}");
                child.kill().expect("it runs");
                let _ = child.wait();
                assert!(open_files >= 28, "{open_files} are too few");
                continue;
            }
            let output = child.wait_with_output().expect("it ends");
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{open_files} {workers}: {said}");
            assert_eq!(said.lines().count(), 1, "{open_files} {workers}: {said}");
            let beginning = format!(
                "heliostat: the limit of open files is {open_files}, and a broker with server.workers = {workers} needs "
            );
            assert!(said.starts_with(&beginning), "{said}");
            assert!(open_files < 48, "{said}");
        }
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
