//! Which events this node tells, where several nodes are one broker: all of them hear the same, and one tells each.

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use crate::hub::{Bus, Hub};

use super::event::WebhookEvent;
use super::event_id::IdentifiedEvent;

/// So much longer than removals are held back a node must have been there to know of all that are: nodes do not hear of
/// something at the same moment.
const MARGIN: Duration = Duration::from_secs(1);

/// What decides. Clones are the same.
#[derive(Clone)]
pub(super) struct Decision {
    hub: Arc<OnceLock<Weak<Hub>>>,
    removal_delay: Duration,
}

impl Decision {
    /// Where removals are held back for so long.
    pub(super) fn new(removal_delay: Duration) -> Self {
        Decision { hub: Arc::default(), removal_delay }
    }

    /// Learns which hub it is for, which may be one of several, or come to be.
    pub(super) fn learn(&self, hub: &Arc<Hub>) {
        self.hub.get_or_init(|| Arc::downgrade(hub));
    }

    /// Whether this node tells an event of this app, as things are now. `held_for`: for how long it was held back.
    pub(super) fn is_ours(&self, app_id: &str, identified: &IdentifiedEvent, held_for: Duration) -> bool {
        let IdentifiedEvent { event, origin } = identified;
        let ago = self.known_since(event, held_for);
        // What a client sends, only the node hears that it is connected to.
        matches!(event, WebhookEvent::ClientEvent(_))
            || self.bus().is_none_or(|bus| bus.decides(app_id, event.channel(), origin.node, ago))
    }

    /// How many nodes have gone.
    pub(super) fn departures(&self) -> u64 {
        self.bus().map_or(0, |bus| bus.departures())
    }

    /// Whether this node is to tell by now what was left then to another one, because that has gone.
    pub(super) fn is_inherited(
        &self,
        app_id: &str,
        identified: &IdentifiedEvent,
        held_for: Duration,
        then: Instant,
    ) -> bool {
        let ago = self.known_since(&identified.event, held_for);
        self.bus().is_some_and(|bus| bus.inherits(app_id, identified.event.channel(), ago, then))
    }

    /// Whether other nodes that stay hold back what this one has held back for so long.
    pub(super) fn has_peers(&self, held_for: Duration) -> bool {
        self.bus().is_some_and(|bus| bus.has_peers(held_for))
    }

    /// Whether another node tells what this one has held back, although it was this one's to tell.
    pub(super) fn has_handed_over(&self) -> bool {
        self.bus().is_some_and(|bus| bus.has_handed_over())
    }

    fn bus(&self) -> Option<Arc<dyn Bus>> {
        self.hub.get()?.upgrade()?.bus()
    }

    /// Since when a node must have been there to know whether an event is to be told: it holds back the same removal; or the
    /// one that the event may take back, if there is any.
    fn known_since(&self, event: &WebhookEvent, held_for: Duration) -> Duration {
        match event {
            WebhookEvent::ChannelOccupied(_) | WebhookEvent::MemberAdded(..) => self.removal_delay + MARGIN,
            WebhookEvent::ChannelVacated(_) | WebhookEvent::MemberRemoved(..) => held_for,
            WebhookEvent::ClientEvent(_)
            | WebhookEvent::CacheMiss(_)
            | WebhookEvent::SubscriptionCount(..) => Duration::ZERO,
        }
    }
}

impl fmt::Debug for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decision").field("is_alone", &self.bus().is_none()).finish()
    }
}
