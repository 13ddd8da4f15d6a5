//! The events that wait for one endpoint, and which of them go into its next request.
//!
//! The events of a channel are sent one request after the other, so that they arrive in their order; those of other
//! channels need not wait for them. So an event that is being retried holds up its own channel only.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::protocol::ChannelName;

/// Bytes of events in one request, unless a single event has more.
pub(crate) const BATCH_BYTES: usize = 1024 * 1024;

/// How events are put together into requests.
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

/// The bounds of what waits for one endpoint, requests under way included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchQueueBounds {
    pub events: usize,
    /// Bytes of their JSON.
    pub bytes: usize,
}

/// The queue has no room for one more event, which is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueFull;

/// The queue of events for one endpoint.
#[derive(Debug)]
pub(crate) struct BatchQueue {
    bounds: BatchQueueBounds,
    batching: Batching,
    channels: HashMap<ChannelName, ChannelQueue>,
    /// The channels that have no request under way, by the place of their first event.
    ready: BTreeMap<u64, ChannelName>,
    /// Events of those channels.
    ready_events: usize,
    events: usize,
    bytes: usize,
    /// Since when the first event of each request that is under way has waited.
    under_way_since: Vec<Instant>,
    next: u64,
    flushing: bool,
}

/// The events of one channel that wait.
#[derive(Debug, Default)]
struct ChannelQueue {
    events: VecDeque<QueuedEvent>,
    under_way: bool,
}

/// An event that waits.
#[derive(Debug)]
struct QueuedEvent {
    place: u64,
    since: Instant,
    json: Arc<str>,
}

/// The events of one request. It must be given back to the queue when it is over and done with.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Each as JSON, in the order in which they happened. Never empty.
    pub events: Vec<Arc<str>>,
    channels: Vec<ChannelName>,
    bytes: usize,
    since: Instant,
}

impl BatchQueue {
    /// Nothing yet.
    pub(crate) fn new(bounds: BatchQueueBounds, batching: Batching) -> Self {
        BatchQueue {
            bounds,
            batching,
            channels: HashMap::new(),
            ready: BTreeMap::new(),
            ready_events: 0,
            events: 0,
            bytes: 0,
            under_way_since: Vec::new(),
            next: 0,
            flushing: false,
        }
    }

    /// Adds an event of a channel.
    ///
    /// # Errors
    /// If there is no room for it. A single event always has room.
    pub(crate) fn push(
        &mut self,
        channel: &ChannelName,
        json: Arc<str>,
        now: Instant,
    ) -> Result<(), QueueFull> {
        let is_full = self.events >= self.bounds.events || self.bytes + json.len() > self.bounds.bytes;
        if is_full && self.events > 0 {
            return Err(QueueFull);
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
        waiting.events.push_back(QueuedEvent { place: self.next, since: now, json });
        self.next += 1;
        Ok(())
    }

    /// When the next request will have waited long enough for more events; `None` if there is nothing to send.
    pub(crate) fn next_request_at(&self, now: Instant) -> Option<Instant> {
        let (_, channel) = self.ready.first_key_value()?;
        let first = self.channels.get(channel)?.events.front()?;
        let is_full = self.ready_events >= self.batching.most;
        Some(if self.flushing || is_full { now } else { first.since + self.batching.window })
    }

    /// The next request, if one is ripe.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Batch> {
        self.next_request_at(now).filter(|ready_at| *ready_at <= now)?;
        let mut batch = Batch { events: Vec::new(), channels: Vec::new(), bytes: 0, since: now };
        while batch.events.len() < self.batching.most {
            let Some(first) = self.ready.first_entry() else { break };
            let Some(waiting) = self.channels.get_mut(first.get()) else { break };
            let fits =
                |item: &QueuedEvent| batch.events.is_empty() || batch.bytes + item.json.len() <= BATCH_BYTES;
            if !waiting.events.front().is_some_and(fits) {
                break;
            }
            let Some(item) = waiting.events.pop_front() else { break };
            if !waiting.under_way {
                waiting.under_way = true;
                batch.channels.push(first.get().clone());
            }
            batch.since = batch.since.min(item.since);
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
        self.under_way_since.push(batch.since);
        Some(batch)
    }

    /// A request is over, delivered or given up: its channels may go on.
    pub(crate) fn done(&mut self, batch: Batch) {
        self.events -= batch.events.len();
        self.bytes -= batch.bytes;
        if let Some(place) = self.under_way_since.iter().position(|since| *since == batch.since) {
            self.under_way_since.swap_remove(place);
        }
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
    pub(crate) fn flush(&mut self) {
        self.flushing = true;
    }

    /// Events that wait or are under way.
    pub(crate) fn len(&self) -> usize {
        self.events
    }

    /// Their bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Since when the oldest of them has waited. What waits behind a request that is under way is younger than that.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        let first =
            self.ready.first_key_value().and_then(|(_, channel)| self.channels.get(channel)?.events.front());
        first.map(|event| event.since).into_iter().chain(self.under_way_since.iter().copied()).min()
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.events == 0
    }
}

#[cfg(test)]
mod tests;
