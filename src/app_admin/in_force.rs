//! What a configuration takes effect on, and what came of it.

use super::{AppView, AppsError};
use crate::config::{AppConfig, Config, Loaded};

/// What a configuration takes effect on.
pub(crate) trait InForce {
    /// Puts the configuration in force if it can be, after `write` has made it last.
    /// The app `changed` is what the change is about; no other that is in force is removed by it.
    ///
    /// # Errors
    /// If it cannot be, or was not written. Then what was in force before is.
    fn put(
        &self,
        config: Config,
        changed: &str,
        write: &mut dyn FnMut() -> Result<(), AppsError>,
    ) -> Result<PutInForce, AppsError>;

    /// The same of what was read again, whichever apps it removes. Whoever asked for that may have been shown what it would
    /// change, and want nothing else.
    ///
    /// # Errors
    /// As of [`InForce::put`].
    fn put_all(
        &self,
        loaded: &Loaded,
        write: &mut dyn FnMut() -> Result<(), AppsError>,
    ) -> Result<PutInForce, AppsError> {
        self.put(loaded.config.clone(), "", write)
    }

    /// Whether it has apps that are not known here, so that it alone can tell whether there are enough of them.
    fn may_have_other_apps(&self) -> bool {
        false
    }
}

/// A running broker.
pub(crate) trait LiveApps: InForce + Send + Sync {
    /// Of each app, whether it has it just as it is here. The disk keeps nobody waiting who asks.
    fn have(&self, apps: &[&AppConfig]) -> Vec<bool>;
}

/// A change that was made.
#[derive(Debug)]
pub(crate) struct AppChanged {
    /// The app as it is now; none where there is none any more.
    pub(crate) view: Option<AppView>,
    /// What the broker says of it.
    pub(crate) told: String,
    /// Some settings of the configuration wait for a restart.
    pub(crate) needs_restart: bool,
    /// What is odd about the configuration, as a reload would tell it.
    pub(crate) warnings: Vec<String>,
}

/// What came of putting a configuration in force.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct PutInForce {
    /// In words.
    pub(crate) told: String,
    /// Some settings wait for a restart.
    pub(crate) needs_restart: bool,
}
