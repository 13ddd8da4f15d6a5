//! Everything over HTTP ends over TLS as well: what is sent after an answer, and what is never completed. And whoever
//! has shaken hands and says nothing gives way to others.

use std::io::ErrorKind;
use std::time::Instant;

use heliostat_protocol_tests::http::ANSWERED_EARLY;

use super::*;

/// How long a slow client pauses between two pieces.
const PACE: Duration = Duration::from_millis(50);

/// How long the test waits for one expected thing.
const PATIENCE: Duration = Duration::from_secs(20);

const HEALTH: &str = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";

fn hasty(files: &Files, most_http: usize) -> Broker {
    let mut config = files.config();
    config.server.workers = 2;
    config.server.max_http_connections = most_http;
    if most_http == 0 {
        config.server.http_request_timeout = Duration::from_millis(500);
        config.server.keep_alive = Duration::from_secs(1);
    }
    Broker::builder(config).without_test_mode().start().unwrap()
}

impl Client {
    /// Waits for the end of the connection, and has always more to say.
    fn assert_ends(&mut self, start: &str, more: &str) {
        let begun = Instant::now();
        self.0.sock.set_read_timeout(Some(PACE)).unwrap();
        let mut said = self.0.write_all(start.as_bytes());
        let mut heard = [0; 4096];
        while said.is_ok() {
            match self.0.read(&mut heard) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => return,
            }
            assert!(begun.elapsed() < PATIENCE, "{start:?} never ends");
            said = self.0.write_all(more.as_bytes());
        }
    }
}

#[test]
fn nothing_goes_on_for_ever() {
    let files = Files::new("ends");
    let broker = hasty(&files, 0);
    let config = files.client();
    let framings = [("content-length: 900000", "x"), ("transfer-encoding: chunked", "1\r\nx\r\n")];
    let bodies = ANSWERED_EARLY.iter().flat_map(|request| {
        framings.map(|(framing, piece)| {
            (format!("{request} HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n{piece}"), piece)
        })
    });
    let heads = [(HEALTH.to_owned(), "\r\n"), (HEALTH.to_owned(), "a"), (format!("{HEALTH}GET /hea"), "l")];
    let first_heads = [(String::new(), "\r\n"), (String::new(), "a"), ("GET /hea".to_owned(), "l")];
    std::thread::scope(|scope| {
        for (start, more) in bodies.chain(heads).chain(first_heads) {
            let broker = &broker;
            let config = &config;
            scope.spawn(move || Client::connect(broker, config).assert_ends(&start, more));
        }
        // Who never shakes hands: nothing, half a hello, and a hello that goes on for ever.
        for (start, more) in
            [(&b""[..], &b""[..]), (b"\x16\x03\x01\x02\x00", b""), (b"\x16\x03\x01\x40\x00\x01", b"\x00")]
        {
            let address = broker.address();
            scope.spawn(move || {
                let begun = Instant::now();
                let mut socket = Socket::connect(address).unwrap();
                socket.set_read_timeout(Some(PACE)).unwrap();
                let mut said = socket.write_all(start);
                while said.is_ok() {
                    match socket.read(&mut [0; 64]) {
                        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                        }
                        Ok(read) if read > 0 => {}
                        _ => return,
                    }
                    assert!(begun.elapsed() < PATIENCE, "a handshake that begins with {start:?} never ends");
                    said = socket.write_all(more);
                }
            });
        }
    });
}

#[test]
fn whoever_says_nothing_gives_way() {
    let files = Files::new("gives-way");
    let broker = hasty(&files, 3);
    let config = files.client();
    let mut socket = Client::websocket(&broker, &config);
    let mut silent = Vec::new();
    for said in ["", "\r\n", "GET /health HTTP/1.1\r\nHo", HEALTH] {
        silent.extend((0..6).map(|_| {
            let mut client = Client::connect(&broker, &config);
            let _ = client.0.write_all(said.as_bytes()).and_then(|()| client.0.flush());
            let _ = client.0.conn.complete_io(&mut client.0.sock);
            client
        }));
        let begun = Instant::now();
        while !is_healthy(&broker, &config) {
            assert!(begun.elapsed() < PATIENCE, "{said:?} keeps everybody out");
        }
    }
    silent[0].assert_ends("", "");
    socket.say(r#"{"event":"pusher:ping"}"#);
    socket.read_until("pusher:pong");
}

fn is_healthy(broker: &Broker, config: &Arc<ClientConfig>) -> bool {
    let mut client = Client::connect(broker, config);
    let mut heard = Vec::new();
    let asked = client.0.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    asked.is_ok() && {
        // Its end may come without a close_notify.
        let _ = client.0.read_to_end(&mut heard);
        String::from_utf8_lossy(&heard).starts_with("HTTP/1.1 200 ")
    }
}
