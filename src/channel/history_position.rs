//! A place in the histories of a node: everything up to it has been received.

use std::fmt;

/// A place among the events that a node has numbered since it started. It is good for each of the node's channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HistoryPosition {
    /// The node's run: its numbers mean nothing to another one.
    pub epoch: u64,
    /// The number of the last event, or any number behind it and before the next one.
    pub number: u64,
}

impl HistoryPosition {
    /// Reads what [`fmt::Display`] writes: two numbers in hexadecimal digits, with `-` between them.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let number = |text: &str| {
            let is_hex = (1..=16).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            is_hex.then(|| u64::from_str_radix(text, 16).ok()).flatten()
        };
        let (epoch, number_text) = text.split_once('-')?;
        Some(HistoryPosition { epoch: number(epoch)?, number: number(number_text)? })
    }
}

impl fmt::Display for HistoryPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}", self.epoch, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_is_written() {
        for position in [
            HistoryPosition { epoch: 0xab, number: 12 },
            HistoryPosition { epoch: u64::MAX, number: 0 },
            HistoryPosition { epoch: 0, number: u64::MAX },
        ] {
            assert_eq!(HistoryPosition::parse(&position.to_string()), Some(position));
        }
        assert_eq!(HistoryPosition { epoch: 0xab, number: 12 }.to_string(), "ab-c");
        for bad in ["", "-", "ab", "ab-", "-c", "+1-2", "1-2-3", "g-1", "1-00000000000000001", " 1-2"] {
            assert_eq!(HistoryPosition::parse(bad), None, "{bad}");
        }
    }
}
