//! Numbers and spans of time.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value as Json, json};

use super::{InputValue, ValueType};

/// A whole number in a range.
#[derive(Clone)]
pub(in crate::config) struct Integer<N>(pub(in crate::config) RangeInclusive<N>);

impl<N: TryFrom<i64> + PartialOrd + Display + Serialize> ValueType for Integer<N> {
    type Value = N;

    fn read(&self, given: &InputValue<'_>) -> Option<N> {
        N::try_from(given.integer()?).ok().filter(|n| self.0.contains(n))
    }

    fn expected(&self) -> String {
        format!("an integer from {} to {}", self.0.start(), self.0.end())
    }

    fn schema(&self) -> Json {
        json!({ "type": "integer", "minimum": self.0.start(), "maximum": self.0.end() })
    }

    fn write(&self, value: &N) -> String {
        value.to_string()
    }
}

/// A whole number in a range that begins above 0, or 0, which stands for what another setting says.
#[derive(Clone)]
pub(in crate::config) struct IntegerOrZero(pub(in crate::config) RangeInclusive<usize>);

impl ValueType for IntegerOrZero {
    type Value = usize;

    fn read(&self, given: &InputValue<'_>) -> Option<usize> {
        usize::try_from(given.integer()?).ok().filter(|n| *n == 0 || self.0.contains(n))
    }

    fn expected(&self) -> String {
        format!("an integer from {} to {}, or 0 for that of the node", self.0.start(), self.0.end())
    }

    fn schema(&self) -> Json {
        json!({ "type": "integer", "minimum": 0, "maximum": self.0.end() })
    }

    fn write(&self, value: &usize) -> String {
        value.to_string()
    }
}

/// A span of time in seconds, fractions allowed.
#[derive(Clone)]
pub(in crate::config) struct Seconds {
    /// The shortest.
    pub(in crate::config) least: f64,
}

/// The longest span of time that makes sense for anything: a day.
const MOST_SECONDS: u32 = 86_400;

impl ValueType for Seconds {
    type Value = Duration;

    fn read(&self, given: &InputValue<'_>) -> Option<Duration> {
        let seconds = given.number().filter(|s| (self.least..=f64::from(MOST_SECONDS)).contains(s))?;
        Duration::try_from_secs_f64(seconds).ok()
    }

    fn expected(&self) -> String {
        format!("a number of seconds from {} to {MOST_SECONDS}", self.least)
    }

    fn schema(&self) -> Json {
        json!({ "type": "number", "minimum": self.least, "maximum": MOST_SECONDS })
    }

    fn write(&self, value: &Duration) -> String {
        value.as_secs_f64().to_string()
    }
}

/// A span of time in whole seconds, at least one.
#[derive(Clone)]
pub(in crate::config) struct WholeSeconds;

impl ValueType for WholeSeconds {
    type Value = Duration;

    fn read(&self, given: &InputValue<'_>) -> Option<Duration> {
        let seconds = u32::try_from(given.integer()?).ok()?;
        (1..=MOST_SECONDS).contains(&seconds).then(|| Duration::from_secs(seconds.into()))
    }

    fn expected(&self) -> String {
        format!("a whole number of seconds from 1 to {MOST_SECONDS}")
    }

    fn schema(&self) -> Json {
        json!({ "type": "integer", "minimum": 1, "maximum": MOST_SECONDS })
    }

    fn write(&self, value: &Duration) -> String {
        value.as_secs().to_string()
    }
}
