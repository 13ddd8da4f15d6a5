//! Limits how often one place in the program logs, so that no stranger can fill a disk by being refused.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::{Level, Metadata};

use super::line::LogLine;
use crate::connection::RateLimit;

/// Lines that one place may log at once.
pub(super) const AT_ONCE: u32 = 100;

/// Lines that it may log in a second, as time goes on.
pub(super) const PER_SECOND: u32 = 5;

const REFILL: Duration = Duration::from_millis(1000 / PER_SECOND as u64);

/// The interval in which the log reports how much was left out.
pub(super) const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// How much each callsite has logged of late. There are as many places as the program has.
#[derive(Debug, Default)]
pub(super) struct LineLimits {
    callsites: HashMap<Identifier, CallsiteLimit>,
    /// Whether a place has left something out that is not told.
    has_unreported: bool,
}

/// The limit of one callsite: a burst, and then a rate.
#[derive(Debug)]
struct CallsiteLimit {
    level: Level,
    target: &'static str,
    limit: RateLimit,
    left_out: u64,
}

impl LineLimits {
    /// Whether a callsite may log a line now. At debug and below it always may.
    pub(super) fn admit(&mut self, metadata: &'static Metadata<'static>, now: Instant) -> bool {
        if *metadata.level() > Level::INFO {
            return true;
        }
        let limit = self.callsites.entry(metadata.callsite()).or_insert_with(|| CallsiteLimit {
            level: *metadata.level(),
            target: metadata.target(),
            limit: RateLimit::new(AT_ONCE, REFILL),
            left_out: 0,
        });
        let admitted = limit.admit(now);
        self.has_unreported |= !admitted;
        admitted
    }

    /// Whether lines were left out that have not been reported.
    pub(super) fn has_unreported(&self) -> bool {
        self.has_unreported
    }

    /// Lines that tell what was left out since the last time.
    pub(super) fn take_left_out_lines(&mut self) -> Vec<LogLine> {
        self.has_unreported = false;
        let callsites = self.callsites.values_mut().filter(|limit| limit.left_out > 0);
        let lines = callsites.map(|limit| {
            let left_out = std::mem::take(&mut limit.left_out);
            LogLine::new(limit.level, limit.target, "further lines like the last ones were left out")
                .with("left_out", left_out)
                .from(limit.target)
        });
        lines.collect()
    }
}

impl CallsiteLimit {
    fn admit(&mut self, now: Instant) -> bool {
        let admitted = self.limit.admit(now);
        self.left_out += u64::from(!admitted);
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_a_burst_and_then_a_rate() {
        let start = Instant::now();
        let limit = RateLimit::new(AT_ONCE, REFILL);
        let mut limit = CallsiteLimit { level: Level::INFO, target: "", limit, left_out: 0 };
        let admitted = (0..1000).filter(|_| limit.admit(start)).count();
        assert_eq!(admitted, AT_ONCE as usize);
        assert_eq!(limit.left_out, 900);
        let later = start + Duration::from_secs(2);
        let admitted = (0..1000).filter(|_| limit.admit(later)).count();
        assert_eq!(admitted, 2 * PER_SECOND as usize);
        assert_eq!(limit.left_out, 900 + 990);
    }
}
