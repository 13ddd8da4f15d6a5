//! What waits to be relayed: an event, or a user to be signed out, in the words of the HTTP API. Pure.

use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::event::PublishedEvent;
use crate::protocol::json::push_string;

/// What need not be encoded in a path.
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Bytes that are counted for one item besides its text: what the queue holds for it.
const OVERHEAD_BYTES: usize = 128;

/// Something to be told to the other server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RelayItem {
    /// An event.
    Event {
        /// Its JSON object without its channels and without its end. Relays of one app share it.
        object: Arc<str>,
        /// Its channels, each as a JSON string.
        channels: Box<[Box<str>]>,
    },
    /// All connections of the user of this id are to be ended. It is encoded for a path.
    TerminateUser(Arc<str>),
}

/// A request to the HTTP API of the other server, for its app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RelayRequest {
    /// What follows `/apps/{id}`.
    pub(super) path: String,
    pub(super) body: String,
    /// How many items it carries.
    pub(super) items: usize,
    /// How many channels the first of them is for.
    pub(super) channels: usize,
}

/// The beginning of the JSON object of an event.
pub(super) fn object_of(event: &PublishedEvent<'_>) -> Arc<str> {
    let data = event.data.literal();
    let mut text = String::with_capacity(data.len() + event.name.len() + 64);
    text.push_str("{\"name\":");
    push_string(event.name, &mut text);
    text.extend([",\"data\":", data]);
    if let Some(except) = event.except {
        text.push_str(",\"socket_id\":");
        push_string(except, &mut text);
    }
    text.into()
}

impl RelayItem {
    /// The event on these of its channels.
    pub(super) fn event<'c>(object: &Arc<str>, channels: impl Iterator<Item = &'c str>) -> Self {
        let literal = |name: &str| {
            let mut text = String::with_capacity(name.len() + 2);
            push_string(name, &mut text);
            text.into_boxed_str()
        };
        RelayItem::Event { object: Arc::clone(object), channels: channels.map(literal).collect() }
    }

    /// All connections of the user are to be ended.
    pub(super) fn terminate_user(id: &str) -> Self {
        RelayItem::TerminateUser(utf8_percent_encode(id, IN_PATH).to_string().into())
    }

    /// What it counts for where bytes are bounded.
    pub(super) fn bytes(&self) -> usize {
        OVERHEAD_BYTES
            + match self {
                RelayItem::Event { object, channels } => {
                    object.len() + channels.iter().map(|name| name.len() + 16).sum::<usize>()
                }
                RelayItem::TerminateUser(id) => id.len(),
            }
    }

    /// Whether it can be one of several in a batch: each event of a batch is for one channel.
    pub(super) fn fits_a_batch(&self) -> bool {
        matches!(self, RelayItem::Event { channels, .. } if channels.len() == 1)
    }
}

/// The request that carries these: a batch, if they are several.
pub(super) fn request_of<'i>(items: impl ExactSizeIterator<Item = &'i RelayItem>) -> RelayRequest {
    let count = items.len();
    let mut body = String::new();
    let mut path = "/events".to_owned();
    let mut first_channels = 0;
    for (number, item) in items.enumerate() {
        if let (0, RelayItem::Event { channels, .. }) = (number, item) {
            first_channels = channels.len();
        }
        match item {
            RelayItem::Event { object, channels } if count == 1 => {
                body.extend([object, ",\"channels\":["]);
                for (place, name) in channels.iter().enumerate() {
                    body.extend([if place == 0 { "" } else { "," }, name]);
                }
                body.push_str("]}");
            }
            RelayItem::Event { object, channels } => {
                body.push_str(if number == 0 { "{\"batch\":[" } else { "," });
                let channel = channels.first().map_or("\"\"", |name| name);
                body.extend([object, ",\"channel\":", channel, "}"]);
            }
            RelayItem::TerminateUser(id) => {
                path = format!("/users/{id}/terminate_connections");
                body.push_str("{}");
            }
        }
    }
    if count > 1 {
        "/batch_events".clone_into(&mut path);
        body.push_str("]}");
    }
    RelayRequest { path, body, items: count, channels: first_channels }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ChannelName;
    use crate::protocol::json::Data;

    fn item(name: &str, data: &str, channels: &[&str], except: Option<&str>) -> RelayItem {
        let names = channels.iter().map(|name| ChannelName::parse(name, 164).unwrap()).collect();
        let data = Data::of_text(data);
        let object = object_of(&PublishedEvent { name, data: &data, channels: &names, except });
        RelayItem::event(&object, channels.iter().copied())
    }

    #[test]
    fn one_event_goes_to_all_its_channels_at_once() {
        let event = item("e\"1", "{\"a\":\"é\\\"\"}", &["a", "private-b"], Some("1.2"));
        let request = request_of([&event].into_iter());
        assert_eq!((request.path.as_str(), request.items), ("/events", 1));
        let value: serde_json::Value = serde_json::from_str(&request.body).unwrap();
        let expected = serde_json::json!({
            "name": "e\"1", "data": "{\"a\":\"é\\\"\"}", "channels": ["a", "private-b"], "socket_id": "1.2"
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn several_are_a_batch_in_their_order() {
        let events = [item("e", "1", &["a"], None), item("f", "2", &["#server-to-user-ann"], Some("3.4"))];
        let request = request_of(events.iter());
        assert_eq!((request.path.as_str(), request.items), ("/batch_events", 2));
        let value: serde_json::Value = serde_json::from_str(&request.body).unwrap();
        let expected = serde_json::json!({ "batch": [
            { "name": "e", "data": "1", "channel": "a" },
            { "name": "f", "data": "2", "channel": "#server-to-user-ann", "socket_id": "3.4" }
        ]});
        assert_eq!(value, expected);
    }

    #[test]
    fn users_are_named_in_the_path() {
        let request = request_of([&RelayItem::terminate_user("ann/b é")].into_iter());
        assert_eq!(request.path, "/users/ann%2Fb%20%C3%A9/terminate_connections");
        assert_eq!(request.body, "{}");
    }

    #[test]
    fn only_events_of_one_channel_fit_a_batch() {
        assert!(item("e", "1", &["a"], None).fits_a_batch());
        assert!(!item("e", "1", &["a", "b"], None).fits_a_batch());
        assert!(!RelayItem::terminate_user("ann").fits_a_batch());
    }
}
