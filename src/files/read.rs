//! Reads to the end of what may have none.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// Why a file was not read.
#[derive(Debug)]
pub(crate) enum NotRead {
    /// There is something else at the path.
    NotAFile,
    /// It has more bytes than are read.
    TooLarge,
    /// The system refused.
    Failed(io::Error),
}

/// What the file at this path holds, if it is a file. It is looked at before it is opened: to open a pipe is to wait for its
/// other end.
///
/// # Errors
/// If it cannot be read, is none, or has more than `most` bytes.
pub(crate) fn read_whole(path: &Path, most: u64) -> Result<Vec<u8>, NotRead> {
    if !fs::metadata(path).map_err(NotRead::Failed)?.is_file() {
        return Err(NotRead::NotAFile);
    }
    let read = File::open(path).and_then(|file| read_bounded(file, most));
    read.map_err(|error| match error.kind() {
        io::ErrorKind::FileTooLarge => NotRead::TooLarge,
        _ => NotRead::Failed(error),
    })
}

/// All that there is to read.
///
/// # Errors
/// If it cannot be read, and `FileTooLarge` if it is more than `most` bytes.
pub(crate) fn read_bounded(from: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
}
