//! WebSocket frames to clients: encoded once, and shared by all that are sent them.

use bytes::Bytes;

use super::{CloseStatus, deflate};

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

    /// A binary message of this many bytes. `build` appends it to the buffer it is given.
    pub(super) fn binary(payload_bytes: usize, build: impl FnOnce(&mut Vec<u8>)) -> Frame {
        let (header, length) = header(OPCODE_BINARY, payload_bytes);
        let mut buffer = Vec::with_capacity(length + payload_bytes);
        buffer.extend_from_slice(&header[..length]);
        build(&mut buffer);
        Frame(Bytes::from(buffer))
    }

    /// Reads a frame that another node says it has made: a whole, final, unmasked message and nothing behind it, in as
    /// few bytes as it takes, and UTF-8 if it is text. What is in the message is not looked at.
    pub(crate) fn read(bytes: Bytes) -> Option<Frame> {
        let opcode = bytes.first()? & 0x0f;
        if bytes.len() < Self::payload_start(*bytes.get(1)?)
            || ![OPCODE_TEXT, OPCODE_BINARY].contains(&opcode)
        {
            return None;
        }
        let frame = Frame(bytes);
        let (header, length) = header(opcode, frame.payload().len());
        let is_sound = frame.0.starts_with(&header[..length])
            && (opcode == OPCODE_BINARY || std::str::from_utf8(frame.payload()).is_ok());
        is_sound.then_some(frame)
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
    pub fn is_binary(&self) -> bool {
        self.opcode() == OPCODE_BINARY
    }

    /// A close frame. A reason too long for one is cut at a character.
    pub fn close(status: impl Into<CloseStatus>, reason: &str) -> Frame {
        let mut payload = status.into().code().to_be_bytes().to_vec();
        payload.extend_from_slice(Frame::close_reason(reason).as_bytes());
        Frame::control(OPCODE_CLOSE, &payload)
    }

    /// The reason of a close as far as a close frame has room for it.
    pub(super) fn close_reason(reason: &str) -> &str {
        const REASON_BYTES: usize = 123;
        &reason[..reason.floor_char_boundary(REASON_BYTES)]
    }

    /// The close frame that answers one with this code, if it had any.
    pub fn close_echo(code: Option<u16>) -> Frame {
        match code {
            Some(code) => Frame::control(OPCODE_CLOSE, &code.to_be_bytes()),
            None => Frame::control(OPCODE_CLOSE, &[]),
        }
    }

    /// The code of a close frame that has one.
    pub fn close_code(&self) -> Option<u16> {
        match &*self.0 {
            [head, _, high, low, ..] if head & 0x0f == OPCODE_CLOSE => {
                Some(u16::from_be_bytes([*high, *low]))
            }
            _ => None,
        }
    }

    /// A ping frame without payload.
    pub fn ping() -> Frame {
        Frame::control(OPCODE_PING, &[])
    }

    /// A ping frame with this payload, of at most 125 bytes.
    pub fn ping_with(payload: &[u8]) -> Frame {
        Frame::control(OPCODE_PING, payload)
    }

    /// The pong frame that answers a ping with this payload, of at most 125 bytes.
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
    pub fn websocket(&self) -> &Bytes {
        &self.0
    }

    /// Whether it is a message, and no control frame.
    pub fn is_text(&self) -> bool {
        self.opcode() == OPCODE_TEXT
    }

    /// Whether it is a ping.
    pub fn is_ping(&self) -> bool {
        self.opcode() == OPCODE_PING
    }

    /// Whether it is a ping that carries something.
    pub fn is_ping_with_payload(&self) -> bool {
        self.is_ping() && !self.payload().is_empty()
    }

    fn opcode(&self) -> u8 {
        self.0.first().map_or(0, |first| first & 0x0f)
    }

    /// The JSON text alone, for transports that frame it in another way.
    pub fn json(&self) -> &[u8] {
        self.payload()
    }

    /// What the frame carries, without its header.
    pub fn payload(&self) -> &[u8] {
        let header = self.0.get(1).map_or(2, |length| Frame::payload_start(*length));
        &self.0[header..]
    }

    /// Where what it carries begins, by the second byte of its header.
    fn payload_start(length: u8) -> usize {
        match length {
            126 => 4,
            127 => 10,
            _ => 2,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_is_read_and_nothing_else() {
        for bytes in [0, 1, 125, 126, 0xffff, 0x1_0000] {
            let text = Frame::text(bytes, |out| (0..bytes).for_each(|_| out.push('x')));
            let binary = Frame::binary(bytes, |out| out.extend(std::iter::repeat_n(0xff, bytes)));
            for frame in [text, binary] {
                let made = frame.websocket();
                assert_eq!(Frame::read(made.clone()), Some(frame.clone()));
                let longer = Bytes::from([&made[..], b"x"].concat());
                for broken in [made.slice(..made.len() - 1), longer, made.slice(1..)] {
                    assert_eq!(Frame::read(broken), None, "{bytes}");
                }
            }
        }
        let not_text = Bytes::from_static(&[0x81, 1, 0xff]);
        let masked = Bytes::from_static(&[0x81, 0x80, 0, 0, 0, 0]);
        let unfinished = Bytes::from_static(&[0x01, 1, b'x']);
        let wasteful = Bytes::from_static(&[0x81, 126, 0, 1, b'x']);
        let pieces = (0..10).map(|n| Bytes::from([0x82, 127].repeat(n)));
        let control = [Frame::ping(), Frame::close_echo(None)].map(|frame| frame.websocket().clone());
        let bad = [not_text, masked, unfinished, wasteful].into_iter().chain(pieces).chain(control);
        bad.for_each(|bytes| assert_eq!(Frame::read(bytes.clone()), None, "{bytes:?}"));
    }
}
