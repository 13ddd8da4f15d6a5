//! permessage-deflate (RFC 7692) without context: each message is compressed by itself, so that one compressed form
//! serves all receivers.
//!
//! A compressor and a decompressor belong to each thread; no connection owns one.

use std::cell::RefCell;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// What ends every compressed message, and is left out on the wire.
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// Messages shorter than this are sent as they are: there is nothing to gain.
pub const WORTHWHILE_BYTES: usize = 256;

thread_local! {
    // The fastest level: for event payloads the slower ones save little more.
    static COMPRESS: RefCell<Compress> = RefCell::new(Compress::new(Compression::fast(), false));
    static DECOMPRESS: RefCell<Decompress> = RefCell::new(Decompress::new(false));
}

/// A compressed message that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InflateError {
    /// The bytes are no deflate stream.
    #[error("the compressed message is damaged")]
    Damaged,
    /// It would be longer than allowed.
    #[error("the message is longer than allowed")]
    TooLong,
}

/// Compresses a message; `None` if that does not make it shorter.
pub fn deflate(message: &[u8]) -> Option<Vec<u8>> {
    if message.len() < WORTHWHILE_BYTES {
        return None;
    }
    COMPRESS.with_borrow_mut(|compress| {
        compress.reset();
        // Not a byte more than the message: if it does not fit, it is not worth it.
        let mut out = Vec::with_capacity(message.len());
        let status = compress.compress_vec(message, &mut out, FlushCompress::Sync).ok()?;
        let whole = status == Status::Ok && compress.total_in() == message.len() as u64;
        if !whole || out.len() == out.capacity() || !out.ends_with(&TAIL) {
            return None;
        }
        out.truncate(out.len() - TAIL.len());
        Some(out)
    })
}

/// Restores a message that may be at most `limit` bytes long.
///
/// # Errors
/// If it is longer, or no deflate stream.
pub fn inflate(compressed: &[u8], limit: usize) -> Result<Vec<u8>, InflateError> {
    DECOMPRESS.with_borrow_mut(|decompress| {
        decompress.reset(false);
        let mut out = Vec::new();
        for part in [compressed, &TAIL] {
            let mut rest = part;
            while !rest.is_empty() {
                // One byte over the limit is room enough to see that it is passed.
                let room = (limit + 1 - out.len()).min(out.len().max(1024));
                out.reserve(room);
                let read = decompress.total_in();
                let written = out.len();
                let status = decompress.decompress_vec(rest, &mut out, FlushDecompress::None);
                let status = status.map_err(|_| InflateError::Damaged)?;
                if out.len() > limit {
                    return Err(InflateError::TooLong);
                }
                let read = usize::try_from(decompress.total_in() - read).unwrap_or(rest.len());
                rest = &rest[read..];
                // A final block ends the stream; what follows it in the message stands for nothing.
                if status == Status::StreamEnd {
                    return Ok(out);
                }
                if read == 0 && out.len() == written {
                    return Err(InflateError::Damaged);
                }
            }
        }
        Ok(out)
    })
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_compressed_comes_back() {
        for length in [256, 1000, 10_000, 300_000] {
            let message: Vec<u8> =
                (0..length).map(|n| b"{\"price\":1234,\"name\":\"Ann\"}"[n % 27]).collect();
            let compressed = deflate(&message).unwrap();
            assert!(compressed.len() < message.len() / 2, "{length}");
            assert_eq!(inflate(&compressed, length).as_deref(), Ok(&message[..]), "{length}");
            assert_eq!(inflate(&compressed, length - 1), Err(InflateError::TooLong), "{length}");
        }
        assert_eq!(inflate(&[0x00], 10), Ok(Vec::new()), "an empty message is one empty block");
    }

    #[test]
    fn what_would_not_shrink_is_left_alone() {
        assert_eq!(deflate(b"{\"short\":true}"), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn noise_is_left_alone(noise in vec(any::<u8>(), 5000)) {
            prop_assert_eq!(deflate(&noise), None);
        }
    }

    /// A few kilobytes that stand for gigabytes are given up as soon as they pass the limit.
    #[test]
    fn a_bomb_does_not_go_off() {
        let bomb = deflate(&vec![b' '; 50_000_000]).unwrap();
        assert!(bomb.len() < 500_000);
        assert_eq!(inflate(&bomb, 100_000), Err(InflateError::TooLong));
    }

    #[test]
    fn damage_is_seen() {
        for bytes in [&[0xff; 20][..], &[0x07, 0x07], &[0x01, 0x05]] {
            assert_eq!(inflate(bytes, 1000), Err(InflateError::Damaged), "{bytes:?}");
        }
    }
}
