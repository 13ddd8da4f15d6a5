//! What the engine remembers of cache channels: it is asked when a channel's events begin to come, for whoever reads it over
//! HTTP, and before it is told that a channel remembers nothing. What it should remember and does not, since it was away or is
//! another one, is put there again by a node that has it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::channel::{EngineEvent, NodeId};
use crate::hub::{ArrivedEvent, BusAway, LackedEvent, Recalled, RememberedAs};

use super::adapter::{Adapter, EngineError, Subject};
use super::awaited::NumberedAs;
use super::envelope::{Content, Envelope, EventMessage, Restored};
use super::event_numbers::EventNumber;
use super::node::ClusterNode;
use super::status::Loss;

/// How long the engine has to tell what it remembers.
const RECALL_WITHIN: Duration = Duration::from_secs(1);

/// Channels that the engine is asked for at once, where it is asked for all.
pub(super) const RECALLED_AT_ONCE: usize = 64;

/// So often a node tries to put an event there again, where others put theirs meanwhile.
const ATTEMPTS: u32 = 5;

/// What precedes all numbers of events.
const NO_EVENT: EventNumber = EventNumber { epoch: 0, number: 0 };

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

    /// Hands the hub what the engine remembers of a channel. What it had already, it does not deliver again. If the engine
    /// lacks what this node remembers, that is put there instead: then all hear of it.
    pub(super) async fn recall_here(&self, subject: &Subject) {
        let Subject::Channel { app, channel } = subject else { return };
        for _ in 0..ATTEMPTS {
            let (Ok(recalled), Some(hub)) = (self.recall_event(subject).await, self.hub.upgrade()) else {
                return;
            };
            let last = recalled.as_ref().and_then(|(event, remembered, from)| {
                Some(self.engine_event(subject, event, remembered.number?, *from))
            });
            // What is awaited is on its way there.
            let lacked = hub.lacked_by_engine(app, channel, last).filter(|_| !self.awaited.has(subject));
            let Some(lacked) = lacked else {
                return match recalled {
                    None => hub.recalled_nothing(app, channel),
                    Some((event, remembered, from)) => self.take_recalled(subject, event, remembered, from),
                };
            };
            let over = last.map_or(0, |last| last.number);
            if !matches!(self.restore(subject, lacked, over).await, Ok(false)) {
                return;
            }
        }
    }

    fn engine_event(
        &self,
        subject: &Subject,
        event: &EventMessage,
        number: u64,
        from: NodeId,
    ) -> EngineEvent {
        let own = EventNumber { epoch: event.epoch, number: event.number };
        let is_overtaken =
            from == self.me && self.awaited.last_delivered(subject).is_some_and(|last| own < last);
        let rank = event.restored.map(|restored| restored.rank);
        EngineEvent { number, rank, is_overtaken }
    }

    /// Puts an event there that the engine lacks, if it remembers just this until then.
    async fn restore(&self, subject: &Subject, event: LackedEvent, over: u64) -> Result<bool, EngineError> {
        let LackedEvent { frame, expires_in, rank } = event;
        let EventNumber { epoch, number } = self.awaited.last_delivered(subject).unwrap_or(NO_EVENT);
        let restored = Some(Restored { rank, expires_in });
        let event = EventMessage {
            epoch,
            number,
            state: 0,
            except: None,
            latest: None,
            frame,
            restored,
            is_remembered: false,
            is_of_track: false,
        };
        let bytes = Envelope { from: self.me, content: Content::Event(event) }.encode();
        let restoring = self.adapter.restore(subject, bytes, expires_in, over);
        timeout(RECALL_WITHIN, restoring).await.unwrap_or(Err(EngineError::Away))
    }

    /// A node has put an event there that the engine lacked: the hub is handed it as if it had asked for it. Whether this node
    /// has one that should be there instead.
    pub(super) fn take_restored(
        &self,
        subject: &Subject,
        event: EventMessage,
        number: Option<u64>,
        from: NodeId,
    ) -> bool {
        let (Subject::Channel { app, channel }, Some(hub)) = (subject, self.hub.upgrade()) else {
            return false;
        };
        let ttl = hub.apps().by_id(app).map(|app| app.app().cache_ttl);
        let (Some(number), Some(Restored { expires_in, .. })) = (number, event.restored) else {
            self.counts.lost(Loss::Unreadable, 1);
            return false;
        };
        let last = self.engine_event(subject, &event, number, from);
        if hub.lacked_by_engine(app, channel, Some(last)).is_some() {
            return true;
        }
        if let Some(ttl) = ttl {
            let expires_in = expires_in.min(ttl);
            let remembered = RememberedAs { number: Some(number), is_recalled: true, expires_in };
            self.take_recalled(subject, event, remembered, from);
        }
        false
    }

    fn take_recalled(&self, subject: &Subject, event: EventMessage, remembered: RememberedAs, from: NodeId) {
        let (Subject::Channel { app, channel }, Some(hub)) = (subject, self.hub.upgrade()) else { return };
        if from == self.me
            && let Some(number) = remembered.number
        {
            let engine = NumberedAs { number, is_kept: false, is_remembered: true };
            if self.numbered_came(subject, &event, engine, Some(remembered)) {
                return;
            }
        }
        let EventMessage { except, latest, frame, .. } = event;
        let remembered = Some(remembered);
        let event =
            ArrivedEvent { channel, frame, latest: latest.as_deref(), except, remembered, kept: None };
        hub.deliver_from_elsewhere(app, &event);
    }

    /// The events of the cache channels that this node wants came not for a while, or the engine is another one: what they
    /// remember now, it asks; and also of those whose last event it remembers itself.
    pub(super) async fn recall_all(self: Arc<Self>) {
        let turn = self.recalls.begin().await;
        let mut under_way = JoinSet::new();
        let mut subjects: HashSet<Subject> = self.claims.cached().into_iter().collect();
        let remembering = self.hub.upgrade().map(|hub| hub.remembering()).unwrap_or_default();
        subjects.extend(remembering.into_iter().map(|(app, channel)| Subject::Channel { app, channel }));
        for subject in subjects {
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
        if !is_another_engine {
            self.chains.look_again();
        }
        self.owed.woken.notify_one();
        tokio::spawn(Arc::clone(self).recall_all());
    }
}
