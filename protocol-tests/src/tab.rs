//! A client that has named itself, and comes back under its name.

use std::time::Instant;

use serde_json::{Value, json};

use crate::message::Message;
use crate::{Incoming, Socket, Target, patience, unique};

/// A name that nobody else has.
#[must_use]
pub fn fresh_name() -> String {
    format!("{}-7f1b6ea4-8a9e-4e53", unique("tab-").replace('.', "-"))
}

/// One client's view of one channel.
#[derive(Debug)]
pub struct Tab {
    /// Its connection.
    pub socket: Socket,
    /// The channel.
    pub channel: String,
}

/// What a subscription was told of what was missed, and what it was sent before.
#[derive(Debug, PartialEq)]
pub struct Resumed {
    /// Whether that is all.
    pub complete: bool,
    /// The data of each event that was sent again.
    pub events: Vec<Value>,
}

/// These, and that is all.
#[must_use]
pub fn complete(events: &[&str]) -> Resumed {
    Resumed { complete: true, events: events.iter().map(|event| json!(event)).collect() }
}

/// Nothing, and there was more.
#[must_use]
pub fn incomplete() -> Resumed {
    Resumed { complete: false, events: Vec::new() }
}

impl Tab {
    /// Connects under the name, and subscribes.
    #[track_caller]
    pub fn open(target: &Target, name: &str, channel: &str) -> (Tab, Resumed) {
        Tab::of(target.named(name).connect(), channel)
    }

    /// Subscribes.
    #[track_caller]
    pub fn of(mut socket: Socket, channel: &str) -> (Tab, Resumed) {
        socket.answers_pings = false;
        let auth = channel.starts_with("private-").then(|| socket.auth(channel, None));
        let data = match auth {
            Some(auth) => json!({ "channel": channel, "auth": auth }),
            None => json!({ "channel": channel }),
        };
        socket.send(&json!({ "event": "pusher:subscribe", "data": data }));
        Tab { socket, channel: channel.to_owned() }.told()
    }

    /// Reads what follows a subscription that was asked for.
    #[track_caller]
    pub fn told(mut self) -> (Tab, Resumed) {
        let channel = self.channel.clone();
        self.socket.expect_on(&channel, "pusher_internal:subscription_succeeded");
        let mut events = Vec::new();
        loop {
            let message = self.socket.message();
            assert_eq!(message.channel.as_deref(), Some(&*channel), "{}", message.whole);
            if message.event == "pusher:resumed" {
                let data = message.decoded();
                assert_eq!(data["events"], json!(events.len()), "{}", message.whole);
                return (self, Resumed { complete: data["complete"].as_bool().unwrap(), events });
            }
            events.push(message.data);
        }
    }

    /// Reads on until a ping has come behind this event, and returns what the ping carries.
    #[track_caller]
    pub fn read_to_ping_behind(&mut self, data: Option<&str>) -> Vec<u8> {
        let (deadline, mut seen) = (Instant::now() + patience(), data.is_none());
        loop {
            match self.socket.receive_within(deadline.saturating_duration_since(Instant::now())) {
                Some(Incoming::Ping(payload)) if seen && !payload.is_empty() => return payload,
                Some(Incoming::Ping(_)) => {}
                Some(Incoming::Message(Message { data: came, .. })) => seen |= data == came.as_str(),
                other => panic!("expected a ping behind {data:?}, got {other:?}"),
            }
        }
    }

    /// Answers a ping, and waits until that has been read.
    #[track_caller]
    pub fn pong(&mut self, payload: &[u8]) {
        self.socket.send_frame(0x8A, payload);
        self.socket.send_text(r#"{"event":"pusher:ping","data":{}}"#);
        while self.socket.message().event != "pusher:pong" {}
    }

    /// Has everything up to this event, or up to now, and says so.
    #[track_caller]
    pub fn echo_all(&mut self, data: Option<&str>) {
        let payload = self.read_to_ping_behind(data);
        self.pong(&payload);
    }

    /// The line breaks.
    pub fn cut(self) {
        self.socket.vanish();
    }
}
