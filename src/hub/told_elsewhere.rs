//! What this node tells the others of its connections, where there are others.

use crate::channel::Fact;

use super::{AppState, Hub};

impl Hub {
    /// So many connections of this node count towards the limit of the app: tells the other nodes, where there is a limit.
    pub(super) fn tell_connections(&self, app: &AppState, count: usize) {
        if let Some(bus) = self.bus()
            && app.app().limits.connections > 0
        {
            bus.tell(app, Fact::Connections { count: u32::try_from(count).unwrap_or(u32::MAX) });
        }
    }
}
