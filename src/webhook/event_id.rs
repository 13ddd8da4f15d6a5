//! The id of a webhook event, which is made from what happened.
//!
//! Every request and every node that tells of the same event gives it the same id; no other event has it, however much
//! it looks the same.

use sha2::{Digest, Sha256};

use crate::channel::ChangeOrigin;

use super::event::WebhookEvent;

/// A webhook event with its origin, of which its id is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IdentifiedEvent {
    /// What happened.
    pub event: WebhookEvent,
    /// Which one it was: the change of a channel that it tells of. It distinguishes events that look the same.
    pub origin: ChangeOrigin,
}

impl IdentifiedEvent {
    /// Bytes that it occupies while it waits, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.event.bytes() + size_of::<ChangeOrigin>()
    }

    /// It as an app's backend is told it, a JSON object.
    pub(crate) fn to_json(&self, app_id: &str) -> String {
        self.event.to_json(&event_id(app_id, &self.event, self.origin))
    }
}

/// The id of an event of this app: 32 hexadecimal digits.
pub(crate) fn event_id(
    app_id: &str,
    event: &WebhookEvent,
    ChangeOrigin { node, version }: ChangeOrigin,
) -> String {
    let mut hash = Sha256::new();
    // No part can be taken for the end of another: none has a line break, but for the user's id, which comes last.
    for part in [app_id, event.event_type().name(), event.channel().as_str()] {
        hash.update(part);
        hash.update("\n");
    }
    hash.update(node.bits().to_be_bytes());
    hash.update(version.number().to_be_bytes());
    hash.update(event.user_id().unwrap_or_default());
    hex::encode(&hash.finalize()[..16])
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::channel::{ChannelVersion, NodeId};
    use crate::protocol::ChannelName;

    fn name(text: &str) -> ChannelName {
        ChannelName::parse(text, 164).unwrap()
    }

    fn origin(node: u128, version: u64) -> ChangeOrigin {
        ChangeOrigin { node: NodeId::new(node), version: ChannelVersion::new(version) }
    }

    #[test]
    fn the_same_happening_has_one_id_wherever_it_is_told() {
        let event = || WebhookEvent::MemberAdded(name("presence-a"), "ann".into());
        let told = event_id("1001", &event(), origin(7, 1));
        assert_eq!(told, event_id("1001", &event(), origin(7, 1)));
        // Pinned: nodes of two releases must agree.
        assert_eq!(told, "6eee6c783a87e27afee39e80e98e90db");
    }

    #[test]
    fn whatever_differs_makes_another_id() {
        let events = [
            WebhookEvent::ChannelOccupied(name("presence-a")),
            WebhookEvent::ChannelVacated(name("presence-a")),
            WebhookEvent::CacheMiss(name("presence-a")),
            WebhookEvent::SubscriptionCount(name("presence-a"), 1),
            WebhookEvent::MemberAdded(name("presence-a"), "ann".into()),
            WebhookEvent::MemberAdded(name("presence-a"), "bob".into()),
            WebhookEvent::MemberAdded(name("presence-a"), "".into()),
            WebhookEvent::MemberAdded(name("presence-b"), "ann".into()),
            WebhookEvent::MemberRemoved(name("presence-a"), "ann".into()),
        ];
        let mut ids = HashSet::new();
        for event in &events {
            for app in ["1", "11"] {
                for node in [1, 2, u128::MAX] {
                    for version in [1, 2, u64::MAX] {
                        let id = event_id(app, event, origin(node, version));
                        assert!(id.len() == 32 && ids.insert(id), "{app} {event:?} {node} {version}");
                    }
                }
            }
        }
    }
}
