//! What waits for one endpoint, and which of it goes into the next request.
//!
//! The events of a channel are sent one request after the other, so that they arrive in their order; those of other
//! channels need not wait for them. So an event that is being retried holds up its own channel only.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::protocol::ChannelName;

/// Bytes of events in one request, unless a single event has more.
pub const BATCH_BYTES: usize = 1024 * 1024;

/// How events are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batching {
    /// How long the first event waits for others.
    pub window: Duration,
    /// Events in one request.
    pub most: usize,
}

impl Batching {
    /// One event per request, at once.
    pub const OFF: Batching = Batching { window: Duration::ZERO, most: 1 };
}

/// What may wait at once, requests under way included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Events.
    pub events: usize,
    /// Bytes of their JSON.
    pub bytes: usize,
}

/// No room for one more event. It is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// The events that wait for one endpoint.
#[derive(Debug)]
pub struct Queue {
    bounds: Bounds,
    batching: Batching,
    channels: HashMap<ChannelName, Waiting>,
    /// The channels that have no request under way, by the place of their first event.
    ready: BTreeMap<u64, ChannelName>,
    /// Events of those channels.
    ready_events: usize,
    events: usize,
    bytes: usize,
    next: u64,
    hurried: bool,
}

#[derive(Debug, Default)]
struct Waiting {
    events: VecDeque<Item>,
    under_way: bool,
}

#[derive(Debug)]
struct Item {
    place: u64,
    since: Instant,
    json: Arc<str>,
}

/// The events of one request. It must be given back to the queue when it is over and done with.
#[derive(Debug)]
pub struct Batch {
    /// Each as JSON, in the order in which they happened. Never empty.
    pub events: Vec<Arc<str>>,
    channels: Vec<ChannelName>,
    bytes: usize,
}

impl Queue {
    /// Nothing yet.
    #[must_use]
    pub fn new(bounds: Bounds, batching: Batching) -> Self {
        Queue {
            bounds,
            batching,
            channels: HashMap::new(),
            ready: BTreeMap::new(),
            ready_events: 0,
            events: 0,
            bytes: 0,
            next: 0,
            hurried: false,
        }
    }

    /// Adds an event of a channel.
    ///
    /// # Errors
    /// If there is no room for it. A single event always has room.
    pub fn push(&mut self, channel: &ChannelName, json: Arc<str>, now: Instant) -> Result<(), Full> {
        let no_room = self.events >= self.bounds.events || self.bytes + json.len() > self.bounds.bytes;
        if no_room && self.events > 0 {
            return Err(Full);
        }
        self.events += 1;
        self.bytes += json.len();
        let waiting = match self.channels.get_mut(channel) {
            Some(waiting) => waiting,
            None => self.channels.entry(channel.clone()).or_default(),
        };
        if !waiting.under_way {
            self.ready_events += 1;
            if waiting.events.is_empty() {
                self.ready.insert(self.next, channel.clone());
            }
        }
        waiting.events.push_back(Item { place: self.next, since: now, json });
        self.next += 1;
        Ok(())
    }

    /// When the next request will have waited long enough for more events; `None` if there is nothing to send.
    #[must_use]
    pub fn ripe_at(&self, now: Instant) -> Option<Instant> {
        let (_, channel) = self.ready.first_key_value()?;
        let first = self.channels.get(channel)?.events.front()?;
        match self.hurried || self.ready_events >= self.batching.most {
            true => Some(now),
            false => Some(first.since + self.batching.window),
        }
    }

    /// The next request, if one is ripe.
    pub fn take(&mut self, now: Instant) -> Option<Batch> {
        self.ripe_at(now).filter(|ripe| *ripe <= now)?;
        let mut batch = Batch { events: Vec::new(), channels: Vec::new(), bytes: 0 };
        while batch.events.len() < self.batching.most {
            let Some(first) = self.ready.first_entry() else { break };
            let Some(waiting) = self.channels.get_mut(first.get()) else { break };
            let fits = |item: &Item| batch.events.is_empty() || batch.bytes + item.json.len() <= BATCH_BYTES;
            if !waiting.events.front().is_some_and(fits) {
                break;
            }
            let Some(item) = waiting.events.pop_front() else { break };
            if !waiting.under_way {
                waiting.under_way = true;
                batch.channels.push(first.get().clone());
            }
            batch.bytes += item.json.len();
            batch.events.push(item.json);
            self.ready_events -= 1;
            let channel = first.remove();
            // Its later events may go into this same request, in their turn.
            if let Some(next) = waiting.events.front() {
                self.ready.insert(next.place, channel);
            }
        }
        // No later request may take of these channels while this one is under way.
        for channel in &batch.channels {
            if let Some(waiting) = self.channels.get(channel)
                && let Some(next) = waiting.events.front()
            {
                self.ready.remove(&next.place);
                self.ready_events -= waiting.events.len();
            }
        }
        Some(batch)
    }

    /// A request is over, delivered or given up: its channels may go on.
    pub fn done(&mut self, batch: Batch) {
        self.events -= batch.events.len();
        self.bytes -= batch.bytes;
        for channel in batch.channels {
            let Some(waiting) = self.channels.get_mut(&channel) else { continue };
            waiting.under_way = false;
            match waiting.events.front() {
                Some(first) => {
                    self.ready_events += waiting.events.len();
                    self.ready.insert(first.place, channel);
                }
                None => {
                    self.channels.remove(&channel);
                }
            }
        }
    }

    /// From now on no request waits for more events.
    pub fn hurry(&mut self) {
        self.hurried = true;
    }

    /// Events that wait or are under way.
    #[must_use]
    pub fn len(&self) -> usize {
        self.events
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::{Index, select};

    use super::*;

    const ROOMY: Bounds = Bounds { events: 1000, bytes: 1 << 30 };
    const BATCHES: Batching = Batching { window: Duration::from_secs(1), most: 3 };

    fn name(text: &str) -> ChannelName {
        ChannelName::parse(text, 164).unwrap()
    }

    /// Pushes events written `channel+number`.
    fn push(queue: &mut Queue, events: &[&str], now: Instant) {
        for event in events {
            queue.push(&name(&event[..1]), Arc::from(*event), now).unwrap();
        }
    }

    fn take(queue: &mut Queue, now: Instant) -> Option<(Batch, Vec<String>)> {
        let batch = queue.take(now)?;
        let events = batch.events.iter().map(|event| event.to_string()).collect();
        Some((batch, events))
    }

    #[test]
    fn without_batching_each_event_is_a_request_and_a_channel_waits_for_its_own() {
        let now = Instant::now();
        let mut queue = Queue::new(ROOMY, Batching::OFF);
        push(&mut queue, &["a1", "a2", "b1"], now);
        let (first, events) = take(&mut queue, now).unwrap();
        assert_eq!(events, ["a1"]);
        let (second, events) = take(&mut queue, now).unwrap();
        assert_eq!(events, ["b1"], "a2 waits for a1");
        assert!(queue.take(now).is_none() && queue.ripe_at(now).is_none());
        queue.done(second);
        assert!(queue.take(now).is_none());
        push(&mut queue, &["a3"], now);
        queue.done(first);
        for expected in ["a2", "a3"] {
            let (batch, events) = take(&mut queue, now).unwrap();
            assert_eq!(events, [expected]);
            queue.done(batch);
        }
        assert!(queue.is_empty() && queue.channels.is_empty() && queue.bytes == 0 && queue.ready_events == 0);
    }

    #[test]
    fn a_batch_waits_for_its_window_or_until_it_is_full() {
        let now = Instant::now();
        let mut queue = Queue::new(ROOMY, BATCHES);
        push(&mut queue, &["a1", "b1"], now);
        assert!(queue.take(now).is_none());
        assert_eq!(queue.ripe_at(now), Some(now + BATCHES.window));
        let (batch, events) = take(&mut queue, now + BATCHES.window).unwrap();
        assert_eq!(events, ["a1", "b1"]);
        push(&mut queue, &["a2", "c1", "c2"], now);
        assert!(queue.take(now).is_none(), "a is under way, so only two are ready");
        push(&mut queue, &["d1", "c3"], now);
        let (full, events) = take(&mut queue, now).unwrap();
        assert_eq!(events, ["c1", "c2", "d1"], "in the order in which they happened");
        queue.done(full);
        queue.done(batch);
        assert!(queue.take(now).is_none());
        queue.hurry();
        let (last, events) = take(&mut queue, now).unwrap();
        assert_eq!(events, ["a2", "c3"]);
        queue.done(last);
        assert!(queue.is_empty() && queue.channels.is_empty() && queue.ready_events == 0);
    }

    #[test]
    fn a_full_queue_takes_no_more_and_large_events_go_alone() {
        let now = Instant::now();
        let mut queue = Queue::new(Bounds { events: 2, bytes: 10 }, Batching::OFF);
        assert_eq!(queue.push(&name("a"), "x".repeat(50).into(), now), Ok(()), "a single one always fits");
        assert_eq!(queue.push(&name("a"), "y".into(), now), Err(Full), "too many bytes");
        let batch = queue.take(now).unwrap();
        assert_eq!(queue.push(&name("a"), "y".into(), now), Err(Full), "it is still under way");
        queue.done(batch);
        push(&mut queue, &["a1", "a2"], now);
        assert_eq!(queue.push(&name("a"), "a3".into(), now), Err(Full), "too many events");

        let mut queue = Queue::new(ROOMY, BATCHES);
        let large: Arc<str> = "x".repeat(BATCH_BYTES - 1).into();
        for _ in 0..2 {
            queue.push(&name("a"), Arc::clone(&large), now).unwrap();
            queue.push(&name("b"), "b".into(), now).unwrap();
        }
        assert_eq!(queue.take(now).unwrap().events.len(), 2, "together they are as large as a batch may be");
    }

    /// What happens next to a queue.
    #[derive(Clone, Debug)]
    enum Step {
        Push(&'static str),
        Done(Index),
        Take,
    }

    /// Steps, each with the milliseconds before it.
    fn history() -> impl Strategy<Value = Vec<(u64, Step)>> {
        let step = prop_oneof![
            select(&["a", "b", "c", "d"][..]).prop_map(Step::Push),
            any::<Index>().prop_map(Step::Done),
            Just(Step::Take),
        ];
        vec((0_u64..400, step), 0..400)
    }

    proptest! {
        /// Against a plain list: each channel's events come out in order, each once, and never two requests of one
        /// channel at once.
        #[test]
        fn each_channel_is_sent_in_order(history in history(), batching in select(&[Batching::OFF, BATCHES][..])) {
            let mut queue = Queue::new(ROOMY, batching);
            let mut now = Instant::now();
            let mut under_way: Vec<Batch> = Vec::new();
            let mut sent: HashMap<String, Vec<usize>> = HashMap::new();
            let mut pushed: HashMap<String, Vec<usize>> = HashMap::new();
            for (n, (after, step)) in history.into_iter().enumerate() {
                now += Duration::from_millis(after);
                match step {
                    Step::Push(channel) => {
                        queue.push(&name(channel), format!("{channel}{n}").into(), now).unwrap();
                        pushed.entry(channel.to_owned()).or_default().push(n);
                    }
                    Step::Done(index) if !under_way.is_empty() => {
                        queue.done(under_way.remove(index.index(under_way.len())));
                    }
                    Step::Done(_) | Step::Take => {
                        let Some(batch) = queue.take(now) else { continue };
                        prop_assert!(batch.events.len() <= batching.most && !batch.events.is_empty());
                        note(&batch, &mut sent);
                        let taken = |channel| under_way.iter().any(|b| b.channels.contains(channel));
                        prop_assert!(!batch.channels.iter().any(taken));
                        under_way.push(batch);
                    }
                }
            }
            queue.hurry();
            loop {
                under_way.drain(..).for_each(|batch| queue.done(batch));
                let Some(batch) = queue.take(now) else { break };
                note(&batch, &mut sent);
                under_way.push(batch);
            }
            prop_assert_eq!(sent, pushed);
            prop_assert!(queue.is_empty() && queue.channels.is_empty() && queue.ready.is_empty());
            prop_assert_eq!((queue.bytes, queue.ready_events), (0, 0));
        }
    }

    /// Notes the numbers of a batch's events under their channels.
    fn note(batch: &Batch, sent: &mut HashMap<String, Vec<usize>>) {
        for event in &batch.events {
            sent.entry(event[..1].to_owned()).or_default().push(event[1..].parse().unwrap());
        }
    }
}
