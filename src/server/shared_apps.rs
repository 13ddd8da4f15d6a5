//! Has the apps of a running broker be those of its cluster, on a thread of its own: it waits for the engine and for the disk.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tracing::{error, info};

use super::Reloader;
use crate::app_admin::{AppsError, LookedAt, ManagedApps};
use crate::cluster::documents::{BellHeard, DocumentRings, DocumentStore};
use crate::cluster::failure::NodeFailure;

/// How often the engine is asked where nothing has rung: what rings may have been lost.
const ASKED_EVERY: Duration = Duration::from_secs(10);

/// How soon it is asked again at the earliest: whoever rings more often is not heard at once. So soon the copy is tried again
/// where it was not written, and so soon the engine is asked where the apps were not taken, the next time twice as late.
const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Has these apps be those that the engine has, until it is left. Returns when that has been tried once.
///
/// # Errors
/// If there is no thread for it.
pub(super) async fn keep(
    managed: Arc<ManagedApps>,
    reloader: Reloader,
    (store, rings): (Arc<dyn DocumentStore>, DocumentRings),
    failure: NodeFailure,
) -> io::Result<()> {
    let (looked, has_looked) = oneshot::channel();
    thread::Builder::new().name("apps".to_owned()).spawn(move || {
        let _watched = failure.watch("the thread that takes the apps of the cluster");
        match managed.share(store) {
            Ok(()) => {}
            Err(AppsError::NoFile) => {
                return info!("this node has no apps file: it keeps the apps that it has, and shares none");
            }
            Err(error) => {
                return error!(%error, "this node does not take the apps of the cluster, and has those of its own files");
            }
        }
        let mut looked = Some(looked);
        let mut pace = LookPace::default();
        loop {
            let found = managed.take_shared(&reloader);
            // Whoever waited may have gone.
            let _ = looked.take().map(|looked| looked.send(()));
            pace.looked(found, Instant::now());
            while let Some(most) = pace.waits(Instant::now()) {
                match rings.wait(most) {
                    BellHeard::Rung => pace.rung(),
                    BellHeard::Silent => pace.is_written = pace.is_written || managed.write_copy(),
                    BellHeard::Gone => return,
                }
            }
        }
    })?;
    // Where it could not, the log has told why.
    let _ = has_looked.await;
    Ok(())
}

/// When the engine is asked again.
#[derive(Debug, Default)]
struct LookPace {
    /// When it is to be asked, and when it may be.
    due: Option<Instant>,
    earliest: Option<Instant>,
    /// How long it takes until it is asked again, after the apps were not taken.
    pause: Duration,
    is_written: bool,
}

impl LookPace {
    /// It was asked.
    fn looked(&mut self, found: LookedAt, now: Instant) {
        self.is_written = found.is_written;
        self.pause = if found.is_taken {
            Duration::ZERO
        } else {
            (self.pause * 2).clamp(ASKED_AGAIN_AFTER, ASKED_EVERY)
        };
        let after = if found.is_taken { ASKED_EVERY } else { self.pause };
        (self.due, self.earliest) = (Some(now + after), Some(now + ASKED_AGAIN_AFTER));
    }

    /// The bell has rung.
    fn rung(&mut self) {
        self.due = self.earliest;
    }

    /// How long it is to be waited; none if it is to be asked now.
    fn waits(&self, now: Instant) -> Option<Duration> {
        let left = self.due?.checked_duration_since(now).filter(|left| !left.is_zero())?;
        Some(if self.is_written { left } else { left.min(ASKED_AGAIN_AFTER) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_is_asked_at_a_pace_whatever_rings_and_whatever_is_wrong() {
        let second = Duration::from_secs(1);
        let (mut pace, mut now) = (LookPace::default(), Instant::now());
        assert_eq!(pace.waits(now), None, "at the start");
        pace.looked(LookedAt { is_taken: true, is_written: true }, now);
        assert_eq!(pace.waits(now), Some(10 * second));
        pace.rung();
        assert_eq!((pace.waits(now), pace.waits(now + second)), (Some(second), None));
        // The copy is tried each second, and the engine is not asked for it.
        pace.looked(LookedAt { is_taken: true, is_written: false }, now);
        assert_eq!(pace.waits(now), Some(second));
        assert_eq!((pace.waits(now + 9 * second), pace.waits(now + 10 * second)), (Some(second), None));
        let mut pauses = Vec::new();
        for _ in 0..6 {
            pace.looked(LookedAt { is_taken: false, is_written: true }, now);
            let pause = pace.waits(now).unwrap();
            pauses.push(pause.as_secs());
            now += pause;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 10, 10]);
    }
}
