//! What a test waits for, and how far it has come: pure, looked at again whenever something has happened.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::count::Count;
use super::entry::{Entry, Kind};
use super::filter::{Filter, Kinds};
use super::log::EventLog;
use super::meant::{explained, with_meant};
use crate::config::nearest;

/// Entries that an outcome shows at most, the latest.
const SHOWN_ENTRIES: usize = 20;

/// Something that can be waited for.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// So many connections are subscribed to the channel.
    Subscribers {
        /// The channel.
        channel: String,
        /// How many.
        count: Count,
    },
    /// A presence channel has so many distinct members.
    MemberCount {
        /// The channel.
        channel: String,
        /// How many.
        count: Count,
    },
    /// A presence channel has these members and no others.
    Members {
        /// The channel.
        channel: String,
        /// Their ids, in any order.
        user_ids: BTreeSet<String>,
    },
    /// So many connections are signed in as the user.
    SignedIn {
        /// The user.
        user_id: String,
        /// How many.
        connections: Count,
    },
    /// The app has so many connections.
    Connections {
        /// How many.
        count: Count,
    },
    /// So many entries of the log are as the filter wants them.
    Logged {
        /// Which.
        filter: Filter,
        /// How many.
        count: Count,
        /// Of how many distinct connections they must be, where that matters.
        sockets: Option<Count>,
        /// Only entries after this number.
        after: u64,
    },
    /// No entry as the filter wants it is logged for a while.
    Nothing {
        /// Which.
        filter: Filter,
        /// For how long.
        span: Duration,
        /// Only entries after this number; `None`: those that come from now on.
        after: Option<u64>,
    },
}

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
const TYPES: [&str; 10] = [
    "subscribers",
    "members",
    "signed_in",
    "connections",
    "event",
    "delivered",
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
    /// So many entries since the beginning.
    pub fn logged(filter: Filter, count: impl Into<Count>) -> Self {
        Condition::Logged { filter, count: count.into(), sockets: None, after: 0 }
    }

    /// Entries after number `after`: so many, of so many distinct connections. Where nothing is said, at least one; who
    /// counts connections need not count entries.
    pub fn of_entries(filter: Filter, count: Option<Count>, sockets: Option<Count>, after: u64) -> Self {
        let least = usize::from(!sockets.is_some_and(|sockets| sockets.accepts(0)));
        let count = count.unwrap_or(Count::at_least(least));
        Condition::Logged { filter, count, sockets, after }
    }

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
        let mut taken = Taken { of: &of, rest, known: Vec::new() };
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
            "event" | "delivered" | "webhook" | "refused" | "logged" => {
                let mut filter: Filter = match of.as_str() {
                    "logged" => taken.required("filter")?,
                    _ => taken.filter(&["count", "sockets", "after"])?,
                };
                match of.as_str() {
                    "event" => filter.kind = Some(Kind::Event.into()),
                    "delivered" => filter.kind = Some(Kind::Delivered.into()),
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
struct Taken<'a> {
    of: &'a str,
    rest: Map<String, Value>,
    /// Those that were asked for.
    known: Vec<&'static str>,
}

impl Taken<'_> {
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

/// What an app looks like now, as far as conditions ask.
pub(crate) trait View {
    /// Connections subscribed to a channel.
    fn subscribers(&self, channel: &str) -> usize;
    /// Distinct members of a presence channel.
    fn members(&self, channel: &str) -> BTreeSet<String>;
    /// Connections signed in as the user.
    fn signed_in(&self, user_id: &str) -> usize;
    /// Connections of the app.
    fn connections(&self) -> usize;
    /// The occupied channels, with their subscribers.
    fn channels(&self) -> Vec<(String, usize)>;
    /// The users that connections are signed in as.
    fn users(&self) -> BTreeSet<String>;
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It does.
    Met,
    /// It does not, and may yet.
    NotYet,
    /// It does not, and never will.
    Never,
}

/// A condition, and what has been seen of it. Entries of the log are looked at once.
#[derive(Debug)]
pub(crate) struct Watch {
    condition: Condition,
    seen: u64,
    entries: usize,
    sockets: HashSet<Arc<str>>,
    shown: VecDeque<Arc<Entry>>,
    forgotten: u64,
    found: Value,
}

impl Watch {
    /// Begins to watch; `last` is the number of the log's last entry.
    pub(crate) fn new(condition: Condition, last: u64) -> Self {
        let seen = match &condition {
            Condition::Logged { after, .. } => *after,
            Condition::Nothing { after, .. } => after.unwrap_or(last),
            _ => 0,
        };
        Watch {
            condition,
            seen,
            entries: 0,
            sockets: HashSet::new(),
            shown: VecDeque::new(),
            forgotten: 0,
            found: Value::Null,
        }
    }

    /// Looks again.
    pub(crate) fn look(&mut self, view: &impl View, log: &EventLog) -> Verdict {
        let state = |count: &Count, found: usize| match count.accepts(found) {
            true => (Verdict::Met, json!(found)),
            false => (Verdict::NotYet, json!(found)),
        };
        let (verdict, found) = match &self.condition {
            Condition::Subscribers { channel, count } => state(count, view.subscribers(channel)),
            Condition::MemberCount { channel, count } => state(count, view.members(channel).len()),
            Condition::SignedIn { user_id, connections } => state(connections, view.signed_in(user_id)),
            Condition::Connections { count } => state(count, view.connections()),
            Condition::Members { channel, user_ids } => {
                let members = view.members(channel);
                let verdict = if members == *user_ids { Verdict::Met } else { Verdict::NotYet };
                (verdict, json!(members))
            }
            Condition::Logged { .. } | Condition::Nothing { .. } => {
                self.read(log);
                (self.judge(), json!(self.entries))
            }
        };
        self.found = found;
        verdict
    }

    fn read(&mut self, log: &EventLog) {
        let filter = match &self.condition {
            Condition::Logged { filter, .. } | Condition::Nothing { filter, .. } => filter,
            _ => return,
        };
        let excerpt = log.after(self.seen, |entry| {
            // That somebody else has given up is nothing that happened.
            (entry.kind != Kind::GaveUp || filter.kind.is_some()) && filter.accepts(entry)
        });
        (self.seen, self.forgotten) = (excerpt.last, self.forgotten + excerpt.forgotten);
        self.entries += excerpt.entries.len();
        for entry in excerpt.entries {
            self.sockets.extend(entry.details.socket_id.clone());
            if self.shown.len() == SHOWN_ENTRIES {
                self.shown.pop_front();
            }
            self.shown.push_back(entry);
        }
    }

    fn judge(&self) -> Verdict {
        match &self.condition {
            Condition::Logged { count, sockets, .. } => {
                let sockets = sockets.unwrap_or(Count::at_least(0));
                if count.is_passed_by(self.entries) || sockets.is_passed_by(self.sockets.len()) {
                    Verdict::Never
                } else if count.accepts(self.entries) && sockets.accepts(self.sockets.len()) {
                    Verdict::Met
                } else {
                    Verdict::NotYet
                }
            }
            _ if self.entries > 0 => Verdict::Never,
            _ => Verdict::Met,
        }
    }

    /// For how long it must hold by its own nature.
    pub(crate) fn span(&self) -> Duration {
        match &self.condition {
            Condition::Nothing { span, .. } => *span,
            _ => Duration::ZERO,
        }
    }

    /// What is expected, in words.
    pub(crate) fn expected(&self) -> String {
        self.condition.to_string()
    }

    /// What was found instead, in words.
    pub(crate) fn found_in_words(&self) -> String {
        let forgotten = match self.forgotten {
            0 => String::new(),
            many => format!(" ({many} older entries had been forgotten)"),
        };
        match &self.condition {
            Condition::Subscribers { .. } => format!("it has {}", self.found),
            Condition::MemberCount { .. } | Condition::Members { .. } => format!("it has {}", self.found),
            Condition::SignedIn { .. } | Condition::Connections { .. } => format!("there are {}", self.found),
            Condition::Logged { sockets: Some(_), .. } => {
                format!("found {} of {} connections{forgotten}", self.entries, self.sockets.len())
            }
            Condition::Logged { .. } | Condition::Nothing { .. } => {
                format!("found {}{forgotten}", self.entries)
            }
        }
    }

    /// What was found: a number, or the ids of members.
    pub(crate) fn found(&self) -> &Value {
        &self.found
    }

    /// What comes closest to what is expected: the latest entries that lack the least, or names that are alike.
    pub(crate) fn near(&self, view: &impl View, log: &EventLog) -> Vec<String> {
        near::near(&self.condition, view, log)
    }

    /// The latest entries that the filter accepted.
    pub(crate) fn entries(&self) -> Vec<Arc<Entry>> {
        self.shown.iter().cloned().collect()
    }
}

/// As it stands behind "expected".
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Condition::Subscribers { channel, count } => {
                write!(f, "{channel:?} to have {}", count.of("subscriber"))
            }
            Condition::MemberCount { channel, count } => {
                write!(f, "{channel:?} to have {}", count.of("member"))
            }
            Condition::Members { channel, user_ids } => {
                write!(f, "{channel:?} to have the members {}", json!(user_ids))
            }
            Condition::SignedIn { user_id, connections } => {
                write!(f, "{} signed in as {user_id:?}", connections.of("connection"))
            }
            Condition::Connections { count } => f.write_str(&count.of("connection")),
            Condition::Logged { filter, count, sockets, after } => {
                write!(f, "{count} of: {filter}")?;
                if let Some(sockets) = sockets {
                    write!(f, ", of {}", sockets.of("connection"))?;
                }
                match after {
                    0 => Ok(()),
                    after => write!(f, ", after entry {after}"),
                }
            }
            Condition::Nothing { filter, span, .. } => {
                write!(f, "nothing of this for {} ms: {filter}", span.as_millis())
            }
        }
    }
}

mod near;
#[cfg(test)]
mod tests;
