//! What a client says and hears: the Pusher protocol over an open WebSocket.

use serde_json::{Value as Json, json};

use super::stream::UnheardError;
use crate::cli::remote::GivenApp;
use crate::cli::web_socket::{ClientSocket, SocketMessage};

/// What the server says first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HeardGreeting {
    pub(super) socket_id: String,
    /// Seconds after which a client pings; none if the server did not say.
    pub(super) activity_timeout: Option<u64>,
}

/// An event that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HeardEvent {
    pub(super) event: String,
    pub(super) channel: Option<String>,
    /// What was within the string, or the object that came in its place.
    pub(super) data: Json,
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

/// The greeting, if the event is one.
pub(super) fn read_greeting(event: &HeardEvent) -> Option<HeardGreeting> {
    let is_one = ["pusher:connection_established", "connection_established"].contains(&event.event.as_str());
    let socket_id = event.data["socket_id"].as_str().filter(|_| is_one)?.to_owned();
    Some(HeardGreeting { socket_id, activity_timeout: event.data["activity_timeout"].as_u64() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greetings_are_read_in_both_forms() {
        let greeting = |text: &str| read_greeting(&read_event(text).unwrap());
        let data = r#"{"socket_id":"1.2","activity_timeout":120}"#;
        let ours = json!({ "event": "pusher:connection_established", "data": data }).to_string();
        let expected = HeardGreeting { socket_id: "1.2".into(), activity_timeout: Some(120) };
        assert_eq!(greeting(&ours), Some(expected));
        let object = r#"{"event":"pusher:connection_established","data":{"socket_id":"3.4"}}"#;
        assert_eq!(greeting(object), Some(HeardGreeting { socket_id: "3.4".into(), activity_timeout: None }));
        assert_eq!(greeting(r#"{"event":"pusher:error","data":{"code":4001}}"#), None);
        assert_eq!(read_event("hello"), None);
    }
}
