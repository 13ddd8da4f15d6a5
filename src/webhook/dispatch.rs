//! Hands the events of one app to the senders of its endpoints: removals are held back, the rest goes at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::sleep;
use tracing::warn;

use crate::hub::Timed;

use super::BrokerStage;
use super::clock::WebhookClock;
use super::counts::WebhookCounts;
use super::endpoint_sender::EndpointSender;
use super::event_id::IdentifiedEvent;
use super::listener::{EventReceiver, Received, ReceivedEvent};
use super::sorter::{Sorted, Sorter};

/// How often it is looked whether a node has died that something was left to.
const LOOKS_EVERY: Duration = Duration::from_secs(1);

/// The task of one app.
pub(super) struct Dispatcher {
    pub(super) clock: WebhookClock,
    pub(super) receiver: EventReceiver,
    pub(super) sorter: Sorter,
    pub(super) outlet: Outlet,
}

/// The endpoints of one app.
pub(super) struct Outlet {
    pub(super) app_id: String,
    pub(super) senders: Vec<Arc<EndpointSender>>,
    pub(super) counts: Arc<WebhookCounts>,
}

impl Dispatcher {
    /// Hands events out until the listener is gone or the broker ends; then everything that was held back, too.
    pub(super) async fn run(mut self, mut stage: watch::Receiver<BrokerStage>) {
        loop {
            self.receiver.tell_held(self.sorter.held());
            tokio::select! {
                biased;
                Ok(()) = stage.changed() => match *stage.borrow_and_update() {
                    BrokerStage::Running => {}
                    BrokerStage::Flushing => self.flush(),
                    BrokerStage::Ending => self.receiver.close(),
                },
                event = self.receiver.next() => match event {
                    Some(Received::Event(received)) => self.handle(received),
                    // Whoever asked may have gone.
                    Some(Received::AskHeld(tell)) => _ = tell.send(self.sorter.removals(self.clock.now())),
                    None => break,
                },
                due = self.clock.sleep_until(self.sorter.deadline(), Timed::WebhookRemoval) => {
                    let now = self.clock.now();
                    self.sorter.due(now, |sorted| self.outlet.take(&sorted, now));
                    drop(due);
                }
                () = sleep(LOOKS_EVERY), if self.sorter.has_left() => {
                    let now = self.clock.now();
                    self.sorter.due(now, |sorted| self.outlet.take(&sorted, now));
                }
            }
        }
        let now = self.clock.now();
        self.sorter.flush(now, |sorted| self.outlet.take(&sorted, now));
        self.receiver.tell_held(0);
        self.outlet.senders.iter().for_each(|sender| sender.remove_producer());
    }

    /// What happened counts from then on, however long it was under way.
    fn handle(&mut self, received: ReceivedEvent) {
        let ReceivedEvent { identified, is_ours, happened_at, busy } = received;
        let lost = self.receiver.take_lost();
        if lost > 0 {
            warn!(
                app = self.outlet.app_id,
                events = lost,
                "webhook events lost: they came faster than they could be sorted"
            );
        }
        self.sorter.add(identified, is_ours, happened_at, |sorted| self.outlet.take(&sorted, happened_at));
        drop(busy);
    }

    /// Connections are ended and none can return here: no request waits for more events, and nothing is held back from now
    /// on unless another node does so, too.
    fn flush(&mut self) {
        let now = self.clock.now();
        self.sorter.stop(now, |sorted| self.outlet.take(&sorted, now));
        self.outlet.senders.iter().for_each(|sender| sender.flush());
    }
}

impl Outlet {
    /// Queues an event for every endpoint that wants it, or counts it there if another node tells it.
    fn take(&self, sorted: &Sorted, now: Instant) {
        match sorted {
            Sorted::Told(identified) => self.queue(identified, now),
            Sorted::Left(identified) => {
                self.counts.elsewhere.add_from_anywhere(self.wanting(identified).count() as u64);
            }
        }
    }

    fn queue(&self, identified: &IdentifiedEvent, now: Instant) {
        let mut json: Option<Arc<str>> = None;
        for sender in self.wanting(identified) {
            let json = json.get_or_insert_with(|| identified.to_json(&self.app_id).into());
            sender.push(identified.event.channel(), Arc::clone(json), now);
        }
    }

    fn wanting(&self, identified: &IdentifiedEvent) -> impl Iterator<Item = &Arc<EndpointSender>> {
        let event_type = identified.event.event_type();
        let channel = identified.event.channel();
        self.senders.iter().filter(move |sender| sender.endpoint.wants(event_type, channel))
    }
}
