//! A whole broker with a bus that leads nowhere: what clients of every transport, and backends, see of waiting for it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::oneshot;

use super::Broker;
use crate::app::{App, Secret};
use crate::auth;
use crate::auth::request::signed_query;
use crate::config::Config;
use crate::hub::{FakeBus, Taken};

/// How long anything may take, on any machine.
pub(super) const DEADLINE: Duration = Duration::from_secs(30);

/// A broker, and the bus that it has.
struct BusNode {
    broker: Broker,
    bus: Arc<FakeBus>,
}

impl BusNode {
    fn new() -> Self {
        let mut config = Config::development();
        config.server.port = 0;
        config.server.workers = 2;
        config.admin.enabled = false;
        let broker = Broker::start(config).unwrap();
        let bus = Arc::<FakeBus>::default();
        broker.hub.set_bus(bus.clone());
        BusNode { broker, bus }
    }

    fn connect(&self) -> TcpStream {
        connect(&self.broker)
    }

    fn post(&self, path: &str, body: &str) -> TcpStream {
        let mut stream = self.connect();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        stream
    }

    /// A request of the app's backend.
    fn ask(&self, path: &str, body: &str) -> TcpStream {
        let app = App::new(App::DEFAULT_ID, App::DEFAULT_KEY, App::DEFAULT_SECRET);
        let path = format!("/apps/{}/{path}", app.id);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let query = signed_query(&app.keys[0], "POST", &path, body, now);
        self.post(&format!("{path}?{query}"), body)
    }

    fn pipe(&self) -> TcpStream {
        pipe(&self.broker)
    }

    fn until<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(Instant::now() < end, "{what}");
            std::thread::yield_now();
        }
    }

    /// The claim that waits next.
    fn claim(&self) -> oneshot::Sender<()> {
        self.until("a claim", || self.bus.waiting_claims().pop_front())
    }

    fn until_nothing_is_claimed(&self) {
        self.until("all is released", || (self.bus.claims() == 0).then_some(()));
        let hub = &self.broker.hub;
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let is_empty = || {
            let totals = runtime.block_on(hub.totals());
            totals.connections + totals.subscriptions + totals.waiting_joins == 0
        };
        self.until("nobody is left", || is_empty().then_some(()));
    }
}

fn connect(broker: &Broker) -> TcpStream {
    let stream = TcpStream::connect(broker.address()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// A client.
pub(super) fn client(broker: &Broker) -> TcpStream {
    let mut socket = connect(broker);
    socket.write_all(upgrade("/app/app-key?protocol=7").as_bytes()).unwrap();
    socket
}

/// A backend on the pipe's wire.
pub(super) fn pipe(broker: &Broker) -> TcpStream {
    let mut stream = connect(broker);
    let path = format!("/app/{}", App::DEFAULT_ID);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let key = App::DEFAULT_KEY;
    let query = format!("auth_key={key}&auth_timestamp={now}&auth_version=1.0&protocol_version=1.0");
    let signed = format!("WEBSOCKET\n{path}\n{query}");
    let signature = auth::sign(&Secret::new(App::DEFAULT_SECRET), &signed);
    stream.write_all(upgrade(&format!("{path}?{query}&auth_signature={signature}")).as_bytes()).unwrap();
    stream
}

/// The request of a WebSocket.
fn upgrade(target: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

pub(super) fn say(socket: &mut TcpStream, text: &str) {
    let length = u8::try_from(text.len()).unwrap();
    assert!(length < 126);
    socket.write_all(&[&[0x81, 0x80 | length, 0, 0, 0, 0], text.as_bytes()].concat()).unwrap();
}

pub(super) fn read_until(socket: &mut TcpStream, word: &str) -> String {
    let mut heard = Vec::new();
    while !String::from_utf8_lossy(&heard).contains(word) {
        let mut buffer = [0; 4096];
        let read = socket.read(&mut buffer).unwrap();
        assert!(read > 0, "no {word} in {}", String::from_utf8_lossy(&heard));
        heard.extend_from_slice(&buffer[..read]);
    }
    String::from_utf8_lossy(&heard).into_owned()
}

/// The engine has taken all of this. Whoever asked may have gone.
fn answer_all(taken: Vec<Taken>) {
    for taken in taken {
        let _ = taken.send(Ok(()));
    }
}

/// Whether nothing has come so far.
fn is_silent(socket: &mut TcpStream) -> bool {
    socket.set_nonblocking(true).unwrap();
    let read = socket.read(&mut [0; 64]);
    socket.set_nonblocking(false).unwrap();
    read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

const SUBSCRIBE: &str = r#"{"event":"pusher:subscribe","data":{"channel":"a"}}"#;
const UNSUBSCRIBE: &str = r#"{"event":"pusher:unsubscribe","data":{"channel":"a"}}"#;
const PING: &str = r#"{"event":"pusher:ping","data":{}}"#;

#[test]
fn a_client_on_a_websocket_goes_on_while_its_join_waits() {
    let node = BusNode::new();
    node.bus.have_claims_wait();
    let mut socket = node.connect();
    socket.write_all(upgrade("/app/app-key?protocol=7").as_bytes()).unwrap();
    read_until(&mut socket, "connection_established");
    // Subscribe, unsubscribe, subscribe: the first is cancelled silently, a third is one too many.
    say(&mut socket, SUBSCRIBE);
    let first = node.claim();
    say(&mut socket, UNSUBSCRIBE);
    say(&mut socket, SUBSCRIBE);
    let second = node.claim();
    say(&mut socket, SUBSCRIBE);
    read_until(&mut socket, "Existing subscription to channel a");
    let _ = first.send(());
    say(&mut socket, PING);
    let heard = read_until(&mut socket, "pusher:pong");
    // Unless this took a second.
    assert!(!heard.contains("subscription_succeeded") || second.is_closed(), "{heard}");
    if second.send(()).is_ok() {
        read_until(&mut socket, "subscription_succeeded");
    }
    assert_eq!(node.bus.claims(), 1);
    say(&mut socket, UNSUBSCRIBE);
    say(&mut socket, SUBSCRIBE);
    let _waiting = node.claim();
    drop(socket);
    node.until_nothing_is_claimed();
}

#[test]
fn a_session_of_the_fallbacks_is_answered_when_its_join_is() {
    let node = BusNode::new();
    node.bus.have_claims_wait();
    let session = "/pusher/app/app-key/1/abcdefgh";
    let mut receiving = node.post(&format!("{session}/xhr_streaming?protocol=7"), "");
    read_until(&mut receiving, "connection_established");
    let message = serde_json::json!([SUBSCRIBE]).to_string();
    read_until(&mut node.post(&format!("{session}/xhr_send"), &message), "204");
    node.claim().send(()).unwrap_or(());
    read_until(&mut receiving, "subscription_succeeded");
    assert_eq!(node.bus.claims(), 1);
    let message = serde_json::json!([UNSUBSCRIBE, SUBSCRIBE]).to_string();
    read_until(&mut node.post(&format!("{session}/xhr_send"), &message), "204");
    // Never confirmed.
    let _never = node.claim();
    read_until(&mut receiving, "subscription_succeeded");
    node.until("it is released", || (node.bus.claims() == 1).then_some(()));
}

#[test]
fn a_stream_over_http_begins_when_its_join_is_answered_and_whoever_goes_before_leaves_nothing() {
    let node = BusNode::new();
    node.bus.have_claims_wait();
    let request = b"GET /apps/1001/channels/a/sse HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut stream = node.connect();
    stream.write_all(request).unwrap();
    let confirm = node.claim();
    assert!(is_silent(&mut stream) || confirm.is_closed());
    let _ = confirm.send(());
    read_until(&mut stream, ": events of a");
    let mut impatient = node.connect();
    impatient.write_all(request).unwrap();
    let _never = node.claim();
    drop(impatient);
    drop(stream);
    node.until_nothing_is_claimed();
}

#[test]
fn a_backend_is_answered_when_the_engine_has_taken_its_events() {
    let node = BusNode::new();
    for (path, body, events) in [
        ("events", r#"{"name":"e","channels":["a","b"],"data":"x"}"#, 2),
        ("batch_events", r#"{"batch":[{"name":"e","channel":"a","data":"x"}]}"#, 1),
    ] {
        let mut answer = node.ask(path, body);
        let mut taken = Vec::new();
        node.until("all are carried", || {
            taken.extend(node.bus.take_taken());
            (taken.len() == events).then_some(())
        });
        assert!(is_silent(&mut answer) || taken.iter().any(oneshot::Sender::is_closed));
        answer_all(taken);
        read_until(&mut answer, "200 OK");
    }
    let mut late = node.ask("events", r#"{"name":"e","channel":"a","data":"x"}"#);
    read_until(&mut late, "200 OK");
    let mut terminated = node.ask("users/7/terminate_connections", "");
    node.until("it is carried", || (!node.bus.terminated().is_empty()).then_some(()));
    node.until("it is taken", || {
        let taken = node.bus.take_taken();
        let any = !taken.is_empty();
        answer_all(taken);
        any.then_some(())
    });
    // The one that nobody waits for any more may have been the first.
    let answer = read_until(&mut terminated, "\r\n\r\n");
    assert!(answer.contains("200 OK") || answer.contains("503"), "{answer}");
    node.bus.go_away();
    read_until(&mut node.ask("events", r#"{"name":"e","channel":"a","data":"x"}"#), "200 OK");
    let answer = read_until(&mut node.ask("users/7/terminate_connections", ""), "try again");
    assert!(answer.contains("503 Service Unavailable"), "{answer}");
}

#[test]
fn a_backend_on_the_wire_is_answered_when_the_engine_has_taken_its_event_and_waits_for_nothing_without_an_id()
{
    let node = BusNode::new();
    let mut pipe = node.pipe();
    read_until(&mut pipe, "connection_established");
    let send = r#""method":"send_to_channel","params":{"channel":"a","event":"e","data":"x"}}"#;
    say(&mut pipe, &format!(r#"{{"id":"first",{send}"#));
    let taken = node.until("it is carried", || Some(node.bus.take_taken()).filter(|taken| !taken.is_empty()));
    assert!(is_silent(&mut pipe) || taken.iter().any(oneshot::Sender::is_closed));
    answer_all(taken);
    read_until(&mut pipe, "first");
    say(&mut pipe, &format!("{{{send}"));
    say(&mut pipe, r#"{"id":"second","method":"ping"}"#);
    read_until(&mut pipe, "second");
    assert_eq!((node.bus.carried().len(), node.bus.take_taken().len()), (2, 0));
}
