//! What an app has used since somebody last took note of it.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};

/// What an app has used in some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AppUsage {
    /// The most connections that were open at once.
    pub(crate) peak_connections: u64,
    /// Messages that clients have sent, and have been sent.
    pub(crate) messages_received: u64,
    pub(crate) messages_sent: u64,
    /// Bytes of connections of clients.
    pub(crate) bytes_received: u64,
    pub(crate) bytes_sent: u64,
    /// Events that were published over HTTP, each counted for each of its channels.
    pub(crate) api_events: u64,
}

impl AppUsage {
    /// What has been counted since `mark`, with its own peak.
    pub(super) fn since(&self, mark: &AppUsage) -> Self {
        AppUsage {
            peak_connections: self.peak_connections,
            messages_received: self.messages_received.saturating_sub(mark.messages_received),
            messages_sent: self.messages_sent.saturating_sub(mark.messages_sent),
            bytes_received: self.bytes_received.saturating_sub(mark.bytes_received),
            bytes_sent: self.bytes_sent.saturating_sub(mark.bytes_sent),
            api_events: self.api_events.saturating_sub(mark.api_events),
        }
    }

    /// Adds what was used besides, before or after: the higher peak counts.
    pub(crate) fn add(&mut self, more: &AppUsage) {
        self.peak_connections = self.peak_connections.max(more.peak_connections);
        for (sum, more) in [
            (&mut self.messages_received, more.messages_received),
            (&mut self.messages_sent, more.messages_sent),
            (&mut self.bytes_received, more.bytes_received),
            (&mut self.bytes_sent, more.bytes_sent),
            (&mut self.api_events, more.api_events),
        ] {
            *sum = sum.saturating_add(more);
        }
    }

    /// Whether that is nothing.
    pub(crate) fn is_nothing(&self) -> bool {
        *self == AppUsage::default()
    }
}

/// The most connections that were open at once since it was last taken. It is written under the lock of the connections'
/// table, when one is admitted.
#[derive(Debug, Default)]
pub(crate) struct PeakCount(AtomicUsize);

impl PeakCount {
    /// So many are open.
    pub(in crate::hub) fn reached(&self, count: usize) {
        self.0.fetch_max(count, Ordering::Relaxed);
    }

    /// The peak until now; from now on it is `count`, which are open.
    pub(in crate::hub) fn take(&self, count: usize) -> usize {
        self.0.swap(count, Ordering::Relaxed).max(count)
    }
}
