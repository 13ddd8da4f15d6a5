//! Reads to the end of what may have none.

use std::io::{self, Read};

/// All that there is to read.
///
/// # Errors
/// If it cannot be read, and `FileTooLarge` if it is more than `most` bytes.
pub(crate) fn read_bounded(from: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
}
