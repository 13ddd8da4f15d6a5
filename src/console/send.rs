//! Sends what an operator writes: to channels, to a user, to one connection, or a batch.

use std::sync::Arc;

use actix_web::http::StatusCode;
use serde_json::{Map, Value, json};

use super::Console;
use super::answer::ConsoleError;
use super::asked::{data, text};
use super::channels::blocking;
use super::list::socket;
use super::nearest::nearest_channels;
use crate::event::{AcceptedEvent, Destination, Source};
use crate::http::{batch_events, publish_for_operator};
use crate::hub::{AppState, EventReach, ListedChannel};
use crate::protocol::event_name::check_published;
use crate::protocol::json::Data;

/// Channels without subscribers that are told of.
const WARNINGS: usize = 5;

/// What is said where the one that it is for is no connection of this node.
const SENT_ELSEWHERE: &str =
    "it is no connection of this node: the one that may have it was told, and does not say whether it has";

impl Console {
    /// Sends it, and tells how many connections it was for.
    pub(super) async fn send(
        &self,
        app: &Arc<AppState>,
        asked: &Map<String, Value>,
    ) -> Result<Value, ConsoleError> {
        if let Some(id) = text(asked, "socket_id")? {
            return self.send_to_socket(app, id, asked);
        }
        let bodies = match asked.get("batch") {
            Some(Value::Array(batch)) => {
                batch_events::check_size(batch.len(), &app.app().limits)?;
                batch.iter().map(of_batch).collect::<Result<Vec<_>, _>>()?
            }
            Some(other) => return Err(ConsoleError::parameter("batch", "an array of objects", other)),
            None => vec![body(asked)?],
        };
        let published = publish_for_operator(&self.hub, app, &bodies).await?;
        let is_away = self.hub.bus().is_some_and(|bus| bus.is_away());
        let (mut channels, mut unheard) = (Map::new(), Vec::new());
        let (mut all, mut all_elsewhere, mut out_of_reach) = (0, 0, 0);
        for event in &published {
            let mut told = event.attributes.clone();
            let EventReach { here, elsewhere } = event.reach;
            let reached = if is_away { 0 } else { elsewhere };
            let receivers = here + reached;
            (all, all_elsewhere) = (all + receivers, all_elsewhere + reached);
            out_of_reach += elsewhere - reached;
            told["receivers"] = receivers.into();
            let name = event.channel.as_str();
            if here + elsewhere == 0 && !channels.contains_key(name) && unheard.len() < WARNINGS {
                unheard.push(name.to_owned());
            }
            channels.insert(name.to_owned(), told);
        }
        let mut warnings = if unheard.is_empty() { Vec::new() } else { warnings(app, unheard).await? };
        if out_of_reach > 0 {
            warnings.push(format!(
                "the other nodes cannot be reached: {out_of_reach} more that are subscribed there did not receive it"
            ));
        }
        let mut told = json!({ "receivers": all, "channels": channels, "warnings": warnings });
        if self.feed().place().is_some() {
            told["receivers_elsewhere"] = all_elsewhere.into();
        }
        Ok(told)
    }

    fn send_to_socket(
        &self,
        app: &Arc<AppState>,
        id: &str,
        asked: &Map<String, Value>,
    ) -> Result<Value, ConsoleError> {
        let refused = |sentence: String| ConsoleError::Refused(StatusCode::BAD_REQUEST, sentence);
        let named = socket("socket_id", id)?;
        let name = text(asked, "name")?.unwrap_or_default();
        let limits = &app.app().limits;
        check_published(name, limits.event_name_chars).map_err(|error| refused(error.to_string()))?;
        let data = data(asked.get("data").unwrap_or(&Value::Null));
        let data = Data::of_text(&data);
        if data.bytes() > limits.event_payload_bytes {
            let most = limits.event_payload_bytes;
            return Err(refused(format!("data may have {most} bytes, got {}", data.bytes())));
        }
        let to = Destination::Connection(named);
        let event = AcceptedEvent { source: Source::Pipe, to, name: name.into(), data, raw: None };
        let is_here = self.hub.sockets().worker_of(app.index(), named).is_some();
        if self.hub.accept(app, &event) {
            let warnings = if is_here { Vec::new() } else { vec![SENT_ELSEWHERE] };
            Ok(json!({ "receivers": 1, "channels": {}, "warnings": warnings }))
        } else {
            Err(ConsoleError::Nothing { what: "connection", name: id.to_owned() })
        }
    }
}

/// An event of a batch, as the body of a request.
fn of_batch(event: &Value) -> Result<String, ConsoleError> {
    let asked = event.as_object();
    asked.ok_or_else(|| ConsoleError::parameter("batch", "an array of objects", event)).and_then(body)
}

/// One event as the body of a request to the HTTP API.
fn body(asked: &Map<String, Value>) -> Result<String, ConsoleError> {
    let mut body = Map::new();
    for (name, value) in asked {
        let (name, value) = match name.as_str() {
            "data" => ("data", Value::String(data(value))),
            "except" => ("socket_id", value.clone()),
            "user_id" => {
                let id = value.as_str().ok_or_else(|| ConsoleError::parameter("user_id", "a text", value))?;
                ("channel", format!("#server-to-user-{id}").into())
            }
            "name" | "channel" | "channels" | "info" | "socket_id" => (name.as_str(), value.clone()),
            _ => {
                let expected =
                    "one of channels, channel, user_id, socket_id, batch, name, data, except and info";
                return Err(ConsoleError::parameter("a member", expected, Value::from(name.as_str())));
            }
        };
        body.insert(name.to_owned(), value);
    }
    Ok(Value::Object(body).to_string())
}

/// What is said of channels that nobody is subscribed to: each with the one that may be meant.
async fn warnings(app: &Arc<AppState>, unheard: Vec<String>) -> Result<Vec<String>, ConsoleError> {
    let app = Arc::clone(app);
    blocking(move || {
        let near = nearest_channels(&app, &unheard);
        unheard.iter().zip(near).map(|(name, near)| nobody(name, near.as_ref())).collect()
    })
    .await
}

fn nobody(name: &str, near: Option<&ListedChannel>) -> String {
    let Some(ListedChannel { summary, .. }) = near else {
        return format!("nobody is subscribed to {name}");
    };
    let count = summary.subscription_count;
    let are = if count == 1 { "connection is" } else { "connections are" };
    format!("nobody is subscribed to {name}; {count} {are} subscribed to {}", summary.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_becomes_what_a_backend_would_send() {
        let body = |json: Value| {
            body(json.as_object().unwrap()).map(|text| serde_json::from_str::<Value>(&text).unwrap())
        };
        let asked = json!({ "channels": ["a"], "name": "e", "data": { "a": 1 }, "except": "1.2", "info": "user_count" });
        let expected = json!({ "channels": ["a"], "name": "e", "data": "{\"a\":1}", "socket_id": "1.2", "info": "user_count" });
        assert_eq!(body(asked), Ok(expected));
        let asked = json!({ "user_id": "ann", "name": "e", "data": "<b>" });
        assert_eq!(body(asked), Ok(json!({ "channel": "#server-to-user-ann", "name": "e", "data": "<b>" })));
        assert!(body(json!({ "chanels": ["a"] })).is_err());
    }
}
