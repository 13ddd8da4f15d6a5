//! The time of one app: the machine's, and what a test has added to it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// An app's clock. Everything that an app measures is measured by it: silence, what is remembered, rates. It goes as
/// the machine's does and is never set back; in test mode it can be advanced.
#[derive(Debug, Default)]
pub struct Clock {
    /// By how much it has been advanced.
    advanced_ms: AtomicU64,
}

impl Clock {
    /// What time it is.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.at(Instant::now())
    }

    /// What time it is when the machine's clock says `machine`.
    #[must_use]
    pub fn at(&self, machine: Instant) -> Instant {
        match self.advanced_ms.load(Ordering::Acquire) {
            0 => machine,
            ms => machine + Duration::from_millis(ms),
        }
    }

    /// What the machine's clock says when this one says `time`, if it is not advanced before.
    #[must_use]
    pub fn machine_time(&self, time: Instant) -> Instant {
        time.checked_sub(self.advanced()).unwrap_or(time)
    }

    /// By how much it has been advanced.
    #[must_use]
    pub fn advanced(&self) -> Duration {
        Duration::from_millis(self.advanced_ms.load(Ordering::Acquire))
    }

    /// Advances it; [`Hub::advance_clock`](super::Hub::advance_clock) does, and has everything looked at again.
    pub(super) fn advance(&self, by: Duration) {
        let ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX / 2);
        self.advanced_ms.fetch_add(ms, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advanced_clock_is_ahead_of_the_machines() {
        let clock = Clock::default();
        let now = Instant::now();
        assert_eq!((clock.at(now), clock.machine_time(now)), (now, now));
        clock.advance(Duration::from_secs(60));
        clock.advance(Duration::from_secs(5));
        assert_eq!(clock.advanced(), Duration::from_secs(65));
        let later = now + Duration::from_secs(65);
        assert_eq!((clock.at(now), clock.machine_time(later)), (later, now));
        assert!(clock.now() >= later);
    }
}
