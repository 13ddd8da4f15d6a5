//! Upgrades: what is done while the new process starts, and what becomes of each of the two when the other one fails.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::time::Duration;

use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Broker, Incoming, Shared, Socket, Target, be_patient, broker, unique};

use crate::admin::{TOKEN, bearer};
use crate::admin_apps::Api;
use crate::eventually;

/// A process starts, reads and ends on a machine that is busy.
const LONG: Duration = Duration::from_secs(30);

/// A process that is to take over, and waits for its engine, which says nothing.
struct Starting {
    process: u32,
    _engine: (TcpListener, TcpStream),
}

impl Starting {
    /// Has this broker, whose configuration this is, be succeeded by one that waits.
    fn of(broker: &Broker, config: &str) -> Self {
        let engine = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = engine.local_addr().unwrap().port();
        let cluster = "[cluster]\nstart_without_bus = \"wait\"\n";
        broker.configure(&format!("{cluster}url = \"redis://127.0.0.1:{port}\"\n{config}"));
        broker.signal("-USR2");
        let (asking, _) = engine.accept().unwrap();
        broker.configure(config);
        let process = *children(broker.pid()).first().expect("the process that asks");
        Starting { process, _engine: (engine, asking) }
    }
}

fn children(process: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().map(|id| id.parse().unwrap()).collect::<Vec<_>>()).collect()
}

/// Whether it has ended, or is a name without a process that nobody has asked for.
fn has_ended(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, fields)| fields.starts_with('Z'))
}

fn await_end(process: u32) {
    eventually("the end of a process", || has_ended(process).then_some(()));
}

fn await_log(broker: &Broker, text: &str, count: usize) {
    eventually(text, || (broker.log().matches(text).count() >= count).then_some(()));
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

fn config(server: &str) -> String {
    format!("[server]\nworkers = 2\n{server}{MAIN_APP}")
}

fn target(config: &str, environment: &[(&str, &str)]) -> Option<Target> {
    let _ = Target::shared(Shared::Main)?;
    be_patient(LONG);
    let broker = Broker::start_with(Some(config), &[], environment);
    Some(Target::at(Arc::new(broker), Shared::Main.credentials()))
}

/// It serves, but not where it says that it does: its clients are closed, although a broker of its configuration serves them for
/// long when it is to stop, and those who run the broker, and the service manager, never hear of it.
#[test]
fn a_process_that_is_turned_down_ends_at_once() {
    let [unix, manager] = ["", ""].map(|_| std::env::temp_dir().join(unique("protocol-tests-")));
    let hears = UnixDatagram::bind(&manager).unwrap();
    let config = |server: &str| {
        let listener = format!("[[server.listeners]]\naddress = \"unix:{}\"\n", unix.display());
        format!("[admin]\nenabled = true\nport = 0\n{}", config(&format!("{server}{listener}")))
    };
    let Some(target) = target(&config(""), &[("NOTIFY_SOCKET", manager.to_str().unwrap())]) else { return };
    let broker = target.broker().unwrap();
    let mut client = target.connect();
    // Nobody gets there any more, whoever listens.
    fs::remove_file(&unix).unwrap();
    broker.configure(&config("drain_delay_seconds = 3600\n"));
    let output = broker.upgrade();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("is not right"), "{said}");
    let log = broker.log();
    assert_eq!(log.matches("listeners=").count(), 2, "both have served: {log}");
    assert_eq!(log.matches("serving the admin listener").count(), 1, "{log}");
    assert!(log.contains("shutting down") && log.contains("code=4200"), "{log}");
    assert!(!log.contains("draining"), "{log}");
    client.subscribe("a");
    hears.set_nonblocking(true).unwrap();
    let mut datagram = [0; 1024];
    while let Ok(length) = hears.recv(&mut datagram) {
        let told = String::from_utf8_lossy(&datagram[..length]);
        assert!(!told.contains("STOPPING"), "{told}");
    }
    fs::remove_file(manager).unwrap();
}

/// Its own configuration has it take minutes, which the signal cuts short as it does without an upgrade.
#[test]
fn a_process_that_was_succeeded_hears_that_it_is_to_stop() {
    let Some(target) = target(&config("drain_connections_per_second = 1\n"), &[]) else { return };
    let broker = target.broker().unwrap();
    let first = broker.pid();
    let mut sockets: Vec<_> = (0..200).map(|_| target.connect()).collect();
    assert!(broker.upgrade().status.success(), "{}", broker.log());
    broker::signal(first, "-TERM");
    sockets.iter_mut().for_each(expect_4200);
    let ended = eventually("the end of the first process", || broker.first_process_ended());
    assert_eq!(ended.code(), Some(0), "{}", broker.log());
    drop(target.connect());
}

/// Where the old process is killed while the new one starts, that one has its place.
#[test]
fn a_process_whose_predecessor_dies_takes_its_place() {
    let Some(target) = target(&config(""), &[]) else { return };
    let broker = target.broker().unwrap();
    let new = Starting::of(broker, &config(""));
    broker.succeeded_by(new.process);
    broker.kill();
    await_log(broker, "has died, and this one takes its place", 1);
    let reload = broker.command("reload").output().unwrap();
    assert!(reload.status.success(), "it answers commands: {}", String::from_utf8_lossy(&reload.stderr));
}

/// It waits for an engine that is away, and would do so for ever.
#[test]
fn a_process_that_waits_for_its_engine_ends_when_it_is_turned_down() {
    let Some(target) = target(&config(""), &[]) else { return };
    let broker = target.broker().unwrap();
    let new = Starting::of(broker, &config(""));
    assert!(!has_ended(new.process));
    broker.terminate();
    let ended = eventually("the end of the first process", || broker.first_process_ended());
    assert_eq!(ended.code(), Some(0), "{}", broker.log());
    await_end(new.process);
}

/// What is changed would not be in force in the new process, which has read its configuration, or is about to.
#[test]
fn while_a_process_starts_nothing_is_changed_and_no_second_one_is_started() {
    let Some(api) = Api::start() else { return };
    be_patient(LONG);
    let broker = api.broker.broker().unwrap();
    let config = fs::read_to_string(broker.config()).unwrap();
    let new = Starting::of(broker, &config);
    let app = r#"{"id": "new", "keys": [{"key": "new-key", "secret": "new-secret"}]}"#;
    let create =
        || api.ask_as(&bearer(TOKEN), "POST", "/api/apps", "Content-Type: application/json\r\n", app);
    let refused = create();
    assert_eq!(refused.status, 503, "{refused}");
    assert!(refused.text().contains("an upgrade is under way"), "{refused}");
    for (output, why) in [
        (broker.reload(&config), "an upgrade is under way"),
        (broker.upgrade(), "not upgraded: an upgrade is under way already"),
    ] {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && said.contains(why), "{said}");
    }
    assert_eq!(api.text(), "", "no file has been written");
    // It does not serve, so that all is as before.
    broker::signal(new.process, "-KILL");
    await_log(broker, "not upgraded; this broker goes on", 1);
    let reload = broker.reload(&config);
    assert!(reload.status.success(), "{}", String::from_utf8_lossy(&reload.stderr));
}
