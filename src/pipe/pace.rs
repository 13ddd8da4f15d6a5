//! Measures how often a rule may send: `rate = "10/s"`, `min_interval = "250ms"`. Pure: the time comes in.

use std::fmt;
use std::time::{Duration, Instant};

/// A rate: so many events in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many, at least one. So many may also come at once.
    pub events: u32,
    /// In how long.
    pub per: Period,
}

/// The period of a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// `s`
    Second,
    /// `min`
    Minute,
    /// `h`
    Hour,
}

/// The most events in a period.
const MOST_EVENTS: u32 = 1_000_000;

/// The longest interval: a day.
const LONGEST: Duration = Duration::from_hours(24);

impl Period {
    const ALL: [(Period, &'static str, u64); 3] =
        [(Period::Second, "s", 1), (Period::Minute, "min", 60), (Period::Hour, "h", 3600)];

    fn row(self) -> (&'static str, Duration) {
        let found = Self::ALL.iter().find(|(period, ..)| *period == self);
        found
            .map_or(("s", Duration::from_secs(1)), |(_, unit, seconds)| (unit, Duration::from_secs(*seconds)))
    }
}

impl Rate {
    /// What [`Rate::parse`] reads, for messages.
    pub const EXPECTED: &str = "a number of events from 1 to 1000000 in a second, a minute or an hour, such as \"10/s\", \"30/min\" or \"100/h\"";

    /// Reads `10/s`, `30/min` or `100/h`.
    pub fn parse(text: &str) -> Option<Self> {
        let (events, unit) = text.split_once('/')?;
        let events = number(events.trim())?;
        let (per, ..) = Period::ALL.into_iter().find(|(_, name, _)| *name == unit.trim())?;
        (1..=MOST_EVENTS).contains(&events).then_some(Rate { events, per })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.events, self.per.row().0)
    }
}

/// What [`parse_interval`] reads, for messages.
pub const INTERVAL_EXPECTED: &str = "a whole number of milliseconds, seconds, minutes or hours from 1ms to 24h, such as \"250ms\", \"2s\", \"5min\" or \"1h\"";

/// Reads `250ms`, `2s`, `5min` or `1h`.
pub fn parse_interval(text: &str) -> Option<Duration> {
    let text = text.trim();
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let count: u64 = number(digits)?.into();
    let millis = match unit.trim_start() {
        "ms" => 1,
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    let interval = Duration::from_millis(count.checked_mul(millis)?);
    (Duration::from_millis(1)..=LONGEST).contains(&interval).then_some(interval)
}

/// An interval as [`parse_interval`] reads it.
pub fn write_interval(interval: Duration) -> String {
    let millis = interval.as_millis();
    if millis.is_multiple_of(1000) { format!("{}s", millis / 1000) } else { format!("{millis}ms") }
}

fn number(text: &str) -> Option<u32> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

/// One pace: events are due evenly spaced, and some may come early.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    spacing: Duration,
    /// How much earlier than evenly spaced an event may go.
    early: Duration,
    /// When the next event is due, were it not early.
    due: Instant,
}

impl Bucket {
    fn ready_at(&self) -> Instant {
        self.due.checked_sub(self.early).unwrap_or(self.due)
    }

    fn take(&mut self, now: Instant) {
        self.due = self.due.max(now) + self.spacing;
    }
}

/// The paces of one rule towards one channel.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    buckets: [Option<Bucket>; 2],
}

impl Pace {
    /// Nothing has been sent yet.
    pub(super) fn new(rate: Option<Rate>, min_interval: Option<Duration>, now: Instant) -> Self {
        let of_rate = |rate: Rate| {
            let spacing = rate.per.row().1 / rate.events;
            Bucket { spacing, early: spacing * (rate.events - 1), due: now }
        };
        let of_interval = |spacing| Bucket { spacing, early: Duration::ZERO, due: now };
        Pace { buckets: [rate.map(of_rate), min_interval.map(of_interval)] }
    }

    /// When the next event may go; a time that has passed is now.
    pub(super) fn ready_at(&self) -> Option<Instant> {
        self.buckets.iter().flatten().map(Bucket::ready_at).max()
    }

    /// Whether an event may go.
    pub(super) fn is_ready(&self, now: Instant) -> bool {
        self.ready_at().is_none_or(|time| time <= now)
    }

    /// An event goes.
    pub(super) fn take(&mut self, now: Instant) {
        self.buckets.iter_mut().flatten().for_each(|bucket| bucket.take(now));
    }

    /// Whether it is as if nothing had been sent.
    pub(super) fn is_rested(&self, now: Instant) -> bool {
        self.buckets.iter().flatten().all(|bucket| bucket.due <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_intervals_are_read_and_written() {
        for text in ["10/s", "30/min", "100/h", "1/s", "1000000/h"] {
            assert_eq!(Rate::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Rate::parse("10 / s").unwrap().to_string(), "10/s");
        for text in ["", "10", "/s", "0/s", "-1/s", "+1/s", "1.5/s", "10/d", "1000001/s", "10/s/s"] {
            assert_eq!(Rate::parse(text), None, "{text}");
        }
        for (text, millis) in [("250ms", 250), ("2s", 2000), ("5min", 300_000), ("24h", 86_400_000)] {
            assert_eq!(parse_interval(text), Some(Duration::from_millis(millis)), "{text}");
            assert_eq!(
                parse_interval(&write_interval(Duration::from_millis(millis))).unwrap().as_millis(),
                millis.into()
            );
        }
        for text in ["", "250", "ms", "0ms", "25h", "1.5s", "-1s", "1d", "99999999999999999999s"] {
            assert_eq!(parse_interval(text), None, "{text}");
        }
    }

    #[test]
    fn a_rate_allows_a_burst_and_then_even_spacing() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut pace = Pace::new(Rate::parse("10/s"), None, start);
        let mut go = |now| {
            let ready = pace.is_ready(now);
            if ready {
                pace.take(now);
            }
            ready
        };
        assert_eq!((0..15).filter(|_| go(start)).count(), 10);
        assert!(!go(at(99)) && go(at(100)) && !go(at(101)) && go(at(200)));
        assert_eq!((0..15).filter(|_| go(at(5000))).count(), 10, "rested");
    }

    #[test]
    fn both_paces_must_allow_it() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut pace = Pace::new(Rate::parse("2/s"), Some(Duration::from_millis(100)), start);
        pace.take(start);
        assert_eq!(pace.ready_at(), Some(at(100)), "the interval");
        pace.take(at(100));
        assert_eq!(pace.ready_at(), Some(at(500)), "the rate");
        assert!(!pace.is_rested(at(900)) && pace.is_rested(at(1000)));
    }
}
