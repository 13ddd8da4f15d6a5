//! How much one connection may be sent of the last events that it asks for itself: whoever leaves a channel and comes back to it
//! may ask again and again. Pure.

use std::time::{Duration, Instant};

/// The time in which a connection that has used all of its allowance has it again.
const REFILL: Duration = Duration::from_secs(60);

/// What one connection has been sent of late.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RewindAllowance {
    /// Bytes that count still, as of then.
    spent: usize,
    at: Option<Instant>,
}

impl RewindAllowance {
    /// How many bytes it may be sent now, where it may be sent so many in a minute.
    pub(super) fn room(&mut self, most: usize, now: Instant) -> usize {
        let passed = self.at.map_or(REFILL, |at| now.saturating_duration_since(at)).min(REFILL);
        let earned = most as u128 * passed.as_millis() / REFILL.as_millis();
        // What is less than a byte is not lost: the time goes on only when something was earned.
        if earned > 0 || self.at.is_none() {
            self.spent = self.spent.saturating_sub(usize::try_from(earned).unwrap_or(usize::MAX));
            self.at = Some(now);
        }
        most.saturating_sub(self.spent)
    }

    /// It is sent so many.
    pub(super) fn spend(&mut self, bytes: usize) {
        self.spent = self.spent.saturating_add(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_counts_for_a_minute() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut allowance = RewindAllowance::default();
        assert_eq!(allowance.room(6000, at(0)), 6000);
        allowance.spend(4500);
        assert_eq!(allowance.room(6000, at(0)), 1500);
        assert_eq!(allowance.room(6000, at(1)), 1600);
        allowance.spend(1600);
        assert_eq!(allowance.room(6000, at(1)), 0);
        assert_eq!(allowance.room(6000, at(31)), 3000);
        assert_eq!(allowance.room(6000, at(1000)), 6000, "and no more");
        assert_eq!(allowance.room(100, at(1000)), 100, "the setting may change");
    }

    #[test]
    fn asking_often_earns_as_much_as_asking_seldom() {
        let start = Instant::now();
        let mut allowance = RewindAllowance::default();
        allowance.room(60_000, start);
        allowance.spend(60_000);
        for millisecond in 1..=1000 {
            allowance.room(60_000, start + Duration::from_millis(millisecond));
        }
        assert_eq!(allowance.room(60_000, start + Duration::from_secs(1)), 1000);
    }
}
