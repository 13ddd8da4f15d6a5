//! What the backends on the pipe that are connected to other nodes want to hear of an app.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use arc_swap::ArcSwap;

use crate::channel::NodeId;
use crate::event::{BackendDemand, BackendWish, GroupBy, NotificationKind};

use super::Current;

/// What is wanted on each node, in the order of the nodes. Only nodes are in it on which something is.
pub(crate) type DemandsElsewhere = Vec<(NodeId, Arc<BackendDemand>)>;

/// That of one app. It is changed by what other nodes say, and read whenever something happens.
#[derive(Debug, Default)]
pub(super) struct BackendsElsewhere {
    demands: ArcSwap<DemandsElsewhere>,
    /// The kinds of which anything is wanted, as bits.
    kinds: AtomicU8,
}

impl BackendsElsewhere {
    /// A node's backends want this; nothing, if it is gone.
    pub(super) fn set(&self, node: NodeId, demand: &Arc<BackendDemand>) {
        self.demands.rcu(|demands| {
            let mut demands: DemandsElsewhere =
                demands.iter().filter(|(other, _)| *other != node).cloned().collect();
            if !demand.is_empty() {
                demands.push((node, Arc::clone(demand)));
                demands.sort_unstable_by_key(|(node, _)| *node);
            }
            demands
        });
        let kinds = self.demands.load().iter().fold(0, |bits, (_, demand)| bits | demand.kinds());
        self.kinds.store(kinds, Ordering::Release);
    }

    pub(super) fn is_any(&self) -> bool {
        self.kinds.load(Ordering::Acquire) != 0
    }

    fn wants(&self, kind: NotificationKind) -> bool {
        self.kinds.load(Ordering::Acquire) & kind.bit() != 0
    }

    /// Whether clients' events are wanted at all.
    pub(super) fn wants_messages(&self) -> bool {
        self.wants(NotificationKind::SocketMessage)
    }

    /// Whether an event that a client says on this channel, or on none, is wanted.
    pub(super) fn listens(&self, channel: Option<&str>, event: &str) -> bool {
        self.wants_messages() && self.demands.load().iter().any(|(_, demand)| demand.listens(channel, event))
    }

    /// What is wanted on each node, if anything of this kind is.
    pub(super) fn of_kind(&self, kind: NotificationKind) -> Option<Current<DemandsElsewhere>> {
        self.wants(kind).then(|| Current::of(&self.demands))
    }

    /// By what the members of this group share the work, if there are some.
    pub(super) fn group(&self, name: &str) -> Option<GroupBy> {
        let demands = self.demands.load();
        let mut groups =
            demands.iter().flat_map(|(_, demand)| demand.wishes()).filter_map(BackendWish::group);
        groups.find(|group| &*group.name == name).map(|group| group.by)
    }
}
