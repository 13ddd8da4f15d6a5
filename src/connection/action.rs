//! What a connection asks its driver to do.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::channel::Member;
use crate::protocol::json::Data;
use crate::protocol::server_message::{self, SubscriptionFault};
use crate::protocol::{ChannelName, CloseCode, ErrorCode, Frame};

/// One thing to do, in the order given.
#[derive(Clone, Debug)]
pub enum Action<'m> {
    /// Send this to the client.
    Send(Frame),
    /// Ping the client by the means of the transport.
    Ping,
    /// Tell the client, and the log, that something it asked for was not done.
    Refuse(Refusal),
    /// Subscribe it. On failure, call [`Connection::join_refused`](super::Connection::join_refused). If the
    /// subscription [would authorize](super::Connection::would_authorize) the connection, count it towards the app's
    /// quota first, and end it if there is no room; afterwards, say that it is
    /// [authorized](super::Connection::authorized).
    Join {
        /// The channel.
        channel: ChannelName,
        /// Who joins, on presence channels.
        member: Option<Member>,
    },
    /// End its subscription.
    Leave(ChannelName),
    /// It is signed in as a user: make that known, then send the answer.
    SignIn {
        /// The user.
        user_id: Arc<str>,
        /// The answer.
        answer: Frame,
        /// Whom it watches, where the app has that switched on.
        watchlist: Vec<Arc<str>>,
        /// What to tell it of a watchlist that is too long.
        warning: Option<Refusal>,
        /// This authorizes the connection: count it towards the app's quota first, and end it if there is no room.
        authorizes: bool,
    },
    /// It need not authorize itself any more: count it towards the app's quota, or end it if there is no room.
    Authorize,
    /// Send its event to the other subscribers of the channel, and to the pipes that listen.
    Broadcast(ClientEvent<'m>),
    /// Hand its event to the pipes that listen, and to nobody else.
    Pipe(ClientEvent<'m>),
    /// End the connection.
    Close(CloseCode),
}

/// An event that a client sent.
#[derive(Clone, Debug)]
pub struct ClientEvent<'m> {
    /// Its name.
    pub event: Cow<'m, str>,
    /// The channel; none on a client's own back channel to the pipes.
    pub channel: Option<ChannelName>,
    /// The payload as it came; `None` if it came as a binary message.
    pub raw: Option<&'m RawValue>,
    /// The payload as it is delivered.
    pub data: Data<'m>,
    /// The sender, on presence channels.
    pub user_id: Option<Arc<str>>,
}

/// Something was not done, and the connection stays open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The number of the `pusher:error`.
    pub code: ErrorCode,
    /// Its text.
    pub message: String,
    /// For a refused subscription: the channel as the client named it, and the kind of fault.
    pub subscription: Option<(String, SubscriptionFault)>,
}

impl Refusal {
    /// An error without a number, the ordinary kind.
    pub(super) fn unnumbered(message: impl ToString) -> Self {
        Refusal { code: ErrorCode::Unnumbered, message: message.to_string(), subscription: None }
    }

    /// A client event over a limit.
    pub(super) fn client_event(message: impl ToString) -> Self {
        Refusal { code: ErrorCode::ClientEventRejected, message: message.to_string(), subscription: None }
    }

    /// A watchlist of which only these count.
    pub(super) fn watchlist(accepted: &[Arc<str>]) -> Self {
        let limit = accepted.len();
        let message = format!(
            "Watchlist limit exceeded. Only the first {limit} user IDs are accepted: {}",
            accepted.join(", ")
        );
        Refusal { code: ErrorCode::WatchlistTooLong, message, subscription: None }
    }

    /// A refused subscription.
    pub(super) fn subscription(channel: &str, fault: SubscriptionFault, message: impl ToString) -> Self {
        Refusal { subscription: Some((channel.to_owned(), fault)), ..Refusal::unnumbered(message) }
    }

    /// The frames that tell the client: for a refused subscription, if so configured, one that handlers of the
    /// channel hear, and always the `pusher:error`.
    pub fn frames(&self, subscription_error_event: bool) -> impl Iterator<Item = Frame> {
        let subscription = self.subscription.as_ref().filter(|_| subscription_error_event);
        let on_channel = subscription
            .map(|(channel, fault)| server_message::subscription_error(channel, *fault, &self.message));
        on_channel.into_iter().chain([server_message::error(self.code, &self.message)])
    }
}
