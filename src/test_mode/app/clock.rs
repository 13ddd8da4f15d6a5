//! The clock of an app under test: advancing it, and what is looked at again then.

use std::time::{Duration, Instant};

use crate::test_mode::entry::{Details, Kind};

use super::{AppUnderTest, MOST_ADVANCE, TestError};

impl AppUnderTest {
    /// What time the app has it.
    pub(in crate::test_mode) fn now(&self) -> Instant {
        self.place().map_or_else(|_| Instant::now(), |(_, state)| state.clock().now())
    }

    /// Advances the app's clock: everything that waits for it is looked at again. Returns by how much it has been
    /// advanced in all.
    ///
    /// # Errors
    /// If that is too far, or the app is gone.
    pub fn advance(&self, by: Duration) -> Result<Duration, TestError> {
        if by > MOST_ADVANCE {
            return Err(TestError::TooFar(by.as_millis()));
        }
        self.advance_clock(by)
    }

    /// Advances it as far as is wanted, maybe not at all: everything that waits for it is looked at again.
    pub(in crate::test_mode) fn advance_clock(&self, by: Duration) -> Result<Duration, TestError> {
        let (hub, state) = self.place()?;
        hub.advance_clock(&state, by);
        if !by.is_zero() {
            let advanced_ms = u64::try_from(by.as_millis()).ok();
            self.log.write(Kind::ClockAdvanced, Details { advanced_ms, ..Details::default() });
        }
        self.faults.expire(state.clock().now());
        // For those who wait for the end of a fault.
        self.log.touch();
        self.release_due();
        let advanced = state.clock().advanced();
        // Of two who advance it at once, the later time stays.
        self.ahead.send_if_modified(|ahead| {
            let later = advanced > *ahead;
            *ahead = advanced.max(*ahead);
            later
        });
        Ok(advanced)
    }

    /// By how much the clock has been advanced.
    pub fn advanced(&self) -> Duration {
        self.place().map(|(_, state)| state.clock().advanced()).unwrap_or_default()
    }
}
