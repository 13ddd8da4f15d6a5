//! A worker thread dies by a fault of the program: what it had ends with it, it is seen, and the others serve on.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::Broker;
use crate::config::Config;

/// How long the broker may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// What comes of a request, to its end.
fn ask(broker: &Broker, request: &str) -> String {
    let mut stream = connect(broker);
    let request = format!("{request} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    // Nothing comes of one that is handed over at the moment of the death.
    let _ = stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_string(&mut answer));
    answer
}

fn connect(broker: &Broker) -> TcpStream {
    let stream = TcpStream::connect(broker.address()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// A client that comes until it is taken: one that is handed over at the moment of the death comes for nothing.
fn client(broker: &Broker) -> TcpStream {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Ok(stream) = handshake(broker) {
            return stream;
        }
        assert!(Instant::now() < end, "nobody is taken any more");
    }
}

fn handshake(broker: &Broker) -> std::io::Result<TcpStream> {
    let mut stream = connect(broker);
    stream.write_all(
            b"GET /app/app-key?protocol=7 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )?;
    let mut first = [0; 12];
    stream.read_exact(&mut first)?;
    assert_eq!(&first, b"HTTP/1.1 101");
    Ok(stream)
}

/// A client hears that it is taken a little before it counts.
fn wait_for_connections(broker: &Broker, count: usize) {
    let end = Instant::now() + DEADLINE;
    while broker.hub.sockets().len() != count {
        assert!(Instant::now() < end, "{} connections instead of {count}", broker.hub.sockets().len());
        std::thread::yield_now();
    }
}

#[test]
fn a_worker_that_dies_is_seen_and_the_others_serve_on() {
    let mut config = Config::development();
    config.server.port = 0;
    config.server.workers = 2;
    config.admin.enabled = false;
    let broker = Broker::start(config).unwrap();
    let mut clients: Vec<_> = (0..8).map(|_| client(&broker)).collect();
    wait_for_connections(&broker, 8);
    broker.hub.kill_worker(0);
    let end = Instant::now() + DEADLINE;
    let health = loop {
        let health = ask(&broker, "GET /health");
        if health.starts_with("HTTP/1.1 503") {
            break health;
        }
        assert!(Instant::now() < end, "nothing is wrong: {health}");
    };
    assert!(
        health.starts_with("HTTP/1.1 503") && health.contains("broken: a worker thread has died"),
        "{health}"
    );
    // Half of them were its.
    wait_for_connections(&broker, 4);
    // Whoever comes is served.
    clients.extend((0..8).map(|_| client(&broker)));
    wait_for_connections(&broker, 12);
    drop(broker);
    for mut client in clients {
        let mut rest = Vec::new();
        // Those of the dead one may have been reset.
        let _ = client.read_to_end(&mut rest);
    }
}
