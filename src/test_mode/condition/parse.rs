//! A condition as it is written in JSON, with what is wrong with it.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

use super::Condition;
use crate::config::nearest;
use crate::test_mode::count::Count;
use crate::test_mode::entry::Kind;
use crate::test_mode::filter::{Filter, Kinds};
use crate::test_mode::meant::{explained, with_meant};

/// The JSON is no condition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCondition {
    /// Its type is not one that exists.
    #[error("{}", wrong_type(.0))]
    Type(String),
    /// A member is missing, of another type, or unknown.
    #[error("in a condition of type {of:?}: {why}")]
    Member {
        /// The condition's type.
        of: String,
        /// What is wrong.
        why: String,
    },
}

/// The types of conditions.
const TYPES: [&str; 11] = [
    "subscribers",
    "members",
    "signed_in",
    "connections",
    "event",
    "delivered",
    "resumed",
    "webhook",
    "refused",
    "logged",
    "nothing",
];

fn wrong_type(got: &str) -> String {
    let said = format!("expected \"type\" to be one of {}, got {got}", TYPES.join(", "));
    with_meant(said, nearest(got.trim_matches('"'), TYPES))
}

impl Condition {
    /// Reads a condition from JSON.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(value: &Value) -> Result<Self, BadCondition> {
        let Some(members) = value.as_object() else { return Err(BadCondition::Type(value.to_string())) };
        let of = match members.get("type") {
            Some(Value::String(name)) => name.clone(),
            other => return Err(BadCondition::Type(other.map_or("none".to_owned(), Value::to_string))),
        };
        let mut rest = members.clone();
        rest.remove("type");
        let mut taken = Statement { of: &of, rest, known: Vec::new() };
        let condition = match of.as_str() {
            "subscribers" => {
                let channel = taken.required("channel")?;
                Condition::Subscribers { channel, count: taken.required("count")? }
            }
            "members" => {
                let channel = taken.required("channel")?;
                match taken.optional("user_ids")? {
                    Some(user_ids) => Condition::Members { channel, user_ids },
                    None => {
                        let count = taken.optional("count")?;
                        let count =
                            count.ok_or_else(|| taken.wrong("\"count\" or \"user_ids\" is missing"))?;
                        Condition::MemberCount { channel, count }
                    }
                }
            }
            "signed_in" => {
                let connections = taken.optional("connections")?.unwrap_or(Count::at_least(1));
                Condition::SignedIn { user_id: taken.required("user_id")?, connections }
            }
            "connections" => Condition::Connections { count: taken.required("count")? },
            "event" | "delivered" | "resumed" | "webhook" | "refused" | "logged" => {
                let mut filter: Filter = match of.as_str() {
                    "logged" => taken.required("filter")?,
                    _ => taken.filter(&["count", "sockets", "after"])?,
                };
                match of.as_str() {
                    "event" => filter.kind = Some(Kind::Event.into()),
                    "delivered" => filter.kind = Some(Kind::Delivered.into()),
                    "resumed" => filter.kind = Some(Kind::Resumed.into()),
                    "webhook" => filter.kind = Some(Kind::Webhook.into()),
                    "refused" => filter.kind = Some(Kinds::refusals()),
                    _ => {}
                }
                let (count, sockets) = (taken.optional("count")?, taken.optional("sockets")?);
                Condition::of_entries(filter, count, sockets, taken.optional("after")?.unwrap_or(0))
            }
            "nothing" => {
                let filter = taken.optional("filter")?.unwrap_or_default();
                let span = Duration::from_millis(taken.required("for_ms")?);
                Condition::Nothing { filter, span, after: taken.optional("after")? }
            }
            other => return Err(BadCondition::Type(format!("{other:?}"))),
        };
        taken.end()?;
        Ok(condition)
    }
}

/// The members of a condition that have not been read yet.
struct Statement<'a> {
    of: &'a str,
    rest: Map<String, Value>,
    /// Those that were asked for.
    known: Vec<&'static str>,
}

impl Statement<'_> {
    fn wrong(&self, why: impl fmt::Display) -> BadCondition {
        BadCondition::Member { of: self.of.to_owned(), why: why.to_string() }
    }

    fn optional<T: serde::de::DeserializeOwned>(
        &mut self,
        name: &'static str,
    ) -> Result<Option<T>, BadCondition> {
        self.known.push(name);
        match self.rest.remove(name) {
            None => Ok(None),
            Some(value) => serde_json::from_value(value)
                .map(Some)
                .map_err(|error| self.wrong(format!("{name:?}: {}", explained(&error, &[])))),
        }
    }

    fn required<T: serde::de::DeserializeOwned>(&mut self, name: &'static str) -> Result<T, BadCondition> {
        let value = self.optional(name)?;
        value.ok_or_else(|| {
            let said = format!("{name:?} is missing");
            match self.rest.keys().find(|given| nearest(given, [name]).is_some()) {
                Some(given) => self.wrong(format!("{said}; did you mean it by {given:?}?")),
                None => self.wrong(said),
            }
        })
    }

    /// Everything but these members, as a filter.
    fn filter(&mut self, others: &[&str]) -> Result<Filter, BadCondition> {
        let names: Vec<String> =
            self.rest.keys().filter(|name| !others.contains(&name.as_str())).cloned().collect();
        let members: Map<String, Value> =
            names.into_iter().filter_map(|name| self.rest.remove_entry(&name)).collect();
        serde_json::from_value(members.into()).map_err(|error| self.wrong(explained(&error, others)))
    }

    fn end(self) -> Result<(), BadCondition> {
        match self.rest.keys().next() {
            None => Ok(()),
            Some(name) => {
                let said = format!("unknown member {name:?}");
                Err(self.wrong(with_meant(said, nearest(name, self.known.iter().copied()))))
            }
        }
    }
}
