//! Counts what happens where it happens, at the price of an addition: each count has one thread that writes it, and whoever
//! asks reads it from another.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A count that only rises. All but [`Counter::add_from_anywhere`] is for the one thread that writes it.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Counts so many more. Two threads that did so at once would lose some.
    pub(crate) fn add(&self, more: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    /// The same for a count that several threads write.
    pub(crate) fn add_from_anywhere(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// How many there have been.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How many durations there were in each of several ranges, and their sum. One thread writes it.
#[derive(Debug)]
pub(crate) struct DurationCounter<const N: usize> {
    /// The longest of each range, ascending; what is longer than the last has a range of its own.
    bounds: &'static [Duration; N],
    within: [Counter; N],
    longer: Counter,
    nanoseconds: Counter,
}

/// What a [`DurationCounter`] has counted, or several together.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Durations {
    /// The bound of each range in seconds, and how many there were within it and not within a shorter one. The last has
    /// no bound.
    pub(crate) ranges: Vec<(f64, u64)>,
    /// The sum, in seconds.
    pub(crate) seconds: f64,
}

impl<const N: usize> DurationCounter<N> {
    pub(crate) fn new(bounds: &'static [Duration; N]) -> Self {
        let within = std::array::from_fn(|_| Counter::default());
        DurationCounter { bounds, within, longer: Counter::default(), nanoseconds: Counter::default() }
    }

    /// Counts one more.
    pub(crate) fn add(&self, duration: Duration) {
        let within = self.bounds.iter().position(|bound| duration <= *bound);
        within.map_or(&self.longer, |range| &self.within[range]).add(1);
        self.nanoseconds.add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// What has been counted.
    pub(crate) fn read(&self) -> Durations {
        let within = self.bounds.iter().map(Duration::as_secs_f64).zip(self.within.iter().map(Counter::get));
        let ranges = within.chain([(f64::INFINITY, self.longer.get())]).collect();
        Durations { ranges, seconds: Duration::from_nanos(self.nanoseconds.get()).as_secs_f64() }
    }
}

impl Durations {
    /// Adds what another has counted in the same ranges.
    pub(crate) fn add(&mut self, other: &Durations) {
        if self.ranges.is_empty() {
            self.ranges.clone_from(&other.ranges);
        } else {
            self.ranges.iter_mut().zip(&other.ranges).for_each(|((_, sum), (_, count))| *sum += count);
        }
        self.seconds += other.seconds;
    }

    /// How many there were.
    pub(crate) fn count(&self) -> u64 {
        self.ranges.iter().map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_counted_in_the_first_range_that_holds_them() {
        const BOUNDS: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(10)];
        let counter = DurationCounter::new(&BOUNDS);
        for millis in [0, 1, 2, 10, 11, 1000] {
            counter.add(Duration::from_millis(millis));
        }
        let durations = counter.read();
        assert_eq!(durations.ranges, [(0.001, 2), (0.01, 2), (f64::INFINITY, 2)]);
        assert_eq!((durations.count(), durations.seconds), (6, 1.024));
    }
}
