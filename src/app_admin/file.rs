//! The apps file on the disk: changed by one at a time, and replaced whole or not at all.
//!
//! Whoever changes it holds a lock on a file beside it, which stays there: the apps file itself is another one after each
//! change.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use tracing::warn;

use super::AppsError;

/// A larger apps file is not read, and none is written.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// How long others may hold the lock. They need it for as long as a reload takes.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);

/// How often it is looked for. The system wakes nobody who does not wait without end.
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// The apps file while nobody else may change it, who asks first.
#[derive(Debug)]
pub(super) struct LockedFile {
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
    pub(super) fn take(path: &Path) -> Result<Self, AppsError> {
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
        let lock_path = with_ending(&path, ".lock");
        let lock = open_lock(&lock_path).map_err(|error| AppsError::file("lock", &lock_path, error))?;
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(LockedFile { path, _lock: lock }),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => thread::sleep(LOCK_PAUSE),
                Err(TryLockError::WouldBlock) => return Err(AppsError::Locked(lock_path)),
                Err(TryLockError::Error(error)) => return Err(AppsError::file("lock", &lock_path, error)),
            }
        }
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
        if bytes.len() > MOST_BYTES {
            return Err(AppsError::TooLarge { most: MOST_BYTES });
        }
        replace(&self.path, bytes).map_err(|error| AppsError::file("write", &self.path, error))
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
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    if !metadata.is_file() {
        return Err(failed(io::Error::other("it is no file, but something else")));
    }
    let mut bytes = Vec::new();
    let limit = MOST_BYTES as u64 + 1;
    File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() > MOST_BYTES { Err(AppsError::TooLarge { most: MOST_BYTES }) } else { Ok(Some(bytes)) }
}

/// A name beside this one.
fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn open_lock(path: &Path) -> io::Result<File> {
    let open = || OpenOptions::new().read(true).write(true).open(path);
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        opened => return opened,
    }
    match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => give_to_owner_of(&fs::metadata(folder(path))?, &file).map(|()| file),
        // Somebody else was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => open(),
        Err(error) => Err(error),
    }
}

/// What the superuser makes in a folder is its owner's, who is the broker where the folder is the broker's.
fn give_to_owner_of(folder: &Metadata, file: &File) -> io::Result<()> {
    let own = file.metadata()?;
    if own.uid() == 0 && folder.uid() != 0 {
        return fchown(file, Some(folder.uid()), Some(folder.gid()));
    }
    Ok(())
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new_path = with_ending(path, ".new");
    // Only of somebody who had the lock, and was ended before he was done.
    match fs::remove_file(&new_path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let replaced = write_new(&new_path, path, bytes).and_then(|()| fs::rename(&new_path, path));
    if replaced.is_err() {
        // The reason why it was not written is what is told.
        let _ = fs::remove_file(&new_path);
        return replaced;
    }
    // The file is in its place. That it may not be there after a failure of power is no reason to say that it is not.
    if let Err(error) = File::open(folder(path)).and_then(|folder| folder.sync_all()) {
        warn!(%error, path = %path.display(), "the folder of the apps file could not be synchronised");
    }
    Ok(())
}

fn write_new(new_path: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(new_path)?;
    match fs::metadata(path) {
        Ok(old) => {
            let own = file.metadata()?;
            if (own.uid(), own.gid()) != (old.uid(), old.gid()) {
                fchown(&file, Some(old.uid()), Some(old.gid()))?;
            }
            file.set_permissions(old.permissions())?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            give_to_owner_of(&fs::metadata(folder(path))?, &file)?;
        }
        Err(error) => return Err(error),
    }
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

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
        let locked = LockedFile::take(&path).unwrap();
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
        let nowhere = LockedFile::take(&path).unwrap_err();
        assert!(nowhere.to_string().contains("a link that leads nowhere"), "{nowhere}");
        fs::write(&real, "one").unwrap();
        LockedFile::take(&path).unwrap().replace(b"two").unwrap();
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
        File::create(&long).unwrap().set_len(MOST_BYTES as u64 + 1).unwrap();
        assert!(matches!(read(&long), Err(AppsError::TooLarge { .. })));
        let missing = LockedFile::take(&folder.join("missing/h.apps.toml")).unwrap_err();
        assert!(missing.to_string().contains("No such file"), "{missing}");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn one_waits_for_another() {
        let folder = folder_of_test("lock");
        let path = folder.join("h.apps.toml");
        let first = LockedFile::take(&path).unwrap();
        let waiting = {
            let path = path.clone();
            thread::spawn(move || LockedFile::take(&path).map(|locked| locked.read().unwrap()))
        };
        first.replace(b"one").unwrap();
        drop(first);
        assert_eq!(
            waiting.join().unwrap().unwrap(),
            Some(b"one".to_vec()),
            "it sees what the first has written"
        );
        fs::remove_dir_all(folder).unwrap();
    }
}
