//! RFC 6455 frames, written by hand, because a test must also be able to write wrong ones.

use std::sync::atomic::{AtomicU32, Ordering};

/// A continuation of a fragmented message.
pub const CONTINUATION: u8 = 0x0;
/// A text message, or its first fragment.
pub const TEXT: u8 = 0x1;
/// A binary message, or its first fragment.
pub const BINARY: u8 = 0x2;
/// The closing handshake.
pub const CLOSE: u8 = 0x8;
/// Asks for a [`PONG`] with the same payload.
pub const PING: u8 = 0x9;
/// Answers a [`PING`].
pub const PONG: u8 = 0xA;

/// The first header bit: the last or only frame of its message.
pub const FIN: u8 = 0x80;
/// The three header bits that no extension of ours gives a meaning.
pub const RESERVED: u8 = 0x70;

/// A frame as a client must send it: masked. `head` is [`FIN`], [`RESERVED`] and the opcode in one byte.
#[must_use]
pub fn masked(head: u8, payload: &[u8]) -> Vec<u8> {
    let mask = fresh_mask();
    let mut bytes = header(head, payload.len() as u64, true);
    bytes.extend_from_slice(&mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

/// The same frame without a mask, which a server must not accept.
#[must_use]
pub fn unmasked(head: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(head, payload.len() as u64, false);
    bytes.extend_from_slice(payload);
    bytes
}

/// A header that announces `length` bytes, in the shortest form that can, without mask key and payload.
#[must_use]
pub fn header(head: u8, length: u64, masked: bool) -> Vec<u8> {
    let mask_bit = if masked { 0x80 } else { 0 };
    let mut bytes = vec![head];
    match length {
        0..=125 => bytes.push(mask_bit | length as u8),
        126..=0xFFFF => {
            bytes.push(mask_bit | 126);
            bytes.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            bytes.push(mask_bit | 127);
            bytes.extend_from_slice(&length.to_be_bytes());
        }
    }
    bytes
}

/// The payload of a Close frame.
#[must_use]
pub fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

/// One frame from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFrame {
    /// Whether it ends its message.
    pub fin: bool,
    /// What it is.
    pub opcode: u8,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// Takes the first complete frame from the front of `buffer`; `Ok(None)` while it is not complete.
///
/// # Errors
/// With a sentence, if the server broke RFC 6455: the suite tests the server's framing with every frame it reads.
pub fn take(buffer: &mut Vec<u8>) -> Result<Option<ServerFrame>, String> {
    let [head, length, ..] = buffer[..] else { return Ok(None) };
    if head & RESERVED != 0 {
        return Err(format!(
            "a reserved bit is set in the header byte {head:#04x}, yet no extension was agreed"
        ));
    }
    if length & 0x80 != 0 {
        return Err("the server masked a frame".to_owned());
    }
    let opcode = head & 0x0F;
    let fin = head & FIN != 0;
    if !matches!(opcode, CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG) {
        return Err(format!("the server used the reserved opcode {opcode:#x}"));
    }
    if opcode >= CLOSE && (!fin || length > 125) {
        return Err(format!("the control frame {opcode:#x} is fragmented or longer than 125 bytes"));
    }
    let (start, length) = match length {
        126 => match buffer.get(2..4) {
            Some(bytes) => (4, usize::from(u16::from_be_bytes([bytes[0], bytes[1]]))),
            None => return Ok(None),
        },
        127 => match buffer.get(2..10) {
            Some(bytes) => (10, usize::try_from(u64::from_be_bytes(bytes.try_into().unwrap())).unwrap()),
            None => return Ok(None),
        },
        short => (2, usize::from(short)),
    };
    if buffer.len() - start < length {
        return Ok(None);
    }
    let payload = buffer[start..start + length].to_vec();
    buffer.drain(..start + length);
    Ok(Some(ServerFrame { fin, opcode, payload }))
}

/// A new mask each time, as RFC 6455 asks, though it need not be secret here; never zero, so that a server which
/// forgets to unmask is noticed.
fn fresh_mask() -> [u8; 4] {
    static SEED: AtomicU32 = AtomicU32::new(0x5EED_0001);
    SEED.fetch_add(0x9E37_79B9, Ordering::Relaxed).max(1).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_rfc_6455_are_read() {
        let mut buffer = vec![0x81, 0x05, b'H', b'e', b'l', b'l', b'o', 0x89, 0x00, 0x81];
        let hello = take(&mut buffer).unwrap().unwrap();
        assert_eq!(hello, ServerFrame { fin: true, opcode: TEXT, payload: b"Hello".to_vec() });
        assert_eq!(take(&mut buffer).unwrap().unwrap().opcode, PING);
        assert_eq!(take(&mut buffer), Ok(None), "one byte is no frame");
        assert_eq!(take(&mut unmasked(FIN | TEXT, &[b'x'; 70_000])).unwrap().unwrap().payload.len(), 70_000);
        assert!(take(&mut masked(FIN | TEXT, b"x")).is_err(), "a server does not mask");
    }
}
