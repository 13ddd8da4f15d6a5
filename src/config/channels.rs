//! The channel settings of one app: `[[apps.channels]]` of the file.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Error;
use super::draft::AppDraft;
use super::tables::Tables;
use super::value_type::{Choice, Integer, Seconds, ValueType};
use crate::app::{ChannelSettings, Delivery, HistoryBounds, VideoSettings};

const KNOWN: [&str; 5] = ["pattern", "delivery", "history", "publishers", "cache_bytes"];
const HISTORY: [&str; 3] = ["events", "bytes", "seconds"];
const HISTORY_EXPECTED: &str = "a table such as { events = 1000, bytes = 1048576, seconds = 300 }";
const PUBLISHERS_EXPECTED: &str =
    "a list of user ids such as [\"ann\", \"studio-*\"], each with one star at most";
const CACHE_BYTES: Integer<usize> = Integer(0..=1_000_000_000);
const EVENTS: Integer<usize> = Integer(1..=1_000_000);
const BYTES: Integer<usize> = Integer(1024..=1_000_000_000);
const SECONDS: Seconds = Seconds { least: 0.1 };
pub(super) const DELIVERY: Choice<Delivery> =
    Choice(&[("every", Delivery::Every), ("latest", Delivery::Latest), ("video", Delivery::Video)]);

impl Tables<'_> {
    /// Reads the channel settings of the app at `index`.
    pub(super) fn channels(&mut self, index: usize, value: &Spanned<DeValue<'_>>, draft: &mut AppDraft) {
        let path = format!("apps[{index}].channels");
        self.each_table("apps.channels", value, |tables, item, table| {
            let Some(settings) = tables.channel_settings(item, table) else { return };
            let pattern = settings.pattern.to_string();
            let is_same = |known: &ChannelSettings, new: &ChannelSettings| known.pattern == new.pattern;
            let repeated = |at, _| Error::RepeatedPattern { at, pattern };
            tables.push_once((&path, &mut draft.app.channels), item, settings, is_same, repeated);
        });
    }

    fn channel_settings(
        &mut self,
        item: &Spanned<DeValue<'_>>,
        table: &DeTable<'_>,
    ) -> Option<ChannelSettings> {
        let errors_before = self.builder.errors.len();
        self.only(&KNOWN, table, "apps.channels.");
        let pattern = self.required("a channel setting", "pattern", item, table);
        let pattern = pattern.and_then(|value| self.pattern("apps.channels.pattern", value));
        let delivery =
            table.get("delivery").map(|value| self.read_as(DELIVERY, "apps.channels.delivery", value));
        let history = table.get("history").and_then(|value| self.history_bounds(value));
        let delivery = match delivery {
            Some(delivery) => delivery?,
            None if table.contains_key("history") => Delivery::Every,
            None => {
                let at = self.file.at(item);
                self.builder.errors.push(Error::NothingSet { at });
                return None;
            }
        };
        if let Some(value) = table.get("history").filter(|_| delivery != Delivery::Every) {
            let at = self.file.at(value);
            self.builder.errors.push(match delivery {
                Delivery::Video => Error::HistoryOfVideo { at },
                Delivery::Latest | Delivery::Every => Error::HistoryOfLatest { at },
            });
        }
        let video = self.video_settings(table, delivery);
        let settings = ChannelSettings { pattern: pattern?, delivery, history, video };
        (self.builder.errors.len() == errors_before).then_some(settings)
    }

    /// `publishers = ["ann"]` and `cache_bytes = 4194304`, which mean something with `delivery = "video"` alone.
    fn video_settings(&mut self, table: &DeTable<'_>, delivery: Delivery) -> Option<VideoSettings> {
        if delivery != Delivery::Video {
            for key in ["publishers", "cache_bytes"] {
                if let Some((name, _)) = table.get_key_value(key) {
                    let at = self.file.at(name);
                    self.builder.errors.push(Error::NotOfVideo { at, key });
                }
            }
            return None;
        }
        let mut settings = VideoSettings::default();
        if let Some(value) = table.get("publishers") {
            let list = value.get_ref().as_array().and_then(|list| list.iter().map(publisher).collect());
            match list {
                Some(publishers) => settings.publishers = publishers,
                None => self.wrong("apps.channels.publishers", PUBLISHERS_EXPECTED, value),
            }
        }
        let bytes = table.get("cache_bytes");
        if let Some(bytes) =
            bytes.and_then(|value| self.read_as(CACHE_BYTES, "apps.channels.cache_bytes", value))
        {
            settings.cache_bytes = bytes;
        }
        Some(settings)
    }

    /// `history = { events = 1000, bytes = 1048576, seconds = 300 }`, of which any may be left out.
    fn history_bounds(&mut self, value: &Spanned<DeValue<'_>>) -> Option<HistoryBounds> {
        let Some(table) = value.get_ref().as_table() else {
            self.wrong("apps.channels.history", HISTORY_EXPECTED, value);
            return None;
        };
        self.only(&HISTORY, table, "apps.channels.history.");
        let mut bounds = HistoryBounds::default();
        self.bound(table, "events", EVENTS, &mut bounds.events);
        self.bound(table, "bytes", BYTES, &mut bounds.bytes);
        self.bound(table, "seconds", SECONDS, &mut bounds.time);
        Some(bounds)
    }

    fn bound<F: ValueType>(&mut self, table: &DeTable<'_>, name: &str, value_type: F, bound: &mut F::Value) {
        let key = format!("apps.channels.history.{name}");
        let read = table.get(name).and_then(|value| self.read_as(value_type, &key, value));
        if let Some(read) = read {
            *bound = read;
        }
    }
}

/// A user id, or a pattern of such.
fn publisher(value: &Spanned<DeValue<'_>>) -> Option<String> {
    let text = value.get_ref().as_str().filter(|text| !text.is_empty() && text.matches('*').count() <= 1);
    text.map(str::to_owned)
}

/// The bounds in TOML.
pub(super) fn write_history(bounds: &HistoryBounds) -> String {
    let HistoryBounds { events, bytes, time } = bounds;
    format!("{{ events = {events}, bytes = {bytes}, seconds = {} }}", SECONDS.write(time))
}
