//! The pace of what happens by the clock: a camera, or a line.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Goes on at this time, or at once if that is over. It is for those who make something happen, not for who waits for it.
#[expect(clippy::disallowed_methods, reason = "it waits for nothing: it is a pace")]
pub fn keep_pace(at: Instant) {
    thread::sleep(at.saturating_duration_since(Instant::now()));
}

/// Notes for how long at a time this machine has run nothing of this process, until it is asked: what is judged by the clock is
/// not at fault for that.
#[derive(Debug)]
pub struct StallMeter {
    stops: Arc<AtomicBool>,
    longest: JoinHandle<Duration>,
}

impl StallMeter {
    /// What is shorter is no stall.
    const EVERY: Duration = Duration::from_millis(10);

    /// Begins to look.
    #[must_use]
    pub fn start() -> Self {
        let stops = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&stops);
        let longest = thread::spawn(move || {
            let mut longest = Duration::ZERO;
            while !is_over.load(Ordering::Relaxed) {
                let due = Instant::now() + Self::EVERY;
                keep_pace(due);
                longest = longest.max(due.elapsed());
            }
            longest
        });
        StallMeter { stops, longest }
    }

    /// The longest of them so far; it looks no more.
    ///
    /// # Panics
    /// If its thread has.
    #[must_use]
    pub fn longest(self) -> Duration {
        self.stops.store(true, Ordering::Relaxed);
        self.longest.join().unwrap()
    }
}
