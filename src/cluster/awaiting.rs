//! Has this node's subscribers hear an event whose publisher waits for the engine where the other nodes hear it: between those
//! that the engine took before and after. What the engine does not give back in time is delivered all the same.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::hub::{ArrivedEvent, Outgoing, Taken};
use crate::protocol::Form;

use super::adapter::{Adapter, EngineError, EngineTicket, Subject};
use super::awaited::AwaitedEvent;
use super::event_numbers::EventNumber;
use super::node::ClusterNode;
use super::returning::taken_of;
use super::status::Loss;

/// So long an event is awaited. It is looked for from time to time, so it may be a little longer.
const WITHIN: Duration = Duration::from_millis(400);

/// The same while there is more to read than is read: it may be among that.
const WITHIN_WHEN_BEHIND: Duration = Duration::from_secs(2);

impl<A: Adapter> ClusterNode<A> {
    /// Awaits an event that is about to be said, if its publisher waits for the engine too and it will come back; and also
    /// if one that was accepted before it is awaited. Whether it is; else it is to be delivered at once. Under the lock of the
    /// subject's numbers.
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
            has_receipt && !is_overdue && self.has_peers_now() && self.claims.is_confirmed(subject)
        };
        if !self.awaited.has_room() || !is_behind && !comes_back() {
            return false;
        }
        let event = AwaitedEvent {
            number,
            since: Instant::now().into_std(),
            frame: event.message.for_client(Form::Binary),
            latest: event.latest.map(Arc::from),
            except: event.except,
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
                this.deliver_awaited(&subject, number);
            }
            // Whoever asked may have gone.
            let _ = taken.map(|taken| taken.send(answer));
        });
        ticket.into()
    }

    /// An event of this node has come back. Those before it will not: what the engine takes, it gives back in order.
    pub(super) fn awaited_came(&self, subject: &Subject, number: EventNumber) {
        self.awaited.is_overdue.store(false, Ordering::Relaxed);
        let delivered = self.deliver_awaited(subject, number);
        self.counts.lost(Loss::ReturnLate, delivered.saturating_sub(1));
    }

    /// Delivers what has been awaited for too long. `is_behind`: more has come than has been read.
    pub(super) fn give_up_awaited(&self, is_behind: bool) {
        let within = if is_behind { WITHIN_WHEN_BEHIND } else { WITHIN };
        let now = Instant::now().into_std();
        let Some(then) = now.checked_sub(within) else { return };
        for (subject, last) in self.awaited.since(Some(then)) {
            self.awaited.is_overdue.store(true, Ordering::Relaxed);
            let late = self.deliver_awaited(&subject, last);
            self.counts.lost(Loss::ReturnLate, late);
        }
    }

    /// Delivers all that is awaited: the bus is away.
    pub(super) fn deliver_all_awaited(&self) {
        for (subject, last) in self.awaited.since(None) {
            self.deliver_awaited(&subject, last);
        }
    }

    fn deliver_awaited(&self, subject: &Subject, number: EventNumber) -> u64 {
        let (Subject::Channel { app, channel }, Some(hub)) = (subject, self.hub.upgrade()) else { return 0 };
        self.awaited.take_until(subject, number, |event| {
            let AwaitedEvent { frame, ref latest, except, .. } = event;
            let event = ArrivedEvent { channel, frame, latest: latest.as_deref(), except, remembered: None };
            hub.deliver_from_elsewhere(app, &event);
        })
    }
}
