//! One pipe client: a backend that hears what browsers say, in any version of the pipe's protocol.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::message::{Closed, Incoming, Message};
use crate::wire::Wire;
use crate::{Target, patience, signature};

/// A pipe connection after its upgrade.
#[derive(Debug)]
pub struct Pipe {
    /// The id the broker gave it; empty until the first notification was awaited.
    pub id: String,
    wire: Wire,
    requests: u64,
    /// Notifications that came while an answer was awaited.
    told: VecDeque<Message>,
}

impl Pipe {
    /// The path of a pipe connection, signed; `version` is its `protocol_version`.
    #[must_use]
    pub fn path(target: &Target, version: Option<&str>) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Pipe::path_at(target, version, now)
    }

    /// The same, signed at a time in seconds since 1970.
    #[must_use]
    pub fn path_at(target: &Target, version: Option<&str>, timestamp: u64) -> String {
        let app = &target.credentials;
        let version = version.map(|version| format!("&protocol_version={version}")).unwrap_or_default();
        let params = format!("auth_key={}&auth_timestamp={timestamp}&auth_version=1.0{version}", app.key);
        let path = format!("/app/{}", app.app_id);
        let signed = signature::hmac_hex(&app.secret, &format!("WEBSOCKET\n{path}\n{params}"));
        format!("{}{path}?{params}&auth_signature={signed}", target.path_prefix)
    }

    /// Connects as the original client of protocol 0.2 does, and awaits its greeting.
    #[must_use]
    #[track_caller]
    pub fn connect(target: &Target) -> Pipe {
        Pipe::connect_as(target, Some("0.2"))
    }

    /// Connects with another `protocol_version`, and awaits the greeting.
    #[must_use]
    #[track_caller]
    pub fn connect_as(target: &Target, version: Option<&str>) -> Pipe {
        let mut pipe = Pipe::upgrade(target, &Pipe::path(target, version));
        pipe.await_established();
        pipe
    }

    /// Completes the upgrade on any path, and awaits nothing.
    #[must_use]
    #[track_caller]
    pub fn upgrade(target: &Target, path: &str) -> Pipe {
        let mut wire = Wire::upgrade(target, path, &[]);
        wire.speaks_pipe = true;
        Pipe { id: String::new(), wire, requests: 0, told: VecDeque::new() }
    }

    /// Awaits the greeting, which must come first.
    #[track_caller]
    pub fn await_established(&mut self) -> Value {
        let greeting = self.message();
        if greeting.event != "connection_established" {
            self.fail(&format!("expected the greeting, got {}", greeting.whole));
        }
        self.id = greeting.data["socket_id"].as_str().unwrap_or_default().to_owned();
        greeting.data
    }

    /// Sends a request; answers its id.
    #[track_caller]
    pub fn send_request(&mut self, method: &str, params: &Value) -> String {
        self.requests += 1;
        let id = format!("request-{}", self.requests);
        self.send_text(&json!({ "id": id, "method": method, "params": params }).to_string());
        id
    }

    /// Sends a request and awaits the result. Notifications that come before it are kept.
    #[track_caller]
    pub fn request(&mut self, method: &str, params: &Value) -> Value {
        let answer = self.asked(method, params);
        if !answer["error"].is_null() {
            self.fail(&format!("expected {method} to be done, got {answer}"));
        }
        answer["result"].clone()
    }

    /// Sends a request that must be refused; answers the code and the message.
    #[track_caller]
    pub fn refused(&mut self, method: &str, params: &Value) -> (u64, String) {
        let answer = self.asked(method, params);
        let error = &answer["error"];
        match error["code"].as_u64() {
            Some(code) => (code, error["message"].as_str().unwrap_or_default().to_owned()),
            None => self.fail(&format!("expected {method} to be refused, got {answer}")),
        }
    }

    #[track_caller]
    fn asked(&mut self, method: &str, params: &Value) -> Value {
        let id = self.send_request(method, params);
        loop {
            let message = self.message();
            if message.whole["id"] == json!(id) {
                return message.whole;
            }
            if message.event.is_empty() {
                self.fail(&format!("expected the answer to {id}, got {}", message.whole));
            }
            self.told.push_back(message);
        }
    }

    /// Sends a request, and says whether it was done; it was not, either, if the connection ends first.
    #[track_caller]
    pub fn is_done(&mut self, method: &str, params: &Value) -> bool {
        self.requests += 1;
        let id = format!("request-{}", self.requests);
        let request = json!({ "id": id, "method": method, "params": params }).to_string();
        if !self.try_send_together([request.as_str()], patience()) {
            return false;
        }
        loop {
            match self.receive() {
                Incoming::Message(message) if message.whole["id"] == json!(id) => {
                    return message.whole["error"].is_null();
                }
                Incoming::Message(_) => {}
                Incoming::Close(_) | Incoming::End => return false,
                other => self.fail(&format!("expected the answer to {id}, got {other:?}")),
            }
        }
    }

    /// Turns a group of notifications on.
    #[track_caller]
    pub fn subscribe(&mut self, group: &str) {
        self.request("subscribe", &json!({ "events": [group], "data": "" }));
    }

    /// The next notification, whatever it is.
    #[track_caller]
    pub fn next_told(&mut self) -> Message {
        match self.told.pop_front() {
            Some(message) => message,
            None => self.message(),
        }
    }

    /// The next notification, which must be this one; answers its data.
    #[track_caller]
    pub fn expect(&mut self, event: &str) -> Value {
        let message = self.next_told();
        if message.event != event {
            self.fail(&format!("expected to be told {event:?}, got {}", message.whole));
        }
        message.data
    }

    /// The next notification of this name on this channel; others are passed over.
    #[track_caller]
    pub fn expect_on(&mut self, channel: &str, event: &str) -> Value {
        loop {
            let message = self.next_told();
            if message.event == event && message.data["channel"] == channel {
                return message.data;
            }
        }
    }

    /// Proves that nothing has been told that was not awaited: requests are answered in order, so the answer to one sent
    /// now must come next.
    #[track_caller]
    pub fn assert_silence(&mut self) {
        self.request("unsubscribe", &json!({ "events": [] }));
        if let Some(message) = self.told.pop_front() {
            self.fail(&format!("expected silence, got {}", message.whole));
        }
    }

    /// The data of everything that has been told up to now.
    #[track_caller]
    pub fn drain_told(&mut self) -> Vec<Value> {
        self.request("unsubscribe", &json!({ "events": [] }));
        self.told.drain(..).map(|message| message.data).collect()
    }

    /// The next message, whatever it is; Pings and Pongs are passed over.
    #[track_caller]
    pub fn message(&mut self) -> Message {
        let deadline = Instant::now() + patience();
        loop {
            match self.receive_within(deadline.saturating_duration_since(Instant::now())) {
                Some(Incoming::Message(message)) => return message,
                Some(Incoming::Ping(_) | Incoming::Pong(_)) => {}
                Some(other) => self.fail(&format!("expected a message, got {other:?}")),
                None => self.fail(&format!("expected a message, none came within {:?}", patience())),
            }
        }
    }

    /// The next message, which must be an error that answers nothing; answers its code.
    #[track_caller]
    pub fn expect_error(&mut self) -> u64 {
        let message = self.message();
        if !message.whole["id"].is_null() {
            self.fail(&format!("expected an error without id, got {}", message.whole));
        }
        match message.whole["error"]["code"].as_u64() {
            Some(code) => code,
            None => self.fail(&format!("expected an error, got {}", message.whole)),
        }
    }

    /// The refusal of the connection: an error, then the close frame with the same code; answers that and the reason.
    #[track_caller]
    pub fn expect_refusal(&mut self) -> Closed {
        let code = self.expect_error();
        loop {
            match self.receive() {
                Incoming::Ping(_) | Incoming::Pong(_) => {}
                Incoming::Close(closed) if u64::from(closed.code) == code => return closed,
                other => self.fail(&format!("expected to be closed with {code}, got {other:?}")),
            }
        }
    }
}

impl Deref for Pipe {
    type Target = Wire;

    fn deref(&self) -> &Wire {
        &self.wire
    }
}

impl DerefMut for Pipe {
    fn deref_mut(&mut self) -> &mut Wire {
        &mut self.wire
    }
}
