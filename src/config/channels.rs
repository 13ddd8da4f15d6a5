//! The channel settings of one app: `[[apps.channels]]` of the file.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Error;
use super::draft::AppDraft;
use super::tables::Tables;
use super::value_type::Choice;
use crate::app::{ChannelSettings, Delivery};

const KNOWN: [&str; 2] = ["pattern", "delivery"];
pub(super) const DELIVERY: Choice<Delivery> =
    Choice(&[("every", Delivery::Every), ("latest", Delivery::Latest)]);

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
        let [pattern, delivery] = KNOWN.map(|name| self.required("a channel setting", name, item, table));
        let pattern = pattern.and_then(|value| self.pattern("apps.channels.pattern", value));
        let delivery = delivery.and_then(|value| self.read_as(DELIVERY, "apps.channels.delivery", value));
        let settings = ChannelSettings { pattern: pattern?, delivery: delivery? };
        (self.builder.errors.len() == errors_before).then_some(settings)
    }
}
