//! Hands the events of one app to the senders of its endpoints: removals are held back, the rest goes at once.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;
use tracing::warn;

use crate::hub::Timed;

use super::BrokerStage;
use super::clock::WebhookClock;
use super::endpoint_sender::EndpointSender;
use super::event_id::IdentifiedEvent;
use super::listener::EventReceiver;
use super::suppress::Suppressor;

/// The task of one app.
pub(super) struct Dispatcher {
    pub(super) app_id: String,
    pub(super) clock: WebhookClock,
    pub(super) receiver: EventReceiver,
    pub(super) suppressor: Suppressor,
    pub(super) senders: Vec<Arc<EndpointSender>>,
}

impl Dispatcher {
    /// Hands events out until the listener is gone or the broker ends; then everything that was held back, too.
    pub(super) async fn run(mut self, mut stage: watch::Receiver<BrokerStage>) {
        loop {
            self.receiver.tell_held(self.suppressor.len());
            tokio::select! {
                biased;
                Ok(()) = stage.changed() => match *stage.borrow_and_update() {
                    BrokerStage::Running => {}
                    BrokerStage::Flushing => self.flush(),
                    BrokerStage::Ending => self.receiver.close(),
                },
                event = self.receiver.next() => match event {
                    Some((identified, happened_at, busy)) => {
                        self.handle(identified, happened_at);
                        drop(busy);
                    }
                    None => break,
                },
                due = self.clock.sleep_until(self.suppressor.deadline(), Timed::WebhookRemoval) => {
                    let now = self.clock.now();
                    let app_id = &self.app_id;
                    let senders = &self.senders;
                    self.suppressor.due(now, |identified| enqueue(app_id, senders, &identified, now));
                    drop(due);
                }
            }
        }
        self.release_held();
        self.receiver.tell_held(0);
        self.senders.iter().for_each(|sender| sender.remove_producer());
    }

    /// What happened at `heard` counts from then on, however long it was under way.
    fn handle(&mut self, identified: IdentifiedEvent, happened_at: Instant) {
        let app_id = &self.app_id;
        let senders = &self.senders;
        let lost = self.receiver.take_lost();
        if lost > 0 {
            warn!(
                app = self.app_id,
                events = lost,
                "webhook events lost: they came faster than they could be sorted"
            );
        }
        self.suppressor.due(happened_at, |identified| enqueue(app_id, senders, &identified, happened_at));
        self.suppressor
            .add(identified, happened_at, |identified| enqueue(app_id, senders, &identified, happened_at));
    }

    /// Connections are ended and none can return: nothing is held back from now on, and no request waits for more events.
    fn flush(&mut self) {
        self.release_held();
        self.senders.iter().for_each(|sender| sender.flush());
    }

    /// Hands out what is held back.
    fn release_held(&mut self) {
        let now = self.clock.now();
        let app_id = &self.app_id;
        let senders = &self.senders;
        self.suppressor.flush(|identified| enqueue(app_id, senders, &identified, now));
    }
}

/// Queues an event for every endpoint that wants it.
fn enqueue(app_id: &str, senders: &[Arc<EndpointSender>], identified: &IdentifiedEvent, now: Instant) {
    let event_type = identified.event.event_type();
    let channel = identified.event.channel();
    let mut json: Option<Arc<str>> = None;
    for sender in senders.iter().filter(|sender| sender.endpoint.wants(event_type, channel)) {
        let json = json.get_or_insert_with(|| identified.to_json(app_id).into());
        sender.push(channel, Arc::clone(json), now);
    }
}
