//! The way to one endpoint: a queue of its own, and the task that sends what is in it.
//!
//! Each endpoint has one, so that a slow or broken one delays nobody else.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tracing::{debug, error, info, warn};

use crate::app::Key;
use crate::hub::{Busy, Due, Timed};
use crate::protocol::ChannelName;

use super::batch::{Batch, Queue};
use super::client::{HttpClient, Signed};
use super::clock::{Clock, date, machine, unix_millis};
use super::config::{Delivery, Endpoint};
use super::log::{Attempt, DeliveryLog, Outcome};
use super::observer::{Instead, Observer, Sending, is_same};
use super::{Stage, event};

/// A drop is logged at once, and further ones of the same endpoint not more often than this.
const DROPS_LOGGED_EVERY: Duration = Duration::from_secs(10);

/// What the senders of one app share.
#[derive(Debug)]
pub(super) struct Courier {
    pub(super) app_id: String,
    /// The key that signs.
    pub(super) key: Key,
    pub(super) delivery: Delivery,
    pub(super) client: HttpClient,
    pub(super) clock: Clock,
    /// Whoever watches; nobody in production.
    pub(super) observer: Option<Arc<dyn Observer>>,
}

impl Courier {
    /// Ready when whoever watches does not care any more.
    async fn over(&self) {
        let Some(observer) = &self.observer else { return std::future::pending().await };
        // An error means that there is nobody left who could care.
        let _ = observer.over().wait_for(|over| *over).await;
    }
}

/// The way to one endpoint.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) endpoint: Endpoint,
    pub(super) log: Arc<DeliveryLog>,
    courier: Arc<Courier>,
    queue: Mutex<Queue>,
    changed: Notify,
    /// Stands for what was queued and has not been seen to.
    pushed: Mutex<Busy>,
    /// Who may still queue something: the dispatcher of the configuration in force, and those of earlier ones that are
    /// at their end.
    feeders: AtomicUsize,
    drops: Mutex<Drops>,
    /// Numbers the requests, for the log.
    requests: AtomicU64,
}

#[derive(Debug, Default)]
struct Drops {
    unsaid: u64,
    said: Option<Instant>,
}

impl Lane {
    pub(super) fn new(endpoint: Endpoint, log: Arc<DeliveryLog>, courier: Arc<Courier>) -> Self {
        let queue = Queue::new(courier.delivery.bounds(), courier.delivery.batches());
        Lane {
            endpoint,
            log,
            courier,
            queue: Mutex::new(queue),
            changed: Notify::new(),
            pushed: Mutex::default(),
            feeders: AtomicUsize::new(1),
            drops: Mutex::default(),
            requests: AtomicU64::new(0),
        }
    }

    /// Queues an event, or drops it where too many wait.
    pub(super) fn push(&self, channel: &ChannelName, json: Arc<str>, now: Instant) {
        let pushed = self.queue().push(channel, json, now);
        match pushed {
            Ok(()) => {
                *self.pushed() = self.courier.clock.busy(now);
                self.log.count(|tally| tally.waiting += 1);
                self.changed.notify_one();
            }
            Err(_) => {
                self.log.count(|tally| tally.dropped += 1);
                self.count_drops(1, now);
            }
        }
    }

    /// Counts events that were dropped, and says so from time to time.
    fn count_drops(&self, events: u64, now: Instant) {
        let mut drops = self.drops.lock().unwrap_or_else(PoisonError::into_inner);
        drops.unsaid += events;
        if drops.said.is_none_or(|said| now.duration_since(said) >= DROPS_LOGGED_EVERY) {
            let (app, endpoint) = (&self.courier.app_id, &self.endpoint.url);
            let total = self.log.tally().dropped;
            warn!(app, %endpoint, dropped = drops.unsaid, total, "webhook events dropped: too many are waiting");
            *drops = Drops { unsaid: 0, said: Some(now) };
        }
    }

    /// No code panics while it holds the lock.
    fn pushed(&self) -> MutexGuard<'_, Busy> {
        self.pushed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Events that wait or are under way.
    pub(super) fn waiting(&self) -> usize {
        self.queue().len()
    }

    /// From now on requests do not wait for more events.
    pub(super) fn hurry(&self) {
        self.queue().hurry();
        self.changed.notify_one();
    }

    /// One more may queue something. False if the lane is at its end already.
    pub(super) fn join(&self) -> bool {
        let more = |feeders: usize| (feeders > 0).then_some(feeders + 1);
        self.feeders.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_ok()
    }

    /// One of those who may queue something is at its end; after the last one, the task ends when everything is sent.
    pub(super) fn close(&self) {
        if self.feeders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.hurry();
        }
    }

    /// Whether it sends to this endpoint, and as this courier does.
    pub(super) fn is_for(&self, endpoint: &Endpoint, courier: &Courier) -> bool {
        let own = &*self.courier;
        self.endpoint == *endpoint
            && own.key == courier.key
            && own.delivery == courier.delivery
            && is_same(own.observer.as_ref(), courier.observer.as_ref())
    }

    /// Sends what is queued until the lane is closed and empty.
    pub(super) async fn run(self: Arc<Self>, stage: watch::Receiver<Stage>) {
        let most = self.courier.delivery.requests_at_once;
        let mut under_way = JoinSet::new();
        let mut due = Due::default();
        loop {
            let pushed = std::mem::take(&mut *self.pushed());
            let now = self.courier.clock.now();
            while under_way.len() < most {
                let Some(batch) = self.queue().take(now) else { break };
                under_way.spawn(Arc::clone(&self).deliver(batch, stage.clone(), std::mem::take(&mut due)));
            }
            std::mem::take(&mut due).put_off();
            let closed = self.feeders.load(Ordering::Acquire) == 0;
            if under_way.is_empty() && closed && self.queue().is_empty() {
                return;
            }
            let ripe = if under_way.len() < most { self.queue().ripe_at(now) } else { None };
            let ripe = self.courier.clock.sleep_until(ripe, Timed::WebhookBatch);
            drop(pushed);
            tokio::select! {
                Some(over) = under_way.join_next() => match over {
                    Ok(batch) => self.queue().done(batch),
                    Err(error) => error!(endpoint = %self.endpoint.url, %error, "sending a webhook failed"),
                },
                ripe = ripe => due = ripe,
                () = self.changed.notified() => {}
            }
        }
    }

    /// Sends one request until it is taken, or given up. `due` stands for the time that has come for the next attempt.
    async fn deliver(
        self: Arc<Self>,
        batch: Batch,
        mut stage: watch::Receiver<Stage>,
        mut due: Due,
    ) -> Batch {
        let Courier { key, delivery, clock, .. } = &*self.courier;
        let body = event::body(unix_millis(), batch.events.iter().map(|event| &**event));
        let created = clock.now();
        let events = batch.events.len();
        let Some(signed) = Signed::new(body, key, &self.endpoint) else {
            error!(
                app = self.courier.app_id,
                "the app's key cannot stand in a header; its webhooks are lost"
            );
            self.count_end(events, false);
            return batch;
        };
        let request = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        // Failures since the pauses began; they begin anew when the broker is about to end.
        let mut failures = 0;
        for number in 1.. {
            let (outcome, ended, busy) = self.attempt(request, number, &batch.events, &signed).await;
            if outcome.is_delivered() {
                self.count_end(events, true);
                break;
            }
            failures += 1;
            let Some(again) = delivery.retry.again(failures, created, ended) else {
                self.say_given_up(events, number);
                self.count_end(events, false);
                break;
            };
            let again = clock.sleep_until(Some(again), Timed::WebhookRetry);
            drop((std::mem::take(&mut due), busy));
            let hurried = *stage.borrow_and_update() != Stage::Running;
            tokio::select! {
                again = again => due = again,
                () = self.courier.over() => {
                    self.count_end(events, false);
                    break;
                }
                Ok(()) = stage.changed(), if !hurried => failures = 0,
            }
        }
        batch
    }

    /// What came of it, and when: whoever is told of it may advance the clock, but not before it is known what is waited for.
    async fn attempt(
        &self,
        request: u64,
        number: u32,
        events: &[Arc<str>],
        signed: &Signed,
    ) -> (Outcome, Instant, Busy) {
        let Courier { app_id: app, observer, clock, .. } = &*self.courier;
        let sending = Sending { endpoint: &self.endpoint, events, number };
        let (at, begun) = (date(), machine());
        let instead = observer.as_ref().and_then(|observer| observer.instead(&sending));
        let (outcome, fault) = match instead {
            Some(Instead { fault, outcome }) => (outcome, Some(fault)),
            None => (self.send(signed, number).await, None),
        };
        let (duration, ended) = (machine().duration_since(begun), clock.now());
        let (endpoint, events, body_bytes) = (&self.endpoint.url, events.len(), signed.body_bytes());
        match &outcome {
            Outcome::Status(status) if outcome.is_delivered() => {
                debug!(app, %endpoint, request, number, events, body_bytes, status, ?duration, "webhook delivered");
            }
            Outcome::Status(status) => {
                info!(app, %endpoint, request, number, events, status, ?duration, "webhook not taken");
            }
            Outcome::Failure(reason) => {
                info!(app, %endpoint, request, number, events, reason, ?duration, "webhook not delivered");
            }
        }
        self.log.record(Attempt { at, number, events, body_bytes, duration, outcome: outcome.clone() });
        let busy = clock.busy(ended);
        if let Some(observer) = observer {
            observer.sent(&sending, &outcome, fault);
        }
        (outcome, ended, busy)
    }

    async fn send(&self, signed: &Signed, number: u32) -> Outcome {
        let Courier { delivery, client, .. } = &*self.courier;
        match client.send(&self.endpoint, signed, number, delivery.timeout).await {
            Ok(reply) => Outcome::Status(reply.status),
            Err(failure) => Outcome::Failure(failure.to_string()),
        }
    }

    fn say_given_up(&self, events: usize, attempts: u32) {
        let (app, endpoint) = (&self.courier.app_id, &self.endpoint.url);
        warn!(app, %endpoint, events, attempts, "webhook given up: the endpoint has not taken it");
    }

    fn count_end(&self, events: usize, delivered: bool) {
        self.log.count(|tally| {
            tally.waiting = tally.waiting.saturating_sub(events);
            match delivered {
                true => tally.delivered += events as u64,
                false => tally.given_up += events as u64,
            }
        });
    }

    /// The broker ends: what is left will not be sent. Says so, if anything is.
    pub(super) fn abandon(&self) {
        let events = self.waiting();
        if events > 0 {
            let (app, endpoint) = (&self.courier.app_id, &self.endpoint.url);
            warn!(app, %endpoint, events, "webhook events given up: the endpoint has not taken them in time");
            self.count_end(events, false);
        }
    }

    /// No code panics while it holds the lock.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
