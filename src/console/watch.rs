//! What happens in an app, told to the feed: a listener that is there only while somebody watches the app.

use std::sync::Arc;

use crate::connection::Ending;
use crate::diagnosis::Diagnosis;
use crate::event::{AcceptedEvent, Destination};
use crate::feed::{Feed, FeedDetails, FeedKind, FeedSubject, ShownCause, ShownPayload, beginning};
use crate::hub::{AppState, EventReach, Hub, Listener, Notice, Refused, UnknownAppListener};
use crate::protocol::{ChannelName, SocketId};

/// The kinds that a listener of an app tells of.
pub(super) const HEARD: [FeedKind; 6] = [
    FeedKind::Connections,
    FeedKind::Subscriptions,
    FeedKind::Members,
    FeedKind::Events,
    FeedKind::Pipe,
    FeedKind::Refusals,
];

/// Tells the feed of one app.
pub(super) struct AppWatch {
    feed: Arc<Feed>,
    app_id: String,
}

impl AppWatch {
    pub(super) fn new(feed: Arc<Feed>, app_id: &str) -> Self {
        AppWatch { feed, app_id: app_id.to_owned() }
    }

    fn tell_event(&self, app: &AppState, kind: FeedKind, event: &AcceptedEvent<'_>, hub: Option<&Hub>) {
        let (sender, to) = (event.source.socket_id(), to_socket(event));
        let subject = FeedSubject {
            channel: event.channel().map(ChannelName::as_str),
            event: Some(&event.name),
            socket: sender.or(to),
            user: event.source.user_id().map(|user_id| &**user_id),
            ..FeedSubject::in_app(kind, app.id())
        };
        self.feed.tell(&subject, || {
            let (data, kept) = ShownPayload::of(&event.data);
            let except = match event.to {
                Destination::Subscribers { except, .. } => except,
                Destination::Listeners { .. } | Destination::Connection(_) => None,
            };
            let EventReach { here, elsewhere } = app.reach(&event.to);
            let is_away = hub.and_then(Hub::bus).is_some_and(|bus| bus.is_away());
            let (reached, out_of_reach) = if is_away { (0, elsewhere) } else { (elsewhere, 0) };
            FeedDetails {
                what: if kind == FeedKind::Pipe { "sent" } else { "event" }.into(),
                channel: subject.channel.map(Into::into),
                event: Some(beginning(&event.name).into()),
                socket_id: sender.map(text_of),
                to_socket: to.map(text_of),
                except: except.map(text_of),
                user_id: subject.user.map(Into::into),
                source: Some(event.source.name().into()),
                receivers: Some(if to.is_some() { 1 } else { here + reached }),
                receivers_elsewhere: self.feed.place().filter(|_| to.is_none()).map(|_| reached),
                out_of_reach: (out_of_reach > 0).then_some(out_of_reach),
                data: Some(data),
                kept,
                ..FeedDetails::default()
            }
        });
    }
}

impl Listener for AppWatch {
    fn listens(&self, _: Option<&str>, _: &str) -> bool {
        false
    }

    fn notice(&self, hub: &Arc<Hub>, app: &Arc<AppState>, notice: &Notice<'_>) {
        match notice {
            Notice::Event(event) => self.tell_event(app, FeedKind::Events, event, Some(hub)),
            Notice::SocketOpened(socket) => {
                tell_of_socket(&self.feed, app, ("opened", *socket), None, FeedDetails::default);
            }
            Notice::SignedIn { socket_id, user_id } => {
                tell_of_socket(
                    &self.feed,
                    app,
                    ("signed_in", *socket_id),
                    Some(user_id),
                    FeedDetails::default,
                );
            }
            Notice::SocketClosed { socket_id, user_id, ending } => {
                let details = || {
                    let (code, reason) = match ending {
                        Ending::Lost => (None, "the line was lost"),
                        Ending::Left(code) => (*code, "the client left"),
                        Ending::Closed(code, reason) => (Some(code.code()), &**reason),
                    };
                    FeedDetails { code, reason: Some(reason.into()), ..FeedDetails::default() }
                };
                tell_of_socket(&self.feed, app, ("closed", *socket_id), *user_id, details);
            }
            Notice::Subscribed { channel, socket_id, user_id } => {
                tell_of_subscription(&self.feed, app, "subscribed", (channel, *socket_id, *user_id));
            }
            Notice::Unsubscribed { channel, socket_id, user_id } => {
                tell_of_subscription(&self.feed, app, "unsubscribed", (channel, *socket_id, *user_id));
            }
            Notice::ChannelOccupied(channel, _) => {
                tell_of_channel(&self.feed, app, "occupied", channel, None)
            }
            Notice::ChannelVacated(channel, _) => tell_of_channel(&self.feed, app, "vacated", channel, None),
            Notice::CacheMiss(channel, _) => tell_of_channel(&self.feed, app, "cache_miss", channel, None),
            Notice::SubscriptionCount(channel, count, _) => {
                tell_of_channel(&self.feed, app, "count", channel, Some(*count));
            }
            Notice::MemberAdded(channel, user_id, _) => {
                tell_of_member(&self.feed, app, "member_added", (channel, user_id));
            }
            Notice::MemberRemoved(channel, user_id, _) => {
                tell_of_member(&self.feed, app, "member_removed", (channel, user_id));
            }
        }
    }

    fn refused(&self, refused: &Refused<'_>) {
        tell_of_refusal(&self.feed, Some(&self.app_id), refused);
    }

    fn overheard(&self, app: &AppState, event: &AcceptedEvent<'_>) {
        self.tell_event(app, FeedKind::Pipe, event, None);
    }
}

/// Tells the feed of refusals where no app is known.
pub(super) struct StrangerWatch(pub(super) Arc<Feed>);

impl UnknownAppListener for StrangerWatch {
    fn refused(&self, refused: &Refused<'_>) {
        tell_of_refusal(&self.0, None, refused);
    }
}

/// Why it was refused, as far as that was proved.
fn cause(diagnosis: &Diagnosis) -> ShownCause {
    ShownCause { name: diagnosis.name().into(), sentence: diagnosis.sentence().into() }
}

fn text_of(socket: SocketId) -> Box<str> {
    socket.to_string().into()
}

/// The one connection that an event is for.
fn to_socket(event: &AcceptedEvent<'_>) -> Option<SocketId> {
    match event.to {
        Destination::Connection(socket) => Some(socket),
        Destination::Subscribers { .. } | Destination::Listeners { .. } => None,
    }
}

fn tell_of_socket(
    feed: &Feed,
    app: &AppState,
    (what, socket): (&'static str, SocketId),
    user: Option<&str>,
    details: impl FnOnce() -> FeedDetails,
) {
    let subject =
        FeedSubject { socket: Some(socket), user, ..FeedSubject::in_app(FeedKind::Connections, app.id()) };
    feed.tell(&subject, || FeedDetails {
        what: what.into(),
        socket_id: Some(text_of(socket)),
        user_id: user.map(Into::into),
        ..details()
    });
}

fn tell_of_subscription(
    feed: &Feed,
    app: &AppState,
    what: &'static str,
    (channel, socket, user): (&ChannelName, SocketId, Option<&str>),
) {
    let subject = FeedSubject {
        channel: Some(channel.as_str()),
        socket: Some(socket),
        user,
        ..FeedSubject::in_app(FeedKind::Subscriptions, app.id())
    };
    feed.tell(&subject, || FeedDetails {
        what: what.into(),
        channel: Some(channel.as_str().into()),
        socket_id: Some(text_of(socket)),
        user_id: user.map(Into::into),
        ..FeedDetails::default()
    });
}

fn tell_of_channel(
    feed: &Feed,
    app: &AppState,
    what: &'static str,
    channel: &ChannelName,
    count: Option<usize>,
) {
    let subject = FeedSubject {
        channel: Some(channel.as_str()),
        ..FeedSubject::in_app(FeedKind::Subscriptions, app.id())
    };
    let details = || FeedDetails {
        what: what.into(),
        channel: Some(channel.as_str().into()),
        count,
        ..FeedDetails::default()
    };
    feed.tell(&subject, details);
}

fn tell_of_member(feed: &Feed, app: &AppState, what: &'static str, (channel, user): (&ChannelName, &str)) {
    let subject = FeedSubject {
        channel: Some(channel.as_str()),
        user: Some(user),
        ..FeedSubject::in_app(FeedKind::Members, app.id())
    };
    feed.tell(&subject, || FeedDetails {
        what: what.into(),
        channel: Some(channel.as_str().into()),
        user_id: Some(user.into()),
        ..FeedDetails::default()
    });
}

/// Tells of a refusal. What was asked for may be as long as a request may be, so only its beginning is shown.
fn tell_of_refusal(feed: &Feed, app: Option<&str>, refused: &Refused<'_>) {
    let shown = |text: &str| -> Box<str> { beginning(text).into() };
    let subject = FeedSubject { app, ..FeedSubject::of(FeedKind::Refusals) };
    match refused {
        Refused::ClientMessage { socket_id, refusal, diagnosis } => {
            let channel = refusal.subscription.as_ref().map(|(channel, _)| channel.as_str());
            let subject = FeedSubject { channel, socket: Some(*socket_id), ..subject };
            feed.tell(&subject, || FeedDetails {
                what: "message".into(),
                socket_id: Some(text_of(*socket_id)),
                channel: channel.map(shown),
                code: refusal.code.code(),
                reason: Some(shown(&refusal.message)),
                cause: diagnosis.map(cause),
                ..FeedDetails::default()
            });
        }
        Refused::Connection { key, code, reason, diagnosis } => feed.tell(&subject, || FeedDetails {
            what: "connection".into(),
            key: key.map(shown),
            code: Some(code.code()),
            reason: Some(shown(reason)),
            cause: diagnosis.map(cause),
            ..FeedDetails::default()
        }),
        Refused::Request { method, path, status, reason, diagnosis } => feed.tell(&subject, || FeedDetails {
            what: "request".into(),
            method: Some(shown(method)),
            path: Some(shown(path)),
            status: Some(*status),
            reason: Some(shown(reason)),
            cause: diagnosis.map(cause),
            ..FeedDetails::default()
        }),
    }
}
