//! A notice on its way to the backends that want to hear of it: its kind, what it is about, and its texts.

use std::cell::OnceCell;
use std::sync::Arc;

use bytes::Bytes;
use tracing::warn;

use crate::event::{ConsumerGroup, GroupBy, NotificationFilter, NotificationKind, Source};
use crate::hub::{AppState, Notice};
use crate::protocol::{ChannelName, SocketId};

use super::client::PipeClient;
use super::message;

/// A notice, and what is made of it once.
pub(super) struct Notification<'n> {
    app: &'n AppState,
    pub(super) notice: &'n Notice<'n>,
    pub(super) kind: NotificationKind,
    pub(super) subject: NoticeSubject<'n>,
    /// As notifications of the original protocol and of this broker's own.
    texts: [OnceCell<Bytes>; 2],
}

/// The connection and the channel that a notice is about.
#[derive(Clone, Copy, Default)]
pub(super) struct NoticeSubject<'a> {
    socket_id: Option<SocketId>,
    channel: Option<&'a ChannelName>,
}

impl<'n> Notification<'n> {
    pub(super) fn new(app: &'n AppState, notice: &'n Notice<'n>) -> Self {
        let (kind, subject) = (kind_of(notice), NoticeSubject::of(notice));
        Notification { app, notice, kind, subject, texts: [OnceCell::new(), OnceCell::new()] }
    }

    /// Whether a filter of its kind lets it through.
    pub(super) fn passes(&self, filter: &NotificationFilter) -> bool {
        let channel = self.subject.channel;
        match self.notice {
            Notice::Event(event) => {
                let from_client = matches!(event.source, Source::Client { .. });
                filter.wants_message(from_client, channel.map(ChannelName::as_str), &event.name)
            }
            // A user's own channel is a matter between the user and the broker.
            _ => channel.is_none_or(|channel| {
                channel.channel_type().is_listed() && filter.wants_channel(channel.as_str())
            }),
        }
    }

    /// The filter of a client that lets it through, if it wants to hear of it.
    pub(super) fn filter_of(&self, client: &PipeClient) -> Option<Arc<NotificationFilter>> {
        let is_known = client.dialect.is_modern() || !matches!(self.notice, Notice::SignedIn { .. });
        client.filter(self.kind).filter(|filter| is_known && self.passes(filter))
    }

    /// Queues it for a client.
    pub(super) fn queue(&self, client: &PipeClient) {
        let modern = client.dialect.is_modern();
        let text = || message::of_notice(self.notice, modern, self.app.id());
        let text = self.texts[usize::from(modern)].get_or_init(text).clone();
        let gap_begins = client.notify(self.kind, text);
        client.output_queued.notify_one();
        if gap_begins {
            warn!(app = self.app.id(), socket_id = %client.socket_id, "a pipe client cannot keep up");
        }
    }
}

impl<'a> NoticeSubject<'a> {
    fn of(notice: &Notice<'a>) -> Self {
        let (socket_id, channel) = match notice {
            Notice::Event(event) => (event.source.socket_id(), event.channel()),
            Notice::SocketOpened(socket_id)
            | Notice::SignedIn { socket_id, .. }
            | Notice::SocketClosed { socket_id, .. } => (Some(*socket_id), None),
            Notice::Subscribed { channel, socket_id, .. }
            | Notice::Unsubscribed { channel, socket_id, .. } => (Some(*socket_id), Some(*channel)),
            Notice::ChannelOccupied(channel, _)
            | Notice::ChannelVacated(channel, _)
            | Notice::CacheMiss(channel, _)
            | Notice::SubscriptionCount(channel, _, _)
            | Notice::MemberAdded(channel, _, _)
            | Notice::MemberRemoved(channel, _, _) => (None, Some(*channel)),
        };
        NoticeSubject { socket_id, channel }
    }

    /// What decides which member of a group is called.
    pub(super) fn key(&self, group: &ConsumerGroup) -> String {
        let socket = self.socket_id.map(|id| id.to_string());
        let channel = self.channel.map(ToString::to_string);
        let (first, second) = match group.by {
            GroupBy::Socket => (socket, channel),
            GroupBy::Channel => (channel, socket),
        };
        first.or(second).unwrap_or_default()
    }
}

fn kind_of(notice: &Notice<'_>) -> NotificationKind {
    match notice {
        Notice::Event(_) => NotificationKind::SocketMessage,
        Notice::SocketOpened(_) | Notice::SignedIn { .. } | Notice::SocketClosed { .. } => {
            NotificationKind::SocketExistence
        }
        Notice::ChannelOccupied(..)
        | Notice::ChannelVacated(..)
        | Notice::CacheMiss(..)
        | Notice::SubscriptionCount(..) => NotificationKind::ChannelExistence,
        Notice::Subscribed { .. } | Notice::Unsubscribed { .. } => NotificationKind::Subscription,
        Notice::MemberAdded(..) | Notice::MemberRemoved(..) => NotificationKind::Presence,
    }
}
