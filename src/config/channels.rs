//! The channel settings of one app: `[[apps.channels]]` of the file.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Error;
use super::draft::AppDraft;
use super::tables::Tables;
use super::value_type::Choice;
use crate::app::{ChannelSettings, Delivery};

const KNOWN: [&str; 2] = ["pattern", "delivery"];
const EXPECTED: &str = "one or more tables, each begun by [[apps.channels]]";
pub(super) const DELIVERY: Choice<Delivery> =
    Choice(&[("every", Delivery::Every), ("latest", Delivery::Latest)]);

impl Tables<'_> {
    /// Reads the channel settings of the app at `index`.
    pub(super) fn channels(&mut self, index: usize, value: &Spanned<DeValue<'_>>, draft: &mut AppDraft) {
        let Some(items) = value.get_ref().as_array() else {
            return self.wrong("apps.channels", EXPECTED, value);
        };
        for item in items.iter() {
            let Some(table) = item.get_ref().as_table() else {
                self.wrong("apps.channels", EXPECTED, item);
                continue;
            };
            let Some(settings) = self.channel_settings(item, table) else { continue };
            let channels = &mut draft.app.channels;
            if channels.iter().any(|known| known.pattern == settings.pattern) {
                let pattern = settings.pattern.to_string();
                self.builder.errors.push(Error::RepeatedPattern { at: self.file.at(item), pattern });
                continue;
            }
            let path = format!("apps[{index}].channels[{}]", channels.len());
            channels.push(settings);
            self.builder.origins.record(path, self.file.at(item));
        }
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
