//! WebSocket frames from a client (RFC 6455), parsed in place.
//!
//! What a frame announces is checked before anything of it is kept. Only an incomplete frame and the earlier
//! fragments of a message are copied, and both together are bounded by the message limit.

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
    /// The beginning of a frame whose end has not come.
    partial: Vec<u8>,
    /// The fragments so far of a message whose end has not come.
    fragments: Option<Vec<u8>>,
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
    mask: [u8; 4],
    /// Where the payload begins, from the frame's first byte.
    payload_at: usize,
    payload_bytes: usize,
}

impl FrameReader {
    /// A reader that allows messages of at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        FrameReader { limit, partial: Vec::new(), fragments: None }
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
            OPCODE_TEXT if header.fin => Ok(each(Event::Text(text(payload)?))),
            _ => {
                let fragments = self.fragments.get_or_insert_default();
                fragments.extend_from_slice(payload);
                if !header.fin {
                    return Ok(true);
                }
                let message = self.fragments.take().unwrap_or_default();
                Ok(each(Event::Text(text(&message)?)))
            }
        }
    }

    /// The header that `buffer` begins with; `None` if it is not all there.
    fn header(&self, buffer: &[u8]) -> Result<Option<Header>, Fault> {
        let [first, second, ..] = *buffer else { return Ok(None) };
        if first & 0x70 != 0 {
            return Err(Fault::ReservedBits);
        }
        let (opcode, fin) = (first & 0x0f, first & 0x80 != 0);
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
            OPCODE_CONTINUATION => self.fragments.as_ref().map_or(0, Vec::len) as u64,
            _ => 0,
        };
        let total = so_far.saturating_add(bytes);
        let payload_bytes = match usize::try_from(bytes) {
            Ok(payload_bytes) if total <= self.limit as u64 => payload_bytes,
            _ => return Err(Fault::TooBig { limit: self.limit, bytes: total }),
        };
        let Some(&[a, b, c, d]) = buffer.get(mask_at..mask_at + 4) else { return Ok(None) };
        Ok(Some(Header { opcode, fin, mask: [a, b, c, d], payload_at: mask_at + 4, payload_bytes }))
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
    fn a_character_may_be_cut_by_a_fragment() {
        let input = [frame(0x01, &[0xc3]), frame(0x80, &[0xa9])].concat();
        assert_eq!(read(100, &input, 3), Ok(vec!["text \u{e9}".into()]));
    }
}
