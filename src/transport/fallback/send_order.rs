//! Puts the messages of a session into the order in which they were sent. Pure.
//!
//! Requests overtake each other: a browser has several connections, and those may be on several workers. pusher-js
//! numbers its requests, but with one counter for all that a page asks for: a number that is missing may be under way,
//! or another session's. So a send waits a little for the numbers before it, and no longer.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// How long a send waits for those before it.
const MAX_WAIT: Duration = Duration::from_millis(50);

/// Requests of one session whose numbers are kept until those before them are there. With one more, the first of them
/// waits no longer.
const MAX_EARLY: usize = 32;

/// Bytes of the sends that wait. Over that, the first of them waits no longer.
const MAX_EARLY_BYTES: usize = 256 * 1024;

/// The sends of one session, each a `T`.
#[derive(Debug)]
pub(super) struct SendOrder<T> {
    /// The last number whose turn has come. There is none until the first request that has one.
    last: Option<u64>,
    /// Requests that came before their turn.
    early: BTreeMap<u64, EarlyRequest<T>>,
    /// Of the sends among them.
    bytes: usize,
    /// Sends whose turn has come.
    ready: VecDeque<T>,
    /// Sends that have waited for others in vain.
    out_of_order: u64,
}

/// A request that came before its turn.
#[derive(Debug)]
struct EarlyRequest<T> {
    until: Instant,
    /// A send, and its bytes. Other requests only take a number.
    send: Option<(T, usize)>,
}

impl<T> SendOrder<T> {
    pub(super) fn new() -> Self {
        SendOrder { last: None, early: BTreeMap::new(), bytes: 0, ready: VecDeque::new(), out_of_order: 0 }
    }

    /// A request has come that sends nothing.
    pub(super) fn take_number(&mut self, number: Option<u64>, now: Instant) {
        self.take(number, None, now);
    }

    /// A send has come, of this many bytes. Without a number its turn is now.
    pub(super) fn take_send(&mut self, number: Option<u64>, send: T, bytes: usize, now: Instant) {
        self.take(number, Some((send, bytes)), now);
    }

    /// The next send whose turn has come.
    pub(super) fn next(&mut self, now: Instant) -> Option<T> {
        self.advance(now);
        self.ready.pop_front()
    }

    /// How many sends have had their turn before one that was, perhaps, sent before them.
    pub(super) fn out_of_order(&self) -> u64 {
        self.out_of_order
    }

    /// When a send that waits will wait no longer.
    pub(super) fn due(&self) -> Option<Instant> {
        self.early.values().filter(|early| early.send.is_some()).map(|early| early.until).min()
    }

    fn take(&mut self, number: Option<u64>, send: Option<(T, usize)>, now: Instant) {
        self.advance(now);
        match (number, self.last) {
            (Some(number), Some(last)) if number > last && !self.early.contains_key(&number) => {
                self.bytes += send.as_ref().map_or(0, |(_, bytes)| *bytes);
                self.early.insert(number, EarlyRequest { until: now + MAX_WAIT, send });
                self.advance(now);
            }
            (Some(number), None) => {
                self.last = Some(number);
                self.ready.extend(send.map(|(send, _)| send));
            }
            // It has no number, comes too late to be waited for, or bears a number twice.
            (Some(_) | None, _) => self.ready.extend(send.map(|(send, _)| send)),
        }
    }

    /// Gives everything its turn that need not wait.
    fn advance(&mut self, now: Instant) {
        // A request that has waited long enough goes, with those before it.
        let patient =
            self.early.iter().rev().find(|(_, early)| early.until <= now).map(|(number, _)| *number);
        while let Some((&number, _)) = self.early.first_key_value() {
            let follows = self.last.is_some_and(|last| number == last.saturating_add(1));
            let waited = patient.is_some_and(|patient| number <= patient);
            let crowded = self.early.len() > MAX_EARLY || self.bytes > MAX_EARLY_BYTES;
            if !(follows || waited || crowded) {
                return;
            }
            self.last = Some(number);
            if let Some((send, bytes)) = self.early.pop_first().and_then(|(_, early)| early.send) {
                self.bytes -= bytes;
                self.out_of_order += u64::from(!follows);
                self.ready.push_back(send);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Subject {
        order: SendOrder<u64>,
        start: Instant,
    }

    impl Subject {
        /// A session whose first request had this number.
        fn after(number: u64) -> Self {
            let start = Instant::now();
            let mut order = SendOrder::new();
            order.take_number(Some(number), start);
            Subject { order, start }
        }

        fn at(&self, millis: u64) -> Instant {
            self.start + Duration::from_millis(millis)
        }

        /// What is heard when a send of this number comes.
        fn send(&mut self, number: u64, millis: u64) -> Vec<u64> {
            let now = self.at(millis);
            self.order.take_send(Some(number), number, 10, now);
            self.heard(millis)
        }

        fn heard(&mut self, millis: u64) -> Vec<u64> {
            let now = self.at(millis);
            std::iter::from_fn(|| self.order.next(now)).collect()
        }
    }

    #[test]
    fn sends_are_heard_in_the_order_of_their_numbers() {
        let mut subject = Subject::after(7);
        assert_eq!(subject.send(8, 0), [8]);
        assert!(subject.send(11, 1).is_empty() && subject.send(10, 2).is_empty());
        assert_eq!(subject.order.due(), Some(subject.at(51)));
        assert_eq!(subject.send(9, 3), [9, 10, 11]);
        assert_eq!(subject.order.due(), None);
    }

    #[test]
    fn a_gap_that_nobody_fills_is_waited_for_a_little_and_no_longer() {
        let mut subject = Subject::after(7);
        assert!(subject.send(9, 0).is_empty() && subject.send(12, 30).is_empty());
        assert!(subject.heard(49).is_empty());
        assert_eq!(subject.heard(50), [9]);
        assert_eq!(subject.send(8, 51), [8], "too late to be waited for");
        assert!(subject.send(11, 60).is_empty());
        assert_eq!(subject.heard(80), [11, 12], "those before one that has waited go with it");
        assert_eq!(subject.send(12, 81), [12], "a number that is taken");
    }

    #[test]
    fn other_requests_of_the_session_fill_a_gap() {
        let mut subject = Subject::after(7);
        let now = subject.at(0);
        assert!(subject.send(9, 0).is_empty());
        subject.order.take_number(Some(8), now);
        assert_eq!(subject.heard(0), [9]);
        // One that came long ago is not waited before.
        let now = subject.at(100);
        subject.order.take_number(Some(20), now);
        assert_eq!(subject.order.due(), None);
        assert_eq!(subject.send(21, 200), [21]);
    }

    #[test]
    fn without_numbers_the_order_is_that_of_arrival() {
        let start = Instant::now();
        let mut order = SendOrder::new();
        for (number, send) in [(None, 1), (None, 2), (Some(9), 3), (None, 4), (Some(u64::MAX), 5)] {
            order.take_send(number, send, 10, start);
        }
        let heard: Vec<_> = std::iter::from_fn(|| order.next(start)).collect();
        assert_eq!(heard, [1, 2, 3, 4]);
        assert_eq!(order.next(start + MAX_WAIT), Some(5));
        order.take_send(Some(0), 6, 10, start);
        assert_eq!(order.next(start), Some(6));
    }

    #[test]
    fn what_waits_is_bounded_in_number_and_bytes() {
        let mut subject = Subject::after(0);
        for number in 0..MAX_EARLY as u64 {
            assert!(subject.send(2 + 2 * number, 0).is_empty());
        }
        assert_eq!(subject.order.out_of_order(), 0);
        assert_eq!(subject.send(1000, 0), [2], "the first waits no longer");
        assert_eq!(subject.order.out_of_order(), 1);
        let mut subject = Subject::after(0);
        let now = subject.at(0);
        subject.order.take_send(Some(5), 5, MAX_EARLY_BYTES + 1, now);
        assert_eq!(subject.heard(0), [5]);
        assert_eq!(subject.order.bytes, 0);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_heard_twice_and_what_comes_in_time_is_in_order(
            numbers in proptest::collection::vec(1u64..60, 1..40),
            pause in 0u64..4,
        ) {
            let mut subject = Subject::after(0);
            let mut heard = Vec::new();
            for (entry, number) in numbers.iter().enumerate() {
                heard.extend(subject.send(*number, entry as u64 * pause));
                prop_assert!(subject.order.early.len() <= MAX_EARLY);
            }
            heard.extend(subject.heard(10_000));
            let sorted = |mut numbers: Vec<u64>| { numbers.sort_unstable(); numbers };
            prop_assert_eq!(sorted(heard.clone()), sorted(numbers.clone()));
            let mut distinct = sorted(numbers);
            distinct.dedup();
            if pause == 0 && distinct.len() == heard.len() && distinct.len() <= MAX_EARLY {
                let from_first_gap = (1..).zip(&distinct).take_while(|(n, number)| n == *number).count();
                prop_assert_eq!(&heard[..from_first_gap], &distinct[..from_first_gap]);
            }
            prop_assert_eq!((subject.order.bytes, subject.order.early.len()), (0, 0));
        }
    }
}
