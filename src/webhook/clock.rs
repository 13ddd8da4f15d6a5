//! The one place where webhooks read the clock, and wait for it.

use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;

/// The clock of one app: the machine's, unless a test has advanced it.
#[derive(Clone, Debug, Default)]
pub(super) struct Clock {
    /// By how much it is ahead of the machine's; none where nobody can advance it.
    ahead: Option<watch::Receiver<Duration>>,
}

impl Clock {
    /// A clock that is ahead of the machine's by what comes from here.
    pub(super) fn ahead(ahead: Option<watch::Receiver<Duration>>) -> Self {
        Clock { ahead }
    }

    /// The time by which everything is measured that waits.
    pub(super) fn now(&self) -> Instant {
        match &self.ahead {
            None => machine(),
            Some(ahead) => machine() + *ahead.borrow(),
        }
    }

    /// Waits until a time has come; for ever if there is none.
    pub(super) async fn sleep_until(&self, time: Option<Instant>) {
        let Some(time) = time else { return std::future::pending().await };
        let Some(mut ahead) = self.ahead.clone() else {
            return tokio::time::sleep_until(time.into()).await;
        };
        loop {
            let by = *ahead.borrow_and_update();
            // What lies before the machine's first instant has come long ago.
            let Some(time) = time.checked_sub(by) else { return };
            tokio::select! {
                () = tokio::time::sleep_until(time.into()) => return,
                Ok(()) = ahead.changed() => {}
            }
        }
    }
}

/// The machine's time, by which it is measured how long an exchange takes.
pub(super) fn machine() -> Instant {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_advanced_clock_ends_what_waits_for_it() {
        let hour = Duration::from_secs(3600);
        let (advance, ahead) = watch::channel(Duration::ZERO);
        let clock = Clock::ahead(Some(ahead));
        let until = clock.now() + hour;
        let waiting = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep_until(Some(until)).await }
        });
        advance.send_replace(hour / 2);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        advance.send_replace(hour);
        waiting.await.unwrap();
        assert!(clock.now() >= until);
        // Nobody can advance it any more: it goes on.
        drop(advance);
        clock.sleep_until(Some(clock.now() + Duration::from_millis(1))).await;
    }
}
