//! The apps of a cluster, as one node has them: they are the engine's document, which is changed by compare-and-set and taken
//! when somebody else has changed it. The apps file is the last copy of it that this node knows, and where the engine has no
//! document, or an older one of the same cluster, that copy becomes the document. The copy of another cluster is set aside.

use std::fs;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tracing::{info, warn};

use super::document::{AppsDocument, KEY};
use super::edit::{AppEdit, view_of};
use super::file::{self, LockedFile, Reader};
use super::in_force::{AppChanged, InForce, PutInForce};
use super::loader::{AppsLoader, at_fault, refused};
use super::{AppsError, ReloadFailure};
use crate::cluster::adapter::EngineError;
use crate::cluster::documents::{DocumentOutcome, DocumentStore};
use crate::config::Loaded;
use crate::files::beside;

/// How often this node looks again at what the engine has because another node has written meanwhile.
const ATTEMPTS: usize = 10;

/// How long a change is begun again because another node has made one meanwhile, of whichever app.
const BEGUN_AGAIN_FOR: Duration = Duration::from_secs(10);

/// The longest pause before it is begun again, in milliseconds. Nodes that pause alike would meet again.
const LONGEST_PAUSE: u64 = 20;

/// Files with other apps that are kept beside one another.
const MOST_KEPT: usize = 100;

/// The apps of a cluster. Whoever asks for anything but reading holds the lock of what is put in force.
#[derive(Debug)]
pub(super) struct SharedApps {
    store: Arc<dyn DocumentStore>,
    /// Never locked while anybody waits for the engine or the disk.
    copy: Mutex<AppsCopy>,
}

/// What one node has of them.
#[derive(Clone, Debug)]
struct AppsCopy {
    /// What the engine has under which version, as it was seen last.
    seen: Option<(u64, Arc<AppsDocument>)>,
    /// What is in force here: the same, as far as it can be read.
    held: Arc<AppsDocument>,
    /// What is in force has been the engine's since this node started, so that it is no copy that was brought from elsewhere.
    is_joined: bool,
    file: CopyFile,
    /// What was wrong when they were to be taken last, and when the copy was to be written, to be told once.
    trouble: Option<String>,
    copy_trouble: Option<String>,
}

/// The file that the copy is kept in.
#[derive(Clone, Debug)]
struct CopyFile {
    path: PathBuf,
    /// What it had when it was last read or written here; none where it was not there. Something else is an edit by hand.
    bytes: Option<Arc<[u8]>>,
    /// It has what is in force.
    is_written: bool,
    /// It was told that somebody has edited it.
    told_of_edit: bool,
}

/// Where apps take effect, and what is known of it.
pub(super) struct Effect<'e> {
    pub(super) loader: &'e AppsLoader,
    pub(super) in_force: &'e dyn InForce,
    /// How many apps the file has that is in force.
    pub(super) apps_of_file: &'e mut usize,
}

/// What [`SharedApps::take`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AppsTaken {
    /// The engine has what this node has.
    Same,
    /// It has what this node has since it was given it.
    Given,
    /// It had something newer, which is in force now.
    New,
}

impl SharedApps {
    /// Those of the engine's document, of which this file is the copy.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(super) fn new(store: Arc<dyn DocumentStore>, path: &Path) -> Result<Self, AppsError> {
        let bytes = file::read(path)?;
        let held = Arc::new(AppsDocument::of_file(bytes.as_deref().unwrap_or_default()));
        let file = CopyFile {
            path: path.to_owned(),
            bytes: bytes.map(Into::into),
            is_written: true,
            told_of_edit: false,
        };
        Ok(SharedApps {
            store,
            copy: Mutex::new(AppsCopy {
                seen: None,
                held,
                is_joined: false,
                file,
                trouble: None,
                copy_trouble: None,
            }),
        })
    }

    /// Where the copy is, and what it has or is to have.
    pub(super) fn copy(&self) -> (PathBuf, String) {
        let copy = self.copy.lock();
        (copy.file.path.clone(), copy.held.to_file())
    }

    /// Whether the file has what is in force.
    pub(super) fn is_written(&self) -> bool {
        self.copy.lock().file.is_written
    }

    /// Takes what the engine has, if it is another than before; gives it what this node has, if it has nothing, or something
    /// older. Once it has been replaced by an empty one, or has lost its last words, the node that knows the latest change
    /// prevails; but never one that comes with the apps of another cluster.
    ///
    /// # Errors
    /// If the engine does not tell, or what it has cannot be taken. Then what was in force before is.
    pub(super) fn take(&self, effect: &mut Effect<'_>) -> Result<AppsTaken, AppsError> {
        for _ in 0..ATTEMPTS {
            let (held, is_joined) = {
                let copy = self.copy.lock();
                (Arc::clone(&copy.held), copy.is_joined)
            };
            let Some(found) = self.store.read(KEY).map_err(not_asked)? else {
                self.copy.lock().seen = None;
                if held.change == 0 && !held.has_apps() {
                    return Ok(AppsTaken::Same);
                }
                if self.give(0, &held)? {
                    return Ok(AppsTaken::Given);
                }
                continue;
            };
            let document = AppsDocument::decode(&found.bytes).map_err(AppsError::NotApps)?;
            let is_known = document.cluster == held.cluster || is_joined;
            if is_known && (document.change, document.cluster) < (held.change, held.cluster) {
                if self.give(found.version, &held)? {
                    return Ok(AppsTaken::Given);
                }
                continue;
            }
            if self.copy.lock().seen.as_ref().is_some_and(|(_, seen)| **seen == document) {
                self.copy.lock().seen = Some((found.version, Arc::new(document)));
                return Ok(AppsTaken::Same);
            }
            self.put(found.version, document, effect)?;
            return Ok(AppsTaken::New);
        }
        Err(AppsError::Gone)
    }

    /// Writes what this node has in the place of this version; whether that was still there.
    fn give(&self, version: u64, held: &Arc<AppsDocument>) -> Result<bool, AppsError> {
        let document = held.of_cluster();
        match self.write(version, &document) {
            Ok(version) => {
                let mut copy = self.copy.lock();
                let document = Arc::new(document);
                copy.file.is_written &= document == copy.held;
                let change = document.change;
                (copy.seen, copy.held) = (Some((version, Arc::clone(&document))), document);
                copy.is_joined = true;
                drop(copy);
                info!(change, "the cluster has the apps of this node's apps file");
                Ok(true)
            }
            Err(AppsError::Gone) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Puts in force what the engine has.
    fn put(&self, version: u64, document: AppsDocument, effect: &mut Effect<'_>) -> Result<(), AppsError> {
        let (held, path) = {
            let copy = self.copy.lock();
            (Arc::clone(&copy.held), copy.file.path.clone())
        };
        let (readable, unreadable) = document.readable(&held.text);
        let loaded = effect.loader.load_with(&path, Some(readable.to_file().as_bytes())).map_err(at_fault)?;
        if let Some(missing) = &loaded.missing {
            return Err(AppsError::AtFault(vec![missing.to_string()]));
        }
        let PutInForce { told, .. } = effect.in_force.put_all(&loaded, &mut || Ok(()))?;
        *effect.apps_of_file = loaded.apps_of_file();
        for complaint in &unreadable {
            warn!(%complaint, "this release cannot read an app of the cluster, which stays here as it was");
        }
        if held.is_at_odds_with(&document) {
            let (change, apps) = (document.change, held.differing_from(&document).join(", "));
            warn!(
                change,
                apps,
                "the engine has lost a change of the cluster's apps that was answered, and has another one of its number"
            );
        }
        self.store.count(DocumentOutcome::Taken { unreadable: unreadable.len() });
        info!(change = document.change, told, "the apps of the cluster were taken");
        let mut copy = self.copy.lock();
        (copy.seen, copy.held) = (Some((version, Arc::new(document))), Arc::new(readable));
        (copy.is_joined, copy.file.is_written) = (true, false);
        Ok(())
    }

    /// Writes a document in the place of this version, and returns its own.
    fn write(&self, version: u64, document: &AppsDocument) -> Result<u64, AppsError> {
        let bytes = document.encode();
        if bytes.len() as u64 > file::MOST_BYTES {
            return Err(AppsError::TooLarge { most: file::MOST_BYTES });
        }
        match self.store.write(KEY, version, Bytes::from(bytes)) {
            Ok(Ok(version)) => Ok(version),
            Ok(Err(_)) => Err(AppsError::Gone),
            Err(EngineError::Away) => Err(AppsError::Unsure),
            Err(EngineError::Refused(reason)) => Err(AppsError::EngineRefuses(reason)),
        }
    }

    /// Makes a change in the cluster, and has it in force here.
    ///
    /// # Errors
    /// See [`AppsError`]; nothing has changed then, unless it says otherwise.
    pub(super) fn change(&self, edit: AppEdit<'_>, effect: &mut Effect<'_>) -> Result<AppChanged, AppsError> {
        let (mut expected, begun) = (None, Instant::now());
        while begun.elapsed() < BEGUN_AGAIN_FOR {
            self.take(effect)?;
            let AppsCopy { seen, held, file, .. } = self.copy.lock().clone();
            let (version, document) = seen.unwrap_or((0, held));
            let before = effect.loader.load_with(&file.path, Some(document.to_file().as_bytes()));
            let before = before.map_err(at_fault)?;
            let edited = edit.of_text(&before, &document.text)?;
            let tag = view_of(&before, edit.id).map(|view| view.tag());
            if *expected.get_or_insert_with(|| tag.clone()) != tag {
                return Err(AppsError::ChangedElsewhere { id: edit.id.to_owned(), change: document.change });
            }
            match self.try_change(edit.id, version, document.changed(edited), &file.path, effect) {
                Err(AppsError::Gone) => pause(),
                done => return done,
            }
        }
        Err(AppsError::Crowded(BEGUN_AGAIN_FOR))
    }

    fn try_change(
        &self,
        id: &str,
        version: u64,
        next: AppsDocument,
        path: &Path,
        effect: &mut Effect<'_>,
    ) -> Result<AppChanged, AppsError> {
        let loaded = effect.loader.load_with(path, Some(next.to_file().as_bytes()));
        let loaded = loaded.map_err(|errors| refused(&errors))?;
        if loaded.missing.is_some() {
            return Err(AppsError::LastApp(id.to_owned()));
        }
        let view = view_of(&loaded, id);
        let apps_of_file = loaded.apps_of_file();
        let warnings = loaded.warnings.iter().map(ToString::to_string).collect();
        let next = Arc::new(next);
        let mut write = || {
            let version = self.write(version, &next)?;
            let mut copy = self.copy.lock();
            (copy.seen, copy.held) = (Some((version, Arc::clone(&next))), Arc::clone(&next));
            (copy.is_joined, copy.file.is_written) = (true, false);
            Ok(())
        };
        let PutInForce { told, needs_restart } = effect.in_force.put(loaded.config, id, &mut write)?;
        *effect.apps_of_file = apps_of_file;
        Ok(AppChanged { view, told, needs_restart, warnings })
    }

    /// Loads the configuration again, with the apps of the cluster, and puts it in force. Where the file of the copy was edited,
    /// that is a change of the cluster's apps; where it is gone, it comes back.
    ///
    /// # Errors
    /// If it cannot be done; nothing has changed then, unless it says otherwise.
    pub(super) fn reload(&self, effect: &mut Effect<'_>) -> Result<(Loaded, PutInForce), ReloadFailure> {
        let path = effect.loader.load()?.apps_file.ok_or(AppsError::NoFile)?;
        let now: Option<Arc<[u8]>> = file::read(&path)?.map(Into::into);
        let copy = {
            let mut copy = self.copy.lock();
            if copy.file.path != path {
                copy.file = CopyFile { path, bytes: now.clone(), is_written: false, told_of_edit: false };
            }
            copy.clone()
        };
        match now.filter(|now| copy.file.bytes.as_ref() != Some(now)) {
            Some(now) => self.reload_edited(now, copy, effect),
            None => {
                match self.take(effect) {
                    Err(AppsError::EngineAway) => warn!("{}", AppsError::EngineAway),
                    taken => drop(taken?),
                }
                let (path, text) = self.copy();
                let loaded = effect.loader.load_with(&path, Some(text.as_bytes()))?.with_apps()?;
                let done = effect.in_force.put_all(&loaded, &mut || Ok(()))?;
                *effect.apps_of_file = loaded.apps_of_file();
                Ok((loaded, done))
            }
        }
    }

    /// Loads the configuration as [`SharedApps::reload`] would if nobody changes the apps of the cluster meanwhile.
    ///
    /// # Errors
    /// If it cannot be loaded.
    pub(super) fn would_load(&self, loader: &AppsLoader) -> Result<Loaded, ReloadFailure> {
        let path = loader.load()?.apps_file.ok_or(AppsError::NoFile)?;
        let now: Option<Arc<[u8]>> = file::read(&path)?.map(Into::into);
        let known = self.copy.lock().file.clone();
        let edited = now.filter(|now| known.path == path && known.bytes.as_ref() != Some(now));
        let (_, text) = self.copy();
        let bytes = edited.as_deref().unwrap_or(text.as_bytes());
        Ok(loader.load_with(&path, Some(bytes))?)
    }

    /// Has what stands in the edited file be the apps of the cluster, if it was edited from what they are.
    fn reload_edited(
        &self,
        now: Arc<[u8]>,
        copy: AppsCopy,
        effect: &mut Effect<'_>,
    ) -> Result<(Loaded, PutInForce), ReloadFailure> {
        let AppsCopy { seen, held, file, .. } = copy;
        let edited = AppsDocument::of_file(&now);
        let version = self.store.read(KEY).map_err(not_asked)?.map_or(0, |found| found.version);
        let is_seen = match &seen {
            Some((seen, document)) => *seen == version && *document == held,
            None => version == 0,
        };
        let is_of_copy = edited.cluster.is_none_or(|cluster| held.cluster == Some(cluster))
            && (edited.change == 0 || edited.change == held.change);
        let old_copy = || AppsError::OldCopy(file.path.clone());
        if !file.is_written || !is_of_copy || !is_seen {
            return Err(old_copy().into());
        }
        let next = Arc::new(held.changed(edited.text));
        let mut loaded = effect.loader.load_with(&file.path, Some(&now))?.with_apps()?;
        loaded.warn_of_lost_apps(*effect.apps_of_file);
        let mut write = || {
            let written = self.write(version, &next);
            let version =
                written.map_err(|error| if matches!(error, AppsError::Gone) { old_copy() } else { error })?;
            let mut copy = self.copy.lock();
            (copy.seen, copy.held) = (Some((version, Arc::clone(&next))), Arc::clone(&next));
            copy.is_joined = true;
            // But for its head, it has it.
            (copy.file.bytes, copy.file.is_written) = (Some(Arc::clone(&now)), false);
            Ok(())
        };
        let done = effect.in_force.put_all(&loaded, &mut write)?;
        *effect.apps_of_file = loaded.apps_of_file();
        Ok((loaded, done))
    }

    /// Writes the copy, if the file does not have it, and nobody has the file at present or has edited it since.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn write_copy(&self, reader: &Reader) -> Result<(), AppsError> {
        let path = {
            let file = &self.copy.lock().file;
            if file.is_written {
                return Ok(());
            }
            file.path.clone()
        };
        let Some(locked) = LockedFile::take_if_free(&path, reader)? else { return Ok(()) };
        // From now on nobody else writes it.
        let AppsCopy { seen, held, file, .. } = self.copy.lock().clone();
        if file.is_written || file.path != path {
            return Ok(());
        }
        let found = locked.read()?;
        if found.is_some() && found.as_deref() != file.bytes.as_deref() {
            if !mem::replace(&mut self.copy.lock().file.told_of_edit, true) {
                let path = file.path.display();
                warn!(%path, "the apps file was edited, so the apps of the cluster are not written there: reload the configuration, or remove the file first to drop what was edited");
            }
            return Ok(());
        }
        let own = AppsDocument::of_file(&found.unwrap_or_default());
        let is_foreign = own.cluster.is_none() || own.cluster != held.cluster;
        let is_lost = is_foreign && own.has_apps() && own.text != held.text || own.is_at_odds_with(&held);
        if seen.is_some() && is_lost {
            let kept = kept_as(&file.path);
            fs::copy(&file.path, &kept).map_err(|error| AppsError::file("copy", &file.path, error))?;
            warn!(kept = %kept.display(), "the apps file had other apps than the cluster, whose apps it has now; what it had is kept");
        }
        let bytes = held.to_file().into_bytes();
        locked.replace(&bytes)?;
        let mut copy = self.copy.lock();
        copy.file.is_written = copy.held == held;
        copy.file.bytes = Some(bytes.into());
        copy.file.told_of_edit = false;
        Ok(())
    }

    /// What the engine has was not taken.
    pub(super) fn count_refused(&self) {
        self.store.count(DocumentOutcome::Refused);
    }

    /// Whether this trouble with the apps, or that there is none, is something else than before. It is the same from now on.
    pub(super) fn is_news(&self, trouble: Option<String>) -> bool {
        let mut copy = self.copy.lock();
        mem::replace(&mut copy.trouble, trouble) != copy.trouble
    }

    /// The same of the copy.
    pub(super) fn is_news_of_copy(&self, trouble: Option<String>) -> bool {
        let mut copy = self.copy.lock();
        mem::replace(&mut copy.copy_trouble, trouble) != copy.copy_trouble
    }
}

/// Where a file is kept that had other apps: where nothing is kept yet.
fn kept_as(path: &Path) -> PathBuf {
    let first = beside(path, "before-cluster");
    let further = (2..MOST_KEPT).map(|number| beside(path, &format!("before-cluster-{number}")));
    std::iter::once(first.clone()).chain(further).find(|place| !place.exists()).unwrap_or(first)
}

/// Nothing has been asked of the engine but to read.
fn not_asked(error: EngineError) -> AppsError {
    match error {
        EngineError::Away => AppsError::EngineAway,
        EngineError::Refused(reason) => AppsError::EngineRefuses(reason),
    }
}

/// Lets other nodes have their turn.
#[expect(clippy::disallowed_methods, reason = "this thread is for what takes its time")]
fn pause() {
    thread::sleep(Duration::from_millis(rand::random_range(1..=LONGEST_PAUSE)));
}

#[cfg(test)]
mod tests;
