//! The one place where webhooks read the clock, and wait for it.

use std::time::{Duration, Instant, SystemTime};

/// The time by which everything is measured.
pub(super) fn now() -> Instant {
    Instant::now()
}

/// The date, for whoever reads it.
pub(super) fn date() -> SystemTime {
    SystemTime::now()
}

/// The date as it stands in a webhook: milliseconds since 1970.
pub(super) fn unix_millis() -> u128 {
    date().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_millis()
}

/// Waits until a time has come; for ever if there is none.
pub(super) async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}
