//! The pace of what happens by the clock: a camera, or a line.

use std::time::Instant;

/// Goes on at this time, or at once if that is over. It is for those who make something happen, not for who waits for it.
#[expect(clippy::disallowed_methods, reason = "it waits for nothing: it is a pace")]
pub fn keep_pace(at: Instant) {
    std::thread::sleep(at.saturating_duration_since(Instant::now()));
}
