//! Which events this node tells, where several nodes are one broker: all of them hear the same, and one tells each.

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use crate::hub::{Bus, Hub};

use super::event::WebhookEvent;
use super::event_id::IdentifiedEvent;

/// What decides. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Decision {
    hub: Arc<OnceLock<Weak<Hub>>>,
}

impl Decision {
    /// Learns which hub it is for, which may be one of several, or come to be.
    pub(super) fn learn(&self, hub: &Arc<Hub>) {
        self.hub.get_or_init(|| Arc::downgrade(hub));
    }

    /// Whether this node tells an event of this app, as things are now.
    pub(super) fn is_ours(&self, app_id: &str, identified: &IdentifiedEvent) -> bool {
        let IdentifiedEvent { event, origin } = identified;
        // What a client sends, only the node hears that it is connected to.
        matches!(event, WebhookEvent::ClientEvent(_))
            || self.bus().is_none_or(|bus| bus.decides(app_id, event.channel(), origin.node))
    }

    /// How many nodes have died.
    pub(super) fn deaths(&self) -> u64 {
        self.bus().map_or(0, |bus| bus.deaths())
    }

    /// Whether this node is to tell by now what was left then to another one, because that has died.
    pub(super) fn is_inherited(&self, app_id: &str, identified: &IdentifiedEvent, then: Instant) -> bool {
        self.bus().is_some_and(|bus| bus.inherits(app_id, identified.event.channel(), then))
    }

    /// Whether other nodes that stay hold back what this one holds back.
    pub(super) fn has_peers(&self) -> bool {
        self.bus().is_some_and(|bus| bus.has_peers())
    }

    /// Whether another node tells what this one has held back, although it was this one's to tell.
    pub(super) fn has_handed_over(&self) -> bool {
        self.bus().is_some_and(|bus| bus.has_handed_over())
    }

    fn bus(&self) -> Option<Arc<dyn Bus>> {
        self.hub.get()?.upgrade()?.bus()
    }
}

impl fmt::Debug for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decision").field("is_alone", &self.bus().is_none()).finish()
    }
}
