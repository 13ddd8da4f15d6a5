//! Days, by UTC.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::auth::request::date;

const DAY_SECONDS: u64 = 86_400;

/// The last second of the year 9999: days are compared by their text.
const LAST_SECOND: u64 = 253_402_300_799;

/// A day, as in `2026-11-29`. Later days are greater.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Day(String);

impl Day {
    /// The day of this moment. Before 1970 it is the first one of that year.
    pub(super) fn of(time: SystemTime) -> Self {
        let mut day = date(seconds(time));
        day.truncate(10);
        Day(day)
    }
}

/// How long it is until the next day.
pub(super) fn until_next(time: SystemTime) -> Duration {
    Duration::from_secs(DAY_SECONDS - seconds(time) % DAY_SECONDS)
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()).min(LAST_SECOND)
}

impl TryFrom<String> for Day {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_day = text.len() == 10
            && text.bytes().enumerate().all(|(place, byte)| match place {
                4 | 7 => byte == b'-',
                _ => byte.is_ascii_digit(),
            });
        if is_day { Ok(Day(text)) } else { Err(format!("expected a day such as 2026-11-29, got {text:?}")) }
    }
}

impl From<Day> for String {
    fn from(day: Day) -> String {
        day.0
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_change_at_midnight() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        for (seconds, day, left) in [
            (0, "1970-01-01", 86_400),
            (86_399, "1970-01-01", 1),
            (86_400, "1970-01-02", 86_400),
            (951_782_399, "2000-02-28", 1),
            (951_782_400, "2000-02-29", 86_400),
            (1_795_910_400, "2026-11-29", 86_400),
        ] {
            assert_eq!(Day::of(at(seconds)).to_string(), day);
            assert_eq!(until_next(at(seconds)), Duration::from_secs(left));
        }
        assert_eq!(Day::of(UNIX_EPOCH - Duration::from_secs(5)).to_string(), "1970-01-01");
        assert_eq!(Day::of(at(1 << 50)).to_string(), "9999-12-31");
    }

    #[test]
    fn what_is_no_day_is_refused() {
        for text in ["", "2026-11-2", "2026-11-290", "2026/11/29", "2026-1١-29", "20261-1-29"] {
            assert!(Day::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
