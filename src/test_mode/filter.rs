//! Which entries of a log are meant.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::entry::{Details, Entry, EventSource, Kind};
use super::json_path::JsonPath;
use super::meant::with_meant;
use crate::config::nearest;
use crate::protocol::json;

/// Accepts the entries that have everything it names.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Filter {
    /// One kind, or any of several.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kinds>,
    /// The connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket_id: Option<String>,
    /// Entries that name this user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// Entries that name this channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// The name of the event or webhook.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where an event came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<EventSource>,
    /// The code of a close or error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// The HTTP status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Part of the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Part of the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Entries that this fault brought about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<u64>,
    /// What the payload must hold; all of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<Expectation>,
}

/// One kind, or several.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged, try_from = "Value")]
pub enum Kinds {
    One(Kind),
    /// Any of these.
    Any(Vec<Kind>),
}

impl Kinds {
    /// Every refusal: of a connection, of what a client asked for, of a request.
    pub fn refusals() -> Self {
        Kinds::Any(vec![Kind::ConnectionRefused, Kind::Refused, Kind::HttpRefused])
    }
}

impl TryFrom<Value> for Kinds {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let kind = |value: &Value| {
            let known = Kind::ALL.iter().find(|kind| Some(kind.name()) == value.as_str());
            known.copied().ok_or_else(|| {
                let names: Vec<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
                let said = format!("expected a type of entry, got {value}; there are {}", names.join(", "));
                with_meant(said, value.as_str().and_then(|given| nearest(given, names)))
            })
        };
        match &value {
            Value::Array(several) => several.iter().map(kind).collect::<Result<_, _>>().map(Kinds::Any),
            one => kind(one).map(Kinds::One),
        }
    }
}

impl From<Kind> for Kinds {
    fn from(kind: Kind) -> Self {
        Kinds::One(kind)
    }
}

/// What is expected of a payload at one place.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// The place. A payload that is not JSON counts as a JSON string.
    #[serde(default)]
    pub path: JsonPath,
    /// The value that must stand there; a number to its last digit. Without it, any value will do.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub equals: Option<Value>,
}

/// A `null` that is there is a value; only a missing one is none.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl Filter {
    /// Entries of one kind.
    pub fn of(kind: Kind) -> Self {
        Filter { kind: Some(kind.into()), ..Filter::default() }
    }

    /// Whether the entry has everything that is named.
    pub fn accepts(&self, entry: &Entry) -> bool {
        let Details {
            socket_id,
            user_id,
            channel,
            name,
            source,
            code,
            status,
            reason,
            path,
            fault,
            data,
            ..
        } = &entry.details;
        let kind = match &self.kind {
            None => true,
            Some(Kinds::One(kind)) => *kind == entry.kind,
            Some(Kinds::Any(kinds)) => kinds.contains(&entry.kind),
        };
        kind && same_text(self.socket_id.as_ref(), socket_id.as_deref())
            && same_text(self.user_id.as_ref(), user_id.as_deref())
            && same_text(self.channel.as_ref(), channel.as_deref())
            && same_text(self.name.as_ref(), name.as_deref())
            && same(self.source, *source)
            && same(self.code, *code)
            && same(self.status, *status)
            && same(self.fault, *fault)
            && part(self.reason.as_ref(), reason.as_deref())
            && part(self.path.as_ref(), path.as_deref())
            && self.accepts_data(data.as_deref())
    }

    /// A filter for each member that is named, but for the type: with the member's name.
    pub(super) fn others(&self) -> Vec<(&'static str, Filter)> {
        let Filter {
            kind: _,
            socket_id,
            user_id,
            channel,
            name,
            source,
            code,
            status,
            reason,
            path,
            fault,
            data,
        } = self;
        let mut others = Vec::new();
        let mut add = |is_named: bool, what: &'static str, filter: Filter| {
            if is_named {
                others.push((what, filter));
            }
        };
        let none = Filter::default;
        add(socket_id.is_some(), "socket_id", Filter { socket_id: socket_id.clone(), ..none() });
        add(user_id.is_some(), "user_id", Filter { user_id: user_id.clone(), ..none() });
        add(channel.is_some(), "channel", Filter { channel: channel.clone(), ..none() });
        add(name.is_some(), "name", Filter { name: name.clone(), ..none() });
        add(source.is_some(), "source", Filter { source: *source, ..none() });
        add(code.is_some(), "code", Filter { code: *code, ..none() });
        add(status.is_some(), "status", Filter { status: *status, ..none() });
        add(reason.is_some(), "reason", Filter { reason: reason.clone(), ..none() });
        add(path.is_some(), "path", Filter { path: path.clone(), ..none() });
        add(fault.is_some(), "fault", Filter { fault: *fault, ..none() });
        for expectation in data {
            add(true, "data", Filter { data: vec![expectation.clone()], ..none() });
        }
        others
    }

    fn accepts_data(&self, data: Option<&str>) -> bool {
        if self.data.is_empty() {
            return true;
        }
        let Some(text) = data else { return false };
        let literal;
        let value: &RawValue = match serde_json::from_str(text) {
            Ok(value) => value,
            Err(_) => {
                literal = json::string_literal(text);
                let Ok(value) = serde_json::from_str(&literal) else { return false };
                value
            }
        };
        self.data.iter().all(|expected| {
            let Some(found) = expected.path.of(value) else { return false };
            expected.equals.as_ref().is_none_or(|wanted| {
                // A number in quotes, or a word that happens to be one in JSON, may be compared as the text it is.
                let as_text = || found.get() == value.get() && wanted.as_str() == Some(text);
                json::equals(found, wanted) || as_text()
            })
        })
    }
}

fn same<T: PartialEq>(wanted: Option<T>, found: Option<T>) -> bool {
    wanted.is_none() || wanted == found
}

fn same_text(wanted: Option<&String>, found: Option<&str>) -> bool {
    wanted.is_none_or(|wanted| found == Some(wanted))
}

fn part(wanted: Option<&String>, found: Option<&str>) -> bool {
    wanted.is_none_or(|wanted| found.is_some_and(|found| found.contains(wanted.as_str())))
}

/// As it stands in the sentence "expected … to be logged".
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            None => f.write_str("anything")?,
            Some(Kinds::One(kind)) => f.write_str(kind.name())?,
            Some(Kinds::Any(kinds)) => {
                let names: Vec<_> = kinds.iter().map(|kind| kind.name()).collect();
                f.write_str(&names.join(" or "))?;
            }
        }
        let texts = [
            ("socket_id", &self.socket_id),
            ("user_id", &self.user_id),
            ("channel", &self.channel),
            ("name", &self.name),
            ("reason with", &self.reason),
            ("path with", &self.path),
        ];
        for (label, text) in texts {
            if let Some(text) = text {
                write!(f, ", {label} {text:?}")?;
            }
        }
        if let Some(source) = self.source {
            write!(f, ", from {}", if source == EventSource::Http { "the HTTP API" } else { "a client" })?;
        }
        for (label, number) in [("code", self.code), ("status", self.status)] {
            if let Some(number) = number {
                write!(f, ", {label} {number}")?;
            }
        }
        if let Some(fault) = self.fault {
            write!(f, ", fault {fault}")?;
        }
        for Expectation { path, equals } in &self.data {
            match equals {
                Some(value) => write!(f, ", data {path} = {value}")?,
                None => write!(f, ", data with {path}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entry(data: &str) -> Entry {
        let details = Details {
            socket_id: Some("1.2".into()),
            channel: Some("room".into()),
            name: Some("message".into()),
            source: Some(EventSource::Http),
            reason: Some("because of it".into()),
            data: Some(data.into()),
            ..Details::default()
        };
        Entry { seq: 1, at_ms: 0.0, kind: Kind::Event, details }
    }

    fn filter(json: Value) -> Filter {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn every_member_that_is_named_must_fit() {
        let entry = entry("{}");
        let fitting = [
            json!({}),
            json!({ "type": "event" }),
            json!({ "type": ["delivered", "event"], "channel": "room", "name": "message" }),
            json!({ "socket_id": "1.2", "source": "http", "reason": "of it" }),
        ];
        for json in fitting {
            assert!(filter(json.clone()).accepts(&entry), "{json}");
        }
        let others = [
            json!({ "type": "delivered" }),
            json!({ "type": [] }),
            json!({ "channel": "roo" }),
            json!({ "user_id": "ann" }),
            json!({ "source": "client" }),
            json!({ "code": 4100 }),
            json!({ "reason": "of them" }),
            json!({ "path": "/" }),
        ];
        for json in others {
            assert!(!filter(json.clone()).accepts(&entry), "{json}");
        }
    }

    #[test]
    fn payloads_are_looked_into() {
        let at = |path: &str, equals: Value| filter(json!({ "data": [{ "path": path, "equals": equals }] }));
        let order = entry(r#"{"order":{"id":7,"note":null}}"#);
        assert!(at("order.id", json!(7)).accepts(&order));
        assert!(!at("order.id", json!("7")).accepts(&order));
        assert!(at("order.note", json!(null)).accepts(&order), "null is a value");
        assert!(!at("order.name", json!(null)).accepts(&order), "and is not the same as nothing");
        assert!(filter(json!({ "data": [{ "path": "order.note" }] })).accepts(&order));
        assert!(!filter(json!({ "data": [{ "path": "order.name" }] })).accepts(&order));
        let large = entry(r#"[{"id":175928847299117063}]"#);
        assert!(at("[0].id", json!(175_928_847_299_117_063_u64)).accepts(&large));
        assert!(!at("[0].id", json!(175_928_847_299_117_062_u64)).accepts(&large), "the same double");
        assert!(at("$", json!([{ "id": 175_928_847_299_117_063_u64 }])).accepts(&large));
        assert!(at("order.id", json!(7.0)).accepts(&order), "a number is its value");
        assert!(at("$", json!("plain words")).accepts(&entry("plain words")));
        assert!(at("$", json!("42")).accepts(&entry("42")), "the text as it is");
        assert!(at("$", json!(42)).accepts(&entry("42")), "or as the number it is");
    }

    #[test]
    fn a_filter_says_what_it_wants() {
        let wanted =
            filter(json!({ "type": "event", "channel": "room", "data": [{ "path": "id", "equals": 7 }] }));
        assert_eq!(wanted.to_string(), r#"event, channel "room", data id = 7"#);
        assert_eq!(Filter::default().to_string(), "anything");
    }
}
