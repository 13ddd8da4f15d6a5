//! What was sent to one endpoint of late, with what it answered: for people who look at it, and to be sent once more.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::SystemTime;

use crate::outbound::{Reply, SendError};

use super::event;
use super::log::{Attempt, AttemptOutcome};

/// Requests that are remembered with their events, and bytes of these. Over it: the oldest are forgotten.
const SENT: usize = 100;
const SENT_BYTES: usize = 1024 * 1024;

/// Bytes of an answer that are shown.
const ANSWER_BYTES: usize = 4 * 1024;

/// One attempt, with what was sent and answered.
#[derive(Clone, Debug)]
pub(crate) struct SentWebhook {
    /// Counted from 1 for the endpoint.
    pub(crate) id: u64,
    /// The number of the request, of which there may be several attempts.
    pub(crate) request: u64,
    pub(crate) attempt: Attempt,
    /// When the request was made, as it says.
    pub(crate) time_ms: u128,
    /// What it told, each as JSON; shared with what waits.
    pub(crate) events: Vec<Arc<str>>,
    /// The beginning of the answer.
    pub(crate) answer: Option<Box<str>>,
    /// When it is tried again.
    pub(crate) next_at: Option<SystemTime>,
    /// Somebody had it sent once more.
    pub(crate) is_replay: bool,
}

impl SentWebhook {
    /// What was posted.
    pub(crate) fn body(&self) -> String {
        event::body(self.time_ms, self.events.iter().map(|event| &**event))
    }
}

/// The latest attempts of one endpoint.
#[derive(Debug, Default)]
pub(super) struct SentWebhooks {
    sent: VecDeque<SentWebhook>,
    bytes: usize,
    last: u64,
}

/// How a request ended, and the beginning of what was answered.
pub(super) fn ended(reply: Result<Reply, SendError>) -> (AttemptOutcome, Option<Box<str>>) {
    match reply {
        Ok(reply) => (AttemptOutcome::Status(reply.status), Some(shown(&reply.body))),
        Err(error) => (AttemptOutcome::Failure(error.to_string()), None),
    }
}

/// As much of an answer as is shown.
fn shown(answer: &[u8]) -> Box<str> {
    String::from_utf8_lossy(&answer[..answer.len().min(ANSWER_BYTES)]).into()
}

impl SentWebhooks {
    /// Remembers one, and gives it its id.
    pub(super) fn add(&mut self, sent: SentWebhook) -> u64 {
        self.last += 1;
        self.bytes += bytes(&sent);
        self.sent.push_back(SentWebhook { id: self.last, ..sent });
        while self.sent.len() > SENT || self.bytes > SENT_BYTES {
            let Some(oldest) = self.sent.pop_front() else { break };
            self.bytes -= bytes(&oldest);
        }
        self.last
    }

    /// It is tried again at this time.
    pub(super) fn again_at(&mut self, id: u64, time: SystemTime) {
        if let Some(sent) = self.sent.iter_mut().rev().find(|sent| sent.id == id) {
            sent.next_at = Some(time);
        }
    }

    /// One of them.
    pub(super) fn find(&self, id: u64) -> Option<SentWebhook> {
        self.sent.iter().find(|sent| sent.id == id).cloned()
    }

    /// All of them, the newest first.
    pub(super) fn all(&self) -> Vec<SentWebhook> {
        self.sent.iter().rev().cloned().collect()
    }
}

fn bytes(sent: &SentWebhook) -> usize {
    let events: usize = sent.events.iter().map(|event| event.len()).sum();
    size_of::<SentWebhook>() + events + sent.answer.as_ref().map_or(0, |answer| answer.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(bytes: usize) -> SentWebhook {
        let attempt = Attempt {
            at: SystemTime::UNIX_EPOCH,
            number: 1,
            events: 1,
            body_bytes: bytes,
            duration: std::time::Duration::ZERO,
            outcome: AttemptOutcome::Status(200),
        };
        let events = vec![Arc::from("x".repeat(bytes))];
        SentWebhook {
            id: 0,
            request: 1,
            attempt,
            time_ms: 7,
            events,
            answer: None,
            next_at: None,
            is_replay: false,
        }
    }

    #[test]
    fn the_latest_are_remembered_within_bounds() {
        let mut all = SentWebhooks::default();
        (0..SENT + 5).for_each(|n| assert_eq!(all.add(sent(10)), n as u64 + 1));
        assert_eq!((all.all().len(), all.all()[0].id), (SENT, SENT as u64 + 5));
        assert!(all.find(5).is_none() && all.find(6).is_some());
        all.again_at(6, SystemTime::UNIX_EPOCH);
        assert!(all.find(6).unwrap().next_at.is_some() && all.find(7).unwrap().next_at.is_none());
        let large = all.add(sent(SENT_BYTES - 1000));
        assert!(all.all().len() < 10 && all.find(large).is_some());
        assert_eq!(shown(&[b'a'; 5000]).len(), ANSWER_BYTES);
    }

    #[test]
    fn the_body_is_shown_as_it_was_posted() {
        assert_eq!(sent(3).body(), r#"{"time_ms":7,"events":[xxx]}"#);
    }
}
