//! How many connections of an app other nodes have, as far as they count towards its limit.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::channel::NodeId;

/// Those of one app. They are changed by what other nodes say, and read whenever a connection begins.
#[derive(Debug, Default)]
pub(super) struct ConnectionsElsewhere {
    of_nodes: Mutex<BTreeMap<NodeId, u32>>,
    sum: AtomicUsize,
}

impl ConnectionsElsewhere {
    /// A node has so many; none, if it is gone.
    pub(super) fn set(&self, node: NodeId, count: u32) {
        let mut of_nodes = self.of_nodes.lock();
        if count == 0 {
            of_nodes.remove(&node);
        } else {
            of_nodes.insert(node, count);
        }
        self.sum.store(of_nodes.values().map(|count| *count as usize).sum(), Ordering::Relaxed);
    }

    /// How many of its connections an app may have on this node, where it may have `limit` on all; 0 lifts the limit.
    pub(super) fn room_here(&self, limit: usize) -> Option<usize> {
        (limit > 0).then(|| limit.saturating_sub(self.sum.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_have_is_taken_off_the_limit_until_they_are_gone() {
        let elsewhere = ConnectionsElsewhere::default();
        let (a, b) = (NodeId::new(1), NodeId::new(2));
        assert_eq!((elsewhere.room_here(0), elsewhere.room_here(5)), (None, Some(5)));
        elsewhere.set(a, 2);
        elsewhere.set(b, 2);
        elsewhere.set(b, 1);
        assert_eq!((elsewhere.room_here(0), elsewhere.room_here(5)), (None, Some(2)));
        elsewhere.set(a, u32::MAX);
        assert_eq!(elsewhere.room_here(5), Some(0), "what others have too many, nobody is thrown out for");
        elsewhere.set(a, 0);
        elsewhere.set(b, 0);
        assert_eq!(elsewhere.room_here(5), Some(5));
        assert!(elsewhere.of_nodes.lock().is_empty());
    }
}
