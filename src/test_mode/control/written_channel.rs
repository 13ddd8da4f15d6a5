//! What channels of an app that is asked for are to keep, and what their slow subscribers are sent.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Deserialize;

use crate::app::{ChannelSettings, Delivery, HistoryBounds, VideoSettings};
use crate::protocol::pattern::Pattern;

/// The bounds of a history, as the configuration has them.
const EVENTS: RangeInclusive<usize> = 1..=1_000_000;
const BYTES: RangeInclusive<usize> = 1024..=1_000_000_000;
const SECONDS: RangeInclusive<f64> = 0.1..=86_400.0;

/// Settings of channels, as `[[apps.channels]]` of the configuration has them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenChannel {
    pattern: String,
    delivery: Option<WrittenDelivery>,
    history: Option<WrittenHistory>,
    publishers: Option<Vec<String>>,
    cache_bytes: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WrittenDelivery {
    Every,
    Latest,
    Video,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenHistory {
    events: Option<usize>,
    bytes: Option<usize>,
    seconds: Option<f64>,
}

impl WrittenChannel {
    /// The settings, or what is wrong with them.
    pub(super) fn read(&self) -> Result<ChannelSettings, String> {
        let pattern = Pattern::parse(&self.pattern).map_err(|error| error.to_string())?;
        let history = self.history.as_ref().map(WrittenHistory::read).transpose()?;
        let delivery = match (self.delivery, &history) {
            (None, None) => return Err("expected delivery or history, got neither".to_owned()),
            (Some(WrittenDelivery::Latest), Some(_)) => {
                return Err(
                    "expected no history where delivery is \"latest\", which leaves events out".to_owned()
                );
            }
            (Some(WrittenDelivery::Video), Some(_)) => {
                return Err("expected no history where delivery is \"video\", got one".to_owned());
            }
            (Some(WrittenDelivery::Latest), None) => Delivery::Latest,
            (Some(WrittenDelivery::Video), None) => Delivery::Video,
            (Some(WrittenDelivery::Every) | None, _) => Delivery::Every,
        };
        let video = (delivery == Delivery::Video).then(|| self.video());
        if video.is_none() && (self.publishers.is_some() || self.cache_bytes.is_some()) {
            return Err("expected publishers and cache_bytes only where delivery is \"video\"".to_owned());
        }
        Ok(ChannelSettings { pattern, delivery, history, video })
    }
}

impl WrittenChannel {
    fn video(&self) -> VideoSettings {
        let default = VideoSettings::default();
        VideoSettings {
            publishers: self.publishers.clone().unwrap_or_default(),
            cache_bytes: self.cache_bytes.unwrap_or(default.cache_bytes),
        }
    }
}

impl WrittenHistory {
    fn read(&self) -> Result<HistoryBounds, String> {
        let default = HistoryBounds::default();
        let within =
            |name: &str, value: Option<usize>, range: RangeInclusive<usize>, default: usize| match value {
                Some(value) if !range.contains(&value) => Err(format!(
                    "history.{name} must be an integer from {} to {}, got {value}",
                    range.start(),
                    range.end()
                )),
                value => Ok(value.unwrap_or(default)),
            };
        let time = match self.seconds {
            None => default.time,
            Some(seconds) if SECONDS.contains(&seconds) => Duration::from_secs_f64(seconds),
            Some(seconds) => {
                let (least, most) = (SECONDS.start(), SECONDS.end());
                return Err(format!(
                    "history.seconds must be a number of seconds from {least} to {most}, got {seconds}"
                ));
            }
        };
        Ok(HistoryBounds {
            events: within("events", self.events, EVENTS, default.events)?,
            bytes: within("bytes", self.bytes, BYTES, default.bytes)?,
            time,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(written: Value) -> Result<ChannelSettings, String> {
        let written: WrittenChannel = serde_json::from_value(written).map_err(|error| error.to_string())?;
        written.read()
    }

    #[test]
    fn a_history_has_the_bounds_that_are_said_and_the_usual_ones() {
        let history =
            |written: Value| read(json!({ "pattern": "*", "history": written })).unwrap().history.unwrap();
        assert_eq!(history(json!({})), HistoryBounds::default());
        let said = history(json!({ "events": 3, "bytes": 2048, "seconds": 0.5 }));
        assert_eq!(said, HistoryBounds { events: 3, bytes: 2048, time: Duration::from_millis(500) });
        assert_eq!(
            read(json!({ "pattern": "a-*", "delivery": "latest" })).unwrap().delivery,
            Delivery::Latest
        );
    }

    #[test]
    fn what_cannot_be_is_told() {
        for (written, expected) in [
            (json!({ "pattern": "*" }), "expected delivery or history"),
            (json!({ "pattern": "", "history": {} }), "may not be empty"),
            (json!({ "pattern": "*", "history": {}, "delivery": "latest" }), "expected no history"),
            (json!({ "pattern": "*", "delivery": "lates" }), "unknown variant `lates`"),
            (json!({ "pattern": "*", "history": { "event": 1 } }), "unknown field `event`"),
            (
                json!({ "pattern": "*", "history": { "events": 0 } }),
                "history.events must be an integer from 1 to 1000000",
            ),
            (
                json!({ "pattern": "*", "history": { "bytes": 1 } }),
                "history.bytes must be an integer from 1024",
            ),
            (
                json!({ "pattern": "*", "history": { "seconds": 0 } }),
                "history.seconds must be a number of seconds from 0.1 to 86400",
            ),
        ] {
            let told = read(written).unwrap_err();
            assert!(told.contains(expected), "{told}");
        }
    }
}
