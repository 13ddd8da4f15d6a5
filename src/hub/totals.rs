//! Everything that a hub holds, in numbers: so that a test can see that nothing is left of who has gone.

use super::AppState;

/// What a hub holds at one moment, over all its apps and workers, removed apps that are not gone yet among them.
///
/// While things happen, the figures are of slightly different moments. When everybody has gone, every one returns to
/// zero: `cached_events` and `history_events` when they have expired, `timers` within two ticks of the workers' clocks (a second each, or
/// less where the heartbeat is short), all others at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Connections that have a place.
    pub connections: usize,
    /// Connections that a worker writes to. The same, but in between.
    pub clients: usize,
    /// Channels that anything is known of: somebody is subscribed, on this node or on another, or an event is remembered.
    pub channels: usize,
    /// Subscriptions of this node's connections, as the channels know them.
    pub subscriptions: usize,
    /// Subscriptions, as the workers know them. The same, but in between.
    pub local_subscriptions: usize,
    /// Joins that wait for an engine, and answers to such that no connection has taken.
    pub waiting_joins: usize,
    /// Distinct members of presence channels on all nodes, channel by channel.
    pub members: usize,
    /// This node's connections of these members, channel by channel.
    pub member_connections: usize,
    /// Users who are signed in on this node.
    pub users: usize,
    /// Users whom somebody watches.
    pub watched_users: usize,
    /// Events that cache channels remember.
    pub cached_events: usize,
    /// Bytes of these.
    pub cached_bytes: usize,
    /// Events that channels keep for those who come back or later.
    pub history_events: usize,
    /// Bytes that these count as, and the channels that are known for the sake of their histories.
    pub history_bytes: usize,
    /// Times at which a worker will look after something.
    pub timers: usize,
    /// Bytes of commands between workers that have not been read.
    pub command_bytes: usize,
    /// Apps that were removed and whose connections are not gone yet.
    pub removed_apps: usize,
}

impl Totals {
    /// Adds what one app holds.
    pub(super) fn add_app(&mut self, app: &AppState) {
        for entry in &app.channels {
            self.channels += 1;
            self.subscriptions += entry.subscribers().count();
            self.members += entry.presence().map_or(0, |presence| presence.user_count());
            self.member_connections += entry.subscribers().member_connections();
        }
        let (users, watched_users) = app.users.counts();
        self.users += users;
        self.watched_users += watched_users;
        let (events, bytes) = app.cache.lock().size();
        self.cached_events += events;
        self.cached_bytes += bytes;
        let (events, bytes, _) = app.histories.sizes();
        self.history_events += events;
        self.history_bytes += bytes;
    }

    /// Adds what one worker holds.
    pub(super) fn add_worker(&mut self, worker: Totals) {
        self.clients += worker.clients;
        self.local_subscriptions += worker.local_subscriptions;
        self.timers += worker.timers;
        self.waiting_joins += worker.waiting_joins;
    }
}
