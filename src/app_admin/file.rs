//! The apps file on the disk: changed by one at a time, and replaced whole or not at all.
//!
//! Whoever changes it holds a lock on a file beside it, which stays there: the apps file itself is another one after each
//! change.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use tracing::warn;

use super::AppsError;
use crate::files::{NotRead, OWNER_ONLY, beside, folder_of, read_whole, replace, sync_folder};

/// A larger apps file is not read, and none is written.
pub(super) const MOST_BYTES: u64 = 16 * 1024 * 1024;

/// How long others may hold the lock. They need it for as long as a reload takes.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);

/// How often it is looked for. The system wakes nobody who does not wait without end.
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Who is to read what the superuser makes in a folder that is his own, too.
#[derive(Clone, Debug)]
pub(crate) enum Reader {
    /// Who makes it: it is the broker that does.
    Maker,
    /// A broker that may be another user's: whoever this file is for, its configuration or its socket. None where it has
    /// neither.
    Like(Option<PathBuf>),
}

/// The apps file while nobody else may change it, who asks first.
#[derive(Debug)]
pub(super) struct LockedFile {
    reader: Reader,
    /// Where the file is, with links followed.
    path: PathBuf,
    /// Its lock is given back when it is closed.
    _lock: File,
}

impl LockedFile {
    /// Waits for the lock.
    ///
    /// # Errors
    /// If others do not give it back, or there is no place for it.
    #[expect(
        clippy::disallowed_methods,
        reason = "this thread is for what takes its time, and the system tells of no lock"
    )]
    pub(super) fn take(path: &Path, reader: &Reader) -> Result<Self, AppsError> {
        Self::take_pausing(path, reader, &mut || thread::sleep(LOCK_PAUSE))
    }

    /// The same, if nobody else has it at this moment.
    ///
    /// # Errors
    /// If there is no place for it.
    pub(super) fn take_if_free(path: &Path, reader: &Reader) -> Result<Option<Self>, AppsError> {
        let (path, lock_path, lock) = Self::prepare(path, reader)?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(LockedFile { reader: reader.clone(), path, _lock: lock })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(AppsError::file("lock", &lock_path, error)),
        }
    }

    /// The same, with what is done as long as somebody else has it.
    fn take_pausing(path: &Path, reader: &Reader, pause: &mut dyn FnMut()) -> Result<Self, AppsError> {
        let (path, lock_path, lock) = Self::prepare(path, reader)?;
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(LockedFile { reader: reader.clone(), path, _lock: lock }),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => pause(),
                Err(TryLockError::WouldBlock) => return Err(AppsError::Locked(lock_path)),
                Err(TryLockError::Error(error)) => return Err(AppsError::file("lock", &lock_path, error)),
            }
        }
    }

    /// Where the file is with links followed, where its lock is, and the lock, which is not taken yet.
    fn prepare(path: &Path, reader: &Reader) -> Result<(PathBuf, PathBuf, File), AppsError> {
        let failed = |error| AppsError::file("change", path, error);
        let path = match fs::canonicalize(path) {
            Ok(path) => path,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if fs::symlink_metadata(path).is_ok() {
                    return Err(failed(io::Error::new(error.kind(), "it is a link that leads nowhere")));
                }
                path.to_owned()
            }
            Err(error) => return Err(failed(error)),
        };
        let lock_path = beside(&path, "lock");
        let lock = open_lock(&lock_path, &path, reader)
            .map_err(|error| AppsError::file("lock", &lock_path, error))?;
        Ok((path, lock_path, lock))
    }

    /// What it holds now; none where it is not there.
    ///
    /// # Errors
    /// If it cannot be read, is too large, or is no file.
    pub(super) fn read(&self) -> Result<Option<Vec<u8>>, AppsError> {
        read(&self.path)
    }

    /// Replaces what it holds.
    ///
    /// # Errors
    /// If it cannot be written; then it holds what it did before.
    pub(super) fn replace(&self, bytes: &[u8]) -> Result<(), AppsError> {
        if bytes.len() as u64 > MOST_BYTES {
            return Err(AppsError::TooLarge { most: MOST_BYTES });
        }
        let prepare = |file: &File| take_after(&self.path, file, &self.reader);
        replace(&self.path, bytes, OWNER_ONLY, prepare)
            .map_err(|error| AppsError::file("write", &self.path, error))?;
        // The file is in its place. That it may not be there after a failure of power is no reason to say that it is not.
        if let Err(error) = sync_folder(&self.path) {
            warn!(%error, path = %self.path.display(), "the folder of the apps file could not be synchronised");
        }
        Ok(())
    }

    /// Has it be as it was.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn restore(&self, before: Option<&[u8]>) -> Result<(), AppsError> {
        match before {
            Some(bytes) => self.replace(bytes),
            None => fs::remove_file(&self.path).map_err(|error| AppsError::file("remove", &self.path, error)),
        }
    }
}

/// What an apps file holds; none where it is not there.
///
/// # Errors
/// If it cannot be read, is too large, or is no file.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, AppsError> {
    let failed = |error| AppsError::file("read", path, error);
    match read_whole(path, MOST_BYTES) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(NotRead::Failed(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(NotRead::Failed(error)) => Err(failed(error)),
        Err(NotRead::NotAFile) => Err(failed(io::Error::other("it is no file, but something else"))),
        Err(NotRead::TooLarge) => Err(AppsError::TooLarge { most: MOST_BYTES }),
    }
}

/// Opens the lock, and makes it where it is not there. To read is enough for that, so one that somebody else has made will do.
fn open_lock(lock: &Path, path: &Path, reader: &Reader) -> io::Result<File> {
    let open = || match OpenOptions::new().read(true).write(true).open(lock) {
        Err(error) if is_refused(&error) => File::open(lock),
        opened => opened,
    };
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        opened => return opened,
    }
    match OpenOptions::new().read(true).write(true).create_new(true).mode(OWNER_ONLY).open(lock) {
        Ok(file) => {
            // Who may read the apps has to be able to take the lock.
            let reader = if path.exists() { &Reader::Like(Some(path.to_owned())) } else { reader };
            let given = give_to_reader(lock, &file, reader);
            if given.is_err() {
                let _ = fs::remove_file(lock);
            }
            given.map(|()| file)
        }
        // Somebody else was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => open(),
        Err(error) => Err(error),
    }
}

fn is_refused(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

/// What the superuser makes in a folder is its owner's, who is the broker where the folder is the broker's. Where the folder
/// is the superuser's as well, it is for whom the reader's file is for.
fn give_to_reader(path: &Path, file: &File, reader: &Reader) -> io::Result<()> {
    if file.metadata()?.uid() != 0 {
        return Ok(());
    }
    let around = fs::metadata(folder_of(path))?;
    if around.uid() != 0 {
        return fchown(file, Some(around.uid()), Some(around.gid()));
    }
    let Reader::Like(like) = reader else { return Ok(()) };
    let like = like.as_deref().ok_or_else(|| {
        io::Error::other(
            "the folder is root's, and there is neither a running broker nor a configuration file that would tell which \
             user is to read it; run this as the user of the broker, or give him the folder",
        )
    })?;
    let like = fs::metadata(like)?;
    fchown(file, Some(like.uid()), Some(like.gid()))?;
    file.set_permissions(Permissions::from_mode(OWNER_ONLY | (like.mode() & 0o044)))
}

/// Gives a new apps file to whom the one at `path` belongs, with its mode; where there is none, to whoever is to read it.
fn take_after(path: &Path, file: &File, reader: &Reader) -> io::Result<()> {
    let old = match fs::metadata(path) {
        Ok(old) => old,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return give_to_reader(path, file, reader),
        Err(error) => return Err(error),
    };
    let own = file.metadata()?;
    if (own.uid(), own.gid()) != (old.uid(), old.gid()) {
        fchown(file, Some(old.uid()), Some(old.gid())).map_err(|error| {
            let (owner, group) = (old.uid(), old.gid());
            io::Error::other(format!(
                "it belongs to the user {owner} and the group {group}, and a new one cannot be given to them ({error}): \
                 have it belong to the user of the broker"
            ))
        })?;
    }
    file.set_permissions(old.permissions())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, symlink};

    use super::*;

    fn folder_of_test(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("heliostat-apps-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        folder
    }

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_new_file_is_its_owners_alone_and_an_old_one_keeps_its_mode() {
        let folder = folder_of_test("mode");
        let path = folder.join("h.apps.toml");
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        let locked = LockedFile::take(&path, &Reader::Maker).unwrap();
        assert_eq!(locked.read().unwrap(), None);
        locked.replace(b"one").unwrap();
        assert_eq!((mode(), locked.read().unwrap().unwrap()), (0o600, b"one".to_vec()));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        // What an earlier one left behind is in nobody's way.
        fs::write(folder.join("h.apps.toml.new"), "left").unwrap();
        locked.replace(b"two").unwrap();
        assert_eq!((mode(), fs::read(&path).unwrap()), (0o640, b"two".to_vec()));
        assert_eq!(names(&folder), ["h.apps.toml", "h.apps.toml.lock"]);
        locked.restore(None).unwrap();
        assert_eq!(names(&folder), ["h.apps.toml.lock"]);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_link_is_followed_and_stays() {
        let folder = folder_of_test("link");
        let (path, real) = (folder.join("h.apps.toml"), folder.join("real.toml"));
        symlink("real.toml", &path).unwrap();
        let nowhere = LockedFile::take(&path, &Reader::Maker).unwrap_err();
        assert!(nowhere.to_string().contains("a link that leads nowhere"), "{nowhere}");
        fs::write(&real, "one").unwrap();
        LockedFile::take(&path, &Reader::Maker).unwrap().replace(b"two").unwrap();
        assert_eq!(fs::read(&real).unwrap(), b"two");
        assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_cannot_be_a_file_of_apps_is_told() {
        let folder = folder_of_test("kinds");
        let path = folder.join("h.apps.toml");
        fs::create_dir(&path).unwrap();
        let told = read(&path).unwrap_err().to_string();
        assert!(told.contains("it is no file"), "{told}");
        let long = folder.join("long.toml");
        File::create(&long).unwrap().set_len(MOST_BYTES + 1).unwrap();
        assert!(matches!(read(&long), Err(AppsError::TooLarge { .. })));
        let missing = LockedFile::take(&folder.join("missing/h.apps.toml"), &Reader::Maker).unwrap_err();
        assert!(missing.to_string().contains("No such file"), "{missing}");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn one_waits_for_another() {
        let folder = folder_of_test("lock");
        let path = folder.join("h.apps.toml");
        let mut first = Some(LockedFile::take(&path, &Reader::Maker).unwrap());
        let mut pause = || {
            let first = first.take().expect("nobody else has it");
            first.replace(b"one").unwrap();
        };
        let second = LockedFile::take_pausing(&path, &Reader::Maker, &mut pause).unwrap();
        assert_eq!(second.read().unwrap(), Some(b"one".to_vec()), "it sees what the first has written");
        assert!(first.is_none(), "it has waited");
        fs::remove_dir_all(folder).unwrap();
    }

    /// The superuser changes the apps of a broker that is somebody else: it has to read the file, and to take the lock.
    #[test]
    fn what_root_makes_can_be_read_by_the_broker() {
        let folder = folder_of_test("root");
        if fs::metadata(&folder).unwrap().uid() != 0 {
            return fs::remove_dir_all(folder).unwrap();
        }
        let (path, lock, like) =
            (folder.join("h.apps.toml"), folder.join("h.apps.toml.lock"), folder.join("h.toml"));
        let told = LockedFile::take(&path, &Reader::Like(None)).unwrap_err().to_string();
        assert!(told.contains("run this as the user of the broker"), "{told}");
        assert_eq!(names(&folder), [""; 0], "nothing is left that would be in the way of another");
        fs::write(&like, "").unwrap();
        chown(&like, Some(0), Some(65_534)).unwrap();
        fs::set_permissions(&like, Permissions::from_mode(0o640)).unwrap();
        let reader = Reader::Like(Some(like.clone()));
        let state = |path: &Path| {
            let metadata = fs::metadata(path).unwrap();
            (metadata.uid(), metadata.gid(), metadata.mode() & 0o777)
        };
        LockedFile::take(&path, &reader).unwrap().replace(b"one").unwrap();
        assert_eq!((state(&path), state(&lock)), ((0, 65_534, 0o640), (0, 65_534, 0o640)));
        // A lock is for whom the apps are for that are there.
        fs::remove_file(&lock).unwrap();
        LockedFile::take(&path, &Reader::Maker).unwrap().replace(b"two").unwrap();
        assert_eq!((state(&path), state(&lock)), ((0, 65_534, 0o640), (0, 65_534, 0o640)));
        // In a folder of the broker's own all is the broker's.
        fs::remove_file(&lock).and_then(|()| fs::remove_file(&path)).unwrap();
        chown(&folder, Some(65_534), Some(65_534)).unwrap();
        LockedFile::take(&path, &reader).unwrap().replace(b"one").unwrap();
        assert_eq!((state(&path), state(&lock)), ((65_534, 65_534, 0o600), (65_534, 65_534, 0o600)));
        fs::remove_dir_all(folder).unwrap();
    }
}
