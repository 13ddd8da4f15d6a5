//! What a client says and hears: the Pusher protocol over an open WebSocket.

use serde_json::{Value as Json, json};

use super::stream::UnheardError;
use crate::cli::remote::GivenApp;
use crate::cli::told_values::{number_of, text_of};
use crate::cli::web_socket::{ClientSocket, SocketMessage};

/// What the server says first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HeardGreeting {
    pub(super) socket_id: String,
    /// Seconds after which a client pings; none if the server did not say, or not as a number.
    pub(super) activity_timeout: Option<u64>,
    /// What came in another type than that of the protocol, as it came.
    pub(super) mistyped: Vec<String>,
}

/// An event that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HeardEvent {
    pub(super) event: String,
    pub(super) channel: Option<String>,
    /// What was within the string, or the object that came in its place.
    pub(super) data: Json,
}

impl HeardEvent {
    /// Whether it is that by which a server greets a client.
    pub(super) fn is_greeting(&self) -> bool {
        ["pusher:connection_established", "connection_established"].contains(&self.event.as_str())
    }

    /// The code of an error, if it has one.
    pub(super) fn code(&self) -> Option<u16> {
        number_of(&self.data["code"])?.try_into().ok()
    }

    /// The sentence of an error; empty if it has none.
    pub(super) fn sentence(&self) -> String {
        match (&self.data["message"], &self.data) {
            (Json::String(text), _) | (Json::Null, Json::String(text)) => text.clone(),
            (Json::Null, _) => String::new(),
            (other, _) => other.to_string(),
        }
    }
}

/// What comes to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HeardNext {
    Event(HeardEvent),
    /// A text that is no event.
    Gibberish(String),
    /// A ping of the WebSocket's own.
    Ping,
    /// The server has closed, with a code and a sentence if it gave them.
    Closed(Option<(u16, String)>),
    /// The connection ended without a word.
    Ended,
}

/// A client that is connected.
pub(super) struct ClientConversation(ClientSocket);

impl ClientConversation {
    pub(super) fn over(socket: ClientSocket) -> Self {
        ClientConversation(socket)
    }

    /// The next that is to be heard.
    ///
    /// # Errors
    /// If the connection fails.
    pub(super) async fn hear(&mut self) -> Result<HeardNext, UnheardError> {
        loop {
            return Ok(match self.0.hear().await? {
                SocketMessage::Text(text) => match read_event(&text) {
                    Some(event) => HeardNext::Event(event),
                    None => HeardNext::Gibberish(text),
                },
                SocketMessage::Ping => HeardNext::Ping,
                SocketMessage::Closed(reason) => HeardNext::Closed(reason),
                SocketMessage::Ended => HeardNext::Ended,
                SocketMessage::Pong | SocketMessage::Binary(_) => continue,
            });
        }
    }

    /// The next that is neither a ping nor what is told of the server's own doing, such as counts of subscriptions.
    ///
    /// # Errors
    /// If the connection fails.
    pub(super) async fn hear_of(&mut self, wanted: &[&str]) -> Result<HeardNext, UnheardError> {
        loop {
            match self.hear().await? {
                HeardNext::Ping => {}
                HeardNext::Event(event) if !wanted.contains(&event.event.as_str()) => {}
                other => return Ok(other),
            }
        }
    }

    /// Says an event of the protocol's own, or a client's.
    ///
    /// # Errors
    /// If the connection has ended.
    pub(super) async fn say(
        &mut self,
        event: &str,
        channel: Option<&str>,
        data: &Json,
    ) -> Result<(), UnheardError> {
        let mut said = json!({ "event": event, "data": data });
        if let Some(channel) = channel {
            said["channel"] = channel.into();
        }
        Ok(self.0.say(said.to_string()).await?)
    }

    /// Subscribes to a private channel, and waits for the answer: `pusher_internal:subscription_succeeded`, or a refusal.
    ///
    /// # Errors
    /// If the connection fails.
    pub(super) async fn subscribe(
        &mut self,
        app: &GivenApp,
        socket_id: &str,
        channel: &str,
    ) -> Result<HeardNext, UnheardError> {
        let signature = crate::auth::sign(&app.secret, &format!("{socket_id}:{channel}"));
        let data = json!({ "channel": channel, "auth": format!("{}:{signature}", app.key) });
        self.say("pusher:subscribe", None, &data).await?;
        // The last is that of pusher-fake.
        let answers = [
            "pusher_internal:subscription_succeeded",
            "pusher:subscription_error",
            "pusher:error",
            "pusher_internal:subscription_error",
        ];
        self.hear_of(&answers).await
    }
}

/// An event as servers write it: its data is JSON within a string, or an object.
pub(super) fn read_event(text: &str) -> Option<HeardEvent> {
    let read: Json = serde_json::from_str(text).ok()?;
    let data = match &read["data"] {
        Json::String(text) => serde_json::from_str(text).unwrap_or_else(|_| read["data"].clone()),
        other => other.clone(),
    };
    let channel = read["channel"].as_str().map(str::to_owned);
    Some(HeardEvent { event: read["event"].as_str()?.to_owned(), channel, data })
}

/// The greeting, if the event is one that clients can read.
pub(super) fn read_greeting(event: &HeardEvent) -> Option<HeardGreeting> {
    let [id, timeout] = ["socket_id", "activity_timeout"].map(|name| (name, &event.data[name]));
    let socket_id = text_of(id.1).filter(|_| event.is_greeting())?;
    let is_mistyped = [!id.1.is_string(), !(timeout.1.is_u64() || timeout.1.is_null())];
    let mistyped = [id, timeout].into_iter().zip(is_mistyped).filter(|(_, is_mistyped)| *is_mistyped);
    Some(HeardGreeting {
        socket_id,
        activity_timeout: number_of(timeout.1),
        mistyped: mistyped.map(|((name, told), _)| format!("{name}: {told}")).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greetings_are_read_in_both_forms() {
        let greeting = |text: &str| read_greeting(&read_event(text).unwrap());
        let data = r#"{"socket_id":"1.2","activity_timeout":120}"#;
        let ours = json!({ "event": "pusher:connection_established", "data": data }).to_string();
        let expected =
            HeardGreeting { socket_id: "1.2".into(), activity_timeout: Some(120), mistyped: Vec::new() };
        assert_eq!(greeting(&ours), Some(expected.clone()));
        let object = r#"{"event":"pusher:connection_established","data":{"socket_id":"1.2"}}"#;
        assert_eq!(greeting(object), Some(HeardGreeting { activity_timeout: None, ..expected.clone() }));
        let mistyped =
            r#"{"event":"pusher:connection_established","data":{"socket_id":1.2,"activity_timeout":"120"}}"#;
        let told = ["socket_id: 1.2", "activity_timeout: \"120\""].map(str::to_owned).to_vec();
        assert_eq!(greeting(mistyped), Some(HeardGreeting { mistyped: told, ..expected }));
        assert_eq!(greeting(r#"{"event":"pusher:connection_established","data":{"socket_id":[]}}"#), None);
        assert_eq!(greeting(r#"{"event":"pusher:error","data":{"code":4001}}"#), None);
        assert_eq!(read_event("hello"), None);
    }

    #[test]
    fn errors_are_read_whatever_their_types_are() {
        let read = |data: Json| {
            let event = read_event(&json!({ "event": "pusher:error", "data": data }).to_string()).unwrap();
            (event.code(), event.sentence())
        };
        for (data, code, sentence) in [
            (json!({ "code": 4001, "message": "no app" }), Some(4001), "no app"),
            (json!({ "code": "4001", "message": ["no", "app"] }), Some(4001), "[\"no\",\"app\"]"),
            (json!({ "code": null }), None, ""),
            (json!("no app"), None, "no app"),
        ] {
            assert_eq!(read(data), (code, sentence.to_owned()));
        }
    }
}
