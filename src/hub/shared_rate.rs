//! A rate that all workers share: so many in each second on average, and as many at once after a pause. No lock is taken.
//!
//! It is a bucket of N that N a second flow into. So in one second that begins with a full bucket there may be N and almost N
//! more; in any number of seconds, N for each and N besides.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const SECOND_NANOS: u64 = 1_000_000_000;

/// How often something may happen, of which every worker takes its part. It has cache lines of its own, so that counting
/// delays nobody who reads what is beside it.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct SharedRate {
    /// The times below count from here.
    begun: Instant,
    /// When everything that was admitted will have been earned, in nanoseconds.
    earned_at: AtomicU64,
}

/// Something may not happen now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RateExceeded {
    /// It may after this time, if nothing else happens before.
    After(Duration),
    /// It never may: it is more at once than the bucket holds.
    Never,
}

impl SharedRate {
    /// Nothing has happened yet. It is not asked for times before `now`.
    pub(super) fn new(now: Instant) -> Self {
        SharedRate { begun: now, earned_at: AtomicU64::new(0) }
    }

    /// Another limit holds from now on: all that it allows in a second may come at once.
    pub(super) fn restart(&self) {
        self.earned_at.store(0, Ordering::Relaxed);
    }

    /// Takes `count` of what there may be `per_second`, all or none; 0 is no limit at all. The limit may be another each
    /// time.
    ///
    /// # Errors
    /// If that is more than there may be now, or ever. Nothing is taken then.
    pub(super) fn take(&self, count: usize, per_second: u32, now: Instant) -> Result<(), RateExceeded> {
        if per_second == 0 {
            return Ok(());
        }
        let count =
            u32::try_from(count).ok().filter(|count| *count <= per_second).ok_or(RateExceeded::Never)?;
        // Rounded up: on average no second has more.
        let each = SECOND_NANOS.div_ceil(per_second.into());
        let (cost, whole) = (each * u64::from(count), each * u64::from(per_second));
        let now = now.saturating_duration_since(self.begun).as_nanos();
        let now = u64::try_from(now).unwrap_or(u64::MAX / 2);
        let wait = |earned_at: u64| {
            // No more than a whole second is ever owed, whatever the limit was before.
            let earned_at = earned_at.clamp(now, now + whole) + cost;
            (earned_at, earned_at.saturating_sub(now + whole))
        };
        let taken = self.earned_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |earned_at| {
            let (earned_at, nanos) = wait(earned_at);
            (nanos == 0).then_some(earned_at)
        });
        match taken {
            Ok(_) => Ok(()),
            Err(earned_at) => Err(RateExceeded::After(Duration::from_nanos(wait(earned_at).1))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn the_bucket_holds_its_number_and_says_when_there_is_room_again() {
        let start = Instant::now();
        let rate = SharedRate::new(start);
        assert_eq!((0..25).filter(|_| rate.take(1, 10, start).is_ok()).count(), 10);
        assert_eq!(rate.take(1, 10, start), Err(RateExceeded::After(100 * MILLISECOND)));
        assert_eq!(rate.take(3, 10, start + 250 * MILLISECOND), Err(RateExceeded::After(50 * MILLISECOND)));
        assert_eq!(rate.take(3, 10, start + 300 * MILLISECOND), Ok(()));
        assert_eq!(rate.take(10, 10, start + 1299 * MILLISECOND), Err(RateExceeded::After(MILLISECOND)));
        assert_eq!(rate.take(10, 10, start + 1300 * MILLISECOND), Ok(()));
    }

    #[test]
    fn what_does_not_fit_takes_nothing_and_what_never_fits_is_told_apart() {
        let start = Instant::now();
        let rate = SharedRate::new(start);
        assert_eq!(rate.take(5, 10, start), Ok(()));
        for _ in 0..100 {
            assert_eq!(rate.take(6, 10, start), Err(RateExceeded::After(100 * MILLISECOND)));
        }
        assert_eq!(rate.take(11, 10, start), Err(RateExceeded::Never));
        assert_eq!(rate.take(usize::MAX, 10, start), Err(RateExceeded::Never));
        assert_eq!(rate.take(5, 10, start), Ok(()));
    }

    #[test]
    fn all_threads_together_have_no_more_than_one() {
        for (per_second, expected) in [(1, 1), (7, 7), (1_000_000, 8000)] {
            let (start, admitted) = (Instant::now(), AtomicUsize::new(0));
            let rate = SharedRate::new(start);
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        let taken = (0..1000).filter(|_| rate.take(1, per_second, start).is_ok()).count();
                        admitted.fetch_add(taken, Ordering::Relaxed);
                    });
                }
            });
            assert_eq!(admitted.into_inner(), expected, "{per_second} per second");
        }
    }

    #[test]
    fn another_limit_counts_at_once() {
        let start = Instant::now();
        let rate = SharedRate::new(start);
        assert_eq!(rate.take(1, 1, start), Ok(()));
        assert!(rate.take(1, 1, start).is_err());
        assert_eq!(rate.take(1_000_000, 0, start), Ok(()), "0 is no limit");
        rate.restart();
        assert_eq!(rate.take(2, 2, start), Ok(()));
        assert!(rate.take(1, 2, start).is_err());
        rate.restart();
        assert_eq!(rate.take(1, 1, start), Ok(()));
        assert_eq!(rate.take(1, 1000, start + MILLISECOND), Ok(()));
        assert_eq!(rate.take(100, 100, start + 2 * Duration::from_secs(1)), Ok(()));
        let owed = rate.take(1, 1, start + 2 * Duration::from_secs(1)).unwrap_err();
        assert!(matches!(owed, RateExceeded::After(wait) if wait <= Duration::from_secs(1)));
    }

    #[test]
    fn a_steady_sender_at_the_limit_is_hardly_ever_refused_and_never_exceeds_it() {
        let start = Instant::now();
        for per_second in [1_u32, 3, 10, 999_999, 1_000_000] {
            let rate = SharedRate::new(start);
            let admitted = (0..u64::from(per_second.min(1000)) * 3)
                .filter(|n| {
                    let now = start + Duration::from_nanos(n * SECOND_NANOS.div_ceil(per_second.into()));
                    rate.take(1, per_second, now).is_ok()
                })
                .count();
            assert_eq!(admitted, per_second.min(1000) as usize * 3);
        }
    }

    #[test]
    fn times_out_of_all_order_do_no_harm() {
        let start = Instant::now();
        let rate = SharedRate::new(start + Duration::from_secs(10));
        assert_eq!(rate.take(1, 1, start), Ok(()), "before it began");
        let late = start + Duration::from_secs(1 << 40);
        assert_eq!(rate.take(1, 1, late), Ok(()));
        let owed = rate.take(1, 1, start).unwrap_err();
        assert!(matches!(owed, RateExceeded::After(wait) if wait <= Duration::from_secs(1)));
    }
}
