//! Sends webhooks to one endpoint: a queue of its own, and the task that sends what is in it.
//!
//! Each endpoint has its own, so that a slow or broken one delays no other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tracing::{debug, error, info, warn};

use crate::app::Key;
use crate::feed::{FeedDetails, FeedKind, FeedSubject, beginning, exact_ms};
use crate::hub::{Busy, Due, Timed};
use crate::outbound::{DropLog, HttpClient};
use crate::protocol::ChannelName;

use super::batch_queue::{Batch, BatchQueue};
use super::clock::{system_now, system_time, unix_millis};
use super::config::DeliverySettings;
use super::endpoint::WebhookEndpoint;
use super::log::{Attempt, AttemptOutcome, DeliveryLog};
use super::observer::{InjectedOutcome, SendAttempt, is_same};
use super::pause::{EndpointPause, PauseChange};
use super::send_context::SendContext;
use super::sent::{SentWebhook, SentWebhooks, ended};
use super::signed::SignedWebhook;
use super::{BrokerStage, event};

/// The queue of one endpoint, and what its task needs to send what is in it.
#[derive(Debug)]
pub(super) struct EndpointSender {
    pub(super) endpoint: WebhookEndpoint,
    pub(super) log: Arc<DeliveryLog>,
    context: Arc<SendContext>,
    queue: Mutex<BatchQueue>,
    changed: Notify,
    /// Stands for what was queued and has not been seen to.
    pushed: Mutex<Busy>,
    /// Those that may still queue events: the dispatcher of the configuration in force, and those of earlier
    /// configurations until they have ended.
    producers: AtomicUsize,
    drops: Mutex<DropLog>,
    /// Numbers the requests, for the log.
    requests: AtomicU64,
    pause: Mutex<EndpointPause>,
    sent: Mutex<SentWebhooks>,
}

/// A request that is under way, of which there may be several attempts.
struct OutgoingWebhook<'b> {
    request: u64,
    time_ms: u128,
    events: &'b [Arc<str>],
    signed: &'b SignedWebhook,
}

impl EndpointSender {
    pub(super) fn new(endpoint: WebhookEndpoint, log: Arc<DeliveryLog>, context: Arc<SendContext>) -> Self {
        let queue = BatchQueue::new(context.delivery.bounds(), context.delivery.batches());
        EndpointSender {
            endpoint,
            log,
            context,
            queue: Mutex::new(queue),
            changed: Notify::new(),
            pushed: Mutex::default(),
            producers: AtomicUsize::new(1),
            drops: Mutex::default(),
            requests: AtomicU64::new(0),
            pause: Mutex::default(),
            sent: Mutex::default(),
        }
    }

    /// Sends nothing from now on, or goes on, as an operator says, here or on a node that has numbered it.
    pub(super) fn change_pause(&self, is_paused: bool, numbered: u64) -> PauseChange {
        let change = self.pause.lock().change(is_paused, numbered);
        self.changed.notify_one();
        change
    }

    /// Does as another node has heard, if that is later than what is known here. Whether it differs from before.
    pub(super) fn learn_pause(&self, change: PauseChange) -> bool {
        let differs = self.pause.lock().learn(change);
        if differs {
            self.changed.notify_one();
        }
        differs
    }

    /// What an operator has said of it.
    pub(super) fn pause(&self) -> EndpointPause {
        *self.pause.lock()
    }

    /// The latest attempts, the newest first.
    pub(super) fn sent(&self) -> Vec<SentWebhook> {
        self.sent.lock().all()
    }

    /// One of them.
    pub(super) fn find_sent(&self, id: u64) -> Option<SentWebhook> {
        self.sent.lock().find(id)
    }

    /// Remembers an attempt, and gives it its id.
    pub(super) fn remember(&self, sent: SentWebhook) -> u64 {
        self.sent.lock().add(sent)
    }

    /// The key that signs.
    pub(super) fn key(&self) -> &Key {
        &self.context.key
    }

    /// What it sends by.
    pub(super) fn means(&self) -> (&HttpClient, &DeliverySettings) {
        (&self.context.client, &self.context.delivery)
    }

    /// Queues an event, or drops it where too many wait.
    pub(super) fn push(&self, channel: &ChannelName, json: Arc<str>, now: Instant) {
        let pushed = self.queue.lock().push(channel, json, now);
        match pushed {
            Ok(()) => {
                *self.pushed.lock() = self.context.clock.busy(now);
                self.log.count(|counts| counts.waiting += 1);
                self.changed.notify_one();
            }
            Err(_) => {
                self.log.count(|counts| counts.dropped += 1);
                self.context.counts.dropped.add_from_anywhere(1);
                self.log_drop(now);
            }
        }
    }

    /// Logs that an event was dropped, or counts it until the next time that drops are logged.
    fn log_drop(&self, now: Instant) {
        let drops = self.drops.lock().add(1, now);
        if let Some(dropped) = drops {
            let app = &self.context.app_id;
            let endpoint = &self.endpoint.url;
            let total = self.log.counts().dropped;
            warn!(app, %endpoint, dropped, total, "webhook events dropped: too many are waiting");
        }
    }

    /// Events that wait or are under way.
    pub(super) fn waiting(&self) -> usize {
        self.queue.lock().len()
    }

    /// The app whose webhooks they are.
    pub(super) fn app_id(&self) -> &str {
        &self.context.app_id
    }

    /// Bytes of what waits or is under way, and for how long the oldest has waited.
    pub(super) fn backlog(&self) -> (usize, Duration) {
        let queue = self.queue.lock();
        let oldest = queue.oldest();
        let age = oldest.map(|since| self.context.clock.now().saturating_duration_since(since));
        (queue.bytes(), age.unwrap_or_default())
    }

    /// From now on requests do not wait for more events.
    pub(super) fn flush(&self) {
        self.queue.lock().flush();
        self.changed.notify_one();
    }

    /// Adds a producer. False if the sender has ended already.
    pub(super) fn add_producer(&self) -> bool {
        let more = |producers: usize| (producers > 0).then_some(producers + 1);
        self.producers.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_ok()
    }

    /// Removes a producer. After the last one, the task ends when everything is sent.
    pub(super) fn remove_producer(&self) {
        if self.producers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.flush();
        }
    }

    /// Whether it sends to this endpoint, with this context.
    pub(super) fn is_for(&self, endpoint: &WebhookEndpoint, context: &SendContext) -> bool {
        let own = &*self.context;
        self.endpoint == *endpoint
            && own.key == context.key
            && own.delivery == context.delivery
            && is_same(own.observer.as_ref(), context.observer.as_ref())
    }

    /// Sends what is queued until there is no producer and all is sent.
    pub(super) async fn run(self: Arc<Self>, stage: watch::Receiver<BrokerStage>) {
        let most = self.context.delivery.requests_at_once;
        let mut under_way = JoinSet::new();
        let mut due = Due::default();
        loop {
            let pushed = std::mem::take(&mut *self.pushed.lock());
            let now = self.context.clock.now();
            let closed = self.producers.load(Ordering::Acquire) == 0;
            // A pause ends with the broker, and with the last who sends by it: nobody could have it go on.
            let is_held = self.pause().is_paused() && !closed && *stage.borrow() == BrokerStage::Running;
            while under_way.len() < most && !is_held {
                let Some(batch) = self.queue.lock().take(now) else { break };
                under_way.spawn(Arc::clone(&self).deliver(batch, stage.clone(), std::mem::take(&mut due)));
            }
            std::mem::take(&mut due).put_off();
            if under_way.is_empty() && closed && self.queue.lock().is_empty() {
                return;
            }
            let is_free = under_way.len() < most && !is_held;
            let ready_at = if is_free { self.queue.lock().next_request_at(now) } else { None };
            let ready_at = self.context.clock.sleep_until(ready_at, Timed::WebhookBatch);
            drop(pushed);
            tokio::select! {
                Some(finished) = under_way.join_next() => match finished {
                    Ok(batch) => self.queue.lock().done(batch),
                    Err(error) => error!(endpoint = %self.endpoint.url, %error, "sending a webhook failed"),
                },
                ready_at = ready_at => due = ready_at,
                () = self.changed.notified() => {}
            }
        }
    }

    /// Sends one request until it is taken, or given up. `due` stands for the time that has come for the next attempt.
    async fn deliver(
        self: Arc<Self>,
        batch: Batch,
        mut stage: watch::Receiver<BrokerStage>,
        mut due: Due,
    ) -> Batch {
        let SendContext { key, delivery, clock, .. } = &*self.context;
        let time_ms = unix_millis();
        let body = event::body(time_ms, batch.events.iter().map(|event| &**event));
        let created = clock.now();
        let events = batch.events.len();
        let Some(signed) = SignedWebhook::new(body, key, &self.endpoint) else {
            error!(
                app = self.context.app_id,
                "the app's key cannot stand in a header; its webhooks are lost"
            );
            self.count_end(events, false);
            return batch;
        };
        let request = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let webhook = OutgoingWebhook { request, time_ms, events: &batch.events, signed: &signed };
        // Failures since the pauses began; they begin anew when the broker is about to end.
        let mut failures = 0;
        for number in 1.. {
            let (id, outcome, ended, busy) = self.attempt(&webhook, number).await;
            if outcome.is_delivered() {
                self.count_end(events, true);
                break;
            }
            failures += 1;
            let Some(again) = delivery.retry.again(failures, created, ended) else {
                self.log_given_up(events, number);
                self.count_end(events, false);
                break;
            };
            self.sent.lock().again_at(id, system_time() + again.saturating_duration_since(ended));
            let again = clock.sleep_until(Some(again), Timed::WebhookRetry);
            drop((std::mem::take(&mut due), busy));
            let flushing = *stage.borrow_and_update() != BrokerStage::Running;
            tokio::select! {
                again = again => due = again,
                () = self.context.test_ended() => {
                    self.count_end(events, false);
                    break;
                }
                Ok(()) = stage.changed(), if !flushing => failures = 0,
            }
        }
        batch
    }

    /// Makes one attempt. Returns its id, its outcome, when it ended, and what is to be held until the next wait is known: the
    /// observer may advance the clock as soon as it is told of the outcome.
    async fn attempt(
        &self,
        webhook: &OutgoingWebhook<'_>,
        number: u32,
    ) -> (u64, AttemptOutcome, Instant, Busy) {
        let SendContext { app_id: app, observer, clock, .. } = &*self.context;
        let OutgoingWebhook { request, time_ms, events: told, signed } = *webhook;
        let sending = SendAttempt { endpoint: &self.endpoint, events: told, number };
        let at = system_time();
        let begun = system_now();
        let injected_outcome = observer.as_ref().and_then(|observer| observer.injected_outcome(&sending));
        let ((outcome, answer), fault) = match injected_outcome {
            Some(InjectedOutcome { fault, outcome }) => ((outcome, None), Some(fault)),
            None => (self.send(signed, number).await, None),
        };
        let duration = system_now().duration_since(begun);
        let ended = clock.now();
        let endpoint = &self.endpoint.url;
        let events = told.len();
        let body_bytes = signed.body_bytes();
        match &outcome {
            AttemptOutcome::Status(status) if outcome.is_delivered() => {
                debug!(app, %endpoint, request, number, events, body_bytes, status, ?duration, "webhook delivered");
            }
            AttemptOutcome::Status(status) => {
                info!(app, %endpoint, request, number, events, status, ?duration, "webhook not taken");
            }
            AttemptOutcome::Failure(reason) => {
                info!(app, %endpoint, request, number, events, reason, ?duration, "webhook not delivered");
            }
        }
        let counts = &self.context.counts;
        let counter = if outcome.is_delivered() { &counts.requests_taken } else { &counts.requests_failed };
        counter.add_from_anywhere(1);
        let attempt = Attempt { at, number, events, body_bytes, duration, outcome: outcome.clone() };
        self.tell_feed(&attempt);
        self.log.record(attempt.clone());
        let id = self.remember(SentWebhook {
            id: 0,
            request,
            attempt,
            time_ms,
            events: told.to_vec(),
            answer,
            next_at: None,
            is_replay: false,
        });
        let busy = clock.busy(ended);
        if let Some(observer) = observer {
            observer.sent(&sending, &outcome, fault);
        }
        (id, outcome, ended, busy)
    }

    /// Sends a request. Returns how it ended, and the beginning of what was answered.
    pub(super) async fn send(
        &self,
        signed: &SignedWebhook,
        number: u32,
    ) -> (AttemptOutcome, Option<Box<str>>) {
        let SendContext { delivery, client, .. } = &*self.context;
        ended(client.send(signed.request(&self.endpoint, number), delivery.timeout).await)
    }

    /// Tells those who watch of an attempt.
    fn tell_feed(&self, attempt: &Attempt) {
        let Attempt { number, events, duration, outcome, .. } = attempt;
        let subject = FeedSubject::in_app(FeedKind::Webhooks, &self.context.app_id);
        self.context.feed.tell(&subject, || {
            let (status, reason) = match outcome {
                AttemptOutcome::Status(status) => (Some(*status), None),
                AttemptOutcome::Failure(reason) => (None, Some(beginning(reason).into())),
            };
            FeedDetails {
                what: "attempt".into(),
                url: Some(self.endpoint.url.to_string().into()),
                attempt: Some(*number),
                events: Some(*events),
                duration_ms: Some(exact_ms(*duration)),
                status,
                reason,
                ..FeedDetails::default()
            }
        });
    }

    fn log_given_up(&self, events: usize, attempts: u32) {
        let app = &self.context.app_id;
        let endpoint = &self.endpoint.url;
        warn!(app, %endpoint, events, attempts, "webhook given up: the endpoint has not taken it");
    }

    fn count_end(&self, events: usize, delivered: bool) {
        let counts = &self.context.counts;
        let counter = if delivered { &counts.delivered } else { &counts.given_up };
        counter.add_from_anywhere(events as u64);
        self.log.count(|counts| {
            counts.waiting = counts.waiting.saturating_sub(events);
            let total = if delivered { &mut counts.delivered } else { &mut counts.given_up };
            *total += events as u64;
        });
    }

    /// The broker ends: what is left will not be sent. Says so, if anything is.
    pub(super) fn give_up_all(&self) {
        let events = self.waiting();
        if events > 0 {
            let app = &self.context.app_id;
            let endpoint = &self.endpoint.url;
            warn!(app, %endpoint, events, "webhook events given up: the endpoint has not taken them in time");
            self.count_end(events, false);
        }
    }
}
