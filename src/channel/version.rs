//! The number of a channel's change, by which subscribers tell what they have been given from what follows; and where a
//! change was made, which names it in the whole cluster.

use super::NodeId;

/// The number of a channel's change. It tells the change from every other one of this node, also from those that look
/// the same, and is larger than the numbers of all changes before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

/// A change of a channel, as it is named on every node: by the node that made it, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChangeOrigin {
    /// Where it was made.
    pub node: NodeId,
    /// Its number there.
    pub version: ChannelVersion,
}
