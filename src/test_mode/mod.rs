//! Test mode: what apps did, waiting for it, faults on demand, and a clock of each app's own.
//!
//! An [`AppUnderTest`] hears what happens in its app and writes it to a log that is bounded; tests wait for conditions
//! on that log and on the app's state, and are woken by what happens. It injects the [`faults`] that it has been given.
//! The control API is HTTP and JSON under `/test`, behind a token; it exists only where somebody made a [`TestMode`].
//! The hub knows neither: it announces, and asks the fault injector of an app that has one.

mod app;
mod condition;
mod control;
mod count;
mod credentials;
mod ended;
mod entry;
pub mod faults;
mod filter;
mod frames;
#[doc(hidden)]
pub mod fuzzing;
mod injector;
mod json_path;
mod log;
mod meant;
mod next_due;
mod settings;
mod timeline;
mod wait;
mod webhooks;

pub(crate) use app::AppUnderTest;
pub use app::{ConnectionSummary, Counts, Cut, Sockets, TestError};
pub(crate) use condition::BadCondition;
pub use condition::Condition;
pub use count::Count;
pub use credentials::Credentials;
pub(crate) use credentials::{credentials_of, draw_app, draw_token};
pub use entry::{Entry, EventSource, Kind};
pub use filter::Filter;
pub(crate) use filter::{Expectation, Kinds};
pub use json_path::JsonPath;
pub(crate) use log::EventLog;
pub use next_due::NextDue;
pub use settings::config_for_tests;
pub(crate) use settings::for_tests;
pub(crate) use timeline::timeline;
pub use wait::Outcome;
pub(crate) use wait::{MOST_PATIENCE, PATIENCE};

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;

use crate::app::DuplicateApp;
use crate::config::{AppConfig, ConnectionConfig};
use crate::hub::{Hub, Refused, UnknownAppListener};

use ended::EndedApps;

/// The apps under test of one broker.
pub struct TestMode {
    /// What the control API asks for.
    token: String,
    /// Whether the control API answers to other machines, too.
    remote: bool,
    apps: Mutex<HashMap<String, Arc<AppUnderTest>>>,
    /// What concerns no app.
    strangers: EventLog,
    /// What was seen of apps that are no more.
    ended: EndedApps,
    /// Set once the broker is put together.
    broker: OnceLock<Weak<dyn BrokerHandle>>,
}

/// What test mode asks of the broker that it is a part of.
pub(crate) trait BrokerHandle: Send + Sync {
    fn hub(&self) -> &Arc<Hub>;

    /// The apps as they are configured now, in order.
    fn apps(&self) -> Vec<AppConfig>;

    /// Adds an app; it can be connected to when this returns.
    ///
    /// # Errors
    /// If its id or a key is taken.
    fn add_app(&self, app: AppConfig) -> Result<(), DuplicateApp>;

    /// Removes an app and closes its connections with 4001; `false` if there is no such one.
    fn remove_app(&self, id: &str) -> bool;
}

impl TestMode {
    /// With a control API behind this token. `remote`: machines other than this one may use it, too.
    pub fn new(token: impl Into<String>, remote: bool) -> Arc<Self> {
        Arc::new(TestMode {
            token: token.into(),
            remote,
            apps: Mutex::default(),
            strangers: EventLog::default(),
            ended: EndedApps::default(),
            broker: OnceLock::new(),
        })
    }

    /// What the control API asks for.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// What is known of the app with this id; `None` if there is none under test.
    pub fn app(&self, id: &str) -> Option<Arc<AppUnderTest>> {
        self.apps.lock().get(id).cloned()
    }

    /// All apps under test, by id.
    pub fn apps(&self) -> Vec<Arc<AppUnderTest>> {
        let mut apps: Vec<_> = self.apps.lock().values().cloned().collect();
        apps.sort_unstable_by(|one, other| one.id().cmp(other.id()));
        apps
    }

    /// What concerned no app: refused connections and requests whose app is not known.
    pub fn strangers(&self) -> &EventLog {
        &self.strangers
    }

    /// Forgets everything of every app.
    pub fn reset(&self) {
        self.apps().iter().for_each(|app| app.reset());
        self.strangers.clear();
    }

    /// From now on, what was seen of an app is remembered beyond its end: for [`TestMode::timeline`].
    pub fn remember_ended(&self) {
        self.ended.remember();
    }

    /// What happened, app by app, as people read it; those that have ended first, if they are remembered.
    pub fn timeline(&self) -> String {
        let mut text = String::new();
        let strangers = timeline(&self.strangers);
        if !strangers.is_empty() {
            text = format!("no known app:\n{strangers}");
        }
        text.push_str(&self.ended.timelines());
        for app in self.apps() {
            let told = timeline(app.log());
            let told = if told.is_empty() { "  (nothing happened)\n".to_owned() } else { told };
            text = format!("{text}app {}:\n{told}", app.id());
        }
        text
    }

    /// Adds an app, or says why it cannot be. It is under test at once.
    ///
    /// # Errors
    /// If its id or a key is taken, or the broker has stopped (`None`).
    pub fn add_app(&self, app: AppConfig) -> Result<Arc<AppUnderTest>, Option<DuplicateApp>> {
        self.add_app_with(app, None)
    }

    /// The same, with its connections treated in a way of their own: what may wait for one of them, and how long it
    /// may be silent. What else a [`ConnectionConfig`] says is the node's affair.
    ///
    /// # Errors
    /// If its id or a key is taken, or the broker has stopped (`None`).
    pub fn add_app_with(
        &self,
        app: AppConfig,
        connection: Option<ConnectionConfig>,
    ) -> Result<Arc<AppUnderTest>, Option<DuplicateApp>> {
        let broker = self.broker().ok_or(None)?;
        let id = app.app.id.clone();
        broker.add_app(app).map_err(Some)?;
        let app = self.app(&id).ok_or(None)?;
        // Nobody has been told its key yet, so there is no connection.
        if let Some(connection) = connection {
            app.set_connection_config(connection);
        }
        Ok(app)
    }

    /// Removes an app and closes its connections with 4001; `false` if there is no such one.
    pub fn remove_app(&self, id: &str) -> bool {
        self.broker().is_some_and(|broker| broker.remove_app(id))
    }

    /// The broker, while it lives.
    pub(crate) fn broker(&self) -> Option<Arc<dyn BrokerHandle>> {
        self.broker.get().and_then(Weak::upgrade)
    }

    /// The broker is put together.
    pub(crate) fn set_broker(self: &Arc<Self>, broker: Weak<dyn BrokerHandle>) {
        if let Some(broker) = broker.upgrade() {
            broker.hub().listen_to_unknown_apps(Arc::clone(self) as Arc<dyn UnknownAppListener>);
        }
        let _ = self.broker.set(broker);
        self.apps_changed();
    }

    pub(crate) fn listener(&self, id: &str) -> Arc<AppUnderTest> {
        let mut apps = self.apps.lock();
        Arc::clone(apps.entry(id.to_owned()).or_insert_with(|| AppUnderTest::new(id)))
    }

    /// The hub's apps have changed: attaches those that are new, and lets go those that are no more.
    pub(crate) fn apps_changed(&self) {
        let Some(broker) = self.broker() else { return };
        let hub = broker.hub();
        let states = hub.apps();
        let mut apps = self.apps.lock();
        apps.retain(|id, app| {
            let state = states.by_id(id);
            match state {
                Some(state) => app.attach(hub, state),
                None => {
                    self.ended.add(app);
                    app.end();
                }
            }
            state.is_some()
        });
    }

    /// The broker is about to stop: nobody should wait any longer.
    pub(crate) fn end(&self) {
        self.apps.lock().values().for_each(|app| app.end());
    }
}

impl UnknownAppListener for TestMode {
    fn refused(&self, refused: &Refused<'_>) {
        let (kind, details) = app::refusal(refused);
        self.strangers.write(kind, details);
    }
}

impl fmt::Debug for TestMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestMode").field("apps", &self.apps.lock().len()).finish_non_exhaustive()
    }
}
