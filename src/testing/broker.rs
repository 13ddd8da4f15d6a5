//! The broker of a test, on threads of its own.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::app::DuplicateApp;
use crate::config::{AppConfig, Config, ConnectionConfig};
use crate::hub::{Hub, Totals};
use crate::metrics::Metrics;
use crate::pipe::{Pipe, PipeCounts, Tap};
use crate::server::{Reloaded, Reloader, Server, StartError};
use crate::test_mode::{
    Credentials, Entry, TestMode, config_for_tests, credentials_of, draw_app, draw_token,
};
use crate::webhook::Webhooks;

use super::app::TestApp;
use super::conditions::Entries;
use super::running::Running;

/// How long connections may take to end when it is dropped: a test should not wait for a client that hangs.
const GRACE: Duration = Duration::from_secs(1);

/// A running broker, in test mode. Dropping it closes its connections with 4100 and waits until it has stopped.
#[derive(Debug)]
pub struct Broker {
    running: Arc<Running>,
    url: String,
    pub(super) hub: Arc<Hub>,
    reloader: Reloader,
    webhooks: Webhooks,
    metrics: Metrics,
    pipe_address: Option<SocketAddr>,
    pipe_counts: PipeCountsReader,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

/// Reads what became of the events of each pipe.
struct PipeCountsReader(Box<dyn Fn() -> Vec<(String, PipeCounts)> + Send + Sync>);

impl std::fmt::Debug for PipeCountsReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries((self.0)()).finish()
    }
}

/// A broker that is to have pipes, or is to be as it is in production.
pub struct BrokerBuilder {
    server: Server,
    tls: bool,
    path_prefix: String,
    in_test_mode: bool,
}

/// An app cannot be added.
#[derive(Debug, thiserror::Error)]
pub enum NewAppError {
    /// Its id or a key is taken.
    #[error(transparent)]
    Duplicate(#[from] DuplicateApp),
    /// There is no app that it could be like.
    #[error("the broker has no app to begin with, has stopped, or is not in test mode")]
    NoBroker,
}

impl Broker {
    /// Starts a broker with one app, as [`config`](super::config) makes it.
    ///
    /// # Errors
    /// If the system has no port or no threads for it.
    pub fn new() -> Result<Self, StartError> {
        Broker::start(config_for_tests())
    }

    /// Starts a broker of this configuration. Whatever port that names, it takes a free one.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(config: Config) -> Result<Self, StartError> {
        Broker::builder(config).start()
    }

    /// A broker that is to have pipes, or is to be as it is in production.
    pub fn builder(config: Config) -> BrokerBuilder {
        let config = inside_a_test(config);
        let tls = config.server.serves_tls();
        let path_prefix = config.server.path_prefix.clone();
        BrokerBuilder { server: Server::new(config), tls, path_prefix, in_test_mode: true }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.running.address
    }

    /// Its URL, without a path.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// The first app of the configuration.
    ///
    /// # Panics
    /// If there is none, or the broker is not in test mode.
    pub fn app(&self) -> TestApp {
        let apps = self.configured_apps();
        let first = apps.first().expect("a broker in test mode, with an app");
        self.app_of(first, false).expect("a configured app is under test")
    }

    /// The app that was made with this id; `None` if there is none.
    pub fn app_by_id(&self, id: &str) -> Option<TestApp> {
        let apps = self.configured_apps();
        apps.iter().find(|configured| configured.app.id == id).and_then(|found| self.app_of(found, false))
    }

    /// Makes an app for a test of its own: like the first of the configuration, with credentials drawn anew. It ends when
    /// it is dropped.
    ///
    /// # Errors
    /// If the broker has no app, or is not in test mode.
    pub fn new_app(&self) -> Result<TestApp, NewAppError> {
        self.new_app_with(|_| {})
    }

    /// The same, with other settings, pipe rules or webhooks.
    ///
    /// # Errors
    /// If its id or a key is taken, the broker has no app, or is not in test mode.
    pub fn new_app_with(&self, change: impl FnOnce(&mut AppConfig)) -> Result<TestApp, NewAppError> {
        self.make_app(change, None)
    }

    fn make_app(
        &self,
        change: impl FnOnce(&mut AppConfig),
        connection: Option<ConnectionConfig>,
    ) -> Result<TestApp, NewAppError> {
        let apps = self.configured_apps();
        let mut app = draw_app(apps.first().ok_or(NewAppError::NoBroker)?);
        change(&mut app);
        match self.running.test_mode.add_app_with(app.clone(), connection) {
            Ok(_) => self.app_of(&app, true).ok_or(NewAppError::NoBroker),
            Err(Some(duplicate)) => Err(duplicate.into()),
            Err(None) => Err(NewAppError::NoBroker),
        }
    }

    /// The same, with other bounds of what may wait for one of its connections, and other times of silence: those of the
    /// broker, changed.
    ///
    /// # Errors
    /// If its id or a key is taken, the broker has no app, or is not in test mode.
    pub fn new_app_treating(
        &self,
        treat: impl FnOnce(&mut ConnectionConfig),
        change: impl FnOnce(&mut AppConfig),
    ) -> Result<TestApp, NewAppError> {
        let broker = self.running.test_mode.broker().ok_or(NewAppError::NoBroker)?;
        let mut connection = ConnectionConfig::clone(broker.hub().connection_config());
        treat(&mut connection);
        self.make_app(change, Some(connection))
    }

    /// None where it is not in test mode.
    fn configured_apps(&self) -> Vec<AppConfig> {
        self.running.test_mode.broker().map(|broker| broker.apps()).unwrap_or_default()
    }

    fn app_of(&self, configured: &AppConfig, own: bool) -> Option<TestApp> {
        let Running { address, test_mode, tls, path_prefix, .. } = &*self.running;
        let app = test_mode.app(&configured.app.id)?;
        let host = Credentials::host_of(*address);
        let credentials = credentials_of(&configured.app, &host, address.port(), *tls, path_prefix);
        Some(TestApp::new(Arc::clone(&self.running), app, credentials, own))
    }

    /// Its test mode: all its apps, and the token of its control API.
    pub fn test_mode(&self) -> &TestMode {
        &self.running.test_mode
    }

    /// Refused connections and requests whose app is not known: a mistyped key, for example.
    pub fn strangers(&self, entries: impl Into<Entries>) -> Vec<Arc<Entry>> {
        entries.into().of(self.running.test_mode.strangers())
    }

    /// What happened, app by app, as people read it.
    pub fn timeline(&self) -> String {
        self.running.test_mode.timeline()
    }

    /// Forgets what has happened in every app, and ends all faults. Connections stay.
    pub fn reset(&self) {
        self.running.test_mode.reset();
    }

    /// Where it serves the pipe's wire on a port of its own, if it does.
    pub fn pipe_address(&self) -> Option<SocketAddr> {
        self.pipe_address
    }

    /// What became of the events that each pipe of the test was to hear, in the order in which they were added.
    pub fn pipe_counts(&self) -> Vec<PipeCounts> {
        (self.pipe_counts.0)().into_iter().map(|(_, counts)| counts).collect()
    }

    /// What it holds now: after everybody has gone, nothing. See [`Totals`].
    ///
    /// # Panics
    /// If the system has no room for the little runtime in which the answer is awaited.
    pub fn totals(&self) -> Totals {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.expect("a runtime without drivers needs nothing of the system").block_on(self.hub.totals())
    }

    /// What it counts, as a scrape tells it.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Gives it other apps while it serves. Of the rest of the configuration nothing takes effect.
    ///
    /// # Errors
    /// If two apps share an id or a key, or webhooks could not be sent. Nothing has changed then.
    pub fn reload(&self, config: Config) -> Result<Reloaded, StartError> {
        self.reloader.reload(inside_a_test(config))
    }

    /// Its webhooks, and what became of them.
    pub fn webhooks(&self) -> &Webhooks {
        &self.webhooks
    }
}

/// The configuration on free ports, and with little patience at the end.
fn inside_a_test(mut config: Config) -> Config {
    config.server.port = 0;
    config.pipe.port = 0;
    config.server.shutdown_grace = config.server.shutdown_grace.min(GRACE);
    config
}

impl BrokerBuilder {
    /// Adds a pipe to the app with this id.
    #[must_use]
    pub fn pipe(mut self, app_id: impl Into<String>, pipe: impl Pipe) -> Self {
        self.server = self.server.pipe(app_id, pipe);
        self
    }

    /// Adds a tap to the app with this id.
    #[must_use]
    pub fn tap(mut self, app_id: impl Into<String>, tap: impl Tap) -> Self {
        self.server = self.server.tap(app_id, tap);
        self
    }

    /// Has it serve as in production: nothing is logged for tests, broadcasts are compressed if that is configured, and
    /// there are no apps to ask for, no faults and no control API.
    #[must_use]
    pub fn without_test_mode(mut self) -> Self {
        self.in_test_mode = false;
        self
    }

    /// Starts it. Connections are accepted as soon as this returns.
    ///
    /// # Errors
    /// See [`StartError`].
    ///
    /// # Panics
    /// If the system has no thread or no runtime for it.
    pub fn start(self) -> Result<Broker, StartError> {
        let BrokerBuilder { server, tls, path_prefix, in_test_mode } = self;
        let test_mode = TestMode::new(draw_token(), false);
        let server = if in_test_mode { server.test_mode(Arc::clone(&test_mode)) } else { server };
        let bound = server.bind()?;
        let address = bound.address();
        let url = bound.url();
        let hub = bound.hub();
        let reloader = bound.reloader();
        let webhooks = bound.webhooks();
        let metrics = bound.metrics();
        let (pipe_address, pipe_counts) =
            (bound.pipe_address(), PipeCountsReader(Box::new(bound.pipe_counts())));
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async {
                // Whoever started this thread waits for the word.
                let _ = tell.send(Handle::current());
                bound
                    .run(async {
                        // A dropped sender means the same as a sent word.
                        let _ = stopped.await;
                    })
                    .await
            })
        });
        let runtime = told.recv().expect("a thread with a runtime");
        Ok(Broker {
            running: Arc::new(Running { address, test_mode, runtime, tls, path_prefix }),
            url,
            hub,
            reloader,
            webhooks,
            metrics,
            pipe_address,
            pipe_counts,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(self.stop.take());
        // A panic in the broker's thread has been printed; a second one here would hide it.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

#[cfg(test)]
mod tests;
