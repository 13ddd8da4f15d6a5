//! What is lost between nodes, for the log: each reason at once, and then at a slow pace.

use std::time::{Duration, Instant};

use super::status::Loss;

/// How often the same reason is told.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// What the log was told. It does not tell by itself.
#[derive(Debug, Default)]
pub(super) struct LossLog {
    told: [(u64, Option<Instant>); Loss::COUNT],
}

impl LossLog {
    /// So much was lost since the start. Returns what is to be told of it now: what has been lost since it was told last.
    pub(super) fn look(&mut self, lost: &[u64; Loss::COUNT], now: Instant) -> Vec<(Loss, u64)> {
        let mut due = Vec::new();
        for ((loss, count), (told, when)) in Loss::ALL.into_iter().zip(lost).zip(&mut self.told) {
            let more = count.saturating_sub(*told);
            if more > 0 && when.is_none_or(|when| now >= when + TOLD_EVERY) {
                (*told, *when) = (*count, Some(now));
                due.push((loss, more));
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_told_at_once_and_then_at_a_pace_with_all_that_came_meanwhile() {
        let (mut log, start) = (LossLog::default(), Instant::now());
        let mut lost = [0; Loss::COUNT];
        assert_eq!(log.look(&lost, start), []);
        lost[Loss::Unreadable as usize] = 3;
        assert_eq!(log.look(&lost, start), [(Loss::Unreadable, 3)]);
        (lost[Loss::Unreadable as usize], lost[Loss::NoRoom as usize]) = (10, 1);
        assert_eq!(log.look(&lost, start + TOLD_EVERY / 2), [(Loss::NoRoom, 1)]);
        assert_eq!(log.look(&lost, start + TOLD_EVERY), [(Loss::Unreadable, 7)]);
        assert_eq!(log.look(&lost, start + TOLD_EVERY * 2), []);
    }
}
