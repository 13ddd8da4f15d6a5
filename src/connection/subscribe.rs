//! `pusher:subscribe` and `pusher:unsubscribe`.

use crate::app::App;
use crate::auth::channel::{ChannelAuthError, authorise};
use crate::channel::{BadMember, JoinRefused, Member};
use crate::diagnosis::SignedFor;
use crate::protocol::client_message::{BadParameter, MessageParameters, SubscriptionParameters};
use crate::protocol::server_message::SubscriptionFault;
use crate::protocol::{ChannelName, ChannelType, Rewind, SocketId, quote};

use super::{Refusal, SignedInUser};

/// A request that passed every check but the ones that only the channel can make.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) channel: ChannelName,
    pub(super) member: Option<Member>,
    /// How much of the channel's history is wanted, if any.
    pub(super) rewind: Option<Rewind>,
}

/// What a request asks for.
#[derive(Debug)]
pub(super) enum SubscribeRequest {
    New(Subscription),
    /// The user's own channel, which is subscribed: libraries ask again after a second sign-in.
    Again(ChannelName),
    /// The user's own channel, whose join is pending: its answer will do for both.
    Pending,
}

/// What a connection has of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Existing {
    Nothing,
    PendingJoin,
    Subscription,
}

/// Reads and checks a `pusher:subscribe`. `existing` tells what the connection has of a channel, and `subscriptions` is how
/// many it has or has asked for.
pub(super) fn subscribe(
    app: &App,
    socket_id: SocketId,
    parameters: Result<MessageParameters<'_>, BadParameter>,
    user: Option<&SignedInUser>,
    existing: impl Fn(&str) -> Existing,
    subscriptions: usize,
) -> Result<SubscribeRequest, Refusal> {
    let parameters = parameters.map_err(Refusal::unnumbered)?;
    let SubscriptionParameters { channel: name, auth, channel_data, rewind } =
        parameters.subscription().map_err(Refusal::unnumbered)?;
    let name = name.ok_or_else(|| Refusal::unnumbered(BadParameter::Missing("channel")))?;
    let refuse = |fault, message: &dyn ToString| Refusal::subscription(&name, fault, message.to_string());

    let channel = ChannelName::parse(&name, app.limits.channel_name_chars).map_err(|reason| {
        refuse(SubscriptionFault::Format, &format!("Invalid channel name: {} ({reason})", quote(&name)))
    })?;
    let channel_type = channel.channel_type();
    if channel_type == ChannelType::ServerToUser && user.is_none_or(|user| user.channel != channel) {
        return Err(refuse(SubscriptionFault::Auth, &format!("Not authorized to subscribe to {channel}")));
    }
    match existing(&name) {
        Existing::Nothing => {}
        Existing::Subscription if channel_type == ChannelType::ServerToUser => {
            return Ok(SubscribeRequest::Again(channel));
        }
        Existing::PendingJoin if channel_type == ChannelType::ServerToUser => {
            return Ok(SubscribeRequest::Pending);
        }
        Existing::Subscription | Existing::PendingJoin => {
            return Err(refused(&channel, JoinRefused::AlreadyJoined));
        }
    }
    let limit = app.limits.subscriptions_per_connection;
    if limit > 0 && subscriptions >= limit {
        let message =
            format!("Cannot subscribe to {channel}: {limit} subscriptions per connection are allowed");
        return Err(refuse(SubscriptionFault::Limit, &message));
    }
    if channel_type.needs_auth() {
        authorise(app, socket_id, &channel, auth.as_deref(), channel_data.as_deref())
            .map_err(|error| unauthorised(&channel, &error, auth.as_deref(), channel_data.as_deref()))?;
    }
    let member = if channel_type.is_presence() {
        Some(member(app, &channel, channel_data.as_deref(), user)?)
    } else {
        None
    };
    let rewind = match rewind {
        Some(rewind) => {
            Some(Rewind::parse(rewind.get()).map_err(|reason| refuse(SubscriptionFault::Format, &reason))?)
        }
        None => None,
    };
    Ok(SubscribeRequest::New(Subscription { channel, member, rewind }))
}

/// The refusal of a signature.
#[cold]
fn unauthorised(
    channel: &ChannelName,
    error: &ChannelAuthError,
    auth: Option<&str>,
    channel_data: Option<&str>,
) -> Refusal {
    let refusal = Refusal::subscription(channel.as_str(), SubscriptionFault::Auth, error);
    let channel_data = channel_data.map(str::to_owned);
    let of = SignedFor::Subscription { channel: channel.clone(), channel_data };
    match auth.filter(|auth| !auth.is_empty()) {
        Some(auth) => refusal.of_signature(auth, of),
        None => refusal,
    }
}

/// Who joins: the one that `channel_data` names, or else the one that is signed in.
fn member(
    app: &App,
    channel: &ChannelName,
    channel_data: Option<&str>,
    user: Option<&SignedInUser>,
) -> Result<Member, Refusal> {
    let parsed = match (channel_data, user) {
        (Some(data), _) => Member::parse(data, &app.limits),
        (None, Some(user)) => Ok(user.member.clone()),
        (None, None) => Err(BadMember::Invalid),
    };
    parsed.map_err(|error| {
        let (fault, message) = match error {
            BadMember::Invalid => (SubscriptionFault::Format, format!("{error} {channel}")),
            BadMember::InfoNotAnObject => (SubscriptionFault::Format, error.to_string()),
            BadMember::TooLarge => (SubscriptionFault::Limit, format!("{error} {channel}")),
        };
        Refusal::subscription(channel.as_str(), fault, message)
    })
}

/// The refusal that the channel itself decided on.
pub(super) fn refused(channel: &ChannelName, reason: JoinRefused) -> Refusal {
    match reason {
        JoinRefused::OverCapacity => {
            let message = format!("Presence channel {channel} is over capacity");
            Refusal::subscription(channel.as_str(), SubscriptionFault::Limit, message)
        }
        JoinRefused::AlreadyJoined => {
            Refusal::unnumbered(format!("Existing subscription to channel {channel}"))
        }
    }
}

/// Reads a `pusher:unsubscribe`.
pub(super) fn unsubscribe(
    parameters: Result<MessageParameters<'_>, BadParameter>,
) -> Result<String, Refusal> {
    let parameters = parameters.map_err(Refusal::unnumbered)?;
    let [name] = parameters.strings(["channel"]).map_err(Refusal::unnumbered)?;
    Ok(name.ok_or_else(|| Refusal::unnumbered(BadParameter::Missing("channel")))?.into_owned())
}

/// The refusal of an unsubscription from what is not subscribed.
pub(super) fn not_subscribed(name: &str) -> Refusal {
    let message = format!("No current subscription to channel {}, or subscription in progress", quote(name));
    Refusal::unnumbered(message)
}
