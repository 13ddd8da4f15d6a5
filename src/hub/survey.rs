//! Asking a hub what it holds and has counted, for the metrics: what is shared is read by whoever asks, and what only a
//! worker knows is asked of it, in pieces.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::protocol::CloseCode;

use super::counters::{AppCounts, AppFigures, AppUsage, RefusalKind, WorkerCounters};
use super::mailbox::WorkerCommand;
use super::{AppState, Apps, Hub};

impl Hub {
    /// What an app holds. Its map of channels is walked part by part, each under its own lock for reading, which takes as
    /// long as a list of channels does: not to be called on a worker's thread.
    pub(crate) fn figures_of(&self, app: &AppState) -> AppFigures {
        let (cached_events, cached_bytes, missed_channels) = app.cache.lock().sizes();
        let (history_events, history_bytes, history_channels) = app.histories.sizes();
        let (users, watched_users) = app.users.counts();
        let connections = self.sockets.count_of(app.index());
        let mut figures = AppFigures {
            connections,
            cached_events,
            cached_bytes,
            history_events,
            history_bytes,
            history_channels,
            missed_channels,
            users,
            watched_users,
            ..AppFigures::default()
        };
        for entry in app.channels.iter().filter(|entry| !entry.is_vacant()) {
            figures.subscriptions += entry.subscribers().count();
            figures.members += entry.presence().map_or(0, |presence| presence.user_count());
            figures.channels[entry.key().channel_type() as usize] += 1;
        }
        figures
    }

    /// The counts of apps that are not among these, because they were removed, those with connections yet included. `now`
    /// are those that there were a moment ago: with their own counts, this is never less than it was.
    pub(crate) fn departed_counts(&self, now: &Apps) -> AppCounts {
        // Held, so that none of them departs between the two.
        let removed = self.apps.removed();
        let mut counts = self.counters.departed();
        let is_among = |app: &Arc<AppState>| now.by_id(app.id()).is_some_and(|same| Arc::ptr_eq(same, app));
        removed.iter().filter(|app| !is_among(app)).for_each(|app| counts.add(&app.counts()));
        counts
    }

    /// What each app has used since this was last asked, by its id; also what was used by apps that have gone since then.
    pub(crate) fn take_usage(&self) -> BTreeMap<String, AppUsage> {
        let mut taken = self.counters.take_departed_usage();
        let apps = self.apps();
        let removed = self.apps.removed();
        for app in apps.iter().chain(&removed) {
            let peak = self.sockets.take_peak(app.index(), &app.counters.peak);
            let usage = app.counters.take_usage(peak);
            if !usage.is_nothing() {
                taken.entry(app.id().to_owned()).or_default().add(&usage);
            }
        }
        taken
    }

    /// Apps that were removed and whose connections are not gone yet.
    pub(crate) fn removed_apps(&self) -> usize {
        self.apps.removed().len()
    }

    /// A backend that wanted to open a pipe was refused.
    pub(crate) fn count_refused_backend(&self, code: CloseCode) {
        self.refusals.add_backend(code.code());
    }

    /// What has been refused.
    pub(crate) fn refusals(&self) -> BTreeMap<RefusalKind, u64> {
        self.refusals.read()
    }

    /// Each worker's own counts, with the bytes of commands that it has not read.
    pub(crate) fn workers(&self) -> impl Iterator<Item = (&Arc<WorkerCounters>, usize)> {
        self.counters.workers().iter().zip(self.mailboxes.iter().map(|mailbox| mailbox.unread_bytes()))
    }

    /// Has every worker that has started look at its connections, and waits until they have; a worker that has not
    /// answered the last time is not asked again before.
    pub(crate) async fn survey(&self) {
        let (asked, mut done) = mpsc::channel(1);
        for (worker, counters) in self.mailboxes.started().into_iter().zip(self.counters.workers()) {
            if let Some(mailbox) = worker.filter(|_| counters.ask_survey()) {
                mailbox.post(WorkerCommand::Survey { asked: asked.clone() });
            }
        }
        drop(asked);
        // Nothing is ever sent; it ends when the last survey is done.
        done.recv().await;
    }
}
