//! What happens is announced to those who listen: to the app's listeners, or, where no app is known, to the node's own.

use std::sync::Arc;

use super::{AppState, Hub, Listeners, Notice, Refused, UnknownAppListener};

impl Hub {
    /// Has one hear of what is refused where no app is known. It keeps the first that it is given.
    pub fn listen_to_unknown_apps(&self, listener: Arc<dyn UnknownAppListener>) {
        let _ = self.unknown_app_listener.set(listener);
    }

    /// Counts a refusal and announces it, to those who listen to the app if it is known.
    pub fn announce_refusal(&self, app: Option<&Arc<AppState>>, refused: &Refused<'_>) {
        self.refusals.add(refused);
        match (app, self.unknown_app_listener.get()) {
            (Some(app), _) => {
                if let Some(listeners) = app.awake_listeners() {
                    listeners.iter().for_each(|listener| listener.refused(refused));
                }
            }
            (None, Some(listener)) => listener.refused(refused),
            (None, None) => {}
        }
    }

    /// Inlined, so that nothing is made for nobody.
    #[inline]
    pub(super) fn announce(self: &Arc<Self>, app: &Arc<AppState>, notice: &Notice<'_>) {
        if let Some(listeners) = app.awake_listeners() {
            self.announce_to(&listeners, app, notice);
        }
    }

    #[inline(never)]
    fn announce_to(self: &Arc<Self>, listeners: &Listeners, app: &Arc<AppState>, notice: &Notice<'_>) {
        let _step = app.begin_step();
        listeners.iter().for_each(|listener| listener.notice(self, app, notice));
    }
}
