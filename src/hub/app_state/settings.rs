//! An app's settings, which can be replaced while they are read, and the number of the change that made them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arc_swap::ArcSwap;

use crate::app::App;
use crate::hub::Current;

/// The settings of one app, and how often they have been replaced.
pub(super) struct Settings {
    app: ArcSwap<App>,
    generation: AtomicU32,
}

impl Settings {
    pub(super) fn new(app: Arc<App>) -> Self {
        Settings { app: ArcSwap::new(app), generation: AtomicU32::new(0) }
    }

    /// The settings as they are now.
    pub(super) fn now(&self) -> Current<App> {
        Current::of(&self.app)
    }

    /// A number that is another one after each change. Whoever asks for it and then for the settings has those of this
    /// number, or later ones.
    pub(super) fn generation(&self) -> u32 {
        self.generation.load(Ordering::Acquire)
    }

    /// Replaces the settings. One thread does at a time.
    pub(super) fn replace(&self, app: Arc<App>) {
        self.app.store(app);
        // After the settings: whoever sees the new number finds the new settings.
        self.generation.fetch_add(1, Ordering::Release);
    }
}
