//! Whether this machine lets programs run: one that is too busy with others may keep a node from running for longer than the
//! others wait for it, and then it is as if the node had stood still.

use std::sync::{Mutex, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// A thread that sleeps is woken this late at most on a machine that lets programs run.
const LATE: Duration = Duration::from_millis(700);

/// How long it sleeps at a time.
const SLEEP: Duration = Duration::from_millis(50);

/// The moments at which this process was found to have stood still, and for how long.
static FOUND: Mutex<Vec<(Instant, Duration)>> = Mutex::new(Vec::new());

/// Begins to watch, unless it was begun.
pub fn watch() {
    static BEGUN: Once = Once::new();
    BEGUN.call_once(|| {
        thread::spawn(|| {
            let mut last = Instant::now();
            loop {
                sleep();
                let took = last.elapsed();
                last = Instant::now();
                if took > SLEEP + LATE {
                    FOUND.lock().unwrap_or_else(PoisonError::into_inner).push((last, took));
                }
            }
        });
    });
}

/// For how long this process stood still at a time, at most, in the time from `from` to `to`. Nothing, if that was watched and
/// it did not.
#[must_use]
pub fn longest(from: Instant, to: Instant) -> Option<Duration> {
    let found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    let within = found.iter().filter(|(until, took)| *until >= from && *until - *took <= to);
    within.map(|(_, took)| *took).max()
}

#[expect(clippy::disallowed_methods, reason = "how long a sleep takes is what is looked at")]
fn sleep() {
    thread::sleep(SLEEP);
}
