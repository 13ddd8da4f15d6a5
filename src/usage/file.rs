//! The file that usage is kept in: one broker has it at a time, and it is replaced as a whole or not at all.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::ledger::UsageLedger;
use crate::files::{NotRead, beside, read_whole, replace, sync_folder};

/// What is written here, and read.
const VERSION: u64 = 1;

/// Bytes of the largest file that is read: more than twice what the bounds let it grow to.
const MOST_BYTES: u64 = 128 * 1024 * 1024;

/// Its owner writes it, and a group may read it.
const MODE: u32 = 0o640;

/// Usage cannot be kept in its file. What is there stays as it is.
#[derive(Debug, thiserror::Error)]
pub(super) enum UsageFileError {
    /// Another process keeps its usage there.
    #[error("another broker keeps its usage in this file: give each a file of its own")]
    InUse,
    /// It cannot be read, or what is beside it not made.
    #[error("it cannot be read: {0}")]
    Read(io::Error),
    /// There is something else at the path.
    #[error("there is something else than a file")]
    NotAFile,
    /// It is larger than any that was written here.
    #[error("it is no file of usage: none has more than {MOST_BYTES} bytes")]
    TooLarge,
    /// It was not written here.
    #[error(
        "it is no file of usage ({0}) and is left as it is: move it away, or set admin.usage_file to another path"
    )]
    Rubbish(serde_json::Error),
    /// A later release has written it.
    #[error(
        "it is of version {0}, and this broker knows version {VERSION}; it is left as it is: use the release that has written \
         it, or set admin.usage_file to another path"
    )]
    Version(u64),
    /// It cannot be written.
    #[error("it cannot be written: {0}")]
    Write(io::Error),
}

/// The file, held against other brokers as long as this lives.
#[derive(Debug)]
pub(super) struct UsageFile {
    path: PathBuf,
    _lock: File,
}

/// What tells whether it is one of ours, and of which version.
#[derive(Deserialize)]
struct UsageFileHead {
    heliostat_usage: u64,
}

/// All of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UsageFileText {
    #[serde(rename = "heliostat_usage")]
    _version: u64,
    days: UsageLedger,
}

#[derive(Serialize)]
struct UsageFileDraft<'l> {
    heliostat_usage: u64,
    days: &'l UsageLedger,
}

impl UsageFile {
    /// Takes the file, and reads what was kept there; nothing if there is none yet.
    ///
    /// # Errors
    /// If somebody has it, or it is not to be understood. It is not touched.
    pub(super) fn take(path: &Path) -> Result<(Self, UsageLedger), UsageFileError> {
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(MODE)
            .open(beside(path, "lock"))
            .map_err(UsageFileError::Write)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => UsageFileError::InUse,
            TryLockError::Error(error) => UsageFileError::Write(error),
        })?;
        // A link to it stays one.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let ledger = read(&path)?;
        Ok((UsageFile { path, _lock: lock }, ledger))
    }

    /// Replaces what is kept. A crash leaves either what was there or what is new.
    ///
    /// # Errors
    /// If it cannot be written. What was there is there still.
    pub(super) fn write(&self, text: &[u8]) -> Result<(), UsageFileError> {
        let written = replace(&self.path, text, MODE, |_| Ok(())).and_then(|()| sync_folder(&self.path));
        written.map_err(UsageFileError::Write)
    }
}

/// The text of a file that keeps this.
pub(super) fn text_of(ledger: &UsageLedger) -> Vec<u8> {
    // Nothing of it can fail: all keys are text.
    let draft = UsageFileDraft { heliostat_usage: VERSION, days: ledger };
    let mut text = serde_json::to_vec(&draft).unwrap_or_default();
    text.push(b'\n');
    text
}

fn read(path: &Path) -> Result<UsageLedger, UsageFileError> {
    let text = match read_whole(path, MOST_BYTES) {
        Ok(text) => text,
        Err(NotRead::Failed(error)) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(UsageLedger::default());
        }
        Err(NotRead::Failed(error)) => return Err(UsageFileError::Read(error)),
        Err(NotRead::NotAFile) => return Err(UsageFileError::NotAFile),
        Err(NotRead::TooLarge) => return Err(UsageFileError::TooLarge),
    };
    if text.trim_ascii_start().first().is_some_and(|byte| *byte != b'{') {
        // A list would do for what is derived.
        return Err(UsageFileError::Rubbish(serde::de::Error::custom("expected an object")));
    }
    let head: UsageFileHead = serde_json::from_slice(&text).map_err(UsageFileError::Rubbish)?;
    if head.heliostat_usage != VERSION {
        return Err(UsageFileError::Version(head.heliostat_usage));
    }
    let whole: UsageFileText = serde_json::from_slice(&text).map_err(UsageFileError::Rubbish)?;
    Ok(whole.days)
}
