//! Changing the configuration of a broker while it serves.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::app::{AppRegistry, DuplicateApp};
use crate::app_admin::{AppsError, InForce, LiveApps, PutInForce};
use crate::config::{AppConfig, Config, ConfigDifference, Loaded};
use crate::hub::Hub;
use crate::net::tls::{self, CertificateStatus, Certificates, PairFiles, PreparedCertificates, TlsError};
use crate::protocol::CloseCode;
use crate::test_mode;

use super::StartError;
use super::app_listeners::AppListeners;
use super::error::{check_apps, pair_files};

/// Gives a running broker another configuration. Of that, the apps take effect at once, with all that belongs to them,
/// and the certificates, where TLS was served from the start; everything else needs a restart.
#[derive(Clone)]
pub struct Reloader {
    apps: Arc<RunningApps>,
}

struct RunningApps {
    hub: Arc<Hub>,
    listeners: AppListeners,
    certificates: Option<Arc<Certificates>>,
    /// What is in force, but for the settings of the node, which are those of the start. Never held while a file is
    /// written: the admin listener asks for it.
    running: Mutex<Config>,
    /// Held by who puts something in force, from before it is made last until it is.
    changing: Mutex<()>,
}

/// What a reload has done. The apps are named by their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Apps that are new. Clients can connect to them now.
    pub added: Vec<String>,
    /// Apps that have other settings now, those that were switched on or off among them.
    pub changed: Vec<String>,
    /// Apps that are no more. Their connections are being closed with 4001.
    pub removed: Vec<String>,
    /// Files of certificates that are shown from now on. Open connections stay as they are.
    pub certificates: Vec<PathBuf>,
    /// Settings, such as `server.port`, that differ from those the broker runs with and that only a restart changes.
    pub needs_restart: Vec<&'static str>,
}

/// What a reload would change, as of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlannedReload {
    pub(crate) difference: ConfigDifference,
    /// Of the certificates that would be served: of a file that has changed once more, the name is the same.
    pub(crate) certificates: Vec<[u8; 32]>,
}

/// A broker that takes what is read again only while it would change what was shown of it.
pub(crate) struct ReloadAsShown<'r, F> {
    reloader: &'r Reloader,
    is_as_shown: F,
}

impl<'r, F: Fn(&Loaded, &PlannedReload) -> bool> ReloadAsShown<'r, F> {
    pub(crate) fn new(reloader: &'r Reloader, is_as_shown: F) -> Self {
        ReloadAsShown { reloader, is_as_shown }
    }
}

impl Reloader {
    pub(super) fn new(
        hub: Arc<Hub>,
        listeners: AppListeners,
        certificates: Option<Arc<Certificates>>,
        running: Config,
    ) -> Self {
        let running = Mutex::new(running);
        let changing = Mutex::new(());
        Reloader { apps: Arc::new(RunningApps { hub, listeners, certificates, running, changing }) }
    }

    /// Makes the apps of this configuration the broker's apps. Connections of apps that stay are kept, and see the new
    /// settings from their next message on; those of an app that was switched off are closed with 4003, those of one
    /// that was removed with 4001. The files of the certificates are read again. May be called from any thread.
    ///
    /// # Errors
    /// If two apps share an id or a key, webhooks could not be sent, a pipe rule could not work, or a certificate could not
    /// be served. Nothing has changed then.
    pub fn reload(&self, config: Config) -> Result<Reloaded, StartError> {
        self.reload_after(config, |_| Ok(()))
    }

    /// The same, if `last` does what makes it last, which is given the certificates as they were read. That is done only where
    /// nothing speaks against the configuration, and before it takes effect; nothing else does meanwhile.
    fn reload_after<E: From<StartError>>(
        &self,
        config: Config,
        last: impl FnOnce(Option<&PreparedCertificates>) -> Result<(), E>,
    ) -> Result<Reloaded, E> {
        // What cannot be served is counted, and not told again.
        let prepared = self.apps.examine(&config, Certificates::prepare)?;
        let _changing = self.apps.changing.lock();
        last(prepared.as_ref())?;
        let mut running = self.apps.running.lock();
        // What is served of them is what is wanted, where any are served.
        if prepared.is_some() {
            take_certificate_files(&mut running, &config);
        }
        let mut reloaded = self.apps.put_in_force(&mut running, config).map_err(StartError::from)?;
        let served = self.apps.certificates.as_ref().zip(prepared);
        reloaded.certificates = served.map(|(served, new)| served.serve(new)).unwrap_or_default();
        Ok(reloaded)
    }

    /// What [`Reloader::reload`] would change. Nothing is.
    ///
    /// # Errors
    /// As of that.
    pub(crate) fn plan(&self, loaded: &Loaded) -> Result<PlannedReload, StartError> {
        let prepared = self.apps.examine(&loaded.config, |_, wanted| tls::prepare(wanted))?;
        Ok(self.planned(loaded, prepared.as_ref()))
    }

    /// What would change with these certificates, if any are to be served.
    fn planned(&self, loaded: &Loaded, prepared: Option<&PreparedCertificates>) -> PlannedReload {
        let running = self.apps.running.lock().clone();
        let mut then = running.clone();
        if prepared.is_some() {
            take_certificate_files(&mut then, &loaded.config);
        }
        let difference = ConfigDifference::between(&running, loaded);
        let difference = difference.sorted(&then.node_differences(&loaded.config));
        let served = self.apps.certificates.as_ref().zip(prepared);
        let renewed = served.map(|(served, new)| served.would_renew(new)).unwrap_or_default();
        let certificates = renewed.iter().map(|file| file.display().to_string()).collect();
        PlannedReload {
            difference: ConfigDifference { certificates, ..difference },
            certificates: prepared.map(PreparedCertificates::fingerprints).unwrap_or_default(),
        }
    }

    /// The certificates that are served, the default first; none where TLS is not.
    pub fn certificates(&self) -> Vec<CertificateStatus> {
        self.apps.certificates.as_ref().map(|served| served.status()).unwrap_or_default()
    }

    /// How often certificates were to be read again and could not be served, those included that never were.
    pub fn failed_certificate_reloads(&self) -> u64 {
        self.apps.certificates.as_ref().map_or(0, |served| served.failed_reloads())
    }

    /// What test mode asks of the broker.
    pub(super) fn as_broker(&self) -> Weak<dyn test_mode::BrokerHandle> {
        let apps: Weak<RunningApps> = Arc::downgrade(&self.apps);
        apps
    }
}

impl InForce for Reloader {
    fn put(
        &self,
        config: Config,
        changed: &str,
        write: &mut dyn FnMut() -> Result<(), AppsError>,
    ) -> Result<PutInForce, AppsError> {
        let kept: HashSet<String> = config.apps.iter().map(|configured| configured.app.id.clone()).collect();
        let last = |_: Option<&PreparedCertificates>| {
            let running = self.apps.running.lock();
            let ids = running.apps.iter().map(|configured| &configured.app.id);
            let lost: Vec<_> = ids.filter(|id| *id != changed && !kept.contains(*id)).cloned().collect();
            drop(running);
            if lost.is_empty() { write() } else { Err(AppsError::WouldRemove(lost)) }
        };
        Ok(self.reload_after(config, last)?.put())
    }

    fn put_all(
        &self,
        loaded: &Loaded,
        write: &mut dyn FnMut() -> Result<(), AppsError>,
    ) -> Result<PutInForce, AppsError> {
        Ok(self.reload_after(loaded.config.clone(), |_| write())?.put())
    }
}

impl<F: Fn(&Loaded, &PlannedReload) -> bool> InForce for ReloadAsShown<'_, F> {
    fn put(
        &self,
        config: Config,
        changed: &str,
        write: &mut dyn FnMut() -> Result<(), AppsError>,
    ) -> Result<PutInForce, AppsError> {
        self.reloader.put(config, changed, write)
    }

    fn put_all(
        &self,
        loaded: &Loaded,
        write: &mut dyn FnMut() -> Result<(), AppsError>,
    ) -> Result<PutInForce, AppsError> {
        let last = |prepared: Option<&PreparedCertificates>| {
            let planned = self.reloader.planned(loaded, prepared);
            if (self.is_as_shown)(loaded, &planned) { write() } else { Err(AppsError::NotAsShown) }
        };
        Ok(self.reloader.reload_after(loaded.config.clone(), last)?.put())
    }
}

impl LiveApps for Reloader {
    fn have(&self, apps: &[&AppConfig]) -> Vec<bool> {
        let running = self.apps.running.lock();
        let by_id = by_id(&running);
        apps.iter().map(|configured| by_id.get(&*configured.app.id) == Some(configured)).collect()
    }
}

impl From<StartError> for AppsError {
    fn from(error: StartError) -> Self {
        AppsError::NotApplied(error.to_string())
    }
}

impl RunningApps {
    /// Finds what speaks against a configuration. Returns its certificates, read by `prepare`: none, where it wants no TLS or none
    /// is served, which needs a restart.
    fn examine(
        &self,
        config: &Config,
        prepare: impl FnOnce(&Certificates, Vec<PairFiles>) -> Result<PreparedCertificates, TlsError>,
    ) -> Result<Option<PreparedCertificates>, StartError> {
        let apps = config.apps.iter().map(|configured| configured.app.clone());
        AppRegistry::new(apps)?;
        check_apps(config)?;
        let wanted = pair_files(config)?;
        let served = self.certificates.as_ref().filter(|_| !wanted.is_empty());
        Ok(served.map(|certificates| prepare(certificates, wanted)).transpose()?)
    }

    fn put_in_force(&self, running: &mut Config, config: Config) -> Result<Reloaded, DuplicateApp> {
        let RunningApps { hub, listeners, .. } = self;
        let before = by_id(running);
        let apps = config.apps.iter().map(|configured| {
            let same = before.get(&*configured.app.id) == Some(&configured);
            (configured.app.clone(), (!same).then(|| listeners.of(configured)))
        });
        hub.set_apps(apps.collect())?;
        listeners.apps_changed();
        let reloaded = Reloaded::between(running, &config);
        reloaded.removed.iter().for_each(|id| listeners.app_gone(id));
        let off = config.apps.iter().filter(|configured| !configured.app.enabled);
        off.for_each(|configured| listeners.wire().end_app(&configured.app.id, CloseCode::AppDisabled));
        running.apps = config.apps;
        Ok(reloaded)
    }
}

impl test_mode::BrokerHandle for RunningApps {
    fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    fn apps(&self) -> Vec<AppConfig> {
        self.running.lock().apps.clone()
    }

    fn add_app(&self, app: AppConfig) -> Result<(), DuplicateApp> {
        let mut running = self.running.lock();
        if running.apps.iter().any(|known| known.app.id == app.app.id) {
            return Err(DuplicateApp::Id(app.app.id));
        }
        let mut config = running.clone();
        config.apps.push(app);
        self.put_in_force(&mut running, config).map(|_| ())
    }

    fn remove_app(&self, id: &str) -> bool {
        let mut running = self.running.lock();
        let mut config = running.clone();
        config.apps.retain(|app| app.app.id != id);
        let removed = config.apps.len() < running.apps.len();
        removed && self.put_in_force(&mut running, config).is_ok()
    }
}

impl Reloaded {
    fn put(&self) -> PutInForce {
        PutInForce { told: self.to_string(), needs_restart: !self.needs_restart.is_empty() }
    }

    fn between(before: &Config, after: &Config) -> Self {
        let ids = |apps: &mut dyn Iterator<Item = &AppConfig>| apps.map(|of| of.app.id.clone()).collect();
        let (then, now) = (by_id(before), by_id(after));
        let is_in = |apps: &HashMap<&str, &AppConfig>, of: &AppConfig| apps.contains_key(&*of.app.id);
        let changed = |of: &&AppConfig| then.get(&*of.app.id).is_some_and(|then| then != of);
        Reloaded {
            added: ids(&mut after.apps.iter().filter(|of| !is_in(&then, of))),
            changed: ids(&mut after.apps.iter().filter(changed)),
            removed: ids(&mut before.apps.iter().filter(|of| !is_in(&now, of))),
            certificates: Vec::new(),
            needs_restart: before.node_differences(after),
        }
    }
}

/// Which certificates are wanted.
fn take_certificate_files(running: &mut Config, config: &Config) {
    running.server.tls_certificate.clone_from(&config.server.tls_certificate);
    running.server.tls_key.clone_from(&config.server.tls_key);
    running.server.certificates.clone_from(&config.server.certificates);
}

/// The apps by their ids. There may be very many.
fn by_id(config: &Config) -> HashMap<&str, &AppConfig> {
    config.apps.iter().map(|configured| (&*configured.app.id, configured)).collect()
}

/// One sentence, or up to three.
impl fmt::Display for Reloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reloaded { added, changed, removed, certificates, needs_restart } = self;
        let parts = [("added", added), ("changed", changed), ("removed", removed)];
        let parts = parts.iter().filter(|(_, ids)| !ids.is_empty());
        let parts: Vec<String> =
            parts.map(|(what, ids)| format!("{what} {} ({})", ids.len(), ids.join(", "))).collect();
        if parts.is_empty() {
            f.write_str("no app has changed")?;
        } else {
            write!(f, "apps: {}", parts.join(", "))?;
        }
        if !certificates.is_empty() {
            let files: Vec<_> = certificates.iter().map(|file| file.display().to_string()).collect();
            write!(f, "; new certificates: {}", files.join(", "))?;
        }
        if needs_restart.is_empty() {
            Ok(())
        } else {
            write!(f, "; not before a restart: {}", needs_restart.join(", "))
        }
    }
}

impl fmt::Debug for Reloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloader").field("hub", &self.apps.hub).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::fs;

    use crate::app::{App, DuplicateApp};
    use crate::app_admin::{ManagedApps, ReloadFailure};
    use crate::config::{self, Flags};
    use crate::pipe::wire::PipeWire;
    use crate::relay::Relays;
    use crate::webhook::Webhooks;

    use super::*;

    fn config(apps: &[(&str, bool)]) -> Config {
        let app = |(id, enabled): &(&str, bool)| {
            let app = App { enabled: *enabled, ..App::new(*id, format!("key-{id}"), "secret") };
            AppConfig::new(app)
        };
        Config { apps: apps.iter().map(app).collect(), ..Config::default() }
    }

    fn reloader(config: Config) -> Reloader {
        let hub = Hub::new(Vec::new(), config.connection.clone(), 1, 0).unwrap();
        let wire = PipeWire::new(config.pipe.clone());
        let watchers = Arc::new(crate::console::Watchers::new(Arc::default()));
        let listeners = AppListeners::new(
            Vec::new(),
            Webhooks::new(),
            Relays::new(),
            wire,
            (None, watchers, Arc::default()),
        );
        let reloader = Reloader::new(hub, listeners, None, Config::default());
        reloader.reload(config).unwrap();
        reloader
    }

    #[test]
    fn a_reload_says_what_it_has_done() {
        let reloader = reloader(config(&[("1", true), ("2", true), ("3", true)]));
        let mut next = config(&[("1", true), ("2", false), ("4", true)]);
        next.server.port = 7000;
        let done = reloader.reload(next.clone()).unwrap();
        let text = "apps: added 1 (4), changed 1 (2), removed 1 (3); not before a restart: server.port";
        assert_eq!(done.to_string(), text);
        let again = reloader.reload(next).unwrap();
        assert_eq!(
            again.to_string(),
            "no app has changed; not before a restart: server.port",
            "it still runs"
        );
    }

    #[test]
    fn a_change_of_one_app_removes_no_other() {
        let reloader = reloader(config(&[("1", true), ("2", true), ("3", true)]));
        let written = std::cell::Cell::new(0);
        let mut write = || {
            written.set(written.get() + 1);
            // Nobody who asks what is in force waits for the disk.
            assert!(reloader.apps.running.try_lock().is_some());
            Ok(())
        };
        let refused = reloader.put(config(&[("3", true), ("4", true)]), "4", &mut write);
        assert!(matches!(refused, Err(AppsError::WouldRemove(ids)) if ids == ["1", "2"]));
        assert_eq!(written.get(), 0);
        let [one, four] = ["1", "4"].map(|id| config(&[(id, true)]).apps.remove(0));
        assert_eq!(reloader.have(&[&one, &four]), [true, false]);
        let told = reloader.put(config(&[("1", true), ("3", true)]), "2", &mut write).unwrap();
        assert_eq!(
            (told.told.as_str(), told.needs_restart, written.get()),
            ("apps: removed 1 (2)", false, 1)
        );
    }

    /// Someone edits the file between the look at what would change and the reload, and once more as soon as it is read.
    #[test]
    fn what_is_put_in_force_is_what_was_shown_and_read_once() {
        let folder = std::env::temp_dir().join(format!("heliostat-as-shown-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("h.toml");
        let write = |ids: &[&str]| {
            let app =
                |id: &&str| format!("[[apps]]\nid = \"{id}\"\nkey = \"key-{id}\"\nsecret = \"secret\"\n");
            fs::write(&file, ids.iter().map(app).collect::<String>()).unwrap();
        };
        let (reloader, edited, read) =
            (reloader(config(&[("1", true)])), Arc::new(Mutex::new(false)), Arc::new(Mutex::new(0)));
        let flags = Flags { config: Some(file.clone()), ..Flags::default() };
        let apps = {
            let (edited, read, file) = (Arc::clone(&edited), Arc::clone(&read), file.clone());
            ManagedApps::new(move |reader| {
                let none = std::iter::empty::<(OsString, OsString)>();
                let loaded = config::load_for_change(none, &flags, reader);
                *read.lock() += 1;
                if *edited.lock() {
                    fs::write(&file, "nonsense").unwrap();
                }
                loaded
            })
        };
        let shown = || reloader.plan(&apps.would_load().unwrap()).unwrap();
        let reload = |shown: PlannedReload| {
            *read.lock() = 0;
            let as_shown = ReloadAsShown::new(&reloader, |_, planned: &PlannedReload| *planned == shown);
            apps.reload(&as_shown).map(|(_, done)| done.told)
        };
        let running = || {
            let running = reloader.apps.running.lock();
            running.apps.iter().map(|of| of.app.id.clone()).collect::<Vec<_>>()
        };
        write(&["1", "2"]);
        let before = shown();
        write(&["1", "2", "3"]);
        let stale = reload(before.clone());
        assert!(matches!(stale, Err(ReloadFailure::Apps(AppsError::NotAsShown))), "{stale:?}");
        assert_eq!(running(), ["1"], "nothing has changed");
        write(&["1", "2"]);
        *edited.lock() = true;
        assert_eq!(reload(before.clone()).unwrap(), "apps: added 1 (2)");
        assert_eq!((running(), *read.lock()), (vec!["1".to_owned(), "2".to_owned()], 1));
        *edited.lock() = false;
        write(&["1", "2"]);
        assert!(reload(before).is_err(), "what runs is another");
        assert_eq!(reload(shown()).unwrap(), "no app has changed");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_cannot_be_told_apart_changes_nothing() {
        let reloader = reloader(config(&[("1", true)]));
        let refused = reloader.reload(config(&[("2", true), ("2", true)]));
        assert!(matches!(refused, Err(StartError::Apps(DuplicateApp::Key(key))) if key == "key-2"));
        let done = reloader.reload(config(&[("1", true)])).unwrap();
        assert_eq!(done, Reloaded::default());
    }

    #[test]
    fn a_state_outlives_a_change_and_not_a_removal() {
        let reloader = reloader(config(&[("1", true)]));
        let hub = &reloader.apps.hub;
        let state = hub.state_by_key("key-1").unwrap();
        let generation = state.generation();
        assert!(state.app().enabled);
        reloader.reload(config(&[("1", false)])).unwrap();
        assert!(Arc::ptr_eq(&state, &hub.state_by_key("key-1").unwrap()));
        assert!(state.generation() != generation && !state.app().enabled);
        let left = Arc::downgrade(&state);
        drop(state);
        reloader.reload(config(&[("2", true)])).unwrap();
        assert!(hub.state_by_key("key-1").is_none());
        assert!(left.upgrade().is_none(), "nothing of it is left");
    }
}
