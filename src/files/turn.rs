//! Turns of several processes in one folder: who looks at what is there, and then puts something there, is not to be overtaken.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

/// How often is looked whether they have done so.
const TURN_LOOK: Duration = Duration::from_millis(5);

/// Waits until nobody else has its turn in this folder, for so long at most, and keeps others out while it lives. A folder that
/// cannot be locked is done without: who holds a lock for longer is no broker that starts.
pub(crate) fn turn_in(folder: &Path, patience: Duration) -> Option<File> {
    let folder = File::open(folder).ok()?;
    let began = Instant::now();
    loop {
        match folder.try_lock() {
            Ok(()) => return Some(folder),
            Err(TryLockError::WouldBlock) if began.elapsed() <= patience => {}
            Err(_) => return None,
        }
        #[expect(clippy::disallowed_methods, reason = "nobody is served yet")]
        std::thread::sleep(TURN_LOOK);
    }
}
