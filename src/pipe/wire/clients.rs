//! The pipe clients of one app, as a listener of the hub: it queues what the hub announces for each client that wants it,
//! and has it carried to those of other nodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use parking_lot::RwLock;

use crate::event::{BackendDemand, ConsumerGroup, GroupBy, NotificationFilter, NotificationKind};
use crate::hub::{AppState, Bus, DemandsElsewhere, Hub, Listener, Notice, OutgoingNotice};
use crate::protocol::{CloseCode, SocketId};

use super::Dialect;
use super::client::PipeClient;
use super::election::{Candidate, Election};
use super::notification::Notification;
use super::outgoing_queue::OutgoingFigures;

/// The clients of one app, as a listener of the hub.
#[derive(Debug, Default)]
pub(crate) struct PipeClients {
    clients: RwLock<Vec<Arc<PipeClient>>>,
    /// The kinds that any of them has subscribed to, as bits: a notice of another kind costs a look at this.
    wanted: AtomicU8,
    /// Notifications that clients have missed who are gone.
    missed_before: AtomicU64,
}

/// One client, and what waits for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BackendFigures {
    pub(crate) socket_id: SocketId,
    pub(crate) dialect: Dialect,
    pub(crate) outgoing: OutgoingFigures,
}

/// The error that a group is shared by another key already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupConflict {
    /// What it is shared by.
    pub(crate) by: GroupBy,
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
        app: &AppState,
        client: &PipeClient,
        kinds: u8,
        filter: NotificationFilter,
    ) -> Result<(), GroupConflict> {
        // Under the write lock, so that two that disagree cannot both come first.
        let clients = self.clients.write();
        if let Some(group) = &filter.group {
            let here = || clients.iter().find_map(|other| other.group_conflict(client, group));
            let elsewhere = || app.group_elsewhere(&group.name).filter(|by| *by != group.by);
            if let Some(by) = here().or_else(elsewhere) {
                return Err(GroupConflict { by });
            }
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

    /// Tells the bus, if there is one, what they want to hear of other nodes.
    pub(super) fn tell_demand(&self, app: &AppState, bus: Option<&Arc<dyn Bus>>) {
        let Some(bus) = bus else { return };
        // Under the write lock, so that it is told in the order in which it changes.
        let clients = self.clients.write();
        let wanted = clients.iter().flat_map(|client| {
            let filter = |kind| Some((client.socket_id, kind, client.filter(kind)?));
            NotificationKind::ALL.into_iter().filter_map(filter)
        });
        let wanted: Vec<_> = wanted.collect();
        bus.listen(
            app,
            BackendDemand::of(wanted.iter().map(|(socket, kind, filter)| (*socket, *kind, filter))),
        );
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

    /// What waits for each of the first clients, so many at the most.
    pub(super) fn each(&self, most: usize) -> Vec<BackendFigures> {
        let clients = self.clients.read();
        let figures = |client: &Arc<PipeClient>| BackendFigures {
            socket_id: client.socket_id,
            dialect: client.dialect,
            outgoing: client.outgoing.lock().figures(),
        };
        clients.iter().take(most).map(figures).collect()
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

    /// Queues a notice for those clients who want it and share it with nobody. Those of groups stand for election, where
    /// their group is called.
    fn queue_for<'c>(
        clients: &'c [Arc<PipeClient>],
        notification: &Notification<'_>,
        election: &mut Election<'c>,
        is_called: impl Fn(&ConsumerGroup) -> bool,
    ) {
        for client in clients {
            let Some(filter) = notification.filter_of(client) else { continue };
            match &filter.group {
                None => notification.queue(client),
                Some(group) if is_called(group) => {
                    election.stand(group, client.socket_id, Candidate::Here(client));
                }
                Some(_) => {}
            }
        }
    }

    /// The clients of other nodes who want to hear of a notice stand for election, unless they cannot be reached. Returns
    /// whether some of them share it with nobody.
    fn ask_elsewhere(
        demands: &DemandsElsewhere,
        notification: &Notification<'_>,
        election: &mut Election<'_>,
        is_away: bool,
    ) -> bool {
        let mut is_wanted = false;
        for (node, demand) in demands {
            let wishes = demand.of_kind(notification.kind);
            for wish in wishes.filter(|wish| notification.passes(&wish.filter)) {
                match wish.group() {
                    None => is_wanted = true,
                    Some(_) if is_away => is_wanted |= !wish.members.is_empty(),
                    Some(group) => {
                        let stand =
                            |member: &SocketId| election.stand(group, *member, Candidate::There(*node));
                        wish.members.iter().for_each(stand);
                    }
                }
            }
        }
        is_wanted
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

    fn notice(&self, hub: &Arc<Hub>, app: &Arc<AppState>, notice: &Notice<'_>) {
        let notification = Notification::new(app, notice);
        let elsewhere = app.demands_elsewhere(notification.kind);
        let elsewhere = hub.bus().zip(elsewhere);
        if !self.is_wanted(notification.kind) && elsewhere.is_none() {
            return;
        }
        let clients = self.clients.read();
        let mut election = Election::new(notification.subject);
        PipeClients::queue_for(&clients, &notification, &mut election, |_| true);
        let is_wanted_elsewhere = elsewhere.as_ref().is_some_and(|(bus, demands)| {
            PipeClients::ask_elsewhere(demands, &notification, &mut election, bus.is_away())
        });
        let mut groups = Vec::new();
        for (group, candidate) in election.chosen() {
            match candidate {
                Candidate::Here(client) => notification.queue(client),
                Candidate::There(node) => groups.push((node, group)),
            }
        }
        // What has an origin, every node announces.
        if let Some((bus, _)) = elsewhere
            && (is_wanted_elsewhere || !groups.is_empty())
            && notice.origin().is_none()
        {
            bus.carry_notice(&OutgoingNotice { app, notice, groups: &groups });
        }
    }

    fn bus_came(&self, hub: &Hub, app: &AppState) {
        self.tell_demand(app, hub.bus().as_ref());
    }

    fn notice_elsewhere(&self, app: &AppState, notice: &Notice<'_>, groups: &[Arc<str>]) {
        let notification = Notification::new(app, notice);
        if !self.is_wanted(notification.kind) {
            return;
        }
        let clients = self.clients.read();
        let mut election = Election::new(notification.subject);
        let is_called = |group: &ConsumerGroup| groups.contains(&group.name);
        PipeClients::queue_for(&clients, &notification, &mut election, is_called);
        for (_, candidate) in election.chosen() {
            if let Candidate::Here(client) = candidate {
                notification.queue(client);
            }
        }
    }
}

#[cfg(test)]
mod tests;
