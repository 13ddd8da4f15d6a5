//! A storm through a whole broker with several workers, after which nothing may be left: no connection, channel, member,
//! user, watcher, remembered event, timer or command.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use super::Broker;
use crate::app::{App, Secret};
use crate::auth;
use crate::config::{AppConfig, Config};
use crate::event::{AcceptedEvent, Destination, Source};
use crate::hub::Totals;
use crate::protocol::json::Data;
use crate::protocol::{ChannelName, SocketId, WrittenSocketId};

const THREADS: usize = 4;
const CLIENTS: usize = 6;
const STEPS: usize = 120;

/// How long the broker may take to notice that everybody has gone.
const DEADLINE: Duration = Duration::from_secs(20);

/// A client that says what it is told to and reads only in order not to be a slow reader.
pub(super) struct StormClient {
    socket: TcpStream,
    id: SocketId,
    app: &'static str,
}

impl StormClient {
    /// `None` if the app is not there at the moment.
    fn connect(broker: &Broker, app: &'static str) -> Option<Self> {
        let mut socket = TcpStream::connect(broker.address()).expect("a broker that listens");
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        let request = format!(
            "GET /app/key-{app}?protocol=7 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).unwrap();
        let mut heard = Vec::new();
        let id = loop {
            let mut buffer = [0; 1024];
            let read = socket.read(&mut buffer).unwrap_or(0);
            heard.extend_from_slice(&buffer[..read]);
            let text = String::from_utf8_lossy(&heard);
            let id = text.split_once(r#"socket_id\":\""#).and_then(|(_, rest)| rest.split_once('\\'));
            match id {
                Some((id, _)) => break WrittenSocketId::parse(id).ok().and_then(WrittenSocketId::ours)?,
                None if read == 0 => return None,
                None => {}
            }
        };
        socket.set_nonblocking(true).unwrap();
        Some(StormClient { socket, id, app })
    }

    /// Says it, if anybody listens. False if the connection has ended.
    fn say(&mut self, value: &Value) -> bool {
        let text = value.to_string();
        let length = u16::try_from(text.len()).unwrap().to_be_bytes();
        let frame = [&[0x81, 0x80 | 126, length[0], length[1], 0, 0, 0, 0], text.as_bytes()].concat();
        let said = self.socket.write_all(&frame).is_ok();
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.socket.read(&mut buffer) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) => return said && error.kind() == ErrorKind::WouldBlock,
            }
        }
    }

    fn subscribe(&mut self, channel: &str, channel_data: Option<&str>) -> bool {
        let name = ChannelName::parse(channel, 164).unwrap();
        let signed = auth::channel::string_to_sign(self.id, &name, channel_data);
        let data = json!({ "channel": channel, "auth": self.auth(&signed), "channel_data": channel_data });
        self.say(&json!({ "event": "pusher:subscribe", "data": data }))
    }

    fn sign_in(&mut self, user: &str, watchlist: &[String]) -> bool {
        let user_data = json!({ "id": user, "watchlist": watchlist }).to_string();
        let signed = auth::user::string_to_sign(self.id, &user_data);
        let data = json!({ "auth": self.auth(&signed), "user_data": user_data });
        self.say(&json!({ "event": "pusher:signin", "data": data }))
    }

    fn auth(&self, signed: &str) -> String {
        format!("key-{}:{}", self.app, auth::sign(&Secret::new("secret"), signed))
    }
}

fn app(id: &str) -> AppConfig {
    let mut app = App::new(id, format!("key-{id}"), "secret");
    app.client_events = true;
    app.subscription_count = true;
    app.watchlist_events = true;
    app.authorized_connections = id == "8";
    app.authorization_timeout = Duration::from_millis(300);
    app.cache_ttl = Duration::from_millis(200);
    AppConfig::new(app)
}

pub(super) fn config(apps: &[&str]) -> Config {
    let mut config = Config { apps: apps.iter().map(|id| app(id)).collect(), ..Config::default() };
    config.server.workers = 3;
    config.connection.ping_after = Duration::from_millis(200);
    config.connection.pong_timeout = Duration::from_millis(200);
    config
}

/// What a client does, or what is done to it.
#[derive(Clone, Copy, Debug)]
enum StormAction {
    JoinPresence,
    JoinPresenceCache,
    JoinPrivate,
    SignIn,
    ClientEvent,
    Leave,
    /// Subscribes and is gone with the same packet.
    JoinAndVanish,
    /// Its user is terminated, and an event published and remembered.
    TerminateAndPublish,
    Ping,
    Vanish,
}

/// One step of a history. Where clients are missing, one connects instead.
#[derive(Clone, Copy, Debug)]
pub(super) struct StormStep {
    app: &'static str,
    client: usize,
    user: u64,
    room: u64,
    happening: StormAction,
}

fn step() -> impl Strategy<Value = StormStep> {
    let happening = prop_oneof![
        3 => Just(StormAction::JoinPresence),
        1 => Just(StormAction::JoinPresenceCache),
        1 => Just(StormAction::JoinPrivate),
        1 => Just(StormAction::SignIn),
        1 => Just(StormAction::ClientEvent),
        1 => Just(StormAction::Leave),
        1 => Just(StormAction::JoinAndVanish),
        1 => Just(StormAction::TerminateAndPublish),
        1 => Just(StormAction::Ping),
        1 => Just(StormAction::Vanish),
    ];
    let app = prop::sample::select(vec!["1", "7", "8"]);
    (app, 0..CLIENTS, 0..5_u64, 0..3_u64, happening)
        .prop_map(|(app, client, user, room, happening)| StormStep { app, client, user, room, happening })
}

/// A history for each thread. They are the same in every run; what differs is how the threads meet, so there is nothing
/// that could be shrunk.
pub(super) fn histories() -> Vec<Vec<StormStep>> {
    let mut runner = TestRunner::deterministic();
    let history = prop::collection::vec(step(), STEPS);
    (0..THREADS).map(|_| history.new_tree(&mut runner).unwrap().current()).collect()
}

/// One thread's part of the storm; returns the clients that are still there.
pub(super) fn storm(broker: &Broker, history: Vec<StormStep>) -> Vec<StormClient> {
    let mut clients: Vec<StormClient> = Vec::new();
    for StormStep { app, client: n, user, room, happening } in history {
        if clients.len() < CLIENTS {
            clients.extend(StormClient::connect(broker, app));
            continue;
        }
        let user = format!("u{user}");
        let presence = format!("presence-{room}");
        let presence_cache = format!("presence-cache-{room}");
        let member = json!({ "user_id": user }).to_string();
        let client = &mut clients[n];
        let lives = match happening {
            StormAction::JoinPresence => client.subscribe(&presence, Some(&member)),
            StormAction::JoinPresenceCache => client.subscribe(&presence_cache, Some(&member)),
            StormAction::JoinPrivate => client.subscribe(&format!("private-{room}"), None),
            StormAction::SignIn => {
                client.sign_in(&user, &(0..6).map(|n| format!("u{n}")).collect::<Vec<_>>())
            }
            StormAction::ClientEvent => {
                client.say(&json!({ "event": "client-x", "channel": presence, "data": "x" }))
            }
            StormAction::Leave => {
                client.say(&json!({ "event": "pusher:unsubscribe", "data": { "channel": presence } }))
            }
            StormAction::JoinAndVanish => {
                client.subscribe(&presence, Some(r#"{"user_id":"brief"}"#));
                false
            }
            StormAction::TerminateAndPublish => {
                terminate_and_publish(broker, client.app, &user, &presence_cache);
                true
            }
            StormAction::Ping => client.say(&json!({ "event": "pusher:ping" })),
            StormAction::Vanish => false,
        };
        if !lives {
            clients.swap_remove(n);
        }
    }
    clients
}

fn terminate_and_publish(broker: &Broker, app: &str, user: &str, channel: &str) {
    let apps = broker.hub.apps();
    let Some(app) = apps.by_id(app) else { return };
    broker.hub.terminate_user(app, user);
    let channel = ChannelName::parse(channel, 164).unwrap();
    let to = Destination::Subscribers { channel, except: None };
    let name = "greet".into();
    let data = Data::of_text("hello");
    broker.hub.accept(app, &AcceptedEvent { source: Source::Http, to, name, data, raw: None });
}

#[test]
fn after_a_storm_nothing_is_left() {
    let broker = Broker::builder(config(&["1", "7", "8"])).without_test_mode().start().unwrap();
    let left: Vec<StormClient> = std::thread::scope(|scope| {
        let storms: Vec<_> = histories()
            .into_iter()
            .map(|history| {
                let broker = &broker;
                scope.spawn(move || storm(broker, history))
            })
            .collect();
        let mut there = true;
        while !storms.iter().all(|storm| storm.is_finished()) {
            there = !there;
            let apps: &[&str] = if there { &["1", "7", "8"] } else { &["1", "8"] };
            broker.reload(config(apps)).unwrap();
            assert!(broker.totals().clients <= THREADS * CLIENTS * 20, "the dead are noticed");
        }
        storms.into_iter().flat_map(|storm| storm.join().unwrap()).collect()
    });
    assert!(left.len() > 5, "{} of them are still there", left.len());
    // These say nothing more, not even to a ping.
    let began = Instant::now();
    let mut totals = broker.totals();
    while totals != Totals::default() {
        assert!(began.elapsed() < DEADLINE, "something is left: {totals:?}");
        totals = broker.totals();
    }
    drop(left);
}
