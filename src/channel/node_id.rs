//! The node that a connection is on, where several nodes are one broker.

use std::fmt;

/// A node since its start: 128 random bits. After a restart it is another one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId {
    // In two halves, the higher first: whatever holds one takes no more room than its parts.
    high: u64,
    low: u64,
}

impl NodeId {
    /// The node of these bits.
    pub const fn new(bits: u128) -> Self {
        NodeId { high: (bits >> 64) as u64, low: bits as u64 }
    }

    /// Its bits.
    pub const fn bits(self) -> u128 {
        (self.high as u128) << 64 | self.low as u128
    }

    /// Reads what [`fmt::Display`] writes: 32 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hex.then(|| u128::from_str_radix(text, 16).ok().map(NodeId::new)).flatten()
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.bits())
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_read_as_it_is_written() {
        let node = NodeId::new(0xab);
        assert_eq!(NodeId::parse(&node.to_string()), Some(node));
        assert_eq!(node.to_string(), "000000000000000000000000000000ab");
        let (smaller, larger) = (NodeId::new(u128::from(u64::MAX)), NodeId::new(1 << 64));
        assert!(smaller < larger && larger.bits() == 1 << 64, "they are ordered as their bits are");
        for bad in ["", "ab", "+00000000000000000000000000000ab", "g00000000000000000000000000000ab"] {
            assert_eq!(NodeId::parse(bad), None, "{bad}");
        }
    }
}
