//! What the broker says: every frame it sends, encoded once and shared by all who get it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::deflate;
use super::json::{Data, push_string};
use super::{BinaryMessage, BinaryPayload};
use super::{ChannelName, CloseCode, ErrorCode, ProtocolVersion, SocketId};

/// One message to clients, ready for the socket: a whole WebSocket frame, shared by reference count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame(Bytes);

impl Frame {
    /// The largest header of a frame from a server, in bytes.
    const MAX_HEADER_BYTES: usize = 10;

    /// Wraps `json` in an unmasked, final text frame. `build` appends it to the buffer it is given.
    pub(super) fn text(capacity: usize, build: impl FnOnce(&mut String)) -> Frame {
        // The header's length depends on the text's: leave room in front, then write it backwards.
        let mut json = String::with_capacity(Self::MAX_HEADER_BYTES + capacity);
        json.push_str("\0\0\0\0\0\0\0\0\0\0");
        build(&mut json);
        let mut buffer = json.into_bytes();
        let (header, length) = header(OPCODE_TEXT, buffer.len() - Self::MAX_HEADER_BYTES);
        let start = Self::MAX_HEADER_BYTES - length;
        buffer[start..Self::MAX_HEADER_BYTES].copy_from_slice(&header[..length]);
        Frame(Bytes::from(buffer).slice(start..))
    }

    /// The compressed form, if that is shorter; its [`Frame::json`] is then not JSON but compressed JSON.
    pub(super) fn compressed(&self) -> Frame {
        match deflate::deflate(self.json()) {
            Some(payload) => {
                let (header, length) = header(OPCODE_TEXT | COMPRESSED, payload.len());
                Frame(Bytes::from([&header[..length], &payload].concat()))
            }
            None => self.clone(),
        }
    }

    /// Whether it is a binary message.
    #[must_use]
    pub fn is_binary(&self) -> bool {
        self.opcode() == OPCODE_BINARY
    }

    /// A binary message as text, for those that do not take it so.
    pub(super) fn binary_as_text(&self) -> Frame {
        // It was made by `binary_event`, so it can be read; if it could not, an empty object would do no harm.
        let Ok(BinaryMessage { channel, event, user_id, payload }) = BinaryMessage::parse(self.payload())
        else {
            return Frame::text(2, |out| out.push_str("{}"));
        };
        let data = Data::of_binary(payload);
        event_frame(event, &data, channel.unwrap_or_default(), user_id)
    }

    /// A close frame. A reason too long for one is cut at a character.
    #[must_use]
    pub fn close(code: CloseCode, reason: &str) -> Frame {
        let mut payload = code.code().to_be_bytes().to_vec();
        payload.extend_from_slice(Frame::close_reason(reason).as_bytes());
        Frame::control(OPCODE_CLOSE, &payload)
    }

    /// The reason of a close as far as a close frame has room for it.
    pub(super) fn close_reason(reason: &str) -> &str {
        const REASON_BYTES: usize = 123;
        &reason[..reason.floor_char_boundary(REASON_BYTES)]
    }

    /// The close frame that answers one with this code, if it had any.
    #[must_use]
    pub fn close_echo(code: Option<u16>) -> Frame {
        match code {
            Some(code) => Frame::control(OPCODE_CLOSE, &code.to_be_bytes()),
            None => Frame::control(OPCODE_CLOSE, &[]),
        }
    }

    /// The code of a close frame that has one.
    #[must_use]
    pub fn close_code(&self) -> Option<u16> {
        match &*self.0 {
            [head, _, high, low, ..] if head & 0x0f == OPCODE_CLOSE => {
                Some(u16::from_be_bytes([*high, *low]))
            }
            _ => None,
        }
    }

    /// A ping frame without payload.
    #[must_use]
    pub fn ping() -> Frame {
        Frame::control(OPCODE_PING, &[])
    }

    /// The pong frame that answers a ping with this payload, of at most 125 bytes.
    #[must_use]
    pub fn pong(payload: &[u8]) -> Frame {
        Frame::control(OPCODE_PONG, payload)
    }

    fn control(opcode: u8, payload: &[u8]) -> Frame {
        let (header, length) = header(opcode, payload.len());
        Frame(Bytes::from([&header[..length], payload].concat()))
    }

    /// The header of one frame of a text message of several: the first, the last, one between, or both.
    pub(crate) fn text_header(first: bool, last: bool, payload_bytes: usize) -> Bytes {
        let opcode = if first { OPCODE_TEXT } else { 0 };
        let (mut header, length) = header(opcode, payload_bytes);
        if !last {
            header[0] &= 0x7f;
        }
        Bytes::copy_from_slice(&header[..length])
    }

    /// The frame as it goes over a WebSocket, header included.
    #[must_use]
    pub fn websocket(&self) -> &Bytes {
        &self.0
    }

    /// Whether it is a message, and no control frame.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.opcode() == OPCODE_TEXT
    }

    /// Whether it is a ping.
    #[must_use]
    pub fn is_ping(&self) -> bool {
        self.opcode() == OPCODE_PING
    }

    fn opcode(&self) -> u8 {
        self.0.first().map_or(0, |first| first & 0x0f)
    }

    /// The JSON text alone, for transports that frame it in another way.
    #[must_use]
    pub fn json(&self) -> &[u8] {
        self.payload()
    }

    /// What the frame carries, without its header.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        let header = match self.0.get(1) {
            Some(126) => 4,
            Some(127) => 10,
            _ => 2,
        };
        &self.0[header..]
    }
}

/// The reserved bit that says that a message is compressed.
const COMPRESSED: u8 = 0x40;
const OPCODE_TEXT: u8 = 0x1;
const OPCODE_BINARY: u8 = 0x2;
const OPCODE_CLOSE: u8 = 0x8;
const OPCODE_PING: u8 = 0x9;
const OPCODE_PONG: u8 = 0xa;

/// The header of a final, unmasked frame, and how many of its bytes count.
fn header(opcode: u8, payload_bytes: usize) -> ([u8; Frame::MAX_HEADER_BYTES], usize) {
    let mut header = [0; Frame::MAX_HEADER_BYTES];
    header[0] = 0x80 | opcode;
    let length = payload_bytes as u64;
    match payload_bytes {
        0..=125 => {
            header[1] = payload_bytes as u8;
            (header, 2)
        }
        126..=0xffff => {
            header[1] = 126;
            header[2..4].copy_from_slice(&length.to_be_bytes()[6..]);
            (header, 4)
        }
        _ => {
            header[1] = 127;
            header[2..10].copy_from_slice(&length.to_be_bytes());
            (header, 10)
        }
    }
}

/// An event on a channel; `user_id` tells on presence channels which member sent it.
#[must_use]
pub fn channel_event(event: &str, data: &Data<'_>, channel: &ChannelName, user_id: Option<&str>) -> Frame {
    event_frame(event, data, channel.as_str(), user_id)
}

/// The same as a binary message, for clients that take those.
#[must_use]
pub fn binary_event(
    event: &str,
    payload: &BinaryPayload<'_>,
    channel: &ChannelName,
    user_id: Option<&str>,
) -> Frame {
    let (payload, channel) = (payload.borrowed(), Some(channel.as_str()));
    let message = BinaryMessage { channel, event, user_id, payload };
    let (header, length) = header(OPCODE_BINARY, message.encoded_bytes());
    let mut buffer = Vec::with_capacity(length + message.encoded_bytes());
    buffer.extend_from_slice(&header[..length]);
    message.encode(&mut buffer);
    Frame(Bytes::from(buffer))
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
#[must_use]
pub fn connection_event(event: &str, data: &Data<'_>) -> Frame {
    Frame::text(event.len() + data.literal().len() + 32, |out| {
        push_head(event, data.literal(), out);
        out.push('}');
    })
}

/// The first frame of every accepted connection. `binary` is for one that may send binary messages: the bytes that one
/// may have.
#[must_use]
pub fn connection_established(
    version: ProtocolVersion,
    socket_id: SocketId,
    activity_timeout: Duration,
    binary: Option<usize>,
) -> Frame {
    let event = match version.greets_without_prefix() {
        true => "connection_established",
        false => "pusher:connection_established",
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
#[must_use]
pub fn ping() -> Frame {
    connection_event("pusher:ping", &Data::of_text("{}"))
}

/// The answer to a client's `pusher:ping`.
#[must_use]
pub fn pong() -> Frame {
    connection_event("pusher:pong", &Data::of_text("{}"))
}

/// An error that leaves the connection open.
#[must_use]
pub fn error(code: ErrorCode, message: &str) -> Frame {
    error_frame(code.code(), message)
}

/// The error that goes before a fatal close, for versions that look at nothing else.
#[must_use]
pub fn fatal_error(code: CloseCode, message: &str) -> Frame {
    error_frame(Some(code.code()), message)
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
#[must_use]
pub fn subscription_succeeded(channel: &ChannelName, roster: Option<&str>) -> Frame {
    let data = Data::of_text(roster.unwrap_or("{}"));
    channel_event("pusher_internal:subscription_succeeded", &data, channel, None)
}

/// The user is signed in. `user_data` is what the client sent; it parses that again.
#[must_use]
pub fn signin_success(user_data: &str) -> Frame {
    let mut data = String::from("{\"user_data\":");
    push_string(user_data, &mut data);
    data.push('}');
    connection_event("pusher:signin_success", &Data::of_text(&data))
}

/// Users of a watchlist who are or have come online, and who are or have gone offline. What is empty is left out.
#[must_use]
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
#[must_use]
pub fn subscription_count(channel: &ChannelName, count: usize) -> Frame {
    let data = Data::of_text(&format!("{{\"subscription_count\":{count}}}"));
    channel_event("pusher_internal:subscription_count", &data, channel, None)
}

/// A cache channel remembers nothing.
#[must_use]
pub fn cache_miss(channel: &ChannelName) -> Frame {
    channel_event("pusher:cache_miss", &Data::of_text("{}"), channel, None)
}

/// What kind of fault refused a subscription, for handlers bound on the channel.
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
#[must_use]
pub fn subscription_error(channel: &str, fault: SubscriptionFault, message: &str) -> Frame {
    let (kind, status) = fault.row();
    let mut data = format!(r#"{{"type":"{kind}","error":"#);
    push_string(message, &mut data);
    data.push_str(&format!(r#","status":{status}}}"#));
    // The name is the client's own word for it: it may be no valid name at all.
    Frame::text(data.len() + channel.len() + 96, |out| {
        push_head("pusher:subscription_error", Data::of_text(&data).literal(), out);
        out.push_str(",\"channel\":");
        push_string(channel, out);
        out.push('}');
    })
}

/// A member came. `user_info` is JSON text.
#[must_use]
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
#[must_use]
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
