//! Brokers of tests: as many as are wanted, in one process.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::*;
use crate::app::App;
use crate::config::AppConfig;
use crate::pipe::{AcceptedEvent, Context, RuleSpec};
use crate::protocol::ChannelName;

/// Panics at every event but `frame`, which it sends on.
struct Clumsy;

impl Tap for Clumsy {
    fn listens(&self, channel: Option<&str>, _: &str) -> bool {
        channel == Some("stream")
    }

    fn hear(&self, event: &AcceptedEvent<'_>, context: &Context<'_>) {
        assert_eq!(event.name, "frame");
        assert_eq!(event.channel().map(ChannelName::as_str), Some("stream"));
        context.trigger(&context.channel("mirror").unwrap(), &event.name, &event.data);
    }
}

fn connect(broker: &Broker) -> TcpStream {
    let mut socket = upgrade(broker, App::DEFAULT_KEY);
    read_until(&mut socket, "activity_timeout");
    socket
}

fn upgrade(broker: &Broker, key: &str) -> TcpStream {
    let mut socket = TcpStream::connect(broker.address()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let request = format!(
        "GET /app/{key}?protocol=7 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).unwrap();
    socket
}

/// Sends a short text message, masked with zeros.
fn say(socket: &mut TcpStream, text: &str) {
    let length = u8::try_from(text.len()).unwrap();
    assert!(length < 126);
    socket.write_all(&[&[0x81, 0x80 | length, 0, 0, 0, 0], text.as_bytes()].concat()).unwrap();
}

fn read_until(socket: &mut TcpStream, word: &str) -> String {
    let mut heard = Vec::new();
    while !String::from_utf8_lossy(&heard).contains(word) {
        let mut buffer = [0; 4096];
        let read = socket.read(&mut buffer).unwrap();
        assert!(read > 0, "the broker ended the connection");
        heard.extend_from_slice(&buffer[..read]);
    }
    String::from_utf8_lossy(&heard).into_owned()
}

#[test]
fn a_pipe_that_panics_hurts_nobody() {
    let broker = Broker::builder(Config::development()).tap("1001", Clumsy).start().unwrap();
    let (mut sender, mut mirror) = (connect(&broker), connect(&broker));
    say(&mut mirror, r#"{"event":"pusher:subscribe","data":{"channel":"mirror"}}"#);
    read_until(&mut mirror, "subscription_succeeded");
    say(&mut sender, r#"{"event":"pusher:subscribe","data":{"channel":"stream"}}"#);
    read_until(&mut sender, "subscription_succeeded");
    say(&mut sender, r#"{"event":"other","channel":"stream","data":1}"#);
    say(&mut sender, r#"{"event":"frame","channel":"stream","data":"a picture"}"#);
    assert!(read_until(&mut mirror, "picture").contains(r#""event":"frame""#));
    say(&mut sender, r#"{"event":"pusher:ping"}"#);
    read_until(&mut sender, "pusher:pong");
}

#[test]
fn a_pipe_for_an_unknown_app_is_refused() {
    let refused = Broker::builder(Config::development()).tap("7", Clumsy).start();
    assert!(matches!(refused, Err(StartError::PipeWithoutApp(id)) if id == "7"));
}

#[test]
fn a_rule_whose_target_is_no_channel_is_refused() {
    let mut config = Config::development();
    let rule = RuleSpec::parse(&format!("stream:frame={}", "x".repeat(165))).unwrap();
    config.apps[0].pipe.push(rule);
    let reason = "it has 165 characters, at most 164 are allowed";
    let is_told = |refused: StartError| refused.to_string().contains(reason);
    assert!(Broker::start(config.clone()).is_err_and(is_told));
    let broker = Broker::start(Config::development()).unwrap();
    assert!(broker.reload(config).is_err_and(is_told));
}

#[test]
fn a_reload_ends_whom_it_must_and_leaves_the_others() {
    let app = |id: &str| AppConfig::new(App::new(id, format!("key-{id}"), "s"));
    let mut config = Config::development();
    config.apps.extend([app("7"), app("8")]);
    let broker = Broker::start(config.clone()).unwrap();
    let mut stays = connect(&broker);
    let mut disabled = upgrade(&broker, "key-7");
    let mut removed = upgrade(&broker, "key-8");
    for socket in [&mut disabled, &mut removed] {
        read_until(socket, "activity_timeout");
    }
    say(&mut stays, r#"{"event":"client-x","channel":"private-a","data":1}"#);
    read_until(&mut stays, "not subscribed");

    config.apps.truncate(2);
    config.apps[0].app.client_events = false;
    config.apps[1].app.enabled = false;
    config.apps.push(app("9"));
    let done = broker.reload(config).unwrap();
    assert_eq!(done.to_string(), "apps: added 1 (9), changed 2 (1001, 7), removed 1 (8)");
    read_until(&mut disabled, "The app is disabled");
    read_until(&mut removed, "The app was removed");
    say(&mut stays, r#"{"event":"client-x","channel":"private-a","data":1}"#);
    read_until(&mut stays, "you must enable this feature");
    read_until(&mut upgrade(&broker, "key-7"), "The app is disabled");
    read_until(&mut upgrade(&broker, "key-8"), "Could not find app by key key-8");
    read_until(&mut upgrade(&broker, "key-9"), "activity_timeout");
}

#[test]
fn dropping_a_broker_ends_its_connections_with_4100() {
    let broker = Broker::start(Config::development()).unwrap();
    let address = broker.address();
    let mut socket = connect(&broker);
    let stopping = std::thread::spawn(move || drop(broker));
    let goodbye = read_until(&mut socket, "The broker is stopping");
    assert!(goodbye.len() > 4);
    drop(socket);
    stopping.join().unwrap();
    assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
}
