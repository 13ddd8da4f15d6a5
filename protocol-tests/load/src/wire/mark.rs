//! The mark in a payload by which its receiver knows who sent it, as which message, when, and how long it should be.
//!
//! It is found by a byte search, not by parsing, and has a fixed width: a template is written once and only its digits
//! are replaced. It contains nothing that JSON escapes, so brokers that rewrite `data` leave it whole.

use memchr::memmem;

/// Opens every mark.
const OPENING: &[u8] = b"~mark~";
/// Hexadecimal digits of: publisher, sequence number, nanoseconds, payload bytes.
const WIDTHS: [usize; 4] = [6, 8, 14, 6];

/// Bytes of a mark.
pub(crate) const BYTES: usize = 6 + 6 + 8 + 14 + 6;

/// What a mark says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Mark {
    pub(crate) publisher: u32,
    pub(crate) sequence: u32,
    /// Since the tool's start, when the message was due to be sent.
    pub(crate) nanoseconds: u64,
    /// Of the payload that carries the mark: a delivery that is shorter was cut.
    pub(crate) payload_bytes: u32,
}

impl Mark {
    /// Writes the mark over the first [`BYTES`] of `at`.
    pub(crate) fn write(&self, at: &mut [u8]) {
        at[..OPENING.len()].copy_from_slice(OPENING);
        let values = [
            u64::from(self.publisher),
            u64::from(self.sequence),
            self.nanoseconds,
            u64::from(self.payload_bytes),
        ];
        let mut start = OPENING.len();
        for (mut value, width) in values.into_iter().zip(WIDTHS) {
            for digit in at[start..start + width].iter_mut().rev() {
                *digit = b"0123456789abcdef"[(value & 15) as usize];
                value >>= 4;
            }
            start += width;
        }
    }

    /// A payload of exactly `bytes`: a mark still to be written, and filling.
    pub(crate) fn blank(bytes: usize) -> String {
        assert!(bytes >= BYTES, "a payload must hold its mark");
        "x".repeat(bytes)
    }

    fn read(at: &[u8]) -> Option<Mark> {
        let mut digits = at.get(OPENING.len()..BYTES)?;
        let mut values = [0_u64; 4];
        for (value, width) in values.iter_mut().zip(WIDTHS) {
            let (these, rest) = digits.split_at(width);
            for digit in these {
                let digit = match digit {
                    b'0'..=b'9' => digit - b'0',
                    b'a'..=b'f' => digit - b'a' + 10,
                    _ => return None,
                };
                *value = *value << 4 | u64::from(digit);
            }
            digits = rest;
        }
        Some(Mark {
            publisher: values[0] as u32,
            sequence: values[1] as u32,
            nanoseconds: values[2],
            payload_bytes: values[3] as u32,
        })
    }
}

/// Finds marks. Looks first where the last one was: the frames of a channel are alike.
#[derive(Debug)]
pub(crate) struct Finder {
    search: memmem::Finder<'static>,
    last_seen_at: usize,
}

impl Default for Finder {
    fn default() -> Self {
        Finder { search: memmem::Finder::new(OPENING), last_seen_at: 0 }
    }
}

impl Finder {
    /// The mark in this payload, and where it begins.
    pub(crate) fn find(&mut self, payload: &[u8]) -> Option<(usize, Mark)> {
        if !payload.get(self.last_seen_at..).is_some_and(|at| at.starts_with(OPENING)) {
            self.last_seen_at = self.search.find(payload)?;
        }
        Some((self.last_seen_at, Mark::read(&payload[self.last_seen_at..])?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_wherever_it_moves() {
        let mut finder = Finder::default();
        for (index, before) in
            ["", "{\"data\":\"", "{\"event\":\"e\",\"data\":\"", "{\"data\":\""].iter().enumerate()
        {
            let mark = Mark {
                publisher: 3,
                sequence: index as u32,
                nanoseconds: 0xdead_beef_cafe,
                payload_bytes: 10_240,
            };
            let mut data = Mark::blank(100).into_bytes();
            mark.write(&mut data);
            let frame = [before.as_bytes(), &data, b"\"}"].concat();
            assert_eq!(finder.find(&frame), Some((before.len(), mark)));
        }
    }

    #[test]
    fn what_is_no_mark_is_not_taken_for_one() {
        let mut finder = Finder::default();
        assert_eq!(finder.find(b"{\"event\":\"pusher:ping\"}"), None);
        assert_eq!(finder.find(b"~mark~0000"), None, "cut short");
        assert_eq!(finder.find(&[OPENING, &[b'?'; 40]].concat()), None, "no digits");
    }
}
