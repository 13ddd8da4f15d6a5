//! The relays of one app: `[[apps.relay]]` of the file.

use std::fmt::Write;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::draft::AppDraft;
use super::tables::Tables;
use super::value_type::{AnyText, Boolean, Integer, OptionalFile, Seconds, SecretText, ValueType, quote};
use super::{BadRelay, Error, RelaySettings, RelayUrl};
use crate::app::{Key, Secret};

const KNOWN: [&str; 13] = [
    "url",
    "app_id",
    "key",
    "secret",
    "channels",
    "queue_events",
    "queue_bytes",
    "batch_events",
    "batches_are_checked_whole",
    "sign_prefix",
    "timeout_seconds",
    "give_up_after_seconds",
    "ca_file",
];
const MOST: usize = 1_000_000_000;
const TIMEOUT: Seconds = Seconds { least: 0.001 };

impl Tables<'_> {
    /// Reads the relays of the app at `index`.
    pub(super) fn relays(&mut self, index: usize, value: &Spanned<DeValue<'_>>, draft: &mut AppDraft) {
        let path = format!("apps[{index}].relay");
        self.each_table("apps.relay", value, |tables, item, table| {
            let Some(relay) = tables.relay(item, table) else { return };
            let repeated = |at, first| Error::RepeatedRelay { at, first };
            let list = (&*path, &mut draft.relays);
            tables.push_once(list, item, relay, RelaySettings::is_to_same_app, repeated);
        });
    }

    fn relay(&mut self, item: &Spanned<DeValue<'_>>, table: &DeTable<'_>) -> Option<RelaySettings> {
        let errors_before = self.builder.errors.len();
        self.only(&KNOWN, table, "apps.relay.");
        let url = self.required("a relay", "url", item, table).and_then(|value| {
            let text = self.read_as(AnyText, "apps.relay.url", value)?;
            self.usable(RelayUrl::parse(&text), value)
        });
        let app_id = self.relay_name("app_id", item, table);
        let key = self.relay_name("key", item, table);
        let secret = self.required("a relay", "secret", item, table);
        let secret = secret.and_then(|value| self.read_as(SecretText, "apps.relay.secret", value)).flatten();
        let (url, app_id, key, secret) = (url?, app_id?, key?, secret?);
        let mut relay = RelaySettings::new(url, app_id, Key { key, secret: Secret::new(secret) });
        for (name, value) in table {
            let key = format!("apps.relay.{}", name.get_ref());
            let whole = |most| Integer(1..=most);
            match name.get_ref().as_ref() {
                "channels" => relay.channels = self.relayed_channels(value),
                "queue_events" => self.set(whole(MOST), &key, value, &mut relay.queue_events),
                "queue_bytes" => self.set(whole(MOST), &key, value, &mut relay.queue_bytes),
                "batch_events" => self.set(whole(1000), &key, value, &mut relay.batch_events),
                "batches_are_checked_whole" => {
                    self.set(Boolean, &key, value, &mut relay.batches_are_checked_whole);
                }
                "sign_prefix" => self.set(Boolean, &key, value, &mut relay.sign_prefix),
                "timeout_seconds" => self.set(TIMEOUT, &key, value, &mut relay.timeout),
                "give_up_after_seconds" => self.set(TIMEOUT, &key, value, &mut relay.give_up_after),
                "ca_file" => self.set(OptionalFile, &key, value, &mut relay.ca_file),
                _ => {}
            }
        }
        (self.builder.errors.len() == errors_before).then_some(relay)
    }

    /// The app's id or key there.
    fn relay_name(
        &mut self,
        name: &'static str,
        item: &Spanned<DeValue<'_>>,
        table: &DeTable<'_>,
    ) -> Option<String> {
        let value = self.required("a relay", name, item, table)?;
        let text = self.read_as(AnyText, &format!("apps.relay.{name}"), value)?;
        self.usable(BadRelay::check_name(name, &text), value)?;
        Some(text)
    }

    fn relayed_channels(&mut self, value: &Spanned<DeValue<'_>>) -> Vec<crate::pipe::Pattern> {
        let Some(items) = value.get_ref().as_array().filter(|items| !items.is_empty()) else {
            self.wrong("apps.relay.channels", "a list of at least one channel pattern", value);
            return Vec::new();
        };
        items.iter().filter_map(|item| self.pattern("apps.relay.channels", item)).collect()
    }

    fn set<F: ValueType>(
        &mut self,
        value_type: F,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        target: &mut F::Value,
    ) {
        if let Some(read) = self.read_as(value_type, key, value) {
            *target = read;
        }
    }

    /// The value, or the complaint that it is none.
    fn usable<T>(&mut self, read: Result<T, BadRelay>, value: &Spanned<DeValue<'_>>) -> Option<T> {
        read.map_err(|source| self.builder.errors.push(Error::Relay { at: self.file.at(value), source })).ok()
    }
}

/// A relay as the file would have it, with this in place of its secret.
pub(super) fn lines(relay: &RelaySettings, secret: &str) -> String {
    let mut lines = String::new();
    let mut line = |key: &str, value: &str| {
        let _ = writeln!(lines, "{key} = {value}");
    };
    line("url", &quote(relay.url.as_str()));
    line("app_id", &quote(&relay.app_id));
    line("key", &quote(&relay.key.key));
    line("secret", secret);
    if !relay.channels.is_empty() {
        let patterns: Vec<_> = relay.channels.iter().map(|pattern| quote(&pattern.to_string())).collect();
        line("channels", &format!("[{}]", patterns.join(", ")));
    }
    line("queue_events", &relay.queue_events.to_string());
    line("queue_bytes", &relay.queue_bytes.to_string());
    line("batch_events", &relay.batch_events.to_string());
    line("batches_are_checked_whole", &relay.batches_are_checked_whole.to_string());
    line("sign_prefix", &relay.sign_prefix.to_string());
    line("timeout_seconds", &TIMEOUT.write(&relay.timeout));
    line("give_up_after_seconds", &TIMEOUT.write(&relay.give_up_after));
    line("ca_file", &OptionalFile.write(&relay.ca_file));
    lines
}
