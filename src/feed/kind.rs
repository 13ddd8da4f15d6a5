//! The kinds of things that are told of.

/// Makes the kinds from one table: each with its name.
macro_rules! feed_kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal,)*) => {
        /// What kind of thing happened.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum FeedKind {
            $($(#[$doc])* $kind,)*
        }

        impl FeedKind {
            /// Every kind there is.
            pub(crate) const ALL: [FeedKind; 8] = [$(FeedKind::$kind),*];

            /// The name that viewers know it by.
            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $(FeedKind::$kind => $name,)*
                }
            }
        }
    };
}

feed_kinds! {
    /// A connection came, ended, or signed in.
    Connections = "connections",
    /// A connection subscribed to a channel or left it, and what follows from that for the channel.
    Subscriptions = "subscriptions",
    /// A user became a member of a presence channel, or is none any more.
    Members = "members",
    /// An event was accepted from a client or over the HTTP API.
    Events = "events",
    /// A rule, a hook or a backend has sent an event.
    Pipe = "pipe",
    /// A request to the HTTP API was answered.
    Api = "api",
    /// Something was not done, and whoever asked for it was told.
    Refusals = "refusals",
    /// A webhook was sent, or should have been.
    Webhooks = "webhooks",
}

impl FeedKind {
    /// One bit of its own.
    pub(crate) const fn bit(self) -> u8 {
        1 << self as u8
    }

    /// The kind of this name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        FeedKind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_name_and_a_bit_of_its_own() {
        let bits = FeedKind::ALL.into_iter().fold(0, |bits, kind| bits | kind.bit());
        assert_eq!(bits, u8::MAX);
        assert!(FeedKind::ALL.into_iter().all(|kind| FeedKind::parse(kind.name()) == Some(kind)));
        assert_eq!(FeedKind::parse("event"), None);
    }
}
