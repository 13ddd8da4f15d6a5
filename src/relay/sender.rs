//! Sends to one relay: a queue of its own, and the task that empties it, request by request.
//!
//! Each relay has its own, so that a slow server delays no other.

use std::sync::Arc;
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
    fed: Mutex<FedQueue>,
    changed: Notify,
    /// There are other settings: what was in vain by the old ones is tried at once.
    adopted: Notify,
    losses: Losses,
}

/// What waits for a relay, and who may add to it.
#[derive(Debug, Default)]
struct FedQueue {
    queue: RelayQueue,
    /// Listeners that may still queue something.
    producers: usize,
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
            fed: Mutex::default(),
            changed: Notify::new(),
            adopted: Notify::new(),
            losses,
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
        let queue = &self.fed.lock().queue;
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
        let (under_way, waiting) = self.fed.lock().queue.clear();
        let url = self.settings.load().url.clone();
        if link.is_some_and(|(_, link)| link.has_written()) {
            self.losses.unknown(&url, under_way, "the broker has ended");
            self.losses.given_up(&url, waiting);
        } else {
            self.losses.given_up(&url, under_way + waiting);
        }
    }

    async fn send_all(&self, link: &mut Option<MadeLink>, mut end: watch::Receiver<Option<Instant>>) {
        let mut course = Course::default();
        loop {
            let settings = self.settings.load_full();
            let old = self.fed.lock().queue.remove_older_than(settings.give_up_after, Instant::now());
            if old > 0 {
                course.over_limit = 0;
            }
            self.losses.given_up(&settings.url, old);
            let most = if course.alone > 0 { 1 } else { settings.batch_events };
            let begun = self.fed.lock().queue.begin(most);
            let Some(request) = begun else {
                if self.is_over(end.borrow_and_update().is_some()) {
                    return;
                }
                tokio::select! {
                    () = self.changed.notified() => {}
                    Ok(()) = end.changed() => {}
                }
                continue;
            };
            let outcome = self.exchange(link, &settings, &request).await;
            let judged = self.judge(&settings, &request, &outcome, course.over_limit);
            self.fed.lock().queue.end(matches!(judged, Judged::Over));
            course.follow(judged, request.items);
            if let Judged::Again(asked) | Judged::OverLimit(asked) = judged {
                let pause = asked.unwrap_or_else(|| verdict::pause(course.failures, rand::random()));
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = self.adopted.notified() => {}
                }
            }
        }
    }

    /// Whether nothing is left to be sent, and nothing more will come. Then nobody can add to the queue any more.
    fn is_over(&self, is_broker_ending: bool) -> bool {
        let mut fed = self.fed.lock();
        (is_broker_ending || fed.producers == 0) && fed.queue.close()
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
        let prefix = settings.url.prefix();
        // To libraries a prefix is no part of what is signed; some servers sign what they see.
        let prefixed = format!("{prefix}{path}");
        let signed = if settings.sign_prefix { &prefixed } else { &path };
        let query = signed_query(&settings.key, "POST", signed, &request.body, unix_seconds());
        let target = format!("{prefixed}?{query}");
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
        over_limit: u32,
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
            RelayVerdict::Refused
                if items > 1 && verdict::is_for_the_batch(status, settings.batches_are_checked_whole) =>
            {
                return Judged::Alone;
            }
            RelayVerdict::Refused => losses.refused(url, items, status, &reply.body),
            RelayVerdict::Unknown => losses.unknown(url, items, &format!("the answer was HTTP {status}")),
            RelayVerdict::Again(_)
                if status == 429 && verdict::is_always_over(request.channels, over_limit + 1) =>
            {
                losses.refused(url, items, status, &reply.body);
            }
            RelayVerdict::Again(pause) => {
                losses.again(url, &format!("the answer was HTTP {status}"));
                return if status == 429 { Judged::OverLimit(pause) } else { Judged::Again(pause) };
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
    /// It is sent again, after a pause of this length if the server has named one.
    Again(Option<Duration>),
    /// So are its events, each by itself: together they may be more than the server's limit, however long they wait.
    OverLimit(Option<Duration>),
}

/// How the sending goes.
#[derive(Debug, Default)]
struct Course {
    /// Requests in a row that have to be sent again.
    failures: u32,
    /// Those of them, at their end, that were over the server's limit and had one item.
    over_limit: u32,
    /// So many items are sent one by one.
    alone: usize,
}

impl Course {
    /// A request with so many items was judged.
    fn follow(&mut self, judged: Judged, items: usize) {
        match judged {
            Judged::Over => {
                *self = Course { alone: self.alone.saturating_sub(items), ..Course::default() };
            }
            Judged::Alone => *self = Course { alone: items, ..Course::default() },
            Judged::Again(_) => self.failures += 1,
            Judged::OverLimit(_) => {
                self.failures += 1;
                self.over_limit = if items == 1 { self.over_limit + 1 } else { 0 };
                self.alone = self.alone.max(items);
            }
        }
    }
}

impl Producer {
    /// One more of this sender. `None` if it has ended already; until then it can be had again, though nobody was left.
    pub(super) fn of(sender: &Arc<RelaySender>) -> Option<Self> {
        let mut fed = sender.fed.lock();
        if fed.queue.is_closed() {
            return None;
        }
        fed.producers += 1;
        Some(Producer { sender: Arc::clone(sender) })
    }

    /// The first of a sender that has not begun.
    pub(super) fn first_of(sender: &Arc<RelaySender>) -> Self {
        sender.fed.lock().producers += 1;
        Producer { sender: Arc::clone(sender) }
    }

    /// The settings in force.
    pub(super) fn settings(&self) -> Arc<RelaySettings> {
        self.sender.settings.load_full()
    }

    /// Counts something that is not relayed, because another server has relayed it here.
    pub(super) fn keep_back(&self) {
        self.sender.losses.not_relayed(&self.sender.settings.load().url);
    }

    /// Queues something, or drops it where too much waits.
    pub(super) fn push(&self, item: RelayItem, settings: &RelaySettings) {
        let bounds = RelayQueueBounds { events: settings.queue_events, bytes: settings.queue_bytes };
        let has_room = self.sender.fed.lock().queue.push(item, bounds, Instant::now());
        if has_room {
            self.sender.changed.notify_one();
        } else {
            self.sender.losses.dropped(&settings.url);
        }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        let mut fed = self.sender.fed.lock();
        fed.producers -= 1;
        if fed.producers == 0 {
            self.sender.changed.notify_one();
        }
    }
}

/// Seconds since 1970, by this machine.
fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
