//! Apps that are changed from outside while the broker runs: the file that they stand in, the API on the admin listener,
//! and its description. Those of a cluster are the same on all its nodes, and the file is the copy of them.
//!
//! There is one way to change an app, whoever asks: [`ManagedApps::change`]. It knows neither the running broker nor the
//! terminal; both are told through [`InForce`].

mod api;
mod change;
mod credentials;
mod document;
mod edit;
mod error;
mod file;
mod from_json;
mod in_force;
mod loader;
mod openapi;
mod openapi_schemas;
mod pairs;
mod refusal;
mod shared;
mod text;
mod view;

pub(crate) use api::AppsApi;
pub(crate) use change::AppChange;
pub(crate) use credentials::{draw_key, with_credentials};
pub(crate) use error::{AppsError, ReloadFailure};
pub(crate) use file::Reader;
pub(crate) use in_force::{AppChanged, InForce, LiveApps, PutInForce};
pub(crate) use view::{AppView, ListedApp};

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, MutexGuard};
use tracing::{error, info};

use crate::cluster::documents::DocumentStore;
use crate::config::{Error, Loaded};
use edit::{AppEdit, view_of};
use file::LockedFile;
use loader::{AppsLoader, at_fault, refused};
use shared::{Effect, SharedApps};

/// How often a change is begun again because somebody has edited the file by hand meanwhile.
const ATTEMPTS: usize = 10;

/// The apps of a configuration that is read from files, and the changing of those that are in the apps file.
#[derive(Debug)]
pub(crate) struct ManagedApps {
    loader: AppsLoader,
    /// How many apps the apps file had when it was last put in force. Held while what was loaded is, so that nothing older
    /// comes behind it.
    applying: Mutex<usize>,
    /// Another process reads the files, to take the place of this one: what stands there is not changed meanwhile. Set under
    /// [`Self::applying`].
    is_held: AtomicBool,
    /// Where the apps file is known to have been, so that it need not be looked for with every change.
    known_file: Mutex<Option<PathBuf>>,
    /// Who is to read the file.
    reader: Reader,
    /// They are the apps of a cluster.
    shared: OnceLock<SharedApps>,
}

/// What has come of a look at the apps of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LookedAt {
    /// This node has what the engine has.
    pub(crate) is_taken: bool,
    /// And so has its copy.
    pub(crate) is_written: bool,
}

impl ManagedApps {
    /// Of the configuration that this loads, whether there are apps or not.
    pub(crate) fn new(
        load: impl Fn(&dyn Fn(&Path) -> io::Result<Vec<u8>>) -> Result<Loaded, Vec<Error>> + Send + Sync + 'static,
    ) -> Self {
        ManagedApps {
            loader: AppsLoader::new(load),
            applying: Mutex::new(0),
            is_held: AtomicBool::new(false),
            known_file: Mutex::default(),
            reader: Reader::Maker,
            shared: OnceLock::new(),
        }
    }

    /// The same, when this is in force.
    pub(crate) fn after_start(self, loaded: &Loaded) -> Self {
        let known_file = Mutex::new(loaded.apps_file.clone());
        ManagedApps { applying: Mutex::new(loaded.apps_of_file()), known_file, ..self }
    }

    /// The same, changed for a broker that is another process.
    pub(crate) fn for_reader(self, reader: Reader) -> Self {
        ManagedApps { reader, ..self }
    }

    /// Has them be the apps of a cluster, whose engine has these documents: from the next [`ManagedApps::take_shared`] on.
    ///
    /// # Errors
    /// If there is no file that could be this node's copy of them, or it cannot be read.
    pub(crate) fn share(&self, store: Arc<dyn DocumentStore>) -> Result<(), AppsError> {
        let known = self.known_file.lock().clone();
        let shared = SharedApps::new(store, &known.ok_or(AppsError::NoFile)?)?;
        // Whoever was first stays.
        let _ = self.shared.set(shared);
        Ok(())
    }

    /// Takes the apps that the cluster has, or gives it those that this node has, and writes the copy where that is due; does
    /// nothing where there is no cluster. Tells the log of trouble, once.
    pub(crate) fn take_shared(&self, in_force: &dyn InForce) -> LookedAt {
        let Some(shared) = self.shared.get() else { return LookedAt { is_taken: true, is_written: true } };
        let mut applying = self.applying.lock();
        let mut effect = Effect { loader: &self.loader, in_force, apps_of_file: &mut applying };
        let taken = shared.take(&mut effect);
        drop(applying);
        // That the engine is away is told by whoever watches it.
        let trouble = taken.as_ref().err().filter(|trouble| !matches!(trouble, AppsError::EngineAway));
        if trouble.is_some() {
            shared.count_refused();
        }
        let told = trouble.map(ToString::to_string);
        if shared.is_news(told.clone()) {
            match told {
                Some(reason) => error!(
                    reason,
                    "this node does not have the apps of the cluster, and goes on with those that it has"
                ),
                None => info!("this node has the apps of the cluster again"),
            }
        }
        LookedAt { is_taken: taken.is_ok(), is_written: self.write_copy() }
    }

    /// Writes the copy of the cluster's apps, where that is due. Tells the log of trouble, once. Whether nothing is left to
    /// write.
    pub(crate) fn write_copy(&self) -> bool {
        let Some(shared) = self.shared.get() else { return true };
        let trouble = shared.write_copy(&self.reader).err().map(|trouble| trouble.to_string());
        let is_written = trouble.is_none() && shared.is_written();
        if shared.is_news_of_copy(trouble.clone()) {
            match trouble {
                Some(reason) => {
                    error!(reason, "the copy of the cluster's apps is not written, and tried again")
                }
                None => info!("the copy of the cluster's apps can be written again"),
            }
        }
        is_written
    }

    /// Loads the configuration as it stands, and puts it in force.
    ///
    /// # Errors
    /// Why it cannot be; nothing has changed then, unless it says otherwise.
    pub(crate) fn reload(&self, in_force: &dyn InForce) -> Result<(Loaded, PutInForce), ReloadFailure> {
        // Until it is in force nobody else changes the apps.
        let mut applying = self.begin()?;
        if let Some(shared) = self.shared.get() {
            let reloaded =
                shared.reload(&mut Effect { loader: &self.loader, in_force, apps_of_file: &mut applying });
            drop(applying);
            self.write_copy();
            return reloaded;
        }
        let mut loaded = self.loader.load()?.with_apps()?;
        if loaded.config.cluster.url.is_some() && loaded.apps_file.is_some() {
            return Err(AppsError::NotJoined.into());
        }
        loaded.warn_of_lost_apps(*applying);
        let done = in_force.put_all(&loaded, &mut || Ok(()))?;
        *applying = loaded.apps_of_file();
        Ok((loaded, done))
    }

    /// Loads the configuration as [`ManagedApps::reload`] would, and puts nothing in force.
    ///
    /// # Errors
    /// Why it could not be put in force, as far as that can be told without doing it.
    pub(crate) fn would_load(&self) -> Result<Loaded, ReloadFailure> {
        let mut loaded = match self.shared.get() {
            Some(shared) => shared.would_load(&self.loader)?,
            None => self.loader.load()?,
        }
        .with_apps()?;
        if self.shared.get().is_none() && loaded.config.cluster.url.is_some() && loaded.apps_file.is_some() {
            return Err(AppsError::NotJoined.into());
        }
        let before = *self.begin()?;
        loaded.warn_of_lost_apps(before);
        Ok(loaded)
    }

    /// From now on nothing is read again and the files are not changed, when what is under way is done: another process reads
    /// them. What is the cluster's goes on.
    pub(crate) fn hold(&self) {
        let _applying = self.applying.lock();
        self.is_held.store(true, Ordering::Relaxed);
    }

    /// The other process has not taken the place.
    pub(crate) fn release(&self) {
        self.is_held.store(false, Ordering::Relaxed);
    }

    /// Begins to put something of the files in force.
    fn begin(&self) -> Result<MutexGuard<'_, usize>, AppsError> {
        let applying = self.applying.lock();
        if self.is_held.load(Ordering::Relaxed) { Err(AppsError::Upgrading) } else { Ok(applying) }
    }

    /// All apps as they stand in the files, in their order.
    ///
    /// # Errors
    /// If the files are at fault.
    pub(crate) fn all(&self) -> Result<Vec<ListedApp>, AppsError> {
        let loaded = self.read()?;
        Ok((0..loaded.config.apps.len()).filter_map(|index| ListedApp::new(&loaded, index)).collect())
    }

    /// The app with this id as it stands in the files.
    ///
    /// # Errors
    /// If there is none, or the files are at fault.
    pub(crate) fn one(&self, id: &str) -> Result<AppView, AppsError> {
        let loaded = self.read()?;
        view_of(&loaded, id).ok_or_else(|| AppsError::NoSuchApp(id.to_owned()))
    }

    fn read(&self) -> Result<Loaded, AppsError> {
        let loaded = match self.shared.get().map(SharedApps::copy) {
            Some((path, text)) => self.loader.load_with(&path, Some(text.as_bytes())),
            None => self.loader.load(),
        };
        loaded.map_err(at_fault)
    }

    /// Changes the app with this id: in the file, and in force. `is_expected` judges it as it is before.
    ///
    /// # Errors
    /// See [`AppsError`]; nothing has changed then, neither in the file nor in force.
    pub(crate) fn change(
        &self,
        id: &str,
        change: &AppChange,
        is_expected: impl Fn(&AppView) -> bool,
        in_force: &dyn InForce,
    ) -> Result<AppChanged, AppsError> {
        let app_edit = AppEdit { id, change, is_expected: &is_expected };
        if let Some(shared) = self.shared.get() {
            return self.change_shared(shared, app_edit, in_force);
        }
        let known = self.known_file.lock().clone();
        let mut path = match known {
            Some(path) => path,
            None => self.read()?.apps_file.ok_or(AppsError::NoFile)?,
        };
        let mut locked = LockedFile::take(&path, &self.reader)?;
        for _ in 0..ATTEMPTS {
            let before = locked.read().map_err(unreadable)?;
            let loaded = self.loader.load_with(&path, before.as_deref()).map_err(at_fault)?;
            let file = loaded.apps_file.clone().ok_or(AppsError::NoFile)?;
            if loaded.config.cluster.url.is_some() && !in_force.may_have_other_apps() {
                return Err(AppsError::NotJoined);
            }
            *self.known_file.lock() = Some(file.clone());
            if file != path {
                // It is to be elsewhere now.
                drop(locked);
                locked = LockedFile::take(&file, &self.reader)?;
                path = file;
                continue;
            }
            let edited =
                app_edit.of_text(&loaded, &String::from_utf8_lossy(before.as_deref().unwrap_or_default()))?;
            match self.put((&locked, &path), before.as_deref(), edited.as_bytes(), (id, in_force)) {
                Err(AppsError::Gone) => {}
                done => return done,
            }
        }
        Err(AppsError::Gone)
    }

    /// Has the edited text of the file take effect, if the file is still as it was before.
    fn put(
        &self,
        (locked, path): (&LockedFile, &Path),
        before: Option<&[u8]>,
        edited: &[u8],
        (id, in_force): (&str, &dyn InForce),
    ) -> Result<AppChanged, AppsError> {
        let mut applying = self.begin()?;
        let loaded = self.loader.load_with(path, Some(edited)).map_err(|errors| refused(&errors))?;
        if loaded.missing.is_some() && !in_force.may_have_other_apps() {
            return Err(AppsError::LastApp(id.to_owned()));
        }
        let view = view_of(&loaded, id);
        let mut is_written = false;
        let mut write = || {
            // Whoever edits it by hand does not ask for the lock.
            if locked.read()?.as_deref() != before {
                return Err(AppsError::Gone);
            }
            locked.replace(edited)?;
            is_written = true;
            Ok(())
        };
        let has_apps = loaded.apps_of_file();
        let warnings = loaded.warnings.iter().map(ToString::to_string).collect();
        let PutInForce { told, needs_restart } = match in_force.put(loaded.config, id, &mut write) {
            Ok(done) => done,
            Err(refusal) if is_written => return Err(undone(locked, edited, before, refusal)),
            Err(refusal) => return Err(refusal),
        };
        *applying = has_apps;
        Ok(AppChanged { view, told, needs_restart, warnings })
    }

    fn change_shared(
        &self,
        shared: &SharedApps,
        edit: AppEdit<'_>,
        in_force: &dyn InForce,
    ) -> Result<AppChanged, AppsError> {
        let mut applying = self.applying.lock();
        let changed =
            shared.change(edit, &mut Effect { loader: &self.loader, in_force, apps_of_file: &mut applying });
        drop(applying);
        // The change is made, whether the copy can be written or not.
        if let Err(error) = shared.write_copy(&self.reader) {
            error!(%error, "the copy of the cluster's apps was not written");
        }
        changed
    }
}

/// Has the file be as it was before a change that was refused; returns what there is to tell.
fn undone(locked: &LockedFile, edited: &[u8], before: Option<&[u8]>, refusal: AppsError) -> AppsError {
    let undo = || match locked.read()? {
        // Somebody has edited it by hand since, and keeps what is there.
        now if now.as_deref() != Some(edited) => Ok(()),
        _ => locked.restore(before),
    };
    match undo() {
        Ok(()) => refusal,
        Err(reason) => AppsError::NotUndone { refusal: Box::new(refusal), reason: Box::new(reason) },
    }
}

/// A file that cannot be read as it stands is at fault, as it is for whoever loads it.
fn unreadable(error: AppsError) -> AppsError {
    match error {
        AppsError::File { path, error, .. } => {
            AppsError::AtFault(vec![format!("cannot read the apps file {}: {error}", path.display())])
        }
        other => other,
    }
}

#[cfg(test)]
mod tests;
