//! What a node says of its own connections to the other nodes, and what they keep of it.

use std::sync::Arc;

use crate::event::BackendDemand;
use crate::protocol::ChannelName;

use super::{ChannelVersion, Member};

/// Something that has become true on one node. Every fact has one writer, the node that has the connections; so what is
/// true of all nodes is the union of what each of them says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    /// So many connections of the node are subscribed to a channel without a member, by the change of this version: all of
    /// them on most channels, on presence channels the streams over HTTP.
    Subscribers { channel: ChannelName, count: u32, version: ChannelVersion },
    /// A connection of a member has joined a presence channel. The version is that of the change, and names the
    /// connection within its node and channel from now on.
    Joined { channel: ChannelName, version: ChannelVersion, member: Member },
    /// The connection of a member that joined by the change `joined` has left.
    Left { channel: ChannelName, joined: ChannelVersion, version: ChannelVersion },
    /// The first connection of the node has signed in as the user.
    SignedIn { user_id: Arc<str> },
    /// No connection of the node is signed in as the user any more.
    SignedOut { user_id: Arc<str> },
    /// So many connections of the node count towards the limit of the app. It is told where there is a limit.
    Connections { count: u32 },
    /// A connection of the node was the first to find that a cache channel remembers nothing. It changes nothing: it is
    /// told once, to those who listen on every node.
    CacheMissed { channel: ChannelName, version: ChannelVersion },
    /// The backends on the pipe that are connected to the node want to hear this of the app.
    Backends { demand: Arc<BackendDemand> },
    /// The app was removed on the node, and is another one now. Nothing is true any more that was said of its connections.
    Renewed,
}

/// A change of what another node has: the step from what its replica said to what it says now, for one thing.
///
/// A change may be told again. Of one thing the last one holds, so what is known of a node may be told as a whole at any
/// time, for instance when an app has been added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// So many connections of the node are subscribed to a channel without a member.
    Subscribers { channel: ChannelName, count: u32, version: ChannelVersion },
    /// A connection of a member has joined a presence channel, by the change `version` of its node, which names it there.
    /// Those who listen are told of it by the number `told`: that one, or another where the connection is back, because its
    /// node had been taken for dead.
    Joined { channel: ChannelName, version: ChannelVersion, told: ChannelVersion, member: Member },
    /// The connection that joined as this user by the change `joined` has left by the change `version`, or is gone with its
    /// node.
    Left { channel: ChannelName, joined: ChannelVersion, user_id: Arc<str>, version: ChannelVersion },
    /// Some connection of the node is signed in as the user.
    SignedIn { user_id: Arc<str> },
    /// None is.
    SignedOut { user_id: Arc<str> },
    /// So many connections of the node count towards the limit of the app.
    Connections { count: u32 },
    /// A connection of the node was the first to find that a cache channel remembers nothing. It is told once, and never
    /// again.
    CacheMissed { channel: ChannelName, version: ChannelVersion },
    /// The backends on the pipe that are connected to the node want to hear this of the app.
    Backends { demand: Arc<BackendDemand> },
}
