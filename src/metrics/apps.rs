//! What there is of each app, and what has happened in it.

use std::borrow::Cow;
use std::sync::Arc;

use crate::hub::{AppCounts, AppFigures, AppState, Hub};

use super::catalogue as is;
use super::snapshot::Snapshot;

/// Apps that are told one by one. Test mode makes as many as it is asked to; where there are more than this, every metric
/// has one series for all of them, whose `app_id` is empty.
pub(super) const MOST_APPS: usize = 1000;

/// The sources of events, in the order in which they are counted.
const SOURCES: [&str; 3] = ["client", "http", "pipe"];

/// Tells what the apps have that there are now. Of those that were removed, only the sum of all apps knows.
pub(super) fn collect(hub: &Hub, snapshot: &mut Snapshot) {
    let now = hub.apps();
    let mut apps: Vec<&Arc<AppState>> = now.iter().collect();
    apps.sort_by_key(|app| app.id());
    let numbers = apps.iter().map(|app| (app.id(), hub.figures_of(app), app.counts()));
    if apps.len() <= MOST_APPS {
        numbers.for_each(|(id, figures, counts)| tell(id, &figures, &counts, snapshot));
        return;
    }
    let (mut figures, mut counts) = (AppFigures::default(), hub.departed_counts(&now));
    for (_, of_app, counts_of_app) in numbers {
        figures.add(&of_app);
        counts.add(&counts_of_app);
    }
    tell("", &figures, &counts, snapshot);
}

fn tell(id: &str, figures: &AppFigures, counts: &AppCounts, snapshot: &mut Snapshot) {
    let id = || Cow::from(id.to_owned());
    let gauges = [
        (is::CONNECTIONS, figures.connections),
        (is::SUBSCRIPTIONS, figures.subscriptions),
        (is::MEMBERS, figures.members),
        (is::USERS, figures.users),
        (is::WATCHED_USERS, figures.watched_users),
        (is::CACHED_EVENTS, figures.cached_events),
        (is::CACHED_BYTES, figures.cached_bytes),
        (is::HISTORY_EVENTS, figures.history_events),
        (is::HISTORY_BYTES, figures.history_bytes),
        (is::HISTORY_CHANNELS, figures.history_channels),
        (is::MISSED_CHANNELS, figures.missed_channels),
    ];
    for (metric, value) in gauges {
        snapshot.tell_of(metric, [id()], value);
    }
    for (channel_type, count) in figures.channels() {
        snapshot.tell_of(is::CHANNELS, [id(), channel_type.name().into()], count);
    }
    let counters = [
        (is::CONNECTIONS_OPENED, counts.opened),
        (is::MESSAGES_RECEIVED, counts.messages_received),
        (is::MESSAGES_SENT, counts.messages_sent),
        (is::BYTES_RECEIVED, counts.bytes_received),
        (is::BYTES_SENT, counts.bytes_sent),
        (is::CONFLATED, counts.conflated),
        (is::API_REQUESTS, counts.http_requests),
        (is::API_BYTES_RECEIVED, counts.http_bytes_received),
        (is::API_BYTES_SENT, counts.http_bytes_sent),
        (is::PIPE_REQUESTS_REFUSED, counts.pipe_requests_refused),
        (is::PACED_OUT, counts.paced_out),
    ];
    for (metric, value) in counters {
        snapshot.tell_of(metric, [id()], value);
    }
    for (source, count) in SOURCES.into_iter().zip(counts.events) {
        snapshot.tell_of(is::EVENTS, [id(), source.into()], count);
    }
    for (code, count) in &counts.ended {
        let code = if *code == 0 { "other".into() } else { code.to_string().into() };
        snapshot.tell_of(is::CONNECTIONS_ENDED, [id(), code], *count);
    }
}
