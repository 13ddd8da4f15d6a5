//! Logs what became of the webhooks of one endpoint: the last attempts, and the events delivered, dropped and given up.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

/// An attempt to send a request to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// When it was begun.
    pub at: SystemTime,
    /// From 1; more than that if the same webhook had been sent before.
    pub number: u32,
    /// Events in the request.
    pub events: usize,
    /// Bytes that were posted.
    pub body_bytes: usize,
    /// From its beginning to the end of the answer, or to the failure.
    pub duration: Duration,
    /// How it ended.
    pub outcome: AttemptOutcome,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// The endpoint answered with this status. 200 to 299 means that the webhook is delivered.
    Status(u16),
    /// It gave no whole answer, and why.
    Failure(String),
}

impl AttemptOutcome {
    /// Whether the webhook is delivered.
    pub fn is_delivered(&self) -> bool {
        matches!(self, AttemptOutcome::Status(200..=299))
    }
}

/// Events of one endpoint, by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeliveryCounts {
    /// Events that the endpoint answered with a 2xx.
    pub delivered: u64,
    /// Dropped because too many were waiting.
    pub dropped: u64,
    /// Given up after the last attempt, or at the end of the broker.
    pub given_up: u64,
    /// Waiting, or under way.
    pub waiting: usize,
}

/// The log of one endpoint. The sender writes it, anybody may read it.
#[derive(Debug)]
pub struct DeliveryLog {
    most: usize,
    state: Mutex<LogState>,
}

/// What the log remembers.
#[derive(Debug, Default)]
struct LogState {
    attempts: VecDeque<Attempt>,
    counts: DeliveryCounts,
}

impl DeliveryLog {
    /// An empty log that remembers this many attempts.
    pub fn new(most: usize) -> Self {
        DeliveryLog { most, state: Mutex::default() }
    }

    /// The attempts that are remembered, oldest first.
    pub fn attempts(&self) -> Vec<Attempt> {
        self.state.lock().attempts.iter().cloned().collect()
    }

    /// How many events fared how, since the endpoint was configured.
    pub fn counts(&self) -> DeliveryCounts {
        self.state.lock().counts
    }

    pub(super) fn record(&self, attempt: Attempt) {
        let mut state = self.state.lock();
        while state.attempts.len() >= self.most.max(1) {
            state.attempts.pop_front();
        }
        if self.most > 0 {
            state.attempts.push_back(attempt);
        }
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut DeliveryCounts)) -> DeliveryCounts {
        let mut state = self.state.lock();
        change(&mut state.counts);
        state.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(number: u32) -> Attempt {
        let outcome = AttemptOutcome::Status(200);
        let at = SystemTime::UNIX_EPOCH;
        let duration = Duration::ZERO;
        Attempt { at, number, events: 1, body_bytes: 10, duration, outcome }
    }

    #[test]
    fn the_last_attempts_are_remembered() {
        let log = DeliveryLog::new(2);
        (1..=3).for_each(|number| log.record(attempt(number)));
        assert_eq!(log.attempts(), [attempt(2), attempt(3)]);
        let none = DeliveryLog::new(0);
        none.record(attempt(1));
        assert!(none.attempts().is_empty());
    }

    #[test]
    fn two_hundreds_are_deliveries() {
        let statuses = [(200, true), (204, true), (299, true), (301, false), (400, false), (500, false)];
        assert!(
            statuses.into_iter().all(|(status, good)| AttemptOutcome::Status(status).is_delivered() == good)
        );
        assert!(!AttemptOutcome::Failure("refused".into()).is_delivered());
    }
}
