//! Restarts by a service manager: sockets that it holds and passes on, what it is told, and how a broker that is to stop takes
//! its time for others' sake.

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use heliostat_protocol_tests::broker::activated;
use heliostat_protocol_tests::http::Connection;
use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Broker, Incoming, Shared, Socket, Target, patience, unique};
use serde_json::json;

/// How long a broker may take to end.
const END_DEADLINE: Duration = Duration::from_secs(20);

fn start(listener: &TcpListener, name: &str, more: &str) -> Target {
    let config = format!("[server]\nworkers = 2\n{more}{MAIN_APP}");
    let broker = Broker::start_activated(&config, listener.try_clone().unwrap().into(), name);
    Target::at(Arc::new(broker), Shared::Main.credentials())
}

fn end(target: &Target) {
    let broker = target.broker().unwrap();
    assert_eq!(broker.await_exit(END_DEADLINE).code(), Some(0), "{}", broker.log());
}

/// The socket stays with whoever has opened it: clients are told to come at once, and what is asked while no broker is there
/// is answered by the next one.
///
/// Proves: 53.
#[test]
fn connections_wait_for_the_next_broker() {
    let Some(_) = Target::shared(Shared::Main) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut asked: Option<Connection> = None;
    for name in ["", "heliostat", "http", "heliostat.socket"] {
        let target = start(&listener, name, "");
        assert_eq!(target.port, port, "the main address is that of the socket");
        if let Some(mut asked) = asked.take() {
            assert_eq!(asked.answer().status, 200);
        }
        let mut socket = target.connect();
        let mut kept = Connection::open(&target);
        let event = json!({ "name": "a", "channel": "b", "data": "c" });
        assert_eq!(target.post("/events", &event).send_on(&mut kept).status, 200);
        target.broker().unwrap().terminate();
        assert_eq!(socket.expect_close_with(4200), "Please reconnect immediately");
        kept.expect_end();
        drop(socket);
        end(&target);
        let mut waiting = Connection::open(&target);
        waiting.send(&target.post("/events", &event).bytes());
        asked = Some(waiting);
    }
}

/// Publishers on connections that are kept see no error while brokers take turns, and are told to come by another connection.
#[test]
fn publishers_see_no_error_while_brokers_take_turns() {
    let Some(_) = Target::shared(Shared::Main) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let mut target = start(&listener, "", "");
    let publishers: Vec<_> = (0..4)
        .map(|_| {
            let (over, target) = (Arc::clone(&over), target.clone());
            std::thread::spawn(move || {
                let (mut published, mut told) = (0, 0);
                let mut connection = Connection::open(&target);
                while !over.load(Ordering::Relaxed) {
                    let event = json!({ "name": "a", "channel": "b", "data": "c" });
                    let answer = target.post("/events", &event).send_on(&mut connection);
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    published += 1;
                    if answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
                        told += 1;
                        connection = Connection::open(&target);
                    }
                }
                (published, told)
            })
        })
        .collect();
    const RESTARTS: usize = 3;
    for _ in 0..RESTARTS {
        // Until each of them is likely to be under way.
        let mut subscriber = target.connect();
        subscriber.subscribe("b");
        let _ = (0..20).map(|_| subscriber.expect_on("b", "a")).last();
        target.broker().unwrap().terminate();
        let closed = loop {
            match subscriber.receive() {
                Incoming::Message(_) => {}
                other => break other,
            }
        };
        assert!(matches!(&closed, Incoming::Close(closed) if closed.code == 4200), "{closed:?}");
        drop(subscriber);
        end(&target);
        target = start(&listener, "", "");
    }
    let mut subscriber = target.connect();
    subscriber.subscribe("b");
    let _ = subscriber.expect_on("b", "a");
    over.store(true, Ordering::Relaxed);
    for publisher in publishers {
        let (published, told) = publisher.join().expect("a publisher saw an error");
        assert!(published > RESTARTS && told >= RESTARTS, "{published} {told}");
    }
}

/// The manager hears that the broker is ready, that its workers turn, that it reloads, and that it stops and takes its time; and
/// nothing then that would take this back.
#[test]
fn a_service_manager_is_told_how_it_goes() {
    let Some(_) = Target::shared(Shared::Main) else { return };
    let path = std::env::temp_dir().join(format!("protocol-tests-{}-notify.sock", std::process::id()));
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(patience())).unwrap();
    let receive = || {
        let mut told = [0; 1024];
        let length =
            manager.recv(&mut told).unwrap_or_else(|error| panic!("the broker says nothing: {error}"));
        String::from_utf8_lossy(&told[..length]).into_owned()
    };
    let hear = |wanted: &str| {
        let deadline = Instant::now() + patience();
        loop {
            let told = receive();
            if told.lines().any(|line| line == wanted) {
                return told;
            }
            assert!(Instant::now() < deadline, "no {wanted:?}, but {told:?}");
        }
    };
    let environment = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "30000")];
    let config = format!("[server]\nworkers = 2\ndrain_delay_seconds = 600\n{MAIN_APP}");
    let broker = Broker::start_with(Some(&config), &[], &environment);
    assert!(hear("READY=1").contains("STATUS=serving at http://127.0.0.1:"));
    for _ in 0..5 {
        hear("WATCHDOG=1");
    }
    assert!(broker.reload(&config).status.success());
    assert!(hear("RELOADING=1").contains("MONOTONIC_USEC="));
    assert!(hear("READY=1").contains("STATUS=serving; the configuration was read again"));
    assert!(!broker.reload("rubbish").status.success());
    hear("RELOADING=1");
    assert!(hear("READY=1").contains("for it is at fault"));
    broker.terminate();
    hear("STOPPING=1");
    // The grace period, what the last webhooks may take, and some time for the next word.
    hear("EXTEND_TIMEOUT_USEC=26000000");
    broker.hang_up();
    while broker.log().matches("the configuration was not reloaded").count() < 2 {
        let told = receive();
        assert!(!told.contains("RELOADING") && !told.contains("READY"), "a stopping broker says {told}");
    }
    // It would wait for whoever reads what it says, and nobody does any more.
    drop(manager);
    broker.terminate();
    assert_eq!(broker.await_exit(END_DEADLINE).code(), Some(0), "{}", broker.log());
    std::fs::remove_file(path).unwrap();
}

/// While a delay lasts everything is served, but the node is not ready, and answers end their connections; a second signal ends
/// the delay.
#[test]
fn a_draining_broker_serves_until_the_delay_is_over() {
    let config = format!("[server]\ndrain_delay_seconds = 600\n{MAIN_APP}");
    let Some(target) = Target::own(&config) else { return };
    let broker = target.broker().unwrap();
    let mut subscriber = target.connect();
    let channel = unique("news-");
    subscriber.subscribe(&channel);
    let mut kept = Connection::open(&target);
    let event = json!({ "name": "a", "channel": channel, "data": "c" });
    let before = target.post("/events", &event).send_on(&mut kept);
    assert_ne!(before.header("connection"), Some("close"));
    broker.terminate();
    let unready = crate::eventually("an unready node", || {
        let ready = format!("GET /ready HTTP/1.1\r\nHost: {}\r\n\r\n", target.host);
        Connection::open(&target).exchange(ready.as_bytes()).filter(|answer| answer.status == 503)
    });
    assert!(unready.text().contains("draining"), "{}", unready.text());
    let answer = target.post("/events", &event).send_on(&mut kept);
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")), "{}", answer.text());
    kept.expect_end();
    for _ in 0..2 {
        let _ = subscriber.expect_on(&channel, "a");
    }
    let mut newcomer = target.connect();
    newcomer.subscribe(&channel);
    broker.terminate();
    for socket in [&mut subscriber, &mut newcomer] {
        socket.expect_close_with(4100);
    }
    drop((subscriber, newcomer));
    end(&target);
    assert!(TcpStream::connect((target.host.as_str(), target.port)).is_err(), "somebody still listens");
}

/// With a rate, clients are closed some at a time; those that are left are served; a second signal closes them.
#[test]
fn clients_are_closed_some_at_a_time() {
    let config = format!("[server]\nworkers = 2\ndrain_connections_per_second = 1\n{MAIN_APP}");
    let Some(target) = Target::own(&config) else { return };
    let broker = target.broker().unwrap();
    let mut sockets: Vec<Socket> = (0..100).map(|_| target.connect()).collect();
    broker.terminate();
    crate::eventually("clients that are closed slowly", || {
        broker.log().contains("idle HTTP connections are closed").then_some(())
    });
    let mut served = 0;
    for socket in &mut sockets {
        socket.send_frame(0x89, b"");
        served += usize::from(matches!(socket.receive(), Incoming::Pong(_)));
    }
    assert!(served > 0, "all were closed at once");
    broker.terminate();
    for mut socket in sockets {
        crate::eventually("the end of a client", || match socket.receive() {
            Incoming::Pong(_) => None,
            Incoming::Close(_) | Incoming::End => Some(()),
            other => panic!("{other:?}"),
        });
    }
    end(&target);
    assert!(broker.log().contains("closed slowly"), "{}", broker.log());
}

/// The admin listener's socket may be the manager's, too: what is asked while no broker is there is answered by the next one.
#[test]
fn whoever_watches_waits_for_the_next_broker() {
    let Some(_) = Target::shared(Shared::Main) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let start = || start(&listener, "admin", "[admin]\nenabled = true\n");
    let mut target = start();
    let mut admin = target.clone();
    admin.port = listener.local_addr().unwrap().port();
    let live = format!("GET /live HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", admin.port);
    for _ in 0..2 {
        let _ = target
            .broker()
            .unwrap()
            .await_line(&format!("admin listener on http://127.0.0.1:{}", admin.port));
        assert_ne!(target.port, admin.port);
        assert_eq!(Connection::open(&admin).exchange(live.as_bytes()).unwrap().text(), "live\n");
        target.broker().unwrap().terminate();
        end(&target);
        let mut waiting = Connection::open(&admin);
        waiting.send(live.as_bytes());
        target = start();
        assert_eq!(waiting.answer().text(), "live\n");
    }
}

/// What is passed on and cannot be used is one line that says why, and exit code 2.
///
/// Proves: bad input.
#[test]
fn sockets_that_are_for_nothing_are_explained() {
    let Some(_) = Target::shared(Shared::Main) else { return };
    let tcp = || OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
    let public = OwnedFd::from(TcpListener::bind("0.0.0.0:0").unwrap());
    let udp = OwnedFd::from(UdpSocket::bind("127.0.0.1:0").unwrap());
    let cases = [
        (tcp(), "other", "1", "passed on by LISTEN_FDS, is for nothing"),
        (tcp(), "pipe", "1", "passed on by LISTEN_FDS, is for nothing"),
        (public, "admin", "1", "could be reached from other machines and would ask nobody for anything"),
        (udp, "heliostat", "1", "is no socket that listens for streams: it is a socket of another type"),
        (tcp(), "heliostat", "60", "LISTEN_FDS must be a number of sockets"),
        (tcp(), "heliostat", "many", "LISTEN_FDS must be a number of sockets"),
        (tcp(), "heliostat", "4000000000", "LISTEN_FDS must be a number of sockets"),
    ];
    for (socket, name, count, expected) in cases {
        let mut command = activated(name);
        command.env("LISTEN_FDS", count).arg("--development").stdin(Stdio::from(socket));
        let Output { status, stdout, stderr } = command.output().unwrap();
        let said = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(2), "{name} {count}: {said}");
        assert_eq!(said.lines().count(), 1, "{name} {count}: {said}");
        assert!(said.contains(expected) && stdout.is_empty(), "{name} {count}: {said}");
    }
}
