//! What is refused at a bound is counted: scraped from the admin listener, each by a client that reaches the bound. A broker's
//! own concern.

use std::io::{Read, Write};
use std::net::TcpStream;

use heliostat_protocol_tests::http::Connection;
use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Pipe, Target, Wire, patience};
use serde_json::json;

use crate::eventually;

/// A broker, and the ports of its admin listener and of its listener for proxies.
struct Watched {
    target: Target,
    admin: Target,
    proxied: u16,
}

impl Watched {
    fn start(rest: &str) -> Option<Self> {
        let config = format!(
            "[[server.listeners]]\naddress = \"127.0.0.1:0\"\nproxy_protocol = true\n[admin]\nenabled = true\nport = 0\n\
             [fallback]\nintroduction_timeout_seconds = 0.2\n{MAIN_APP}{rest}"
        );
        let target = Target::own(&config)?;
        let port = |said: &str| -> u16 {
            let line = target.broker().unwrap().await_line(said);
            let behind = &line[line.find(said).unwrap() + said.len()..];
            let (_, port) = behind.split_once(':').unwrap();
            port.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
        };
        // In the order in which the broker tells them.
        let proxied = port("listens on http://");
        let mut admin = target.clone();
        (admin.port, admin.path_prefix) = (port("serves the admin listener on http://"), String::new());
        Some(Watched { target, admin, proxied })
    }

    /// The value of a series now; 0 where it is not there.
    fn value(&self, series: &str) -> f64 {
        let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let answer = Connection::open(&self.admin).exchange(request).expect("an answer");
        let text = answer.text();
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().unwrap())
    }

    #[track_caller]
    fn await_value(&self, series: &str, value: f64) {
        eventually(&format!("{series} {value}, which is {}", self.value(series)), || {
            (self.value(series) == value).then_some(())
        });
    }
}

/// Backends that are not let in, and requests of theirs that are answered with an error.
#[test]
fn what_backends_are_refused_is_counted() {
    let Some(watched) = Watched::start("[apps.limits]\npipe_connections = 1\n") else { return };
    let mut pipe = Pipe::connect_as(&watched.target, Some("1.0"));
    let _ = pipe.refused("no_such_method", &json!({}));
    pipe.request("ping", &json!({}));
    watched.await_value("heliostat_pipe_refused_requests_total{app_id=\"1001\"}", 1.0);
    let second = Pipe::upgrade(&watched.target, &Pipe::path(&watched.target, Some("1.0")));
    watched.await_value("heliostat_refusals_total{kind=\"backend\",code=\"4004\"}", 1.0);
    let stale = Pipe::upgrade(&watched.target, &Pipe::path_at(&watched.target, Some("1.0"), 1));
    watched.await_value("heliostat_refusals_total{kind=\"backend\",code=\"4009\"}", 1.0);
    drop((second, stale));
}

/// Events over the pace of a rule.
#[test]
fn what_a_pace_holds_back_is_counted() {
    let rule = "[[apps.pipe]]\nfrom = 'stream'\nevent = 'frame'\nto = 'mirror'\nrate = '1/h'\n";
    let Some(watched) = Watched::start(rule) else { return };
    let mut sender = watched.target.connect();
    sender.subscribe("stream");
    for n in 0..4 {
        sender.trigger("stream", "frame", &json!(n));
    }
    watched.await_value("heliostat_pipe_paced_events_total{app_id=\"1001\"}", 3.0);
}

/// Connections that begin with no header of the PROXY protocol where one is due; one that only looks whether somebody is here is
/// none.
#[test]
fn what_begins_without_its_header_is_counted() {
    let Some(watched) = Watched::start("") else { return };
    let connect = || {
        let stream = TcpStream::connect(("127.0.0.1", watched.proxied)).unwrap();
        stream.set_read_timeout(Some(patience())).unwrap();
        stream
    };
    drop(connect());
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"PROXY TCP5 1 2 3 4\r\n"] {
        let mut stream = connect();
        stream.write_all(bytes).unwrap();
        assert_eq!(stream.read(&mut [0; 16]).unwrap_or(0), 0);
    }
    watched.await_value("heliostat_proxy_headers_refused_total", 2.0);
}

/// Clients of SockJS that name no app in time, whichever way they come.
#[test]
fn who_names_no_app_is_counted() {
    let Some(watched) = Watched::start("") else { return };
    let series = "heliostat_refusals_total{kind=\"connection\",code=\"4009\"}";
    let socket = Wire::upgrade(&watched.target, "/pusher/websocket", &[]);
    watched.await_value(series, 1.0);
    drop(socket);
    let session =
        b"POST /pusher/000/abcdefgh/xhr_streaming HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
    let mut stream = TcpStream::connect((watched.target.host.as_str(), watched.target.port)).unwrap();
    stream.write_all(session).unwrap();
    watched.await_value(series, 2.0);
}

/// Ids of what was published that give way to others, and what is published again under one that is known.
#[test]
fn what_ids_are_forgotten_is_counted() {
    let Some(watched) = Watched::start("limits = { publish_ids = 2 }\n") else { return };
    for id in ["a", "b", "c", "c", "d"] {
        let body = json!({ "name": "x", "channel": "room", "data": "x", "id": id });
        watched.target.events(&body).assert_empty_object();
    }
    watched.await_value("heliostat_publish_ids", 2.0);
    watched.await_value("heliostat_publish_ids_forgotten_total", 2.0);
    watched.await_value("heliostat_repeated_publishes_total", 1.0);
    assert!(watched.value("heliostat_publish_id_bytes") > 0.0);
}
