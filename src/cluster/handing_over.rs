//! A node that is succeeded by another process hands over what no other node of a cluster would need.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::channel::NodeId;
use crate::hub::HandedOver;

use super::adapter::{Adapter, Subject};
use super::envelope::Content;
use super::node::ClusterNode;
use super::status::WordKind;

/// How long the other process may leave no room.
const ROOM_WITHIN: Duration = Duration::from_secs(5);

impl<A: Adapter> ClusterNode<A> {
    /// Hands over to the node that has asked for what this one has.
    pub(super) async fn hand_over(&self, to: NodeId) {
        let Some(hub) = self.hub.upgrade() else { return };
        let apps: Vec<_> = hub.apps().iter().cloned().collect();
        for app in apps {
            let held = hub.held_removals(&app).await.into_iter().map(HandedOver::Held);
            for handed in hub.to_hand_over(&app).chain(held) {
                if timeout(ROOM_WITHIN, self.adapter.room()).await.is_err() {
                    tracing::warn!("what cache channels remember was not handed over: there was no room");
                    return;
                }
                let content = Content::HandedOver { app: Arc::clone(app.shared_id()), handed };
                self.say(&Subject::Node(to), WordKind::Snapshot, content, None);
            }
        }
    }
}
