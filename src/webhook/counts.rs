//! Counts what became of the webhooks of one app, and tells what waits.

use std::time::Duration;

use crate::hub::Counter;

/// What became of the webhooks of one app since it has had any, whatever has been changed about its endpoints.
#[derive(Debug, Default)]
pub(crate) struct WebhookCounts {
    /// Requests that an endpoint took, and those that it did not.
    pub(crate) requests_taken: Counter,
    pub(crate) requests_failed: Counter,
    /// Events, each for each endpoint that wanted it: delivered, given up, and dropped because too many waited.
    pub(crate) delivered: Counter,
    pub(crate) given_up: Counter,
    pub(crate) dropped: Counter,
    /// Events that came faster than they could be sorted.
    pub(crate) lost: Counter,
    /// Events that another node of the cluster tells, each for each endpoint that wanted it.
    pub(crate) elsewhere: Counter,
}

/// The webhooks of one app at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct WebhookFigures {
    /// Requests and events, in the order of [`WebhookCounts`].
    pub(crate) requests: [u64; 2],
    pub(crate) events: [u64; 5],
    /// Events that wait for endpoints or are under way to them, and their bytes.
    pub(crate) waiting: usize,
    pub(crate) waiting_bytes: usize,
    /// For how long the oldest of them has waited.
    pub(crate) oldest: Duration,
    /// Events that have not been sorted.
    pub(crate) unsorted: usize,
    /// Removals that are held back.
    pub(crate) held: usize,
}

impl WebhookFigures {
    /// Those of an app of which nothing waits.
    pub(super) fn of(counts: &WebhookCounts) -> Self {
        let WebhookCounts { requests_taken, requests_failed, delivered, given_up, dropped, lost, elsewhere } =
            counts;
        WebhookFigures {
            requests: [requests_taken, requests_failed].map(Counter::get),
            events: [delivered, given_up, dropped, lost, elsewhere].map(Counter::get),
            ..WebhookFigures::default()
        }
    }
}
