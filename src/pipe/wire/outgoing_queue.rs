//! Queues the messages to one pipe client. Pure.
//!
//! Answers are never lost: while too many wait, the client's next requests are not read. Notifications are bounded, and
//! what does not fit is counted and told as a number. A window of credits, if the client wants one, holds notifications
//! back until it asks for more.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::event::NotificationKind;

/// The bounds of the notifications that wait for one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutgoingBounds {
    /// Bytes of waiting notifications. One always fits, however large.
    pub(crate) bytes: usize,
    /// Waiting notifications.
    pub(crate) messages: usize,
}

/// What waits for clients at one moment, and what they have missed since they connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OutgoingFigures {
    /// Bytes of answers.
    pub(crate) answer_bytes: usize,
    /// Notifications, and their bytes.
    pub(crate) notifications: usize,
    pub(crate) notification_bytes: usize,
    /// Notifications that did not fit.
    pub(crate) missed: u64,
}

/// Bytes of answers that may wait before requests are no longer read.
const ANSWER_BYTES: usize = 1024 * 1024;

/// The queue of answers and notifications to one client.
#[derive(Debug)]
pub(crate) struct OutgoingQueue {
    bounds: OutgoingBounds,
    /// Each with the number of its turn.
    answers: VecDeque<(u64, Bytes)>,
    answer_bytes: usize,
    notifications: VecDeque<(u64, NotificationKind, Bytes)>,
    notification_bytes: usize,
    turn: u64,
    /// Notifications that did not fit since the client was last told.
    missed: u64,
    /// All that ever did not.
    missed_ever: u64,
    /// Since one did not fit, none is taken until all that waits is gone: so there is one gap, not many.
    in_gap: bool,
    /// Notifications that the client wants to be sent before it asks for more; `None`: any number.
    credit: Option<u64>,
}

/// The message that is to be written next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NextMessage {
    Text(Bytes),
    /// So many notifications were missed here.
    Missed(u64),
}

impl OutgoingQueue {
    pub(crate) fn new(bounds: OutgoingBounds) -> Self {
        OutgoingQueue {
            bounds,
            answers: VecDeque::new(),
            answer_bytes: 0,
            notifications: VecDeque::new(),
            notification_bytes: 0,
            turn: 0,
            missed: 0,
            missed_ever: 0,
            in_gap: false,
            credit: None,
        }
    }

    /// Queues what must not be lost.
    pub(crate) fn answer(&mut self, text: Bytes) {
        self.turn += 1;
        self.answer_bytes += text.len();
        self.answers.push_back((self.turn, text));
    }

    /// Queues a notification, or counts it; `true` if it is the first of a gap.
    pub(crate) fn notify(&mut self, kind: NotificationKind, text: Bytes) -> bool {
        let bytes = self.notification_bytes + text.len();
        let messages = self.notifications.len();
        let fits = messages == 0 || (bytes <= self.bounds.bytes && messages < self.bounds.messages);
        if self.in_gap || !fits {
            return self.miss();
        }
        self.turn += 1;
        self.notification_bytes = bytes;
        self.notifications.push_back((self.turn, kind, text));
        false
    }

    /// Counts a notification that cannot be queued; `true` if it is the first of a gap.
    pub(crate) fn miss(&mut self) -> bool {
        self.in_gap = true;
        self.missed += 1;
        self.missed_ever += 1;
        self.missed == 1
    }

    /// The message that is to be written next, if any may be. A gap is reported where it is, behind what was queued
    /// before it.
    pub(crate) fn next(&mut self) -> Option<NextMessage> {
        let answer = self.answers.front().map(|(turn, _)| *turn);
        let notification = self.notifications.front().map(|(turn, ..)| *turn);
        let may_notify = self.credit != Some(0);
        match (answer, notification.filter(|_| may_notify)) {
            (Some(answer), other) if other.is_none_or(|other| answer < other) => {
                let (_, text) = self.answers.pop_front()?;
                self.answer_bytes -= text.len();
                Some(NextMessage::Text(text))
            }
            (_, Some(_)) => {
                let (_, _, text) = self.notifications.pop_front()?;
                self.notification_bytes -= text.len();
                self.credit = self.credit.map(|credit| credit - 1);
                Some(NextMessage::Text(text))
            }
            (_, None) => self.gap(),
        }
    }

    /// The gap that comes next, if nothing but it does.
    fn gap(&mut self) -> Option<NextMessage> {
        if self.missed == 0 || !self.notifications.is_empty() {
            return None;
        }
        // Notifications are taken again, behind the message that tells of the gap.
        self.in_gap = false;
        Some(NextMessage::Missed(std::mem::take(&mut self.missed)))
    }

    /// The client wants so many notifications more; `None`: any number. Returns what it may be sent now.
    pub(crate) fn grant(&mut self, more: Option<u64>) -> Option<u64> {
        self.credit = more.map(|more| self.credit.unwrap_or(0).saturating_add(more).min(MAX_CREDIT));
        self.credit
    }

    /// Forgets waiting notifications of these kinds (bits); the client does not want them any more.
    pub(crate) fn forget(&mut self, kinds: u8) {
        self.notifications.retain(|(_, kind, _)| kind.bit() & kinds == 0);
        self.notification_bytes = self.notifications.iter().map(|(.., text)| text.len()).sum();
    }

    /// What waits, and what was missed.
    pub(crate) fn figures(&self) -> OutgoingFigures {
        OutgoingFigures {
            answer_bytes: self.answer_bytes,
            notifications: self.notifications.len(),
            notification_bytes: self.notification_bytes,
            missed: self.missed_ever,
        }
    }

    /// Whether so many answers wait that the next request should.
    pub(crate) fn has_too_many_answers(&self) -> bool {
        self.answer_bytes > ANSWER_BYTES
    }
}

/// The largest window.
pub(crate) const MAX_CREDIT: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: OutgoingBounds = OutgoingBounds { bytes: 100, messages: 3 };

    fn text(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    fn all(outgoing: &mut OutgoingQueue) -> Vec<String> {
        std::iter::from_fn(|| outgoing.next())
            .map(|next| match next {
                NextMessage::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
                NextMessage::Missed(count) => format!("missed {count}"),
            })
            .collect()
    }

    #[test]
    fn answers_and_notifications_keep_their_order() {
        let mut outgoing = OutgoingQueue::new(BOUNDS);
        outgoing.answer(text("a"));
        outgoing.notify(NotificationKind::SocketMessage, text("b"));
        outgoing.answer(text("c"));
        assert_eq!(all(&mut outgoing), ["a", "b", "c"]);
    }

    #[test]
    fn a_gap_is_counted_and_told_where_it_is() {
        let mut outgoing = OutgoingQueue::new(BOUNDS);
        let first: Vec<bool> = ["1", "2", "3", "4", "5"]
            .map(|n| outgoing.notify(NotificationKind::SocketMessage, text(n)))
            .to_vec();
        assert_eq!(first, [false, false, false, true, false], "only the first of a gap");
        outgoing.answer(text("answer"));
        assert_eq!(all(&mut outgoing), ["1", "2", "3", "answer", "missed 2"]);
        assert!(!outgoing.notify(NotificationKind::SocketMessage, text("6")));
        assert_eq!(all(&mut outgoing), ["6"]);
    }

    #[test]
    fn bytes_are_bounded_but_one_notification_always_fits() {
        let mut outgoing = OutgoingQueue::new(BOUNDS);
        let large = Bytes::from("x".repeat(1000));
        assert!(!outgoing.notify(NotificationKind::SocketMessage, large));
        assert!(outgoing.notify(NotificationKind::SocketMessage, text("y")));
        assert_eq!(all(&mut outgoing).len(), 2);
    }

    #[test]
    fn without_credit_answers_pass_and_notifications_wait() {
        let mut outgoing = OutgoingQueue::new(BOUNDS);
        assert_eq!(outgoing.grant(Some(1)), Some(1));
        for n in ["1", "2", "3", "4"] {
            outgoing.notify(NotificationKind::SocketMessage, text(n));
        }
        outgoing.answer(text("answer"));
        assert_eq!(all(&mut outgoing), ["1", "answer"]);
        assert_eq!(outgoing.grant(Some(1)), Some(1));
        assert_eq!(all(&mut outgoing), ["2"]);
        assert_eq!(outgoing.grant(None), None);
        assert_eq!(all(&mut outgoing), ["3", "missed 1"]);
    }

    #[test]
    fn what_is_not_wanted_any_more_is_forgotten() {
        let mut outgoing = OutgoingQueue::new(BOUNDS);
        outgoing.notify(NotificationKind::SocketMessage, text("1"));
        outgoing.notify(NotificationKind::SocketExistence, text("2"));
        outgoing.forget(NotificationKind::SocketMessage.bit());
        assert_eq!(all(&mut outgoing), ["2"]);
        assert_eq!(outgoing.notification_bytes, 0);
    }
}
