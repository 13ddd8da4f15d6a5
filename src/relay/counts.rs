//! Counts what became of the events that one app's relays were given, and tells what waits.

use std::time::Duration;

use crate::hub::Counter;

/// What became of the events of one app since it has had a relay, each for each relay that was to send it.
#[derive(Debug, Default)]
pub(crate) struct RelayCounts {
    /// The other server has answered that it has them.
    pub(super) sent: Counter,
    /// It has answered that it does not want them.
    pub(super) refused: Counter,
    /// They were written, and no answer tells what became of them.
    pub(super) unknown: Counter,
    /// Too many waited.
    pub(super) dropped: Counter,
    /// They have waited for too long, or the broker has ended.
    pub(super) given_up: Counter,
    /// Another server has relayed them here.
    pub(super) not_relayed: Counter,
    /// Requests that were not carried out and are sent again.
    pub(super) retries: Counter,
}

/// The relays of one app at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct RelayFigures {
    /// Events: sent, refused, unknown, dropped, given up, and not relayed because another server has relayed them here.
    pub(crate) events: [u64; 6],
    /// Requests that were sent again.
    pub(crate) retries: u64,
    /// Events that wait or are under way, and their bytes.
    pub(crate) waiting: usize,
    pub(crate) waiting_bytes: usize,
    /// For how long the oldest of them has waited.
    pub(crate) oldest: Duration,
}

impl RelayFigures {
    /// Those of an app of which nothing waits.
    pub(super) fn of(counts: &RelayCounts) -> Self {
        let RelayCounts { sent, refused, unknown, dropped, given_up, not_relayed, retries } = counts;
        RelayFigures {
            events: [sent, refused, unknown, dropped, given_up, not_relayed].map(Counter::get),
            retries: retries.get(),
            ..RelayFigures::default()
        }
    }
}
