//! A token bucket: so many at once, and then one in each span of time.

use std::time::{Duration, Instant};

/// How often something may happen: what a client sends, or what the log says of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RateLimit {
    /// Tokens of a full bucket; 0 is no limit at all.
    most: u32,
    left: u32,
    /// Until there is one more token.
    refill: Duration,
    /// Since when the next token is on its way; `None` before the first is taken.
    since: Option<Instant>,
}

impl RateLimit {
    /// So many at once, and one more after each `refill`.
    pub(crate) fn new(most: u32, refill: Duration) -> Self {
        RateLimit { most, left: most, refill: refill.max(Duration::from_nanos(1)), since: None }
    }

    /// So many in each second, all at once if need be; 0 is no limit at all.
    pub(crate) fn per_second(number: u32) -> Self {
        RateLimit::new(number, Duration::from_secs(1) / number.max(1))
    }

    /// Takes a token if there is one.
    pub(crate) fn admit(&mut self, now: Instant) -> bool {
        if self.most == 0 {
            return true;
        }
        let since = self.since.unwrap_or(now);
        let passed = now.saturating_duration_since(since);
        if self.left == self.most {
            // A full bucket earns nothing, and an event that was held, which came before others, brings no time back.
            self.since = Some(now.max(since));
        } else if passed >= self.refill {
            self.earn(since, passed);
        }
        let admitted = self.left > 0;
        self.left = self.left.saturating_sub(1);
        admitted
    }

    /// Puts in what has been earned in the time that has passed since then.
    fn earn(&mut self, since: Instant, passed: Duration) {
        let refill = nanoseconds(self.refill);
        let earned = nanoseconds(passed) / refill;
        match u32::try_from(earned) {
            Ok(tokens) if tokens < self.most - self.left => {
                self.left += tokens;
                self.since = Some(since + Duration::from_nanos(earned * refill));
            }
            _ => {
                self.left = self.most;
                self.since = Some(since + passed);
            }
        }
    }
}

/// Nanoseconds of a span of time; of one beyond 584 years, as many as there can be.
fn nanoseconds(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holds_its_number_and_not_one_more() {
        let start = Instant::now();
        let mut limit = RateLimit::per_second(10);
        assert_eq!((0..15).filter(|_| limit.admit(start)).count(), 10);
        assert!(!limit.admit(start + Duration::from_millis(50)));
        assert!(limit.admit(start + Duration::from_millis(100)));
        let later = start + Duration::from_millis(1100);
        assert_eq!((0..15).filter(|_| limit.admit(later)).count(), 10);
    }

    #[test]
    fn a_steady_sender_at_the_limit_is_never_refused() {
        let start = Instant::now();
        for per_second in [3, 10] {
            let mut limit = RateLimit::per_second(per_second);
            assert!((0..1000).all(|n| limit.admit(start + Duration::from_secs(n) / per_second)));
        }
    }

    #[test]
    fn an_earlier_event_that_is_admitted_late_gives_nothing_back() {
        let start = Instant::now();
        let later = start + Duration::from_millis(500);
        let mut limit = RateLimit::per_second(10);
        assert_eq!((0..15).filter(|_| limit.admit(later)).count(), 10);
        assert!(!limit.admit(start));
        assert!(!limit.admit(later));
    }

    #[test]
    fn zero_is_no_limit() {
        let now = Instant::now();
        let mut limit = RateLimit::per_second(0);
        assert!((0..100_000).all(|_| limit.admit(now)));
    }

    #[test]
    fn a_burst_comes_back_slowly_however_often_it_is_asked_for() {
        let start = Instant::now();
        let mut limit = RateLimit::new(1, Duration::from_secs(60));
        let admitted = (0..=120_000).filter(|n| limit.admit(start + Duration::from_millis(*n)));
        assert_eq!(admitted.collect::<Vec<_>>(), [0, 60_000, 120_000]);
    }
}
