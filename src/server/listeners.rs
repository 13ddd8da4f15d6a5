//! Who listens to each app.

use std::sync::Arc;

use crate::config::AppConfig;
use crate::hub::Listener;
use crate::pipe::{Pipe, PipeListener, Rule};
use crate::webhook::Webhooks;

/// What the listeners of all apps are made of, besides the configuration. It lives as long as the broker, so what is
/// to outlive a change of the configuration belongs in here.
pub(super) struct Listeners {
    /// The pipes that the embedding program has added, each with the id of its app.
    pipes: Vec<(String, Arc<dyn Pipe>)>,
    webhooks: Webhooks,
}

impl Listeners {
    pub(super) fn new(pipes: Vec<(String, Arc<dyn Pipe>)>, webhooks: Webhooks) -> Self {
        Listeners { pipes, webhooks }
    }

    /// Everything that listens to an app of this configuration, in the order in which it is told. This is the one place
    /// where listeners are put together: at the start for every app, and later for each app whose configuration has
    /// changed.
    pub(super) fn of(&self, configured: &AppConfig) -> Vec<Arc<dyn Listener>> {
        let AppConfig { app, pipe, webhooks } = configured;
        let rules = pipe.iter().map(|spec| listener(Arc::new(Rule::new(spec.clone()))));
        let own = self.pipes.iter().filter(|(app_id, _)| *app_id == app.id);
        let pipes = rules.chain(own.map(|(_, pipe)| listener(Arc::clone(pipe))));
        pipes.chain(self.webhooks.listener(app, webhooks)).collect()
    }

    /// The app of a pipe that is not among these.
    pub(super) fn without_app(&self, apps: &[AppConfig]) -> Option<&str> {
        let missing = |id: &&str| apps.iter().all(|configured| configured.app.id != *id);
        self.pipes.iter().map(|(app_id, _)| app_id.as_str()).find(missing)
    }
}

fn listener(pipe: Arc<dyn Pipe>) -> Arc<dyn Listener> {
    Arc::new(PipeListener(pipe))
}
