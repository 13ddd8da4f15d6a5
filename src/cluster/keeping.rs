//! What this node says on channels with a history. The engine keeps it in the channel's stream, and this node's subscribers are sent it
//! when it comes back from there, so that everybody's order is the stream's. While the engine cannot take it they are sent it at
//! once, and it is owed to the engine.

use std::mem::take;
use std::sync::Weak;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::app::HistoryBounds;
use crate::hub::{BusAway, Carriage, Hub, Outgoing, Taken};

use super::adapter::{Adapter, EngineError, EngineTicket, Keeping, OutboxFull, Subject};
use super::awaited::WayHere;
use super::envelope::{Content, Envelope};
use super::event_numbers::EventNumber;
use super::node::{ClusterNode, subject_of};
use super::owed::OwedEvent;
use super::status::{Loss, WordKind};
use super::taken::taken_of;

/// So much longer than anybody may come back for an event the engine knows the number of the last one.
const LAST_KNOWN_LONGER: Duration = Duration::from_secs(120);

/// For so long it knows it at least, whatever the settings of the node were that said the event: where it knows none, nothing was said
/// for so long, and more than that cannot be concluded.
pub(super) const LEAST_KNOWN_FOR: Duration = Duration::from_secs(3600 + 120);

/// How long the engine is to know the number of the last event of a channel that is said now.
fn last_known_for(hub: &Hub, bounds: &HistoryBounds) -> Duration {
    (hub.recovery().retention.max(bounds.time) + LAST_KNOWN_LONGER).max(LEAST_KNOWN_FOR)
}

/// An event that is on its way to the engine. If nobody can say what has become of it, it is dropped, and owed.
struct KeptEventTicket<A: Adapter> {
    node: Weak<ClusterNode<A>>,
    subject: Subject,
    event: Option<OwedEvent>,
    /// This node's subscribers await it.
    is_awaited: bool,
    taken: Option<Taken>,
}

impl<A: Adapter> KeptEventTicket<A> {
    fn answer(mut self, answer: Result<(), EngineError>) {
        match answer {
            Ok(()) => {
                self.event = None;
                // Whoever asked may have gone.
                let _ = self.taken.take().map(|taken| taken.send(Ok(())));
            }
            Err(error) => self.fail(error),
        }
    }

    fn fail(&mut self, error: EngineError) {
        let (Some(event), Some(node)) = (self.event.take(), self.node.upgrade()) else { return };
        let (subject, is_awaited, taken) = (self.subject.clone(), self.is_awaited, self.taken.take());
        let (runtime, number) = (node.runtime.clone(), event.number);
        let unkept = match &error {
            // At once: what is accepted next is said behind it.
            EngineError::Away => {
                node.owe_said(&subject, event);
                None
            }
            EngineError::Refused(_) => Some(event),
        };
        runtime.spawn(async move {
            if let Some(event) = unkept {
                node.say_unkept(&subject, event);
            }
            if is_awaited {
                node.deliver_awaited(&subject, number, None);
            }
            let answer = taken_of(Err(error), &node.counts);
            // Whoever asked may have gone.
            let _ = taken.map(|taken| taken.send(answer));
        });
    }
}

impl<A: Adapter> Drop for KeptEventTicket<A> {
    fn drop(&mut self) {
        self.fail(EngineError::Away);
    }
}

impl<A: Adapter> ClusterNode<A> {
    /// As [`crate::hub::Bus::carry`], of an event that its channel keeps.
    #[cold]
    pub(super) fn carry_kept(
        &self,
        event: &Outgoing<'_>,
        bounds: &HistoryBounds,
        mut taken: Option<Taken>,
    ) -> Carriage {
        let subject = subject_of(event.app, event.channel);
        let keeping = self.keeping(bounds, event.remembered_for);
        let state = self.telling.last();
        self.numbers.say(&subject, |number| {
            let since = Instant::now().into_std();
            let bytes = self.encode_event(event, number, state);
            let owed = |is_sent_here| {
                let bytes = bytes.clone();
                OwedEvent { number, bytes, keeping, since, said_behind: None, is_sent_here }
            };
            let is_owed = self.is_away() || self.owed.has(&subject);
            if is_owed || self.is_in_trouble() {
                // Nobody is promised that it crosses soon.
                let _ = taken.take().map(|taken| taken.send(Err(BusAway)));
            }
            if is_owed {
                let (carriage, is_sent_here) = self.carriage_of_owed(&subject, event, number);
                self.owe(&subject, owed(is_sent_here));
                return carriage;
            }
            if self.owed.take_lost(&subject, since) {
                self.say_lost(&subject, &keeping);
            }
            let way = self.way_here(&subject, event, number, taken.is_some());
            let ticket = KeptEventTicket {
                node: self.this.clone(),
                subject: subject.clone(),
                event: Some(owed(way != WayHere::Nobody)),
                is_awaited: way == WayHere::Awaited,
                taken: taken.take(),
            };
            let ticket = EngineTicket::doing(|answer| ticket.answer(answer));
            let length = bytes.len();
            match self.adapter.publish_and_keep(&subject, bytes, &keeping, Some(ticket)) {
                Ok(()) => self.counts.said(WordKind::Event, length),
                // The ticket was dropped, so it is owed; and it need not be looked for.
                Err(OutboxFull) => self.owed.was_not_said(&subject, number),
            }
            if way == WayHere::AtOnce { Carriage::Onward } else { Carriage::Returns }
        })
    }

    /// How the engine keeps what is said of a channel with these bounds.
    pub(super) fn keeping(&self, bounds: &HistoryBounds, remembered_for: Option<Duration>) -> Keeping {
        let longest = self.hub.upgrade().map_or(LEAST_KNOWN_FOR, |hub| last_known_for(&hub, bounds));
        Keeping {
            events: bounds.events as u64,
            bytes: bounds.bytes as u64,
            time: bounds.time,
            last_known_for: longest,
            remembered_for,
        }
    }

    /// Owes an event. What there is no room for, the other nodes miss.
    fn owe(&self, subject: &Subject, event: OwedEvent) {
        let lost = self.owed.put(subject, event);
        self.counts.lost(Loss::Away, lost);
    }

    /// Something of a subject is not in its stream, which is to be said there.
    pub(super) fn lose(&self, subject: &Subject, keeping: &Keeping) {
        let lost = self.owed.lose(subject, keeping);
        self.counts.lost(Loss::Away, lost);
    }

    /// Where an event goes on this node that is owed: behind those that were accepted before it and have not been delivered.
    /// And whether anybody is here for it.
    fn carriage_of_owed(
        &self,
        subject: &Subject,
        event: &Outgoing<'_>,
        number: EventNumber,
    ) -> (Carriage, bool) {
        if self.awaited.has(subject) && self.await_event(subject, event, number, false) {
            self.deliver_awaited_soon(subject, number);
            return (Carriage::Returns, true);
        }
        if self.subscription(subject).is_none() && event.remembered_for.is_none() {
            return (Carriage::Returns, false);
        }
        self.awaited.note_delivered(subject, number);
        (Carriage::Onward, true)
    }

    /// Owes an event of which it is not known whether the engine has it.
    fn owe_said(&self, subject: &Subject, event: OwedEvent) {
        let behind = self.engine_time.lock().heard_until();
        self.owe(subject, OwedEvent { said_behind: Some(behind), ..event });
    }

    /// The engine does not want to keep an event: the others hear it all the same, and that it is not kept.
    pub(super) fn say_unkept(&self, subject: &Subject, event: OwedEvent) {
        let lost = self.lost_word();
        let others = self.owed.lose_event(subject, &event);
        self.counts.lost(Loss::Away, others);
        for bytes in [event.bytes, lost] {
            let length = bytes.len();
            if self.adapter.publish(subject, bytes, None).is_ok() {
                self.counts.said(WordKind::Event, length);
            } else {
                self.counts.lost(Loss::OutgoingFull, 1);
            }
        }
    }

    /// Says that events of a subject are lost, before what is said of it next.
    fn say_lost(&self, subject: &Subject, keeping: &Keeping) {
        let (this, of, kept) = (self.this.clone(), subject.clone(), *keeping);
        let unsaid = DoneUnlessSaid(Some(move || {
            if let Some(this) = this.upgrade() {
                let lost = this.owed.lose_again(&of, &kept);
                this.counts.lost(Loss::Away, lost);
            }
        }));
        let ticket = EngineTicket::doing(move |answer| {
            let mut unsaid = unsaid;
            if answer.is_ok() {
                drop(take(&mut unsaid.0));
            }
        });
        let bounds = Keeping { remembered_for: None, ..*keeping };
        // If there is no room, the ticket is dropped.
        let _ = self.adapter.publish_and_keep(subject, self.lost_word(), &bounds, Some(ticket));
    }

    pub(super) fn lost_word(&self) -> Bytes {
        Envelope { from: self.me, content: Content::EventsLost }.encode()
    }

    /// Delivers what is awaited of a subject up to this event, on the thread of the cluster.
    pub(super) fn deliver_awaited_soon(&self, subject: &Subject, number: EventNumber) {
        let (this, subject) = (self.this.clone(), subject.clone());
        self.runtime.spawn(async move {
            if let Some(this) = this.upgrade() {
                this.deliver_awaited(&subject, number, None);
            }
        });
    }
}

/// Does something when it is dropped, unless that has been taken out.
struct DoneUnlessSaid<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for DoneUnlessSaid<F> {
    fn drop(&mut self) {
        if let Some(then) = take(&mut self.0) {
            then();
        }
    }
}
