//! What a test waits for, and how far it has come: pure, looked at again whenever something has happened.

mod near;
mod parse;
mod view;
mod watch;
mod words;

pub(crate) use parse::BadCondition;
pub(crate) use view::View;
pub(crate) use watch::{Verdict, Watch};

use std::collections::BTreeSet;
use std::time::Duration;

use super::count::Count;
use super::filter::Filter;

/// Something that can be waited for.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// So many connections are subscribed to the channel.
    Subscribers {
        /// Where subscribers are counted.
        channel: String,
        /// How many.
        count: Count,
    },
    /// A presence channel has so many distinct members.
    MemberCount {
        /// A presence channel.
        channel: String,
        /// How many.
        count: Count,
    },
    /// A presence channel has these members and no others.
    Members {
        /// The one that is to be empty.
        channel: String,
        /// Their ids, in any order.
        user_ids: BTreeSet<String>,
    },
    /// So many connections are signed in as the user.
    SignedIn {
        /// As whom connections are signed in.
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
        /// Which entries of the log count.
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
        /// Which entries of the log count.
        filter: Filter,
        /// For how long.
        span: Duration,
        /// Only entries after this number; `None`: those that come from now on.
        after: Option<u64>,
    },
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
}

#[cfg(test)]
mod tests;
