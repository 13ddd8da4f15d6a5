//! Apps that are changed from outside while the broker runs: the file that they stand in, the API on the admin listener,
//! and its description.
//!
//! There is one way to change an app, whoever asks: [`ManagedApps::change`]. It knows neither the running broker nor the
//! terminal; both are told through [`InForce`].

mod api;
mod change;
mod credentials;
mod error;
mod file;
mod from_json;
mod openapi;
mod openapi_schemas;
mod pairs;
mod refusal;
mod text;
mod view;

pub(crate) use api::{AppsApi, LiveApps};
pub(crate) use change::AppChange;
pub(crate) use credentials::{draw_key, with_credentials};
pub(crate) use error::AppsError;
pub(crate) use file::Reader;
pub(crate) use view::{AppView, ListedApp};

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use parking_lot::{Mutex, MutexGuard};

use crate::config::{Config, Error, Loaded, app_complaints, read_file};
use change::AppsText;
use file::LockedFile;
use from_json::complaints_of_nulls;

/// How often a change is begun again because somebody has edited the file by hand meanwhile.
const ATTEMPTS: usize = 10;

/// Loads the configuration, with a given way to read files.
type LoadConfig = dyn Fn(&dyn Fn(&Path) -> io::Result<Vec<u8>>) -> Result<Loaded, Vec<Error>> + Send + Sync;

/// The apps of a configuration that is read from files, and the changing of those that are in the apps file.
pub(crate) struct ManagedApps {
    load: Box<LoadConfig>,
    /// How many apps the apps file had when it was last put in force. Held while what was loaded is, so that nothing older
    /// comes behind it.
    applying: Mutex<usize>,
    /// Where the apps file is known to have been, so that it need not be looked for with every change.
    known_file: Mutex<Option<PathBuf>>,
    /// Who is to read the file.
    reader: Reader,
}

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

    /// Whether it has apps that are not known here, so that it alone can tell whether there are enough of them.
    fn may_have_other_apps(&self) -> bool {
        false
    }
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

impl ManagedApps {
    /// Of the configuration that this loads, whether there are apps or not.
    pub(crate) fn new(
        load: impl Fn(&dyn Fn(&Path) -> io::Result<Vec<u8>>) -> Result<Loaded, Vec<Error>> + Send + Sync + 'static,
    ) -> Self {
        ManagedApps {
            load: Box::new(load),
            applying: Mutex::new(0),
            known_file: Mutex::default(),
            reader: Reader::Maker,
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

    /// Loads the configuration as it stands, and keeps others from putting theirs in force until the guard is dropped.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(crate) fn load(&self) -> Result<(Loaded, MutexGuard<'_, usize>), Vec<Error>> {
        let mut applying = self.applying.lock();
        let mut loaded = (self.load)(&read_file)?.with_apps()?;
        loaded.warn_of_lost_apps(*applying);
        *applying = loaded.apps_of_file();
        Ok((loaded, applying))
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
        let found = place_of(&loaded, id).and_then(|index| AppView::new(&loaded, index));
        found.ok_or_else(|| AppsError::NoSuchApp(id.to_owned()))
    }

    fn read(&self) -> Result<Loaded, AppsError> {
        (self.load)(&read_file).map_err(at_fault)
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
        let known = self.known_file.lock().clone();
        let mut path = match known {
            Some(path) => path,
            None => self.read()?.apps_file.ok_or(AppsError::NoFile)?,
        };
        let mut locked = LockedFile::take(&path, &self.reader)?;
        for _ in 0..ATTEMPTS {
            let before = locked.read().map_err(unreadable)?;
            let loaded = self.load_with(&path, before.as_deref()).map_err(at_fault)?;
            let file = loaded.apps_file.clone().ok_or(AppsError::NoFile)?;
            *self.known_file.lock() = Some(file.clone());
            if file != path {
                // It is to be elsewhere now.
                drop(locked);
                locked = LockedFile::take(&file, &self.reader)?;
                path = file;
                continue;
            }
            let edited = edit(&loaded, before.as_deref(), id, change, &is_expected)?;
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
        let mut applying = self.applying.lock();
        let loaded = self.load_with(path, Some(edited)).map_err(|errors| refused(&errors))?;
        if loaded.missing.is_some() && !in_force.may_have_other_apps() {
            return Err(AppsError::LastApp(id.to_owned()));
        }
        let view = place_of(&loaded, id).and_then(|index| AppView::new(&loaded, index));
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

    fn load_with(&self, path: &Path, apps: Option<&[u8]>) -> Result<Loaded, Vec<Error>> {
        (self.load)(&|asked| match (asked == path, apps) {
            (false, _) => read_file(asked),
            (true, Some(bytes)) => Ok(bytes.to_vec()),
            (true, None) => Err(io::ErrorKind::NotFound.into()),
        })
    }
}

impl fmt::Debug for ManagedApps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManagedApps").finish_non_exhaustive()
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

/// The text of the apps file after the change.
fn edit(
    loaded: &Loaded,
    before: Option<&[u8]>,
    id: &str,
    change: &AppChange,
    is_expected: &dyn Fn(&AppView) -> bool,
) -> Result<String, AppsError> {
    let text = String::from_utf8_lossy(before.unwrap_or_default());
    let mut file = AppsText::parse(&text)?;
    let index = place_of(loaded, id);
    let place = match (change, index) {
        (AppChange::Create(_), Some(index)) => {
            let place = loaded.origins.of(&format!("apps[{index}].id"));
            return Err(AppsError::Taken(vec![format!(
                "there is an app with the id {id:?} already, defined by {place}"
            )]));
        }
        (AppChange::Create(settings), None) => file.create(settings)?,
        (_, None) => return Err(AppsError::NoSuchApp(id.to_owned())),
        (change, Some(index)) => {
            let view = AppView::new(loaded, index).ok_or(AppsError::Gone)?;
            let Some(place) = index.checked_sub(loaded.own_apps) else {
                return Err(AppsError::Elsewhere { id: id.to_owned(), place: view.listed.defined });
            };
            if !is_expected(&view) {
                return Err(AppsError::Changed(id.to_owned()));
            }
            match change {
                AppChange::Create(_) => {}
                AppChange::Set(settings) => file.set(place, settings)?,
                AppChange::Rotate(key) => file.rotate(place, key)?,
                AppChange::Revoke(key) => file.revoke(place, key)?,
                AppChange::Delete => {
                    file.delete(place)?;
                    return Ok(file.into_text());
                }
            }
            place
        }
    };
    // By itself first: what is wrong with it is told without the places of a file that nobody has seen.
    let mut complaints = match change {
        AppChange::Create(settings) | AppChange::Set(settings) => complaints_of_nulls(settings),
        _ => Vec::new(),
    };
    complaints.extend(app_complaints(&file.alone(place).ok_or(AppsError::Gone)?));
    if complaints.is_empty() { Ok(file.into_text()) } else { Err(AppsError::Settings(complaints)) }
}

fn place_of(loaded: &Loaded, id: &str) -> Option<usize> {
    loaded.config.apps.iter().position(|configured| configured.app.id == id)
}

fn at_fault(errors: Vec<Error>) -> AppsError {
    AppsError::AtFault(errors.iter().map(ToString::to_string).collect())
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

/// Why the configuration does not go with the change, when each of them is sound by itself.
fn refused(errors: &[Error]) -> AppsError {
    AppsError::Taken(errors.iter().map(Error::without_place).collect())
}

#[cfg(test)]
mod tests;
