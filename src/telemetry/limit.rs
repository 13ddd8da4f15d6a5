//! How often one place in the program may log, so that no stranger can fill a disk by being refused.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::{Level, Metadata};

use super::line::Line;

/// Lines that one place may log at once.
pub(super) const AT_ONCE: u32 = 100;

/// Lines that it may log in a second, as time goes on.
pub(super) const PER_SECOND: u32 = 5;

/// How long it takes until what was left out is told.
pub(super) const TOLD_EVERY: Duration = Duration::from_secs(1);

/// What each place has logged of late. There are as many places as the program has.
#[derive(Debug, Default)]
pub(super) struct Limits {
    places: HashMap<Identifier, Place>,
    /// Whether a place has left something out that is not told.
    untold: bool,
}

#[derive(Debug)]
struct Place {
    level: Level,
    target: &'static str,
    /// Lines that it may log yet, as of `since`.
    left: u32,
    since: Instant,
    left_out: u64,
}

impl Limits {
    /// Whether it may log a line now. What is for those who look closely, at debug and below, always may.
    pub(super) fn admit(&mut self, metadata: &'static Metadata<'static>, now: Instant) -> bool {
        if *metadata.level() > Level::INFO {
            return true;
        }
        let place = self.places.entry(metadata.callsite()).or_insert_with(|| Place {
            level: *metadata.level(),
            target: metadata.target(),
            left: AT_ONCE,
            since: now,
            left_out: 0,
        });
        let admitted = place.admit(now);
        self.untold |= !admitted;
        admitted
    }

    /// Whether something was left out that nobody was told of.
    pub(super) fn is_untold(&self) -> bool {
        self.untold
    }

    /// Lines that tell what was left out since the last time.
    pub(super) fn tell(&mut self) -> Vec<Line> {
        self.untold = false;
        let places = self.places.values_mut().filter(|place| place.left_out > 0);
        let lines = places.map(|place| {
            let left_out = std::mem::take(&mut place.left_out);
            Line::new(place.level, place.target, "further lines like the last ones were left out")
                .with("left_out", left_out)
                .from(place.target)
        });
        lines.collect()
    }
}

impl Place {
    fn admit(&mut self, now: Instant) -> bool {
        const REFILL: Duration = Duration::from_millis(1000 / PER_SECOND as u64);
        let earned = now.saturating_duration_since(self.since).as_millis() / REFILL.as_millis();
        let earned = u32::try_from(earned).unwrap_or(AT_ONCE).min(AT_ONCE);
        if earned > 0 {
            self.left = (self.left + earned).min(AT_ONCE);
            self.since = if self.left == AT_ONCE { now } else { self.since + REFILL * earned };
        }
        let left = self.left.checked_sub(1);
        self.left_out += u64::from(left.is_none());
        self.left = left.unwrap_or(0);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_a_burst_and_then_a_rate() {
        let start = Instant::now();
        let mut place = Place { level: Level::INFO, target: "", left: AT_ONCE, since: start, left_out: 0 };
        let admitted = (0..1000).filter(|_| place.admit(start)).count();
        assert_eq!(admitted, AT_ONCE as usize);
        assert_eq!(place.left_out, 900);
        let later = start + Duration::from_secs(2);
        let admitted = (0..1000).filter(|_| place.admit(later)).count();
        assert_eq!(admitted, 2 * PER_SECOND as usize);
        assert_eq!(place.left_out, 900 + 990);
    }
}
