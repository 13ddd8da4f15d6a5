//! What a test waits for, in the words of the control API.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::test_mode::{Condition, Count, Entry, EventLog, EventSource, Expectation, Filter, Kind, Kinds};

/// `channel` has `count` subscribed connections.
pub fn subscribers(channel: impl Into<String>, count: impl Into<Count>) -> Condition {
    Condition::Subscribers { channel: channel.into(), count: count.into() }
}

/// The presence `channel` has `count` distinct members.
pub fn members(channel: impl Into<String>, count: impl Into<Count>) -> Condition {
    Condition::MemberCount { channel: channel.into(), count: count.into() }
}

/// The presence `channel` has these members and no others.
pub fn members_are<I: Into<String>>(
    channel: impl Into<String>,
    user_ids: impl IntoIterator<Item = I>,
) -> Condition {
    let user_ids: BTreeSet<String> = user_ids.into_iter().map(Into::into).collect();
    Condition::Members { channel: channel.into(), user_ids }
}

/// `connections` are signed in as the user.
pub fn signed_in(user_id: impl Into<String>, connections: impl Into<Count>) -> Condition {
    Condition::SignedIn { user_id: user_id.into(), connections: connections.into() }
}

/// The app has `count` connections.
pub fn connections(count: impl Into<Count>) -> Condition {
    Condition::Connections { count: count.into() }
}

/// Nothing like these entries is logged for `span`, from now on; after an entry that [`Entries::after`] names, if it
/// does. Their counts are of no account.
pub fn nothing(span: Duration, entries: impl Into<Entries>) -> Condition {
    let Entries { filter, after, .. } = entries.into();
    Condition::Nothing { filter, span, after }
}

/// Entries of any kind.
pub fn anything() -> Entries {
    Entries::default()
}

/// Entries of this kind are in the app's log; what follows narrows them down.
pub fn logged(kind: Kind) -> Entries {
    Filter::of(kind).into()
}

/// Events that were accepted, from a client or over the HTTP API.
pub fn event() -> Entries {
    logged(Kind::Event)
}

/// Deliveries of events, each to one connection: in the outbox of a connection that is there.
pub fn delivered() -> Entries {
    logged(Kind::Delivered)
}

/// Subscribers that were told whether what they were sent of a channel's history is all that they missed or asked for:
/// `resumed().channel("room").data("complete", true)`.
pub fn resumed() -> Entries {
    logged(Kind::Resumed)
}

/// Events that webhooks have told: their endpoint has answered 200 to 299.
pub fn webhook() -> Entries {
    logged(Kind::Webhook)
}

/// Refusals: of a connection, of what a client asked for, of a request to the HTTP API.
pub fn refused() -> Entries {
    Filter { kind: Some(Kinds::refusals()), ..Filter::default() }.into()
}

/// Entries of the log as a test describes them: those that are everything it says. It is a condition where one is
/// wanted (at least one such entry, if nothing else is said), and a filter where the log is read.
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use = "it describes entries and does nothing by itself"]
pub struct Entries {
    filter: Filter,
    count: Option<Count>,
    sockets: Option<Count>,
    after: Option<u64>,
}

impl Entries {
    /// Only entries that name this channel.
    pub fn channel(mut self, name: impl Into<String>) -> Self {
        self.filter.channel = Some(name.into());
        self
    }

    /// Of the event or webhook of this name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.filter.name = Some(name.into());
        self
    }

    /// Of the connection with this id.
    pub fn socket(mut self, id: impl Into<String>) -> Self {
        self.filter.socket_id = Some(id.into());
        self
    }

    /// Only entries that name this user.
    pub fn user(mut self, id: impl Into<String>) -> Self {
        self.filter.user_id = Some(id.into());
        self
    }

    /// Only entries of events that came by this way.
    pub fn source(mut self, source: EventSource) -> Self {
        self.filter.source = Some(source);
        self
    }

    /// With this close or error code.
    pub fn code(mut self, code: u16) -> Self {
        self.filter.code = Some(code);
        self
    }

    /// With this HTTP status.
    pub fn status(mut self, status: u16) -> Self {
        self.filter.status = Some(status);
        self
    }

    /// With this text in the reason.
    pub fn reason(mut self, part: impl Into<String>) -> Self {
        self.filter.reason = Some(part.into());
        self
    }

    /// With this text in the path or URL.
    pub fn path(mut self, part: impl Into<String>) -> Self {
        self.filter.path = Some(part.into());
        self
    }

    /// The work of the fault of this number.
    pub fn fault(mut self, id: u64) -> Self {
        self.filter.fault = Some(id);
        self
    }

    /// With this value in the payload, at a JSON path such as `user.name` or `$.items[0]`; `$` is the whole payload.
    /// Several of them must all be there.
    ///
    /// # Panics
    /// If the path is none.
    pub fn data(mut self, path: &str, equals: impl Into<Value>) -> Self {
        self.expect(path, Some(equals.into()));
        self
    }

    /// With any value in the payload at that path.
    ///
    /// # Panics
    /// If the path is none.
    pub fn has_data(mut self, path: &str) -> Self {
        self.expect(path, None);
        self
    }

    fn expect(&mut self, path: &str, equals: Option<Value>) {
        // A test that is mistaken should fail where the mistake is.
        let path = path.parse().unwrap_or_else(|error| panic!("{error}"));
        self.filter.data.push(Expectation { path, equals });
    }

    /// So many of them. Too many can never become fewer, so they are not waited for.
    pub fn count(mut self, count: impl Into<Count>) -> Self {
        self.count = Some(count.into());
        self
    }

    /// Of so many distinct connections.
    pub fn sockets(mut self, count: impl Into<Count>) -> Self {
        self.sockets = Some(count.into());
        self
    }

    /// Only those after the entry of this number.
    pub fn after(mut self, last: u64) -> Self {
        self.after = Some(last);
        self
    }

    /// Those that are in this log.
    pub(super) fn of(&self, log: &EventLog) -> Vec<Arc<Entry>> {
        log.after(self.after.unwrap_or(0), |entry| self.filter.accepts(entry)).entries
    }
}

impl From<Filter> for Entries {
    fn from(filter: Filter) -> Self {
        Entries { filter, ..Entries::default() }
    }
}

impl From<Entries> for Condition {
    fn from(Entries { filter, count, sockets, after }: Entries) -> Self {
        Condition::of_entries(filter, count, sockets, after.unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// What is written in Rust means what the control API understands.
    #[test]
    fn a_condition_in_rust_is_the_one_that_json_describes() {
        let cases: [(Condition, _); 11] = [
            (subscribers("room", 2), json!({ "type": "subscribers", "channel": "room", "count": 2 })),
            (
                members("presence-room", Count::at_least(1)),
                json!({ "type": "members", "channel": "presence-room", "count": { "at_least": 1 } }),
            ),
            (
                members_are("presence-room", ["ann", "ben"]),
                json!({ "type": "members", "channel": "presence-room", "user_ids": ["ben", "ann"] }),
            ),
            (signed_in("ann", 1), json!({ "type": "signed_in", "user_id": "ann", "connections": 1 })),
            (connections(3), json!({ "type": "connections", "count": 3 })),
            (
                event().channel("room").name("message").source(EventSource::Http).count(1).into(),
                json!({
                    "type": "event", "channel": "room", "name": "message", "source": "http", "count": 1,
                }),
            ),
            (
                delivered().data("user.id", 7).has_data("items[0]").sockets(2).after(5).into(),
                json!({
                    "type": "delivered", "sockets": 2, "after": 5,
                    "data": [{ "path": "user.id", "equals": 7 }, { "path": "items[0]" }],
                }),
            ),
            (
                resumed().channel("room").data("complete", true).into(),
                json!({
                    "type": "resumed", "channel": "room", "data": [{ "path": "complete", "equals": true }],
                }),
            ),
            (
                webhook().name("member_added").user("ann").path("/hooks").into(),
                json!({ "type": "webhook", "name": "member_added", "user_id": "ann", "path": "/hooks" }),
            ),
            (
                refused().code(4009).status(401).reason("because").socket("1.2").fault(3).into(),
                json!({
                    "type": "refused", "code": 4009, "status": 401, "reason": "because", "socket_id": "1.2",
                    "fault": 3,
                }),
            ),
            (
                nothing(Duration::from_millis(300), webhook().after(2)),
                json!({ "type": "nothing", "for_ms": 300, "filter": { "type": "webhook" }, "after": 2 }),
            ),
        ];
        for (written, json) in cases {
            assert_eq!(written, Condition::parse(&json).unwrap(), "{json}");
        }
        let quiet = json!({ "type": "nothing", "for_ms": 1 });
        assert_eq!(nothing(Duration::from_millis(1), anything()), Condition::parse(&quiet).unwrap());
    }

    #[test]
    #[should_panic(expected = "expected a JSON path such as user.name")]
    fn a_path_that_is_none_is_said_to_be() {
        let _ = event().data("a..b", 1);
    }
}
