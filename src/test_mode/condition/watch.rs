//! Watching a condition: what an app looks like now, what its log has told so far, and whether that is enough.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Condition, View, near};
use crate::test_mode::count::Count;
use crate::test_mode::entry::{Entry, Kind};
use crate::test_mode::log::EventLog;

/// Entries that an outcome shows at most, the latest.
const SHOWN_ENTRIES: usize = 20;

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
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
        let state = |count: &Count, found: usize| {
            if count.accepts(found) { (Verdict::Met, json!(found)) } else { (Verdict::NotYet, json!(found)) }
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
