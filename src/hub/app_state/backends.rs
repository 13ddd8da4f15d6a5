//! What backends on the pipe that are connected to other nodes want to hear of an app.

use std::sync::Arc;

use crate::channel::NodeId;
use crate::event::{BackendDemand, GroupBy, NotificationKind};
use crate::hub::backends_elsewhere::DemandsElsewhere;
use crate::hub::current::Current;

use super::AppState;

impl AppState {
    /// The backends that are connected to another node want this. It is told by one thread.
    pub(in crate::hub) fn set_backends_elsewhere(&self, node: NodeId, demand: &Arc<BackendDemand>) {
        self.backends_elsewhere.set(node, demand);
        self.listening_changed();
    }

    /// What backends that are connected to other nodes want to hear, if they want anything of this kind.
    pub(crate) fn demands_elsewhere(&self, kind: NotificationKind) -> Option<Current<DemandsElsewhere>> {
        self.backends_elsewhere.of_kind(kind)
    }

    /// By what backends that are connected to other nodes share the work of this group, if some do.
    pub(crate) fn group_elsewhere(&self, name: &str) -> Option<GroupBy> {
        self.backends_elsewhere.group(name)
    }
}
