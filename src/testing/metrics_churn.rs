//! Everything comes and goes, and every gauge of the metrics returns to what it was; no counter ever goes down.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::Broker;
use super::storm::{config, histories, storm};
use crate::app::Secret;
use crate::auth;
use crate::config::Config;
use crate::net::{ListenAddress, ListenerConfig};
use crate::pipe::{Context, Failure, OwnedMessage, Pipe};
use crate::webhook::WebhookEndpoint;

/// How long the broker may take to notice that everybody has gone. Removals are held back from webhooks for 3 s.
const DEADLINE: Duration = Duration::from_secs(30);

/// The value of each series, gauges and counters apart. A histogram counts like a counter. What the process itself has is
/// not among them, nor what belongs to `7`, an app that comes and goes.
#[derive(Debug, Default)]
struct Series {
    gauges: BTreeMap<String, f64>,
    counters: BTreeMap<String, f64>,
}

impl Series {
    fn scrape(broker: &Broker) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let text = runtime.block_on(broker.metrics().scrape(None)).body;
        let (mut series, mut is_gauge) = (Series::default(), false);
        for line in text.lines() {
            if let Some(described) = line.strip_prefix("# TYPE ") {
                is_gauge = described.ends_with(" gauge");
            } else if !line.starts_with('#')
                && !line.starts_with("process_")
                && !line.contains("app_id=\"7\"")
            {
                let (name, value) = line.rsplit_once(' ').unwrap();
                let of_its_type = if is_gauge { &mut series.gauges } else { &mut series.counters };
                of_its_type.insert(name.to_owned(), value.parse().unwrap());
            }
        }
        series
    }

    /// Gauges that are not what they were: their names, what they were, and what they are.
    fn changed<'s>(&'s self, before: &'s Series) -> Vec<(&'s str, Option<f64>, Option<f64>)> {
        let names = self.gauges.keys().chain(before.gauges.keys());
        let changed = names.map(|name| (name.as_str(), before.gauges.get(name), self.gauges.get(name)));
        let mut changed: Vec<_> = changed
            // What was missed is remembered until the channel remembers something, whoever has gone.
            .filter(|(name, ..)| !name.starts_with("heliostat_cache_missed_channels"))
            .filter(|(_, before, now)| before != now)
            .map(|(name, before, now)| (name, before.copied(), now.copied()))
            .collect();
        changed.dedup();
        changed
    }

    fn assert_no_lower_than(&self, before: &Series) {
        for (name, count) in &before.counters {
            let now = self.counters.get(name);
            assert!(now.is_some_and(|now| now >= count), "{name}: {count}, and then {now:?}");
        }
    }
}

/// Hears what clients say, and takes a moment for it.
struct Listening;

impl Pipe for Listening {
    fn listens(&self, _: Option<&str>, event: &str) -> bool {
        event == "client-x"
    }

    async fn hear(&self, _: OwnedMessage, _: Context<'static>) -> Result<(), Failure> {
        tokio::task::yield_now().await;
        Ok(())
    }
}

/// An endpoint of webhooks that refuses one request, which is sent again.
fn serve_webhooks() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for (number, socket) in listener.incoming().enumerate() {
            let Ok(mut socket) = socket else { return };
            let status = if number == 1 { "500 No" } else { "200 OK" };
            std::thread::spawn(move || {
                let (mut heard, mut buffer) = (Vec::new(), [0; 4096]);
                while let Ok(read @ 1..) = socket.read(&mut buffer) {
                    heard.extend_from_slice(&buffer[..read]);
                    let text = String::from_utf8_lossy(&heard).to_ascii_lowercase();
                    let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                    let length = head.split_once("content-length: ").unwrap().1;
                    if body.len() >= length.lines().next().unwrap().parse::<usize>().unwrap() {
                        let answer =
                            format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                        let _ = socket.write_all(answer.as_bytes());
                        return;
                    }
                }
            });
        }
    });
    address
}

/// A session of the fallbacks, which receives until it is dropped.
fn session(broker: &Broker, number: usize) -> TcpStream {
    let path =
        format!("/pusher/app/key-1/1{number}/abc{number}/xhr_streaming?protocol=7&client=js&version=8.4.0");
    let head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n");
    open(broker, &head, "connection_established")
}

/// Asks for a connection that lasts, and waits until this was heard.
fn open(broker: &Broker, head: &str, until: &str) -> TcpStream {
    let mut socket = TcpStream::connect(broker.address()).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.write_all(head.as_bytes()).unwrap();
    let (mut heard, mut buffer) = (String::new(), [0; 4096]);
    while !heard.contains(until) {
        let read = socket.read(&mut buffer).unwrap();
        assert!(read > 0, "it has ended: {heard}");
        heard.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    socket
}

/// A stream of a channel, which receives until it is dropped.
fn stream(broker: &Broker, kind: &str) -> TcpStream {
    let head = format!("GET /apps/1/channels/pictures/{kind} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    open(broker, &head, "\r\n\r\n")
}

/// A backend on the wire that takes nothing of what it is told, so that it waits for it.
fn backend(broker: &Broker) -> TcpStream {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let query = format!("auth_key=key-1&auth_timestamp={now}&auth_version=1.0&protocol_version=1.0");
    let signature = auth::sign(&Secret::new("secret"), &format!("WEBSOCKET\n/app/1\n{query}"));
    let head = format!(
        "GET /app/1?{query}&auth_signature={signature} HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\n\
         connection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    let mut socket = open(broker, &head, "socket_id");
    let events = ["socket_message", "socket_existence", "channel_existence", "subscription", "presence"];
    let request = json!({ "id": "1", "method": "subscribe", "params": { "events": events } }).to_string();
    let length = u16::try_from(request.len()).unwrap().to_be_bytes();
    let frame = [&[0x81, 0x80 | 126, length[0], length[1], 0, 0, 0, 0], request.as_bytes()].concat();
    socket.write_all(&frame).unwrap();
    socket
}

/// Asks whether the node is well, behind a header of the PROXY protocol.
fn probe_by_proxy(path: &Path) {
    let mut socket = UnixStream::connect(path).unwrap();
    socket
        .write_all(b"PROXY UNKNOWN\r\nGET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut heard = String::new();
    socket.read_to_string(&mut heard).unwrap();
    assert!(heard.starts_with("HTTP/1.1 200 "), "{heard}");
}

/// Asks for something over HTTP, and reads the answer to the end.
fn get(broker: &Broker, path: &str) {
    let mut socket = TcpStream::connect(broker.address()).unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    socket.write_all(head.as_bytes()).unwrap();
    socket.read_to_end(&mut Vec::new()).unwrap();
}

/// Gauges that are more than nothing at some time.
const GAUGES: [&str; 5] = [
    "heliostat_connections{app_id=\"1\"}",
    "heliostat_pipe_backends{app_id=\"1\"}",
    "heliostat_fallback_sessions",
    "heliostat_http_sockets",
    "heliostat_worker_connections{worker=\"0\"}",
];

/// What is counted at some time.
const COUNTERS: [&str; 10] = [
    "heliostat_connections_opened_total{app_id=\"1\"}",
    "heliostat_messages_received_total{app_id=\"1\"}",
    "heliostat_messages_sent_total{app_id=\"8\"}",
    "heliostat_received_bytes_total{app_id=\"1\"}",
    "heliostat_sent_bytes_total{app_id=\"1\"}",
    "heliostat_events_total{app_id=\"1\",source=\"http\"}",
    "heliostat_http_requests_total{route=\"fallback\",method=\"POST\",status=\"200\"}",
    "heliostat_refusals_total{kind=\"request\",code=\"401\"}",
    "heliostat_sockets_accepted_total",
    "heliostat_worker_turn_seconds_count{worker=\"0\"}",
];

/// Which of them were never more than nothing.
fn unseen(highest: &BTreeMap<String, f64>, last: &Series) -> Vec<&'static str> {
    let is_some =
        |series: &BTreeMap<String, f64>, name: &str| series.get(name).is_some_and(|value| *value > 0.0);
    let gauges = GAUGES.into_iter().filter(|name| !is_some(highest, name));
    gauges.chain(COUNTERS.into_iter().filter(|name| !is_some(&last.counters, name))).collect()
}

/// A broker's configuration, with webhooks, streams, and a listener for proxies at this path.
fn churned(proxied: PathBuf) -> Config {
    let webhooks = serve_webhooks();
    let mut config = config(&["1", "7", "8"]);
    config.apps[0].app.http_streams = true;
    config.fallback.session_timeout = Duration::from_millis(200);
    let endpoint = WebhookEndpoint::new(&format!("http://{webhooks}/")).unwrap();
    config.apps[0].webhooks.endpoints.push(endpoint);
    let address = ListenAddress::Unix(proxied);
    config.server.listeners.push(ListenerConfig { address, mode: 0o600, proxy_protocol: true, tls: false });
    config
}

#[test]
fn every_gauge_returns_and_no_counter_goes_down() {
    let proxied = std::env::temp_dir().join(format!("heliostat-churn-{}.sock", std::process::id()));
    let config = churned(proxied.clone());
    let broker = Broker::builder(config).pipe("1", Listening).without_test_mode().start().unwrap();
    // The first request of a route makes its series.
    get(&broker, "/health");
    let before = Series::scrape(&broker);
    let (mut last, mut highest) = (Series::default(), BTreeMap::<String, f64>::new());
    let left = std::thread::scope(|scope| {
        let storms: Vec<_> =
            histories().into_iter().map(|history| scope.spawn(|| storm(&broker, history))).collect();
        let sessions: Vec<TcpStream> = (0..5).map(|number| session(&broker, number)).collect();
        let mut passed = None;
        // However quickly the storms pass, and however seldom a worker finds the time to tell of its connections.
        loop {
            let _passing =
                [backend(&broker), backend(&broker), stream(&broker, "sse"), stream(&broker, "mjpeg")];
            probe_by_proxy(&proxied);
            get(&broker, "/apps/1/channels");
            let now = Series::scrape(&broker);
            now.assert_no_lower_than(&last);
            for (name, value) in &now.gauges {
                let highest = highest.entry(name.clone()).or_default();
                *highest = highest.max(*value);
            }
            last = now;
            let unseen = unseen(&highest, &last);
            if storms.iter().all(|storm| storm.is_finished()) {
                let passed = passed.get_or_insert_with(Instant::now);
                if unseen.is_empty() {
                    break;
                }
                assert!(passed.elapsed() < DEADLINE, "never more than nothing: {unseen:?}");
            }
        }
        drop(sessions);
        storms.into_iter().flat_map(|storm| storm.join().unwrap()).collect::<Vec<_>>()
    });
    drop(left);
    let began = Instant::now();
    loop {
        let now = Series::scrape(&broker);
        now.assert_no_lower_than(&last);
        let changed = now.changed(&before);
        if changed.is_empty() {
            let delivered = "heliostat_webhook_requests_total{app_id=\"1\",result=\"delivered\"}";
            assert!(now.counters[delivered] > 0.0, "{:#?}", now.counters);
            return;
        }
        assert!(began.elapsed() < DEADLINE, "these have not returned: {changed:#?}");
        last = now;
    }
}
