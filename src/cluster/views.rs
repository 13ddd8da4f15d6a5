//! What this node knows of each other node, and how far the hub has been told: step by step, so that one node's million
//! members hold up nobody's events. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use crate::channel::NodeId;
use crate::hub::AppIndex;

use super::parked::{ParkedEvent, ParkedEvents};
use super::replica::{Replica, ReplicaBounds, ReplicaChange, ReplicaCounts};

/// While the hub has not been told so many steps, nothing more is taken of what others say. What one word adds beyond it is
/// bounded by the facts of one list, or by what a node may have.
const MUCH: usize = 65_536;

/// What is known of the other nodes.
#[derive(Debug, Default)]
pub(super) struct Views {
    views: BTreeMap<NodeId, PeerView>,
    /// Events that wait for the hub to be told of what precedes them.
    pub(super) parked: ParkedEvents,
    /// What has happened to replicas of nodes that have gone.
    departed: ReplicaCounts,
    /// The apps that the hub has, by what tells them from those before.
    pub(super) apps: BTreeMap<String, AppIndex>,
}

/// What is known of one other node. It stays until the hub has been told that nothing is left.
#[derive(Debug, Default)]
pub(super) struct PeerView {
    /// None once the node has gone.
    pub(super) replica: Option<Replica>,
    /// What the hub has not yet been told.
    steps: VecDeque<Step>,
    /// The number of the last fact that the hub has been told of.
    told: u64,
    /// When a snapshot was asked for, or a part of it came.
    pub(super) asked: Option<Instant>,
}

#[derive(Debug)]
enum Step {
    Change(ReplicaChange),
    /// Up to here, this is the last fact.
    Told(u64),
}

impl Views {
    /// A node has appeared, or has come back by the heartbeat of this number.
    pub(super) fn appear(&mut self, node: NodeId, returned: u64) {
        let view = self.views.entry(node).or_default();
        view.replica = Some(Replica::new(ReplicaBounds::default(), returned));
        view.told = 0;
        view.asked = None;
    }

    /// A node has gone: nothing is left of it.
    pub(super) fn depart(&mut self, node: NodeId) {
        let Some(view) = self.views.get_mut(&node) else { return };
        if let Some(replica) = view.replica.take() {
            self.departed = sum(self.departed, replica.counts());
            // These are numbers of this life: where it comes back, they say nothing of what is known then.
            view.steps.retain(|step| matches!(step, Step::Change(_)));
            replica.remove(&mut |change| view.steps.push_back(Step::Change(change)));
        }
        self.parked.is_stale = true;
    }

    /// The view of a node that is there.
    pub(super) fn of(&self, node: NodeId) -> Option<&Replica> {
        self.views.get(&node).and_then(|view| view.replica.as_ref())
    }

    /// Changes what is known of a node that is there. What that changes, the hub is told later.
    pub(super) fn change<R>(
        &mut self,
        node: NodeId,
        change: impl FnOnce(&mut Replica, &mut dyn FnMut(ReplicaChange)) -> R,
    ) -> Option<R> {
        let view = self.views.get_mut(&node)?;
        let replica = view.replica.as_mut()?;
        let steps = &mut view.steps;
        let result = change(replica, &mut |change| steps.push_back(Step::Change(change)));
        if replica.is_in_step() {
            if steps.is_empty() {
                view.told = replica.number();
                self.parked.is_stale = true;
            } else {
                steps.push_back(Step::Told(replica.number()));
            }
        }
        Some(result)
    }

    /// Tells the hub again what there is of an app.
    pub(super) fn tell_again(&mut self, app: &str) {
        for view in self.views.values_mut() {
            if let Some(replica) = &view.replica {
                replica.tell(app, &mut |change| view.steps.push_back(Step::Change(change)));
            }
        }
    }

    /// Takes some of the steps that the hub has not been told, of each node in turn. `tell` is given them in each node's
    /// order.
    pub(super) fn step(&mut self, most: usize, mut tell: impl FnMut(NodeId, &ReplicaChange)) {
        let behind = self.views.values().filter(|view| !view.steps.is_empty()).count();
        let share = most / behind.max(1) + 1;
        for (node, view) in &mut self.views {
            for step in view.steps.drain(..share.min(view.steps.len())) {
                match step {
                    Step::Change(change) => tell(*node, &change),
                    Step::Told(number) => {
                        view.told = number;
                        self.parked.is_stale = true;
                    }
                }
            }
            if view.steps.is_empty() && view.steps.capacity() > 1024 {
                view.steps = VecDeque::new();
            }
        }
        self.views.retain(|_, view| view.replica.is_some() || !view.steps.is_empty());
    }

    /// Whether there are steps that the hub has not been told.
    pub(super) fn has_steps(&self) -> bool {
        self.views.values().any(|view| !view.steps.is_empty())
    }

    /// Whether so much waits to be told to the hub that what others say has to wait where it is bounded.
    pub(super) fn has_much(&self) -> bool {
        self.steps() >= MUCH
    }

    /// Steps that the hub has not been told.
    pub(super) fn steps(&self) -> usize {
        self.views.values().map(|view| view.steps.len()).sum()
    }

    /// Whether the hub knows all that is known of a node, and nothing of it is missing here.
    pub(super) fn is_told(&self, node: NodeId) -> bool {
        self.views.get(&node).is_some_and(|view| {
            view.steps.is_empty() && view.replica.as_ref().is_some_and(Replica::is_in_step)
        })
    }

    /// The nodes whose snapshots are to be asked for: wanted, or asked for so long before this that they are lost.
    pub(super) fn wanted(
        &mut self,
        now: Instant,
        pace: std::time::Duration,
        lost: std::time::Duration,
    ) -> Vec<NodeId> {
        let mut wanted = Vec::new();
        for (node, view) in &mut self.views {
            let Some(replica) = &view.replica else { continue };
            let after = if replica.wants_snapshot() { pace } else { lost };
            if !replica.is_in_step() && view.asked.is_none_or(|asked| now >= asked + after) {
                view.asked = Some(now);
                wanted.push(*node);
            }
        }
        wanted
    }

    /// A part of a node's snapshot has come.
    pub(super) fn hears_part(&mut self, node: NodeId, now: Instant) {
        if let Some(view) = self.views.get_mut(&node) {
            view.asked = Some(now);
        }
    }

    /// The number of the last fact of a node that the hub has been told of; none if the node is not there, and tells nothing
    /// more.
    pub(super) fn told(&self, node: NodeId) -> Option<u64> {
        self.views.get(&node).filter(|view| view.replica.is_some()).map(|view| view.told)
    }

    /// Events that need not wait any more, each with whether what it waited for is true.
    pub(super) fn unpark(&mut self, now: Instant) -> Vec<(ParkedEvent, bool)> {
        let Views { views, parked, .. } = self;
        parked.take(now, |node| views.get(&node).filter(|view| view.replica.is_some()).map(|view| view.told))
    }

    /// What has happened to all replicas.
    pub(super) fn counts(&self) -> ReplicaCounts {
        let replicas = self.views.values().filter_map(|view| view.replica.as_ref());
        replicas.map(Replica::counts).fold(self.departed, sum)
    }
}

fn sum(one: ReplicaCounts, other: ReplicaCounts) -> ReplicaCounts {
    ReplicaCounts {
        gaps: one.gaps + other.gaps,
        snapshots: one.snapshots + other.snapshots,
        refused: one.refused + other.refused,
        unknown: one.unknown + other.unknown,
        not_held: one.not_held + other.not_held,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::envelope::{FactBatch, FactListBuilder};
    use super::*;
    use crate::channel::Fact;

    #[test]
    fn an_event_does_not_overtake_after_a_return() {
        let (mut views, node) = (Views::default(), NodeId::new(1));
        views.appear(node, 0);
        views.change(node, |replica, _| replica.heard_of(0));
        let mut facts = FactListBuilder::default();
        facts.push(&Arc::from("1"), &Fact::Connections { count: 3 });
        let batch = FactBatch { first: 1, facts: facts.take() };
        views.change(node, |replica, each| replica.apply(batch, each));
        views.depart(node);
        views.appear(node, 9);
        views.step(256, |_, _| ());
        assert_eq!(views.told(node), Some(0), "nothing is known of it in its new life");
    }
}
