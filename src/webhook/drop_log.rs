//! Decides when dropped events are logged: the first at once, further ones of the same endpoint from time to time. Pure.

use std::time::{Duration, Instant};

use crate::connection::RateLimit;

/// At least this much time lies between two lines of the log about drops of the same endpoint.
const INTERVAL: Duration = Duration::from_secs(10);

/// The drops of one endpoint that have not been logged.
#[derive(Debug)]
pub(super) struct DropLog {
    unlogged: u64,
    limit: RateLimit,
}

impl Default for DropLog {
    fn default() -> Self {
        DropLog { unlogged: 0, limit: RateLimit::new(1, INTERVAL) }
    }
}

impl DropLog {
    /// One more event was dropped. If that is to be logged now, returns how many have been dropped since the last time.
    pub(super) fn add(&mut self, now: Instant) -> Option<u64> {
        self.unlogged += 1;
        self.limit.admit(now).then(|| std::mem::take(&mut self.unlogged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_logged_at_once_and_those_after_it_together() {
        let start = Instant::now();
        let mut log = DropLog::default();
        assert_eq!(log.add(start), Some(1));
        assert_eq!((log.add(start), log.add(start + INTERVAL / 2)), (None, None));
        assert_eq!(log.add(start + INTERVAL), Some(3));
    }
}
