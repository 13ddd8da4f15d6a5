//! Upgrades: the running broker is replaced by another process, and nobody is refused for it.

use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Instant;

use heliostat_protocol_tests::http::Connection;
use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Broker, Incoming, Shared, Socket, Target, patience};
use serde_json::json;

fn path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("protocol-tests-{}-{name}.sock", std::process::id()))
}

/// Has the broker replaced, and hears from the command that it was.
#[track_caller]
fn upgrade(broker: &Broker) {
    let output = broker.upgrade();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}\n{}", String::from_utf8_lossy(&output.stderr), broker.log());
    assert!(said.starts_with("ok: process "), "{said}");
}

fn expect_4200(socket: &mut Socket) {
    let closed = loop {
        match socket.receive() {
            Incoming::Message(_) => {}
            other => break other,
        }
    };
    assert!(matches!(&closed, Incoming::Close(closed) if closed.code == 4200), "{closed:?}");
}

/// Clients are told to come back at once, and are served by the new process at the same places, with the configuration as it is
/// by then; so are those who run it, and whoever sends commands.
///
/// Proves: 53.
#[test]
fn another_process_takes_over_all_places_to_listen() {
    let Some(_) = Target::shared(Shared::Main) else { return };
    let unix = path("upgraded");
    let server = |more: &str| {
        let unix = unix.display();
        format!(
            "[server]\nworkers = 2\n{more}[[server.listeners]]\naddress = \"unix:{unix}\"\n[admin]\nenabled = true\nport = 0\n{MAIN_APP}"
        )
    };
    let target = Target::at(Arc::new(Broker::start(&server(""))), Shared::Main.credentials());
    let broker = target.broker().unwrap();
    let admin = broker.await_line("admin listener on http://127.0.0.1:");
    let mut admin_target = target.clone();
    admin_target.port =
        admin.trim().rsplit(':').next().unwrap().split_whitespace().next().unwrap().parse().unwrap();
    let live = format!("GET /live HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", admin_target.port);
    let mut sockets: Vec<_> = (0..20).map(|_| target.connect()).collect();
    for round in 0..3 {
        let first = broker.pid();
        broker.configure(&server(&format!("path_prefix = \"/round-{round}\"\n")));
        upgrade(broker);
        assert_ne!(broker.pid(), first);
        sockets.iter_mut().for_each(expect_4200);
        let prefixed = format!("GET /round-{round}/health HTTP/1.1\r\nHost: {}\r\n\r\n", target.host);
        let answer = Connection::open(&target).exchange(prefixed.as_bytes()).unwrap();
        assert_eq!(answer.status, 200, "the configuration is that of before");
        assert_eq!(Connection::open(&admin_target).exchange(live.as_bytes()).unwrap().text(), "live\n");
        drop(UnixStream::connect(&unix).unwrap());
        let again = broker.reload(&server(""));
        assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
        upgrade(broker);
        sockets = (0..20).map(|_| target.connect()).collect();
    }
    let first = crate::eventually("the end of the first process", || broker.first_process_ended());
    assert_eq!(first.code(), Some(0), "{}", broker.log());
    broker.terminate();
    sockets.iter_mut().for_each(|socket| drop(socket.expect_close_with(4100)));
    drop(sockets);
    let gone = || (!unix.exists() && !broker.config().with_extension("sock").exists()).then_some(());
    crate::eventually("the end of the files of the sockets", gone);
}

/// What is wrong with the new process is told, and the old one goes on, with its clients and its sockets.
///
/// Proves: bad input.
#[test]
fn a_broker_whose_successor_fails_goes_on() {
    let Some(_) = Target::shared(Shared::Main) else { return };
    let unix = path("not-upgraded");
    let config = format!(
        "[server]\nworkers = 2\n[[server.listeners]]\naddress = \"unix:{}\"\n{MAIN_APP}",
        unix.display()
    );
    let target = Target::at(Arc::new(Broker::start(&config)), Shared::Main.credentials());
    let broker = target.broker().unwrap();
    let mut socket = target.connect();
    socket.subscribe("news");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let elsewhere = format!("[pipe]\nown_port = true\nport = {}\n", taken.local_addr().unwrap().port());
    for (bad, why) in [("rubbish".to_owned(), "not valid TOML"), (elsewhere + &config, "the port is in use")]
    {
        broker.configure(&bad);
        let output = broker.upgrade();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.starts_with("heliostat: not upgraded: ") && said.contains(why), "{said}");
    }
    broker.signal("-USR2");
    // The log may be read a little later than it is written.
    crate::eventually("the log's word of the third", || {
        (broker.log().matches("not upgraded;").count() >= 3).then_some(())
    });
    let event = json!({ "name": "a", "channel": "news", "data": "c" });
    assert_eq!(target.post("/events", &event).send().status, 200);
    let _ = socket.expect_on("news", "a");
    drop(UnixStream::connect(&unix).unwrap());
    broker.configure(&config);
    upgrade(broker);
    expect_4200(&mut socket);
    drop(UnixStream::connect(&unix).unwrap());
}

/// Publishers on connections that are kept see no error, and clients come back at once, however often.
#[test]
fn publishers_see_no_error_while_processes_take_turns() {
    let Some(_) = Target::shared(Shared::Main) else { return };
    let config = format!("[server]\nworkers = 2\n{MAIN_APP}");
    let target = Target::at(Arc::new(Broker::start(&config)), Shared::Main.credentials());
    let broker = target.broker().unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let publishers: Vec<_> = (0..4)
        .map(|_| {
            let (over, target) = (Arc::clone(&over), target.clone());
            std::thread::spawn(move || {
                let mut published = 0;
                let mut connection = Connection::open(&target);
                while !over.load(Ordering::Relaxed) {
                    let event = json!({ "name": "a", "channel": "b", "data": "c" });
                    let answer = target.post("/events", &event).send_on(&mut connection);
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    published += 1;
                    if answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
                        connection = Connection::open(&target);
                    }
                }
                published
            })
        })
        .collect();
    const UPGRADES: usize = 5;
    for _ in 0..UPGRADES {
        let mut subscriber = target.connect();
        subscriber.subscribe("b");
        let _ = (0..20).map(|_| subscriber.expect_on("b", "a")).last();
        upgrade(broker);
        expect_4200(&mut subscriber);
    }
    let mut subscriber = target.connect();
    subscriber.subscribe("b");
    let _ = subscriber.expect_on("b", "a");
    over.store(true, Ordering::Relaxed);
    for publisher in publishers {
        let published = publisher.join().expect("a publisher saw an error");
        assert!(published > UPGRADES, "{published}");
    }
}

/// The service manager hears which process the broker is from now on, and from that one that it is ready and lives.
#[test]
fn a_service_manager_is_told_which_process_it_is() {
    let Some(_) = Target::shared(Shared::Main) else { return };
    let path = path("upgrade-notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    let (told, hears) = mpsc::channel();
    // A broker waits for a manager that does not read.
    std::thread::spawn(move || {
        let mut datagram = [0; 1024];
        while let Ok(length) = manager.recv(&mut datagram) {
            let _ = told.send(String::from_utf8_lossy(&datagram[..length]).into_owned());
        }
    });
    let hear = |wanted: &str, not: &str| {
        let deadline = Instant::now() + patience();
        loop {
            let told =
                hears.recv_timeout(patience()).unwrap_or_else(|error| panic!("no {wanted:?}: {error}"));
            if told.lines().any(|line| line == wanted) {
                return;
            }
            assert!(Instant::now() < deadline && !told.contains(not), "no {wanted:?}, but {told:?}");
        }
    };
    let environment = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "30000")];
    let config = format!("[server]\nworkers = 2\n{MAIN_APP}");
    let broker = Broker::start_with(Some(&config), &[], &environment);
    let hear_life = || hear("WATCHDOG=1", "STOPPING");
    hear("READY=1", "STOPPING");
    hear_life();
    for _ in 0..2 {
        upgrade(&broker);
        hear(&format!("MAINPID={}", broker.pid()), "STOPPING");
        hear("READY=1", "STOPPING");
        hear_life();
    }
    broker.terminate();
    hear("STOPPING=1", "READY");
    std::fs::remove_file(path).unwrap();
}

/// Of two who ask for an upgrade at once, each is answered.
#[test]
fn of_two_who_ask_at_once_each_is_answered() {
    let Some(_) = Target::shared(Shared::Main) else { return };
    let broker = Broker::start(&format!("[server]\nworkers = 2\n{MAIN_APP}"));
    let ask = || broker.command("upgrade").output().unwrap();
    let (one, other) = std::thread::scope(|scope| {
        let (one, other) = (scope.spawn(ask), scope.spawn(ask));
        (one.join().unwrap(), other.join().unwrap())
    });
    assert!(one.status.success() || other.status.success(), "{}", broker.log());
    for output in [one, other].iter().filter(|output| !output.status.success()) {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("under way") || said.contains("is stopping"), "{said}");
    }
    upgrade(&broker);
}
