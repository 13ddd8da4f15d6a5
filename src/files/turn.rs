//! Turns of several processes in one folder: who looks at what is there, and then puts something there, is not to be overtaken.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

/// How often is looked whether they have done so.
const TURN_LOOK: Duration = Duration::from_millis(5);

/// Waits until nobody else has its turn in this folder, for so long at most, and keeps others out while it lives. A folder that
/// cannot be locked is done without: who holds a lock for longer is no broker that starts.
pub(crate) fn turn_in(folder: &Path, patience: Duration) -> Option<File> {
    let folder = File::open(folder).ok()?;
    let began = Instant::now();
    while folder.try_lock().is_err() {
        if began.elapsed() > patience {
            return None;
        }
        #[expect(clippy::disallowed_methods, reason = "nobody is served yet")]
        std::thread::sleep(TURN_LOOK);
    }
    Some(folder)
}
