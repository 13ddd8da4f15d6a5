//! What the engine remembers of cache channels: it is asked when a channel's events begin to come, for whoever reads it over
//! HTTP, and before it is told that a channel remembers nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::channel::NodeId;
use crate::hub::{ArrivedEvent, BusAway, Recalled, RememberedAs};

use super::adapter::{Adapter, Subject};
use super::envelope::{Content, Envelope, EventMessage};
use super::node::ClusterNode;

/// How long the engine has to tell what it remembers.
const RECALL_WITHIN: Duration = Duration::from_secs(1);

/// Channels that the engine is asked for at once, where it is asked for all.
const RECALLED_AT_ONCE: usize = 64;

impl<A: Adapter> ClusterNode<A> {
    /// What the engine remembers, its number, and who has said it.
    async fn recall_event(
        &self,
        subject: &Subject,
    ) -> Result<Option<(EventMessage, RememberedAs, NodeId)>, BusAway> {
        if self.is_away() {
            return Err(BusAway);
        }
        let recalled = timeout(RECALL_WITHIN, self.adapter.recall(subject)).await;
        let Ok(Ok(remembered)) = recalled else { return Err(BusAway) };
        let Some(remembered) = remembered else { return Ok(None) };
        let number = Some(remembered.number);
        let remembered_as = RememberedAs { number, is_recalled: true, expires_in: remembered.expires_in };
        match Envelope::decode(&remembered.bytes) {
            Ok(Envelope { content: Content::Event(event), from }) => Ok(Some((event, remembered_as, from))),
            // Others may write there, too.
            _ => Ok(None),
        }
    }

    /// Hands the hub what the engine remembers of a channel. What it had already, it does not deliver again.
    pub(super) async fn recall_here(&self, subject: &Subject) {
        let Subject::Channel { app, channel } = subject else { return };
        let (Ok(recalled), Some(hub)) = (self.recall_event(subject).await, self.hub.upgrade()) else {
            return;
        };
        let Some((event, remembered, from)) = recalled else { return hub.recalled_nothing(app, channel) };
        if from == self.me && self.remembered_came(subject, &event, remembered) {
            return;
        }
        let EventMessage { except, latest, frame, .. } = event;
        let remembered = Some(remembered);
        let event = ArrivedEvent { channel, frame, latest: latest.as_deref(), except, remembered };
        hub.deliver_from_elsewhere(app, &event);
    }

    /// The events of the cache channels that this node wants came not for a while: what they remember now, it asks.
    pub(super) async fn recall_all(self: Arc<Self>) {
        let turn = self.recalls.begin().await;
        let mut under_way = JoinSet::new();
        for subject in self.claims.cached() {
            if !turn.is_last() {
                // It was away once more: whoever waits begins anew.
                break;
            }
            if under_way.len() >= RECALLED_AT_ONCE {
                under_way.join_next().await;
            }
            let this = Arc::clone(&self);
            under_way.spawn(async move { this.recall_here(&subject).await });
        }
        while under_way.join_next().await.is_some() {}
    }

    /// What the engine remembers, for whoever reads it.
    pub(super) async fn recall_frame(&self, subject: &Subject) -> Recalled {
        let recalled = self.recall_event(subject).await?;
        Ok(recalled.map(|(event, remembered, _)| (event.frame, remembered.expires_in)))
    }

    /// Has it told that a channel remembers nothing, if this is the first time in the cluster since it did, or that cannot be
    /// known. The engine knows of it for as long as the channel would remember an event.
    pub(super) async fn tell_miss(self: Arc<Self>, subject: Subject, ttl: Duration) {
        let Subject::Channel { app, channel } = &subject else { return };
        let noted = timeout(RECALL_WITHIN, self.adapter.note_miss(&subject, ttl)).await;
        if let Ok(Ok(false)) = noted {
            return;
        }
        if let Some(hub) = self.hub.upgrade() {
            hub.announce_cache_miss(app, channel);
        }
    }

    /// The link is up, after it was away, or by another engine.
    pub(super) fn link_returned(self: &Arc<Self>, is_another_engine: bool) {
        if is_another_engine && let Some(hub) = self.hub.upgrade() {
            hub.engine_changed();
        }
        tokio::spawn(Arc::clone(self).recall_all());
    }
}
