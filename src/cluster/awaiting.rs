//! Has this node's subscribers hear an event where the other nodes hear it, between those that the engine took before and
//! after: one that its channel remembers or keeps, and one whose publisher waits for the engine. What the engine does not give back
//! in time is delivered all the same.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::hub::{ArrivedEvent, Carriage, Outgoing, RememberedAs, Taken};
use crate::protocol::Form;

use super::adapter::{Adapter, EngineError, EngineTicket, Subject};
use super::awaited::{AwaitedEvent, NumberedAs, WayHere};
use super::envelope::EventMessage;
use super::event_numbers::EventNumber;
use super::node::ClusterNode;
use super::status::Loss;
use super::taken::taken_of;

/// So long an event is awaited. It is looked for from time to time, so it may be a little longer.
const WITHIN: Duration = Duration::from_millis(400);

/// The same while there is more to read than is read: it may be among that.
const WITHIN_WHEN_BEHIND: Duration = Duration::from_secs(2);

impl<A: Adapter> ClusterNode<A> {
    /// What becomes here of an event that is about to be said: it is awaited if it will come back, and its channel remembers
    /// it or its publisher waits for the engine too; and also if one that was accepted before it is awaited. Under the lock of
    /// the subject's numbers.
    pub(super) fn way_here(
        &self,
        subject: &Subject,
        event: &Outgoing<'_>,
        number: EventNumber,
        has_receipt: bool,
    ) -> WayHere {
        if self.await_event(subject, event, number, has_receipt) {
            return WayHere::Awaited;
        }
        if !self.is_numbered(event) {
            return WayHere::AtOnce;
        }
        if self.subscription(subject).is_none() {
            return WayHere::Nobody;
        }
        self.awaited.note_delivered(subject, number);
        WayHere::AtOnce
    }

    /// Whether the engine gives an event a number: its channel remembers it, or keeps it. Each of two processes does that by itself.
    fn is_numbered(&self, event: &Outgoing<'_>) -> bool {
        event.remembered_for.is_some() || event.keeping.is_some() && !self.standing.is_of_two()
    }

    /// Where an event goes that is accepted while the bus is away: behind those that were accepted before it and have not been
    /// delivered, if there are some.
    pub(super) fn carriage_alone(&self, subject: &Subject, event: &Outgoing<'_>) -> Carriage {
        let is_remembered = event.remembered_for.is_some();
        if !is_remembered && !self.awaited.has(subject) {
            return Carriage::Onward;
        }
        self.numbers.say(subject, |number| {
            if !self.awaited.has(subject) || !self.await_event(subject, event, number, false) {
                if is_remembered {
                    self.awaited.note_delivered(subject, number);
                }
                return Carriage::Onward;
            }
            self.deliver_awaited_soon(subject, number);
            Carriage::Returns
        })
    }

    pub(super) fn await_event(
        &self,
        subject: &Subject,
        event: &Outgoing<'_>,
        number: EventNumber,
        has_receipt: bool,
    ) -> bool {
        let is_behind = self.awaited.has(subject);
        let comes_back = || {
            let is_overdue = self.awaited.is_overdue.load(Ordering::Relaxed);
            let is_wanted = self.is_numbered(event) || has_receipt && self.has_peers_now();
            is_wanted && !is_overdue && self.is_subscribed(subject)
        };
        let is_told = || self.is_kept_before(subject);
        if !self.awaited.has_room() || !is_behind && !comes_back() && !is_told() {
            return false;
        }
        let event = AwaitedEvent {
            number,
            since: Instant::now().into_std(),
            frame: event.message.for_client(Form::Binary),
            latest: event.latest.map(Arc::from),
            except: event.except,
            expiry: event.remembered_for,
            is_kept: event.keeping.is_some(),
        };
        self.awaited.put(subject, event);
        true
    }

    /// What is answered when the engine has answered. If it has not taken the event, that is delivered.
    pub(super) fn ticket_of_awaited(
        &self,
        subject: Subject,
        number: EventNumber,
        taken: Option<Taken>,
    ) -> EngineTicket {
        let (ticket, answer) = oneshot::channel();
        let (this, counts) = (self.this.clone(), Arc::clone(&self.counts));
        self.runtime.spawn(async move {
            let answer = taken_of(answer.await.unwrap_or(Err(EngineError::Away)), &counts);
            if answer.is_err()
                && let Some(this) = this.upgrade()
            {
                this.deliver_awaited(&subject, number, None);
            }
            // Whoever asked may have gone.
            let _ = taken.map(|taken| taken.send(answer));
        });
        ticket.into()
    }

    /// An event of this node has come back, by this number of the engine if it has one. Those before it will not: what the engine
    /// takes, it gives back in order. Whether it was awaited.
    pub(super) fn awaited_came(
        &self,
        subject: &Subject,
        number: EventNumber,
        engine: Option<NumberedAs>,
    ) -> bool {
        let (delivered, is_it) = self.deliver_awaited(subject, number, engine);
        self.counts.lost(Loss::ReturnLate, delivered - u64::from(is_it));
        is_it
    }

    /// An event of this node has come back that the engine has numbered, from wherever the engine has it. Whether it is done with
    /// by that: this node's subscribers have been sent it. Else it was said before they were here. `remembered`: the channel
    /// remembers it, so.
    pub(super) fn numbered_came(
        &self,
        subject: &Subject,
        event: &EventMessage,
        engine: NumberedAs,
        remembered: Option<RememberedAs>,
    ) -> bool {
        let number = EventNumber { epoch: event.epoch, number: event.number };
        if self.awaited_came(subject, number, Some(engine)) {
            return true;
        }
        let Some(last) = self.awaited.last_delivered(subject) else { return false };
        if number > last {
            return false;
        }
        let (Subject::Channel { app, channel }, Some(hub)) = (subject, self.hub.upgrade()) else {
            return true;
        };
        let frame = || event.frame.clone();
        let kept = engine.kept(true);
        if kept.is_some() {
            let (frame, except) = (frame(), event.except);
            let event = ArrivedEvent { channel, frame, latest: None, except, remembered: None, kept };
            hub.deliver_from_elsewhere(app, &event);
        }
        if let Some(remembered) = remembered {
            hub.remember_delivered(app, channel, frame(), remembered, number == last);
        }
        true
    }

    /// Delivers what has been awaited for too long. `is_behind`: more has come than has been read.
    pub(super) fn give_up_awaited(&self, is_behind: bool) {
        let within = if is_behind { WITHIN_WHEN_BEHIND } else { WITHIN };
        let now = Instant::now().into_std();
        let Some(then) = now.checked_sub(within) else { return };
        for (subject, last) in self.awaited.since(Some(then)) {
            // It may have come back, and wait behind another one that is here no longer than a second.
            if !is_behind && self.is_parked_behind(&subject, now) || self.may_be_told(&subject, now) {
                continue;
            }
            self.awaited.is_overdue.store(true, Ordering::Relaxed);
            let (late, _) = self.deliver_awaited(&subject, last, None);
            self.counts.lost(Loss::ReturnLate, late);
        }
    }

    fn is_parked_behind(&self, subject: &Subject, now: std::time::Instant) -> bool {
        self.views.lock().parked.has(subject)
            && now.checked_sub(WITHIN_WHEN_BEHIND).is_some_and(|then| !self.awaited.is_late(subject, then))
    }

    /// Delivers all that is awaited: the bus is away, or this node ends.
    pub(super) fn deliver_all_awaited(&self) {
        for (subject, last) in self.awaited.since(None) {
            self.deliver_awaited(&subject, last, None);
        }
    }

    /// Delivers what is awaited of a subject up to this event, which the engine has given this number, if it has. Returns how
    /// many there were, and whether it was among them.
    pub(super) fn deliver_awaited(
        &self,
        subject: &Subject,
        until: EventNumber,
        engine: Option<NumberedAs>,
    ) -> (u64, bool) {
        let (Subject::Channel { app, channel }, Some(hub)) = (subject, self.hub.upgrade()) else {
            return (0, false);
        };
        let mut is_it = false;
        let count = self.awaited.take_until(subject, until, |event| {
            let AwaitedEvent { frame, ref latest, except, number, expiry, .. } = event;
            is_it |= number == until;
            let engine = engine.filter(|_| number == until);
            let number = engine.filter(|engine| engine.is_remembered).map(|engine| engine.number);
            let remembered = expiry.map(|expires_in| RememberedAs { number, is_recalled: false, expires_in });
            let kept = engine.and_then(|engine| engine.kept(false));
            let event = ArrivedEvent { channel, frame, latest: latest.as_deref(), except, remembered, kept };
            hub.deliver_from_elsewhere(app, &event);
        });
        (count, is_it)
    }
}
