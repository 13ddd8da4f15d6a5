//! What happens is announced to those who listen: to the app's listeners, or, where no app is known, to the node's own.

use std::sync::Arc;

use crate::event::AcceptedEvent;

use super::{AppState, Hub, Listeners, Notice, Refused, UnknownAppListener};

impl Hub {
    /// Has one hear of what is refused where no app is known, besides those who do.
    pub fn listen_to_unknown_apps(&self, listener: Arc<dyn UnknownAppListener>) {
        self.unknown_app_listeners.write().push(listener);
    }

    /// Counts a refusal and announces it, to those who listen to the app if it is known.
    pub fn announce_refusal(&self, app: Option<&Arc<AppState>>, refused: &Refused<'_>) {
        self.refusals.add(refused);
        match app {
            Some(app) => {
                if let Some(listeners) = app.awake_listeners() {
                    listeners.iter().for_each(|listener| listener.refused(refused));
                }
            }
            None => self.unknown_app_listeners.read().iter().for_each(|listener| listener.refused(refused)),
        }
    }

    /// Lets those who listen overhear an event that is not announced.
    pub(super) fn let_overhear(&self, app: &Arc<AppState>, event: &AcceptedEvent<'_>) {
        if let Some(listeners) = app.awake_listeners() {
            listeners.iter().for_each(|listener| listener.overheard(app, event));
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
