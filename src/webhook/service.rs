//! All webhooks of a broker: the thread that sends them, made when the first app has an endpoint, and its end.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use tokio::runtime;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::error;

use crate::app::{App, Key};
use crate::auth::webhook::signing_key;
use crate::hub::Listener;

use super::Stage;
use super::client::{ClientError, HttpClient};
use super::clock::Clock;
use super::config::{Config, Endpoint};
use super::dispatch::Dispatcher;
use super::intake::{WebhookListener, intake};
use super::lane::{Courier, Lane};
use super::log::DeliveryLog;
use super::observer::{Observer, is_same};
use super::suppress::Suppressor;

/// All webhooks of a broker. Clones are the same.
#[derive(Clone)]
pub struct Webhooks {
    shared: Arc<Shared>,
}

struct Shared {
    stage: watch::Sender<Stage>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// None until an app has an endpoint.
    thread: Option<Thread>,
    /// By the app's id.
    apps: HashMap<String, AppWebhooks>,
    /// Every lane that may still have something to send, those of replaced configurations too.
    lanes: Vec<Weak<Lane>>,
}

/// What is in force for one app.
struct AppWebhooks {
    config: Config,
    key: Key,
    observer: Option<Weak<dyn Observer>>,
    listener: Weak<WebhookListener>,
    lanes: Vec<Weak<Lane>>,
    logs: Vec<EndpointLog>,
}

/// One endpoint of an app, and what became of its webhooks.
#[derive(Clone, Debug)]
pub struct EndpointLog {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// What became of its webhooks. It goes on being written.
    pub log: Arc<DeliveryLog>,
}

/// The thread with the senders' runtime. It ends when this is dropped, whatever is left to do.
struct Thread {
    runtime: runtime::Handle,
    _stop: oneshot::Sender<Infallible>,
    /// Cloned by everything that has something to send.
    at_work: mpsc::Sender<Infallible>,
    /// Ends when the last clone is dropped.
    all_done: mpsc::Receiver<Infallible>,
}

/// Finds out whether webhooks of this configuration could be sent.
///
/// # Errors
/// If a file that it names cannot be used.
pub(crate) fn check(config: &Config) -> Result<(), ClientError> {
    match config.endpoints.is_empty() {
        true => Ok(()),
        false => HttpClient::new(config.delivery.ca_file.as_deref()).map(drop),
    }
}

impl Webhooks {
    /// None yet, and no thread.
    #[must_use]
    pub fn new() -> Self {
        let (stage, _) = watch::channel(Stage::Running);
        Webhooks { shared: Arc::new(Shared { stage, state: Mutex::default() }) }
    }

    /// The listener for an app of this configuration; `None` if it has no endpoints. A configuration that has not
    /// changed keeps its listener, and an endpoint that has not changed keeps its log. A listener that nobody holds any
    /// more is at its end: what it held back is sent at once, and what waits is still delivered.
    #[must_use]
    pub fn listener(&self, app: &App, config: &Config) -> Option<Arc<dyn Listener>> {
        self.observed_listener(app, config, None)
    }

    /// The same, with somebody who watches the webhooks on their way. With another one the listener is another, too.
    pub(crate) fn observed_listener(
        &self,
        app: &App,
        config: &Config,
        observer: Option<Arc<dyn Observer>>,
    ) -> Option<Arc<dyn Listener>> {
        let mut state = self.state();
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
        let old_lanes: Vec<Arc<Lane>> =
            old.into_iter().flat_map(|old| old.lanes.iter().filter_map(Weak::upgrade)).collect();
        let thread = match state.thread.take().map_or_else(Thread::start, Ok) {
            Ok(thread) => state.thread.insert(thread),
            Err(error) => {
                error!(app = app.id, %error, "webhooks cannot be sent: the system gives no thread");
                return None;
            }
        };
        let watcher = observer.as_ref().map(Arc::downgrade);
        let courier = courier(&app.id, key, config, observer)?;
        let (listener, lanes) = self.start(thread, courier, config, &logs, &old_lanes);
        state.lanes.retain(|lane| lane.strong_count() > 0);
        // Apps that have been removed.
        state.apps.retain(|_, app| app.listener.strong_count() > 0);
        let lanes: Vec<Weak<Lane>> = lanes.iter().map(Arc::downgrade).collect();
        let new = lanes.iter().filter(|lane| !state.lanes.iter().any(|known| known.ptr_eq(lane)));
        let new: Vec<Weak<Lane>> = new.cloned().collect();
        state.lanes.extend(new);
        let (config, key, observer) = (config.clone(), key.clone(), watcher);
        let listening =
            AppWebhooks { config, key, observer, listener: Arc::downgrade(&listener), lanes, logs };
        state.apps.insert(app.id.clone(), listening);
        Some(listener)
    }

    /// Starts the tasks of one app.
    fn start(
        &self,
        thread: &Thread,
        courier: Arc<Courier>,
        config: &Config,
        logs: &[EndpointLog],
        old_lanes: &[Arc<Lane>],
    ) -> (Arc<WebhookListener>, Vec<Arc<Lane>>) {
        let delivery = &courier.delivery;
        let suppressor = Suppressor::new(delivery.removal_delay, delivery.queue_events);
        let (listener, intake) = intake(config.endpoints.clone().into(), delivery.bounds());
        // What waits for an endpoint that stays goes before what will come, so it stays in the same lane.
        let known = |of: &EndpointLog| {
            let same = |lane: &&Arc<Lane>| lane.is_for(&of.endpoint, &courier);
            old_lanes.iter().find(same).filter(|lane| lane.join()).cloned()
        };
        let lane = |of: &EndpointLog| {
            known(of).unwrap_or_else(|| {
                let (endpoint, log) = (of.endpoint.clone(), Arc::clone(&of.log));
                let lane = Arc::new(Lane::new(endpoint, log, Arc::clone(&courier)));
                thread.spawn(Arc::clone(&lane).run(self.shared.stage.subscribe()));
                lane
            })
        };
        let lanes: Vec<Arc<Lane>> = logs.iter().map(lane).collect();
        let (app_id, clock) = (courier.app_id.clone(), courier.clock.clone());
        let dispatcher = Dispatcher { app_id, clock, intake, suppressor, lanes: lanes.clone() };
        thread.spawn(dispatcher.run(self.shared.stage.subscribe()));
        (Arc::new(listener), lanes)
    }

    /// The endpoints of an app, in the order of its configuration, each with its log; none if no app has this id.
    #[must_use]
    pub fn endpoints(&self, app_id: &str) -> Vec<EndpointLog> {
        self.state().apps.get(app_id).map(|app| app.logs.clone()).unwrap_or_default()
    }

    /// The broker is ending its connections. Nobody can come back, so nothing is held back any more, and what waits to
    /// be sent again is sent at once.
    pub(crate) fn hurry(&self) {
        self.shared.stage.send_replace(Stage::Hurrying);
    }

    /// Everything has happened that will: waits until all of it is delivered, at most until `deadline`, and gives up
    /// what is left.
    pub(crate) async fn finish(&self, deadline: Instant) {
        self.shared.stage.send_replace(Stage::Ending);
        let Some(Thread { at_work, mut all_done, _stop, .. }) = self.state().thread.take() else { return };
        drop(at_work);
        // Nothing is ever sent; it ends when nobody is left who could.
        if tokio::time::timeout_at(deadline.into(), all_done.recv()).await.is_err() {
            self.state().lanes.iter().filter_map(Weak::upgrade).for_each(|lane| lane.abandon());
        }
    }

    fn is_ending(&self) -> bool {
        *self.shared.stage.borrow() == Stage::Ending
    }

    /// No code panics while it holds the lock.
    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the senders of an app share; `None`, after saying so, if nothing can be sent.
fn courier(
    app_id: &str,
    key: &Key,
    config: &Config,
    observer: Option<Arc<dyn Observer>>,
) -> Option<Arc<Courier>> {
    let delivery = config.delivery.clone();
    let client = HttpClient::new(delivery.ca_file.as_deref()).or_else(|error| {
        // The file was checked when the broker started; it has changed since.
        error!(app = app_id, %error, "only public certificate authorities are trusted for webhooks");
        HttpClient::new(None)
    });
    let client = client.inspect_err(|error| error!(app = app_id, %error, "webhooks cannot be sent")).ok()?;
    let clock = Clock::new(observer.as_ref().map(|observer| observer.clock()));
    let (app_id, key) = (app_id.to_owned(), key.clone());
    Some(Arc::new(Courier { app_id, key, delivery, client, clock, observer }))
}

/// The log of an endpoint: the one it had, or a new one.
fn log_of(old: Option<&AppWebhooks>, config: &Config, endpoint: &Endpoint) -> EndpointLog {
    let most = config.delivery.log_attempts;
    let same_size = old.filter(|old| old.config.delivery.log_attempts == most);
    let known = same_size.and_then(|old| old.logs.iter().find(|of| of.endpoint == *endpoint));
    let new = || EndpointLog { endpoint: endpoint.clone(), log: Arc::new(DeliveryLog::new(most)) };
    known.cloned().unwrap_or_else(new)
}

impl Thread {
    fn start() -> io::Result<Self> {
        let own = runtime::Builder::new_current_thread().enable_all().build()?;
        let runtime = own.handle().clone();
        let (_stop, stopped) = oneshot::channel();
        let (at_work, all_done) = mpsc::channel(1);
        std::thread::Builder::new().name("webhooks".to_owned()).spawn(move || {
            // Nothing is ever sent: it is ready when the other end is dropped.
            let _ = own.block_on(stopped);
            // A name that is being looked up may take its time.
            own.shutdown_background();
        })?;
        Ok(Thread { runtime, _stop, at_work, all_done })
    }

    /// Runs a task that the end of the broker waits for.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let at_work = self.at_work.clone();
        self.runtime.spawn(async move {
            task.await;
            drop(at_work);
        });
    }
}

impl Default for Webhooks {
    fn default() -> Self {
        Webhooks::new()
    }
}

impl fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhooks").field("apps", &self.state().apps.len()).finish_non_exhaustive()
    }
}
