//! Reads the clock for webhooks, and waits for it.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;

use crate::hub::{Agenda, Busy, Due, Timed};

/// The clock of one app: the machine's, unless a test has advanced it.
#[derive(Clone, Debug, Default)]
pub(super) struct WebhookClock {
    /// None where nobody can advance it.
    advanced: Option<AdvancedClock>,
}

/// A clock that a test can advance.
#[derive(Clone, Debug)]
pub(crate) struct AdvancedClock {
    /// By how much it is ahead of the machine's; it never goes back.
    pub(crate) ahead: watch::Receiver<Duration>,
    /// What waits for it.
    pub(crate) agenda: Arc<Agenda>,
}

impl WebhookClock {
    /// A clock that is advanced from there, if from anywhere.
    pub(super) fn new(advanced: Option<AdvancedClock>) -> Self {
        WebhookClock { advanced }
    }

    /// The time by which everything is measured that waits.
    pub(super) fn now(&self) -> Instant {
        match &self.advanced {
            None => system_now(),
            Some(AdvancedClock { ahead, .. }) => system_now() + *ahead.borrow(),
        }
    }

    /// Waits until a time has come; for ever if there is none. What is returned is to be held until that has happened
    /// which was waited for.
    pub(super) fn sleep_until(
        &self,
        time: Option<Instant>,
        what: Timed,
    ) -> impl Future<Output = Due> + use<> {
        // At once: the entry is made before the sleep begins.
        let due = time.map(|time| self.enter(time, what)).unwrap_or_default();
        let ahead = self.advanced.as_ref().map(|advanced| advanced.ahead.clone());
        async move {
            let Some(time) = time else { return std::future::pending().await };
            let Some(mut ahead) = ahead else {
                tokio::time::sleep_until(time.into()).await;
                return due;
            };
            loop {
                let by = *ahead.borrow_and_update();
                // What lies before the machine's first instant has come long ago.
                let Some(time) = time.checked_sub(by) else { return due };
                tokio::select! {
                    () = tokio::time::sleep_until(time.into()) => return due,
                    Ok(()) = ahead.changed() => {}
                }
            }
        }
    }

    /// Something is being done since `time`.
    pub(super) fn busy(&self, time: Instant) -> Busy {
        self.advanced.as_ref().map(|advanced| advanced.agenda.busy(time)).unwrap_or_default()
    }

    /// Something is to happen at `time`: what is to be held until it has happened.
    fn enter(&self, time: Instant, what: Timed) -> Due {
        self.advanced.as_ref().map(|advanced| advanced.agenda.enter(time, what)).unwrap_or_default()
    }
}

/// The machine's time, by which it is measured how long an exchange takes.
pub(super) fn system_now() -> Instant {
    Instant::now()
}

/// The date, for the delivery log.
pub(super) fn system_time() -> SystemTime {
    SystemTime::now()
}

/// The date as it stands in a webhook: milliseconds since 1970.
pub(super) fn unix_millis() -> u128 {
    system_time().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_millis()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_advanced_clock_ends_what_waits_for_it() {
        let hour = Duration::from_secs(3600);
        let (advance, ahead) = watch::channel(Duration::ZERO);
        let clock = WebhookClock::new(Some(AdvancedClock { ahead, agenda: Arc::default() }));
        let until = clock.now() + hour;
        let waiting = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep_until(Some(until), Timed::WebhookBatch).await }
        });
        advance.send_replace(hour / 2);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        advance.send_replace(hour);
        drop(waiting.await.unwrap());
        assert!(clock.now() >= until);
        // Nobody can advance it any more: it goes on.
        drop(advance);
        drop(clock.sleep_until(Some(clock.now() + Duration::from_millis(1)), Timed::WebhookBatch).await);
    }
}
