//! What the requests for lists have in common: how much they ask for, and how a page is told.

use serde_json::{Value, json};

use super::answer::ConsoleError;
use crate::auth::request::Query;
use crate::cluster::questions::ANSWER_BYTES;
use crate::hub::ListPage;
use crate::protocol::{SocketId, WrittenSocketId};

/// Items on a page, unless the request says otherwise; and at most.
const PAGE_ITEMS: usize = 100;
const MOST_ITEMS: usize = 500;

/// Whose items a list holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListScope {
    /// Those of all nodes.
    Cluster,
    /// Those of this node.
    Node,
}

/// The part of a list that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ListRequest {
    pub(super) limit: usize,
    /// The last item of the page before.
    pub(super) after: Option<String>,
}

impl ListRequest {
    /// Reads `limit` and `after`.
    ///
    /// # Errors
    /// If `limit` is no number of items.
    pub(super) fn read(query: &Query) -> Result<Self, ConsoleError> {
        let limit = match query.get("limit") {
            None => PAGE_ITEMS,
            Some(text) => {
                let limit = text.parse().ok().filter(|limit| (1..=MOST_ITEMS).contains(limit));
                limit.ok_or_else(|| {
                    let expected = format!("an integer from 1 to {MOST_ITEMS}");
                    ConsoleError::parameter("limit", expected, format_args!("{text:?}"))
                })?
            }
        };
        Ok(ListRequest { limit, after: given(query, "after") })
    }

    /// The connection behind which the page begins.
    ///
    /// # Errors
    /// If it is none.
    pub(super) fn after_socket(&self) -> Result<Option<SocketId>, ConsoleError> {
        self.after.as_deref().map(|text| socket("after", text)).transpose()
    }
}

/// A parameter that is not left empty.
pub(super) fn given(query: &Query, name: &str) -> Option<String> {
    query.get(name).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// The connection that this names.
pub(super) fn socket(name: &'static str, text: &str) -> Result<SocketId, ConsoleError> {
    let own = WrittenSocketId::parse(text).ok().and_then(WrittenSocketId::ours);
    let expected = "the id of a connection, such as 123.456";
    own.ok_or_else(|| ConsoleError::parameter(name, expected, format_args!("{text:?}")))
}

/// Bytes of the items on a page, so that other nodes can be told it: behind so many it ends.
const PAGE_BYTES: usize = ANSWER_BYTES / 2;

/// A page as it is told. `key` is what the next page begins behind.
pub(super) fn page<T>(
    found: &ListPage<T>,
    (node, scope): (&str, ListScope),
    key: impl Fn(&T) -> String,
    item: impl Fn(&T) -> Value,
) -> Value {
    let (mut items, mut bytes) = (Vec::with_capacity(found.items.len()), 0);
    for found in &found.items {
        let item = item(found);
        bytes += item.to_string().len();
        if bytes > PAGE_BYTES && !items.is_empty() {
            break;
        }
        items.push(item);
    }
    let has_more = found.has_more || items.len() < found.items.len();
    let last = items.len().checked_sub(1).and_then(|last| found.items.get(last));
    json!({
        "next": last.filter(|_| has_more).map(key),
        "items": items,
        "total": found.total,
        "node": node,
        "scope": match scope {
            ListScope::Cluster => "cluster",
            ListScope::Node => "node",
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_much_is_asked_for() {
        let read = |query: &str| ListRequest::read(&Query::parse(query));
        assert_eq!(read(""), Ok(ListRequest { limit: 100, after: None }));
        assert_eq!(read("limit=500&after="), Ok(ListRequest { limit: 500, after: None }));
        for got in ["0", "501", "-1", "many", ""] {
            let refused = read(&format!("limit={got}")).unwrap_err().to_string();
            assert_eq!(refused, format!("limit must be an integer from 1 to 500, got {got:?}"));
        }
        assert!(read("after=x").unwrap().after_socket().is_err());
        let socket = SocketId::new(1, 2);
        assert_eq!(read(&format!("after={socket}")).unwrap().after_socket(), Ok(Some(socket)));
    }
}
