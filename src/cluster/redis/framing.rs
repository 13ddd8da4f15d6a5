//! Where a value in the engine's protocol (RESP3) ends, told before it is all there, and refused before it is read if it is
//! too long. <https://github.com/redis/redis-specifications/blob/master/protocol/RESP3.md>

use bytes::{Bytes, BytesMut};

/// A line is a number, a short text or an error: none needs more.
const MAX_LINE: usize = 64 * 1024;

/// Values within one: an answer with all documents is the largest that is asked for. Each takes more memory than it has
/// bytes.
const MAX_VALUES: u64 = 1_000_000;

/// How deep values are within each other: the ranges of a cluster's slots are four deep.
const MAX_DEPTH: usize = 8;

/// Cuts what is read into values. None of them is longer than the limit; nothing more of one is ever held.
#[derive(Debug)]
pub(super) struct Framing {
    limit: usize,
    /// How far the value has been looked at.
    at: usize,
    /// What has been looked at of it, and of the values within it.
    seen: u64,
    /// The values that are still to come of each that is not complete, the outermost first. With none, it is.
    missing: Vec<u64>,
}

/// What the engine sends is nothing that this connection reads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadValue {
    /// The value is longer than is read.
    #[error("it sends a value of more than {0} bytes")]
    TooLong(usize),
    /// There are more values within the value than are read.
    #[error("it sends too many values at once, or too many within each other")]
    TooMany,
    /// It is none.
    #[error("what it sends is not its protocol")]
    Malformed,
}

impl Framing {
    pub(super) fn new(limit: usize) -> Self {
        Framing { limit, at: 0, seen: 0, missing: vec![1] }
    }

    /// Takes the first value off what was read, if it is complete.
    ///
    /// # Errors
    /// If it is none or too long. The connection is of no use then.
    pub(super) fn take(&mut self, read: &mut BytesMut) -> Result<Option<Bytes>, BadValue> {
        while let Some(missing) = self.missing.last_mut() {
            let Some(line) = line(read.get(self.at..).unwrap_or_default())? else { return Ok(None) };
            let (kind, rest) = line.split_first().ok_or(BadValue::Malformed)?;
            let header = line.len() + 2;
            let (skipped, within) = match kind {
                b'$' | b'=' | b'!' => match number(rest)? {
                    None => (0, 0),
                    Some(bytes) => (usize::try_from(bytes).map_or(usize::MAX, |n| n.saturating_add(2)), 0),
                },
                b'*' | b'~' | b'>' => (0, number(rest)?.unwrap_or(0)),
                b'%' => (0, number(rest)?.unwrap_or(0).saturating_mul(2)),
                b'|' => (0, number(rest)?.unwrap_or(0).saturating_mul(2).saturating_add(1)),
                b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' => (0, 0),
                _ => return Err(BadValue::Malformed),
            };
            let end = self.at.saturating_add(header).saturating_add(skipped);
            if end > self.limit {
                return Err(BadValue::TooLong(self.limit));
            }
            *missing = missing.saturating_sub(1);
            self.seen += 1;
            if within > 0 {
                self.missing.push(within);
            }
            if self.seen.saturating_add(within) > MAX_VALUES || self.missing.len() > MAX_DEPTH {
                return Err(BadValue::TooMany);
            }
            while self.missing.pop_if(|missing| *missing == 0).is_some() {}
            // What is skipped need not have come yet.
            self.at = end;
        }
        if read.len() < self.at {
            return Ok(None);
        }
        let value = read.split_to(self.at).freeze();
        (self.at, self.seen) = (0, 0);
        self.missing.push(1);
        Ok(Some(value))
    }
}

/// The line that text begins with, without its end.
fn line(text: &[u8]) -> Result<Option<&[u8]>, BadValue> {
    match memchr::memchr(b'\n', &text[..text.len().min(MAX_LINE)]) {
        Some(end) => text[..end].strip_suffix(b"\r").map(Some).ok_or(BadValue::Malformed),
        None if text.len() < MAX_LINE => Ok(None),
        None => Err(BadValue::Malformed),
    }
}

/// A length; none for the null of older protocols.
fn number(digits: &[u8]) -> Result<Option<u64>, BadValue> {
    if digits == b"-1" {
        return Ok(None);
    }
    let text = std::str::from_utf8(digits).map_err(|_| BadValue::Malformed)?;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(BadValue::Malformed);
    }
    text.parse().map(Some).map_err(|_| BadValue::TooLong(usize::MAX))
}

/// The channel and the payload of a message that was published, if the value is one.
pub(super) fn published(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = value.strip_prefix(b">3\r\n")?;
    let (kind, rest) = bulk(rest)?;
    let (channel, rest) = bulk(rest)?;
    let (payload, rest) = bulk(rest)?;
    (matches!(kind, b"message" | b"smessage") && rest.is_empty()).then_some((channel, payload))
}

fn bulk(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let header = line(text.strip_prefix(b"$")?).ok()??;
    let length = usize::try_from(number(header).ok()??).ok()?;
    let body = &text[header.len() + 3..];
    let (bulk, rest) = body.split_at_checked(length)?;
    Some((bulk, rest.strip_prefix(b"\r\n")?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VALUES: [&str; 12] = [
        "+OK\r\n",
        ":12\r\n",
        "$3\r\na\r\n\r\n",
        "$-1\r\n",
        "_\r\n",
        "*2\r\n$1\r\na\r\n*1\r\n:1\r\n",
        "%1\r\n+a\r\n*0\r\n",
        "|1\r\n+a\r\n+b\r\n:7\r\n",
        ">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$5\r\nab\r\nc\r\n",
        "-ERR no\r\n",
        "=5\r\ntxt:a\r\n",
        "~1\r\n#t\r\n",
    ];

    #[test]
    fn values_are_cut_wherever_the_reads_end() {
        let whole = VALUES.concat();
        for piece in 1..whole.len() {
            let (mut framing, mut read, mut found) = (Framing::new(100), BytesMut::new(), Vec::new());
            for bytes in whole.as_bytes().chunks(piece) {
                read.extend_from_slice(bytes);
                while let Some(value) = framing.take(&mut read).unwrap() {
                    found.push(String::from_utf8(value.to_vec()).unwrap());
                }
            }
            assert_eq!(found, VALUES);
        }
        assert_eq!(published(VALUES[8].as_bytes()), Some((&b"c"[..], &b"ab\r\nc"[..])));
        assert!(VALUES.iter().filter(|value| published(value.as_bytes()).is_some()).count() == 1);
    }

    #[test]
    fn what_is_too_long_is_refused_by_its_announcement() {
        let refused = |text: &str| Framing::new(1000).take(&mut BytesMut::from(text)).unwrap_err();
        for text in ["$600000000\r\n", "*3\r\n$900\r\n", "$99999999999999999999\r\n"] {
            let text = if text.starts_with("*3") {
                format!("{text}{}\r\n$900\r\n", "x".repeat(900))
            } else {
                text.to_owned()
            };
            assert!(matches!(refused(&text), BadValue::TooLong(_)), "{text}");
        }
        let deep = "*1\r\n".repeat(MAX_DEPTH);
        for text in [">1000001\r\n", "*1\r\n%9223372036854775807\r\n", "|18446744073709551615\r\n", &deep] {
            assert_eq!(refused(text), BadValue::TooMany, "{text}");
        }
        for text in [
            "*?\r\n",
            "$?\r\n:1\r\n",
            "%?\r\n",
            ".\r\n",
            "$-2\r\n",
            "?\r\n",
            "\r\n",
            "$?\r\n",
            "+a\n",
            "$+1\r\n",
        ] {
            assert_eq!(refused(text), BadValue::Malformed, "{text}");
        }
        assert_eq!(refused(&"x".repeat(MAX_LINE)), BadValue::Malformed);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(prop_oneof![
            any::<u8>(), Just(b'\r'), Just(b'\n'), Just(b'$'), Just(b'*'), Just(b'>'), b'0'..=b'9'
        ], 0..200)) {
            let (mut framing, mut read) = (Framing::new(150), BytesMut::from(&bytes[..]));
            while let Ok(Some(value)) = framing.take(&mut read) {
                prop_assert!(value.len() <= 150);
                published(&value);
            }
        }
    }
}
