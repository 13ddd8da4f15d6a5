//! What was left to other nodes of late: where the one that was to tell it has gone, another one does.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::event_id::IdentifiedEvent;

/// So long it is kept: longer than it takes until a node counts as dead, also when the bus was away a moment ago.
const KEPT_FOR: Duration = Duration::from_secs(30);

/// The events of one app that were left to other nodes, in the order in which they were.
#[derive(Debug)]
pub(super) struct LeftEvents {
    events: VecDeque<LeftEvent>,
    most: usize,
}

/// An event that was left then, and had been held back for so long.
#[derive(Debug)]
struct LeftEvent {
    then: Instant,
    identified: IdentifiedEvent,
    held_for: Duration,
}

impl LeftEvents {
    /// None yet. At most so many are kept; of more, the oldest are forgotten.
    pub(super) fn new(most: usize) -> Self {
        LeftEvents { events: VecDeque::new(), most }
    }

    /// Another node is to tell this one, which was held back for so long.
    pub(super) fn keep(&mut self, identified: IdentifiedEvent, held_for: Duration, now: Instant) {
        self.forget(now);
        self.events.push_back(LeftEvent { then: now, identified, held_for });
        if self.events.len() > self.most {
            self.events.pop_front();
        }
    }

    /// Forgets what was left too long ago.
    pub(super) fn forget(&mut self, now: Instant) {
        let is_old = |left: &LeftEvent| now.saturating_duration_since(left.then) > KEPT_FOR;
        while self.events.front().is_some_and(is_old) {
            self.events.pop_front();
        }
        if self.events.is_empty() && self.events.capacity() > 1024 {
            self.events = VecDeque::new();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Takes those out that are this node's to tell by now, in their order.
    pub(super) fn take(
        &mut self,
        is_inherited: impl Fn(&IdentifiedEvent, Duration, Instant) -> bool,
    ) -> Vec<IdentifiedEvent> {
        let mut taken = Vec::new();
        self.events.retain(|LeftEvent { then, identified, held_for }| {
            let is_inherited = is_inherited(identified, *held_for, *then);
            if is_inherited {
                taken.push(identified.clone());
            }
            !is_inherited
        });
        taken
    }
}
