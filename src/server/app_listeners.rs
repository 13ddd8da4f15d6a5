//! Who listens to each app.

use std::sync::Arc;

use tracing::error;

use crate::config::AppConfig;
use crate::console::Watchers;
use crate::hub::Listener;
use crate::pipe::wire::PipeWire;
use crate::pipe::{BadRule, Rule, RuleBook, TapListener};
use crate::protocol::CloseCode;
use crate::relay::Relays;
use crate::test_mode::TestMode;
use crate::webhook::{Observer, Webhooks};

/// What the listeners of all apps are made of, besides the configuration. It lives as long as the broker, so what is
/// to outlive a change of the configuration belongs in here.
pub(super) struct AppListeners {
    /// The pipes that the embedding program has added, each with the id of its app.
    pipes: Vec<(String, Arc<dyn Listener>)>,
    webhooks: Webhooks,
    relays: Relays,
    /// Backends on the pipe's wire.
    wire: Arc<PipeWire>,
    test_mode: Option<Arc<TestMode>>,
    /// Those who are there while somebody watches.
    watchers: Arc<Watchers>,
    /// What rules have done.
    rules: Arc<RuleBook>,
}

impl AppListeners {
    pub(super) fn new(
        pipes: Vec<(String, Arc<dyn Listener>)>,
        webhooks: Webhooks,
        relays: Relays,
        wire: Arc<PipeWire>,
        (test_mode, watchers, rules): (Option<Arc<TestMode>>, Arc<Watchers>, Arc<RuleBook>),
    ) -> Self {
        AppListeners { pipes, webhooks, relays, wire, test_mode, watchers, rules }
    }

    /// The apps have changed.
    pub(super) fn apps_changed(&self) {
        if let Some(test_mode) = &self.test_mode {
            test_mode.apps_changed();
        }
    }

    /// Everything that listens to an app of this configuration, in the order in which it is told. This is the one place
    /// where listeners are put together: at the start for every app, and later for each app whose configuration has
    /// changed.
    pub(super) fn of(&self, configured: &AppConfig) -> Vec<Arc<dyn Listener>> {
        let AppConfig { app, pipe, webhooks, relays } = configured;
        let rule = |made: Result<Rule, BadRule>| -> Option<Arc<dyn Listener>> {
            match made {
                Ok(rule) => Some(Arc::new(TapListener(Arc::new(rule)))),
                // Every configuration is checked before it gets here, but that of an app that a test makes by itself.
                Err(error) => {
                    error!(app = app.id, %error, "a pipe rule is left out");
                    None
                }
            }
        };
        let rules = self.rules.enter(&app.id, pipe, &app.limits).into_iter().filter_map(rule);
        let own = self.pipes.iter().filter(|(app_id, _)| *app_id == app.id);
        let own = own.map(|(_, pipe)| Arc::clone(pipe));
        let pipes = rules.chain(own).chain([self.wire.listener(&app.id)]);
        // First, so that the log tells of an event before what others make of it.
        let test = self.test_mode.as_ref().map(|test_mode| test_mode.listener(&app.id));
        let observer = test.clone().map(|test| test as Arc<dyn Observer>);
        let test = test.map(|test| test as Arc<dyn Listener>);
        let webhooks = self.webhooks.observed_listener(app, webhooks, observer);
        let relays = self.relays.listener(&app.id, relays);
        let watcher = self.watchers.listener(&app.id);
        test.into_iter().chain(pipes).chain(webhooks).chain(relays).chain(watcher).collect()
    }

    /// The app is gone: nothing is kept of its rules, and its backends are ended.
    pub(super) fn app_gone(&self, app_id: &str) {
        self.rules.forget(app_id);
        self.wire.end_app(app_id, CloseCode::UnknownApp);
    }

    /// Backends on the pipe's wire.
    pub(super) fn wire(&self) -> &PipeWire {
        &self.wire
    }

    /// The app of a pipe that is not among these.
    pub(super) fn without_app(&self, apps: &[AppConfig]) -> Option<&str> {
        let missing = |id: &&str| apps.iter().all(|configured| configured.app.id != *id);
        self.pipes.iter().map(|(app_id, _)| app_id.as_str()).find(missing)
    }
}
