//! The pages of a list that several nodes have told, as one page of all.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use crate::protocol::{SocketId, WrittenSocketId};

/// The node that something is told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NodeTag {
    pub(super) id: String,
    pub(super) name: String,
}

/// What the items of a list are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListOf {
    /// Connections, in the order of their socket ids.
    Connections,
    /// Users, in the order of their ids. One may be on several nodes.
    Users,
}

/// What a list is in the order of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ListKey {
    Socket(SocketId),
    User(String),
}

impl fmt::Display for ListKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListKey::Socket(socket) => socket.fmt(f),
            ListKey::User(id) => f.write_str(id),
        }
    }
}

impl ListOf {
    fn key(self, item: &Value) -> Option<ListKey> {
        match self {
            ListOf::Connections => {
                let written = WrittenSocketId::parse(item.get("socket_id")?.as_str()?).ok()?;
                written.ours().map(ListKey::Socket)
            }
            ListOf::Users => item.get("user_id")?.as_str().map(|id| ListKey::User(id.to_owned())),
        }
    }
}

/// The page of one node.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct NodePage {
    node: NodeTag,
    items: Vec<(ListKey, Value)>,
    has_more: bool,
    total: u64,
}

#[derive(Deserialize)]
struct ToldPage {
    items: Vec<Value>,
    next: Option<String>,
    total: u64,
}

impl NodePage {
    /// Reads what a node has told; `None` if it is no page of such a list.
    pub(super) fn read(node: NodeTag, told: Value, of: ListOf) -> Option<Self> {
        let ToldPage { items, next, total } = serde_json::from_value(told).ok()?;
        let keyed = |item: Value| Some((of.key(&item)?, item));
        let items: Vec<_> = items.into_iter().map(keyed).collect::<Option<_>>()?;
        let has_more = next.is_some();
        let is_in_order = items.is_sorted_by(|(one, _), (other, _)| one < other);
        // Of a page without an end nobody knows what is behind it.
        (is_in_order && (!has_more || !items.is_empty())).then_some(NodePage { node, items, has_more, total })
    }

    /// Behind this there may be more that is not known.
    fn known_to(&self) -> Option<&ListKey> {
        self.items.last().map(|(key, _)| key).filter(|_| self.has_more)
    }
}

/// A page of all nodes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct MergedPage {
    /// What is under each key, with the node that has told it.
    pub(super) groups: Vec<(ListKey, Vec<(NodeTag, Value)>)>,
    pub(super) has_more: bool,
    /// How many the nodes have together.
    pub(super) total: u64,
}

/// Puts pages together, so many keys of them. What is under one key is never parted, and nothing is passed over: the page ends
/// where one of the nodes has told no further.
pub(super) fn merge(pages: Vec<NodePage>, most: usize) -> MergedPage {
    let known_to = pages.iter().filter_map(NodePage::known_to).min().cloned();
    let total = pages.iter().map(|page| page.total).fold(0, u64::saturating_add);
    let mut groups = BTreeMap::<ListKey, Vec<(NodeTag, Value)>>::new();
    for NodePage { node, items, .. } in pages {
        for (key, item) in items {
            groups.entry(key).or_default().push((node.clone(), item));
        }
    }
    let all = groups.len();
    let is_known = |key: &ListKey| known_to.as_ref().is_none_or(|known_to| key <= known_to);
    let groups: Vec<_> = groups.into_iter().take_while(|(key, _)| is_known(key)).take(most).collect();
    MergedPage { has_more: known_to.is_some() || groups.len() < all, groups, total }
}

#[cfg(test)]
mod tests {
    use proptest::collection::btree_set;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn node(name: &str) -> NodeTag {
        NodeTag { id: format!("{name}{name}"), name: name.to_owned() }
    }

    /// As a node tells a page of the users that it has.
    fn told(all: &std::collections::BTreeSet<u8>, after: Option<&str>, most: usize) -> Value {
        let ids: Vec<String> = all.iter().map(|id| format!("{id:03}")).collect();
        let mut behind = ids.iter().filter(|id| after.is_none_or(|after| id.as_str() > after));
        let items: Vec<Value> =
            behind.by_ref().take(most).map(|id| json!({ "user_id": id, "connections": 1 })).collect();
        let next = items.last().filter(|_| behind.next().is_some()).map(|item| item["user_id"].clone());
        json!({ "items": items, "next": next, "total": all.len() })
    }

    proptest! {
        /// However much each node tells at once, what is on the pages of all is what all have, in order, each once.
        #[test]
        fn pages_of_all_nodes_miss_nothing_and_repeat_nothing(
            nodes in prop::collection::vec((btree_set(any::<u8>(), 0..40), 1_usize..9), 1..4),
            most in 1_usize..9,
        ) {
            let (mut after, mut seen) = (None::<String>, Vec::new());
            loop {
                let pages = nodes.iter().enumerate().map(|(n, (all, of_node))| {
                    // A node may tell less than it is asked for: its answer has a bound.
                    let told = told(all, after.as_deref(), most.min(*of_node));
                    NodePage::read(node(&n.to_string()), told, ListOf::Users).unwrap()
                });
                let page = merge(pages.collect(), most);
                prop_assert!(page.groups.len() <= most);
                prop_assert_eq!(page.total as usize, nodes.iter().map(|(all, _)| all.len()).sum::<usize>());
                let last = page.groups.last().map(|(key, _)| key.to_string());
                for (key, found) in &page.groups {
                    seen.push((key.to_string(), found.len()));
                }
                if !page.has_more {
                    break;
                }
                prop_assert!(last > after, "each page leads on");
                after = last;
            }
            let all: std::collections::BTreeSet<u8> = nodes.iter().flat_map(|(all, _)| all).copied().collect();
            let expected: Vec<_> = all.iter().map(|id| {
                (format!("{id:03}"), nodes.iter().filter(|(all, _)| all.contains(id)).count())
            }).collect();
            prop_assert_eq!(seen, expected);
        }
    }

    #[test]
    fn connections_are_in_the_order_of_their_numbers() {
        let page = |name: &str, ids: [&str; 2]| {
            let items = ids.map(|id| json!({ "socket_id": id }));
            let told = json!({ "items": items, "next": null, "total": 2 });
            NodePage::read(node(name), told, ListOf::Connections).unwrap()
        };
        let merged = merge(vec![page("a", ["9.1", "1000.1"]), page("b", ["10.1", "10.2"])], 3);
        let keys: Vec<String> = merged.groups.iter().map(|(key, _)| key.to_string()).collect();
        assert_eq!(keys, ["9.1", "10.1", "10.2"]);
        assert!(merged.has_more && merged.total == 4);
        assert_eq!(merged.groups[1].1[0].0, node("b"));
    }

    #[test]
    fn what_is_no_page_is_not_taken_for_one() {
        for told in [
            json!(null),
            json!({ "items": [], "total": -1 }),
            json!({ "items": [], "next": "a", "total": 1 }),
            json!({ "items": [{ "user_id": 5 }], "total": 1 }),
            json!({ "items": [{ "socket_id": "1.1" }], "total": 1 }),
            json!({ "items": [{ "user_id": "b" }, { "user_id": "a" }], "total": 2 }),
            json!({ "items": [{ "user_id": "a" }, { "user_id": "a" }], "total": 2 }),
        ] {
            assert_eq!(NodePage::read(node("a"), told.clone(), ListOf::Users), None, "{told}");
        }
    }
}
