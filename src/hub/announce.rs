//! What happens is announced to those who listen: to the app's listeners, or, where no app is known, to the node's own.

use std::sync::Arc;

use super::{AppState, Bystander, Hub, Notice, Refused};

impl Hub {
    /// Has one hear of what concerns no app. It keeps the first that it is given.
    pub fn set_bystander(&self, bystander: Arc<dyn Bystander>) {
        let _ = self.bystander.set(bystander);
    }

    /// Announces a refusal, to those who listen to the app if it is known.
    pub fn announce_refusal(&self, app: Option<&Arc<AppState>>, refused: &Refused<'_>) {
        match (app, self.bystander.get()) {
            (Some(app), _) => {
                if let Some(listeners) = app.awake_listeners() {
                    listeners.iter().for_each(|listener| listener.refused(refused));
                }
            }
            (None, Some(bystander)) => bystander.refused(refused),
            (None, None) => {}
        }
    }

    pub(super) fn announce(self: &Arc<Self>, app: &Arc<AppState>, notice: &Notice<'_>) {
        if let Some(listeners) = app.awake_listeners() {
            let _held = app.hold_clock();
            listeners.iter().for_each(|listener| listener.notice(self, app, notice));
        }
    }
}
