//! Events that come: each to the hub when its turn is, behind the changes of members that precede it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::Instant;

use crate::channel::NodeId;
use crate::hub::{ArrivedEvent, HandedOver, RememberedAs};

use super::adapter::{Adapter, Subject};
use super::awaited::NumberedAs;
use super::envelope::EventMessage;
use super::event_numbers::{EventNumber, Hearing};
use super::handing_over;
use super::intake::WordReader;
use super::parked::{ParkedEvent, ParkedWord};
use super::remembering::RECALLED_AT_ONCE;
use super::status::Loss;

impl<A: Adapter> WordReader<A> {
    /// A node has put an event to the engine that it lacked. If it lacks another one all the same, that is put there.
    pub(super) fn take_restored(
        &mut self,
        subject: Subject,
        event: EventMessage,
        number: Option<u64>,
        from: NodeId,
    ) {
        if self.node.claims.subscription(&subject).is_none() {
            return;
        }
        while self.restoring.try_join_next().is_some() {}
        if self.node.take_restored(&subject, event, number, from) && self.restoring.len() < RECALLED_AT_ONCE {
            let node = Arc::clone(&self.node);
            self.restoring.spawn(async move { node.recall_here(&subject).await });
        }
    }

    /// An event of this node comes back: behind others that wait, where some do.
    pub(super) fn take_own_event(
        &mut self,
        subject: Subject,
        event: EventMessage,
        numbered: Option<NumberedAs>,
    ) {
        let Subject::Channel { channel, .. } = &subject else { return };
        let own = EventNumber { epoch: event.epoch, number: event.number };
        if !self.node.numbers.has_said(&subject, own) {
            // Others may write there, too.
            return self.node.counts.lost(Loss::Forged, 1);
        }
        // Events come back again.
        self.node.awaited.is_overdue.store(false, Ordering::Relaxed);
        if self.node.is_kept_before(&subject) {
            return;
        }
        if channel.channel_type().is_presence() && self.node.views.lock().parked.has(&subject) {
            return self.park((self.node.me, subject), ParkedWord::Event(event), 0, numbered);
        }
        self.deliver_own(&subject, event, numbered);
    }

    /// The same, whose turn it is. It is delivered, unless it has been already.
    fn deliver_own(&self, subject: &Subject, event: EventMessage, numbered: Option<NumberedAs>) {
        let own = EventNumber { epoch: event.epoch, number: event.number };
        let Some(engine) = numbered else {
            self.node.awaited_came(subject, own, None);
            return;
        };
        let remembered = self.remembered_as(subject, engine);
        let is_done = (engine.is_kept || remembered.is_some())
            && self.node.numbered_came(subject, &event, engine, remembered);
        if !is_done && self.node.subscription(subject).is_some() {
            self.node.awaited.note_delivered(subject, own);
            self.deliver(subject, event, numbered);
        }
    }

    /// An event of another node comes.
    pub(super) fn take_event(
        &mut self,
        from: NodeId,
        subject: Subject,
        event: EventMessage,
        numbered: Option<NumberedAs>,
    ) {
        if !matches!(subject, Subject::Channel { .. }) {
            return self.node.counts.lost(Loss::Unreadable, 1);
        }
        // Nobody is here for it, or it is on its way while the last one leaves.
        let Some(subscription) = self.node.subscription(&subject) else { return };
        let number_of_event = EventNumber { epoch: event.epoch, number: event.number };
        if !self.is_new(from, &subject, number_of_event, subscription) {
            return;
        }
        if self.node.is_kept_before(&subject) {
            return;
        }
        if self.node.chains.has(&subject) {
            self.take_plain(&subject, from, &event);
        }
        self.deliver_or_park(from, subject, event, numbered);
    }

    /// Delivers an event of another node, when what precedes it has been told.
    pub(super) fn deliver_or_park(
        &mut self,
        from: NodeId,
        subject: Subject,
        event: EventMessage,
        numbered: Option<NumberedAs>,
    ) {
        let Subject::Channel { channel, .. } = &subject else { return };
        let is_presence = channel.channel_type().is_presence();
        if !is_presence || !self.has_to_wait(from, &subject, event.state) {
            return self.deliver_of_other(from, &subject, event, numbered);
        }
        let state = event.state;
        self.park((from, subject), ParkedWord::Event(event), state, numbered);
    }

    /// The process before hands something over. What its presence channels keep waits as events do, once there may be somebody here
    /// who sees it.
    pub(super) fn take_handed(&self, from: NodeId, app: &Arc<str>, handed: HandedOver) {
        self.node.views.lock().hears_part(from, Instant::now().into_std());
        let handed = match handed {
            HandedOver::Kept { channel, events, live } if channel.channel_type().is_presence() => {
                let state = live.map_or(0, |live| live.state);
                let subject = Subject::Channel { app: Arc::clone(app), channel: channel.clone() };
                if *self.node.settled.borrow() && self.has_to_wait(from, &subject, state) {
                    return self.park((from, subject), ParkedWord::Kept(events, live), state, None);
                }
                HandedOver::Kept { channel, events, live }
            }
            handed => handed,
        };
        self.node.take_handed(&self.hub, app, handed);
    }

    /// Whether an event waits for changes of its node that precede it, or for another event of its channel that does.
    fn has_to_wait(&self, from: NodeId, subject: &Subject, state: u64) -> bool {
        let views = self.node.views.lock();
        views.parked.has(subject) || views.told(from).is_some_and(|told| state > told)
    }

    /// Has an event wait for changes up to this one, behind those of its channel that wait.
    fn park(
        &self,
        (from, subject): (NodeId, Subject),
        word: ParkedWord,
        state: u64,
        numbered: Option<NumberedAs>,
    ) {
        if numbered.is_some_and(|numbered| numbered.is_kept) {
            self.node.chains.park(&subject, true);
        }
        let until = Instant::now().into_std() + self.node.config.state_wait;
        let parked = ParkedEvent { from, subject, word, state, numbered, until };
        let early = self.node.views.lock().parked.park(parked, &self.node.config);
        early.into_iter().for_each(|parked| self.deliver_parked(parked, false));
    }

    /// Whether an event has not been heard. What is missing before it is counted.
    pub(super) fn is_new(
        &mut self,
        from: NodeId,
        subject: &Subject,
        number: EventNumber,
        subscription: u64,
    ) -> bool {
        match self.heard.hear(from, subject, number, subscription) {
            Hearing::Repeated => self.node.counts.repeated_events.add_from_anywhere(1),
            Hearing::New { missed } => {
                self.node.counts.missed_events.add_from_anywhere(missed);
                return true;
            }
        }
        false
    }

    pub(super) fn deliver_parked(&self, parked: ParkedEvent, is_true: bool) {
        if !is_true && parked.state > 0 {
            self.node.counts.lost(Loss::StateLate, 1);
        }
        let ParkedEvent { from, subject, word, numbered, .. } = parked;
        match (word, &subject) {
            (ParkedWord::Event(event), _) if from == self.node.me => {
                self.deliver_own(&subject, event, numbered);
            }
            (ParkedWord::Event(event), _) => self.deliver_of_other(from, &subject, event, numbered),
            (ParkedWord::Kept(events, live), Subject::Channel { app, channel }) => {
                let kept = HandedOver::Kept { channel: channel.clone(), events, live };
                self.node.take_handed(&self.hub, app, kept);
            }
            (ParkedWord::Kept(..), _) => {}
        }
        if numbered.is_some_and(|numbered| numbered.is_kept) {
            self.node.chains.park(&subject, false);
        }
    }

    /// Delivers an event of another node, which is told of it where it succeeds this one.
    fn deliver_of_other(
        &self,
        from: NodeId,
        subject: &Subject,
        mut event: EventMessage,
        numbered: Option<NumberedAs>,
    ) {
        let Subject::Channel { app, channel } = subject else { return };
        let said_as = EventNumber { epoch: event.epoch, number: event.number };
        handing_over::delivering(said_as, || {
            if event.frame.is_binary() {
                let of_track = event.is_of_track;
                let shown =
                    self.hub.film_from_elsewhere(app, channel, (&event.frame, of_track), event.except, from);
                let Some(shown) = shown else { return };
                event.frame = shown;
            }
            self.deliver(subject, event, numbered);
        });
    }

    fn deliver(&self, subject: &Subject, event: EventMessage, numbered: Option<NumberedAs>) {
        let Subject::Channel { app, channel } = subject else { return };
        let remembered = numbered.and_then(|engine| self.remembered_as(subject, engine));
        let kept = numbered.and_then(|engine| engine.kept(false));
        let EventMessage { except, latest, frame, .. } = event;
        let event = ArrivedEvent { channel, frame, latest: latest.as_deref(), except, remembered, kept };
        self.hub.deliver_from_elsewhere(app, &event);
    }

    fn remembered_as(&self, subject: &Subject, engine: NumberedAs) -> Option<RememberedAs> {
        let Subject::Channel { app, .. } = subject else { return None };
        let expires_in = self.hub.apps().by_id(app).filter(|_| engine.is_remembered)?.app().cache_ttl;
        Some(RememberedAs { number: Some(engine.number), is_recalled: false, expires_in })
    }
}
