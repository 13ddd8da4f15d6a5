//! Nodes that were peers, and which of their heartbeats show that they are there all the same.
//!
//! Anybody who may write to the engine can say goodbye in a node's name, and a turned bit can make a heartbeat a goodbye, or
//! its number a large one. A node that has ended says nothing more. So one that goes on beating is believed.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use crate::channel::NodeId;

use super::{MOST_DEPARTED, PROBE_SPACING};

/// So many heartbeats that should not be heard any more show that a node is there: fewer than a peer may miss.
const PERSISTS_AFTER: u32 = 3;

/// Nodes that were peers.
#[derive(Debug, Default)]
pub(super) struct Departed {
    nodes: HashMap<NodeId, DepartedNode>,
    /// In the order in which they went.
    order: VecDeque<NodeId>,
}

/// How a node went, and what was heard of it since.
#[derive(Debug)]
struct DepartedNode {
    /// Its last heartbeat, if it was taken for dead: a later one brings it back. None if it has said goodbye.
    last_beat: Option<u64>,
    since: Persistence,
}

/// Heartbeats of a node that should not be heard: after its goodbye, or not above the last one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Persistence {
    /// The last of them, and when it was counted.
    last: Option<(u64, Instant)>,
    counted: u32,
}

impl Departed {
    pub(super) fn remember(&mut self, node: NodeId, last_beat: Option<u64>) {
        let departed = DepartedNode { last_beat, since: Persistence::default() };
        if self.nodes.insert(node, departed).is_none() {
            self.order.push_back(node);
        }
        if self.order.len() > MOST_DEPARTED
            && let Some(oldest) = self.order.pop_front()
        {
            self.nodes.remove(&oldest);
        }
    }

    pub(super) fn forget(&mut self, node: NodeId) {
        if self.nodes.remove(&node).is_some() {
            self.order.retain(|other| *other != node);
        }
    }

    /// A heartbeat of a node is heard: the one before it, if it shows that the node is there. None if it has not departed.
    pub(super) fn hear(&mut self, node: NodeId, beat: u64, now: Instant) -> Option<Option<u64>> {
        let departed = self.nodes.get_mut(&node)?;
        let last = departed.last_beat.filter(|last| beat > *last);
        let is_there = last.is_some() || departed.since.persists(beat, now);
        Some(is_there.then(|| last.unwrap_or(beat.saturating_sub(1))))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> (usize, usize) {
        (self.nodes.len(), self.order.len())
    }
}

impl Persistence {
    /// One more is heard. Whether there have been so many, each later than the one before and said at a time of its own, that
    /// they are no late words.
    pub(super) fn persists(&mut self, beat: u64, now: Instant) -> bool {
        match &mut self.last {
            Some((last, counted)) if beat > *last => {
                *last = beat;
                if now >= *counted + PROBE_SPACING {
                    *counted = now;
                    self.counted += 1;
                }
            }
            _ => *self = Persistence { last: Some((beat, now)), counted: 1 },
        }
        self.counted >= PERSISTS_AFTER
    }
}
