//! Replaces a file: what is new is written beside it, and then takes its place.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The mode of a file that holds secrets.
pub(crate) const OWNER_ONLY: u32 = 0o600;

/// The path with one more ending: `usage.json.lock`.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".");
    beside.push(ending);
    beside.into()
}

/// The folder that the file is in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Replaces what a file holds, by way of one with the ending `new`. A crash leaves either what was there or what is new.
/// Only one process at a time may do it. `prepare` is given the new file before anything is in it; it has this `mode`.
///
/// # Errors
/// If it cannot be written, or prepared. What was there is there still, and nothing beside it.
pub(crate) fn replace(
    path: &Path,
    bytes: &[u8],
    mode: u32,
    prepare: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<()> {
    let draft = beside(path, "new");
    // Only of somebody who was ended before he was done.
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let replaced = write_new(&draft, bytes, mode, prepare).and_then(|()| fs::rename(&draft, path));
    if replaced.is_err() {
        // Half a file helps nobody, least of all on a disk that is full.
        let _ = fs::remove_file(&draft);
    }
    replaced
}

/// Has it last that a name in the file's folder is another file's now.
///
/// # Errors
/// If the system cannot tell.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

/// Writes a file that is not there yet, and waits until it lasts; `prepare` as in [`replace`].
///
/// # Errors
/// If it is there, or cannot be written, or prepared. What was written stays.
pub(crate) fn write_new(
    path: &Path,
    bytes: &[u8],
    mode: u32,
    prepare: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    prepare(&file)?;
    file.write_all(bytes)?;
    file.sync_all()
}
