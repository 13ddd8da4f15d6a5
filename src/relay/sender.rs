//! Sends to one relay: a queue of its own, and the task that empties it, request by request.
//!
//! Each relay has its own, so that a slow server delays no other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tracing::error;

use crate::auth::request::signed_query;
use crate::outbound::{AGENT, connector};

use super::RELAY_HEADER;
use super::connection::{ExchangeError, RelayLink, RelayReply};
use super::item::{RelayItem, RelayRequest};
use super::losses::Losses;
use super::queue::{RelayQueue, RelayQueueBounds};
use super::settings::RelaySettings;
use super::verdict::{self, RelayVerdict};

/// The queue of one relay, and what its task needs to send what is in it.
#[derive(Debug)]
pub(super) struct RelaySender {
    app_id: String,
    /// What the requests are known by.
    mark: HeaderValue,
    settings: ArcSwap<RelaySettings>,
    queue: Mutex<RelayQueue>,
    changed: Notify,
    /// There are other settings: what was in vain by the old ones is tried at once.
    adopted: Notify,
    losses: Losses,
    /// Listeners that may still queue something.
    producers: AtomicUsize,
}

/// A place from which events are queued. The sender ends when all are gone and its queue is empty.
#[derive(Debug)]
pub(super) struct Producer {
    sender: Arc<RelaySender>,
}

impl RelaySender {
    /// One without a producer.
    pub(super) fn new(app_id: &str, mark: HeaderValue, settings: RelaySettings, losses: Losses) -> Self {
        RelaySender {
            app_id: app_id.to_owned(),
            mark,
            settings: ArcSwap::from_pointee(settings),
            queue: Mutex::default(),
            changed: Notify::new(),
            adopted: Notify::new(),
            losses,
            producers: AtomicUsize::new(0),
        }
    }

    pub(super) fn app_id(&self) -> &str {
        &self.app_id
    }

    /// Whether it sends to the app that these settings name.
    pub(super) fn is_for(&self, settings: &RelaySettings) -> bool {
        self.settings.load().is_to_same_app(settings)
    }

    /// Goes on with these settings. What waits is sent by them, too.
    pub(super) fn adopt(&self, settings: &RelaySettings) {
        if **self.settings.load() != *settings {
            self.settings.store(Arc::new(settings.clone()));
            self.adopted.notify_one();
        }
    }

    /// Events that wait or are under way, their bytes, and for how long the oldest has waited.
    pub(super) fn backlog(&self) -> (usize, usize, Duration) {
        let queue = self.queue.lock();
        (queue.len(), queue.bytes(), queue.oldest().map(|since| since.elapsed()).unwrap_or_default())
    }

    /// Sends what is queued until there is no producer, or the broker ends, and all is sent; or until the broker has no more
    /// time. Then what is left is given up.
    pub(super) async fn run(self: Arc<Self>, end: watch::Receiver<Option<Instant>>) {
        let mut link = None;
        tokio::select! {
            () = self.send_all(&mut link, end.clone()) => return,
            () = cut(end) => {}
        }
        let (under_way, waiting) = self.queue.lock().clear();
        let url = self.settings.load().url.clone();
        if link.is_some_and(|(_, link)| link.has_written()) {
            self.losses.unknown(&url, under_way, "the broker has ended");
            self.losses.given_up(&url, waiting);
        } else {
            self.losses.given_up(&url, under_way + waiting);
        }
    }

    async fn send_all(&self, link: &mut Option<MadeLink>, mut end: watch::Receiver<Option<Instant>>) {
        let mut failures = 0;
        // So many are sent one by one, because their batch was refused.
        let mut alone = 0_usize;
        loop {
            let settings = self.settings.load_full();
            let old = self.queue.lock().remove_older_than(settings.give_up_after, Instant::now());
            self.losses.given_up(&settings.url, old);
            let most = if alone > 0 { 1 } else { settings.batch_events };
            let Some(request) = self.queue.lock().begin(most) else {
                let is_over =
                    end.borrow_and_update().is_some() || self.producers.load(Ordering::Acquire) == 0;
                if is_over && self.queue.lock().is_empty() {
                    return;
                }
                tokio::select! {
                    () = self.changed.notified() => {}
                    Ok(()) = end.changed() => {}
                }
                continue;
            };
            let outcome = self.exchange(link, &settings, &request).await;
            let verdict = self.judge(&settings, &request, &outcome, alone == 0);
            let items = request.items;
            match verdict {
                Judged::Over => alone = alone.saturating_sub(items),
                Judged::Alone => alone = items,
                Judged::Again(_) => {}
            }
            self.queue.lock().end(matches!(verdict, Judged::Over));
            failures = if let Judged::Again(asked) = verdict {
                let pause = asked.unwrap_or_else(|| verdict::pause(failures + 1, rand::random()));
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = self.adopted.notified() => {}
                }
                failures + 1
            } else {
                0
            };
        }
    }

    /// Sends one request once.
    async fn exchange(
        &self,
        link: &mut Option<MadeLink>,
        settings: &Arc<RelaySettings>,
        request: &RelayRequest,
    ) -> Result<RelayReply, ExchangeError> {
        if !link.as_ref().is_some_and(|(made_for, _)| Arc::ptr_eq(made_for, settings)) {
            *link = Some((Arc::clone(settings), self.link(settings)?));
        }
        let Some((_, link)) = link else {
            return Err(ExchangeError::NothingWritten("there is no connection".to_owned()));
        };
        link.exchange(self.signed(settings, request)?, settings.timeout).await
    }

    /// A link by these settings.
    fn link(&self, settings: &RelaySettings) -> Result<RelayLink, ExchangeError> {
        let made = connector(settings.trusted_file()).or_else(|error| {
            // The file was checked when the settings were; it has changed since.
            error!(app = self.app_id, target = %settings.url, %error, "only public certificate authorities are trusted for the relay");
            connector(None)
        });
        let made = made.map_err(|error| ExchangeError::NothingWritten(error.to_string()))?;
        Ok(RelayLink::new(made, settings.url.uri().clone()))
    }

    /// A request as the server expects it of a backend, with our mark.
    fn signed(
        &self,
        settings: &RelaySettings,
        request: &RelayRequest,
    ) -> Result<Request<Full<Bytes>>, ExchangeError> {
        let path = format!("/apps/{}{}", settings.app_id, request.path);
        let query = signed_query(&settings.key, "POST", &path, &request.body, unix_seconds());
        // As libraries do it: a prefix is no part of what is signed.
        let target = format!("{}{path}?{query}", settings.url.prefix());
        Request::builder()
            .method(Method::POST)
            .uri(target)
            .header(HOST, settings.url.authority())
            .header(USER_AGENT, AGENT)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(RELAY_HEADER, self.mark.clone())
            .body(Full::new(Bytes::from(request.body.clone())))
            .map_err(|error| ExchangeError::NothingWritten(error.to_string()))
    }

    /// Counts what became of a request, and says what is to be done about it.
    fn judge(
        &self,
        settings: &RelaySettings,
        request: &RelayRequest,
        outcome: &Result<RelayReply, ExchangeError>,
        may_be_split: bool,
    ) -> Judged {
        let (url, losses, items) = (&settings.url, &self.losses, request.items);
        let reply = match outcome {
            Ok(reply) => reply,
            Err(ExchangeError::NothingWritten(reason)) => {
                losses.again(url, reason);
                return Judged::Again(None);
            }
            Err(ExchangeError::Written(reason)) => {
                losses.unknown(url, items, reason);
                return Judged::Over;
            }
        };
        let status = reply.status;
        match verdict::of_status(status, reply.retry_after.as_deref()) {
            RelayVerdict::Sent => losses.sent(url, items),
            RelayVerdict::Refused if may_be_split && items > 1 && verdict::is_for_the_batch(status) => {
                return Judged::Alone;
            }
            RelayVerdict::Refused => losses.refused(url, items, status, &reply.body),
            RelayVerdict::Unknown => losses.unknown(url, items, &format!("the answer was HTTP {status}")),
            RelayVerdict::Again(pause) => {
                losses.again(url, &format!("the answer was HTTP {status}"));
                return Judged::Again(pause);
            }
        }
        Judged::Over
    }
}

/// A link, and the settings that it was made by.
type MadeLink = (Arc<RelaySettings>, RelayLink);

/// Ready when the broker has no more time.
async fn cut(mut end: watch::Receiver<Option<Instant>>) {
    let at = match end.wait_for(Option::is_some).await {
        Ok(end) => *end,
        // Nobody is there to end it.
        Err(_) => None,
    };
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// What is to be done about a request.
#[derive(Clone, Copy, Debug)]
enum Judged {
    /// Nothing.
    Over,
    /// Its events are sent again, each by itself.
    Alone,
    /// It is sent again, after a pause if one is named.
    Again(Option<Duration>),
}

impl Producer {
    /// One more of this sender. `None` if it has ended already.
    pub(super) fn of(sender: &Arc<RelaySender>) -> Option<Self> {
        let more = |producers: usize| (producers > 0).then_some(producers + 1);
        sender.producers.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok()?;
        Some(Producer { sender: Arc::clone(sender) })
    }

    /// The first of a sender that has not begun.
    pub(super) fn first_of(sender: &Arc<RelaySender>) -> Self {
        sender.producers.store(1, Ordering::Release);
        Producer { sender: Arc::clone(sender) }
    }

    /// The settings in force.
    pub(super) fn settings(&self) -> Arc<RelaySettings> {
        self.sender.settings.load_full()
    }

    /// Queues something, or drops it where too much waits.
    pub(super) fn push(&self, item: RelayItem, settings: &RelaySettings) {
        let bounds = RelayQueueBounds { events: settings.queue_events, bytes: settings.queue_bytes };
        let has_room = self.sender.queue.lock().push(item, bounds, Instant::now());
        if has_room {
            self.sender.changed.notify_one();
        } else {
            self.sender.losses.dropped(&settings.url);
        }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        if self.sender.producers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.sender.changed.notify_one();
        }
    }
}

/// Seconds since 1970, by this machine.
fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
