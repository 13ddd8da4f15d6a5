//! The rules of one app: `[[apps.pipe]]` of the file, and the short form of `--pipe`.

use serde_json::{Map, Value as Json};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::builder::Builder;
use super::draft::AppDraft;
use super::form::AnyText;
use super::given::Given;
use super::tables::Tables;
use super::{Error, Origin};
use crate::pipe::{Pattern, RuleSpec};

const KNOWN: [&str; 7] = ["from", "event", "to", "as", "add", "pick", "source"];
const PIPE_EXPECTED: &str = "one or more tables, each begun by [[apps.pipe]]";

/// Adds a rule in its command-line form to the first app. One that the app has already is not added again: it would
/// send every event twice.
pub(super) fn add(text: &str, origin: Origin, draft: &mut AppDraft, builder: &mut Builder) {
    match RuleSpec::parse(text) {
        Err(source) => builder.errors.push(Error::Rule { at: origin, source }),
        Ok(rule) if draft.pipe.contains(&rule) => {}
        Ok(rule) => {
            builder.origins.record(format!("apps[0].pipe[{}]", draft.pipe.len()), origin);
            draft.pipe.push(rule);
        }
    }
}

impl Tables<'_> {
    /// Reads the rules of the app at `index`.
    pub(super) fn pipe(&mut self, index: usize, value: &Spanned<DeValue<'_>>, draft: &mut AppDraft) {
        let Some(items) = value.get_ref().as_array() else {
            return self.wrong("apps.pipe", PIPE_EXPECTED, value);
        };
        for item in items.iter() {
            let Some(table) = item.get_ref().as_table() else {
                self.wrong("apps.pipe", PIPE_EXPECTED, item);
                continue;
            };
            let Some(rule) = self.rule(item, table) else { continue };
            let at = self.file.at(item);
            match draft.pipe.iter().position(|known| *known == rule) {
                Some(first) => {
                    let first = self.builder.origins.of(&format!("apps[{index}].pipe[{first}]")).clone();
                    self.builder.errors.push(Error::RepeatedRule { at, first });
                }
                None => {
                    self.builder.origins.record(format!("apps[{index}].pipe[{}]", draft.pipe.len()), at);
                    draft.pipe.push(rule);
                }
            }
        }
    }

    fn rule(&mut self, item: &Spanned<DeValue<'_>>, table: &DeTable<'_>) -> Option<RuleSpec> {
        let errors_before = self.builder.errors.len();
        self.only(&KNOWN, table, "apps.pipe.");
        let [from, event, to] =
            ["from", "event", "to"].map(|name| self.required("a pipe rule", name, item, table));
        let from = from.and_then(|value| self.pattern("apps.pipe.from", value));
        let to = to.and_then(|value| self.pattern("apps.pipe.to", value));
        let event = event.and_then(|value| self.read_as(AnyText, "apps.pipe.event", value));
        let rename = table.get("as").and_then(|value| self.read_as(AnyText, "apps.pipe.as", value));
        let add = table.get("add").and_then(|value| self.add(value)).unwrap_or_default();
        let pick = table.get("pick").and_then(|value| self.texts("apps.pipe.pick", value));
        let (hears_clients, hears_http) =
            table.get("source").and_then(|value| self.sources(value)).unwrap_or((true, false));
        let (from, event, to) = (from?, event?, to?);
        let rename = rename.filter(|name| *name != event);
        let rule = RuleSpec { from, event, to, rename, add, pick, hears_clients, hears_http };
        if let Err(source) = rule.check() {
            self.builder.errors.push(Error::Rule { at: self.file.at(item), source });
        }
        (self.builder.errors.len() == errors_before).then_some(rule)
    }

    fn pattern(&mut self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<Pattern> {
        let text = self.read_as(AnyText, key, value)?;
        match Pattern::parse(&text) {
            Ok(pattern) => Some(pattern),
            Err(bad) => {
                self.builder.errors.push(Error::Rule { at: self.file.at(value), source: bad.into() });
                None
            }
        }
    }

    /// `source = ["client", "http"]`, as whether clients and whether the HTTP API are heard.
    fn sources(&mut self, value: &Spanned<DeValue<'_>>) -> Option<(bool, bool)> {
        let names = self.texts("apps.pipe.source", value)?;
        if let Some(bad) = names.iter().find(|name| !["client", "http"].contains(&name.as_str())) {
            self.builder.errors.push(Error::Value {
                at: self.file.at(value),
                key: "apps.pipe.source".to_owned(),
                expected: "a list of \"client\" and \"http\", one or both".to_owned(),
                got: Given::Text(bad).describe(),
            });
            return None;
        }
        let hears = |source: &str| names.iter().any(|name| name == source);
        Some((hears("client"), hears("http")))
    }

    pub(super) fn texts(&mut self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<Vec<String>> {
        let items = value.get_ref().as_array().map(|items| items.iter());
        let texts = items.and_then(|mut items| {
            items.try_fold(Vec::new(), |mut texts, item| {
                texts.push(item.get_ref().as_str()?.to_owned());
                Some(texts)
            })
        });
        if texts.is_none() {
            self.wrong(key, "a list of strings", value);
        }
        texts
    }

    fn add(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Map<String, Json>> {
        let Some(table) = value.get_ref().as_table() else {
            self.wrong("apps.pipe.add", "a table such as { message = \"Sending frame\" }", value);
            return None;
        };
        let members = table.iter().map(|(key, value)| Some((key.get_ref().to_string(), self.json(value)?)));
        members.collect()
    }

    /// TOML as JSON. TOML's dates and its numbers that are none have no counterpart.
    fn json(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Json> {
        let given = Given::Toml(value.get_ref());
        let json = match value.get_ref() {
            DeValue::String(text) => Some(Json::from(text.as_ref())),
            DeValue::Boolean(switch) => Some(Json::from(*switch)),
            DeValue::Integer(_) => given.integer().map(Json::from),
            DeValue::Float(_) => given.number().and_then(serde_json::Number::from_f64).map(Json::Number),
            DeValue::Array(items) => {
                return items.iter().map(|item| self.json(item)).collect::<Option<_>>().map(Json::Array);
            }
            DeValue::Table(table) => {
                let members =
                    table.iter().map(|(key, value)| Some((key.get_ref().to_string(), self.json(value)?)));
                return members.collect::<Option<_>>().map(Json::Object);
            }
            DeValue::Datetime(_) => None,
        };
        if json.is_none() {
            self.wrong("apps.pipe.add", "made of what JSON can hold", value);
        }
        json
    }
}
