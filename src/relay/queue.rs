//! What waits for one relay, in the order in which it came: bounded, and given up when it is old. Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::item::{RelayItem, RelayRequest, request_of};

/// The bytes of events that are put together in one request, at most: servers bound bodies, and what is under way when a
/// connection fails is not known to have arrived.
const BATCH_BYTES: usize = 64 * 1024;

/// What waits, and what is under way: that is the first of it.
#[derive(Debug, Default)]
pub(super) struct RelayQueue {
    waiting: VecDeque<WaitingItem>,
    bytes: usize,
    under_way: usize,
    /// Nobody empties it any more.
    is_closed: bool,
}

#[derive(Debug)]
struct WaitingItem {
    item: RelayItem,
    since: Instant,
}

/// The most that a queue holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct RelayQueueBounds {
    pub(super) events: usize,
    pub(super) bytes: usize,
}

impl RelayQueue {
    /// Queues an item at its end; `false`, and nothing is queued, where it would hold too much. One alone always fits.
    pub(super) fn push(&mut self, item: RelayItem, bounds: RelayQueueBounds, now: Instant) -> bool {
        let bytes = item.bytes();
        let fits = self.waiting.len() < bounds.events && self.bytes + bytes <= bounds.bytes;
        if !fits && !self.waiting.is_empty() {
            return false;
        }
        self.bytes += bytes;
        self.waiting.push_back(WaitingItem { item, since: now });
        true
    }

    /// The next request: the first item, and those behind it that may be in the same batch, `most` at most. They are under
    /// way until [`RelayQueue::end`] says what became of them.
    pub(super) fn begin(&mut self, most: usize) -> Option<RelayRequest> {
        let first = &self.waiting.front()?.item;
        let mut bytes = first.bytes();
        let more = self.waiting.iter().skip(1).take_while(|waiting| {
            bytes += waiting.item.bytes();
            bytes <= BATCH_BYTES && waiting.item.fits_a_batch()
        });
        let more = if first.fits_a_batch() { more.take(most.saturating_sub(1)).count() } else { 0 };
        self.under_way = 1 + more;
        Some(request_of(self.waiting.range(..=more).map(|waiting| &waiting.item)))
    }

    /// Whether what is under way is over, and need not be sent again. If not, it waits as before.
    pub(super) fn end(&mut self, is_over: bool) {
        let ended = std::mem::take(&mut self.under_way);
        if is_over {
            self.remove_first(ended);
        }
    }

    /// Removes what has waited for so long, and returns how much that was. To be asked while nothing is under way.
    pub(super) fn remove_older_than(&mut self, age: Duration, now: Instant) -> usize {
        let is_old = |waiting: &&WaitingItem| now.saturating_duration_since(waiting.since) > age;
        let old = self.waiting.iter().take_while(is_old).count();
        self.remove_first(old);
        old
    }

    /// Nobody will empty it any more. `false`, and it goes on, where something waits.
    pub(super) fn close(&mut self) -> bool {
        self.is_closed = self.waiting.is_empty();
        self.is_closed
    }

    /// Whether nobody will empty it any more.
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Removes everything. How much was under way, and how much has only waited.
    pub(super) fn clear(&mut self) -> (usize, usize) {
        let under_way = std::mem::take(&mut self.under_way);
        let waiting = self.waiting.len() - under_way;
        self.waiting.clear();
        self.bytes = 0;
        (under_way, waiting)
    }

    fn remove_first(&mut self, items: usize) {
        let removed: usize = self.waiting.drain(..items).map(|waiting| waiting.item.bytes()).sum();
        self.bytes -= removed;
        // What was needed for a backlog is not kept for ever.
        if self.waiting.is_empty() {
            self.waiting.shrink_to(64);
        }
    }

    /// Events that wait or are under way.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Their bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Since when the oldest of them has waited.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.waiting.front().map(|waiting| waiting.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    const BOUNDS: RelayQueueBounds = RelayQueueBounds { events: 5, bytes: 1_000_000 };

    fn event(number: usize, channels: &[&str]) -> RelayItem {
        RelayItem::event(&Arc::from(format!("{{\"name\":\"{number}\"")), channels.iter().copied())
    }

    fn queue_of(items: impl IntoIterator<Item = RelayItem>, now: Instant) -> RelayQueue {
        let mut queue = RelayQueue::default();
        items.into_iter().for_each(|item| assert!(queue.push(item, BOUNDS, now)));
        queue
    }

    #[test]
    fn neighbours_share_a_request_and_stay_in_order() {
        let now = Instant::now();
        let items = [event(1, &["a"]), event(2, &["b"]), event(3, &["c", "d"]), event(4, &["a"])];
        let mut queue = queue_of(items, now);
        let mut requests = Vec::new();
        while let Some(request) = queue.begin(10) {
            requests.push((request.path, request.items));
            queue.end(true);
        }
        let expected = [("/batch_events", 2), ("/events", 1), ("/events", 1)];
        assert_eq!(requests, expected.map(|(path, items)| (path.to_owned(), items)));
        assert_eq!((queue.len(), queue.bytes()), (0, 0));
    }

    #[test]
    fn a_request_has_as_many_as_it_may() {
        let now = Instant::now();
        let mut queue = queue_of((0..5).map(|number| event(number, &["a"])), now);
        assert_eq!(queue.begin(1).unwrap().items, 1);
        queue.end(false);
        assert_eq!(queue.begin(3).unwrap().items, 3);
        queue.end(true);
        assert_eq!(queue.begin(3).unwrap().items, 2);
        let long = RelayItem::event(&"x".repeat(BATCH_BYTES / 2).into(), ["a"].into_iter());
        let mut queue = queue_of([long.clone(), long.clone(), long], now);
        assert_eq!(queue.begin(10).unwrap().items, 1, "long ones go alone");
    }

    #[test]
    fn what_does_not_fit_is_refused_but_for_one_alone() {
        let now = Instant::now();
        let mut queue = queue_of((0..5).map(|number| event(number, &["a"])), now);
        assert!(!queue.push(event(6, &["a"]), BOUNDS, now));
        queue.begin(10);
        assert!(!queue.push(event(6, &["a"]), BOUNDS, now), "what is under way counts");
        queue.end(true);
        let tight = RelayQueueBounds { events: 5, bytes: 1 };
        assert!(queue.push(event(7, &["a"]), tight, now));
        assert!(!queue.push(event(8, &["a"]), tight, now));
    }

    #[test]
    fn what_is_old_goes_and_the_rest_stays() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut queue = queue_of([event(1, &["a"]), event(2, &["a"])], start);
        assert!(queue.push(event(3, &["a"]), BOUNDS, start + 5 * second));
        assert_eq!(queue.remove_older_than(10 * second, start + 10 * second), 0);
        assert_eq!(queue.remove_older_than(10 * second, start + 11 * second), 2);
        assert_eq!(queue.oldest(), Some(start + 5 * second));
        queue.begin(10);
        assert!(queue.push(event(4, &["a"]), BOUNDS, start));
        assert_eq!(queue.clear(), (1, 1));
        assert_eq!((queue.len(), queue.bytes()), (0, 0));
    }
}
