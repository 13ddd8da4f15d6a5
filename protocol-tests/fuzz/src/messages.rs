//! What clients say: one JSON object in one text message, with `serde_json` as the judge.

use heliostat::tools::protocol::client_message::{
    BadParameter, ClientMessage, MessageParameters, UnreadableMessage,
};
use serde_json::Value;

pub(crate) fn target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let value = serde_json::from_str::<Value>(text);
    let message = match ClientMessage::parse(text) {
        Ok(message) => message,
        Err(UnreadableMessage::NotAnObject) => {
            assert!(!value.is_ok_and(|value| value.is_object()), "{text:?}");
            return;
        }
        Err(UnreadableMessage::NoEvent) => {
            assert!(value.map_or(true, |value| value["event"].is_null()), "{text:?}");
            return;
        }
        Err(UnreadableMessage::EventNotAString) => {
            assert!(value.map_or(true, |value| !value["event"].is_string()), "{text:?}");
            return;
        }
    };
    if let Ok(value) = &value {
        assert_eq!(value["event"], message.event.as_ref(), "{text:?}");
        assert_eq!(value["channel"].is_null(), message.channel.is_none(), "{text:?}");
    }
    let Ok(parameters) = MessageParameters::of(message.data) else { return };
    let strings = parameters.strings(["channel", "auth", "channel_data", "user_data"]);
    let Ok(value) = value else { return };
    let held = match &value["data"] {
        Value::String(text) => serde_json::from_str::<Value>(text),
        other => Ok(other.clone()),
    };
    let Ok(held) = held else { return };
    match strings {
        Ok([channel, ..]) => assert_eq!(held["channel"].as_str(), channel.as_deref(), "{text:?}"),
        Err(BadParameter::NotAString(name)) => assert!(!held[name].is_string(), "{text:?}"),
        Err(BadParameter::DataNotAnObject | BadParameter::Missing(_)) => {
            assert!(!held.is_object(), "{text:?}");
        }
    }
}
