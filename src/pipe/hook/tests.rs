//! Hooks in a real broker: what they can do, and what they cannot do to others.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::*;
use crate::config::Config;
use crate::protocol::SocketId;
use crate::testing::Broker;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A client on the public channel `stream`, over plain TCP.
struct Client {
    stream: TcpStream,
    heard: Vec<u8>,
}

impl Client {
    fn connect(broker: &Broker) -> Self {
        let mut stream = TcpStream::connect(broker.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = "GET /app/app-key?protocol=7 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
                       Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut client = Client { stream, heard: Vec::new() };
        client.hear("activity_timeout");
        client
    }

    fn subscribed(broker: &Broker, channel: &str) -> Self {
        let mut client = Client::connect(broker);
        client.say(&json!({ "event": "pusher:subscribe", "data": { "channel": channel } }));
        client.hear("subscription_succeeded");
        client
    }

    /// Sends a short text message, masked with zeros.
    fn say(&mut self, message: &Value) {
        let text = message.to_string();
        let length = u16::try_from(text.len()).unwrap().to_be_bytes();
        let header = [0x81, 0x80 | 126, length[0], length[1], 0, 0, 0, 0];
        self.stream.write_all(&[&header, text.as_bytes()].concat()).unwrap();
    }

    fn trigger(&mut self, event: &str, data: &Value) {
        self.say(&json!({ "event": event, "channel": "stream", "data": data }));
    }

    /// Reads until `word` has come, and forgets what came up to it.
    fn hear(&mut self, word: &str) {
        loop {
            let found = self.heard.windows(word.len()).position(|window| window == word.as_bytes());
            if let Some(at) = found {
                self.heard.drain(..at + word.len());
                return;
            }
            let mut buffer = [0; 4096];
            let read = self.stream.read(&mut buffer).unwrap();
            assert!(read > 0, "the broker ended the connection before {word:?}");
            self.heard.extend_from_slice(&buffer[..read]);
        }
    }

    /// Proves that the broker still serves the connection.
    fn is_served(&mut self) {
        self.say(&json!({ "event": "pusher:ping" }));
        self.hear("pusher:pong");
    }
}

/// Waits until the counts of the only hook are as wanted.
#[track_caller]
fn until(broker: &Broker, wanted: impl Fn(PipeCounts) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let counts = broker.pipe_counts()[0];
        if wanted(counts) {
            return;
        }
        assert!(Instant::now() < deadline, "{counts:?}");
        std::thread::yield_now();
    }
}

fn start(pipe: impl Pipe) -> Broker {
    Broker::builder(Config::development()).pipe("1001", pipe).without_test_mode().start().unwrap()
}

/// Does what the event asks for.
struct Obedient;

impl Pipe for Obedient {
    fn listens(&self, _: Option<&str>, event: &str) -> bool {
        assert_ne!(event, "impossible", "a question that is answered with a panic");
        event != "unwanted"
    }

    fn settings(&self) -> PipeSettings {
        PipeSettings { timeout: Duration::from_millis(50), ..PipeSettings::default() }
    }

    async fn hear(&self, message: OwnedMessage, context: Context<'static>) -> Result<(), Failure> {
        let Source::Client { socket_id, .. } = message.source.clone() else { return Ok(()) };
        let event = message.event.as_str();
        match event {
            "echo" => assert!(context.send_to_socket(socket_id, "echoed", &message.data)),
            "forward" => {
                // A context may be kept and used elsewhere, and a hook may wait.
                let elsewhere = context.clone();
                tokio::spawn(async move {
                    let mirror = elsewhere.channel("mirror")?;
                    elsewhere.trigger(&mirror, "forwarded", &message.data);
                    Ok::<(), Failure>(())
                })
                .await??;
            }
            "look" => {
                let stream = context.channel("stream")?;
                let state = context.channel_state(&stream).ok_or("nobody is there")?;
                let all = context.channels("str").len();
                let text = format!("{} of {all}", state.subscription_count);
                assert!(context.send_to_socket(socket_id, "seen", &Data::of_text(&text)));
            }
            "close" => assert!(context.close_socket(socket_id)),
            "nobody" => {
                let nobody = SocketId::new(1, 1);
                assert!(!context.close_socket(nobody));
                assert!(!context.send_to_socket(nobody, "e", &message.data));
                assert_eq!(context.send_to_user("nobody", "e", &message.data)?, 0);
                assert!(context.send_to_user("no body", "e", &message.data).is_err());
            }
            "fail" => return Err("as it was told".into()),
            "panic" => panic!("as it was told"),
            "hang" => std::future::pending().await,
            _ => {}
        }
        Ok(())
    }
}

#[test]
fn a_hook_sends_looks_and_closes() {
    let broker = start(Obedient);
    let mut client = Client::subscribed(&broker, "stream");
    let mut mirror = Client::subscribed(&broker, "mirror");
    client.trigger("echo", &json!({ "n": 1 }));
    client.hear(r#"{"event":"echoed","data":"{\"n\":1}"}"#);
    client.trigger("forward", &json!("a picture"));
    mirror.hear(r#"{"event":"forwarded","data":"a picture","channel":"mirror"}"#);
    client.trigger("look", &json!(null));
    client.hear(r#""data":"1 of 1""#);
    client.trigger("nobody", &json!(null));
    client.trigger("close", &json!(null));
    client.hear("You got disconnected by the app.");
    until(&broker, |counts| counts.heard == 5);
    assert_eq!(broker.pipe_counts()[0].failed, 0);
    mirror.is_served();
}

#[test]
fn errors_panics_and_hangs_hurt_nobody_and_are_counted() {
    let broker = start(Obedient);
    let mut client = Client::subscribed(&broker, "stream");
    for event in ["fail", "panic", "hang", "echo", "panic"] {
        client.trigger(event, &json!(null));
    }
    client.hear("echoed");
    until(&broker, |counts| counts.panicked == 2);
    let expected = PipeCounts { heard: 1, failed: 1, panicked: 2, timed_out: 1, dropped: 0 };
    assert_eq!(broker.pipe_counts()[0], expected);
    // A panic at the question is a no.
    client.trigger("impossible", &json!(null));
    client.hear("Unsupported event received on socket: impossible");
    client.trigger("unwanted", &json!(null));
    client.hear("Unsupported event received on socket: unwanted");
    client.is_served();
    assert_eq!(broker.pipe_counts()[0], PipeCounts { panicked: 3, ..expected });
}

/// Blocks its thread at the first event, until it is let go, and says what it has heard.
struct Slow {
    settings: PipeSettings,
    go: Mutex<Receiver<()>>,
    heard: Sender<(String, String)>,
}

impl Slow {
    fn start(when_full: WhenFull) -> (Broker, Sender<()>, Receiver<(String, String)>) {
        let settings = PipeSettings { queue_messages: 3, when_full, ..PipeSettings::default() };
        let ((go, wait), (heard, told)) = (channel(), channel());
        (start(Slow { settings, go: Mutex::new(wait), heard }), go, told)
    }
}

impl Pipe for Slow {
    fn listens(&self, _: Option<&str>, _: &str) -> bool {
        true
    }

    fn settings(&self) -> PipeSettings {
        self.settings
    }

    async fn hear(&self, message: OwnedMessage, _: Context<'static>) -> Result<(), Failure> {
        self.heard.send((message.event, message.data.text().into_owned()))?;
        // An error means that nobody will say so any more: then all goes on.
        let _ = self.go.lock().map(|go| go.recv());
        Ok(())
    }
}

#[test]
fn a_hook_that_cannot_keep_up_loses_by_its_policy_and_holds_nobody_up() {
    let table: [(WhenFull, &[&str]); 3] = [
        (WhenFull::DropNewest, &["1", "2", "3"]),
        (WhenFull::DropOldest, &["5", "6", "7"]),
        (WhenFull::KeepLatest, &["1", "2", "7"]),
    ];
    for (when_full, expected) in table {
        let (broker, go, told) = Slow::start(when_full);
        let mut client = Client::subscribed(&broker, "stream");
        client.trigger("first", &json!("0"));
        assert_eq!(told.recv_timeout(PATIENCE).unwrap().1, "0");
        for (n, event) in ["a", "b", "c", "c", "c", "c", "c"].into_iter().enumerate() {
            client.trigger(event, &json!((n + 1).to_string()));
        }
        // The sender is served while the hook sleeps.
        client.is_served();
        assert_eq!(broker.pipe_counts()[0].dropped, 4);
        drop(go);
        let heard: Vec<String> = (0..3).map(|_| told.recv_timeout(PATIENCE).unwrap().1).collect();
        assert_eq!(heard, expected, "{when_full:?}");
        until(&broker, |counts| counts.heard == 4);
    }
}

#[test]
fn a_broker_that_stops_lets_its_hooks_hear_what_waits_but_not_for_ever() {
    let (broker, go, told) = Slow::start(WhenFull::DropNewest);
    let mut client = Client::subscribed(&broker, "stream");
    for n in 0..3 {
        client.trigger("e", &json!(n.to_string()));
    }
    client.is_served();
    drop(go);
    drop(client);
    drop(broker);
    assert_eq!(told.iter().map(|(_, text)| text).collect::<Vec<_>>(), ["0", "1", "2"]);

    let mut config = Config::development();
    config.server.shutdown_grace = Duration::from_millis(100);
    let ((go, wait), (heard, told)) = (channel(), channel());
    let slow = Slow { settings: PipeSettings::default(), go: Mutex::new(wait), heard };
    let broker = Broker::builder(config).pipe("1001", slow).without_test_mode().start().unwrap();
    let mut client = Client::subscribed(&broker, "stream");
    client.trigger("e", &json!("stuck"));
    assert_eq!(told.recv_timeout(PATIENCE).unwrap().1, "stuck");
    let began = Instant::now();
    drop(broker);
    assert!(began.elapsed() < PATIENCE, "a hook that blocks its thread keeps no broker from ending");
    drop(go);
}

/// Hears what is published over HTTP, because it says so.
struct Curious(Sender<Source>);

impl Pipe for Curious {
    fn listens(&self, _: Option<&str>, _: &str) -> bool {
        false
    }

    fn hears(&self, source: &Source, channel: Option<&str>, _: &str) -> bool {
        *source == Source::Http && channel == Some("news")
    }

    async fn hear(&self, message: OwnedMessage, _: Context<'static>) -> Result<(), Failure> {
        Ok(self.0.send(message.source)?)
    }
}

#[test]
fn a_hook_may_hear_what_is_published() {
    let (sender, heard) = channel();
    let broker = start(Curious(sender));
    let body = r#"{"name":"e","channels":["other","news"],"data":"{}"}"#;
    let query = {
        use md5::Digest;
        let hash = hex::encode(md5::Md5::digest(body));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        format!("auth_key=app-key&auth_timestamp={now}&auth_version=1.0&body_md5={hash}")
    };
    let signed = format!("POST\n/apps/1001/events\n{query}");
    let signature = crate::auth::sign(&crate::app::Secret::new("app-secret"), &signed);
    let mut stream = TcpStream::connect(broker.address()).unwrap();
    write!(
        stream,
        "POST /apps/1001/events?{query}&auth_signature={signature} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), Source::Http);
    assert!(heard.recv_timeout(Duration::ZERO).is_err(), "and only that");
}

/// Sends what it hears to all but the sender, and tells what its thread has logged meanwhile.
struct Logged(Sender<String>);

/// What a thread has logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Pipe for Logged {
    fn listens(&self, _: Option<&str>, event: &str) -> bool {
        event == "send"
    }

    async fn hear(&self, message: OwnedMessage, context: Context<'static>) -> Result<(), Failure> {
        let Source::Client { socket_id, .. } = message.source else { return Ok(()) };
        let stream = context.channel("stream")?;
        let lines = Lines::default();
        let writer = lines.clone();
        let log = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_ansi(false);
        tracing::subscriber::with_default(log.with_writer(move || writer.clone()).finish(), || {
            context.trigger_except(&stream, "sent", &message.data, Some(socket_id));
            assert!(context.send_to_socket(socket_id, "alone", &message.data));
        });
        let lines = lines.0.lock().unwrap().clone();
        Ok(self.0.send(String::from_utf8(lines)?)?)
    }
}

#[test]
fn what_a_hook_sends_is_told_at_debug() {
    let (sender, logged) = channel();
    let broker = start(Logged(sender));
    let mut clients: [Client; 3] = std::array::from_fn(|_| Client::subscribed(&broker, "stream"));
    clients[0].trigger("send", &json!("12345"));
    let log = logged.recv_timeout(PATIENCE).unwrap();
    let [sent, alone] = ["sent", "alone"].map(|event| {
        let event = format!("event=\"{event}\"");
        log.lines().find(|line| line.contains("event accepted") && line.contains(&event)).unwrap_or_else(
            || {
                panic!("no {event}: {log}");
            },
        )
    });
    for part in ["app=\"1001\"", "channel=stream", "bytes=5", "source=\"pipe\"", "subscriptions=2"] {
        assert!(sent.contains(part), "no {part}: {sent}");
    }
    for part in ["app=\"1001\"", "bytes=5", "source=\"pipe\"", "to="] {
        assert!(alone.contains(part), "no {part}: {alone}");
    }
}
