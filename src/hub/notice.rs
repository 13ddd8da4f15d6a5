//! What just happened, for whoever listens: the pipe, and whatever else wants to know.
//!
//! The hub announces and does not know who hears.

use crate::channel::ChangeOrigin;
use crate::connection::{Ending, Refusal};
use crate::diagnosis::Diagnosis;
use crate::event::AcceptedEvent;
use crate::protocol::{ChannelName, CloseStatus, SocketId};

/// Something that happened in an app.
#[derive(Clone, Debug)]
pub enum Notice<'a> {
    /// An event was accepted, from a source that is announced.
    Event(&'a AcceptedEvent<'a>),
    /// A channel got its first subscriber.
    ChannelOccupied(&'a ChannelName, ChangeOrigin),
    /// A channel lost its last subscriber.
    ChannelVacated(&'a ChannelName, ChangeOrigin),
    /// A user's first connection joined a presence channel.
    MemberAdded(&'a ChannelName, &'a str, ChangeOrigin),
    /// A user's last connection left a presence channel.
    MemberRemoved(&'a ChannelName, &'a str, ChangeOrigin),
    /// Somebody subscribed to a cache channel that remembers nothing: the first one since it last remembered something.
    CacheMiss(&'a ChannelName, ChangeOrigin),
    /// The number of a channel's subscriptions, where the app tells it: as often as it is told to subscribers.
    SubscriptionCount(&'a ChannelName, usize, ChangeOrigin),
    /// A connection subscribed to a channel.
    Subscribed {
        channel: &'a ChannelName,
        /// The connection.
        socket_id: SocketId,
        /// Who it is, on presence channels.
        user_id: Option<&'a str>,
    },
    /// A connection is subscribed to a channel no more, whether it left the channel or is gone.
    Unsubscribed {
        channel: &'a ChannelName,
        /// The connection.
        socket_id: SocketId,
        /// Who it was, on presence channels.
        user_id: Option<&'a str>,
    },
    /// A connection was accepted.
    SocketOpened(SocketId),
    /// A connection signed in as a user.
    SignedIn {
        /// The connection.
        socket_id: SocketId,
        user_id: &'a str,
    },
    /// A connection ended.
    SocketClosed {
        /// The connection.
        socket_id: SocketId,
        /// Whom it was signed in as.
        user_id: Option<&'a str>,
        ending: &'a Ending,
    },
}

impl Notice<'_> {
    /// The change that it tells of, if it tells of one of a channel.
    pub fn origin(&self) -> Option<ChangeOrigin> {
        match self {
            Notice::ChannelOccupied(_, origin)
            | Notice::ChannelVacated(_, origin)
            | Notice::MemberAdded(_, _, origin)
            | Notice::MemberRemoved(_, _, origin)
            | Notice::CacheMiss(_, origin)
            | Notice::SubscriptionCount(_, _, origin) => Some(*origin),
            Notice::Event(_)
            | Notice::Subscribed { .. }
            | Notice::Unsubscribed { .. }
            | Notice::SocketOpened(_)
            | Notice::SignedIn { .. }
            | Notice::SocketClosed { .. } => None,
        }
    }
}

/// Something was not done, and whoever asked for it was told.
#[derive(Clone, Debug)]
pub enum Refused<'a> {
    /// What a message of a client asked for; its connection stays.
    ClientMessage {
        /// The connection.
        socket_id: SocketId,
        /// What it was told.
        refusal: &'a Refusal,
        /// What it came from, if it was about a signature.
        diagnosis: Option<&'a Diagnosis>,
    },
    Connection {
        /// The key it asked for, if it named one.
        key: Option<&'a str>,
        code: CloseStatus,
        /// Why.
        reason: &'a str,
        /// What the key is that is no app's, if that can be told.
        diagnosis: Option<&'a Diagnosis>,
    },
    /// A request to the HTTP API.
    Request {
        method: &'a str,
        path: &'a str,
        /// The answer's status.
        status: u16,
        /// Why.
        reason: &'a str,
        /// What it came from, if it was about a signature.
        diagnosis: Option<&'a Diagnosis>,
    },
}

/// Hears of refusals where no app is known by what was asked for.
pub trait UnknownAppListener: Send + Sync {
    /// Something was refused.
    fn refused(&self, refused: &Refused<'_>);
}
