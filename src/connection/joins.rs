//! `pusher:subscribe` and `pusher:unsubscribe` on a connection, and the answers to its joins.
//!
//! The connection asks for a join, and has a subscription only when it is told that the join succeeded. Until then the join
//! is pending: it can be cancelled, and what the client sends to the channel is held.

use crate::channel::{JoinRefused, Wanted};
use crate::protocol::client_message::{BadParameter, ClientMessage, MessageParameters};
use crate::protocol::event_name::{self, ClientEventKind};
use crate::protocol::{BinaryMessage, ChannelName, CloseCode, SERVER_TO_USER_PREFIX, json, server_message};

use super::pending::HeldMessage;
use super::subscribe::{self, Existing, SubscribeRequest};
use super::{Action, Answered, Connection, Join, JoinNumber, NotJoined, Refusal, client_event};

impl Connection {
    /// Subscribes to a public channel without having been asked by a message: the very first release named its
    /// channel in the URL.
    pub fn subscribe_at_connect(&mut self, channel: &str) -> Option<Action<'static>> {
        self.subscribe(Ok(MessageParameters::naming(channel)))
            .unwrap_or_else(|refusal| Some(Action::Refuse(refusal)))
    }

    /// A join that was asked for has been answered, at once or later. On success there is a subscription from now on.
    /// Returns what to do about it; that is nothing if the join has been cancelled.
    #[must_use]
    pub fn joined(
        &mut self,
        channel: &ChannelName,
        number: JoinNumber,
        result: Result<(), NotJoined>,
    ) -> Answered {
        let Some(pending) = self.pending.as_deref_mut() else { return Answered::default() };
        let Some((channel, user_id, held)) = pending.answered(channel.as_str(), number) else {
            return Answered::default();
        };
        self.drop_pending_if_empty();
        let action = match result {
            Ok(()) => {
                if channel.channel_type().needs_auth() {
                    self.authorized();
                }
                self.subscriptions.insert(channel, user_id);
                None
            }
            Err(NotJoined::Refused(reason)) => {
                let refusal = subscribe::refused(&channel, reason);
                if reason == JoinRefused::AlreadyJoined {
                    self.subscriptions.insert(channel, user_id);
                }
                Some(Action::Refuse(refusal))
            }
            Err(NotJoined::AppFull) => Some(Action::Close(CloseCode::OverQuota)),
        };
        Answered { action, held }
    }

    pub(super) fn subscribe(
        &mut self,
        parameters: Result<MessageParameters<'_>, BadParameter>,
    ) -> Result<Option<Action<'static>>, Refusal> {
        let pending = self.pending.as_deref();
        let count = self.subscriptions.len() + pending.map_or(0, |pending| pending.len());
        let existing = |name: &str| {
            if self.subscriptions.get(name).is_some() {
                Existing::Subscription
            } else if pending.is_some_and(|pending| pending.contains(name)) {
                Existing::PendingJoin
            } else {
                Existing::Nothing
            }
        };
        let request =
            subscribe::subscribe(&self.app, self.socket_id, parameters, self.user(), existing, count)?;
        let subscribe::Subscription { channel, member, rewind } = match request {
            SubscribeRequest::New(subscription) => subscription,
            SubscribeRequest::Again(channel) => {
                return Ok(Some(Action::Send(server_message::subscription_succeeded(&channel, None))));
            }
            SubscribeRequest::Pending => return Ok(None),
        };
        let authorizes = self.is_unauthorized() && channel.channel_type().needs_auth();
        self.last_join = self.last_join.next();
        let number = self.last_join;
        let user_id = member.as_ref().map(|member| member.user_id.clone());
        self.pending.get_or_insert_default().insert(channel.clone(), number, user_id);
        let wanted = rewind.map(|rewind| Box::new(Wanted::Last(rewind)));
        Ok(Some(Action::Join(Join { channel, member, authorizes, number, wanted })))
    }

    pub(super) fn unsubscribe<'m>(
        &mut self,
        parameters: Result<MessageParameters<'_>, BadParameter>,
    ) -> Result<Option<Action<'m>>, Refusal> {
        let name = subscribe::unsubscribe(parameters)?;
        if let Some((channel, _)) = self.subscriptions.remove(&name) {
            return Ok(Some(Action::Leave(channel)));
        }
        if let Some(channel) = self.pending.as_deref_mut().and_then(|pending| pending.cancel(&name)) {
            self.drop_pending_if_empty();
            return Ok(Some(Action::Leave(channel)));
        }
        if name.starts_with(SERVER_TO_USER_PREFIX) {
            // Pusher's .NET client leaves the user's own channel while it signs in again, and takes a refusal for one of
            // the subscription that it has just asked for; that ends its process.
            return Ok(None);
        }
        Err(subscribe::not_subscribed(&name))
    }

    /// Holds a message if it is an event for a channel whose join is pending; `None` if it is not.
    #[cold]
    pub(super) fn hold(
        &mut self,
        message: &ClientMessage<'_>,
        held: impl FnOnce() -> HeldMessage,
    ) -> Option<Result<(), Refusal>> {
        let channel = message.channel.and_then(json::as_string)?;
        self.hold_event(&message.event, &channel, held)
    }

    /// The same for a binary message.
    #[cold]
    pub(super) fn hold_binary(
        &mut self,
        message: &BinaryMessage<'_>,
        held: impl FnOnce() -> HeldMessage,
    ) -> Option<Result<(), Refusal>> {
        self.hold_event(message.event, message.channel?, held)
    }

    fn hold_event(
        &mut self,
        event: &str,
        channel: &str,
        held: impl FnOnce() -> HeldMessage,
    ) -> Option<Result<(), Refusal>> {
        let pending = self.pending.as_deref_mut().filter(|pending| pending.contains(channel))?;
        if event_name::kind(event) == ClientEventKind::Reserved {
            return None;
        }
        Some(pending.hold(channel, held()).map_err(|_| client_event::not_subscribed(channel)))
    }

    fn drop_pending_if_empty(&mut self) {
        if self.pending.as_deref().is_some_and(|pending| pending.len() == 0) {
            self.pending = None;
        }
    }
}
