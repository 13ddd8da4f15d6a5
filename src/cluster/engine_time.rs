//! The engine's clock, as far as its numbers tell it, and until when all that it had taken then has surely come here. Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// So many beats later what was said at a beat has come and has been read: or the link has been away between, or the inbox too full, and
/// both are known.
const BEATS_TO_BE_SURE: usize = 60;

/// How long the engine's answers are under way at most.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// What is said now has no larger number than this much later, unless the engine's clock has been set.
const SURELY_LATER: Duration = Duration::from_secs(60);

/// What is known of it. Its numbers are microseconds.
#[derive(Debug)]
pub(super) struct EngineTime {
    start: Instant,
    /// So much more than the time since the start it is at least.
    ahead: Option<u64>,
    /// What it was at the last beats, the link up at each.
    beats: VecDeque<u64>,
    heard_until: u64,
}

impl EngineTime {
    /// Nothing is known.
    pub(super) fn new(now: Instant) -> Self {
        EngineTime { start: now, ahead: None, beats: VecDeque::new(), heard_until: 0 }
    }

    /// The engine, asked for it, has told that it is this, by now. Where that is earlier than it can be, the clock has been set
    /// back, and what was known of it is not true any more.
    pub(super) fn hear(&mut self, number: u64, now: Instant) {
        if self.now(now).is_some_and(|known| number.saturating_add(micros(ANSWERS_WITHIN)) < known) {
            *self = EngineTime::new(self.start);
        }
        let ahead = number.saturating_sub(self.since_start(now));
        self.ahead = self.ahead.max(Some(ahead));
    }

    /// What has a later number was not said by now, as far as is known.
    pub(super) fn latest(&self, now: Instant) -> u64 {
        self.now(now).map_or(u64::MAX, |time| time.saturating_add(micros(SURELY_LATER)))
    }

    /// It is at least that.
    pub(super) fn now(&self, now: Instant) -> Option<u64> {
        self.ahead.map(|ahead| ahead.saturating_add(self.since_start(now)))
    }

    /// A beat. `is_up`: the link is.
    pub(super) fn beat(&mut self, is_up: bool, now: Instant) {
        if !is_up {
            return self.beats.clear();
        }
        let Some(time) = self.now(now) else { return };
        self.beats.push_back(time);
        if self.beats.len() > BEATS_TO_BE_SURE
            && let Some(sure) = self.beats.pop_front()
        {
            self.heard_until = sure;
        }
    }

    /// All that it had taken until then has come here; 0 if that is not known.
    pub(super) fn heard_until(&self) -> u64 {
        self.heard_until
    }

    fn since_start(&self, now: Instant) -> u64 {
        micros(now.saturating_duration_since(self.start))
    }
}

/// A duration in the unit of the engine's numbers.
pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_never_later_than_it_is() {
        let start = Instant::now();
        let mut time = EngineTime::new(start);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(time.now(at(1)), None);
        time.hear(5_000_000, at(1));
        assert_eq!(time.now(at(2)), Some(6_000_000));
        time.hear(5_500_000, at(2));
        assert_eq!(time.now(at(2)), Some(6_000_000), "that one was late");
        time.hear(9_000_000, at(3));
        assert_eq!(time.now(at(3)), Some(9_000_000));
        time.beat(true, at(3));
        for second in 4..3 + BEATS_TO_BE_SURE as u64 {
            time.beat(true, at(second));
        }
        assert_eq!(time.heard_until(), 0);
        time.beat(true, at(63));
        assert_eq!(time.heard_until(), 9_000_000);
        time.beat(false, at(64));
        for second in 65..125 {
            time.beat(true, at(second));
        }
        assert_eq!(time.heard_until(), 9_000_000, "nothing is sure of the time in which it was away");
        time.beat(true, at(125));
        assert_eq!(time.heard_until(), 71_000_000);
    }

    #[test]
    fn a_clock_that_is_set_back_is_believed_and_nothing_is_sure_until_it_has_been_heard_for_long() {
        let start = Instant::now();
        let mut time = EngineTime::new(start);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(time.latest(at(0)), u64::MAX);
        time.hear(500_000_000, at(1));
        for second in 1..=61 {
            time.beat(true, at(second));
        }
        assert_eq!((time.now(at(61)), time.heard_until()), (Some(560_000_000), 500_000_000));
        assert_eq!(time.latest(at(61)), 620_000_000);
        time.hear(559_000_000, at(61));
        assert_eq!((time.now(at(61)), time.heard_until()), (Some(560_000_000), 500_000_000));
        time.hear(100_000_000, at(61));
        assert_eq!((time.now(at(61)), time.heard_until()), (Some(100_000_000), 0));
        for second in 62..=122 {
            time.beat(true, at(second));
        }
        assert_eq!(time.heard_until(), 101_000_000);
    }
}
