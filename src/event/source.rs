//! Where an event came from, and what follows from that alone.

use std::sync::Arc;

use crate::protocol::{ChannelName, SocketId};

/// Where an event came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A client sent it.
    Client {
        /// The sender.
        socket_id: SocketId,
        /// Who the sender is, on presence channels.
        user_id: Option<Arc<str>>,
    },
    /// A backend published it over the HTTP API.
    Http,
    /// A pipe sent it: a rule, a hook, or a backend on the pipe's wire.
    Pipe,
    /// A rule passed on what a client had sent, where it matters which.
    Forwarded(Arc<ForwardedFrom>),
}

/// What a rule has passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardedFrom {
    /// The client that sent it.
    pub socket_id: SocketId,
    /// Who that is, on presence channels.
    pub user_id: Option<Arc<str>>,
    /// The channel that it sent it on.
    pub channel: ChannelName,
    /// The name that it gave it.
    pub event: Box<str>,
}

impl Source {
    /// Whether those who listen to the app are told of its events. No pipe hears a pipe, so that no loop can arise.
    pub const fn is_announced(&self) -> bool {
        match self {
            Source::Client { .. } | Source::Http => true,
            Source::Pipe | Source::Forwarded(_) => false,
        }
    }

    /// Whether a cache channel remembers its events: those of the app's backend, not those of clients.
    pub const fn is_remembered(&self) -> bool {
        match self {
            Source::Http | Source::Pipe | Source::Forwarded(_) => true,
            Source::Client { .. } => false,
        }
    }

    /// What the log calls it.
    pub const fn name(&self) -> &'static str {
        match self {
            Source::Client { .. } => "client",
            Source::Http => "http",
            Source::Pipe | Source::Forwarded(_) => "pipe",
        }
    }

    /// The client that it is.
    pub const fn socket_id(&self) -> Option<SocketId> {
        match self {
            Source::Client { socket_id, .. } => Some(*socket_id),
            Source::Http | Source::Pipe | Source::Forwarded(_) => None,
        }
    }

    /// Who the client is, on presence channels.
    pub const fn user_id(&self) -> Option<&Arc<str>> {
        match self {
            Source::Client { user_id, .. } => user_id.as_ref(),
            Source::Http | Source::Pipe | Source::Forwarded(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_from_the_source() {
        let client = Source::Client { socket_id: SocketId::new(1, 1), user_id: None };
        let table = [(client, true, false), (Source::Http, true, true), (Source::Pipe, false, true)];
        for (source, announced, remembered) in table {
            assert_eq!(
                (source.is_announced(), source.is_remembered()),
                (announced, remembered),
                "{source:?}"
            );
        }
    }
}
