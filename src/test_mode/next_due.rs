//! Advancing an app's clock to whatever is due next.

use std::time::Duration;

use crate::hub::Timed;

use super::app::{AppUnderTest, TestError};

/// How long what is due may take until it is done, by the machine's clock.
const TIME_TO_HAPPEN: Duration = Duration::from_secs(10);

/// How far an app's clock was advanced, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextDue {
    /// By so much.
    pub by: Duration,
    /// By how much it has been advanced in all.
    pub advanced: Duration,
    /// What was due then and has happened: each kind once, and at least one.
    pub due: Vec<Timed>,
}

impl AppUnderTest {
    /// Advances the app's clock to the time at which something is due next, and waits until it has happened. What was
    /// due before happens first, and does not count.
    ///
    /// # Errors
    /// If nothing waits for the clock, what is due is not done in ten seconds, or the app is gone.
    pub async fn advance_to_next(&self) -> Result<NextDue, TestError> {
        let _one_at_a_time = self.advancing.lock().await;
        let mut over = self.over();
        tokio::select! {
            reached = self.step_to_next() => reached,
            _ = over.wait_for(|over| *over) => Err(TestError::Gone(self.id().to_owned())),
            () = tokio::time::sleep(TIME_TO_HAPPEN) => Err(TestError::Overdue(self.agenda.next().and_then(|(_, what)| what))),
        }
    }

    async fn step_to_next(&self) -> Result<NextDue, TestError> {
        let before = self.advanced();
        // Whoever looks at the time only now and then looks now.
        self.advance_clock(Duration::ZERO)?;
        self.agenda.settled(self.now()).await;
        loop {
            let Some((time, _)) = self.agenda.next() else {
                return Err(TestError::NothingDue { by: self.advanced() - before });
            };
            self.agenda.note();
            self.advance_clock(whole_ms(time.saturating_duration_since(self.now())))?;
            let now = self.now();
            self.agenda.settled(now).await;
            // Where there was nothing to do at that time any more, somebody waits for a later one.
            let due = self.agenda.noted(now);
            if !due.is_empty() {
                let advanced = self.advanced();
                return Ok(NextDue { by: advanced - before, advanced, due });
            }
        }
    }
}

/// In milliseconds, and not less.
fn whole_ms(time: Duration) -> Duration {
    let ms = time.as_nanos().div_ceil(1_000_000);
    Duration::from_millis(u64::try_from(ms).unwrap_or(u64::MAX / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_never_advanced_too_little() {
        assert_eq!(whole_ms(Duration::ZERO), Duration::ZERO);
        assert_eq!(whole_ms(Duration::from_micros(1)), Duration::from_millis(1));
        assert_eq!(whole_ms(Duration::from_millis(7)), Duration::from_millis(7));
        assert_eq!(whole_ms(Duration::from_nanos(7_000_001)), Duration::from_millis(8));
    }
}
