//! A token bucket: a burst of one second's worth, refilled evenly.

use std::time::Instant;

/// How many events one connection may still send.
#[derive(Clone, Copy, Debug)]
pub struct RateLimit {
    per_second: u32,
    tokens: f32,
    refilled: Instant,
}

impl RateLimit {
    /// A full bucket; 0 per second is no limit at all.
    #[must_use]
    pub fn new(per_second: u32, now: Instant) -> Self {
        RateLimit { per_second, tokens: per_second as f32, refilled: now }
    }

    /// Takes a token if there is one.
    pub fn admit(&mut self, now: Instant) -> bool {
        if self.per_second == 0 {
            return true;
        }
        // An event that was held came before others that have been admitted.
        if now > self.refilled {
            let capacity = self.per_second as f32;
            let elapsed = now.duration_since(self.refilled).as_secs_f32();
            self.tokens = (self.tokens + elapsed * capacity).min(capacity);
            self.refilled = now;
        }
        // A rounding error must not cost the last token of an exact second.
        let admitted = self.tokens >= 1.0 - 1e-3;
        if admitted {
            self.tokens = (self.tokens - 1.0).max(0.0);
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_second_holds_its_number_and_not_one_more() {
        let start = Instant::now();
        let mut limit = RateLimit::new(10, start);
        assert_eq!((0..15).filter(|_| limit.admit(start)).count(), 10);
        assert!(!limit.admit(start + Duration::from_millis(50)));
        assert!(limit.admit(start + Duration::from_millis(100)));
        let later = start + Duration::from_millis(1100);
        assert_eq!((0..15).filter(|_| limit.admit(later)).count(), 10);
    }

    #[test]
    fn a_steady_sender_at_the_limit_is_never_refused() {
        let start = Instant::now();
        let mut limit = RateLimit::new(10, start);
        assert!((0..1000).all(|n| limit.admit(start + Duration::from_millis(100 * n))));
    }

    #[test]
    fn an_earlier_event_that_is_admitted_late_gives_nothing_back() {
        let start = Instant::now();
        let later = start + Duration::from_millis(500);
        let mut limit = RateLimit::new(10, start);
        assert_eq!((0..15).filter(|_| limit.admit(later)).count(), 10);
        assert!(!limit.admit(start));
        assert!(!limit.admit(later));
    }

    #[test]
    fn zero_is_no_limit() {
        let now = Instant::now();
        let mut limit = RateLimit::new(0, now);
        assert!((0..100_000).all(|_| limit.admit(now)));
    }
}
