//! Writes every message that the broker sends.

use std::sync::Arc;
use std::time::Duration;

use super::json::{Data, push_string};
use super::{
    BinaryMessage, BinaryPayload, ChannelName, CloseStatus, ErrorCode, Frame, ProtocolVersion, SocketId,
};

/// An event on a channel; `user_id` tells on presence channels which member sent it.
pub fn channel_event(event: &str, data: &Data<'_>, channel: &ChannelName, user_id: Option<&str>) -> Frame {
    event_frame(event, data, channel.as_str(), user_id)
}

/// The same as a binary message, for clients that take those.
pub fn binary_event(
    event: &str,
    payload: &BinaryPayload<'_>,
    channel: &ChannelName,
    user_id: Option<&str>,
) -> Frame {
    let payload = payload.borrowed();
    let channel = Some(channel.as_str());
    let message = BinaryMessage { channel, event, user_id, payload };
    Frame::binary(message.encoded_bytes(), |out| message.encode(out))
}

/// A binary message as text, for clients that do not take it so.
pub(super) fn binary_as_text(frame: &Frame) -> Frame {
    // It was made by `binary_event`, so it can be read; if it could not, an empty object would do no harm.
    let Ok(BinaryMessage { channel, event, user_id, payload }) = BinaryMessage::parse(frame.payload()) else {
        return Frame::text(2, |out| out.push_str("{}"));
    };
    let data = Data::of_binary(payload);
    event_frame(event, &data, channel.unwrap_or_default(), user_id)
}

fn event_frame(event: &str, data: &Data<'_>, channel: &str, user_id: Option<&str>) -> Frame {
    let literal = data.literal();
    Frame::text(event.len() + literal.len() + channel.len() + 64, |out| {
        push_head(event, literal, out);
        push_channel(channel, out);
        if let Some(user_id) = user_id {
            out.push_str(",\"user_id\":");
            push_string(user_id, out);
        }
        out.push('}');
    })
}

/// An event to one connection, on no channel.
pub fn connection_event(event: &str, data: &Data<'_>) -> Frame {
    Frame::text(event.len() + data.literal().len() + 32, |out| {
        push_head(event, data.literal(), out);
        out.push('}');
    })
}

/// The first frame of every accepted connection. `binary` is for one that may send binary messages: the bytes that one
/// may have.
pub fn connection_established(
    version: ProtocolVersion,
    socket_id: SocketId,
    activity_timeout: Duration,
    binary: Option<usize>,
) -> Frame {
    let event = if version.greets_without_prefix() {
        "connection_established"
    } else {
        "pusher:connection_established"
    };
    let mut data = format!(r#"{{"socket_id":"{socket_id}""#);
    if version.is_told_activity_timeout() {
        data.push_str(&format!(r#","activity_timeout":{}"#, activity_timeout.as_secs()));
    }
    if let Some(bytes) = binary {
        data.push_str(&format!(r#","binary_message_bytes":{bytes}"#));
    }
    data.push('}');
    connection_event(event, &Data::of_text(&data))
}

/// `pusher:ping`, for those that cannot be pinged by the WebSocket itself.
pub fn ping() -> Frame {
    connection_event("pusher:ping", &Data::of_text("{}"))
}

/// The answer to a client's `pusher:ping`.
pub fn pong() -> Frame {
    connection_event("pusher:pong", &Data::of_text("{}"))
}

/// An error that leaves the connection open.
pub fn error(code: ErrorCode, message: &str) -> Frame {
    error_frame(code.code(), message)
}

/// The error that goes before a fatal close, for versions that look at nothing else.
pub fn fatal_error(status: CloseStatus, message: &str) -> Frame {
    error_frame(Some(status.code()), message)
}

/// `data` is an object here and nowhere else: so the real service writes it, and some clients insist.
fn error_frame(code: Option<u16>, message: &str) -> Frame {
    Frame::text(message.len() + 64, |out| {
        out.push_str(r#"{"event":"pusher:error","data":{"code":"#);
        match code {
            Some(code) => out.push_str(&code.to_string()),
            None => out.push_str("null"),
        }
        out.push_str(",\"message\":");
        push_string(message, out);
        out.push_str("}}");
    })
}

/// A subscription took effect. `roster` is the JSON text of the members, on presence channels.
pub fn subscription_succeeded(channel: &ChannelName, roster: Option<&str>) -> Frame {
    let data = Data::of_text(roster.unwrap_or("{}"));
    channel_event("pusher_internal:subscription_succeeded", &data, channel, None)
}

/// The user is signed in. `user_data` is what the client sent; it parses that again.
pub fn signin_success(user_data: &str) -> Frame {
    let mut data = String::from("{\"user_data\":");
    push_string(user_data, &mut data);
    data.push('}');
    connection_event("pusher:signin_success", &Data::of_text(&data))
}

/// Users of a watchlist who are or have come online, and who are or have gone offline. What is empty is left out.
pub fn watchlist_events(online: &[Arc<str>], offline: &[Arc<str>]) -> Frame {
    let mut data = String::from("{\"events\":[");
    let mut separator = "";
    for (name, ids) in [("online", online), ("offline", offline)] {
        if ids.is_empty() {
            continue;
        }
        data.push_str(separator);
        data.push_str(&format!("{{\"name\":\"{name}\",\"user_ids\":["));
        for (n, id) in ids.iter().enumerate() {
            data.push_str(if n > 0 { "," } else { "" });
            push_string(id, &mut data);
        }
        data.push_str("]}");
        separator = ",";
    }
    data.push_str("]}");
    connection_event("pusher_internal:watchlist_events", &Data::of_text(&data))
}

/// How many connections are subscribed to the channel.
pub fn subscription_count(channel: &ChannelName, count: usize) -> Frame {
    let data = Data::of_text(&format!("{{\"subscription_count\":{count}}}"));
    channel_event("pusher_internal:subscription_count", &data, channel, None)
}

/// A cache channel remembers nothing.
pub fn cache_miss(channel: &ChannelName) -> Frame {
    channel_event("pusher:cache_miss", &Data::of_text("{}"), channel, None)
}

/// What a subscriber missed has been sent, so many events, or cannot be: then it is not complete, and the client must load
/// the state anew.
pub fn resumed(channel: &ChannelName, complete: bool, events: usize) -> Frame {
    let data = Data::of_text(&format!("{{\"complete\":{complete},\"events\":{events}}}"));
    channel_event("pusher:resumed", &data, channel, None)
}

/// What kind of error refused a subscription, for handlers bound on the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscriptionFault {
    /// The signature, or its absence.
    Auth,
    /// The shape of the request.
    Format,
    /// A limit of the app.
    Limit,
}

impl SubscriptionFault {
    /// The `type` and `status` that the frame carries.
    const fn row(self) -> (&'static str, u16) {
        match self {
            SubscriptionFault::Auth => ("AuthError", 401),
            SubscriptionFault::Format => ("FormatError", 400),
            SubscriptionFault::Limit => ("LimitReached", 4301),
        }
    }
}

/// `pusher:subscription_error`: an extension that reaches handlers bound on the channel itself.
///
/// Beside the sentence that everybody gives there may be what it came from.
pub fn subscription_error(
    channel: &str,
    fault: SubscriptionFault,
    message: &str,
    cause: Option<&str>,
) -> Frame {
    let (kind, status) = fault.row();
    let mut data = format!(r#"{{"type":"{kind}","error":"#);
    push_string(message, &mut data);
    data.push_str(&format!(r#","status":{status}"#));
    if let Some(cause) = cause {
        data.push_str(",\"cause\":");
        push_string(cause, &mut data);
    }
    data.push('}');
    // The name is the client's own word for it: it may be no valid name at all.
    Frame::text(data.len() + channel.len() + 96, |out| {
        push_head("pusher:subscription_error", Data::of_text(&data).literal(), out);
        out.push_str(",\"channel\":");
        push_string(channel, out);
        out.push('}');
    })
}

/// A member came. `user_info` is JSON text.
pub fn member_added(channel: &ChannelName, user_id: &str, user_info: Option<&str>) -> Frame {
    let mut data = String::from("{\"user_id\":");
    push_string(user_id, &mut data);
    if let Some(user_info) = user_info {
        data.push_str(",\"user_info\":");
        data.push_str(user_info);
    }
    data.push('}');
    channel_event("pusher_internal:member_added", &Data::of_text(&data), channel, None)
}

/// A member left.
pub fn member_removed(channel: &ChannelName, user_id: &str) -> Frame {
    let mut data = String::from("{\"user_id\":");
    push_string(user_id, &mut data);
    data.push('}');
    channel_event("pusher_internal:member_removed", &Data::of_text(&data), channel, None)
}

fn push_head(event: &str, data_literal: &str, out: &mut String) {
    out.push_str("{\"event\":");
    push_string(event, out);
    out.push_str(",\"data\":");
    out.push_str(data_literal);
}

fn push_channel(channel: &str, out: &mut String) {
    out.push_str(",\"channel\":\"");
    out.push_str(channel);
    out.push('"');
}

#[cfg(test)]
mod tests;
