//! A program in Rust over tungstenite, the WebSocket library that such programs have: it names its connections by their
//! URL, loses one without a word, and is sent what it missed. The library echoes pings by itself, whenever it reads.
#![allow(clippy::unwrap_used, reason = "a panic is how a test reports its failure")]

use std::net::TcpStream;

use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Target, unique};
use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

struct Client(WebSocket<TcpStream>);

impl Client {
    /// Connects under this name and subscribes.
    fn open(target: &Target, name: &str, channel: &str) -> Self {
        let (host, port) = (&target.host, target.port);
        let stream = TcpStream::connect((host.as_str(), port)).unwrap();
        let url =
            format!("ws://{host}:{port}/r/{name}/app/{}?protocol=7&client=rust", target.credentials.key);
        let (socket, _) = tungstenite::client(url, stream).unwrap();
        let mut client = Client(socket);
        client.until("pusher:connection_established");
        client.send(&json!({ "event": "pusher:subscribe", "data": { "channel": channel } }));
        client.until("pusher_internal:subscription_succeeded");
        client
    }

    fn send(&mut self, message: &Value) {
        self.0.send(Message::text(message.to_string())).unwrap();
    }

    /// The next message: its event, and its data.
    fn next(&mut self) -> (String, Value) {
        loop {
            if let Message::Text(text) = self.0.read().unwrap() {
                let message: Value = serde_json::from_str(&text).unwrap();
                let data = match &message["data"] {
                    Value::String(text) => serde_json::from_str(text).unwrap(),
                    other => other.clone(),
                };
                return (message["event"].as_str().unwrap().to_owned(), data);
            }
        }
    }

    /// The data of the next message, which must be of this event.
    #[track_caller]
    fn until(&mut self, event: &str) -> Value {
        let (came, data) = self.next();
        assert_eq!(came, event, "with {data}");
        data
    }
}

/// What is published while nobody is there comes in order, before what is live, and then the word that this was all.
///
/// Proves: clients, recovery.
#[test]
fn it_is_sent_what_it_missed() {
    let config = format!("{MAIN_APP}[[apps.channels]]\npattern = \"*\"\nhistory = {{ events = 100 }}\n");
    let Some(target) = Target::own(&config) else { return };
    let (name, channel) = (unique("0123456789abcdef0123456789abcdef-"), unique("news-"));
    let mut client = Client::open(&target, &name, &channel);
    assert_eq!(client.until("pusher:resumed"), json!({ "complete": false, "events": 0 }));
    // What is answered once it has been sent this has been acknowledged by then.
    for _ in 0..2 {
        client.send(&json!({ "event": "pusher:ping", "data": {} }));
        client.until("pusher:pong");
    }
    drop(client);
    for number in 1..=10 {
        target.publish(&channel, "count", &number.to_string());
    }
    let mut client = Client::open(&target, &name, &channel);
    for number in 1..=10 {
        assert_eq!(client.until("count"), json!(number));
    }
    assert_eq!(client.until("pusher:resumed"), json!({ "complete": true, "events": 10 }));
    target.publish(&channel, "count", "11");
    assert_eq!(client.until("count"), json!(11));
}
