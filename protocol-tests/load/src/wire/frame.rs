//! RFC 6455 frames: client frames out, server frames in, without looking at what a payload says.

/// Bytes of a payload that a client looks at. Everything it needs (event names, marks, socket ids) lies before this.
pub(crate) const LOOKED_AT_BYTES: usize = 1024;

pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// One server frame: its payload's full length, and the beginning of the payload.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Frame<'a> {
    /// False for a fragment, which this tool counts as malformed: no broker has a reason to send one.
    pub(crate) whole: bool,
    pub(crate) opcode: u8,
    pub(crate) payload_bytes: u64,
    pub(crate) head: &'a [u8],
}

/// Cuts one connection's bytes into frames. Owns memory only while a frame's beginning is incomplete.
#[derive(Debug, Default)]
pub(crate) struct Cutter {
    carry: Vec<u8>,
    /// Payload bytes still to come of a frame that was handed out already.
    skip: u64,
}

impl Cutter {
    /// Hands every frame whose beginning is complete to `each`.
    pub(crate) fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(Frame<'_>)) {
        if self.carry.is_empty() {
            let rest = self.cut(bytes, &mut each);
            self.carry.extend_from_slice(rest);
        } else {
            let mut carried = std::mem::take(&mut self.carry);
            carried.extend_from_slice(bytes);
            let rest = self.cut(&carried, &mut each).len();
            if rest > 0 {
                carried.drain(..carried.len() - rest);
                self.carry = carried;
            }
        }
    }

    fn cut<'a>(&mut self, mut bytes: &'a [u8], each: &mut impl FnMut(Frame<'_>)) -> &'a [u8] {
        loop {
            let skipped = self.skip.min(bytes.len() as u64);
            self.skip -= skipped;
            bytes = &bytes[skipped as usize..];
            let Some((header, payload_bytes)) = header(bytes) else { return bytes };
            let looked_at = payload_bytes.min(LOOKED_AT_BYTES as u64) as usize;
            let Some(head) = bytes.get(header..header + looked_at) else { return bytes };
            each(Frame { whole: bytes[0] & 0x80 != 0, opcode: bytes[0] & 0x0f, payload_bytes, head });
            self.skip = payload_bytes;
            bytes = &bytes[header..];
        }
    }
}

/// The length of a server frame's header, and of its payload; `None` while the header is incomplete.
fn header(bytes: &[u8]) -> Option<(usize, u64)> {
    let masked = if *bytes.get(1)? & 0x80 == 0 { 0 } else { 4 };
    match bytes[1] & 0x7f {
        126 => Some((4 + masked, u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)))),
        127 => Some((10 + masked, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?))),
        short => Some((2 + masked, u64::from(short))),
    }
}

/// Appends a frame as a server writes it.
pub(crate) fn push_server_frame(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    push_header(out, opcode, payload.len(), 0);
    out.extend_from_slice(payload);
}

/// Appends a frame as a client writes it. The mask only has to differ from zero: nothing here needs it to be secret.
pub(crate) fn push_client_frame(out: &mut Vec<u8>, opcode: u8, payload: &[u8], mask: [u8; 4]) {
    push_header(out, opcode, payload.len(), 0x80);
    out.extend_from_slice(&mask);
    let start = out.len();
    out.extend_from_slice(payload);
    apply_mask(&mut out[start..], mask);
}

/// Masks, or unmasks. Eight bytes at a time, so that a load of large client events is not the generator's own cost.
pub(crate) fn apply_mask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (index, byte) in rest.iter_mut().enumerate() {
        *byte ^= mask[index % 4];
    }
}

fn push_header(out: &mut Vec<u8>, opcode: u8, length: usize, masked: u8) {
    out.push(0x80 | opcode);
    match length {
        0..126 => out.push(masked | length as u8),
        126..65536 => {
            out.push(masked | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(masked | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_however_the_stream_is_cut() {
        let payloads = [0, 1, 125, 126, 1024, 1025, 65_535, 65_536, 3].map(|length| vec![b'x'; length]);
        let mut stream = Vec::new();
        for payload in &payloads {
            push_server_frame(&mut stream, TEXT, payload);
        }
        for step in [1, 2, 3, 7, 127, 1000, 4096, stream.len()] {
            let (mut cutter, mut found) = (Cutter::default(), Vec::new());
            for piece in stream.chunks(step) {
                cutter.feed(piece, |frame| {
                    assert!(frame.whole);
                    assert_eq!(frame.opcode, TEXT);
                    assert_eq!(frame.head.len(), (frame.payload_bytes as usize).min(LOOKED_AT_BYTES));
                    found.push(frame.payload_bytes as usize);
                });
            }
            assert_eq!(found, payloads.iter().map(Vec::len).collect::<Vec<_>>(), "cut every {step} bytes");
            assert!(cutter.carry.is_empty() && cutter.skip == 0);
        }
    }

    #[test]
    fn a_mask_undoes_itself() {
        for length in 0..40 {
            let plain: Vec<u8> = (0..length).collect();
            let mut masked = plain.clone();
            apply_mask(&mut masked, [1, 2, 3, 4]);
            assert!(masked.iter().zip(&plain).enumerate().all(|(i, (m, p))| *m == p ^ [1, 2, 3, 4][i % 4]));
            apply_mask(&mut masked, [1, 2, 3, 4]);
            assert_eq!(masked, plain);
        }
    }
}
