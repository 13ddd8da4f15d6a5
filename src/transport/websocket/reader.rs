//! WebSocket frames from a client (RFC 6455), parsed in place.
//!
//! What a frame announces is checked before anything of it is kept. Only an incomplete frame and the earlier
//! fragments of a message are copied, and both together are bounded by the message limit.

use crate::protocol::deflate::{self, InflateError};

/// Something whole that arrived.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A text message, all fragments together.
    Text(&'a str),
    /// A ping, to be answered with its payload.
    Ping(&'a [u8]),
    /// A pong.
    Pong,
    /// The peer's last frame, with the code it gave. What follows is not read.
    Close(Option<u16>),
}

/// The peer broke the protocol; the connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Close code 1002.
    #[error("WebSocket protocol error: frames from a client must be masked")]
    Unmasked,
    /// Close code 1002. No extension was negotiated.
    #[error("WebSocket protocol error: reserved bits are set")]
    ReservedBits,
    /// Close code 1002.
    #[error("WebSocket protocol error: unknown opcode {0}")]
    UnknownOpcode(u8),
    /// Close code 1002.
    #[error("WebSocket protocol error: a control frame must be whole and hold at most 125 bytes")]
    BadControlFrame,
    /// Close code 1002.
    #[error("WebSocket protocol error: a message began before the last one ended")]
    Interleaved,
    /// Close code 1002.
    #[error("WebSocket protocol error: a continuation without a beginning")]
    NothingToContinue,
    /// Close code 1002.
    #[error("WebSocket protocol error: a close frame must hold nothing, or a code that an endpoint may send")]
    BadClose,
    /// Close code 1003.
    #[error("Binary messages are not part of the protocol, send text")]
    Binary,
    /// Close code 1007.
    #[error("The compressed message is damaged")]
    DamagedCompression,
    /// Close code 1007.
    #[error("Text messages must be UTF-8")]
    NotUtf8,
    /// Close code 1009.
    #[error("Message too big: at most {limit} bytes are allowed, got {bytes} or more")]
    TooBig {
        /// The limit, in bytes.
        limit: usize,
        /// What was announced so far.
        bytes: u64,
    },
}

/// The reading side of one connection.
#[derive(Debug)]
pub struct FrameReader {
    limit: usize,
    /// Compressed messages are allowed.
    compression: bool,
    /// The beginning of a frame whose end has not come.
    partial: Vec<u8>,
    /// The fragments so far of a message whose end has not come. Rare, so it takes no room while there are none.
    fragments: Option<Box<Fragments>>,
}

/// The beginning of a message.
#[derive(Debug, Default)]
struct Fragments {
    payload: Vec<u8>,
    compressed: bool,
}

const OPCODE_CONTINUATION: u8 = 0x0;
const OPCODE_TEXT: u8 = 0x1;
const OPCODE_BINARY: u8 = 0x2;
const OPCODE_CLOSE: u8 = 0x8;
const OPCODE_PING: u8 = 0x9;
const OPCODE_PONG: u8 = 0xa;

/// A frame's header, read and checked.
#[derive(Debug)]
struct Header {
    opcode: u8,
    fin: bool,
    compressed: bool,
    mask: [u8; 4],
    /// Where the payload begins, from the frame's first byte.
    payload_at: usize,
    payload_bytes: usize,
}

impl FrameReader {
    /// A reader that allows messages of at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        FrameReader { limit, compression: false, partial: Vec::new(), fragments: None }
    }

    /// The same reader, for a peer with which permessage-deflate was agreed on. The limit holds for what a message is
    /// restored to.
    #[must_use]
    pub fn with_compression(self, compression: bool) -> Self {
        FrameReader { compression, ..self }
    }

    /// Reads what arrived, and hands every event to `each`, in order. `each` returns whether to go on. The input is
    /// used as a working space.
    ///
    /// # Errors
    /// If the peer broke the protocol. Nothing more is to be fed then.
    pub fn feed(&mut self, input: &mut [u8], mut each: impl FnMut(Event<'_>) -> bool) -> Result<(), Fault> {
        if self.partial.is_empty() {
            let used = self.read_frames(input, &mut each)?;
            // The rest is copied at its exact size: most often it is a few bytes, or a large frame's first part.
            self.partial = input[used..].to_vec();
            return Ok(());
        }
        let mut buffer = std::mem::take(&mut self.partial);
        buffer.extend_from_slice(input);
        let used = self.read_frames(&mut buffer, &mut each)?;
        if used == buffer.len() {
            return Ok(());
        }
        buffer.drain(..used);
        self.partial = buffer;
        Ok(())
    }

    /// Reads all whole frames at the front; returns how many bytes they took.
    fn read_frames(
        &mut self,
        buffer: &mut [u8],
        each: &mut impl FnMut(Event<'_>) -> bool,
    ) -> Result<usize, Fault> {
        let mut at = 0;
        while let Some(header) = self.header(&buffer[at..])? {
            let start = at + header.payload_at;
            let end = start + header.payload_bytes;
            if end > buffer.len() {
                break;
            }
            let payload = &mut buffer[start..end];
            unmask(payload, header.mask);
            at = end;
            if !self.read_frame(&header, payload, each)? {
                return Ok(buffer.len());
            }
        }
        Ok(at)
    }

    fn read_frame(
        &mut self,
        header: &Header,
        payload: &[u8],
        each: &mut impl FnMut(Event<'_>) -> bool,
    ) -> Result<bool, Fault> {
        match header.opcode {
            OPCODE_PING => Ok(each(Event::Ping(payload))),
            OPCODE_PONG => Ok(each(Event::Pong)),
            OPCODE_CLOSE => {
                each(Event::Close(close_code(payload)?));
                Ok(false)
            }
            OPCODE_TEXT if header.fin => self.read_message(payload, header.compressed, each),
            _ => {
                let compressed = header.compressed;
                let begun = || Box::new(Fragments { payload: Vec::new(), compressed });
                let fragments = self.fragments.get_or_insert_with(begun);
                fragments.payload.extend_from_slice(payload);
                if !header.fin {
                    return Ok(true);
                }
                let Fragments { payload, compressed } = *self.fragments.take().unwrap_or_default();
                self.read_message(&payload, compressed, each)
            }
        }
    }

    fn read_message(
        &self,
        payload: &[u8],
        compressed: bool,
        each: &mut impl FnMut(Event<'_>) -> bool,
    ) -> Result<bool, Fault> {
        if !compressed {
            return Ok(each(Event::Text(text(payload)?)));
        }
        let message = deflate::inflate(payload, self.limit).map_err(|error| match error {
            InflateError::Damaged => Fault::DamagedCompression,
            InflateError::TooLong => Fault::TooBig { limit: self.limit, bytes: self.limit as u64 + 1 },
        })?;
        Ok(each(Event::Text(text(&message)?)))
    }

    /// The header that `buffer` begins with; `None` if it is not all there.
    fn header(&self, buffer: &[u8]) -> Result<Option<Header>, Fault> {
        let [first, second, ..] = *buffer else { return Ok(None) };
        let (opcode, fin) = (first & 0x0f, first & 0x80 != 0);
        // The first reserved bit says that a message is compressed, on its first frame.
        let compressed = self.compression && opcode == OPCODE_TEXT && first & 0x40 != 0;
        if first & 0x70 != 0 && !(compressed && first & 0x30 == 0) {
            return Err(Fault::ReservedBits);
        }
        let length = second & 0x7f;
        match opcode {
            OPCODE_CONTINUATION if self.fragments.is_none() => return Err(Fault::NothingToContinue),
            OPCODE_TEXT if self.fragments.is_some() => return Err(Fault::Interleaved),
            OPCODE_CONTINUATION | OPCODE_TEXT => {}
            OPCODE_BINARY => return Err(Fault::Binary),
            OPCODE_CLOSE | OPCODE_PING | OPCODE_PONG if fin && length <= 125 => {}
            OPCODE_CLOSE | OPCODE_PING | OPCODE_PONG => return Err(Fault::BadControlFrame),
            unknown => return Err(Fault::UnknownOpcode(unknown)),
        }
        if second & 0x80 == 0 {
            return Err(Fault::Unmasked);
        }
        let (bytes, mask_at) = match (length, buffer) {
            (126, [_, _, a, b, ..]) => (u64::from(u16::from_be_bytes([*a, *b])), 4),
            (127, [_, _, a, b, c, d, e, f, g, h, ..]) => {
                (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), 10)
            }
            (126 | 127, _) => return Ok(None),
            (short, _) => (u64::from(short), 2),
        };
        let so_far = match opcode {
            OPCODE_CONTINUATION => self.fragments.as_ref().map_or(0, |f| f.payload.len()) as u64,
            _ => 0,
        };
        let total = so_far.saturating_add(bytes);
        let payload_bytes = match usize::try_from(bytes) {
            Ok(payload_bytes) if total <= self.limit as u64 => payload_bytes,
            _ => return Err(Fault::TooBig { limit: self.limit, bytes: total }),
        };
        let Some(&[a, b, c, d]) = buffer.get(mask_at..mask_at + 4) else { return Ok(None) };
        let mask = [a, b, c, d];
        Ok(Some(Header { opcode, fin, compressed, mask, payload_at: mask_at + 4, payload_bytes }))
    }
}

/// The code of a close frame's payload, if it has one, and its reason checked.
fn close_code(payload: &[u8]) -> Result<Option<u16>, Fault> {
    let (code, reason) = match payload {
        [] => return Ok(None),
        [_] => return Err(Fault::BadClose),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
    };
    text(reason)?;
    // The others are reserved, or stand for a close without a code.
    match code {
        1000..=1003 | 1007..=1014 | 3000..=4999 => Ok(Some(code)),
        _ => Err(Fault::BadClose),
    }
}

fn text(payload: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(payload).map_err(|_| Fault::NotUtf8)
}

/// Takes the mask off, eight bytes at a time.
fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, rest) = payload.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first];
        match payload.len() {
            n @ 0..=125 => frame.push(0x80 | n as u8),
            n @ 126..=0xffff => {
                frame.push(0x80 | 126);
                frame.extend((n as u16).to_be_bytes());
            }
            n => {
                frame.push(0x80 | 127);
                frame.extend((n as u64).to_be_bytes());
            }
        }
        frame.extend(MASK);
        frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        frame
    }

    /// Feeds `input` in pieces of `step` bytes; the events in short words.
    fn read(limit: usize, input: &[u8], step: usize) -> Result<Vec<String>, Fault> {
        let mut reader = FrameReader::new(limit);
        let mut events = Vec::new();
        for piece in input.chunks(step) {
            reader.feed(&mut piece.to_vec(), |event| {
                events.push(match event {
                    Event::Text(text) => format!("text {text}"),
                    Event::Ping(payload) => format!("ping {}", String::from_utf8_lossy(payload)),
                    Event::Pong => "pong".into(),
                    Event::Close(code) => format!("close {code:?}"),
                });
                true
            })?;
        }
        Ok(events)
    }

    #[test]
    fn messages_are_read_however_they_are_cut() {
        let long = "x".repeat(70_000);
        let input = [
            frame(0x81, b"one"),
            frame(0x01, b"tw"),
            frame(0x89, b"are you there"),
            frame(0x00, b""),
            frame(0x80, "o \u{e9}".as_bytes()),
            frame(0x8a, b""),
            frame(0x81, "y".repeat(300).as_bytes()),
            frame(0x81, long.as_bytes()),
            frame(0x81, b""),
        ]
        .concat();
        let expected = vec![
            "text one".to_owned(),
            "ping are you there".into(),
            "text two \u{e9}".into(),
            "pong".into(),
            format!("text {}", "y".repeat(300)),
            format!("text {long}"),
            "text ".into(),
        ];
        for step in [1, 2, 3, 7, 64, 1000, 65_536, input.len()] {
            assert_eq!(read(100_000, &input, step).as_ref(), Ok(&expected), "in steps of {step}");
        }
    }

    #[test]
    fn nothing_is_read_after_a_close() {
        let input = [frame(0x88, &[0x03, 0xe8]), frame(0xf1, b"rubbish")].concat();
        assert_eq!(read(100, &input, input.len()), Ok(vec!["close Some(1000)".into()]));
        assert_eq!(read(100, &frame(0x88, b""), 3), Ok(vec!["close None".into()]));
    }

    #[test]
    fn every_breach_is_a_fault() {
        let mut unmasked = frame(0x81, b"a");
        unmasked[1] &= 0x7f;
        let table = [
            (unmasked, Fault::Unmasked),
            (frame(0xc1, b"a"), Fault::ReservedBits),
            (frame(0x83, b"a"), Fault::UnknownOpcode(3)),
            (frame(0x8b, b"a"), Fault::UnknownOpcode(11)),
            (frame(0x82, b"a"), Fault::Binary),
            (frame(0x09, b"a"), Fault::BadControlFrame),
            (frame(0x89, &[0; 126]), Fault::BadControlFrame),
            (frame(0x80, b"a"), Fault::NothingToContinue),
            ([frame(0x01, b"a"), frame(0x81, b"b")].concat(), Fault::Interleaved),
            (frame(0x88, &[3]), Fault::BadClose),
            (frame(0x88, &[3, 0xed]), Fault::BadClose),
            (frame(0x88, &[3, 0xe8, 0xff]), Fault::NotUtf8),
            (frame(0x81, &[0xff, 0xfe]), Fault::NotUtf8),
            ([frame(0x01, &[0xc3]), frame(0x80, b"x")].concat(), Fault::NotUtf8),
            (frame(0x81, &[b'x'; 1001]), Fault::TooBig { limit: 1000, bytes: 1001 }),
            (
                [frame(0x01, &[b'x'; 600]), frame(0x80, &[b'x'; 600])].concat(),
                Fault::TooBig { limit: 1000, bytes: 1200 },
            ),
        ];
        for (input, fault) in table {
            assert_eq!(read(1000, &input, input.len()), Err(fault), "{fault:?}");
        }
    }

    /// The length is judged by the header alone: nothing of a giant frame is ever kept.
    #[test]
    fn an_announced_giant_is_refused_before_it_arrives() {
        let mut header = vec![0x81, 0x80 | 127];
        header.extend(u64::MAX.to_be_bytes());
        assert_eq!(read(1000, &header, 100), Err(Fault::TooBig { limit: 1000, bytes: u64::MAX }));
    }

    #[test]
    fn compressed_messages_are_read_where_they_were_agreed_on() {
        let text = "compressible ".repeat(50);
        let payload = deflate::deflate(text.as_bytes()).unwrap();
        let (begin, end) = payload.split_at(10);
        let cut = [frame(0x41, begin), frame(0x89, b"in between"), frame(0x80, end)].concat();
        for (input, events) in [(frame(0xc1, &payload), 1), (cut, 2)] {
            let mut reader = FrameReader::new(1000).with_compression(true);
            let mut heard = Vec::new();
            let each = |event: Event<'_>| {
                heard.push(if let Event::Text(text) = event { text.to_owned() } else { String::new() });
                true
            };
            assert_eq!(reader.feed(&mut input.clone(), each), Ok(()));
            assert_eq!((heard.len(), heard.last()), (events, Some(&text)));
            assert_eq!(read(1000, &input, input.len()), Err(Fault::ReservedBits), "not agreed on");
        }
        let feed = |limit, bytes: &[u8]| {
            let mut reader = FrameReader::new(limit).with_compression(true);
            reader.feed(&mut bytes.to_vec(), |_| true)
        };
        assert_eq!(feed(100, &frame(0xc1, &payload)), Err(Fault::TooBig { limit: 100, bytes: 101 }));
        assert_eq!(feed(1000, &frame(0xc1, &[0xff; 9])), Err(Fault::DamagedCompression));
        assert_eq!(feed(1000, &frame(0xc9, b"")), Err(Fault::ReservedBits), "a control frame");
        assert_eq!(feed(1000, &frame(0xa1, b"")), Err(Fault::ReservedBits), "another bit");
        let second = [frame(0x01, b"a"), frame(0xc0, b"b")].concat();
        assert_eq!(feed(1000, &second), Err(Fault::ReservedBits), "not on the first frame");
    }

    #[test]
    fn a_character_may_be_cut_by_a_fragment() {
        let input = [frame(0x01, &[0xc3]), frame(0x80, &[0xa9])].concat();
        assert_eq!(read(100, &input, 3), Ok(vec!["text \u{e9}".into()]));
    }
}
