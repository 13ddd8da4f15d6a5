//! What the load tool says, recognised by its place in the message, and the prepared answers.

use std::rc::Rc;

use memchr::memmem;

use crate::clients::ACCEPT;
use crate::wire::frame::{TEXT, apply_mask, push_server_frame};

/// One thing asked of the ceiling.
#[derive(Debug, PartialEq)]
pub(super) enum Request<'a> {
    Upgrade,
    Publish {
        /// The path and the query.
        target: &'a [u8],
        channel: &'a [u8],
        body: &'a [u8],
    },
    Subscribe {
        channel: &'a [u8],
    },
    ClientEvent {
        channel: &'a [u8],
        message: &'a [u8],
    },
    /// Pongs, closes and the like.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum RequestError {
    /// More bytes are needed.
    Incomplete,
    /// Nothing that the load tool says.
    Unknown,
}

/// The first request in `bytes`, and how many of them it took. Frames are unmasked in place, once they are complete.
pub(super) fn next(bytes: &mut [u8], websocket: bool) -> Result<(Request<'_>, usize), RequestError> {
    if websocket { frame(bytes) } else { http(bytes) }
}

fn http(bytes: &[u8]) -> Result<(Request<'_>, usize), RequestError> {
    const LENGTH: &[u8] = b"Content-Length: ";
    let head = memmem::find(bytes, b"\r\n\r\n").ok_or(RequestError::Incomplete)? + 4;
    if bytes.starts_with(b"GET /app/") {
        return Ok((Request::Upgrade, head));
    }
    let length = memmem::find(&bytes[..head], LENGTH).ok_or(RequestError::Unknown)? + LENGTH.len();
    let digits = bytes[length..head].iter().take_while(|byte| byte.is_ascii_digit());
    let whole = head + digits.fold(0, |length, digit| length * 10 + usize::from(digit - b'0'));
    let body = bytes.get(head..whole).ok_or(RequestError::Incomplete)?;
    let channel = after(body, br#""channel":""#).ok_or(RequestError::Unknown)?;
    let target = bytes.strip_prefix(b"POST ").ok_or(RequestError::Unknown)?;
    let target = target.split(|byte| *byte == b' ').next().unwrap_or_default();
    Ok((Request::Publish { target, channel, body }, whole))
}

fn frame(bytes: &mut [u8]) -> Result<(Request<'_>, usize), RequestError> {
    let [first, length, ..] = *bytes else { return Err(RequestError::Incomplete) };
    let extended = |range| bytes.get(range).ok_or(RequestError::Incomplete);
    let (header, length) = match length & 0x7f {
        126 => (4, extended(2..4)?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte))),
        127 => (10, extended(2..10)?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte))),
        short => (2, usize::from(short)),
    };
    let whole = header + 4 + length;
    let frame = bytes.get_mut(header..whole).ok_or(RequestError::Incomplete)?;
    let (mask, payload) = frame.split_at_mut(4);
    apply_mask(payload, mask.try_into().map_err(|_| RequestError::Unknown)?);
    let payload = &*payload;
    let request = if first & 0x0f != TEXT {
        Request::Other
    } else if payload.starts_with(br#"{"event":"client-"#) {
        let channel = after(payload, br#""channel":""#).ok_or(RequestError::Unknown)?;
        Request::ClientEvent { channel, message: payload }
    } else if payload.starts_with(br#"{"event":"pusher:subscribe""#) {
        Request::Subscribe { channel: after(payload, br#""channel":""#).ok_or(RequestError::Unknown)? }
    } else {
        Request::Other
    };
    Ok((request, whole))
}

/// What stands between these words and the next quotation mark.
fn after<'a>(message: &'a [u8], words: &[u8]) -> Option<&'a [u8]> {
    // Names come before the payload, so a long one need not be searched.
    let start = memmem::find(&message[..message.len().min(256)], words)? + words.len();
    let end = message[start..].iter().position(|byte| *byte == b'"')?;
    Some(&message[start..start + end])
}

pub(super) fn upgraded(number: usize) -> Rc<[u8]> {
    let mut answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
    )
    .into_bytes();
    let greeting = format!(
        r#"{{"event":"pusher:connection_established","data":"{{\"socket_id\":\"1.{number}\",\"activity_timeout\":120}}"}}"#
    );
    push_server_frame(&mut answer, TEXT, greeting.as_bytes());
    answer.into()
}

pub(super) fn subscribed(channel: &[u8]) -> Rc<[u8]> {
    let before: &[u8] = br#"{"event":"pusher_internal:subscription_succeeded","channel":""#;
    text_frame(&[before, channel, br#"","data":"{}"}"#].concat())
}

/// The message of a publish: its body, with the first key renamed.
pub(super) fn published(body: &[u8]) -> Rc<[u8]> {
    text_frame(&[br#"{"event""#, &body[br#"{"name""#.len()..]].concat())
}

/// The message of a client event: as it came.
pub(super) fn relayed(message: &[u8]) -> Rc<[u8]> {
    text_frame(message)
}

pub(super) fn ok() -> Rc<[u8]> {
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}".as_slice().into()
}

/// The same frame with less payload than its mark says.
pub(super) fn cut_short(frame: &[u8]) -> Rc<[u8]> {
    let payload = memmem::find(frame, b"{").map_or(frame, |start| &frame[start..]);
    text_frame(&payload[..payload.len().saturating_sub(40)])
}

fn text_frame(payload: &[u8]) -> Rc<[u8]> {
    let mut frame = Vec::with_capacity(payload.len() + 10);
    push_server_frame(&mut frame, TEXT, payload);
    frame.into()
}
