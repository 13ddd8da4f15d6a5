//! The pipe clients of one app, as a listener of the hub: it queues what the hub announces for each client that wants it.

use std::cell::OnceCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use parking_lot::RwLock;
use tracing::warn;

use crate::event::Source;
use crate::hub::{AppState, Hub, Listener, Notice};
use crate::protocol::{ChannelName, CloseCode, SocketId};

use super::client::PipeClient;
use super::consumer_group::{ConsumerGroup, GroupBy, rendezvous_weight};
use super::filter::NotificationFilter;
use super::outgoing_queue::OutgoingFigures;
use super::{NotificationKind, message};

/// The clients of one app, as a listener of the hub.
#[derive(Debug, Default)]
pub(crate) struct PipeClients {
    clients: RwLock<Vec<Arc<PipeClient>>>,
    /// The kinds that any of them has subscribed to, as bits: a notice of another kind costs a look at this.
    wanted: AtomicU8,
    /// Notifications that clients have missed who are gone.
    missed_before: AtomicU64,
}

/// The error that a group is shared by another key already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupConflict {
    /// What it is shared by.
    pub(crate) by: GroupBy,
}

/// The connection and the channel that a notice is about.
#[derive(Clone, Copy, Default)]
struct NoticeSubject<'a> {
    socket_id: Option<SocketId>,
    channel: Option<&'a ChannelName>,
}

impl PipeClients {
    /// Adds a client; returns whether another one that is connected came with the same signature. `None`, and it is not
    /// added, if there are `most` already.
    pub(crate) fn add(&self, client: &Arc<PipeClient>, most: usize) -> Option<bool> {
        let mut clients = self.clients.write();
        if clients.len() >= most {
            return None;
        }
        let replayed = clients.iter().any(|other| other.signature == client.signature);
        clients.push(Arc::clone(client));
        Some(replayed)
    }

    /// Forgets a client.
    pub(crate) fn remove(&self, client: &Arc<PipeClient>) {
        let mut clients = self.clients.write();
        let before = clients.len();
        clients.retain(|other| !Arc::ptr_eq(other, client));
        if clients.len() < before {
            self.missed_before.fetch_add(client.outgoing.lock().figures().missed, Ordering::Relaxed);
        }
        self.recount(&clients);
    }

    /// Tells a client of these kinds (bits) from now on.
    ///
    /// # Errors
    /// If the group that it wants to share with is shared by another key.
    pub(crate) fn subscribe(
        &self,
        client: &PipeClient,
        kinds: u8,
        filter: NotificationFilter,
    ) -> Result<(), GroupConflict> {
        // Under the write lock, so that two that disagree cannot both come first.
        let clients = self.clients.write();
        if let Some(group) = &filter.group
            && let Some(by) = clients.iter().find_map(|other| other.group_conflict(client, group))
        {
            return Err(GroupConflict { by });
        }
        client.set_filter(kinds, Some(&Arc::new(filter)));
        self.recount(&clients);
        Ok(())
    }

    /// Tells a client of these kinds (bits) no more, also of what waits already.
    pub(crate) fn unsubscribe(&self, client: &PipeClient, kinds: u8) {
        let clients = self.clients.write();
        client.set_filter(kinds, None);
        client.outgoing.lock().forget(kinds);
        self.recount(&clients);
    }

    /// How many clients there are, and what waits for all of them; missed is what was, since the start.
    pub(super) fn figures(&self) -> (usize, OutgoingFigures) {
        let clients = self.clients.read();
        let missed = self.missed_before.load(Ordering::Relaxed);
        let mut all = OutgoingFigures { missed, ..OutgoingFigures::default() };
        for client in clients.iter() {
            let OutgoingFigures { answer_bytes, notifications, notification_bytes, missed } =
                client.outgoing.lock().figures();
            all.answer_bytes += answer_bytes;
            all.notifications += notifications;
            all.notification_bytes += notification_bytes;
            all.missed += missed;
        }
        (clients.len(), all)
    }

    /// Ends every client with this code.
    pub(crate) fn end_all(&self, code: CloseCode) {
        self.clients.read().iter().for_each(|client| client.end(code));
    }

    fn recount(&self, clients: &[Arc<PipeClient>]) {
        let wanted = clients.iter().fold(0, |bits, client| bits | client.wanted_kinds());
        self.wanted.store(wanted, Ordering::Relaxed);
    }

    fn is_wanted(&self, kind: NotificationKind) -> bool {
        self.wanted.load(Ordering::Relaxed) & kind.bit() != 0
    }

    /// Queues a notice for everyone who wants it; of each group for one.
    fn queue_for_subscribers(
        &self,
        app: &AppState,
        kind: NotificationKind,
        notice: &Notice<'_>,
        wants: impl Fn(&NotificationFilter) -> bool,
    ) {
        let texts = [OnceCell::new(), OnceCell::new()];
        let text = |client: &PipeClient| {
            let modern = client.dialect.is_modern();
            texts[usize::from(modern)].get_or_init(|| message::of_notice(notice, modern, app.id())).clone()
        };
        let queue = |client: &PipeClient| {
            let gap_begins = client.notify(kind, text(client));
            client.output_queued.notify_one();
            if gap_begins {
                warn!(app = app.id(), socket_id = %client.socket_id, "a pipe client cannot keep up");
            }
        };
        let subject = NoticeSubject::of(notice);
        let clients = self.clients.read();
        // The best of each group so far; groups are few.
        let mut chosen: Vec<(Arc<str>, u64, &PipeClient)> = Vec::new();
        for client in clients.iter() {
            let Some(filter) = client.filter(kind).filter(|filter| wants(filter)) else { continue };
            if matches!(notice, Notice::SignedIn { .. }) && !client.dialect.is_modern() {
                continue;
            }
            let Some(group) = &filter.group else {
                queue(client);
                continue;
            };
            let rendezvous_weight = rendezvous_weight(&subject.key(group), &client.socket_id.to_string());
            match chosen.iter_mut().find(|(name, ..)| *name == group.name) {
                Some(best) if best.1 >= rendezvous_weight => {}
                Some(best) => (best.1, best.2) = (rendezvous_weight, client),
                None => chosen.push((Arc::clone(&group.name), rendezvous_weight, client)),
            }
        }
        chosen.iter().for_each(|(.., client)| queue(client));
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
    fn key(&self, group: &ConsumerGroup) -> String {
        let socket = self.socket_id.map(|id| id.to_string());
        let channel = self.channel.map(ToString::to_string);
        let (first, second) = match group.by {
            GroupBy::Socket => (socket, channel),
            GroupBy::Channel => (channel, socket),
        };
        first.or(second).unwrap_or_default()
    }
}

impl Listener for PipeClients {
    fn listens(&self, channel: Option<&str>, event: &str) -> bool {
        let wants = |client: &Arc<PipeClient>| {
            client
                .filter(NotificationKind::SocketMessage)
                .is_some_and(|filter| filter.wants_message(true, channel, event))
        };
        self.is_wanted(NotificationKind::SocketMessage) && self.clients.read().iter().any(wants)
    }

    fn listens_to_clients(&self) -> bool {
        self.is_wanted(NotificationKind::SocketMessage)
    }

    fn is_idle(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) == 0
    }

    fn notice(&self, _: &Arc<Hub>, app: &Arc<AppState>, notice: &Notice<'_>) {
        let kind = match notice {
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
        };
        if !self.is_wanted(kind) {
            return;
        }
        match notice {
            Notice::Event(event) => {
                let from_client = matches!(event.source, Source::Client { .. });
                let channel = event.channel().map(ChannelName::as_str);
                self.queue_for_subscribers(app, kind, notice, |filter| {
                    filter.wants_message(from_client, channel, &event.name)
                });
            }
            _ => {
                let channel = NoticeSubject::of(notice).channel;
                // A user's own channel is a matter between the user and the broker.
                if channel.is_none_or(|channel| channel.channel_type().is_listed()) {
                    let wants = |filter: &NotificationFilter| {
                        channel.is_none_or(|c| filter.wants_channel(c.as_str()))
                    };
                    self.queue_for_subscribers(app, kind, notice, wants);
                }
            }
        }
    }
}
