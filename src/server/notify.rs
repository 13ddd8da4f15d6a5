//! What a service manager such as systemd is told: that the broker is ready, reloads, stops, and that its workers turn and somebody
//! accepts.
//!
//! Without `NOTIFY_SOCKET` in the environment nobody is told.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sd_notify::NotifyState;
use tracing::{debug, error, warn};

use super::accepting::{Accepting, Seen};
use crate::hub::Hub;

/// Of the time that the manager waits for a sign of life, the part after which the next one is due.
const SIGNS_PER_WATCHDOG: u32 = 3;

/// How often the manager is told that a broker that is to stop takes its time.
const EXTENDED_EVERY: Duration = Duration::from_secs(5);

/// How much longer than it is told to the manager waits at least, so that a delay of the next word does no harm.
const EXTENSION_SLACK: Duration = Duration::from_secs(15);

/// What the service manager knows of the broker. Clones are one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Supervision(Arc<Mutex<SupervisionPhase>>);

/// It is never left for an earlier one, unless the other process does not take the place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum SupervisionPhase {
    #[default]
    Starting,
    Ready,
    Stopping,
    /// Another process is the broker now: this one has nothing to say any more.
    PassedOn,
}

impl Supervision {
    /// Reloads, and tells the service manager so while it knows the broker as ready: what is told before would have the
    /// broker be ready too early, and what is told after that it stops would take this back.
    pub(crate) async fn reloading<T, E>(&self, reload: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let is_told = self.is_ready();
        if is_told {
            begin_reload();
        }
        let reloaded = reload.await;
        // It may have begun to stop meanwhile.
        if is_told && self.is_ready() {
            ready(match &reloaded {
                Ok(_) => "serving; the configuration was read again",
                Err(_) => "serving; the configuration was not read again, for it is at fault",
            });
        }
        reloaded
    }

    /// Tells the service manager that the broker is on its way to stop.
    pub(super) fn stopping(&self, status: &str) {
        if self.is_passed_on() {
            return;
        }
        self.go_on_to(SupervisionPhase::Stopping);
        tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
    }

    /// Does this, and has the service manager wait for it, however long it takes, and for what `follows`.
    pub(super) async fn extending(&self, follows: Duration, work: impl Future<Output = ()>) {
        let extension = (EXTENDED_EVERY + EXTENSION_SLACK).saturating_add(follows);
        let extension = u32::try_from(extension.as_micros()).unwrap_or(u32::MAX);
        let extend = async {
            let mut due = tokio::time::interval(EXTENDED_EVERY);
            loop {
                due.tick().await;
                if self.is_passed_on() {
                    continue;
                }
                tell(&[NotifyState::ExtendTimeoutUsec(extension)]);
            }
        };
        tokio::select! {
            () = work => {}
            () = extend => {}
        }
    }

    /// Tells the service manager that the broker is ready once all workers turn, and from then on that they turn, if it wants
    /// to hear that: a sign of life is sent only when every worker has taken a turn since the last one, and connections that
    /// wait are accepted, or cannot be.
    pub(super) async fn supervise(self, hub: Arc<Hub>, mut accepting: Accepting, url: String) {
        hub.until_started().await;
        let _ = hub.sign_of_every_worker().await;
        if self.go_on_to(SupervisionPhase::Ready) {
            ready(&format!("serving at {url}"));
        }
        let Some(watchdog) = sd_notify::watchdog_enabled() else { return };
        let interval = (watchdog / SIGNS_PER_WATCHDOG).max(Duration::from_millis(1));
        let mut missed = None;
        let mut was_short = false;
        loop {
            if self.is_passed_on() {
                // It may be taken back.
                tokio::time::sleep(interval).await;
                continue;
            }
            let all_turn = hub.sign_of_every_worker().await;
            let seen = accepting.look(Instant::now());
            if let Seen::Short(error) = &seen
                && !was_short
            {
                warn!(%error, "connections wait, and none can be accepted: the system has no file or memory for one");
            }
            was_short = matches!(seen, Seen::Short(_));
            let wrong = match (all_turn, seen) {
                // Nobody accepts any more, and in the end nobody turns.
                _ if self.is_stopping() => None,
                (false, _) => Some("a worker thread has died"),
                (true, Seen::Dead) => Some("connections wait, and none is accepted"),
                (true, Seen::Accepted | Seen::Short(_)) => None,
            };
            match wrong {
                None => tell(&[NotifyState::Watchdog]),
                Some(what) if missed != wrong => {
                    error!("no sign of life to the service manager: {what}");
                    tell(&[NotifyState::Status(what)]);
                }
                Some(_) => {}
            }
            missed = wrong;
            tokio::time::sleep(interval).await;
        }
    }

    /// Tells the service manager that the broker is this process from now on, and nothing more.
    pub(super) fn pass_on(&self, process: u32) {
        tell(&[NotifyState::MainPid(process)]);
        self.go_on_to(SupervisionPhase::PassedOn);
    }

    /// The process that was to be the broker does not become it: tells the service manager that it is this one still.
    pub(super) fn take_back(&self) {
        let mut current = self.0.lock();
        if *current == SupervisionPhase::PassedOn {
            tell(&[NotifyState::MainPid(std::process::id())]);
            *current = SupervisionPhase::Ready;
        }
    }

    fn is_stopping(&self) -> bool {
        *self.0.lock() >= SupervisionPhase::Stopping
    }

    fn is_passed_on(&self) -> bool {
        *self.0.lock() == SupervisionPhase::PassedOn
    }

    fn is_ready(&self) -> bool {
        *self.0.lock() == SupervisionPhase::Ready
    }

    /// Whether this phase is a later one; then it begins.
    fn go_on_to(&self, phase: SupervisionPhase) -> bool {
        let mut current = self.0.lock();
        let is_later = phase > *current;
        *current = phase.max(*current);
        is_later
    }
}

/// Tells the service manager that the configuration is being read again. [`ready`] is to follow.
fn begin_reload() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => debug!(%error, "the service manager is not told of the reload: there is no clock"),
    }
}

/// Tells the service manager that the broker serves, and how it goes.
fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(%error, "the service manager cannot be told (NOTIFY_SOCKET)");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_ready_after_its_start_and_until_it_stops() {
        let supervision = Supervision::default();
        assert!(!supervision.is_ready());
        assert!(supervision.go_on_to(SupervisionPhase::Ready) && supervision.is_ready());
        supervision.go_on_to(SupervisionPhase::Stopping);
        assert!(!supervision.go_on_to(SupervisionPhase::Ready) && !supervision.is_ready(), "it stops");
    }

    #[test]
    fn a_broker_whose_successor_does_not_take_its_place_is_ready_again() {
        let supervision = Supervision::default();
        supervision.take_back();
        assert!(!supervision.is_ready(), "it was never passed on");
        supervision.go_on_to(SupervisionPhase::Ready);
        supervision.pass_on(1);
        assert!(supervision.is_passed_on() && !supervision.is_ready());
        supervision.take_back();
        assert!(supervision.is_ready() && !supervision.is_stopping());
    }
}
