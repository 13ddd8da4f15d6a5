//! One client of the broker, and the words a test uses about it.

use std::ops::{Deref, DerefMut};
use std::time::Instant;

use serde_json::{Value, json};

use crate::frame::{self, CLOSE, FIN};
use crate::message::{Closed, Incoming, Message};
use crate::wire::Wire;
use crate::{Credentials, Target, patience, signature};

/// A client connection to the target, after its upgrade: a [`Wire`] that knows which app it speaks to.
#[derive(Debug)]
pub struct Socket {
    /// The id the broker gave it; empty until the first frame was awaited.
    pub id: String,
    /// The app it connected to.
    pub app: Credentials,
    wire: Wire,
}

impl Socket {
    /// Completes the WebSocket upgrade on `path`, with more header lines.
    ///
    /// # Panics
    /// If the server does not answer 101 with the right `Sec-WebSocket-Accept`.
    #[must_use]
    #[track_caller]
    pub fn upgrade(target: &Target, path: &str, headers: &[&str]) -> Socket {
        Socket::over(Wire::upgrade(target, path, headers), target)
    }

    /// Speaks the protocol over a connection whose upgrade is done.
    #[must_use]
    pub fn over(wire: Wire, target: &Target) -> Socket {
        Socket { id: String::new(), app: target.credentials.clone(), wire }
    }

    // -- saying things

    /// Sends one JSON value as a text message.
    #[track_caller]
    pub fn send(&mut self, value: &Value) {
        self.send_text(&value.to_string());
    }

    /// Sends an event on a channel, as `channel.trigger` does.
    #[track_caller]
    pub fn trigger(&mut self, channel: &str, event: &str, data: &Value) {
        self.send(&json!({ "event": event, "channel": channel, "data": data }));
    }

    /// Ends the connection as a browser does: Close 1000, then the server's answer and the end of TCP awaited.
    #[track_caller]
    pub fn close(mut self) {
        if self.is_session() {
            // A browser that leaves a page aborts what it has under way, and that is all.
            return self.vanish();
        }
        self.send_frame(FIN | CLOSE, &frame::close_payload(1000, ""));
        while self.receive() != Incoming::End {}
    }

    // -- hearing things

    /// The next message; Pings and Pongs are passed over.
    #[track_caller]
    pub fn message(&mut self) -> Message {
        let deadline = Instant::now() + patience();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.receive_within(left) {
                Some(Incoming::Message(message)) => return message,
                Some(Incoming::Ping(_) | Incoming::Pong(_)) => {}
                Some(Incoming::Close(closed)) => {
                    self.fail(&format!("expected a message, but the server closed with {closed:?}"))
                }
                Some(Incoming::End) => self.fail("expected a message, but the connection ended"),
                None => self.fail(&format!("expected a message, none came within {:?}", patience())),
            }
        }
    }

    /// The next message, which must be this event.
    #[track_caller]
    pub fn expect(&mut self, event: &str) -> Message {
        let message = self.message();
        if message.event != event {
            self.fail(&format!("expected the event {event:?}, got {}", message.whole));
        }
        message
    }

    /// The next message, which must be this event on this channel.
    #[track_caller]
    pub fn expect_on(&mut self, channel: &str, event: &str) -> Message {
        let message = self.expect(event);
        if message.channel.as_deref() != Some(channel) {
            self.fail(&format!("expected {event:?} on {channel:?}, got {}", message.whole));
        }
        message
    }

    /// The next message, which must be a `pusher:error` with this code (`None`: null) and exactly this text.
    #[track_caller]
    pub fn expect_error(&mut self, code: Option<u16>, text: &str) {
        let message = self.expect("pusher:error");
        if message.data != json!({ "code": code, "message": text }) {
            self.fail(&format!("expected the error {code:?} {text:?}, got {}", message.whole));
        }
    }

    /// The next message, which must be a `pusher:error` with this code (`None`: null); answers its text.
    #[track_caller]
    pub fn expect_some_error(&mut self, code: Option<u16>) -> String {
        let message = self.expect("pusher:error");
        if message.data["code"] != json!(code) {
            self.fail(&format!("expected an error with the code {code:?}, got {}", message.whole));
        }
        message.data["message"].as_str().unwrap_or_default().to_owned()
    }

    /// The Close frame that must come next; only Pings and Pongs may precede it.
    #[track_caller]
    pub fn expect_close(&mut self) -> Closed {
        loop {
            match self.receive() {
                Incoming::Ping(_) | Incoming::Pong(_) => {}
                Incoming::Close(closed) => return closed,
                other => self.fail(&format!("expected a Close frame, got {other:?}")),
            }
        }
    }

    /// The Close frame that must come next, with this code; answers its reason.
    #[track_caller]
    pub fn expect_close_with(&mut self, code: u16) -> String {
        let closed = self.expect_close();
        if closed.code != code {
            self.fail(&format!("expected the close code {code}, got {closed:?}"));
        }
        closed.reason
    }

    /// The end of the TCP connection, which must come next; the server's Close frame may precede it.
    #[track_caller]
    pub fn expect_end(&mut self) {
        loop {
            match self.receive() {
                Incoming::Ping(_) | Incoming::Pong(_) | Incoming::Close(_) => {}
                Incoming::End => return,
                Incoming::Message(message) => {
                    self.fail(&format!("expected the connection to end, got {}", message.whole))
                }
            }
        }
    }

    /// Proves that everything said on this connection so far was answered by nothing, and that nothing else is
    /// under way in it: messages are handled in order, so the answer to a ping sent now must come first.
    #[track_caller]
    pub fn assert_silence(&mut self) {
        self.send_text(r#"{"event":"pusher:ping","data":{}}"#);
        let message = self.message();
        if message.event != "pusher:pong" {
            self.fail(&format!("expected silence, got {}", message.whole));
        }
    }

    /// Everything that arrives on this connection up to the answer to a ping sent now.
    #[track_caller]
    pub fn drain(&mut self) -> Vec<Message> {
        self.send_text(r#"{"event":"pusher:ping","data":{}}"#);
        let mut drained = Vec::new();
        loop {
            let message = self.message();
            if message.event == "pusher:pong" {
                return drained;
            }
            drained.push(message);
        }
    }

    // -- common conversations

    /// Awaits the first frame, under its new or its oldest name, and takes the socket id from it.
    #[track_caller]
    pub fn await_established(&mut self) -> Message {
        let first = self.message();
        if !matches!(first.event.as_str(), "pusher:connection_established" | "connection_established") {
            self.fail(&format!("expected the connection to be established, got {}", first.whole));
        }
        let data = first.decoded();
        self.id = data["socket_id"].as_str().unwrap_or_default().to_owned();
        first
    }

    /// Subscribes to a public channel and awaits the success.
    #[track_caller]
    pub fn subscribe(&mut self, channel: &str) {
        self.send(&json!({ "event": "pusher:subscribe", "data": { "channel": channel } }));
        let succeeded = self.expect_on(channel, "pusher_internal:subscription_succeeded");
        assert_eq!(succeeded.data, json!("{}"), "data of {}", succeeded.whole);
    }

    /// Subscribes to a private or encrypted channel and awaits the success.
    #[track_caller]
    pub fn subscribe_private(&mut self, channel: &str) {
        let auth = self.auth(channel, None);
        self.send(&json!({ "event": "pusher:subscribe", "data": { "channel": channel, "auth": auth } }));
        let succeeded = self.expect_on(channel, "pusher_internal:subscription_succeeded");
        assert_eq!(succeeded.data, json!("{}"), "data of {}", succeeded.whole);
    }

    /// Asks for a subscription to a presence channel with this `channel_data`, and awaits nothing.
    #[track_caller]
    pub fn join(&mut self, channel: &str, channel_data: &str) {
        let auth = self.auth(channel, Some(channel_data));
        let data = json!({ "channel": channel, "auth": auth, "channel_data": channel_data });
        self.send(&json!({ "event": "pusher:subscribe", "data": data }));
    }

    /// Subscribes to a presence channel as `user_id` with `user_info` (null: none), and answers the roster that
    /// the success carries.
    #[track_caller]
    pub fn subscribe_presence(&mut self, channel: &str, user_id: &str, user_info: &Value) -> Value {
        let member = match user_info {
            Value::Null => json!({ "user_id": user_id }),
            info => json!({ "user_id": user_id, "user_info": info }),
        };
        self.join(channel, &member.to_string());
        self.expect_on(channel, "pusher_internal:subscription_succeeded").decoded()
    }

    /// Asks to leave a channel.
    #[track_caller]
    pub fn unsubscribe(&mut self, channel: &str) {
        self.send(&json!({ "event": "pusher:unsubscribe", "data": { "channel": channel } }));
    }

    /// The `auth` that this connection needs for a channel.
    #[must_use]
    pub fn auth(&self, channel: &str, channel_data: Option<&str>) -> String {
        signature::channel_auth(&self.app, &self.id, channel, channel_data)
    }
}

impl Deref for Socket {
    type Target = Wire;

    fn deref(&self) -> &Wire {
        &self.wire
    }
}

impl DerefMut for Socket {
    fn deref_mut(&mut self) -> &mut Wire {
        &mut self.wire
    }
}
