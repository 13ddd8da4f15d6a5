//! Socket ids: the name of one connection, such as `731408.20598114`.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};

/// The id of one connection of this broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId {
    first: u32,
    second: u32,
}

/// What the ids of one node's connections begin with, where several nodes are one broker: the upper 16 bits of the first
/// number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketTag(u16);

/// A map by socket ids.
pub type SocketIdMap<V> = HashMap<SocketId, V, SocketIdHash>;

/// A set of socket ids.
pub type SocketIdSet = HashSet<SocketId, SocketIdHash>;

/// How tables of socket ids hash them. The broker draws the ids at random, so nobody can choose those in a table so that
/// they collide: they are mixed, not hashed with a secret.
pub type SocketIdHash = BuildHasherDefault<SocketIdHasher>;

/// The hasher of socket ids, and of nothing else.
#[derive(Clone, Copy, Debug, Default)]
pub struct SocketIdHasher(u64);

impl Hasher for SocketIdHasher {
    fn write_u32(&mut self, number: u32) {
        self.0 = self.0.rotate_left(32) ^ u64::from(number);
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    /// Both halves of a product with an odd number that has no pattern (2⁶⁴ divided by the golden ratio): tables use the
    /// lowest and the highest bits.
    fn finish(&self) -> u64 {
        let product = u128::from(self.0) * 0x9e37_79b9_7f4a_7c15;
        (product as u64) ^ ((product >> 64) as u64)
    }
}

/// A socket id as a client or backend wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrittenSocketId {
    /// One that this broker could have given out.
    Ours(SocketId),
    /// Digits, a dot and digits, but no connection of ours can have this id.
    Foreign,
}

/// The text is not of the form `digits.digits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Invalid socket id")]
pub struct InvalidSocketId;

impl SocketId {
    /// The largest number in either half; ids are drawn from 1 to this.
    pub const MAX: u32 = 1_000_000_000;

    /// An id from two numbers, each from 1 to [`SocketId::MAX`]. The caller draws them at random.
    pub const fn new(first: u32, second: u32) -> Self {
        SocketId { first, second }
    }

    /// Its two numbers.
    pub const fn numbers(self) -> (u32, u32) {
        (self.first, self.second)
    }

    /// Appends it to a text, which is what a subscription's signature is made of, without the machinery of formats.
    pub(crate) fn push_to(self, text: &mut String) {
        // Ten digits at most in each number, and the dot.
        let mut digits = [0; 21];
        let mut start = digits.len();
        for (number, is_last) in [(self.second, false), (self.first, true)] {
            let mut rest = number;
            loop {
                start -= 1;
                digits[start] = b'0' + (rest % 10) as u8;
                rest /= 10;
                if rest == 0 {
                    break;
                }
            }
            if !is_last {
                start -= 1;
                digits[start] = b'.';
            }
        }
        // They are digits, so it is text.
        text.push_str(std::str::from_utf8(&digits[start..]).unwrap_or_default());
    }

    /// An id with this tag. The caller draws the numbers at random: `low` from 1, `second` from 1 to [`SocketId::MAX`].
    pub fn tagged(tag: SocketTag, low: u16, second: u32) -> Self {
        SocketId { first: u32::from(tag.0) << 16 | u32::from(low), second }
    }

    /// The tag of the node that it is a connection of, where nodes have tags.
    pub fn tag(self) -> SocketTag {
        SocketTag((self.first >> 16) as u16)
    }
}

impl SocketTag {
    /// The largest tag, and the number of tags: with the largest lower half, the first number is within its range.
    pub const MAX: u16 = (SocketId::MAX >> 16) as u16 - 1;

    /// A tag made of a number that is drawn at random. None is 0.
    pub const fn of_random(number: u16) -> Self {
        SocketTag(number % Self::MAX + 1)
    }

    /// The tag with this number, if there is one.
    pub fn new(number: u16) -> Option<Self> {
        (1..=Self::MAX).contains(&number).then_some(SocketTag(number))
    }

    /// Its number.
    pub const fn number(self) -> u16 {
        self.0
    }
}

impl WrittenSocketId {
    /// Reads an id.
    ///
    /// # Errors
    /// If the text is not `digits.digits`, the form that all official server libraries check for.
    pub fn parse(text: &str) -> Result<Self, InvalidSocketId> {
        let (first, second) = text.split_once('.').ok_or(InvalidSocketId)?;
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(first) || !digits(second) {
            return Err(InvalidSocketId);
        }
        // Leading zeros and numbers beyond the range are well-formed, but name nobody here.
        let number = |part: &str| {
            if part.starts_with('0') {
                None
            } else {
                part.parse::<u32>().ok().filter(|n| *n <= SocketId::MAX)
            }
        };
        Ok(match (number(first), number(second)) {
            (Some(first), Some(second)) => WrittenSocketId::Ours(SocketId { first, second }),
            _ => WrittenSocketId::Foreign,
        })
    }

    /// The id, if it can be one of ours.
    pub fn ours(self) -> Option<SocketId> {
        match self {
            WrittenSocketId::Ours(id) => Some(id),
            WrittenSocketId::Foreign => None,
        }
    }
}

impl fmt::Display for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.first, self.second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_back_as_written() {
        let id = SocketId::new(731_408, 20_598_114);
        assert_eq!(id.to_string(), "731408.20598114");
        assert_eq!(WrittenSocketId::parse("731408.20598114"), Ok(WrittenSocketId::Ours(id)));
    }

    #[test]
    fn an_id_is_appended_as_it_is_displayed() {
        for (first, second) in [(1, 1), (10, 9), (731_408, 20_598_114), (SocketId::MAX, u32::MAX), (0, 100)] {
            let id = SocketId::new(first, second);
            let mut text = "id ".to_owned();
            id.push_to(&mut text);
            assert_eq!(text, format!("id {id}"));
        }
    }

    #[test]
    fn an_id_has_the_tag_that_it_was_made_with_and_is_one_of_ours() {
        for number in [0, 1, SocketTag::MAX - 1, SocketTag::MAX, u16::MAX] {
            let tag = SocketTag::of_random(number);
            assert_eq!(SocketTag::new(tag.number()), Some(tag), "{number}");
            for low in [1, u16::MAX] {
                let id = SocketId::tagged(tag, low, 7);
                assert_eq!(id.tag(), tag);
                assert_eq!(WrittenSocketId::parse(&id.to_string()), Ok(WrittenSocketId::Ours(id)));
            }
        }
        assert_eq!([SocketTag::new(0), SocketTag::new(SocketTag::MAX + 1)], [None, None]);
    }

    /// The ids of a broker's connections, and those of the tests of this crate, spread over the bits that tables use.
    #[test]
    fn hashes_spread_over_the_lowest_and_the_highest_bits() {
        use std::hash::BuildHasher;

        let drawn = (1..=4096_u32).map(|n| {
            let scattered = n.wrapping_mul(2_654_435_761) % SocketId::MAX;
            SocketId::new(scattered, scattered.rotate_left(13) % SocketId::MAX)
        });
        let counted = (1..=4096).map(|n| SocketId::new(n, 1));
        for ids in [drawn.collect::<Vec<_>>(), counted.collect()] {
            let mut lowest = [0; 256];
            let mut highest = [0; 128];
            for id in ids {
                let hash = SocketIdHash::default().hash_one(id);
                lowest[(hash & 255) as usize] += 1;
                highest[(hash >> 57) as usize] += 1;
            }
            // 16 and 32 on average.
            assert!(lowest.iter().all(|n| (1..=48).contains(n)), "{lowest:?}");
            assert!(highest.iter().all(|n| (8..=72).contains(n)), "{highest:?}");
        }
    }

    #[test]
    fn well_formed_ids_that_cannot_be_ours_are_foreign_not_wrong() {
        for text in ["007.1", "1.99999999999999999999", "0.0", "1000000001.1"] {
            assert_eq!(WrittenSocketId::parse(text), Ok(WrittenSocketId::Foreign), "{text}");
        }
        for text in ["", ".", "1.", ".1", "1", "1.2.3", "a.b", "1.2 ", "-1.2", "1.２"] {
            assert_eq!(WrittenSocketId::parse(text), Err(InvalidSocketId), "{text}");
        }
    }
}
