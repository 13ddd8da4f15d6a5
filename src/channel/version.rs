//! The number of a channel's change, by which subscribers tell what they have been given from what follows.

/// The number of a channel's change. It tells the change from every other one of this node, also from those that look
/// the same, and is larger than the numbers of all changes before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChannelVersion(u64);

impl ChannelVersion {
    /// The version of this number.
    pub const fn new(number: u64) -> Self {
        ChannelVersion(number)
    }

    /// Its number.
    pub const fn number(self) -> u64 {
        self.0
    }
}
