//! Where a broker listens: several addresses, both families, Unix sockets; and what is said where one cannot be had.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::wire::upgrade_request;
use heliostat_protocol_tests::{Shared, Target, broker, patience};

const HEALTH: &[u8] = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

/// How long a broker may take to end.
const END_DEADLINE: Duration = Duration::from_secs(10);

fn path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("protocol-tests-{}-{name}", std::process::id()))
}

/// Whether the broker answers there.
fn is_served(mut stream: impl Read + Write) -> bool {
    let mut answer = String::new();
    let asked = stream.write_all(HEALTH).and_then(|()| stream.read_to_string(&mut answer));
    asked.is_ok() && answer.starts_with("HTTP/1.1 200 OK\r\n")
}

fn has_ipv6() -> bool {
    TcpListener::bind("[::1]:0").is_ok()
}

/// What stands between two texts.
fn between<'t>(text: &'t str, before: &str, after: &str) -> &'t str {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before:?} in {text:?}"));
    rest.split(after).next().unwrap_or_default()
}

fn at_unix(path: &Path) -> UnixStream {
    let stream = UnixStream::connect(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    stream.set_read_timeout(Some(patience())).unwrap();
    stream
}

/// Clients and the HTTP API are served at every address and at a Unix socket with its permissions; the log names who comes by
/// the latter; the socket's file goes with the broker.
#[test]
fn a_broker_serves_wherever_it_listens() {
    let socket = path("everywhere.sock");
    let (first, second) = ("address = \"127.0.0.1:0\"", format!("address = \"unix:{}\"", socket.display()));
    let config = format!(
        "[server]\nhost = \"localhost\"\n[[server.listeners]]\n{first}\n[[server.listeners]]\n{second}\nmode = \"0640\"\n{MAIN_APP}"
    );
    // A broker that was killed has left its file.
    drop(UnixListener::bind(&socket));
    let Some(target) = Target::own(&config) else { return };
    let broker = target.broker().unwrap();
    assert!(is_served(TcpStream::connect(("127.0.0.1", target.port)).unwrap()));
    if has_ipv6() {
        assert!(broker.await_line("listens on http://[::1]:").contains(&target.port.to_string()));
        assert!(is_served(TcpStream::connect(("::1", target.port)).unwrap()));
    }
    let further = broker.await_line("listens on http://127.0.0.1:");
    assert!(is_served(TcpStream::connect(between(&further, "http://", ",")).unwrap()));
    assert!(broker.await_line("listens on unix:").contains(socket.to_str().unwrap()));
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);

    assert!(is_served(at_unix(&socket)));
    let event = serde_json::json!({ "name": "a", "channel": "b", "data": "c" });
    let mut publisher = at_unix(&socket);
    publisher.write_all(target.post("/events", &event).bytes().as_slice()).unwrap();
    let mut answer = [0; 15];
    publisher.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    let mut client = at_unix(&socket);
    let hello = upgrade_request(&target, "/app/unknown?protocol=7", &[]);
    client.write_all(hello.as_bytes()).unwrap();
    let mut refused = Vec::new();
    client.read_to_end(&mut refused).unwrap();
    assert!(String::from_utf8_lossy(&refused).contains("101 Switching"), "{refused:?}");
    crate::eventually("the peer in the log", || {
        broker
            .log()
            .lines()
            .any(|line| line.contains("connection refused") && line.contains("peer=unix"))
            .then_some(())
    });
    let mut client = at_unix(&socket);
    client.write_all(upgrade_request(&target, &target.socket_path("protocol=7"), &[]).as_bytes()).unwrap();
    let mut heard = Vec::new();
    while !String::from_utf8_lossy(&heard).contains("connection_established") {
        let mut some = [0; 1024];
        let read = client.read(&mut some).expect("the handshake is answered");
        assert!(read > 0, "{}", String::from_utf8_lossy(&heard));
        heard.extend(&some[..read]);
    }

    broker.terminate();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).unwrap();
    assert!(String::from_utf8_lossy(&rest).contains("come back soon"), "a client there is told, too");
    drop((client, publisher));
    assert_eq!(broker.await_exit(END_DEADLINE).code(), Some(0), "{}", broker.log());
    assert!(!socket.exists(), "the file of the socket is left");
}

/// `::` takes connections of both families, whatever the system's default is, and the log has IPv4 addresses in their own form.
#[test]
fn every_address_means_both_families() {
    if !has_ipv6() {
        return;
    }
    let Some(target) = Target::own(&format!("[server]\nhost = \"::\"\n{MAIN_APP}")) else { return };
    for host in ["127.0.0.1", "::1"] {
        assert!(is_served(TcpStream::connect((host, target.port)).unwrap()), "{host}");
    }
    let mut client = TcpStream::connect(("127.0.0.1", target.port)).unwrap();
    client.write_all(upgrade_request(&target, "/app/unknown?protocol=7", &[]).as_bytes()).unwrap();
    let peer = format!("peer={}", client.local_addr().unwrap());
    crate::eventually("the peer in the log", || target.broker().unwrap().log().contains(&peer).then_some(()));
}

/// Each place that cannot be had is one line that says why, exit code 2, and nothing of others is touched.
///
/// Proves: bad input.
#[test]
fn a_place_that_cannot_be_had_is_explained() {
    let Some(_) = Target::shared(Shared::Main) else { return };
    let precious = path("precious");
    std::fs::write(&precious, "precious").unwrap();
    let live_path = path("live.sock");
    let live = UnixListener::bind(&live_path).unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    let unix = |path: &Path| format!("address = \"unix:{}\"", path.display());
    let cases = [
        (unix(&precious), "there is something else at that path"),
        (unix(&live_path), "another program listens there"),
        (unix(Path::new("/nowhere/at/all.sock")), "No such file"),
        (format!("address = \"{taken}\""), "the port is in use"),
        ("address = \"192.0.2.1:0\"".to_owned(), "no such address"),
        ("address = \"127.0.0.1:6001\"".to_owned(), "cannot listen on both"),
        ("address = \"example.com:6001\"".to_owned(), "must be an IP address with a port"),
        ("address = \"unix:\"".to_owned(), "must be an IP address with a port"),
        (format!("address = \"unix:/{}\"", "x".repeat(200)), "must be an IP address with a port"),
        (
            "address = \"127.0.0.1:7\"\nmode = \"0660\"".to_owned(),
            "left out where the address is no Unix socket",
        ),
        (unix(&precious) + "\nmode = 660", "permissions in octal digits"),
        (unix(&precious) + "\nmode = \"0999\"", "permissions in octal digits"),
        ("tls = true".to_owned(), "needs \"address\""),
        (unix(&precious) + "\nmod = \"0660\"", "did you mean \"server.listeners.mode\"?"),
    ];
    for (listener, expected) in cases {
        let file = path("listener.toml");
        std::fs::write(&file, format!("[[server.listeners]]\n{listener}\n{MAIN_APP}")).unwrap();
        // Nothing listens at the main address where another place cannot be had.
        let port = if expected == "cannot listen on both" { "6001" } else { "0" };
        let output =
            broker::command().args(["--config", file.to_str().unwrap(), "--port", port]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{listener}: {said}");
        assert_eq!(said.lines().count(), 1, "{listener}: {said}");
        assert!(said.contains(expected) && output.stdout.is_empty(), "{listener}: {said}");
        std::fs::remove_file(file).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&precious).unwrap(), "precious");
    assert!(std::fs::metadata(&live_path).unwrap().file_type().is_socket());
    drop(live);
    for path in [precious, live_path] {
        std::fs::remove_file(path).unwrap();
    }
}
