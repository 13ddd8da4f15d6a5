//! The rules of one app: `[[apps.pipe]]` of the file, and the short form of `--pipe`.

use serde_json::{Map, Value as Json};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::builder::Builder;
use super::draft::AppDraft;
use super::input_value::InputValue;
use super::tables::Tables;
use super::value_type::{AnyText, Boolean, Choice};
use super::{Error, Origin};
use crate::pipe::{BadRule, INTERVAL_EXPECTED, Pattern, Rate, RuleSpec, parse_interval};
use crate::protocol::json;

const KNOWN: [&str; 12] =
    ["from", "event", "to", "as", "add", "pick", "source", "where", "rate", "min_interval", "keep", "drop"];
/// What becomes of events that come too soon: whether the newest waits.
pub(super) const KEEP: Choice<bool> = Choice(&[("none", false), ("latest", true)]);

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
        let path = format!("apps[{index}].pipe");
        self.each_table("apps.pipe", value, |tables, item, table| {
            let Some(rule) = tables.rule(item, table) else { return };
            let repeated = |at, first| Error::RepeatedRule { at, first };
            tables.push_once((&path, &mut draft.pipe), item, rule, RuleSpec::eq, repeated);
        });
    }

    fn rule(&mut self, item: &Spanned<DeValue<'_>>, table: &DeTable<'_>) -> Option<RuleSpec> {
        let errors_before = self.builder.errors.len();
        self.only(&KNOWN, table, "apps.pipe.");
        let [from, event] = ["from", "event"].map(|name| self.required("a pipe rule", name, item, table));
        let from = from.and_then(|value| self.pattern("apps.pipe.from", value));
        let event = event.and_then(|value| self.read_as(AnyText, "apps.pipe.event", value));
        let to = table.get("to").and_then(|value| self.targets(value));
        let drop = table.get("drop").and_then(|value| self.read_as(Boolean, "apps.pipe.drop", value));
        let rename = table.get("as").and_then(|value| self.read_as(AnyText, "apps.pipe.as", value));
        let add = table.get("add").and_then(|value| self.members("apps.pipe.add", value)).unwrap_or_default();
        let pick = table.get("pick").and_then(|value| self.texts("apps.pipe.pick", value));
        let filter = table.get("where").and_then(|value| self.members("apps.pipe.where", value));
        let rate = table
            .get("rate")
            .and_then(|value| self.parsed("apps.pipe.rate", Rate::EXPECTED, Rate::parse, value));
        let min_interval = table.get("min_interval").and_then(|value| {
            self.parsed("apps.pipe.min_interval", INTERVAL_EXPECTED, parse_interval, value)
        });
        let keep = table.get("keep").and_then(|value| self.read_as(KEEP, "apps.pipe.keep", value));
        let (hears_clients, hears_http) =
            table.get("source").and_then(|value| self.sources(value)).unwrap_or((true, false));
        if self.builder.errors.len() > errors_before {
            return None;
        }
        let nowhere = match (table.contains_key("to"), drop.unwrap_or(false)) {
            (true, true) => Some(BadRule::DropAndSend("to")),
            (false, false) => Some(BadRule::Nowhere),
            _ => None,
        };
        let (from, event) = (from?, event?);
        let rule = RuleSpec {
            rename: rename.filter(|name| *name != event),
            from,
            event,
            to: to.unwrap_or_default(),
            add,
            pick,
            hears_clients,
            hears_http,
            filter: filter.unwrap_or_default(),
            rate,
            min_interval,
            keep_latest: keep.unwrap_or(false),
        };
        if let Some(source) = nowhere.or_else(|| rule.check().err()) {
            self.builder.errors.push(Error::Rule { at: self.file.at(item), source });
        }
        (self.builder.errors.len() == errors_before).then_some(rule)
    }

    /// `to = "mirror"` or `to = ["left", "right"]`.
    fn targets(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Vec<Pattern>> {
        match value.get_ref().as_array() {
            None => self.pattern("apps.pipe.to", value).map(|pattern| vec![pattern]),
            Some(items) if items.is_empty() => {
                self.wrong("apps.pipe.to", "a channel, or a list of at least one", value);
                None
            }
            Some(items) => items.iter().map(|item| self.pattern("apps.pipe.to", item)).collect(),
        }
    }

    /// A text that stands for something else.
    fn parsed<T>(
        &mut self,
        key: &str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
        value: &Spanned<DeValue<'_>>,
    ) -> Option<T> {
        let parsed = value.get_ref().as_str().and_then(parse);
        if parsed.is_none() {
            self.wrong(key, expected, value);
        }
        parsed
    }

    pub(super) fn pattern(&mut self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<Pattern> {
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
                got: InputValue::Text(bad).describe(),
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

    fn members(&mut self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<Map<String, Json>> {
        let Some(table) = value.get_ref().as_table() else {
            let example =
                if key.ends_with("add") { "message = \"Sending frame\"" } else { "kind = \"camera\"" };
            self.wrong(key, &format!("a table such as {{ {example} }}"), value);
            return None;
        };
        let members =
            table.iter().map(|(name, value)| Some((name.get_ref().to_string(), self.json(key, value)?)));
        members.collect()
    }

    /// TOML as JSON. TOML's dates and its numbers that are none have no counterpart.
    fn json(&mut self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<Json> {
        let given = InputValue::Toml(value.get_ref());
        let json = match value.get_ref() {
            DeValue::String(text) => Some(Json::from(text.as_ref())),
            DeValue::Boolean(switch) => Some(Json::from(*switch)),
            DeValue::Integer(integer) => {
                let larger = || u64::from_str_radix(integer.as_str(), integer.radix()).ok().map(Json::from);
                given.integer().map(Json::from).or_else(larger)
            }
            DeValue::Float(float) => {
                let json = given.number().and_then(serde_json::Number::from_f64);
                // Rounded, it would be another number than the one that is written there.
                if json.is_some() && !json::is_held_exactly(float.as_str().trim_start_matches('+')) {
                    self.wrong(key, "a number with no more digits than a double holds", value);
                    return None;
                }
                json.map(Json::Number)
            }
            DeValue::Array(items) => {
                return items.iter().map(|item| self.json(key, item)).collect::<Option<_>>().map(Json::Array);
            }
            DeValue::Table(table) => {
                let members = table
                    .iter()
                    .map(|(name, value)| Some((name.get_ref().to_string(), self.json(key, value)?)));
                return members.collect::<Option<_>>().map(Json::Object);
            }
            DeValue::Datetime(_) => None,
        };
        if json.is_none() {
            self.wrong(key, "made of what JSON can hold", value);
        }
        json
    }
}
