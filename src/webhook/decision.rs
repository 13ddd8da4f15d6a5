//! Which events this node tells, where several nodes are one broker: all of them hear the same, and one tells each.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use crate::hub::{Bus, Hub};

use super::event::WebhookEvent;
use super::event_id::IdentifiedEvent;

/// What decides. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Decision {
    bus: Arc<OnceLock<Arc<dyn Bus>>>,
}

impl Decision {
    /// Finds out whether the hub is one of several.
    pub(super) fn learn(&self, hub: &Hub) {
        if let Some(bus) = hub.bus() {
            self.bus.get_or_init(|| Arc::clone(bus));
        }
    }

    /// Whether this node tells an event of this app, as things are now.
    pub(super) fn is_ours(&self, app_id: &str, identified: &IdentifiedEvent) -> bool {
        let IdentifiedEvent { event, origin } = identified;
        // What a client sends, only the node hears that it is connected to.
        matches!(event, WebhookEvent::ClientEvent(_))
            || self.bus.get().is_none_or(|bus| bus.decides(app_id, event.channel(), origin.node))
    }

    /// How many nodes have died.
    pub(super) fn deaths(&self) -> u64 {
        self.bus.get().map_or(0, |bus| bus.deaths())
    }

    /// Whether this node is to tell by now what was left then to another one, because that has died.
    pub(super) fn is_inherited(&self, app_id: &str, identified: &IdentifiedEvent, then: Instant) -> bool {
        self.bus.get().is_some_and(|bus| bus.inherits(app_id, identified.event.channel(), then))
    }

    /// Whether other nodes that stay hold back what this one holds back.
    pub(super) fn has_peers(&self) -> bool {
        self.bus.get().is_some_and(|bus| bus.has_peers())
    }
}

impl fmt::Debug for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decision").field("is_alone", &self.bus.get().is_none()).finish()
    }
}
