//! What a client is told of a command that was not carried out.

use std::sync::Arc;

use crate::diagnosis::{DisputedAuth, SignedFor};
use crate::protocol::server_message::{self, SubscriptionFault};
use crate::protocol::{ErrorCode, Frame};

/// Something was not done, and the connection stays open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The number of the `pusher:error`.
    pub code: ErrorCode,
    /// Its text.
    pub message: String,
    /// For a refused subscription: the channel as the client named it, and the kind of fault.
    pub subscription: Option<(String, SubscriptionFault)>,
    /// The signature that was not taken, if that is why.
    pub disputed: Option<Box<DisputedAuth>>,
}

impl Refusal {
    /// An error without a number, the ordinary kind.
    pub(crate) fn unnumbered(message: impl ToString) -> Self {
        Refusal {
            code: ErrorCode::Unnumbered,
            message: message.to_string(),
            subscription: None,
            disputed: None,
        }
    }

    /// A client event over a limit.
    pub(super) fn client_event(message: impl ToString) -> Self {
        Refusal { code: ErrorCode::ClientEventRejected, ..Refusal::unnumbered(message) }
    }

    /// A message of a track that is not taken.
    pub(crate) fn track(message: impl std::fmt::Display) -> Self {
        Refusal::unnumbered(format!("Track message rejected: {message}"))
    }

    /// A watchlist of which only these count.
    pub(super) fn watchlist(accepted: &[Arc<str>]) -> Self {
        let limit = accepted.len();
        let message = format!(
            "Watchlist limit exceeded. Only the first {limit} user IDs are accepted: {}",
            accepted.join(", ")
        );
        Refusal { code: ErrorCode::WatchlistTooLong, ..Refusal::unnumbered(message) }
    }

    /// A refused subscription.
    pub(super) fn subscription(channel: &str, fault: SubscriptionFault, message: impl ToString) -> Self {
        Refusal { subscription: Some((channel.to_owned(), fault)), ..Refusal::unnumbered(message) }
    }

    /// The same, because this was not signed as it has to be.
    #[cold]
    pub(super) fn of_signature(mut self, auth: &str, of: SignedFor) -> Self {
        self.disputed = Some(Box::new(DisputedAuth { auth: auth.to_owned(), of }));
        self
    }

    /// The same in other words.
    pub(crate) fn in_words(&self, message: &str) -> Self {
        Refusal { message: message.to_owned(), ..self.clone() }
    }

    /// The frames that tell the client: for a refused subscription, if so configured, one that handlers of the
    /// channel hear, and always the `pusher:error`. What it came from, as far as it may be told, is added where hosted
    /// Pusher's own words stay as they are.
    pub(crate) fn frames(
        &self,
        subscription_error_event: bool,
        cause: Option<&str>,
    ) -> impl Iterator<Item = Frame> {
        let subscription = self.subscription.as_ref().filter(|_| subscription_error_event);
        let on_channel = subscription.map(|(channel, fault)| {
            server_message::subscription_error(channel, *fault, &self.message, cause)
        });
        let error = match cause {
            Some(cause) if self.subscription.is_none() => {
                server_message::error(self.code, &format!("{} ({cause})", self.message))
            }
            _ => server_message::error(self.code, &self.message),
        };
        on_channel.into_iter().chain([error])
    }
}
