//! Decides when a webhook that was not taken is sent again.

use std::time::{Duration, Instant};

/// The policy of repeated attempts: exponential back-off from the first pause, doubled each time up to the longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The pause after the first failure.
    pub first: Duration,
    /// No pause is longer.
    pub longest: Duration,
    /// How long after its creation a webhook is given up. Libraries refuse one that is older than five minutes.
    pub give_up_after: Duration,
}

impl Retry {
    /// When to try again after the failure, at `now`, of attempt number `attempt` (from 1) of a webhook that was
    /// created at `created`; `None` to give up.
    pub fn again(&self, attempt: u32, created: Instant, now: Instant) -> Option<Instant> {
        let doubled =
            2_u32.checked_pow(attempt.saturating_sub(1)).and_then(|times| self.first.checked_mul(times));
        let again = now + doubled.unwrap_or(self.longest).min(self.longest);
        (again <= created + self.give_up_after).then_some(again)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn pauses_double_up_to_the_longest_and_end_after_five_minutes() {
        let retry = Retry { first: SECOND, longest: 64 * SECOND, give_up_after: 300 * SECOND };
        let created = Instant::now();
        let (mut now, mut pauses) = (created, Vec::new());
        for attempt in 1.. {
            // Each attempt takes no time at all.
            let Some(again) = retry.again(attempt, created, now) else { break };
            pauses.push((again - now).as_secs());
            now = again;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 64, 64]);
        assert!(now - created <= 300 * SECOND);
    }

    #[test]
    fn no_number_of_attempts_is_too_large() {
        let retry = Retry { first: SECOND, longest: 64 * SECOND, give_up_after: 300 * SECOND };
        let now = Instant::now();
        assert_eq!(retry.again(u32::MAX, now, now), Some(now + 64 * SECOND));
        assert_eq!(retry.again(0, now, now), Some(now + SECOND));
        let never = Retry { give_up_after: Duration::ZERO, ..retry };
        assert_eq!(never.again(1, now, now), None);
    }
}
