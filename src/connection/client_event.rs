//! Events that clients send: `client-*` to each other, and any other name to the pipes.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::app::App;
use crate::event::{AcceptedEvent, Destination, Source};
use crate::protocol::client_message::ClientMessage;
use crate::protocol::event_name::{self, ClientEventKind};
use crate::protocol::json::{self, Data, Unrelayable};
use crate::protocol::{BinaryMessage, ChannelName, ChannelType, SocketId, quote};

use super::subscriptions::Subscriptions;
use super::{PipeListens, Refusal};

/// The connection that sends an event, as far as its events are judged by it.
pub(super) struct Sender<'c> {
    pub(super) app: &'c App,
    pub(super) socket_id: SocketId,
    pub(super) subscriptions: &'c Subscriptions,
}

impl Sender<'_> {
    /// An event for the other subscribers of a channel.
    pub(super) fn client_event<'m>(&self, message: ClientMessage<'m>) -> Result<AcceptedEvent<'m>, Refusal> {
        let Shape { channel, data: raw } = shape(&message)?;
        check_allowed(self.app, &channel)?;
        let subscription = self.subscription(&channel)?;
        let data = payload(self.app, &message.event, raw, self.app.limits.client_event_payload_bytes)?;
        Ok(self.to_subscribers(subscription, message.event, data, Some(raw)))
    }

    /// An event that only a pipe can want.
    pub(super) fn pipe_event<'m>(
        &self,
        message: ClientMessage<'m>,
        pipe_listens: &PipeListens<'_>,
    ) -> Result<AcceptedEvent<'m>, Refusal> {
        let name = match message.channel {
            Some(channel) => {
                let name = json::as_string(channel);
                Some(name.ok_or_else(|| unsupported(&message.event))?)
            }
            None => None,
        };
        let (channel, user_id) = self.channel_of_pipe_event(name.as_deref(), &message.event, pipe_listens)?;
        let raw = message.data.unwrap_or(RawValue::NULL);
        let data = payload(self.app, &message.event, raw, self.app.limits.pipe_message_bytes)?;
        Ok(self.to_listeners(channel, user_id, message.event, data, Some(raw)))
    }

    /// An event that came as a binary message of so many bytes. The rules are those of the same event as text, but for
    /// its size.
    pub(super) fn binary_event<'m>(
        &self,
        message: BinaryMessage<'m>,
        bytes: usize,
        pipe_listens: &PipeListens<'_>,
    ) -> Result<AcceptedEvent<'m>, Refusal> {
        let BinaryMessage { channel, event, payload, .. } = message;
        let max_bytes = self.app.limits.binary_message_bytes;
        let check_size = || match bytes {
            bytes if bytes > max_bytes => Err(too_large(max_bytes)),
            _ => check_name(self.app, event),
        };
        let data = Data::of_binary(payload);
        match event_name::kind(event) {
            ClientEventKind::Reserved => Err(unsupported(event)),
            ClientEventKind::Unprefixed => {
                let (channel, user_id) = self.channel_of_pipe_event(channel, event, pipe_listens)?;
                check_size()?;
                Ok(self.to_listeners(channel, user_id, event.into(), data, None))
            }
            ClientEventKind::ClientEvent => {
                let name = channel.ok_or_else(incomplete)?;
                check_allowed(self.app, name)?;
                let subscription = self.subscription(name)?;
                check_size()?;
                Ok(self.to_subscribers(subscription, event.into(), data, None))
            }
        }
    }

    /// The channel of an event that only a pipe can want, and who the sender is on it, if some pipe listens and the
    /// sender is subscribed.
    fn channel_of_pipe_event(
        &self,
        name: Option<&str>,
        event: &str,
        pipe_listens: &PipeListens<'_>,
    ) -> Result<(Option<ChannelName>, Option<Arc<str>>), Refusal> {
        if !pipe_listens(name, event) {
            return Err(unsupported(event));
        }
        let Some(name) = name else { return Ok((None, None)) };
        let (channel, user_id) = self.subscription(name)?;
        Ok((Some(channel), user_id))
    }

    /// A channel that the sender is subscribed to, and who it is there.
    fn subscription(&self, name: &str) -> Result<(ChannelName, Option<Arc<str>>), Refusal> {
        let subscription = self.subscriptions.get(name);
        let (channel, user_id) = subscription.ok_or_else(|| not_subscribed(name))?;
        Ok((channel.clone(), user_id.clone()))
    }

    fn to_subscribers<'m>(
        &self,
        (channel, user_id): (ChannelName, Option<Arc<str>>),
        name: Cow<'m, str>,
        data: Data<'m>,
        raw: Option<&'m RawValue>,
    ) -> AcceptedEvent<'m> {
        let source = Source::Client { socket_id: self.socket_id, user_id };
        let to = Destination::Subscribers { channel, except: Some(self.socket_id) };
        AcceptedEvent { source, to, name, data, raw }
    }

    fn to_listeners<'m>(
        &self,
        channel: Option<ChannelName>,
        user_id: Option<Arc<str>>,
        name: Cow<'m, str>,
        data: Data<'m>,
        raw: Option<&'m RawValue>,
    ) -> AcceptedEvent<'m> {
        let source = Source::Client { socket_id: self.socket_id, user_id };
        AcceptedEvent { source, to: Destination::Listeners { channel }, name, data, raw }
    }
}

/// The shape of a client event: both parts are there.
struct Shape<'m> {
    channel: Cow<'m, str>,
    data: &'m RawValue,
}

/// Checks that a `client-*` event names a channel and has data. Any JSON value is data, `null` too.
fn shape<'m>(message: &ClientMessage<'m>) -> Result<Shape<'m>, Refusal> {
    let channel = message.channel.and_then(json::as_string).filter(|channel| !channel.is_empty());
    match (channel, message.data) {
        (Some(channel), Some(data)) => Ok(Shape { channel, data }),
        _ => Err(incomplete()),
    }
}

/// The refusal of a client event without one of its parts.
fn incomplete() -> Refusal {
    Refusal::unnumbered("Invalid client event (must contain channel and data)")
}

/// Checks that the app and the type of the channel allow client events.
fn check_allowed(app: &App, channel: &str) -> Result<(), Refusal> {
    if !app.client_events {
        return Err(Refusal::unnumbered(
            "To send client events, you must enable this feature in the Settings page of your dashboard.",
        ));
    }
    let channel_type = ChannelType::of(channel);
    let on_private = channel_type.needs_auth();
    if on_private && (!channel_type.is_encrypted() || app.client_events_on_encrypted_channels) {
        Ok(())
    } else {
        Err(Refusal::unnumbered("Client event rejected - only supported on private and presence channels"))
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
fn payload<'m>(app: &App, event: &str, data: &'m RawValue, max_bytes: usize) -> Result<Data<'m>, Refusal> {
    check_name(app, event)?;
    let data = Data::relay(data).map_err(|error: Unrelayable| {
        Refusal::unnumbered(format!("Received invalid JSON: the data is unusable, {error}"))
    })?;
    if data.bytes() > max_bytes { Err(too_large(max_bytes)) } else { Ok(data) }
}

/// Checks the length of the name.
fn check_name(app: &App, event: &str) -> Result<(), Refusal> {
    let max_chars = app.limits.event_name_chars;
    // There are no more characters than bytes.
    if event.len() > max_chars && event.chars().count() > max_chars {
        let message = format!("Client event name exceeds the allowed maximum ({max_chars} characters)");
        return Err(Refusal::client_event(message));
    }
    Ok(())
}

/// The refusal of an event that is larger than the limit that holds for its kind.
fn too_large(max_bytes: usize) -> Refusal {
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
