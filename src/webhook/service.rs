//! Starts and ends the sending of webhooks: the thread that it takes place on, and the tasks of each app.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::error;

use crate::app::{App, Key};
use crate::auth::webhook::signing_key;
use crate::feed::Feed;
use crate::hub::Listener;
use crate::outbound::{ConnectorError, HttpClient, SenderThread, TrustedFile};

use super::BrokerStage;
use super::clock::WebhookClock;
use super::config::{DeliverySettings, WebhookConfig};
use super::counts::{WebhookCounts, WebhookFigures};
use super::decision::Decision;
use super::dispatch::{Dispatcher, Outlet};
use super::endpoint::WebhookEndpoint;
use super::endpoint_sender::EndpointSender;
use super::listener::{WebhookListener, listener};
use super::log::DeliveryLog;
use super::observer::{Observer, is_same};
use super::send_context::SendContext;
use super::sorter::Sorter;
use super::suppress::Suppressor;

/// All webhooks of a broker. Clones are the same.
#[derive(Clone)]
pub struct Webhooks {
    shared: Arc<WebhooksShared>,
}

/// What the clones of [`Webhooks`] share.
struct WebhooksShared {
    stage: watch::Sender<BrokerStage>,
    state: Mutex<ServiceState>,
    feed: Arc<Feed>,
}

/// The webhooks of all apps, and the thread that sends them.
#[derive(Default)]
struct ServiceState {
    /// None until an app has an endpoint.
    thread: Option<SenderThread>,
    /// By the app's id.
    apps: HashMap<String, AppWebhooks>,
    /// Every sender that may still have something to send, those of replaced configurations too.
    senders: Vec<Weak<EndpointSender>>,
}

/// The webhooks of one app as they are in force.
struct AppWebhooks {
    config: WebhookConfig,
    key: Key,
    observer: Option<Weak<dyn Observer>>,
    listener: Weak<WebhookListener>,
    senders: Vec<Weak<EndpointSender>>,
    logs: Vec<EndpointLog>,
    counts: Arc<WebhookCounts>,
}

/// One endpoint of an app, and what became of its webhooks.
#[derive(Clone, Debug)]
pub struct EndpointLog {
    /// Where the attempts went, and which events it wants.
    pub endpoint: WebhookEndpoint,
    /// What became of its webhooks. It goes on being written.
    pub log: Arc<DeliveryLog>,
}

/// Finds out whether webhooks of this configuration could be sent.
///
/// # Errors
/// If a file that it names cannot be used.
pub(crate) fn check(config: &WebhookConfig) -> Result<(), ConnectorError> {
    if config.endpoints.is_empty() {
        return Ok(());
    }
    HttpClient::new(trusted_file(&config.delivery)).map(drop)
}

/// The file with certificates that endpoints may have besides those of the public authorities.
pub(crate) fn trusted_file(delivery: &DeliverySettings) -> Option<TrustedFile<'_>> {
    let path = delivery.ca_file.as_deref()?;
    Some(TrustedFile { path, named_by: "apps.webhook_delivery.ca_file" })
}

impl Webhooks {
    /// None yet, and no thread.
    pub fn new() -> Self {
        Webhooks::watched_by(Arc::default())
    }

    /// The same, of which those are told who watch this.
    pub(crate) fn watched_by(feed: Arc<Feed>) -> Self {
        let (stage, _) = watch::channel(BrokerStage::Running);
        Webhooks { shared: Arc::new(WebhooksShared { stage, state: Mutex::default(), feed }) }
    }

    /// What sends to each endpoint of an app, in the order of its configuration.
    pub(super) fn senders_of(&self, app_id: &str) -> Vec<Arc<EndpointSender>> {
        let state = self.shared.state.lock();
        let senders = state.apps.get(app_id).map(|app| &app.senders[..]).unwrap_or_default();
        senders.iter().filter_map(Weak::upgrade).collect()
    }

    /// Runs a task on the thread of the webhooks, if there is one.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(thread) = &self.shared.state.lock().thread {
            thread.spawn(task);
        }
    }

    /// The listener for an app of this configuration; `None` if it has no endpoints. A configuration that has not
    /// changed keeps its listener, and an endpoint that has not changed keeps its log. A listener that is dropped
    /// has ended: what it held back is sent at once, and what waits is still delivered.
    pub fn listener(&self, app: &App, config: &WebhookConfig) -> Option<Arc<dyn Listener>> {
        self.observed_listener(app, config, None)
    }

    /// The same, with an observer of the webhooks. Another observer makes another listener.
    pub(crate) fn observed_listener(
        &self,
        app: &App,
        config: &WebhookConfig,
        observer: Option<Arc<dyn Observer>>,
    ) -> Option<Arc<dyn Listener>> {
        let mut state = self.shared.state.lock();
        let key = signing_key(app).filter(|_| !config.endpoints.is_empty() && !self.is_ending());
        let Some(key) = key else {
            state.apps.remove(&app.id);
            return None;
        };
        let old = state.apps.get(&app.id);
        let unchanged = old.filter(|old| {
            let watched = old.observer.as_ref().and_then(Weak::upgrade);
            let watched = is_same(watched.as_ref(), observer.as_ref());
            watched && old.config == *config && old.key == *key
        });
        if let Some(listener) = unchanged.and_then(|old| old.listener.upgrade()) {
            return Some(listener);
        }
        let logs: Vec<EndpointLog> =
            config.endpoints.iter().map(|endpoint| log_of(old, config, endpoint)).collect();
        let old_senders: Vec<Arc<EndpointSender>> =
            old.into_iter().flat_map(|old| old.senders.iter().filter_map(Weak::upgrade)).collect();
        let counts = old.map(|old| Arc::clone(&old.counts)).unwrap_or_default();
        let thread = match state.thread.take().map_or_else(|| SenderThread::start("webhooks"), Ok) {
            Ok(thread) => state.thread.insert(thread),
            Err(error) => {
                error!(app = app.id, %error, "webhooks cannot be sent: the system gives no thread");
                return None;
            }
        };
        let watcher = observer.as_ref().map(Arc::downgrade);
        let feed = Arc::clone(&self.shared.feed);
        let context = context(&app.id, (key, feed), config, observer, Arc::clone(&counts))?;
        let (listener, senders) = self.start(thread, context, config, &logs, &old_senders);
        state.senders.retain(|sender| sender.strong_count() > 0);
        // Apps that have been removed.
        state.apps.retain(|_, app| app.listener.strong_count() > 0);
        let senders: Vec<Weak<EndpointSender>> = senders.iter().map(Arc::downgrade).collect();
        let new = senders.iter().filter(|sender| !state.senders.iter().any(|known| known.ptr_eq(sender)));
        let new: Vec<Weak<EndpointSender>> = new.cloned().collect();
        state.senders.extend(new);
        let config = config.clone();
        let key = key.clone();
        let observer = watcher;
        let listening =
            AppWebhooks { config, key, observer, listener: Arc::downgrade(&listener), senders, logs, counts };
        state.apps.insert(app.id.clone(), listening);
        Some(listener)
    }

    /// Starts the tasks of one app.
    fn start(
        &self,
        thread: &SenderThread,
        context: Arc<SendContext>,
        config: &WebhookConfig,
        logs: &[EndpointLog],
        old_senders: &[Arc<EndpointSender>],
    ) -> (Arc<WebhookListener>, Vec<Arc<EndpointSender>>) {
        let delivery = &context.delivery;
        let suppressor = Suppressor::new(delivery.removal_delay, delivery.queue_events);
        let decision = Decision::new(delivery.removal_delay);
        let counts = || Arc::clone(&context.counts);
        let (listener, receiver) =
            listener(config.endpoints.clone().into(), delivery.bounds(), counts(), decision.clone());
        // What waits for an endpoint that stays goes before what will come, so it stays in the same queue.
        let known = |of: &EndpointLog| {
            let same = |sender: &&Arc<EndpointSender>| sender.is_for(&of.endpoint, &context);
            old_senders.iter().find(same).filter(|sender| sender.add_producer()).cloned()
        };
        let sender = |of: &EndpointLog| {
            known(of).unwrap_or_else(|| {
                let endpoint = of.endpoint.clone();
                let log = Arc::clone(&of.log);
                let sender = Arc::new(EndpointSender::new(endpoint, log, Arc::clone(&context)));
                thread.spawn(Arc::clone(&sender).run(self.shared.stage.subscribe()));
                sender
            })
        };
        let senders: Vec<Arc<EndpointSender>> = logs.iter().map(sender).collect();
        let app_id = context.app_id.clone();
        let sorter = Sorter::new(app_id.clone(), suppressor, decision, delivery.queue_events);
        let clock = context.clock.clone();
        let outlet = Outlet { app_id, senders: senders.clone(), counts: counts() };
        let dispatcher = Dispatcher { clock, receiver, sorter, outlet };
        thread.spawn(dispatcher.run(self.shared.stage.subscribe()));
        (Arc::new(listener), senders)
    }

    /// The endpoints of an app, in the order of its configuration, each with its log; none if no app has this id.
    pub fn endpoints(&self, app_id: &str) -> Vec<EndpointLog> {
        self.shared.state.lock().apps.get(app_id).map(|app| app.logs.clone()).unwrap_or_default()
    }

    /// What became of the webhooks of each app that has any, and what waits; by the app's id.
    pub(crate) fn figures(&self) -> BTreeMap<String, WebhookFigures> {
        let state = self.shared.state.lock();
        let known = state.apps.iter().filter(|(_, app)| app.listener.strong_count() > 0);
        let mut figures: BTreeMap<String, WebhookFigures> =
            known.map(|(id, app)| (id.clone(), app.figures())).collect();
        for sender in state.senders.iter().filter_map(Weak::upgrade) {
            let Some(figures) = figures.get_mut(sender.app_id()) else { continue };
            let (bytes, oldest) = sender.backlog();
            figures.waiting += sender.waiting();
            figures.waiting_bytes += bytes;
            figures.oldest = figures.oldest.max(oldest);
        }
        figures
    }

    /// The broker is ending its connections. None can return, so nothing is held back any more, and what waits to
    /// be sent again is sent at once.
    pub(crate) fn flush(&self) {
        self.shared.stage.send_replace(BrokerStage::Flushing);
    }

    /// Everything has happened that will: waits until all of it is delivered, at most until `deadline`, and gives up
    /// what is left.
    pub(crate) async fn finish(&self, deadline: Instant) {
        self.shared.stage.send_replace(BrokerStage::Ending);
        let Some(thread) = self.shared.state.lock().thread.take() else { return };
        let give_up = |all_ended: bool| {
            let senders = &self.shared.state.lock().senders;
            let left = senders.iter().filter_map(Weak::upgrade).filter(|_| !all_ended);
            left.for_each(|sender| sender.give_up_all());
        };
        thread.finish(deadline, give_up).await;
    }

    fn is_ending(&self) -> bool {
        *self.shared.stage.borrow() == BrokerStage::Ending
    }
}

impl AppWebhooks {
    /// All but what waits for the endpoints.
    fn figures(&self) -> WebhookFigures {
        let mut figures = WebhookFigures::of(&self.counts);
        if let Some(listener) = self.listener.upgrade() {
            (figures.unsorted, figures.held) = listener.unsorted_and_held();
        }
        figures
    }
}

/// What the senders of an app share; `None`, after saying so, if nothing can be sent.
fn context(
    app_id: &str,
    (key, feed): (&Key, Arc<Feed>),
    config: &WebhookConfig,
    observer: Option<Arc<dyn Observer>>,
    counts: Arc<WebhookCounts>,
) -> Option<Arc<SendContext>> {
    let delivery = config.delivery.clone();
    let client = HttpClient::new(trusted_file(&delivery)).or_else(|error| {
        // The file was checked when the broker started; it has changed since.
        error!(app = app_id, %error, "only public certificate authorities are trusted for webhooks");
        HttpClient::new(None)
    });
    let client = client.inspect_err(|error| error!(app = app_id, %error, "webhooks cannot be sent")).ok()?;
    let clock = WebhookClock::new(observer.as_ref().map(|observer| observer.clock()));
    let app_id = app_id.to_owned();
    let key = key.clone();
    Some(Arc::new(SendContext { app_id, key, delivery, client, clock, counts, feed, observer }))
}

/// The log of an endpoint: the one it had, or a new one.
fn log_of(old: Option<&AppWebhooks>, config: &WebhookConfig, endpoint: &WebhookEndpoint) -> EndpointLog {
    let most = config.delivery.log_attempts;
    let same_size = old.filter(|old| old.config.delivery.log_attempts == most);
    let known = same_size.and_then(|old| old.logs.iter().find(|of| of.endpoint == *endpoint));
    let new = || EndpointLog { endpoint: endpoint.clone(), log: Arc::new(DeliveryLog::new(most)) };
    known.cloned().unwrap_or_else(new)
}

impl Default for Webhooks {
    fn default() -> Self {
        Webhooks::new()
    }
}

impl fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhooks").field("apps", &self.shared.state.lock().apps.len()).finish_non_exhaustive()
    }
}
