//! Compressed messages: never longer than allowed, the same as from a decompressor that is driven otherwise, and what is
//! compressed comes back.

use std::io::Read;

use flate2::bufread::DeflateDecoder;
use heliostat::tools::protocol::deflate::{InflateError, deflate, inflate};

pub(crate) fn target(data: &[u8]) {
    let [limit, compressed @ ..] = data else { return };
    let limit = usize::from(*limit) * 64;
    let inflated = inflate(compressed, limit);
    // With room for everything there is, it is the same or more.
    let without_limit = inflate(compressed, 1 << 22);
    match &inflated {
        Ok(message) => {
            assert!(message.len() <= limit);
            assert_eq!(Ok(message), without_limit.as_ref());
        }
        Err(InflateError::TooLong) => {
            let longer = without_limit.as_ref().map_or(true, |message| message.len() > limit);
            assert!(longer, "{without_limit:?} is no longer than {limit}");
        }
        Err(InflateError::Damaged) => assert_eq!(without_limit, Err(InflateError::Damaged)),
    }
    if let Ok(message) = &without_limit {
        // What ends within a block goes on with whatever follows; and what is damaged then may lose its last bytes.
        let (other, whole) = one_byte_at_a_time(compressed);
        let same = other.starts_with(message) || (!whole && message.starts_with(&other));
        assert!(same, "{message:?} {other:?}");
    }
    if let Some(packed) = deflate(compressed) {
        assert!(packed.len() < compressed.len());
        assert_eq!(inflate(&packed, compressed.len()).as_deref(), Ok(compressed));
    }
}

/// What the bytes hold, and whether their stream ends well.
fn one_byte_at_a_time(compressed: &[u8]) -> (Vec<u8>, bool) {
    // A last block, empty, ends the stream where the message did not.
    let ended = [compressed, &[0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff]].concat();
    let mut decoder = DeflateDecoder::new(&ended[..]);
    let (mut out, mut byte) = (Vec::new(), [0]);
    loop {
        match decoder.read(&mut byte) {
            Ok(0) => return (out, true),
            Ok(_) => out.push(byte[0]),
            Err(_) => return (out, false),
        }
    }
}
