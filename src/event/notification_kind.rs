//! The kinds of notifications that a backend on the pipe can subscribe to.

/// A kind of notifications that can be subscribed to (`events` of a subscription).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotificationKind {
    /// What clients say, and what is published over HTTP.
    SocketMessage,
    /// Connections that open, sign in and close.
    SocketExistence,
    /// Channels that are occupied and vacated, missed, or counted.
    ChannelExistence,
    /// Connections that subscribe and unsubscribe.
    Subscription,
    /// Users that join and leave presence channels.
    Presence,
}

impl NotificationKind {
    /// All of them.
    pub(crate) const ALL: [NotificationKind; 5] = [
        NotificationKind::SocketMessage,
        NotificationKind::SocketExistence,
        NotificationKind::ChannelExistence,
        NotificationKind::Subscription,
        NotificationKind::Presence,
    ];

    /// The name on the wire.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            NotificationKind::SocketMessage => "socket_message",
            NotificationKind::SocketExistence => "socket_existence",
            NotificationKind::ChannelExistence => "channel_existence",
            NotificationKind::Subscription => "subscription",
            NotificationKind::Presence => "presence",
        }
    }

    /// The group of this name.
    pub(crate) fn of(name: &str) -> Option<Self> {
        NotificationKind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// A bit of its own.
    pub(crate) const fn bit(self) -> u8 {
        1 << self as u8
    }
}
