//! The apps of a hub at one moment, to be found by id or by key.

use std::collections::HashMap;
use std::sync::Arc;

use crate::app::{App, AppRegistry};

use super::AppState;

/// The apps that there are now. A change of the apps makes a new one and leaves this as it is.
#[derive(Debug, Default)]
pub struct Apps {
    registry: AppRegistry,
    by_id: HashMap<String, Arc<AppState>>,
}

impl Apps {
    /// `states` has one for each app of the registry.
    pub(super) fn new(registry: AppRegistry, states: impl IntoIterator<Item = Arc<AppState>>) -> Self {
        let by_id = states.into_iter().map(|state| (state.id().to_owned(), state)).collect();
        Apps { registry, by_id }
    }

    /// Their settings.
    pub fn registry(&self) -> &AppRegistry {
        &self.registry
    }

    pub fn by_id(&self, id: &str) -> Option<&Arc<AppState>> {
        self.by_id.get(id)
    }

    /// The state of the app one of whose keys this is.
    pub fn by_key(&self, key: &str) -> Option<&Arc<AppState>> {
        self.registry.by_key(key).and_then(|app| self.state_of(app))
    }

    /// The state of an app found in the registry.
    pub fn state_of(&self, app: &App) -> Option<&Arc<AppState>> {
        self.by_id.get(&app.id)
    }

    /// All of them, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<AppState>> {
        self.by_id.values()
    }
}
