//! The configuration file as tables, matched key by key against the known settings.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::builder::Builder;
use super::draft::AppDraft;
use super::error::nearest;
use super::file::File;
use super::input_value::InputValue;
use super::value_type::{APP_KEY, SecretText, ValueType};
use super::{Error, Origin};
use crate::app::{Key, Secret};

/// Carries what one file says to the builder.
pub(super) struct Tables<'f> {
    pub(super) file: &'f File<'f>,
    pub(super) builder: &'f mut Builder,
}

const SECTIONS: [&str; 10] = [
    "server",
    "connection",
    "recovery",
    "video",
    "fallback",
    "pipe",
    "admin",
    "cluster",
    "logging",
    "development",
];
const APPS_EXPECTED: &str = "one or more tables, each begun by [[apps]]";
/// Where whoever has mistaken the form may have written a secret.
const HOLD_SECRETS: [&str; 6] =
    ["apps", "apps.keys", "apps.relay", "apps.webhooks", "apps.webhooks.headers", "cluster"];
const KEYS_EXPECTED: &str = "a list of at least one { key = \"…\", secret = \"…\" }";

impl Tables<'_> {
    /// Reads everything, and returns the apps it begins.
    pub(super) fn read(&mut self, document: &DeTable<'_>) -> Vec<AppDraft> {
        let mut apps = Vec::new();
        for (key, value) in document {
            match key.get_ref().as_ref() {
                "apps" => apps = self.apps(0, value),
                section if SECTIONS.contains(&section) => self.section(section, value),
                _ => self.unknown(key, ""),
            }
        }
        apps
    }

    /// Reads a file of apps, of which the first is the app at `index`.
    pub(super) fn read_apps(&mut self, index: usize, document: &DeTable<'_>) -> Vec<AppDraft> {
        let mut apps = Vec::new();
        for (key, value) in document {
            match key.get_ref().as_ref() {
                "apps" => apps = self.apps(index, value),
                other => {
                    let (at, key) = (self.file.at(key), other.to_owned());
                    self.builder.errors.push(Error::OnlyApps { at, key });
                }
            }
        }
        apps
    }

    fn section(&mut self, section: &str, value: &Spanned<DeValue<'_>>) {
        let Some(table) = value.get_ref().as_table() else {
            return self.wrong(section, "a table", value);
        };
        for (key, value) in table {
            let path = format!("{section}.{}", key.get_ref());
            if path == "server.listeners" {
                self.listeners(value);
                continue;
            }
            let given = InputValue::Toml(value.get_ref());
            if !self.builder.set_node(&path, &given, self.file.at(value)) {
                self.unknown(key, &format!("{section}."));
            }
        }
    }

    fn apps(&mut self, first: usize, value: &Spanned<DeValue<'_>>) -> Vec<AppDraft> {
        let Some(items) = value.get_ref().as_array() else {
            // [[apps.pipe]] above any [[apps]], or the like.
            let holds_lists = |table: &DeTable<'_>| table.values().any(|value| value.get_ref().is_array());
            let expected = if value.get_ref().as_table().is_some_and(holds_lists) {
                format!("{APPS_EXPECTED}, above what belongs to it, such as [[apps.pipe]]")
            } else {
                APPS_EXPECTED.to_owned()
            };
            self.wrong("apps", &expected, value);
            return Vec::new();
        };
        let mut apps = Vec::new();
        for (index, item) in (first..).zip(items.iter()) {
            let mut draft = AppDraft::begun_at(self.file.at(item));
            match item.get_ref().as_table() {
                Some(table) => self.app(index, table, &mut draft),
                None => self.wrong("apps", APPS_EXPECTED, item),
            }
            apps.push(draft);
        }
        apps
    }

    fn app(&mut self, index: usize, table: &DeTable<'_>, draft: &mut AppDraft) {
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "keys" => {
                    draft.keys = self.keys(value);
                    self.builder.origins.record(format!("apps[{index}].keys"), self.file.at(value));
                }
                "pipe" => self.pipe(index, value, draft),
                "channels" => self.channels(index, value, draft),
                "webhooks" => self.webhooks(index, value, draft),
                "relay" => self.relays(index, value, draft),
                section @ ("limits" | "webhook_delivery") => match value.get_ref().as_table() {
                    Some(table) => self.app_settings((index, draft), table, &format!("{section}.")),
                    None => self.wrong(&format!("apps.{section}"), "a table", value),
                },
                _ => self.app_setting((index, draft), "", key, value),
            }
        }
        if let Some(list) = table.get("keys")
            && (table.contains_key("key") || table.contains_key("secret"))
        {
            self.builder.errors.push(Error::TwoKindsOfKeys { at: self.file.at(list) });
            draft.keys = None;
        }
    }

    fn app_settings(&mut self, (index, draft): (usize, &mut AppDraft), table: &DeTable<'_>, prefix: &str) {
        for (key, value) in table {
            self.app_setting((index, draft), prefix, key, value);
        }
    }

    fn app_setting(
        &mut self,
        app: (usize, &mut AppDraft),
        prefix: &str,
        key: &Spanned<Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
    ) {
        let path = format!("{prefix}{}", key.get_ref());
        if !self.builder.set_app(app, &path, &InputValue::Toml(value.get_ref()), self.file.at(value)) {
            self.unknown(key, &format!("apps.{prefix}"));
        }
    }

    /// `keys = [{ key = "…", secret = "…" }, …]`.
    fn keys(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Vec<Key>> {
        let Some(items) = value.get_ref().as_array().filter(|items| !items.is_empty()) else {
            self.wrong("apps.keys", KEYS_EXPECTED, value);
            return None;
        };
        let mut keys = Vec::new();
        for item in items.iter() {
            let Some(table) = item.get_ref().as_table() else {
                self.wrong("apps.keys", KEYS_EXPECTED, item);
                continue;
            };
            self.only(&["key", "secret"], table, "apps.keys.");
            let [key, secret] =
                ["key", "secret"].map(|name| self.required("an item of apps.keys", name, item, table));
            let key = key.and_then(|value| self.read_as(APP_KEY, "apps.keys.key", value));
            let secret = secret.and_then(|value| self.read_as(SecretText, "apps.keys.secret", value));
            if let (Some(Some(key)), Some(Some(secret))) = (key, secret) {
                keys.push(Key { key, secret: Secret::new(secret) });
            }
        }
        Some(keys)
    }

    /// Reads a list of tables, each begun by `[[key]]`: `read` is given each that is one.
    pub(super) fn each_table(
        &mut self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        mut read: impl FnMut(&mut Self, &Spanned<DeValue<'_>>, &DeTable<'_>),
    ) {
        let expected = format!("one or more tables, each begun by [[{key}]]");
        let Some(items) = value.get_ref().as_array() else {
            return self.wrong(key, &expected, value);
        };
        for item in items.iter() {
            match item.get_ref().as_table() {
                Some(table) => read(self, item, table),
                None => self.wrong(key, &expected, item),
            }
        }
    }

    /// Puts what was read of `item` at the end of the list at `path`, unless the list has the same already: then `repeated`
    /// makes the complaint, of where it stands and where the first does.
    pub(super) fn push_once<T>(
        &mut self,
        (path, list): (&str, &mut Vec<T>),
        item: &Spanned<DeValue<'_>>,
        new: T,
        is_same: impl Fn(&T, &T) -> bool,
        repeated: impl FnOnce(Origin, Origin) -> Error,
    ) {
        let at = self.file.at(item);
        let place = |index: usize| format!("{path}[{index}]");
        match list.iter().position(|known| is_same(known, &new)) {
            Some(first) => {
                let first = self.builder.origins.of(&place(first)).clone();
                self.builder.errors.push(repeated(at, first));
            }
            None => {
                self.builder.origins.record(place(list.len()), at);
                list.push(new);
            }
        }
    }

    /// A value that `table` cannot be without.
    pub(super) fn required<'t>(
        &mut self,
        what: &'static str,
        key: &'static str,
        item: &Spanned<DeValue<'_>>,
        table: &'t DeTable<'t>,
    ) -> Option<&'t Spanned<DeValue<'t>>> {
        let value = table.get(key);
        if value.is_none() {
            let at = self.file.at(item);
            self.builder.errors.push(Error::Missing { at, what, key, variable: None });
        }
        value
    }

    /// The value as one of a type.
    pub(super) fn read_as<F: ValueType>(
        &mut self,
        value_type: F,
        key: &str,
        value: &Spanned<DeValue<'_>>,
    ) -> Option<F::Value> {
        let given = InputValue::Toml(value.get_ref());
        let read = value_type.read(&given);
        if read.is_none() {
            self.builder.errors.push(Error::Value {
                at: self.file.at(value),
                key: key.to_owned(),
                expected: value_type.expected(),
                got: value_type.got(&given),
            });
        }
        read
    }

    /// Complains of every key that is not one of `known`.
    pub(super) fn only(&mut self, known: &[&str], table: &DeTable<'_>, prefix: &str) {
        for (key, _) in table.iter().filter(|(key, _)| !known.contains(&key.get_ref().as_ref())) {
            let nearest = nearest(key.get_ref(), known.iter().copied());
            self.builder.errors.push(Error::UnknownKey {
                at: self.file.at(key),
                key: format!("{prefix}{}", key.get_ref()),
                nearest: nearest.map(|name| format!("{prefix}{name}")),
            });
        }
    }

    /// Complains of a value that is not what was expected. Where secrets belong, only its kind is told.
    pub(super) fn wrong(&mut self, key: &str, expected: &str, value: &Spanned<DeValue<'_>>) {
        let given = InputValue::Toml(value.get_ref());
        let holds_secrets = HOLD_SECRETS.contains(&key);
        self.builder.errors.push(Error::Value {
            at: self.file.at(value),
            key: key.to_owned(),
            expected: expected.to_owned(),
            got: match value.get_ref() {
                text @ DeValue::String(_) if holds_secrets => given.type_name(text),
                _ => given.describe(),
            },
        });
    }

    fn unknown(&mut self, key: &Spanned<Cow<'_, str>>, prefix: &str) {
        let name = key.get_ref().as_ref();
        self.builder.errors.push(Error::UnknownKey {
            at: self.file.at(key),
            key: format!("{prefix}{name}"),
            nearest: self.builder.nearest_key(prefix, name),
        });
    }
}
