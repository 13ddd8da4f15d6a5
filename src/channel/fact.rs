//! What a node says of its own connections to the other nodes, and what they keep of it.

use std::sync::Arc;

use crate::protocol::ChannelName;

use super::{ChannelVersion, Member};

/// Something that has become true on one node. Every fact has one writer, the node that has the connections; so what is
/// true of all nodes is the union of what each of them says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    /// So many connections of the node are subscribed to a channel without members, by the change of this version.
    Subscribers { channel: ChannelName, count: u32, version: ChannelVersion },
    /// A connection of a member has joined a presence channel. The version is that of the change, and names the
    /// connection within its node and channel from now on. `count` connections of the node are subscribed now.
    Joined { channel: ChannelName, version: ChannelVersion, member: Member, count: u32 },
    /// The connection of a member that joined by the change `joined` has left.
    Left { channel: ChannelName, joined: ChannelVersion, version: ChannelVersion, count: u32 },
    /// The first connection of the node has signed in as the user.
    SignedIn { user_id: Arc<str> },
    /// No connection of the node is signed in as the user any more.
    SignedOut { user_id: Arc<str> },
}
