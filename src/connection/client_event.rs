//! Events that clients send: `client-*` to each other, and any other name to the pipes.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::app::App;
use crate::protocol::ChannelType;
use crate::protocol::client_message::ClientMessage;
use crate::protocol::json::{self, Data, Unrelayable};
use crate::protocol::quote;

use super::Refusal;

/// The shape of a client event: both parts are there.
pub(super) struct Shape<'m> {
    pub(super) channel: Cow<'m, str>,
    pub(super) data: &'m RawValue,
}

/// Checks that a `client-*` event names a channel and has data. Any JSON value is data, `null` too.
pub(super) fn shape<'m>(message: &ClientMessage<'m>) -> Result<Shape<'m>, Refusal> {
    let channel = message.channel.and_then(json::as_string).filter(|channel| !channel.is_empty());
    match (channel, message.data) {
        (Some(channel), Some(data)) => Ok(Shape { channel, data }),
        _ => Err(incomplete()),
    }
}

/// The refusal of a client event without one of its parts.
pub(super) fn incomplete() -> Refusal {
    Refusal::unnumbered("Invalid client event (must contain channel and data)")
}

/// Checks that the app and the type of the channel allow client events.
pub(super) fn check_allowed(app: &App, channel: &str) -> Result<(), Refusal> {
    if !app.client_events {
        return Err(Refusal::unnumbered(
            "To send client events, you must enable this feature in the Settings page of your dashboard.",
        ));
    }
    let channel_type = ChannelType::of(channel);
    let on_private = channel_type.needs_auth();
    match on_private && (!channel_type.is_encrypted() || app.client_events_on_encrypted_channels) {
        true => Ok(()),
        false => Err(Refusal::unnumbered(
            "Client event rejected - only supported on private and presence channels",
        )),
    }
}

/// The refusal of an event on a channel that the sender is not subscribed to.
pub(super) fn not_subscribed(channel: &str) -> Refusal {
    let channel = quote(channel);
    Refusal::unnumbered(format!(
        "Cannot broadcast client event (connection not subscribed to channel {channel})"
    ))
}

/// Checks the name's length, and brings the payload into the form in which it is delivered.
pub(super) fn payload<'m>(
    app: &App,
    event: &str,
    data: &'m RawValue,
    max_bytes: usize,
) -> Result<Data<'m>, Refusal> {
    check_name(app, event)?;
    let data = Data::relay(data).map_err(|error: Unrelayable| {
        Refusal::unnumbered(format!("Received invalid JSON: the data is unusable, {error}"))
    })?;
    match data.bytes() > max_bytes {
        true => Err(too_large(max_bytes)),
        false => Ok(data),
    }
}

/// Checks the length of the name.
pub(super) fn check_name(app: &App, event: &str) -> Result<(), Refusal> {
    let max_chars = app.limits.event_name_chars;
    match event.chars().count() > max_chars {
        true => {
            let message = format!("Client event name exceeds the allowed maximum ({max_chars} characters)");
            Err(Refusal::client_event(message))
        }
        false => Ok(()),
    }
}

/// The refusal of an event that is larger than the limit that holds for its kind.
pub(super) fn too_large(max_bytes: usize) -> Refusal {
    Refusal::client_event(format!("Client event data exceeds the allowed maximum ({max_bytes} bytes)"))
}

/// The refusal of an event over the rate.
pub(super) fn too_fast(per_second: u32) -> Refusal {
    let limit = format!("at most {per_second} per second and connection are allowed");
    Refusal::client_event(format!("Client event rejected due to rate limit ({limit})"))
}

/// The refusal of an event that nobody can want.
pub(super) fn unsupported(event: &str) -> Refusal {
    Refusal::unnumbered(format!("Unsupported event received on socket: {}", quote(event)))
}
