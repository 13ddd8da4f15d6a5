//! How much a channel keeps of its last events, where an app wants it to.

use std::time::Duration;

/// The bounds of one channel's history. Where one is passed, the oldest events go; the newest stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryBounds {
    /// Events that are kept.
    pub events: usize,
    /// Bytes of these: each counts as its message and [`HistoryBounds::EVENT_BYTES`].
    pub bytes: usize,
    /// For how long one is kept.
    pub time: Duration,
}

impl HistoryBounds {
    /// Bytes that keeping one event takes besides its message, as measured: its place, and what the allocator takes.
    pub const EVENT_BYTES: usize = 170;
}

impl Default for HistoryBounds {
    fn default() -> Self {
        HistoryBounds { events: 1000, bytes: 1024 * 1024, time: Duration::from_secs(300) }
    }
}
