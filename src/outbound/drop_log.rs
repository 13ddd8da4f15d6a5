//! Decides when it is logged that events were lost: the first at once, further ones of the same target from time to time.
//! Pure.

use std::time::{Duration, Instant};

use crate::connection::RateLimit;

/// At least this much time lies between two lines of the log about losses of the same target.
const INTERVAL: Duration = Duration::from_secs(10);

/// The losses of one target that have not been logged.
#[derive(Debug)]
pub(crate) struct DropLog {
    unlogged: u64,
    limit: RateLimit,
}

impl Default for DropLog {
    fn default() -> Self {
        DropLog { unlogged: 0, limit: RateLimit::new(1, INTERVAL) }
    }
}

impl DropLog {
    /// So many more events were lost. If that is to be logged now, returns how many have been lost since the last time.
    pub(crate) fn add(&mut self, lost: u64, now: Instant) -> Option<u64> {
        self.unlogged += lost;
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
        assert_eq!(log.add(1, start), Some(1));
        assert_eq!((log.add(1, start), log.add(1, start + INTERVAL / 2)), (None, None));
        assert_eq!(log.add(1, start + INTERVAL), Some(3));
    }
}
