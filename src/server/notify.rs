//! What a service manager such as systemd is told: that the broker is ready, reloads, stops, and that its workers turn.
//!
//! Without `NOTIFY_SOCKET` in the environment nobody is told.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tracing::{debug, warn};

use crate::hub::Hub;

/// Of the time that the manager waits for a sign of life, the part after which the next one is due.
const SIGNS_PER_WATCHDOG: u32 = 3;

/// How often it is looked whether all workers have started.
const START_LOOK: Duration = Duration::from_millis(1);

/// Tells the service manager that the configuration is being read again. [`ready`] is to follow.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => debug!(%error, "the service manager is not told of the reload: there is no clock"),
    }
}

/// Tells the service manager that the broker serves, and how it goes.
pub(crate) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Tells the service manager that the broker is on its way to stop.
pub(super) fn stopping(status: &str) {
    tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

/// Tells the service manager that the broker is ready once all workers turn, and from then on that they turn, if it wants to
/// hear that: a sign of life is sent only when every worker has taken a turn since the last one.
pub(super) async fn supervise(hub: Arc<Hub>, status: String) {
    while !hub.has_started() {
        tokio::time::sleep(START_LOOK).await;
    }
    hub.turn_of_every_worker().await;
    ready(&status);
    let Some(watchdog) = sd_notify::watchdog_enabled() else { return };
    let interval = (watchdog / SIGNS_PER_WATCHDOG).max(Duration::from_millis(1));
    loop {
        hub.turn_of_every_worker().await;
        tell(&[NotifyState::Watchdog]);
        tokio::time::sleep(interval).await;
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(%error, "the service manager cannot be told (NOTIFY_SOCKET)");
    }
}
