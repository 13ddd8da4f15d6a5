//! Reads WebSocket frames from a client (RFC 6455), in place.
//!
//! What a frame announces is checked before anything of it is kept. Only an incomplete frame and the earlier
//! fragments of a message are copied, and both together are bounded by the message limit.

pub use super::frame_event::{AfterEvent, FrameError, FrameEvent};
use crate::protocol::deflate::{self, InflateError};

/// The reader of the frames of one connection.
#[derive(Debug)]
pub struct FrameReader {
    limit: usize,
    /// Compressed messages are allowed.
    compression: bool,
    /// Binary messages are allowed.
    binary: bool,
    /// The beginning of a frame whose end has not come, and after a pause whatever had come.
    partial: Vec<u8>,
    /// The fragments so far of a message whose end has not come. Rare, so it takes no room while there are none.
    fragments: Option<Box<Fragments>>,
}

/// The fragments of a message whose end has not come.
#[derive(Debug, Default)]
struct Fragments {
    payload: Vec<u8>,
    kind: MessageKind,
}

/// How a message was sent, as its first frame says.
#[derive(Clone, Copy, Debug, Default)]
struct MessageKind {
    binary: bool,
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
struct FrameHeader {
    opcode: u8,
    fin: bool,
    kind: MessageKind,
    mask: [u8; 4],
    /// Where the payload begins, from the frame's first byte.
    payload_at: usize,
    payload_bytes: usize,
}

impl FrameReader {
    /// A reader that allows messages of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        FrameReader { limit, compression: false, binary: false, partial: Vec::new(), fragments: None }
    }

    /// The same reader, for a peer with which permessage-deflate was agreed on. The limit holds for what a message is
    /// restored to.
    #[must_use]
    pub fn with_compression(self, compression: bool) -> Self {
        FrameReader { compression, ..self }
    }

    /// From now on allows messages of at most `limit` bytes. A frame whose header has been read is not judged again.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// The same reader, for a peer that may send binary messages.
    #[must_use]
    pub fn with_binary(self, binary: bool) -> Self {
        FrameReader { binary, ..self }
    }

    /// Reads what arrived, and hands every event to `each`, in order. `each` returns what is to follow. The input is used
    /// as a working space. After a pause, it goes on if nothing is fed.
    ///
    /// # Errors
    /// If the peer broke the protocol. Nothing more is to be fed then.
    pub fn feed<T: Into<AfterEvent>>(
        &mut self,
        input: &mut [u8],
        mut each: impl FnMut(FrameEvent<'_>) -> T,
    ) -> Result<(), FrameError> {
        let mut each = |event: FrameEvent<'_>| each(event).into();
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
        each: &mut impl FnMut(FrameEvent<'_>) -> AfterEvent,
    ) -> Result<usize, FrameError> {
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
            match self.read_frame(&header, payload, each)? {
                AfterEvent::GoOn => {}
                AfterEvent::Pause => break,
                AfterEvent::Stop => return Ok(buffer.len()),
            }
        }
        Ok(at)
    }

    fn read_frame(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
        each: &mut impl FnMut(FrameEvent<'_>) -> AfterEvent,
    ) -> Result<AfterEvent, FrameError> {
        match header.opcode {
            OPCODE_PING => Ok(each(FrameEvent::Ping(payload))),
            OPCODE_PONG => Ok(each(FrameEvent::Pong(payload))),
            OPCODE_CLOSE => {
                each(FrameEvent::Close(close_code(payload)?));
                Ok(AfterEvent::Stop)
            }
            OPCODE_TEXT | OPCODE_BINARY if header.fin => self.read_message(payload, header.kind, each),
            _ => {
                let kind = header.kind;
                let begun = || Box::new(Fragments { payload: Vec::new(), kind });
                let fragments = self.fragments.get_or_insert_with(begun);
                fragments.payload.extend_from_slice(payload);
                if !header.fin {
                    return Ok(AfterEvent::GoOn);
                }
                let Fragments { payload, kind } = *self.fragments.take().unwrap_or_default();
                self.read_message(&payload, kind, each)
            }
        }
    }

    fn read_message(
        &self,
        payload: &[u8],
        kind: MessageKind,
        each: &mut impl FnMut(FrameEvent<'_>) -> AfterEvent,
    ) -> Result<AfterEvent, FrameError> {
        if !kind.compressed {
            return Ok(each(event(payload, kind)?));
        }
        let message = deflate::inflate(payload, self.limit).map_err(|error| match error {
            InflateError::Damaged => FrameError::DamagedCompression,
            InflateError::TooLong => FrameError::TooBig { limit: self.limit, bytes: self.limit as u64 + 1 },
        })?;
        Ok(each(event(&message, kind)?))
    }

    /// The header that `buffer` begins with; `None` if it is not all there.
    fn header(&self, buffer: &[u8]) -> Result<Option<FrameHeader>, FrameError> {
        let [first, second, ..] = *buffer else { return Ok(None) };
        let opcode = first & 0x0f;
        let fin = first & 0x80 != 0;
        // The first reserved bit says that a message is compressed, on its first frame.
        let compressed =
            self.compression && matches!(opcode, OPCODE_TEXT | OPCODE_BINARY) && first & 0x40 != 0;
        if first & 0x70 != 0 && !(compressed && first & 0x30 == 0) {
            return Err(FrameError::ReservedBits);
        }
        let length = second & 0x7f;
        match opcode {
            OPCODE_CONTINUATION if self.fragments.is_none() => return Err(FrameError::NothingToContinue),
            OPCODE_BINARY if !self.binary => return Err(FrameError::Binary),
            OPCODE_TEXT | OPCODE_BINARY if self.fragments.is_some() => return Err(FrameError::Interleaved),
            OPCODE_CONTINUATION | OPCODE_TEXT | OPCODE_BINARY => {}
            OPCODE_CLOSE | OPCODE_PING | OPCODE_PONG if fin && length <= 125 => {}
            OPCODE_CLOSE | OPCODE_PING | OPCODE_PONG => return Err(FrameError::BadControlFrame),
            unknown => return Err(FrameError::UnknownOpcode(unknown)),
        }
        if second & 0x80 == 0 {
            return Err(FrameError::Unmasked);
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
            _ => return Err(FrameError::TooBig { limit: self.limit, bytes: total }),
        };
        let Some(&[a, b, c, d]) = buffer.get(mask_at..mask_at + 4) else { return Ok(None) };
        let mask = [a, b, c, d];
        let kind = MessageKind { binary: opcode == OPCODE_BINARY, compressed };
        Ok(Some(FrameHeader { opcode, fin, kind, mask, payload_at: mask_at + 4, payload_bytes }))
    }
}

/// The code of a close frame's payload, if it has one, and its reason checked.
fn close_code(payload: &[u8]) -> Result<Option<u16>, FrameError> {
    let (code, reason) = match payload {
        [] => return Ok(None),
        [_] => return Err(FrameError::BadClose),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
    };
    text(reason)?;
    // The others are reserved, or stand for a close without a code.
    match code {
        1000..=1003 | 1007..=1014 | 3000..=4999 => Ok(Some(code)),
        _ => Err(FrameError::BadClose),
    }
}

fn event(payload: &[u8], kind: MessageKind) -> Result<FrameEvent<'_>, FrameError> {
    Ok(if kind.binary { FrameEvent::Binary(payload) } else { FrameEvent::Text(text(payload)?) })
}

fn text(payload: &[u8]) -> Result<&str, FrameError> {
    std::str::from_utf8(payload).map_err(|_| FrameError::NotUtf8)
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
mod tests;
