//! What was left to other nodes of late: where the one that was to tell it has died, another one does.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::event_id::IdentifiedEvent;

/// So long it is kept: longer than it takes until a node counts as dead, also when the bus was away a moment ago.
const KEPT_FOR: Duration = Duration::from_secs(30);

/// The events of one app that were left to other nodes, in the order in which they were.
#[derive(Debug)]
pub(super) struct LeftEvents {
    events: VecDeque<(Instant, IdentifiedEvent)>,
    most: usize,
}

impl LeftEvents {
    /// None yet. At most so many are kept; of more, the oldest are forgotten.
    pub(super) fn new(most: usize) -> Self {
        LeftEvents { events: VecDeque::new(), most }
    }

    /// Another node is to tell this one.
    pub(super) fn keep(&mut self, identified: IdentifiedEvent, now: Instant) {
        self.forget(now);
        self.events.push_back((now, identified));
        if self.events.len() > self.most {
            self.events.pop_front();
        }
    }

    /// Forgets what was left too long ago.
    pub(super) fn forget(&mut self, now: Instant) {
        while self.events.front().is_some_and(|(then, _)| now.saturating_duration_since(*then) > KEPT_FOR) {
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
        is_inherited: impl Fn(&IdentifiedEvent, Instant) -> bool,
    ) -> Vec<IdentifiedEvent> {
        let mut taken = Vec::new();
        self.events.retain(|(then, identified)| {
            let is_inherited = is_inherited(identified, *then);
            if is_inherited {
                taken.push(identified.clone());
            }
            !is_inherited
        });
        taken
    }
}
